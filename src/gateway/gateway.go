package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/sony/gobreaker/v2"

	"jupiter-dex-integration/src/jupiter"
	"jupiter-dex-integration/src/platform"
	"jupiter-dex-integration/src/ratelimit"
)

// gateway is the API and what it stands on.
type gateway struct {
	cfg       Config
	log       *slog.Logger
	metrics   *metrics
	swaps     []*upstream // of the four swap operations, the first choice first: UPSTREAMS
	optimizer *upstream   // stands in for all of them; nil: not allowed
	optimized *upstream   // gives the best of Jupiter's quotes and its own; nil: not asked
	jupiter   *upstream   // JUPITER_API_URL; nil where Jupiter is not: any network but mainnet
	oracle    *upstream   // nil if none is configured
	upstreams []*upstream
	who       *identity
	quotes    *cache
	originals *originals
	dexes     *dexes
	limits    *limits // nil: none
}

// Serve runs the gateway until ctx ends.
func Serve(ctx context.Context, cfg Config, p *platform.Process) error {
	redis, err := cfg.RedisConfig.Client()
	if err != nil {
		return err
	}
	g, err := newGateway(cfg, p, jupiter.NewTransport())
	if err != nil {
		return err
	}
	service := platform.Service{Checks: []platform.Check{{Name: "upstream", Probe: g.checkUpstreams}}}
	shared := ratelimit.NewShared(nil, cfg.RateLimit.Replicas, 0, p.Log)
	if redis != nil {
		defer redis.Close()
		shared = ratelimit.NewShared(redis, cfg.RateLimit.Replicas, cfg.RateLimit.RedisTimeout, p.Log)
		service.Checks = append(service.Checks, platform.Check{Name: "redis", Probe: func(ctx context.Context) error { return redis.Ping(ctx).Err() }})
	}
	if cfg.RateLimit.Enabled {
		if g.limits, err = newLimits(cfg.RateLimit, shared, p.Registry); err != nil {
			return err
		}
	}
	g.quotes = newCache(ctx, cfg.Cache, p.Registry)
	g.originals = newOriginals(redis, p.Log)
	service.Background = append(service.Background, shared.Run, g.quotes.run, g.originals.run, func(ctx context.Context) error {
		return g.dexes.run(ctx, g.fetchDexes, p.Log)
	})
	if longest := cfg.Breaker.Timeout + cfg.Budget.QueueTimeout; cfg.DrainTimeout < longest {
		p.Log.Warn("a request may take longer than the drain, which cuts it off then: raise DRAIN_TIMEOUT", "DRAIN_TIMEOUT", cfg.DrainTimeout.String(), "longest", longest.String())
	}
	budgets := map[string]*budget{}
	for _, u := range g.upstreams {
		if u.organisation == "" {
			continue
		}
		b := budgets[u.organisation]
		if b == nil {
			b = newBudget(u.organisation, u.perMinute, cfg.Budget, shared, p.Registry)
			budgets[u.organisation] = b
			service.Background = append(service.Background, b.Run)
		}
		u.budget = b
	}
	service.Handler = g.handler()
	return p.Serve(ctx, cfg.ServerConfig, service)
}

