package sdktest

import (
	"encoding/binary"
	"math"
	"math/big"
	"testing"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/dlmm"
)

var meteoraDLMM = solana.MustPublicKeyFromBase58("LBUZKhRxPF3XUpBCjp4YzTKgLccjZhTSDM9YuVaPwxo")

const (
	dlmmBins = 70
	dlmmBin  = 144
)

// dlmm draws a pair with bins on both sides of the active one, some with limit orders.
func (d dice) dlmm(id solana.PublicKey, price prices) market {
	step := pick[uint16](d, 1, 2, 4, 5, 8, 10, 16, 20, 25, 50, 80, 100, 125, 200, 250, 400)
	// Prices are mostly within a factor of e^20 around 1.
	reach := int32(20 / math.Log1p(float64(step)/10_000))
	if d.chance(0.1) {
		reach = min(2*reach, maxTick)
	}
	active := d.between(-reach, reach)
	base := pick(d, 100, 2000, 8000, 12_500, uint16(d.IntN(60_000)))

	mints, vaults := d.keys(), [2]solana.PublicKey{}
	pair, bump := address(id, mints[0][:], mints[1][:], binary.LittleEndian.AppendUint16(nil, step))
	for i, mint := range mints {
		vaults[i], _ = address(id, pair[:], mint[:])
	}
	oracle, _ := address(id, []byte("oracle"), pair[:])

	orders := d.chance(0.5)
	state := newImage(904, "210b3162b565b10d")
	filter := uint16(1 + d.IntN(100))
	maximum := uint32(d.upTo(20))
	state.u16(8, base)
	state.u16(10, filter)
	state.u16(12, filter+uint16(1+d.IntN(1000)))
	reduction, volatility := uint16(d.IntN(10_000)), d.Uint32N(maximum+1)
	state.u16(14, reduction)
	state.u32(16, pick(d, 0, 5000, 7500, 120_000, uint32(d.upTo(24))))
	state.u32(20, maximum)
	state.u32(24, uint32(math.MaxUint32-maxTick+1))
	state.u32(28, maxTick)
	state.u16(32, pick[uint16](d, 0, 500, 1000, 2000))
	state.u8(34, pick[uint8](d, 0, 0, 0, 1, 2))
	state.u8(35, pick[uint8](d, 1, 1, 2))
	if orders {
		state.u8(35, pick[uint8](d, 0, 2))
	}
	state.u8(36, uint8(d.IntN(2)))
	state.u32(40, volatility)
	state.u32(44, d.Uint32N(maximum+1))
	state.u32(48, uint32(active+d.between(-30, 30)))
	state.u64(56, uint64(now.UnixTimestamp)-d.upTo(12))
	state.u8(72, bump)
	state.u16(73, step)
	state.u32(76, uint32(active))
	state.u16(80, step)
	state.u16(84, base)
	for i := range 2 {
		state.key(88+32*i, mints[i])
		state.key(152+32*i, vaults[i])
	}
	state.key(552, oracle)

	history := newImage(3232, "8bc283b38cb3e5f4")
	history.u64(16, 1)
	history.u64(24, 100)

	m := market{
		program: dlmm.New(id), pool: pair, traits: map[string]bool{"limit orders": orders, "volatile": uint64(volatility)*uint64(reduction) > math.MaxUint32},
		accounts: amm.Accounts{pair: state.owned(id), oracle: history.owned(id)},
	}
	balances := d.dlmmBins(m, state, active, orders, func(ids ...int32) []*big.Int { return price(step, ids...) })
	d.tokens(m.accounts, mints, vaults, pair, balances)
	for i, mint := range mints {
		if m.accounts[mint].Owner == solana.Token2022ProgramID {
			state.u8(880+i, 1)
		}
	}
	return m
}

