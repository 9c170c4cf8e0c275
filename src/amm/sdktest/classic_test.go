package sdktest

import (
	"math"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/raydiumamm"
	"jupiter-dex-integration/src/amm/saber"
	"jupiter-dex-integration/src/amm/tokenswap"
)

// The programs that take SPL Token's mints only, and whose SDKs do not quote.
var (
	raydiumAMM    = solana.MustPublicKeyFromBase58("675kPX9MHTjS2zt1qfr1NYHuzeLXfQM9H24wFSUt1Mp8")
	orcaTokenSwap = solana.MustPublicKeyFromBase58("9W959DqEETiGZocYWCQPaJ6sBmUzgfxXfqGeTEdp3aQP")
	saberSwap     = solana.MustPublicKeyFromBase58("SSwpkEEcbUqx4vtoEByFjSkhKdCT862DNVb52nZg1UZ")
)

// classicTokens adds two mints of the same decimals, and the vaults.
func (d dice) classicTokens(accounts amm.Accounts, mints, vaults [2]solana.PublicKey, owner solana.PublicKey, balances [2]uint64) {
	decimals := uint8(d.IntN(13))
	for i, mint := range mints {
		account := d.mint(true)
		account.Data[44] = decimals
		accounts[mint] = account
		accounts[vaults[i]] = tokenAccount(mint, owner, account, balances[i])
	}
}

// raydiumAMM draws a pool without an order book.
func (d dice) raydiumAMM(id solana.PublicKey) market {
	pool, mints, vaults := d.key(), d.keys(), d.keys()
	authority, nonce := address(id, []byte("amm authority"))
	state := make(image, 752)
	state.u64(0, pick[uint64](d, 6, 7))
	state.u64(8, uint64(nonce))
	for _, field := range []struct {
		at    int
		value uint64
	}{{16, 7}, {24, 3}, {48, 1}, {96, 1}, {104, 1}, {120, 1_000_000_000}, {128, 5}, {136, 10_000}, {144, 25}, {152, 10_000}, {160, 12}, {168, 100}} {
		state.u64(field.at, field.value)
	}
	state.u64(176, pick[uint64](d, 25, 25, 1, 30, 100, 1000))
	state.u64(184, 10_000)
	state.u64(224, uint64(now.UnixTimestamp)-d.upTo(20))
	var balances [2]uint64
	for i := range balances {
		owed := d.upTo(40) - 1
		state.u64(192+8*i, owed)
		balances[i] = owed + d.upTo(60)
		state.key(336+32*i, vaults[i])
		state.key(400+32*i, mints[i])
	}
	for _, at := range []int{464, 496, 528, 560, 592, 688} {
		state.key(at, d.key())
	}
	m := market{program: raydiumamm.New(id), pool: pool, accounts: amm.Accounts{pool: state.owned(id)}}
	d.classicTokens(m.accounts, mints, vaults, authority, balances)
	return m
}

// tokenSwap draws a pool of constant product, or a stable one.
func (d dice) tokenSwap(id solana.PublicKey) market {
	pool, mints, vaults, lp, fees := d.key(), d.keys(), d.keys(), d.key(), d.key()
	authority, bump := address(id, pool[:])
	balances := [2]uint64{d.upTo(60), d.upTo(60)}
	state := make(image, 324)
	state.u8(0, 1)
	state.u8(1, 1)
	state.u8(2, bump)
	state.key(3, solana.TokenProgramID)
	for i := range 2 {
		state.key(35+32*i, vaults[i])
		state.key(131+32*i, mints[i])
	}
	state.key(99, lp)
	state.key(195, fees)
	state.u64(227, pick[uint64](d, 0, 20, 25, 300))
	state.u64(235, 10_000)
	state.u64(243, pick[uint64](d, 0, 5, 30))
	state.u64(251, 10_000)
	state.u64(267, 1)
	state.u64(275, 20)
	state.u64(283, 100)
	if d.chance(0.5) { // stable
		balances[1] = 1 + d.Uint64N(4*balances[0])
		state.u8(291, 2)
		state.u64(292, pick(d, 1, 10, 100, 2000, d.upTo(17)))
	}

	m := market{program: tokenswap.New(id), pool: pool, accounts: amm.Accounts{pool: state.owned(id)}}
	d.classicTokens(m.accounts, mints, vaults, authority, balances)
	shares := d.mint(true)
	share := image(shares.Data)
	share.u32(0, 1) // may be minted by
	share.key(4, authority)
	share.u64(36, d.upTo(50))
	m.accounts[lp] = shares
	m.accounts[fees] = tokenAccount(lp, d.key(), shares, 0)
	return m
}

// saber draws a pool whose amplification may be moving.
func (d dice) saber(id solana.PublicKey) market {
	pool, mints, vaults, fees := d.key(), d.keys(), d.keys(), d.keys()
	authority, nonce := address(id, pool[:])
	balances := [2]uint64{d.upTo(55), 0}
	balances[1] = 1 + d.Uint64N(8*balances[0])
	state := make(image, 395)
	state.u8(0, 1)
	state.u8(2, nonce)
	for _, at := range []int{3, 11} {
		state.u64(at, pick(d, 1, 10, 100, 1000, 100_000, d.upTo(19)))
	}
	state.u64(19, uint64(now.UnixTimestamp)-d.upTo(18))
	state.u64(27, uint64(now.UnixTimestamp)+d.upTo(18)-pick[uint64](d, 0, 1<<17))
	for i := range 2 {
		state.key(107+32*i, vaults[i])
		state.key(203+32*i, mints[i])
		state.key(267+32*i, fees[i])
	}
	for _, at := range []int{331, 347, 363, 379} {
		state.u64(at, pick(d, 0, 1, 4, d.Uint64N(1000)))
		state.u64(at+8, pick[uint64](d, 1000, 10_000, 10_000_000))
	}
	m := market{program: saber.New(id), pool: pool, accounts: amm.Accounts{pool: state.owned(id)}}
	d.classicTokens(m.accounts, mints, vaults, authority, balances)
	for i, mint := range mints {
		m.accounts[fees[i]] = tokenAccount(mint, d.key(), m.accounts[mint], 0)
	}
	return m
}

// oldRounding says that a build of Raydium's AMM before August 2025, of which the public binary is one, charges nothing where a fee is less than a unit.
func oldRounding(o order) bool {
	in := o.In
	if o.err != nil && o.ExactOut {
		in = math.MaxUint64
	}
	return in < 10_000
}
