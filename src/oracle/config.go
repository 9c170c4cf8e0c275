package oracle

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/jupiter"
	"jupiter-dex-integration/src/oracle/aggregate"
	"jupiter-dex-integration/src/oracle/pyth"
	"jupiter-dex-integration/src/platform"
)

// UpdateConfig is what it takes to refresh the prices once.
type UpdateConfig struct {
	platform.RedisConfig
	// Network separates the prices of networks that share one Redis.
	Network       string          `env:"NETWORK" envDefault:"mainnet"`
	JupiterAPIURL string          `env:"JUPITER_API_URL" envDefault:"https://api.jup.ag/swap/v1"`
	JupiterAPIKey platform.Secret `env:"JUPITER_API_KEY"`
	// Quota is shared with the gateway through Redis.
	Quota jupiter.Quota
	// Tokens are the mints whose prices are kept.
	Tokens []string `env:"PRICE_TOKENS"`
	// Sources are asked at each update: jupiter, optimizer, pyth, peg.
	Sources []string `env:"PRICE_SOURCES" envDefault:"jupiter"`
	// MinSources is how many sources must agree on a price that is not degraded; at most as many as there are.
	MinSources int `env:"PRICE_MIN_SOURCES" envDefault:"2"`
	// Pegs are MINT=USD of tokens that should not move. Their prices are degraded beyond 50 bps; the source peg assumes them
	// where no other source has a price.
	Pegs []string `env:"PRICE_PEGS"`
	// SolanaRPCURLs are the nodes that the source pyth reads, and mints' decimals where no other source knows them.
	SolanaRPCURLs []string        `env:"SOLANA_RPC_URL"`
	SolanaRPCAuth platform.Secret `env:"SOLANA_RPC_AUTH"`
	// PythFeeds are MINT=ACCOUNT or MINT=ACCOUNT:FEEDID, PythPrograms the owners that the accounts may have.
	PythFeeds    []string `env:"PRICE_PYTH_FEEDS"`
	PythPrograms []string `env:"PRICE_PYTH_PROGRAMS"`
	// RouteOptimizerURL is asked by the source optimizer to trade QuoteSizes, in US dollars, of QuoteMint.
	RouteOptimizerURL string    `env:"ROUTE_OPTIMIZER_URL"`
	QuoteMint         string    `env:"PRICE_QUOTE_MINT" envDefault:"EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"`
	QuoteSizes        []float64 `env:"PRICE_QUOTE_SIZES" envDefault:"100,1000,10000"`
	// UpdateInterval is the age at which prices are fetched anew, by whichever replica or job finds it first.
	UpdateInterval time.Duration `env:"UPDATE_INTERVAL" envDefault:"5m"`
}

// Config is the configuration of the server.
type Config struct {
	platform.ServerConfig
	UpdateConfig
}

const (
	minUpdateInterval = time.Second
	maxUpdateInterval = 24 * time.Hour
	// maxTokens bounds memory and the calls of one update.
	maxTokens = 5000
)

// Validate checks every variable and names all that are wrong.
func (c UpdateConfig) Validate() error {
	var errs []error
	if !slices.Contains([]string{"mainnet", "testnet", "devnet"}, c.Network) {
		errs = append(errs, fmt.Errorf("NETWORK: %q is none of mainnet, testnet, devnet", c.Network))
	}
	if err := c.Quota.Validate(); err != nil {
		errs = append(errs, err)
	}
	if len(c.Tokens) == 0 {
		errs = append(errs, errors.New("PRICE_TOKENS is empty: list the mints to price, separated by commas"))
	}
	if len(c.Tokens) > maxTokens {
		errs = append(errs, fmt.Errorf("PRICE_TOKENS has %d mints: at most %d", len(c.Tokens), maxTokens))
	}
	seen := make(map[string]bool, len(c.Tokens))
	for _, mint := range c.Tokens {
		if _, err := solana.PublicKeyFromBase58(mint); err != nil {
			errs = append(errs, fmt.Errorf("PRICE_TOKENS: %q is not a base58 public key of 32 bytes", mint))
		}
		if seen[mint] {
			errs = append(errs, fmt.Errorf("PRICE_TOKENS: %s is listed twice", mint))
		}
		seen[mint] = true
	}
	if len(c.Sources) == 0 {
		errs = append(errs, fmt.Errorf("PRICE_SOURCES is empty: list one or more of %s", strings.Join(knownSources, ", ")))
	}
	for i, name := range c.Sources {
		if !slices.Contains(knownSources, name) || slices.Contains(c.Sources[:i], name) {
			errs = append(errs, fmt.Errorf("PRICE_SOURCES: %q is listed twice or is none of %s", name, strings.Join(knownSources, ", ")))
		}
	}
	if c.MinSources < 1 {
		errs = append(errs, errors.New("PRICE_MIN_SOURCES must be at least 1"))
	}
	if _, err := c.pegs(); err != nil {
		errs = append(errs, err)
	}
	if slices.Contains(c.Sources, "pyth") {
		errs = append(errs, c.validatePyth()...)
	}
	if slices.Contains(c.Sources, "optimizer") {
		errs = append(errs, c.validateOptimizer()...)
	}
	if c.UpdateInterval < minUpdateInterval || c.UpdateInterval > maxUpdateInterval {
		errs = append(errs, fmt.Errorf("UPDATE_INTERVAL: %v is not between %v and %v", c.UpdateInterval, minUpdateInterval, maxUpdateInterval))
	}
	return errors.Join(errs...)
}

