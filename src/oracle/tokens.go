package oracle

import (
	"context"
	"slices"
	"sync"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
)

// accountReader is a Solana RPC.
type accountReader interface {
	// Accounts reads up to maxAccounts accounts at one slot. What does not exist is nil.
	Accounts(ctx context.Context, keys []solana.PublicKey) ([]*amm.Account, error)
}

// maxAccounts is the limit of getMultipleAccounts.
const maxAccounts = 100

// readAccounts reads any number of accounts.
func readAccounts(ctx context.Context, r accountReader, keys []solana.PublicKey) ([]*amm.Account, error) {
	all := make([]*amm.Account, 0, len(keys))
	for batch := range slices.Chunk(keys, maxAccounts) {
		accounts, err := r.Accounts(ctx, batch)
		if err != nil {
			return nil, err
		}
		all = append(all, accounts...)
	}
	return all, nil
}

// decimals knows how many decimals tokens have: from earlier prices, or from the mints themselves.
type decimals struct {
	book     *book
	accounts accountReader // nil: there is no RPC

	mu   sync.Mutex
	read map[string]uint8
}

// mintDecimalsOffset is where a mint account of the token program (and of Token-2022) has its decimals: after
// mint authority (4+32) and supply (8).
const (
	mintDecimalsOffset = 44
	mintSize           = 82
)

// of returns the decimals of mints as far as they can be known. A mint does not change, so that each is read once.
func (d *decimals) of(ctx context.Context, mints []string) (map[string]uint8, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	known, entries := make(map[string]uint8, len(mints)), d.book.snapshot()
	var unknown []string
	var keys []solana.PublicKey
	for _, mint := range mints {
		if v, ok := d.read[mint]; ok {
			known[mint] = v
		} else if e := entries[mint]; e.Decimals != nil {
			known[mint] = *e.Decimals
		} else if key, err := solana.PublicKeyFromBase58(mint); err == nil {
			unknown, keys = append(unknown, mint), append(keys, key)
		}
	}
	if len(keys) == 0 || d.accounts == nil {
		return known, nil
	}
	accounts, err := readAccounts(ctx, d.accounts, keys)
	if err != nil {
		return known, err
	}
	for i, a := range accounts {
		if a != nil && len(a.Data) >= mintSize && (a.Owner == solana.TokenProgramID || a.Owner == solana.Token2022ProgramID) {
			known[unknown[i]] = a.Data[mintDecimalsOffset]
			d.read[unknown[i]] = a.Data[mintDecimalsOffset]
		}
	}
	return known, nil
}
