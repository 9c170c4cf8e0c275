package sdktest

import (
	"math/big"
	"testing"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/pumpswap"
)

var (
	pumpSwap = solana.MustPublicKeyFromBase58("pAMMBay6oceH9fJKBRHGP5D4bD4sWpmSwMn52FMfXEA")
	pumpFees = solana.MustPublicKeyFromBase58("pfeeUxB6jkeY1Hxd7CsFCAjcbHA9rWtchMGdZ6VojVZ")
	pump     = solana.MustPublicKeyFromBase58("6EF8rrecthR5Dkzon8Nwu78hRvfCKubJ14M5uBEwF6P")
	usdc     = solana.MustPublicKeyFromBase58("EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v")
)

// pumpSwap draws a pool of some coin, canonical or not, with an account of any length that the program has had.
func (d dice) pumpSwap(id solana.PublicKey) market {
	pool, mints, vaults := d.key(), [2]solana.PublicKey{d.key(), pick(d, solana.WrappedSol, solana.WrappedSol, usdc, d.key())}, d.keys()
	creator := d.key()
	if d.chance(0.6) {
		creator, _ = address(pump, []byte("pool-authority"), mints[0][:])
	}
	balances := [2]uint64{d.upTo(60), d.upTo(60)}
	virtual := new(big.Int)
	if d.chance(0.4) {
		virtual.SetInt64(int64(d.upTo(60)))
		if d.chance(0.5) {
			virtual.SetInt64(-int64(d.Uint64N(balances[1])))
		}
	}

	state := newImage(301, "f19a6d0411b16dbc")
	state.key(11, creator)
	for i := range 2 {
		state.key(43+32*i, mints[i])
		state.key(139+32*i, vaults[i])
	}
	state.u64(203, d.upTo(60))
	if d.chance(0.6) {
		state.key(211, d.key())
	}
	state.u8(243, uint8(d.IntN(2)))
	state.u8(244, uint8(d.IntN(2)))
	state.i128(245, virtual)
	state.u64(261, pick(d, 0, 0, d.Uint64N(2000)))
	state = state[:pick(d, 211, 243, 244, 245, 261, 270, 301, 301)]

	config := newImage(949, "95089ccaa0fcb0d9")
	config.u64(40, 20)
	config.u64(48, 5)
	config.u8(940, uint8(d.IntN(2)))
	configKey, _ := address(id, []byte("global_config"))
	feeConfigKey, _ := address(pumpFees, []byte("fee_config"), id[:])

	m := market{program: pumpswap.New(id), pool: pool, accounts: amm.Accounts{
		pool: state.owned(id), configKey: config.owned(id), feeConfigKey: d.pumpFees().owned(pumpFees),
	}}
	for i, mint := range mints {
		account := d.mint(true)
		image(account.Data).u64(36, d.upTo(60))
		m.accounts[mint] = account
		m.accounts[vaults[i]] = tokenAccount(mint, pool, account, balances[i])
	}
	return m
}

// pumpFees draws the three schedules, in an account of any of the three lengths.
func (d dice) pumpFees() image {
	config := newImage(4097, "8f3492bbdb7b4c9b")
	at := 41
	fees := func() {
		for range 3 {
			config.u64(at, pick(d, 0, d.Uint64N(100), d.Uint64N(100), d.Uint64N(3000)))
			at += 8
		}
	}
	tiers := func(n int) {
		config.u32(at, uint32(n))
		at += 4
		threshold := new(big.Int)
		for range n {
			config.i128(at, threshold)
			threshold.Add(threshold, d.wide(pick(d, 30, 60, 80)))
			at += 16
			fees()
		}
	}
	fees()
	tiers(1 + d.IntN(30))
	tiers(d.IntN(30))
	if d.chance(0.5) {
		fees()
	}
	return config[:pick(d, 2512, 4073, 4097)]
}

// pumpSwapDeviation: the SDK goes on where the fees leave nothing, or less, of what a buyer pays.
func pumpSwapDeviation(t testing.TB, m market, pool amm.Pool, ours outcome, theirs answer) string {
	if theirs.Error == "" && ours.err == amm.ErrZeroAmount && *theirs.Fee >= theirs.In {
		return "all is fees"
	}
	return ""
}