// dlmmBins adds arrays of bins, and the extension where some are beyond the pair's own bitmap. It gives what they hold of X and Y.
func (d dice) dlmmBins(m market, state image, active int32, orders bool, price func(...int32) []*big.Int) (balances [2]uint64) {
	const bitmapAt, pairArrays = 584, 512
	id := m.program.ID()
	extensionKey, _ := address(id, []byte("bitmap"), m.pool[:])
	extension := newImage(1576, "506f7c7137ed1205")
	extension.key(8, m.pool)

	bits, density := pick(d, 8, 25, 40, 50), pick(d, 0.1, 0.4, 0.95)
	width := 5 + int32(d.upTo(8))
	var ids []int32
	for id := max(active-width, -maxTick); id <= min(active+width, maxTick); id++ {
		if d.chance(density) {
			ids = append(ids, id)
		}
	}
	bins := map[int32]image{} // by array
	for i, price := range price(ids...) {
		index := floorDiv(ids[i], dlmmBins)
		array := bins[index]
		if array == nil {
			array = newImage(56+dlmmBins*dlmmBin, "5c8e5cdc059446b5")
			array.u64(8, uint64(int64(index)))
			array.u8(16, 2)
			array.key(24, m.pool)
			bins[index] = array
			key, _ := address(id, []byte("bin_array"), m.pool[:], binary.LittleEndian.AppendUint64(nil, uint64(int64(index))))
			m.accounts[key] = array.owned(id)
			// Bits are numbered upwards, but those of the extension's negative indices downwards.
			switch {
			case index >= pairArrays:
				setBit(extension[40:], index-pairArrays)
				m.accounts[extensionKey] = extension.owned(id)
			case index < -pairArrays:
				setBit(extension[808:], -index-1-pairArrays)
				m.accounts[extensionKey] = extension.owned(id)
			default:
				setBit(state[bitmapAt:], index+pairArrays)
			}
		}
		b := holdings{image: array[56+dlmmBin*int(ids[i]-index*dlmmBins):], price: price, traits: m.traits}
		d.dlmmBin(&b, ids[i]-active, bits, orders)
		for token, amount := range b.total {
			balances[token] += amount
			if amount == 1 {
				m.traits["bins of one unit"] = true
			}
		}
	}
	// A pair whose active bin is beyond its bitmap has an extension.
	if index := floorDiv(active, dlmmBins); index >= pairArrays || index < -pairArrays {
		m.accounts[extensionKey] = extension.owned(id)
	}
	for i := range balances {
		balances[i] += d.upTo(30)
	}
	return balances
}

// holdings is a bin under construction.
type holdings struct {
	image
	price  *big.Int
	total  [2]uint64 // X and Y
	traits map[string]bool
}

// hold writes one layer's amount of X or Y.
func (h *holdings) hold(token, at int, amount uint64) {
	h.u64(at, amount)
	h.total[token] += amount
	worth := new(big.Int).SetUint64(amount)
	if token == 0 {
		worth.Mul(worth, h.price).Rsh(worth, 64)
	} else {
		worth.Lsh(worth, 64).Div(worth, h.price)
	}
	if worth.BitLen() >= 64 { // with fee or rounding
		h.traits["bins worth 64 bits"] = true
	}
}

// dlmmBin fills a bin at a distance from the active one: with X above, Y below, and the same of orders.
func (d dice) dlmmBin(bin *holdings, distance int32, bits int, orders bool) {
	bin.i128(16, bin.price)
	if !orders || d.chance(0.8) {
		if distance >= 0 {
			bin.hold(0, 0, d.upTo(bits))
		}
		if distance <= 0 {
			bin.hold(1, 8, d.upTo(bits))
		}
		bin.i128(32, d.wide(pick(d, 60, 64, 80, 110)))
	}
	if !orders || d.chance(0.5) {
		return
	}
	sold := 0
	if distance < 0 || distance == 0 && d.chance(0.5) {
		sold = 1
	}
	bin.u8(140, uint8(1-sold))
	bin.u32(136, 3)
	bin.hold(sold, 112, d.upTo(bits)*d.Uint64N(2))
	if d.chance(0.5) {
		processing := d.upTo(bits)
		bin.u64(120, processing)
		bin.hold(sold, 128, d.Uint64N(processing+1))
	}
}

// dlmmDeviation: the SDK adds up the inputs of a bin's layers, where the program takes one for them all, and fails if the layers then give less than an
// exact output; it takes a bin whose output is all fee, so of one unit, for nothing; it does not tell the fee that is all of the last unit of an
// input; of an exact input that pays a transfer fee it tells the least amount of which as much arrives; its numbers do not overflow; and it does not
// know that the program refuses an output of zero.
func dlmmDeviation(t testing.TB, m market, pool amm.Pool, ours outcome, theirs answer) string {
	same := ours.err == nil && theirs.Error == "" && theirs.Out == ours.Out
	switch fee := inFee(t, m, pool, ours.AToB); {
	case theirs.Error != "":
	case ours.err == amm.ErrZeroOutput && theirs.Out == 0:
		return "nothing for something"
	case ours.err == amm.ErrInsufficientLiquidity && ours.ExactOut && m.traits["limit orders"]:
		return "layers of a bin"
	case ours.err == amm.ErrOverflow && (m.traits["volatile"] || m.traits["bins worth 64 bits"]):
		return "overflow"
	case same && ours.ExactOut && theirs.In < ours.In && ours.FeeOut > 0 && m.traits["bins of one unit"]:
		return "output that is all fee"
	case same && theirs.In == ours.In && theirs.Fee != nil && *theirs.Fee+1 == ours.FeeIn:
		return "last unit that is all fee"
	case same && !ours.ExactOut && theirs.In < ours.In && fee.Net(theirs.In) == fee.Net(ours.In):
		return "input before the transfer fee"
	}
	return ""
}