var knownSources = []string{"jupiter", "optimizer", "pyth", "peg"}

func (c UpdateConfig) validatePyth() []error {
	var errs []error
	if len(c.SolanaRPCURLs) == 0 {
		errs = append(errs, errors.New("SOLANA_RPC_URL is empty: the source pyth reads its accounts there"))
	}
	if feeds, err := parseFeeds(c.PythFeeds); err != nil {
		errs = append(errs, err)
	} else if len(feeds) == 0 {
		errs = append(errs, errors.New("PRICE_PYTH_FEEDS is empty: list MINT=ACCOUNT for the source pyth"))
	}
	if _, err := c.pythPrograms(); err != nil {
		errs = append(errs, err)
	}
	return errs
}

func (c UpdateConfig) pythPrograms() ([]solana.PublicKey, error) {
	if len(c.PythPrograms) == 0 {
		return pyth.Programs, nil
	}
	programs := make([]solana.PublicKey, len(c.PythPrograms))
	for i, text := range c.PythPrograms {
		var err error
		if programs[i], err = solana.PublicKeyFromBase58(text); err != nil {
			return nil, fmt.Errorf("PRICE_PYTH_PROGRAMS: %q is not a base58 public key of 32 bytes", text)
		}
	}
	return programs, nil
}

func (c UpdateConfig) validateOptimizer() []error {
	var errs []error
	if c.RouteOptimizerURL == "" {
		errs = append(errs, errors.New("ROUTE_OPTIMIZER_URL is empty: the source optimizer asks there"))
	}
	if pegs, err := c.pegs(); err == nil && pegs[c.QuoteMint] == 0 && !slices.Contains(c.Tokens, c.QuoteMint) {
		errs = append(errs, fmt.Errorf("PRICE_QUOTE_MINT: %q is neither in PRICE_TOKENS nor in PRICE_PEGS: what it is worth would not be known", c.QuoteMint))
	}
	if len(c.QuoteSizes) == 0 || slices.ContainsFunc(c.QuoteSizes, func(usd float64) bool { return !(usd >= 1 && usd <= 1e7) }) {
		errs = append(errs, errors.New("PRICE_QUOTE_SIZES must be amounts from 1 to 10000000 US dollars"))
	}
	return errs
}

func (c UpdateConfig) pegs() (map[string]float64, error) {
	pegs := make(map[string]float64, len(c.Pegs))
	for _, item := range c.Pegs {
		mint, target, _ := strings.Cut(item, "=")
		usd, err := parsePrice(json.Number(target))
		if _, keyErr := solana.PublicKeyFromBase58(mint); keyErr != nil || err != nil {
			return nil, fmt.Errorf("PRICE_PEGS: %q is not MINT=USD", item)
		}
		pegs[mint] = usd
	}
	return pegs, nil
}

func (c UpdateConfig) rules() (rules, error) {
	pegs, err := c.pegs()
	policy := aggregate.DefaultPolicy
	policy.MinSources = min(c.MinSources, len(c.Sources))
	return rules{policy, agesOf(c.UpdateInterval), pegs}, err
}
