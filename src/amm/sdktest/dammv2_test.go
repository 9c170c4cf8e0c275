package sdktest

import (
	"math"
	"math/big"
	"testing"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/dammv2"
)

var meteoraDAMM = solana.MustPublicKeyFromBase58("cpamdpZCGKUy5JxQXB4dcpGPiikHawvSWAd6mEn1sGG")

// How a pool collects fees.
const (
	onOutput = iota
	onlyB
	compounding
)

// dammV2 draws a pool: one range of prices, or a constant product with the fees in it.
func (d dice) dammV2(id solana.PublicKey) market {
	pool, mints, vaults := d.key(), d.keys(), d.keys()
	authority, _ := address(id, []byte("pool_authority"))
	state := newImage(1112, "f19a6d0411b16dbc")
	for i := range 2 {
		state.key(168+32*i, mints[i])
		state.key(232+32*i, vaults[i])
	}
	byTime := d.IntN(2)
	elapsed := d.upTo(24)
	if byTime == 1 {
		state.u64(472, uint64(now.UnixTimestamp)-elapsed)
	} else {
		state.u64(472, now.Slot-elapsed)
	}
	collect := d.IntN(3)
	state.u8(480, uint8(byTime))
	state.u8(484, uint8(collect))
	state.u8(486, uint8(d.IntN(2)))
	state.u8(48, pick[uint8](d, 0, 20, 50, 100))
	state.u8(50, 20)
	if collect == compounding {
		state.u16(54, uint16(d.IntN(10_001)))
	}
	balances := d.dammCurve(state, collect)
	d.dammFee(state, collect)
	if d.chance(0.4) {
		d.dammVolatility(state[56:])
	}
	for i := range balances {
		state.u64(680+8*i, balances[i])
		balances[i] += d.upTo(40) // fees
	}
	state.u8(696, 1)

	m := market{program: dammv2.New(id), pool: pool, accounts: amm.Accounts{pool: state.owned(id)}}
	d.tokens(m.accounts, mints, vaults, authority, balances)
	for i, mint := range mints {
		if m.accounts[mint].Owner == solana.Token2022ProgramID {
			state.u8(482+i, 1)
		}
	}
	return m
}

// dammCurve writes prices and liquidity, and gives what they need of both tokens.
func (d dice) dammCurve(state image, collect int) (balances [2]uint64) {
	low, high := big.NewInt(4295048016), new(big.Int)
	high.SetString("79226673521066979257578248091", 10)
	price, liquidity := new(big.Int), new(big.Int)
	if collect == compounding {
		balances = [2]uint64{d.upTo(60), d.upTo(60)}
		a, b := new(big.Int).SetUint64(balances[0]), new(big.Int).SetUint64(balances[1])
		price.Sqrt(price.Div(price.Lsh(b, 128), a))
		liquidity.Lsh(liquidity.Sqrt(liquidity.Mul(a, b)), 64)
	} else {
		// A price within e^20 of 1, and a range that is all or within a few bits of it.
		price.Add(d.wide(64-20+d.IntN(40)), new(big.Int).Lsh(low, 10))
		if d.chance(0.5) {
			bits := uint(1 + d.IntN(12))
			low = new(big.Int).Sub(price, new(big.Int).Rsh(price, bits))
			high = new(big.Int).Add(price, new(big.Int).Rsh(price, bits))
		}
		for bits := 50 + d.IntN(79); bits > 0; bits-- {
			liquidity = d.wide(bits)
			width := new(big.Int).Sub(high, price)
			a := width.Mul(width, liquidity)
			a.Div(a, new(big.Int).Mul(price, high)).Add(a, big.NewInt(1))
			b := new(big.Int).Sub(price, low)
			b.Mul(b, liquidity).Rsh(b, 128).Add(b, big.NewInt(1))
			if a.BitLen() <= 62 && b.BitLen() <= 62 {
				balances = [2]uint64{a.Uint64(), b.Uint64()}
				break
			}
		}
	}
	state.i128(360, liquidity)
	state.i128(424, low)
	state.i128(440, high)
	state.i128(456, price)
	state.i128(152, price)
	return balances
}

// dammFee writes a base fee: constant, by time, by amount, or by price.
func (d dice) dammFee(state image, collect int) {
	const timeLinear, timeExponential, rateLimiter, capLinear, capExponential = 0, 1, 2, 3, 4
	base := state[8:]
	cliff := 100_000 + d.Uint64N(pick[uint64](d, 1_000_000, 50_000_000, 490_000_000))
	mode := pick(d, timeLinear, timeExponential, rateLimiter, capLinear, capExponential)
	if mode == rateLimiter && collect != onlyB {
		mode = timeLinear
	}
	base.u64(0, cliff)
	base.u8(8, uint8(mode))
	periods := 1 + d.Uint64N(200)
	reduction := d.Uint64N(cliff / periods)
	if mode == timeExponential || mode == capExponential {
		reduction = d.Uint64N(300)
	}
	switch mode {
	case rateLimiter:
		base.u16(14, uint16(1+d.IntN(1000)))
		base.u32(16, uint32(d.upTo(24)))
		base.u32(20, uint32(cliff/100_000)+d.Uint32N(5000))
		base.u64(24, d.upTo(45))
	case timeLinear, timeExponential:
		if d.chance(0.3) {
			return // constant
		}
		base.u16(14, uint16(periods))
		base.u64(16, d.upTo(18))
		base.u64(24, reduction)
	default:
		base.u16(14, uint16(periods))
		base.u32(16, 1+d.Uint32N(2000))
		base.u32(20, uint32(d.upTo(24)))
		base.u64(24, reduction)
		// The schedule began at a lower price, or at a higher one.
		price := new(big.Int)
		for i := 15; i >= 0; i-- {
			price.Lsh(price, 8).Or(price, big.NewInt(int64(state[456+i])))
		}
		state.i128(152, price.Mul(price, big.NewInt(int64(100+d.IntN(1200)))).Div(price, big.NewInt(1000)).Add(price, big.NewInt(1)))
	}
}

func (d dice) dammVolatility(fee image) {
	const unit = 1844674407370955 // a basis point in Q64.64
	maximum := d.upTo(23)
	fee.u8(0, 1)
	fee.u32(8, uint32(maximum))
	fee.u32(12, uint32(d.upTo(23)))
	fee.u16(16, 1)
	fee.u16(18, 10)
	fee.u16(20, 120)
	fee.u16(22, uint16(d.IntN(10_000)))
	fee.u64(24, uint64(now.UnixTimestamp)-d.upTo(12))
	fee.i128(32, big.NewInt(unit))
	fee.i128(48, new(big.Int).Lsh(d.wide(30), 40))
	fee.i128(64, new(big.Int).SetUint64(d.Uint64N(maximum+1)))
	fee.i128(80, new(big.Int).SetUint64(d.Uint64N(maximum+1)))
}

// dammV2Deviation: the SDK refuses an output of zero, which the program does not, sells nothing to who has nothing left after the transfer fee, and does not
// know that the program refuses more than a vault can hold.
func dammV2Deviation(t testing.TB, m market, pool amm.Pool, ours outcome, theirs answer) string {
	vault, _ := m.vaults(pool, ours.AToB)
	switch {
	case ours.err == nil && ours.Out == 0 && theirs.Error == "Amount out must be greater than 0":
		return "something for nothing"
	case theirs.Error != "":
	case ours.err == amm.ErrZeroAmount && theirs.Out == 0:
		return "nothing for nothing"
	case ours.err == amm.ErrOverflow && theirs.In > math.MaxUint64-vault:
		return "full vault"
	}
	return ""
}
