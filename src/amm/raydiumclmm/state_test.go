package raydiumclmm

import (
	"encoding/binary"
	"maps"
	"math/big"
	"slices"
	"testing"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/ammtest"
	"jupiter-dex-integration/src/amm/clmath"
)

var (
	programID      = solana.MustPublicKeyFromBase58("CAMMCzo5YL8w4VFF8KVHrK22GGUsp5VTaW7grrKgrWqK")
	poolKey        = ammtest.Key(1)
	mintKeys       = [2]solana.PublicKey{ammtest.Key(2), ammtest.Key(3)}
	vaultKeys      = [2]solana.PublicKey{ammtest.Key(4), ammtest.Key(5)}
	configKey      = ammtest.Key(6)
	observationKey = ammtest.Key(7)
)

const now = 1_780_000_000

type position struct {
	lower, upper int32
	liquidity    uint64
}

// state is a pool in the words of its users, from which the accounts are written.
type state struct {
	spacing   uint16
	feeRate   uint32
	tick      int32
	price     clmath.Uint128 // that of tick if zero
	positions []position
	// orders are the untouched and the partly filled limit orders at a tick.
	orders   map[int32][2]uint64
	dynamic  *volatility
	feeOn    uint8
	status   uint8
	openTime uint64
	mints    [2]*amm.Account
	// withoutExtension leaves the bitmap extension out.
	withoutExtension bool
}

// wide has a position around several arrays and narrower ones inside.
func wide(spacing uint16) state {
	s := int32(spacing)
	return state{
		spacing: spacing, feeRate: 3000, tick: 100 * s,
		positions: []position{{-200 * s, 400 * s, 40_000_000_000}, {90 * s, 110 * s, 90_000_000_000}, {105 * s, 220 * s, 5_000_000_000}, {20 * s, 100 * s, 7_000_000_000}},
		mints:     [2]*amm.Account{ammtest.Mint(9), ammtest.Mint(6)},
	}
}

func (s state) with(change func(*state)) state {
	s.positions, s.orders = slices.Clone(s.positions), maps.Clone(s.orders)
	change(&s)
	return s
}

func (s state) liquidityAt(tick int32) uint64 {
	total := uint64(0)
	for _, p := range s.positions {
		if p.lower <= tick && tick < p.upper {
			total += p.liquidity
		}
	}
	return total
}

func volatile(spacing int32) *volatility {
	return &volatility{
		filterPeriod: 30, decayPeriod: 600, reduction: 5000, control: 4000, maximum: 350_000,
		lastUpdate: now - 100, reference: 20_000, accumulator: 120_000, origin: 100,
	}
}

func (s state) accounts() amm.Accounts {
	le := binary.LittleEndian
	config := make([]byte, configLen)
	copy(config, configDiscriminator)
	le.PutUint32(config[47:], s.feeRate)
	accounts := amm.Accounts{
		mintKeys[0]: s.mints[0], mintKeys[1]: s.mints[1], configKey: {Owner: programID, Data: config},
	}
	type place struct {
		net    int64
		liquid bool
		orders [2]uint64
	}
	places := map[int32]place{}
	for _, p := range s.positions {
		for tick, net := range map[int32]int64{p.lower: int64(p.liquidity), p.upper: -int64(p.liquidity)} {
			at := places[tick]
			at.net += net
			at.liquid = true
			places[tick] = at
		}
	}
	for tick, orders := range s.orders {
		at := places[tick]
		at.orders = orders
		places[tick] = at
	}
	pool := s.poolAccount()
	extension := make([]byte, extensionLen)
	copy(extension, extensionDiscriminator)
	copy(extension[8:], poolKey[:])
	span := arrayTicks * int32(s.spacing)
	for tick, at := range places {
		number := floorDiv(tick, span)
		switch {
		case number >= poolArrays:
			setBit(extension[40:], int(number-poolArrays))
		case number < -poolArrays:
			n := -poolArrays - 1 - number // counted downwards, in bitmaps whose bits count upwards
			setBit(extension[936:], int(n/bitmapArrays*bitmapArrays+bitmapArrays-1-n%bitmapArrays))
		default:
			setBit(pool.Data[bitmapAt:], int(number+poolArrays))
		}
		key := arrayAddress(number * span)
		if accounts[key] == nil {
			data := make([]byte, arrayLen)
			copy(data, arrayDiscriminator)
			copy(data[8:], poolKey[:])
			le.PutUint32(data[40:], uint32(number*span))
			accounts[key] = &amm.Account{Owner: programID, Data: data}
		}
		data := accounts[key].Data[ticksAt+int((tick-number*span)/int32(s.spacing))*tickLen:]
		le.PutUint32(data, uint32(tick))
		le.PutUint64(data[4:], uint64(at.net))
		le.PutUint64(data[12:], uint64(at.net>>63))
		if at.liquid {
			data[20] = 1
		}
		le.PutUint64(data[124:], at.orders[0])
		le.PutUint64(data[132:], at.orders[1])
	}
	accounts[poolKey] = pool
	if s.spacing <= widestSpacing && !s.withoutExtension {
		accounts[address("pool_tick_array_bitmap_extension", nil)] = &amm.Account{Owner: programID, Data: extension}
	}
	return accounts
}

