package sdktest

import (
	"maps"
	"math/big"
	"slices"
	"strconv"
	"testing"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/whirlpool"
)

// The ticks of all programs with concentrated liquidity.
const (
	minTick = -443636
	maxTick = 443636
)

// ladder is concentrated liquidity: the ticks where it changes, and where the pool stands.
type ladder struct {
	spacing, tick int32
	price         *big.Int
	liquidity     *big.Int
	ticks         map[int32]*rung
}

// rung is an initialised tick.
type rung struct{ net, gross *big.Int }

// ladder draws positions within some arrays of arrayTicks on either side of the pool's tick. The price is within the tick, at its start, or, as
// a falling price leaves it, at the start of the tick above. The tick is at most highest.
func (d dice) ladder(spacing, arrayTicks, highest int32, price prices) ladder {
	l := ladder{spacing: spacing, ticks: map[int32]*rung{}}
	l.tick = d.between(-60_000, 60_000)
	if d.chance(0.3) {
		l.tick = d.between(minTick+1, highest)
	}
	bits := pick(d, 20, 40, 55, 64, 90)
	type position struct {
		lower, upper int32
		liquidity    *big.Int
	}
	limit := maxTick / spacing * spacing
	at := func(tick int32) int32 { return max(-limit, min(floorDiv(tick, spacing)*spacing, limit)) }
	var positions []position
	for range 1 + d.IntN(40) {
		reach := func() int32 { return int32(d.upTo(9)) * arrayTicks * spacing / 128 }
		p := position{at(l.tick - reach()), at(l.tick + reach() + spacing), d.wide(1 + d.IntN(bits))}
		switch {
		case d.chance(0.1):
			p.lower, p.upper = -limit, limit
		case d.chance(0.1): // above or below the price
			move := pick[int32](d, -1, 1) * (p.upper - p.lower)
			p.lower, p.upper = at(p.lower+move), at(p.upper+move)
		}
		if p.lower < p.upper {
			positions = append(positions, p)
		}
	}
	for _, p := range positions {
		for tick, sign := range map[int32]int64{p.lower: 1, p.upper: -1} {
			r := l.ticks[tick]
			if r == nil {
				r = &rung{new(big.Int), new(big.Int)}
				l.ticks[tick] = r
			}
			r.gross.Add(r.gross, p.liquidity)
			r.net.Add(r.net, new(big.Int).Mul(p.liquidity, big.NewInt(sign)))
		}
	}
	if initialised := slices.Sorted(maps.Keys(l.ticks)); len(initialised) > 0 && d.chance(0.2) {
		l.tick = min(max(pick(d, initialised...), minTick+1), highest)
	}
	bounds := price(0, l.tick, l.tick+1)
	switch d.IntN(5) {
	case 0:
		l.price = bounds[0]
	case 1:
		l.price = bounds[1]
	default: // away from the next tick's start, which is the next tick's
		width := new(big.Int).Sub(bounds[1], bounds[0])
		l.price = bounds[0].Add(bounds[0], width.Mul(width, big.NewInt(d.Int64N(1000))).Div(width, big.NewInt(1000)))
	}
	l.liquidity = new(big.Int)
	for _, p := range positions {
		if p.lower <= l.tick && l.tick < p.upper {
			l.liquidity.Add(l.liquidity, p.liquidity)
		}
	}
	return l
}

// around are the starts of the arrays near the pool's tick.
func (l *ladder) around(arrayTicks int32) (starts []int32) {
	span := arrayTicks * l.spacing
	for n := int32(-3); n <= 3; n++ {
		if start := (floorDiv(l.tick, span) + n) * span; start+span > minTick && start <= maxTick {
			starts = append(starts, start)
		}
	}
	return starts
}

func floorDiv(a, b int32) int32 {
	if q := a / b; a%b >= 0 {
		return q
	}
	return a/b - 1
}

const whirlpoolTicks = 88

// whirlpool2026 is the immutable deployment, with adaptive fees and dynamic tick arrays; whirlpool2024 is the first, of which an older build is public.
var (
	whirlpool2024 = solana.MustPublicKeyFromBase58("whirLbMiicVdio4qvUfM5KAg6Ct8VwpYzGff3uctyCc")
	whirlpool2026 = solana.MustPublicKeyFromBase58("iwhrLHdsgrvmnwU8GF2FSmyabSMjfHwFGJAX2ufJ3ZN")
)

