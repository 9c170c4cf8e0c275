package chain

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/gagliardetto/solana-go"
	"github.com/gagliardetto/solana-go/rpc"
	"golang.org/x/sync/errgroup"

	"jupiter-dex-integration/src/amm"
)

// MaxDiscoverMints bounds a discovery: its calls grow with the square of the mints.
const MaxDiscoverMints = 16

// discoverCalls is how many scans are asked for at a time. A node works hard at each, and many refuse them altogether.
const discoverCalls = 2

const scanTimeout = time.Minute

// Discover finds the pools of programs that trade two of mints for one another, by getProgramAccounts with filters on the pool's
// size, its discriminator and both mints. It returns what it found, each pool once and in a stable order, even where some
// programs could not be scanned: the error names those.
func (e *Endpoints) Discover(ctx context.Context, programs []amm.Program, mints []solana.PublicKey) ([]solana.PublicKey, error) {
	if len(mints) < 2 || len(mints) > MaxDiscoverMints {
		return nil, fmt.Errorf("%d mints: 2 to %d are wanted", len(mints), MaxDiscoverMints)
	}
	type scan struct {
		program amm.Program
		a, b    solana.PublicKey
	}
	var scans []scan
	for _, program := range programs {
		for _, a := range mints {
			for _, b := range mints {
				if a != b {
					scans = append(scans, scan{program, a, b})
				}
			}
		}
	}
	found := make([][]solana.PublicKey, len(scans))
	var mu sync.Mutex
	refused := map[solana.PublicKey]error{} // by program: one that cannot be scanned for a pair cannot be for the next
	var g errgroup.Group
	g.SetLimit(discoverCalls)
	for i, s := range scans {
		mu.Lock()
		_, skip := refused[s.program.ID()]
		mu.Unlock()
		if skip || ctx.Err() != nil {
			continue
		}
		g.Go(func() error {
			var err error
			if found[i], err = e.programPools(ctx, s.program, s.a, s.b); err != nil {
				mu.Lock()
				refused[s.program.ID()] = fmt.Errorf("%s (%s): %w", s.program.Label(), s.program.ID(), err)
				mu.Unlock()
			}
			return nil
		})
	}
	g.Wait()
	var pools []solana.PublicKey
	seen := map[solana.PublicKey]bool{}
	for _, list := range found {
		for _, pool := range list {
			if !seen[pool] {
				seen[pool] = true
				pools = append(pools, pool)
			}
		}
	}
	errs := []error{ctx.Err()}
	for _, err := range refused {
		errs = append(errs, err)
	}
	return pools, errors.Join(errs...)
}

// programPools asks for the addresses, and no data, of a program's pools with a as the first mint and b as the second.
func (e *Endpoints) programPools(ctx context.Context, program amm.Program, a, b solana.PublicKey) ([]solana.PublicKey, error) {
	layout := program.Layout()
	at := func(offset uint64, data []byte) rpc.RPCFilter {
		return rpc.RPCFilter{Memcmp: &rpc.RPCFilterMemcmp{Offset: offset, Bytes: data}}
	}
	filters := []rpc.RPCFilter{at(layout.Mints[0], a[:]), at(layout.Mints[1], b[:])}
	if layout.Size > 0 {
		filters = append(filters, rpc.RPCFilter{DataSize: layout.Size})
	}
	if len(layout.Discriminator) > 0 {
		filters = append(filters, at(0, layout.Discriminator))
	}
	var nothing uint64
	var pools []solana.PublicKey
	err := e.within(ctx, scanTimeout, "getProgramAccounts", func(ctx context.Context, c *rpc.Client) (uint64, error) {
		accounts, err := c.GetProgramAccountsWithOpts(ctx, program.ID(), &rpc.GetProgramAccountsOpts{
			Commitment: Commitment, Encoding: solana.EncodingBase64,
			DataSlice: &rpc.DataSlice{Offset: &nothing, Length: &nothing}, Filters: filters,
		})
		if err != nil {
			return 0, err
		}
		pools = pools[:0]
		for _, account := range accounts {
			pools = append(pools, account.Pubkey)
		}
		return 0, nil
	})
	return pools, err
}
