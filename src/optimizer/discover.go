package optimizer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/chain"
	"jupiter-dex-integration/src/platform"
)

// discoverTimeout bounds a discovery as a whole; each call has chain's own bound.
const discoverTimeout = 10 * time.Minute

// DiscoverConfig is the configuration of the discover command.
type DiscoverConfig struct {
	ClusterConfig
	// Tokens are the mints among which pools are looked for.
	Tokens []string `env:"DISCOVER_TOKENS,required"`
}

// Validate checks every variable and names all that are wrong.
func (c DiscoverConfig) Validate() error {
	var errs []error
	if _, err := c.programs(); err != nil {
		errs = append(errs, fmt.Errorf("NETWORK, AMM_PROGRAM_IDS: %w", err))
	}
	if _, err := chain.NewEndpoints(c.RPCURLs, nil); err != nil {
		errs = append(errs, fmt.Errorf("SOLANA_RPC_URL: %w", err))
	}
	if _, err := c.mints(); err != nil {
		errs = append(errs, fmt.Errorf("DISCOVER_TOKENS: %w", err))
	}
	return errors.Join(errs...)
}

func (c DiscoverConfig) mints() ([]solana.PublicKey, error) {
	var mints []solana.PublicKey
	for _, text := range c.Tokens {
		mint, err := solana.PublicKeyFromBase58(text)
		if err != nil {
			return nil, fmt.Errorf("%q is not a mint: base58 of 32 bytes is wanted", text)
		}
		mints = append(mints, mint)
	}
	if len(mints) < 2 || len(mints) > chain.MaxDiscoverMints {
		return nil, fmt.Errorf("%d mints: 2 to %d are wanted", len(mints), chain.MaxDiscoverMints)
	}
	return mints, nil
}

// Discover prints the pools between the tokens as a market file, for MARKET_FILE. It is a command and not a part of the
// service: a scan is expensive for a node, many refuse it, and a list in Git says what is routed over and when that changed.
// What could not be scanned is an error after the list is printed.
func Discover(ctx context.Context, cfg DiscoverConfig, p *platform.Process) error {
	endpoints, err := chain.NewEndpoints(cfg.RPCURLs, cfg.RPCAuth.Value)
	if err != nil {
		return fmt.Errorf("SOLANA_RPC_URL: %w", err)
	}
	programs, err := cfg.programs()
	if err != nil {
		return fmt.Errorf("NETWORK: %w", err)
	}
	mints, err := cfg.mints()
	if err != nil {
		return fmt.Errorf("DISCOVER_TOKENS: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, discoverTimeout)
	defer cancel()
	pools, err := endpoints.Discover(ctx, programs, mints)
	p.Log.Info("discovered", "pools", len(pools), "programs", len(programs), "tokens", len(mints))
	if len(pools) > 0 {
		list, encodeErr := json.MarshalIndent(pools, "", "  ")
		if encodeErr != nil {
			return encodeErr
		}
		fmt.Fprintln(os.Stdout, string(list))
	}
	if err != nil {
		return fmt.Errorf("not everything could be scanned; a node of your own may allow what this one refuses: %w", err)
	}
	return nil
}