func setBit(bits []byte, n int) { bits[n/8] |= 1 << (n % 8) }

func (s state) poolAccount() *amm.Account {
	le := binary.LittleEndian
	pool := make([]byte, poolLen)
	copy(pool, poolDiscriminator)
	copy(pool[9:], configKey[:])
	copy(pool[201:], observationKey[:])
	for i := range 2 {
		copy(pool[mint0At+32*i:], mintKeys[i][:])
		copy(pool[137+32*i:], vaultKeys[i][:])
		pool[233+i] = s.mints[i].Data[44]
	}
	le.PutUint16(pool[235:], s.spacing)
	le.PutUint64(pool[237:], s.liquidityAt(s.tick))
	price := s.price
	if price.IsZero() {
		price = sqrtPrice(s.tick)
	}
	le.PutUint64(pool[253:], price.Lo)
	le.PutUint64(pool[261:], price.Hi)
	le.PutUint32(pool[269:], uint32(s.tick))
	pool[389], pool[390] = s.status, s.feeOn
	le.PutUint64(pool[1080:], s.openTime)
	if v := s.dynamic; v != nil {
		d := pool[dynamicAt:]
		le.PutUint16(d, uint16(v.filterPeriod))
		le.PutUint16(d[2:], uint16(v.decayPeriod))
		le.PutUint16(d[4:], uint16(v.reduction))
		le.PutUint32(d[6:], uint32(v.control))
		le.PutUint32(d[10:], uint32(v.maximum))
		le.PutUint32(d[14:], uint32(v.origin))
		le.PutUint32(d[18:], uint32(v.reference))
		le.PutUint32(d[22:], uint32(v.accumulator))
		le.PutUint64(d[26:], v.lastUpdate)
	}
	return &amm.Account{Owner: programID, Data: pool}
}

func arrayAddress(start int32) solana.PublicKey {
	return address("tick_array", binary.BigEndian.AppendUint32(nil, uint32(start)))
}

func address(name string, suffix []byte) solana.PublicKey {
	seeds := [][]byte{[]byte(name), poolKey[:]}
	if suffix != nil {
		seeds = append(seeds, suffix)
	}
	key, _, err := solana.FindProgramAddress(seeds, programID)
	if err != nil {
		panic(err)
	}
	return key
}

func (s state) decode(t testing.TB) *pool {
	t.Helper()
	decoded, err := ammtest.Decode(New(programID), poolKey, s.accounts())
	if err != nil {
		t.Fatal(err)
	}
	return decoded.(*pool)
}

// tickAt is the greatest tick whose price is not above price.
func tickAt(price clmath.Uint128) int32 {
	low, high := int32(minTick), int32(maxTick)
	for low < high {
		if middle := low + (high-low+1)/2; price.Less(sqrtPrice(middle)) {
			high = middle - 1
		} else {
			low = middle
		}
	}
	return low
}

// replay runs the swap of a quote once more, for what it leaves behind.
func replay(p *pool, quote amm.Quote) swap {
	s := swap{Direction: clmath.Direction{AToB: quote.AToB}, price: p.price, liquidity: p.liquidity, rest: quote.In}
	if err := s.run(p, now); err != nil {
		panic(err)
	}
	return s
}

// after is the accounts as the quoted swap leaves them, fees aside.
func (s state) after(accounts amm.Accounts, _ *amm.Info, quote amm.Quote) amm.Accounts {
	decoded, err := ammtest.Decode(New(programID), poolKey, accounts)
	if err != nil {
		panic(err)
	}
	left := replay(decoded.(*pool), quote)
	tick := tickAt(left.price)
	if left.liquidity != (clmath.Uint128{Lo: s.liquidityAt(tick)}) {
		tick-- // it stands on a tick that was crossed downwards
	}
	written := maps.Clone(accounts)
	moved := s.with(func(s *state) { s.tick, s.price = tick, left.price }).poolAccount()
	copy(moved.Data[bitmapAt:], accounts[poolKey].Data[bitmapAt:bitmapAt+2*poolArrays/8])
	written[poolKey] = moved
	return written
}

func bigOf(x clmath.Uint128) *big.Int {
	b := new(big.Int).SetUint64(x.Hi)
	return b.Add(b.Lsh(b, 64), new(big.Int).SetUint64(x.Lo))
}
