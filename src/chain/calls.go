package chain

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/gagliardetto/solana-go"
	alt "github.com/gagliardetto/solana-go/programs/address-lookup-table"
	"github.com/gagliardetto/solana-go/rpc"

	"jupiter-dex-integration/src/amm"
)

// LatestBlockhash is a blockhash for a new transaction and the last block height at which it is good.
func (e *Endpoints) LatestBlockhash(ctx context.Context) (hash solana.Hash, lastValidBlockHeight uint64, err error) {
	err = e.do(ctx, "getLatestBlockhash", func(ctx context.Context, c *rpc.Client) (uint64, error) {
		res, err := c.GetLatestBlockhash(ctx, Commitment)
		if err != nil {
			return 0, err
		}
		if res.Value == nil {
			return 0, fmt.Errorf("no blockhash in the answer")
		}
		hash, lastValidBlockHeight = res.Value.Blockhash, res.Value.LastValidBlockHeight
		return res.Context.Slot, nil
	})
	return hash, lastValidBlockHeight, err
}

// RecentPriorityFees are what transactions that wrote the accounts lately paid at least, in micro-lamports per compute unit, one for each
// of the last 150 blocks or so.
func (e *Endpoints) RecentPriorityFees(ctx context.Context, accounts []solana.PublicKey) (fees []uint64, err error) {
	const maxAccounts = 128
	accounts = accounts[:min(len(accounts), maxAccounts)]
	err = e.do(ctx, "getRecentPrioritizationFees", func(ctx context.Context, c *rpc.Client) (uint64, error) {
		res, err := c.GetRecentPrioritizationFees(ctx, accounts)
		if err != nil {
			return 0, err
		}
		fees = make([]uint64, len(res))
		for i, f := range res {
			fees[i] = f.PrioritizationFee
		}
		return 0, nil
	})
	return fees, err
}

// Accounts reads up to 100 accounts at one slot. What does not exist is nil.
func (e *Endpoints) Accounts(ctx context.Context, keys []solana.PublicKey) ([]*amm.Account, error) {
	var accounts []*amm.Account
	err := e.do(ctx, "getMultipleAccounts", func(ctx context.Context, c *rpc.Client) (uint64, error) {
		res, err := c.GetMultipleAccountsWithOpts(ctx, keys, &rpc.GetMultipleAccountsOpts{Encoding: solana.EncodingBase64, Commitment: Commitment})
		if err != nil {
			return 0, err
		}
		if len(res.Value) != len(keys) {
			return 0, fmt.Errorf("%d accounts were asked for, %d came", len(keys), len(res.Value))
		}
		accounts = make([]*amm.Account, len(keys))
		for i, a := range res.Value {
			accounts[i] = fromRPC(a)
		}
		return res.Context.Slot, nil
	})
	return accounts, err
}

// LookupTables reads address lookup tables.
func (e *Endpoints) LookupTables(ctx context.Context, keys []solana.PublicKey) (map[solana.PublicKey]solana.PublicKeySlice, error) {
	accounts, err := e.Accounts(ctx, keys)
	if err != nil {
		return nil, err
	}
	tables := map[solana.PublicKey]solana.PublicKeySlice{}
	for i, a := range accounts {
		if a == nil || a.Owner != solana.AddressLookupTableProgramID {
			return nil, fmt.Errorf("%s is not an address lookup table", keys[i])
		}
		state, err := alt.DecodeAddressLookupTableState(a.Data)
		if err != nil {
			return nil, fmt.Errorf("address lookup table %s: %w", keys[i], err)
		}
		if state.IsActive() {
			tables[keys[i]] = state.Addresses
		}
	}
	return tables, nil
}

// Simulation is what a node says a transaction would do.
type Simulation struct {
	UnitsConsumed uint64
	// Failure is the transaction's error in the node's words, "" for success.
	Failure string
	Logs    []string
}

// Simulate runs an unsigned transaction without sending it. The error is of the call, not of the transaction.
func (e *Endpoints) Simulate(ctx context.Context, tx *solana.Transaction) (sim Simulation, err error) {
	err = e.do(ctx, "simulateTransaction", func(ctx context.Context, c *rpc.Client) (uint64, error) {
		res, err := c.SimulateTransactionWithOpts(ctx, tx, &rpc.SimulateTransactionOpts{Commitment: Commitment, ReplaceRecentBlockhash: true})
		if err != nil {
			return 0, err
		}
		if res.Value == nil {
			return 0, fmt.Errorf("no value in the answer")
		}
		sim = Simulation{Logs: res.Value.Logs}
		if res.Value.UnitsConsumed != nil {
			sim.UnitsConsumed = *res.Value.UnitsConsumed
		}
		if res.Value.Err != nil {
			text, err := json.Marshal(res.Value.Err)
			if err != nil {
				return 0, err
			}
			sim.Failure = string(text)
		}
		return res.Context.Slot, nil
	})
	return sim, err
}
