package optimizer

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/programs"
	"jupiter-dex-integration/src/chain"
	"jupiter-dex-integration/src/platform"
)

// ProgramsConfig says which AMM programs are known.
type ProgramsConfig struct {
	Network programs.Cluster `env:"NETWORK" envDefault:"mainnet"`
	// ProgramIDs replaces or adds addresses of AMM programs, as name:address.
	ProgramIDs map[string]string `env:"AMM_PROGRAM_IDS"`
}

// ClusterConfig says which Solana to ask, and for which programs.
type ClusterConfig struct {
	ProgramsConfig
	// RPCURLs are nodes of one cluster; each call goes to the best of them.
	RPCURLs []string `env:"SOLANA_RPC_URL" envDefault:"http://localhost:8899"`
	// RPCAuth is the Authorization header of every call.
	RPCAuth platform.Secret `env:"SOLANA_RPC_AUTH"`
}

// Config is the configuration of the service.
type Config struct {
	platform.ServerConfig
	platform.RedisConfig
	ClusterConfig
	UpstreamConfig
	GuardConfig
	// StreamURLs are websockets of nodes of the cluster; by default those that belong to RPCURLs by convention.
	StreamURLs []string `env:"SOLANA_WS_URL"`
	Pools      []string `env:"POOLS"`
	// MarketFile lists pools instead; see chain.ReadMarketFile.
	MarketFile string `env:"MARKET_FILE"`
	MaxRoutes  int    `env:"MAX_ROUTES" envDefault:"5"`
	// SlippageTolerancePercent is for requests that say nothing; 0.5 is 50 bps.
	SlippageTolerancePercent float64 `env:"SLIPPAGE_TOLERANCE_PERCENT" envDefault:"0.5"`
	// PriorityFeeMultiplier scales what recent transactions paid, where a swap request leaves the priority fee to us; what a route's
	// legs are reckoned to cost follows it.
	PriorityFeeMultiplier float64 `env:"PRIORITY_FEE_MULTIPLIER" envDefault:"1.5"`
	// Cached are the paths of plans, for so long; amounts are always quoted anew.
	CacheEnabled bool          `env:"CACHE_ENABLED" envDefault:"true"`
	CacheTTL     time.Duration `env:"CACHE_TTL" envDefault:"300s"`
	// LiquidityTestSOL is the worth, in SOL, of the trade by which it is judged which pools are liquid enough to route over; 0 is all.
	LiquidityTestSOL float64 `env:"LIQUIDITY_TEST_SOL" envDefault:"3"`
	// LookupTables shorten transactions.
	LookupTables []string `env:"ADDRESS_LOOKUP_TABLES"`
}

const (
	maxPools    = 100_000
	maxRoutes   = 20
	maxTables   = 10
	maxCacheTTL = 24 * time.Hour
)

// Validate checks every variable and names all that are wrong.
func (c Config) Validate() error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if _, err := c.programs(); err != nil {
		fail("NETWORK, AMM_PROGRAM_IDS: %w", err)
	}
	if _, err := chain.NewEndpoints(c.RPCURLs, nil); err != nil {
		fail("SOLANA_RPC_URL: %w", err)
	}
	if len(c.Pools) == 0 && c.MarketFile == "" {
		fail("POOLS and MARKET_FILE are both empty: list the pools to quote, separated by commas, or name a file that does")
	}
	if len(c.Pools) > 0 && c.MarketFile != "" {
		fail("POOLS and MARKET_FILE are both set: set one")
	}
	if pools, err := c.pools(); err != nil {
		errs = append(errs, err)
	} else if len(pools) > maxPools {
		fail("%d pools: at most %d", len(pools), maxPools)
	}
	if c.MaxRoutes < 1 || c.MaxRoutes > maxRoutes {
		fail("MAX_ROUTES: %d is not from 1 to %d", c.MaxRoutes, maxRoutes)
	}
	if p := c.SlippageTolerancePercent; !(p >= 0 && p <= 100) {
		fail("SLIPPAGE_TOLERANCE_PERCENT: %v is not from 0 to 100", p)
	}
	if m := c.PriorityFeeMultiplier; !(m >= 0 && m <= 100) {
		fail("PRIORITY_FEE_MULTIPLIER: %v is not from 0 to 100", m)
	}
	if l := c.LiquidityTestSOL; !(l >= 0 && l <= maxLiquidityTest) {
		fail("LIQUIDITY_TEST_SOL: %v is not from 0 to %v", l, maxLiquidityTest)
	}
	if c.CacheTTL < 0 || c.CacheTTL > maxCacheTTL {
		fail("CACHE_TTL: %v is not from 0 to %v", c.CacheTTL, maxCacheTTL)
	}
	if _, err := c.tables(); err != nil {
		errs = append(errs, err)
	}
	errs = append(errs, c.UpstreamConfig.validate()...)
	errs = append(errs, c.GuardConfig.validate()...)
	return errors.Join(errs...)
}

func (c Config) tables() ([]solana.PublicKey, error) {
	if len(c.LookupTables) > maxTables {
		return nil, fmt.Errorf("ADDRESS_LOOKUP_TABLES: %d tables, at most %d", len(c.LookupTables), maxTables)
	}
	var tables []solana.PublicKey
	for _, text := range c.LookupTables {
		key, err := solana.PublicKeyFromBase58(text)
		if err != nil {
			return nil, fmt.Errorf("ADDRESS_LOOKUP_TABLES: %q is not a base58 address", text)
		}
		tables = append(tables, key)
	}
	return tables, nil
}

func (c ProgramsConfig) programs() ([]amm.Program, error) {
	ids := map[string]solana.PublicKey{}
	for name, text := range c.ProgramIDs {
		id, err := solana.PublicKeyFromBase58(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %q is not a base58 address", name, text)
		}
		ids[name] = id
	}
	return programs.On(c.Network, ids)
}

func (c Config) pools() ([]solana.PublicKey, error) {
	if c.MarketFile != "" {
		pools, err := chain.ReadMarketFile(c.MarketFile)
		if err != nil {
			return nil, fmt.Errorf("MARKET_FILE: %w", err)
		}
		return pools, nil
	}
	pools, err := chain.ParsePools(c.Pools)
	if err != nil {
		return nil, fmt.Errorf("POOLS: %w", err)
	}
	return pools, nil
}

func (c Config) streams() []string {
	if len(c.StreamURLs) > 0 {
		return c.StreamURLs
	}
	var urls []string
	for _, rpc := range c.RPCURLs {
		if u, err := chain.StreamURL(rpc); err == nil {
			urls = append(urls, u)
		}
	}
	return urls
}

func (c Config) slippageBps() uint16 { return uint16(math.Round(c.SlippageTolerancePercent * 100)) }
