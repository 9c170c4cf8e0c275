package oracle

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"jupiter-dex-integration/src/chain"
	"jupiter-dex-integration/src/jupiter"
	"jupiter-dex-integration/src/platform"
)

// Serve runs the price server until ctx ends.
func Serve(ctx context.Context, cfg Config, p *platform.Process) error {
	u, closeStore, err := newUpdater(cfg.UpdateConfig, p)
	if err != nil {
		return err
	}
	defer closeStore()
	p.Registry.MustRegister(bookCollector{u.book, u.tokens, u.rules}, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "jupiter_price_streams", Help: "Streams of prices that are open."}, func() float64 { return float64(u.streams.open.Load()) }))
	defer context.AfterFunc(ctx, func() { close(u.streams.closing) })()
	return p.Serve(ctx, cfg.ServerConfig, platform.Service{
		Handler:    newAPI(u),
		Checks:     u.checks(),
		Background: []func(context.Context) error{u.run},
	})
}

// Update refreshes the prices in Redis once, unless they are younger than the update interval. The error says what could
// not be refreshed; the last good prices of those tokens stay.
func Update(ctx context.Context, cfg UpdateConfig, p *platform.Process) error {
	if cfg.RedisURL == "" {
		return errors.New("REDIS_URL is empty: an update that is not stored is of no use to anyone")
	}
	u, closeStore, err := newUpdater(cfg, p)
	if err != nil {
		return err
	}
	defer closeStore()
	return u.once(ctx)
}

func newUpdater(cfg UpdateConfig, p *platform.Process) (*updater, func() error, error) {
	ru, err := cfg.rules()
	if err != nil {
		return nil, nil, err
	}
	rdb, err := cfg.RedisConfig.Client()
	if err != nil {
		return nil, nil, err
	}
	clk := &clock{}
	m := newMetrics(p.Registry)
	u := &updater{
		tokens: cfg.Tokens, interval: cfg.UpdateInterval, rules: ru, clock: clk, book: newBook(clk, ru.ages), history: newHistory(cfg.UpdateInterval), streams: newStreams(), metrics: m, log: p.Log,
	}
	if u.sources, err = cfg.sources(u); err != nil {
		return nil, nil, err
	}
	if rdb == nil {
		return u, func() error { return nil }, nil
	}
	u.store = newStore(rdb, cfg.Network)
	return u, rdb.Close, nil
}

// sources makes the sources that the configuration lists, in its order.
func (c UpdateConfig) sources(u *updater) ([]source, error) {
	known := &decimals{book: u.book, read: map[string]uint8{}}
	var accounts accountReader
	if len(c.SolanaRPCURLs) > 0 {
		endpoints, err := chain.NewEndpoints(c.SolanaRPCURLs, c.SolanaRPCAuth.Value)
		if err != nil {
			return nil, fmt.Errorf("SOLANA_RPC_URL: %w", err)
		}
		accounts, known.accounts = endpoints, endpoints
	}
	var all []source
	for _, name := range c.Sources {
		switch name {
		case "jupiter":
			client, err := jupiter.NewClient(c.JupiterAPIURL, c.JupiterAPIKey.Value, jupiter.NewTransport())
			if err != nil {
				return nil, fmt.Errorf("JUPITER_API_URL: %w", err)
			}
			all = append(all, &jupiterSource{client, u.metrics, u.clock.now})
		case "optimizer":
			client, err := jupiter.NewClient(c.RouteOptimizerURL, nil, jupiter.NewTransport())
			if err != nil {
				return nil, fmt.Errorf("ROUTE_OPTIMIZER_URL: %w", err)
			}
			all = append(all, &optimizerSource{client, c.QuoteMint, c.QuoteSizes, u.book, u.rules, known, u.metrics, u.clock.now})
		case "pyth":
			feeds, err := parseFeeds(c.PythFeeds)
			if err != nil {
				return nil, err
			}
			programs, err := c.pythPrograms()
			if err != nil {
				return nil, err
			}
			all = append(all, &pythSource{feeds, programs, accounts, known, u.metrics, u.clock.now})
		case "peg":
			all = append(all, pegSource{u.rules.pegs, u.clock.now})
		}
	}
	return all, nil
}

// checks make a server ready once it has a price, from wherever; from then on trouble only degrades it.
func (u *updater) checks() []platform.Check {
	checks := []platform.Check{
		{Name: "prices", Required: true, Probe: func(context.Context) error {
			if u.book.priced() {
				return nil
			}
			problem, _ := u.status()
			return errors.New("no price has been observed yet: " + problem)
		}},
		{Name: "update", Probe: func(context.Context) error {
			if problem, _ := u.status(); problem != "" {
				return errors.New("the last update was incomplete: " + problem)
			}
			var newest time.Time
			for _, e := range u.book.snapshot() {
				if e.ObservedAt.After(newest) {
					newest = e.ObservedAt
				}
			}
			if age := u.clock.since(newest); !newest.IsZero() && age > u.rules.ages.degraded {
				return fmt.Errorf("the newest price is %v old", age.Round(time.Second))
			}
			return nil
		}},
	}
	if u.store != nil {
		checks = append(checks, platform.Check{Name: "redis", Probe: func(context.Context) error {
			_, err := u.status()
			return err
		}})
	}
	return checks
}
