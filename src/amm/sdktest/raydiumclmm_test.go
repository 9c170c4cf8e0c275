package sdktest

import (
	"encoding/binary"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/raydiumclmm"
)

var raydiumCLMM = solana.MustPublicKeyFromBase58("CAMMCzo5YL8w4VFF8KVHrK22GGUsp5VTaW7grrKgrWqK")

const raydiumTicks = 60

// raydiumCLMM draws a pool. The builds since May 2026 have dynamic fees, fees on one token and limit orders, too.
func (d dice) raydiumCLMM(id solana.PublicKey, modern bool, price prices) market {
	spacing := pick[uint16](d, 1, 2, 5, 10, 14, 15, 50, 60, 100, 120)
	l := d.ladder(int32(spacing), raydiumTicks, maxTick-2, price) // the price of maxTick is never reached
	orders := map[int32][2]uint64{}
	if modern && d.chance(0.5) {
		orders = d.limitOrders(&l)
	}

	config, observation, mints, vaults := d.key(), d.key(), d.keys(), d.keys()
	pool, bump := address(id, []byte("pool"), config[:], mints[0][:], mints[1][:])

	rates := newImage(117, "daf42168cbcb2b6f")
	rates.u32(43, 120_000)
	rates.u32(47, pick(d, 0, 1, 100, 400, 2500, 10_000, d.Uint32N(500_000)))
	rates.u16(51, spacing)
	rates.u32(53, 40_000)

	state := newImage(1544, "f7ede3f5d7c3de46")
	state.u8(8, bump)
	state.key(9, config)
	for i := range 2 {
		state.key(73+32*i, mints[i])
		state.key(137+32*i, vaults[i])
	}
	state.key(201, observation)
	state.u16(235, spacing)
	state.i128(237, l.liquidity)
	state.i128(253, l.price)
	state.u32(269, uint32(l.tick))
	state.u64(1080, uint64(now.UnixTimestamp)-d.upTo(20))
	state.u64(1088, now.Epoch)
	if modern {
		state.u8(390, uint8(d.IntN(3)))
		if d.chance(0.5) {
			d.volatility(state[1096:], l.spacing, l.tick)
		}
	}

	history := newImage(4483, "7aaec5358109a584")
	history.u8(8, 1)
	history.u64(9, now.Epoch)
	history.key(19, pool)

	m := market{
		program: raydiumclmm.New(id), pool: pool, traits: map[string]bool{"limit orders": len(orders) > 0},
		accounts: amm.Accounts{pool: state.owned(id), config: rates.owned(id), observation: history.owned(id)},
	}
	d.tokens(m.accounts, mints, vaults, pool, [2]uint64{1 << 62, 1 << 62})
	for i, mint := range mints {
		state.u8(233+i, m.accounts[mint].Data[44])
	}
	m.raydiumArrays(&l, orders, state)
	return m
}

// limitOrders are what is left of partly filled orders, and of others, by tick. Ticks of theirs are added to those of positions.
func (d dice) limitOrders(l *ladder) map[int32][2]uint64 {
	orders := map[int32][2]uint64{}
	for range 1 + d.IntN(20) {
		tick := floorDiv(l.tick, l.spacing)*l.spacing + d.between(-200, 200)*l.spacing
		if initialised := slices.Sorted(maps.Keys(l.ticks)); len(initialised) > 0 && d.chance(0.3) {
			tick = pick(d, initialised...)
		}
		if tick < minTick || tick > maxTick {
			continue
		}
		orders[tick] = [2]uint64{d.upTo(45) * d.Uint64N(2), d.upTo(50)}
		if l.ticks[tick] == nil {
			l.ticks[tick] = &rung{new(big.Int), new(big.Int)}
		}
	}
	return orders
}

