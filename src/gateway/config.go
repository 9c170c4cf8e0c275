package gateway

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"jupiter-dex-integration/src/platform"
)

// Upstream modes.
const (
	modeJupiter   = "jupiter"
	modeOptimizer = "optimizer"
	// modeOptimized is modeJupiter with quotes that the route-optimizer betters.
	modeOptimized = "optimized"
)

// maxUpstreamTimeout leaves the platform's server time to write an answer that came at the last moment.
const maxUpstreamTimeout = time.Minute

// Config is the gateway's environment.
type Config struct {
	platform.ServerConfig
	platform.RedisConfig

	Network string `env:"NETWORK" envDefault:"mainnet"`
	// UpstreamMode says who answers the four swap operations. Jupiter exists on mainnet only.
	UpstreamMode string `env:"UPSTREAM_MODE" envDefault:"jupiter"`
	// JupiterAPIURL is of the swap API v1, or ends with /swap/v2 for Jupiter's newer pair of quote and swap. Prices, tokens and
	// the paths of v2 are asked for there too.
	JupiterAPIURL string          `env:"JUPITER_API_URL" envDefault:"https://api.jup.ag/swap/v1"`
	JupiterAPIKey platform.Secret `env:"JUPITER_API_KEY"`
	// Upstreams answer the four swap operations, the first choice first; the next is asked when one fails. Empty: JupiterAPIURL
	// alone.
	Upstreams         []UpstreamConfig `env:"UPSTREAMS"`
	RouteOptimizerURL string           `env:"ROUTE_OPTIMIZER_URL"`
	// OptimizerFallback lets the route-optimizer quote when no Jupiter does. Its quotes are marked.
	OptimizerFallback bool `env:"OPTIMIZER_FALLBACK" envDefault:"false"`
	// PriceOracleURL is asked for prices before Jupiter; empty: Jupiter alone.
	PriceOracleURL string `env:"PRICE_ORACLE_URL"`

	// LegacyQuotes serves clients that cannot decode today's quotes.
	LegacyQuotes bool `env:"LEGACY_QUOTES" envDefault:"false"`

	// MaxInFlight bounds the calls that wait for one upstream; what comes on top is refused at once.
	MaxInFlight int64 `env:"UPSTREAM_MAX_IN_FLIGHT" envDefault:"1024"`

	Breaker   BreakerConfig
	RateLimit RateLimitConfig
	Budget    BudgetConfig
	Cache     CacheConfig

	// ClientKeys are the keys that clients may have, hashed: see keyring for the format. Empty: clients are told apart by
	// address alone, and whatever key they send is ignored.
	ClientKeys         platform.Secret `env:"CLIENT_KEYS"`
	ClientKeysRequired bool            `env:"CLIENT_KEYS_REQUIRED" envDefault:"false"`
	// TrustedProxies are the peers whose X-Forwarded-For is believed.
	TrustedProxies []netip.Prefix `env:"TRUSTED_PROXIES"`

	// CORSAllowOrigin is what browsers are told in Access-Control-Allow-Origin; "none": nothing.
	CORSAllowOrigin string `env:"CORS_ALLOW_ORIGIN" envDefault:"*"`
}

// BreakerConfig holds for every upstream and endpoint.
type BreakerConfig struct {
	Enabled          bool   `env:"CIRCUIT_BREAKER_ENABLED" envDefault:"true"`
	FailureThreshold uint32 `env:"CIRCUIT_BREAKER_FAILURE_THRESHOLD" envDefault:"5"`
	// FailureRatio opens it too, over the last seconds; 0: only failures in a row do.
	FailureRatio float64 `env:"CIRCUIT_BREAKER_FAILURE_RATIO" envDefault:"0.5"`
	// Timeout bounds the upstream calls of one request, also with the breaker disabled: where several upstreams may be asked,
	// each gets an equal part of what is left.
	Timeout      time.Duration `env:"CIRCUIT_BREAKER_TIMEOUT" envDefault:"30s"`
	ResetTimeout time.Duration `env:"CIRCUIT_BREAKER_RESET_TIMEOUT" envDefault:"60s"`
}

// Validate reports every variable that is out of bounds.
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	switch c.Network {
	case "mainnet", "testnet", "devnet":
	default:
		check(false, "NETWORK must be mainnet, testnet or devnet, not %q", c.Network)
	}
	switch c.UpstreamMode {
	case modeJupiter:
		check(c.RouteOptimizerURL != "" || !c.OptimizerFallback, "ROUTE_OPTIMIZER_URL is missing: OPTIMIZER_FALLBACK needs it")
	case modeOptimizer:
		check(len(c.Upstreams) == 0, "UPSTREAMS are Jupiter's: UPSTREAM_MODE %s never asks them", modeOptimizer)
		check(c.RouteOptimizerURL != "", "ROUTE_OPTIMIZER_URL is missing: UPSTREAM_MODE %s needs it", modeOptimizer)
	case modeOptimized:
		check(c.RouteOptimizerURL != "", "ROUTE_OPTIMIZER_URL is missing: UPSTREAM_MODE %s needs it", modeOptimized)
	default:
		check(false, "UPSTREAM_MODE must be %s, %s or %s, not %q", modeJupiter, modeOptimizer, modeOptimized, c.UpstreamMode)
	}
	if err := checkUpstreamNames(c.Upstreams); err != nil {
		errs = append(errs, err)
	}
	check(c.MaxInFlight > 0, "UPSTREAM_MAX_IN_FLIGHT must be at least 1, not %d", c.MaxInFlight)
	check(c.Breaker.FailureThreshold > 0, "CIRCUIT_BREAKER_FAILURE_THRESHOLD must be at least 1")
	check(c.Breaker.FailureRatio >= 0 && c.Breaker.FailureRatio <= 1, "CIRCUIT_BREAKER_FAILURE_RATIO must be from 0 to 1, not %v", c.Breaker.FailureRatio)
	check(c.Breaker.Timeout > 0 && c.Breaker.Timeout <= maxUpstreamTimeout,
		"CIRCUIT_BREAKER_TIMEOUT must be more than 0 and at most %v, not %v", maxUpstreamTimeout, c.Breaker.Timeout)
	check(c.Breaker.ResetTimeout > 0, "CIRCUIT_BREAKER_RESET_TIMEOUT must be more than 0, not %v", c.Breaker.ResetTimeout)
	limit := quota{c.RateLimit.RequestsPerMinute, c.RateLimit.BurstSize}
	if err := limit.check(); err != nil {
		check(false, "RATE_LIMIT_REQUESTS_PER_MINUTE, RATE_LIMIT_BURST_SIZE: %w", err)
	}
	if err := c.Budget.validate(); err != nil {
		errs = append(errs, err)
	}
	if err := c.Cache.validate(); err != nil {
		errs = append(errs, err)
	}
	check(c.RateLimit.RedisTimeout > 0, "RATE_LIMIT_REDIS_TIMEOUT must be more than 0, not %v", c.RateLimit.RedisTimeout)
	check(c.RateLimit.Replicas > 0, "RATE_LIMIT_REPLICAS must be at least 1")
	if _, err := c.RateLimit.parseRouteQuotas(); err != nil {
		errs = append(errs, err)
	}
	if _, err := parseKeys(c.ClientKeys.Value()); err != nil {
		errs = append(errs, err)
	}
	check(!c.ClientKeysRequired || c.ClientKeys.Value() != "", "CLIENT_KEYS is missing: CLIENT_KEYS_REQUIRED needs it")
	return errors.Join(errs...)
}