func newGateway(cfg Config, p *platform.Process, transport http.RoundTripper) (*gateway, error) {
	g := &gateway{cfg: cfg, log: p.Log, metrics: newMetrics(p.Registry), dexes: newDexes(),
		who: &identity{required: cfg.ClientKeysRequired, trusted: cfg.TrustedProxies}}
	var errs []error
	add := func(name, variable, url, kind string, key func() string) *upstream {
		client, err := jupiter.NewClient(url, key, transport)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", variable, err))
		}
		u := &upstream{name: name, kind: kind, own: name == optimizerName || name == optimizedName || name == oracleName, client: client, timeout: cfg.Breaker.Timeout, maxInFlight: cfg.MaxInFlight, metrics: g.metrics, log: p.Log}
		if cfg.Breaker.Enabled {
			u.breakers = g.newBreakers(name)
		}
		g.metrics.watchInFlight(name, &u.inFlight)
		g.upstreams = append(g.upstreams, u)
		return u
	}
	if cfg.UpstreamMode == modeOptimizer {
		g.swaps = []*upstream{add(optimizerName, "ROUTE_OPTIMIZER_URL", cfg.RouteOptimizerURL, kindSwapV1, nil)}
	} else {
		kind := kindSwapV1
		if strings.HasSuffix(strings.TrimRight(cfg.JupiterAPIURL, "/"), "/swap/v2") {
			kind = kindSwapV2
		}
		g.jupiter = add(jupiterName, "JUPITER_API_URL", cfg.JupiterAPIURL, kind, cfg.JupiterAPIKey.Value)
		g.jupiter.organisation, g.jupiter.perMinute = jupiterName, cfg.Budget.PerMinute()
		for _, item := range cfg.Upstreams {
			key, organisation, perMinute := item.key, item.organisation(), item.perMinute
			if item.sharesKey(cfg.JupiterAPIURL) {
				key, organisation, perMinute = cfg.JupiterAPIKey, jupiterName, cfg.Budget.PerMinute()
			}
			u := add(item.Name, "UPSTREAMS", item.URL, item.Kind, key.Value)
			u.organisation, u.perMinute = organisation, perMinute
			g.swaps = append(g.swaps, u)
		}
		if len(g.swaps) == 0 {
			g.swaps = []*upstream{g.jupiter}
		}
		if cfg.UpstreamMode == modeOptimized {
			g.optimized = add(optimizedName, "ROUTE_OPTIMIZER_URL", strings.TrimRight(cfg.RouteOptimizerURL, "/")+"/optimized", kindSwapV1, nil)
		}
		if cfg.OptimizerFallback || g.optimized != nil { // which has quotes of its own that it alone can make swaps of
			g.optimizer = add(optimizerName, "ROUTE_OPTIMIZER_URL", cfg.RouteOptimizerURL, kindSwapV1, nil)
		}
		if cfg.Network != "mainnet" {
			p.Log.Warn("Jupiter serves mainnet only", "NETWORK", cfg.Network, "UPSTREAM_MODE", cfg.UpstreamMode)
		}
	}
	if cfg.PriceOracleURL != "" {
		g.oracle = add(oracleName, "PRICE_ORACLE_URL", cfg.PriceOracleURL, kindSwapV1, nil)
	}
	if cfg.ClientKeys.Value() != "" {
		var err error
		if g.who.keys, err = newKeyring(cfg.ClientKeys.Value, p.Log); err != nil {
			errs = append(errs, err)
		}
	}
	return g, errors.Join(errs...)
}

func (g *gateway) newBreakers(upstream string) map[string]*breaker {
	breakers := make(map[string]*breaker, len(endpoints))
	for _, endpoint := range endpoints {
		b := newBreaker(g.cfg.Breaker, func(from, to gobreaker.State) {
			g.log.Warn("circuit breaker", "upstream", upstream, "endpoint", endpoint, "from", from.String(), "to", to.String())
		})
		g.metrics.watchBreaker(upstream, endpoint, b)
		breakers[endpoint] = b
	}
	return breakers
}

// checkUpstreams fails while a breaker is open. It asks no upstream: probes would eat of the quota that callers need.
func (g *gateway) checkUpstreams(context.Context) error {
	var open []string
	for _, u := range g.upstreams {
		for _, endpoint := range endpoints {
			if b := u.breakers[endpoint]; b != nil && b.State() == gobreaker.StateOpen {
				open = append(open, u.name+" "+endpoint)
			}
		}
	}
	if len(open) > 0 {
		return fmt.Errorf("circuit breaker open: %s", strings.Join(open, ", "))
	}
	return nil
}

// statusClientClosed is what logs and metrics show for a caller who hung up; nobody receives it.
const statusClientClosed = 499

// respond writes an upstream's answer or the error in its place.
func respond(w http.ResponseWriter, a *answer, err error) {
	switch {
	case err == nil:
		a.writeTo(w)
	case errors.Is(err, context.Canceled):
		w.WriteHeader(statusClientClosed)
	default:
		jupiter.WriteError(w, err)
	}
}
