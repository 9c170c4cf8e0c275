package oracle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"jupiter-dex-integration/src/chain"
	"jupiter-dex-integration/src/jupiter"
	"jupiter-dex-integration/src/platform"
	"jupiter-dex-integration/src/ratelimit"
)

// gcPercent is for GOGC where nobody has set it: most of the heap is history, which the collector need not look into. To
// collect twice as often costs little and saves a quarter of the memory.
const gcPercent = 50

// Serve runs the price server until ctx ends.
func Serve(ctx context.Context, cfg Config, p *platform.Process) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	u, err := newUpdater(cfg.UpdateConfig, p)
	if err != nil {
		return err
	}
	defer u.close()
	p.Registry.MustRegister(bookCollector{u.book, u.tokens, u.rules},
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "jupiter_price_streams", Help: "Streams of prices that are open."},
			func() float64 { return float64(u.streams.open.Load()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "jupiter_price_stream_events_total", Help: "Events written to streams of prices."},
			func() float64 { return float64(u.streams.sent.Load()) }))
	defer context.AfterFunc(ctx, func() { close(u.streams.closing) })()
	return p.Serve(ctx, cfg.ServerConfig, platform.Service{
		Handler:    newAPI(u),
		Checks:     u.checks(),
		Background: append(u.background, u.run),
	})
}

// Update refreshes the prices in Redis once, unless they are younger than the update interval. The error says what could
// not be refreshed; the last good prices of those tokens stay.
func Update(ctx context.Context, cfg UpdateConfig, p *platform.Process) error {
	if cfg.RedisURL == "" {
		return errors.New("REDIS_URL is empty: an update that is not stored is of no use to anyone")
	}
	u, err := newUpdater(cfg, p)
	if err != nil {
		return err
	}
	defer u.close()
	running, stop := context.WithCancel(ctx)
	var background sync.WaitGroup
	defer background.Wait()
	defer stop()
	for _, run := range u.background {
		background.Go(func() { run(running) }) // it ends with its context
	}
	return u.once(ctx)
}

func newUpdater(cfg UpdateConfig, p *platform.Process) (*updater, error) {
	ru, err := cfg.rules()
	if err != nil {
		return nil, err
	}
	rdb, err := cfg.RedisConfig.Client()
	if err != nil {
		return nil, err
	}
	clk := &clock{}
	u := &updater{
		tokens: cfg.Tokens, interval: cfg.UpdateInterval, rules: ru, clock: clk, book: newBook(clk, ru.ages), history: newHistory(cfg.UpdateInterval),
		streams: newStreams(), metrics: newMetrics(p.Registry), log: p.Log, close: func() error { return nil },
	}
	shared := ratelimit.NewShared(nil, 1, 0, p.Log)
	if rdb != nil {
		u.store, u.close = newStore(rdb, cfg.Network), rdb.Close
		shared = ratelimit.NewShared(rdb, 1, quotaPatience, p.Log)
	}
	quota := ratelimit.NewBudget(shared, ratelimitKey, ratelimit.BudgetConfig{PerMinute: cfg.Quota.PerMinute(), MaxWait: quotaWait, MaxQueue: 1})
	u.background = []func(context.Context) error{shared.Run, quota.Run}
	if u.sources, err = cfg.sources(u, quota); err != nil {
		u.close()
		return nil, err
	}
	return u, nil
}

const (
	// ratelimitKey is where the gateway's replicas count what is asked of Jupiter.
	ratelimitKey = "upstream:jupiter"
	// quotaWait is how long a call waits for its turn: nobody waits for the answer, swaps go first.
	quotaWait = 30 * time.Second
	// quotaPatience is how long a decision about the quota waits for Redis.
	quotaPatience = time.Second
)

// sources makes the sources that the configuration lists, in its order.
func (c UpdateConfig) sources(u *updater, quota budget) ([]source, error) {
	known := &decimals{book: u.book, read: map[string]uint8{}}
	u.decimals = known
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
			all = append(all, &jupiterSource{client, quota, u.metrics, u.clock.now})
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
			all = append(all, &pythSource{feeds, programs, accounts, u.metrics, u.clock.now})
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