// volatility writes a dynamic fee. The SDK squares the accumulator times the spacing as a float, which is exact to 94 million.
func (d dice) volatility(info image, spacing, tick int32) {
	maximum := uint32(min(d.upTo(20), 94_000_000/uint64(spacing)))
	filter := 1 + d.IntN(100)
	info.u16(0, uint16(filter))
	info.u16(2, uint16(filter+1+d.IntN(1000)))
	info.u16(4, uint16(1+d.IntN(9999)))
	info.u32(6, pick(d, 1, 1500, 4000, uint32(1+d.IntN(99_999))))
	info.u32(10, maximum)
	info.u32(14, uint32(floorDiv(tick, spacing)+d.between(-40, 40)))
	info.u32(18, d.Uint32N(maximum+1))
	info.u32(22, d.Uint32N(maximum+1))
	info.u64(26, uint64(now.UnixTimestamp)-d.upTo(12))
}

// raydiumArrays adds the arrays with initialised ticks, the bitmap extension, and both bitmaps' bits.
func (m market) raydiumArrays(l *ladder, orders map[int32][2]uint64, state image) {
	const bitmapAt, poolArrays, bitmapArrays = 904, 512, 512
	id, span := m.program.ID(), raydiumTicks*l.spacing
	extension := newImage(1832, "3c9624db61808b99")
	extension.key(8, m.pool)
	key, _ := address(id, []byte("pool_tick_array_bitmap_extension"), m.pool[:])
	m.accounts[key] = extension.owned(id)

	for tick, r := range l.ticks {
		number := floorDiv(tick, span)
		start := number * span
		key, _ := address(id, []byte("tick_array"), m.pool[:], binary.BigEndian.AppendUint32(nil, uint32(start)))
		account := m.accounts[key]
		if account == nil {
			array := newImage(10240, "c09b55cd31f9812a")
			array.key(8, m.pool)
			array.u32(40, uint32(start))
			array.u64(10125, now.Epoch)
			for i := range int32(raydiumTicks) {
				array.u32(44+168*int(i), uint32(start+i*l.spacing))
			}
			account = array.owned(id)
			m.accounts[key] = account
			// Bits are numbered upwards within each bitmap, and the extension's negative bitmaps downwards.
			switch bitmap := floorDiv(number, bitmapArrays); {
			case bitmap >= 1:
				setBit(extension[40:], number-poolArrays)
			case bitmap < -1:
				setBit(extension[936:], (-bitmap-2)*bitmapArrays+number-bitmap*bitmapArrays)
			default:
				setBit(state[bitmapAt:], number+poolArrays)
			}
		}
		array := image(account.Data)
		at := 44 + 168*int((tick-start)/l.spacing)
		array.i128(at+4, r.net)
		array.i128(at+20, r.gross)
		array.u64(at+124, orders[tick][1])
		array.u64(at+132, orders[tick][0])
		array[10124]++
	}
}

func setBit(bitmap image, bit int32) { bitmap[bit/8] |= 1 << (bit % 8) }

// raydiumCLMMDeviation: the SDK does not know that the program refuses an inverse transfer fee that does not reproduce itself; it takes any number of tick
// arrays, where a transaction has room for some; what it tells of an amount that the range of prices cannot fill is the same as of one that it
// just can; of what limit orders pay at a price without liquidity it counts the protocol's share alone; and it never ends where the fee takes all that
// an exact input has left for a limit order.
func raydiumCLMMDeviation(t testing.TB, m market, pool amm.Pool, ours outcome, theirs answer) string {
	switch {
	case strings.Contains(theirs.Error, "timed out") && ours.err == nil && !ours.ExactOut && ours.FeeOut == 0 && m.traits["limit orders"]:
		return "endless loop"
	case theirs.Error != "":
	case ours.err == amm.ErrTransferFee:
		return "transfer fee without inverse"
	case ours.err == amm.ErrArraysMissing:
		return "many tick arrays"
	case ours.err == amm.ErrInsufficientLiquidity && theirs.AtLimit:
		return "part of an amount"
	case ours.err == nil && theirs.In == ours.In && theirs.Out == ours.Out && *theirs.Fee < ours.FeeIn+ours.FeeOut && m.traits["limit orders"]:
		return "fee without liquidity"
	}
	return ""
}