// whirlpool draws a pool of the program at id. The build of 2026 has adaptive fees and dynamic tick arrays, too.
func (d dice) whirlpool(id solana.PublicKey, modern bool, price prices) market {
	spacing := pick[uint16](d, 1, 2, 4, 8, 16, 64, 96, 128, 256, 32896)
	adaptive := modern && spacing < 32768 && d.chance(0.4)
	l := d.ladder(int32(spacing), whirlpoolTicks, maxTick-1, price)

	tier := spacing
	if adaptive {
		tier += 1024
	}
	config, mints, vaults := d.key(), d.keys(), d.keys()
	pool, bump := address(id, []byte("whirlpool"), config[:], mints[0][:], mints[1][:], []byte{byte(tier), byte(tier >> 8)})
	state := newImage(653, "3f95d10ce1806309")
	state.key(8, config)
	state.u8(40, bump)
	state.u16(41, spacing)
	state.u16(43, tier)
	state.u16(45, pick[uint16](d, 0, 1, 100, 400, 3000, 10_000, 60_000))
	state.u16(47, pick[uint16](d, 0, 300, 1300, 2500))
	state.i128(49, l.liquidity)
	state.i128(65, l.price)
	state.u32(81, uint32(l.tick))
	state.u64(261, uint64(now.UnixTimestamp)-d.upTo(20))
	for i, at := range []int{101, 181} {
		state.key(at, mints[i])
		state.key(at+32, vaults[i])
	}
	m := market{program: whirlpool.New(id), pool: pool, accounts: amm.Accounts{pool: state.owned(id)}}
	d.tokens(m.accounts, mints, vaults, pool, [2]uint64{1 << 62, 1 << 62})

	sparse := d.chance(0.5)
	for _, start := range l.around(whirlpoolTicks) {
		if data := d.whirlpoolArray(pool, &l, start, modern && d.chance(0.5), sparse); data != nil {
			key, _ := address(id, []byte("tick_array"), pool[:], strconv.AppendInt(nil, int64(start), 10))
			m.accounts[key] = data.owned(id)
		}
	}
	if adaptive {
		key, _ := address(id, []byte("oracle"), pool[:])
		m.accounts[key] = d.whirlpoolOracle(pool, int32(spacing), l.tick).owned(id)
	}
	return m
}

// whirlpoolArray is nil for an array without initialised ticks where sparse says so.
func (d dice) whirlpoolArray(pool solana.PublicKey, l *ladder, start int32, dynamic, sparse bool) image {
	const size = 113
	bitmap := new(big.Int)
	var ticks image
	for i := range whirlpoolTicks {
		tick := make(image, size)
		if r := l.ticks[start+int32(i)*l.spacing]; r != nil {
			bitmap.SetBit(bitmap, i, 1)
			tick.u8(0, 1)
			tick.i128(1, r.net)
			tick.i128(17, r.gross)
		} else if dynamic {
			tick = tick[:1]
		}
		ticks = append(ticks, tick...)
	}
	if sparse && bitmap.Sign() == 0 {
		return nil
	}
	var array image
	if dynamic {
		array = newImage(60, "11d8f68ee1c7da38")
		array.key(12, pool)
		array.i128(44, bitmap)
		array = append(array, ticks...)
	} else {
		array = append(newImage(12, "4561bdbe6e0742bb"), ticks...)
		array = append(array, pool[:]...)
	}
	array.u32(8, uint32(start))
	return array
}

func (d dice) whirlpoolOracle(pool solana.PublicKey, spacing, tick int32) image {
	group := spacing
	for divisor := 1 + d.Int32N(8); spacing%divisor == 0 && d.chance(0.5); divisor = 1 + d.Int32N(8) {
		group = spacing / divisor
	}
	maximum := uint32(min(d.upTo(20), (1<<32-1)/uint64(group)))
	filter := 1 + d.between(0, 100)
	oracle := newImage(254, "8bc283b38cb3e5f4")
	oracle.key(8, pool)
	oracle.u64(40, uint64(now.UnixTimestamp)-d.upTo(20))
	oracle.u16(48, uint16(filter))
	oracle.u16(50, uint16(filter+1+d.between(0, 1000)))
	oracle.u16(52, uint16(d.IntN(10_000)))
	oracle.u32(54, pick(d, 0, 1, 1500, 4000, uint32(d.IntN(100_000))))
	oracle.u32(58, maximum)
	oracle.u16(62, uint16(group))
	oracle.u16(64, uint16(1+d.IntN(int(spacing)*88)))
	oracle.u64(82, uint64(now.UnixTimestamp)-d.upTo(12))
	oracle.u64(90, uint64(now.UnixTimestamp)-d.upTo(12))
	oracle.u32(98, d.Uint32N(maximum+1))
	oracle.u32(102, uint32(floorDiv(max(minTick, min(tick+d.between(-40, 40)*group, maxTick)), group)))
	oracle.u32(106, d.Uint32N(maximum+1))
	return oracle
}

// whirlpoolDeviation: of an exact input that pays a transfer fee the SDK tells the least amount of which as much arrives, and an exact output that the
// range of prices cannot fill it quotes in part, where the program fails with PartialFillError.
func whirlpoolDeviation(t testing.TB, m market, pool amm.Pool, ours outcome, theirs answer) string {
	switch fee := inFee(t, m, pool, ours.AToB); {
	case theirs.Error != "":
	case ours.ExactOut && ours.err == amm.ErrInsufficientLiquidity && theirs.Out < ours.Amount:
		return "part of an exact output"
	case !ours.ExactOut && ours.err == nil && ours.Out == theirs.Out && theirs.In < ours.In && fee.Net(theirs.In) == fee.Net(ours.In):
		return "input before the transfer fee"
	}
	return ""
}
