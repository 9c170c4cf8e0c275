package sdktest

import (
	"math"
	"testing"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/raydiumcpmm"
)

var raydiumCPMM = solana.MustPublicKeyFromBase58("CPMMoo8L3F4NbTegBCKVNunggL7H1ZpdTHKxQB5qKP1C")

// raydiumCPMM draws a pool whose vaults hold from a handful of units to 2^61, some of which are fees to collect.
func (d dice) raydiumCPMM(id solana.PublicKey) market {
	pool, config, observation, mints, vaults := d.key(), d.key(), d.key(), d.keys(), d.keys()
	authority, bump := address(id, []byte("vault_and_lp_mint_auth_seed"))

	rates := newImage(236, "daf42168cbcb2b6f")
	rates.u64(12, pick(d, 0, 1, 100, 2500, 10_000, 40_000, d.Uint64N(500_000)))
	rates.u64(20, pick(d, 0, 120_000, d.Uint64N(900_000)))
	rates.u64(28, pick(d, 0, 40_000, d.Uint64N(100_000)))
	rates.u64(108, pick(d, 0, 1, 500, 5000, d.Uint64N(500_000)))

	state := newImage(637, "f7ede3f5d7c3de46")
	state.key(8, config)
	for i := range 2 {
		state.key(72+32*i, vaults[i])
		state.key(168+32*i, mints[i])
	}
	state.key(296, observation)
	state.u8(328, bump)
	state.u64(333, d.upTo(60))
	state.u64(373, uint64(now.UnixTimestamp)-d.upTo(20))
	state.u64(381, now.Epoch)
	state.u8(389, uint8(d.IntN(3)))
	state.u8(390, uint8(d.IntN(2)))
	var balances [2]uint64
	for i := range balances {
		balances[i] = d.upTo(60)
		for _, at := range []int{341, 357, 397} { // protocol, fund and creator fees
			owed := pick(d, 0, d.upTo(10), d.upTo(40))
			state.u64(at+8*i, owed)
			balances[i] += owed
		}
	}

	history := newImage(4075, "7aaec5358109a584")
	history.u8(8, 1)
	history.key(11, pool)

	m := market{
		program: raydiumcpmm.New(id), pool: pool,
		accounts: amm.Accounts{pool: state.owned(id), config: rates.owned(id), observation: history.owned(id)},
	}
	d.tokens(m.accounts, mints, vaults, authority, balances)
	for i, mint := range mints {
		state.key(232+32*i, m.accounts[mint].Owner)
		state.u8(331+i, m.accounts[mint].Data[44])
	}
	return m
}

// raydiumCPMMDeviation: the SDK rounds up trade fee and creator fee each, where the program rounds up their sum, and it does not know what the program
// refuses: an output of zero, pools whose two rates are zero, as it divides by their sum, an inverse transfer fee that does not reproduce itself, and
// more than the input vault can hold.
func raydiumCPMMDeviation(t testing.TB, m market, pool amm.Pool, ours outcome, theirs answer) string {
	vault, _ := m.vaults(pool, ours.AToB)
	switch {
	case theirs.Error != "":
	case ours.err == amm.ErrZeroOutput && theirs.Out == 0:
		return "nothing for something"
	case ours.err == amm.ErrSwapDisabled && *theirs.Fee == 0:
		return "no fee to split"
	case ours.err == amm.ErrTransferFee:
		return "transfer fee without inverse"
	case ours.err == amm.ErrOverflow && theirs.In > math.MaxUint64-vault:
		return "full vault"
	case !ours.ExactOut && ours.err == nil && *theirs.Fee == ours.FeeIn+1 && theirs.Out <= ours.Out:
		return "two fees rounded up"
	}
	return ""
}
