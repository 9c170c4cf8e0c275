package raydiumclmm

import (
	"encoding/binary"
	"errors"
	"math"
	"math/big"
	"slices"
	"testing"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/ammtest"
	"jupiter-dex-integration/src/amm/clmath"
)

// The program's factors are 1.0001^(-2^i / 2) up to the errors of double precision, which double with each squaring.
func TestTickFactorsAreThePowersInDoublePrecision(t *testing.T) {
	number := func(x int64) *big.Float { return new(big.Float).SetPrec(600).SetInt64(x) }
	power := number(10_000)
	power.Quo(power, number(10_001)).Sqrt(power)
	for i, factor := range factors {
		ratio := new(big.Float).Quo(new(big.Float).SetMantExp(number(0).SetUint64(factor), -64), power)
		off, _ := ratio.Sub(ratio, number(1)).Float64()
		if limit := math.Ldexp(1, -52) * float64(uint64(1)<<i); math.Abs(off) > limit {
			t.Errorf("factor %d is off by %g, want at most %g", i, off, limit)
		}
		power.Mul(power, power)
	}
}

func TestTickPricesRise(t *testing.T) {
	if sqrtPrice(minTick) != minPrice || sqrtPrice(maxTick) != maxPrice || sqrtPrice(0) != (clmath.Uint128{Hi: 1}) {
		t.Errorf("%v, %v, %v", sqrtPrice(minTick), sqrtPrice(0), sqrtPrice(maxTick))
	}
	last := clmath.Uint128{}
	for tick := int32(minTick); tick <= maxTick; tick++ {
		price := sqrtPrice(tick)
		if !last.Less(price) {
			t.Fatalf("the price at %d, %v, is not above %v", tick, price, last)
		}
		last = price
		if tick%1000 == 0 {
			if got, want := price.Float()/(1<<64), math.Pow(1.0001, float64(tick)/2); math.Abs(got/want-1) > 1e-9 {
				t.Errorf("price at %d: %g, want %g", tick, got, want)
			}
		}
	}
}

// One position around tick 0 with liquidity 10^12: at price 1, amounts are fractions of the liquidity.
func flat() state {
	return state{spacing: 60, feeRate: 3000, positions: []position{{-600, 600, 1e12}}, mints: [2]*amm.Account{ammtest.Mint(9), ammtest.Mint(6)}}
}

// at gives orders at the present price, with liquidity on neither side of it.
func at(orders [2]uint64) state {
	s := flat()
	s.positions, s.orders = nil, map[int32][2]uint64{0: orders}
	return s
}

func TestQuoteByHand(t *testing.T) {
	withFeeOn := func(token uint8) state { return flat().with(func(s *state) { s.feeOn = token }) }
	transfer := flat().with(func(s *state) {
		s.mints = [2]*amm.Account{ammtest.MintWithFee(9, 100, math.MaxUint64), ammtest.MintWithFee(6, 200, 5)}
	})
	orders := at([2]uint64{3_000, 2_000})
	outputFee := orders.with(func(s *state) { s.feeOn = feeOnToken1 })
	tests := []struct {
		name   string
		s      state
		req    amm.Request
		want   amm.Quote
		arrays uint8
	}{
		// 997000 after the fee: 10^12 * (1 - 1/(1+997000/10^12)) = 996999.006 of token 1
		{"0 for 1", flat(), amm.Request{AToB: true, Amount: 1_000_000}, amm.Quote{In: 1_000_000, Out: 996_999, FeeIn: 3000}, 2}, // the next tick is in the next array
		{"1 for 0", flat(), amm.Request{Amount: 1_000_000}, amm.Quote{In: 1_000_000, Out: 996_999, FeeIn: 3000}, 1},
		// 10^12 * (1/(1-10^-6) - 1) = 1000001.000001 rounded up is 1000002, and the fee on top of it ceil(1000002*3/997) = 3010
		{"exact out", flat(), amm.Request{ExactOut: true, Amount: 1_000_000}, amm.Quote{In: 1_003_012, Out: 1_000_000, FeeIn: 3010}, 1},
		// All of 10^6 moves the price: 999999.000001, less ceil(2999.997)
		{"fee on the output", withFeeOn(feeOnToken1), amm.Request{AToB: true, Amount: 1_000_000}, amm.Quote{In: 1_000_000, Out: 996_999, FeeOut: 3000}, 2},
		{"fee on the input after all", withFeeOn(feeOnToken1), amm.Request{Amount: 1_000_000}, amm.Quote{In: 1_000_000, Out: 996_999, FeeIn: 3000}, 1},
		// ceil(10^6/0.997) = 1003010 of token 0 cost 10^12 * (1/(1-1003010/10^12) - 1) = 1003011.006, up
		{"exact out, fee on the output", withFeeOn(feeOnToken0), amm.Request{ExactOut: true, Amount: 1_000_000}, amm.Quote{In: 1_003_012, Out: 1_000_000, FeeOut: 3010}, 1},
		// 10000 of 10^6 are withheld, the pool takes 0.3% of 990000 and gives 987029, of which 5 are withheld
		{"transfer fees", transfer, amm.Request{AToB: true, Amount: 1_000_000}, amm.Quote{In: 1_000_000, Out: 987_024, FeeIn: 2970}, 2},
		// Orders of 5000 at price 1: ceil(0.3%) = 12 of 4000 are fee
		{"orders", orders, amm.Request{AToB: true, Amount: 4_000}, amm.Quote{In: 4_000, Out: 3_988, FeeIn: 12}, 1},
		{"orders, exact out", orders, amm.Request{AToB: true, ExactOut: true, Amount: 4_000}, amm.Quote{In: 4_013, Out: 4_000, FeeIn: 13}, 1},
		// 4000 less ceil(12)
		{"orders, fee on the output", outputFee, amm.Request{AToB: true, Amount: 4_000}, amm.Quote{In: 4_000, Out: 3_988, FeeOut: 12}, 1},
		{"orders, exact out, fee on the output", outputFee, amm.Request{AToB: true, ExactOut: true, Amount: 4_000}, amm.Quote{In: 4_013, Out: 4_000, FeeOut: 13}, 1},
		// All 5000: 5000 and a fee of ceil(5000*3/997) = 16, and nothing behind them takes the rest
		{"all orders", orders, amm.Request{AToB: true, Amount: 5_016}, amm.Quote{In: 5_016, Out: 5_000, FeeIn: 16, Steps: 1}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.want.Request, tt.want.Arrays = tt.req, tt.arrays
			if got, err := tt.s.decode(t).Quote(amm.Clock{UnixTimestamp: now}, tt.req); err != nil || got != tt.want {
				t.Errorf("quote = %+v, %v, want %+v", got, err, tt.want)
			}
		})
	}
}

// Orders at a tick above the price, where the square of the price has a fraction: 1.0001^60 = 1.006017734...
func TestOrdersAreFilledAtTheirOwnPriceRoundedInTheirFavour(t *testing.T) {
	s := at([2]uint64{})
	s.orders = map[int32][2]uint64{60: {1_000_000_000, 0}, 120: {1_000_000_000, 0}}
	s.feeRate = 0
	p := s.decode(t)
	quote, err := p.Quote(amm.Clock{UnixTimestamp: now}, amm.Request{ExactOut: true, Amount: 1_500_000_000})
	price := func(tick int32) *big.Int { // rounded up
		square := bigOf(sqrtPrice(tick))
		square.Mul(square, square).Add(square, new(big.Int).SetUint64(math.MaxUint64))
		return square.Rsh(square, 64)
	}
	cost := func(tick int32, amount int64) uint64 {
		product := new(big.Int).Mul(price(tick), big.NewInt(amount))
		product.Add(product, new(big.Int).SetUint64(math.MaxUint64))
		return product.Rsh(product, 64).Uint64()
	}
	want := cost(60, 1_000_000_000) + cost(120, 500_000_000)
	if err != nil || quote.In != want || quote.In < 1_512_000_000 || quote.Steps != 1 {
		t.Errorf("%+v, %v, want %d", quote, err, want)
	}
	if spent, err := p.Quote(amm.Clock{UnixTimestamp: now}, amm.Request{Amount: want}); err != nil || spent.Out != 1_500_000_000 {
		t.Errorf("%+v, %v", spent, err)
	}
}

func TestRefusals(t *testing.T) {
	clock := amm.Clock{UnixTimestamp: now}
	huge := uint64(1) << 62
	tests := []struct {
		name string
		s    state
		req  amm.Request
		want error
	}{
		{"deposits disabled", flat().with(func(s *state) { s.status = 0x2f }), amm.Request{Amount: 1000}, nil},
		{"swaps disabled", flat().with(func(s *state) { s.status = 0x10 }), amm.Request{Amount: 1000}, amm.ErrSwapDisabled},
		{"opened a second ago", flat().with(func(s *state) { s.openTime = now - 1 }), amm.Request{Amount: 1000}, nil},
		{"opens at the second", flat().with(func(s *state) { s.openTime = now }), amm.Request{Amount: 1000}, amm.ErrNotOpen},
		{"zero in", flat(), amm.Request{}, amm.ErrZeroAmount},
		{"zero out", flat(), amm.Request{ExactOut: true}, amm.ErrZeroAmount},
		{"all of it is fee", flat(), amm.Request{Amount: 1}, amm.ErrZeroOutput},
		{"more than there is", flat(), amm.Request{Amount: huge}, amm.ErrInsufficientLiquidity},
		{"more than there is, exact out", flat(), amm.Request{AToB: true, ExactOut: true, Amount: huge}, amm.ErrInsufficientLiquidity},
		{"more than the orders", at([2]uint64{5_000, 0}), amm.Request{AToB: true, Amount: 5_017}, amm.ErrInsufficientLiquidity},
		{"the lowest price", flat().with(func(s *state) { s.tick, s.price = minTick, minPrice }), amm.Request{AToB: true, Amount: 1000}, amm.ErrInsufficientLiquidity},
		{"to the end of all prices", flat().with(func(s *state) { s.spacing, s.positions = 4, []position{{minTick, maxTick, 1e6}} }), amm.Request{Amount: huge}, amm.ErrInsufficientLiquidity},
	}
	for _, tt := range tests {
		if _, err := tt.s.decode(t).Quote(clock, tt.req); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

func TestDynamicFeeByHand(t *testing.T) {
	v := &volatility{filterPeriod: 10, decayPeriod: 100, reduction: 5000, control: 4000, maximum: 350_000, lastUpdate: 1005, reference: 7_000, accumulator: 60_000, origin: 10}
	tests := []struct {
		now       uint64
		origin    int32
		reference uint64
	}{
		{1000, 10, 7_000},  // before the update counts as no time
		{1014, 10, 7_000},  // 9 s after it: within the filter
		{1015, 25, 30_000}, // 10 s: half of the volatility is left
		{1104, 25, 30_000}, // 99 s
		{1105, 25, 0},      // 100 s: all decayed
	}
	for _, tt := range tests {
		f := v.begin(3000, 4, 103, true, tt.now) // 103 is in group 25
		if f.origin != tt.origin || f.reference != tt.reference || f.group != 25 || f.edge() != 100 {
			t.Errorf("at %d: %+v, want %+v", tt.now, f, tt)
		}
	}
	f := v.begin(3000, 4, -103, false, 1014)
	if f.group != -26 || f.edge() != -100 {
		t.Errorf("group %d, edge %d", f.group, f.edge())
	}
	// 15 groups from 10: 7000 + 150000 = 157000, times 4 squared is 394384000000, times 4000 / 10^13 is 157.75, up
	f.group = 25
	if rate, highest := f.rate(); rate != 3158 || highest {
		t.Errorf("rate %d, highest %v", rate, highest)
	}
	f.group = 45 // 7000 + 350000 is above the maximum, 1400000^2 * 4000 / 10^13 = 784
	if rate, highest := f.rate(); rate != 3784 || !highest {
		t.Errorf("rate %d, highest %v", rate, highest)
	}
	f.base = 200_000
	if rate, _ := f.rate(); rate != maxFeeRate {
		t.Errorf("rate %d, want the limit %d", rate, maxFeeRate)
	}
}

// Every group further from the reference costs more, so that the same swap pays more where the price has lately moved.
func TestDynamicFeeGrowsWithDistance(t *testing.T) {
	paid := func(origin int32) uint64 {
		s := wide(8).with(func(s *state) { s.dynamic = volatile(8); s.dynamic.origin, s.dynamic.lastUpdate = origin, now })
		quote, err := s.decode(t).Quote(amm.Clock{UnixTimestamp: now}, amm.Request{Amount: 1e8})
		if err != nil {
			t.Fatal(err)
		}
		return quote.FeeIn
	}
	if near, far := paid(100), paid(80); near <= 300_000 || far <= near { // 300000 is the base fee
		t.Errorf("fee %d at the reference, %d at 20 groups from it", near, far)
	}
}

func TestSwapsOfTooManyStepsAreRefused(t *testing.T) {
	s := flat().with(func(s *state) {
		s.spacing, s.dynamic = 1, volatile(1)
		s.dynamic.maximum, s.dynamic.origin = 100_000_000, 0
	})
	p := s.decode(t)
	if _, err := p.Quote(amm.Clock{UnixTimestamp: now}, amm.Request{Amount: 1e8}); err != nil {
		t.Error(err)
	}
	if _, err := p.Quote(amm.Clock{UnixTimestamp: now}, amm.Request{Amount: 28e9}); !errors.Is(err, amm.ErrComputeBudget) {
		t.Error(err)
	}
}

func TestBitmapNumbersArraysFromTheLowest(t *testing.T) {
	// The corners of the pool's bitmap, of the extension's bitmaps, and of both ends.
	numbers := []int32{-allArrays, -1025, -1024, -513, -512, -1, 0, 511, 512, 1023, 1024, allArrays - 1}
	pool, extension := make([]byte, poolLen), make([]byte, extensionLen)
	for _, n := range numbers {
		switch start := int(n); {
		case n >= -512 && n < 512:
			setBit(pool[bitmapAt:], start+512)
		case n >= 512: // bitmap number and bit as the program computes them from a start tick, here with spacing 1/60
			setBit(extension[40+64*(start/512-1):], start%512)
		default:
			bitmap, bit := -start/512-1, -start%512
			if bit == 0 {
				bitmap--
			} else {
				bit = 512 - bit
			}
			setBit(extension[936+64*bitmap:], bit)
		}
	}
	key := ammtest.Key(9)
	read := func(data []byte) *amm.Reader { return amm.Accounts{key: {Data: data}}.Reader(key, solana.PublicKey{}) }
	b := newBitmap(read(pool), bitmapAt)
	readExtension(b, read(extension), 40)
	for _, up := range []bool{true, false} {
		want := slices.Clone(numbers)
		from, step := int32(-allArrays), int32(1)
		if !up {
			slices.Reverse(want)
			from, step = allArrays-1, -1
		}
		var got []int32
		for n, ok := b.Next(from, up); ok; n, ok = b.Next(n+step, up) {
			got = append(got, n)
		}
		if !slices.Equal(got, want) {
			t.Errorf("up %v: %v, want %v", up, got, want)
		}
	}
}

func TestPathsFollowTheBitmaps(t *testing.T) {
	starts := func(p path) []int32 {
		var list []int32
		for _, a := range p.arrays {
			list = append(list, a.start)
		}
		return list
	}
	many := flat().with(func(s *state) {
		s.spacing, s.positions = 1, nil
		for i := range int32(20) {
			s.positions = append(s.positions, position{60 * i, 60*i + 1, 1})
		}
	})
	far := flat().with(func(s *state) { s.spacing, s.positions = 1, []position{{-443_636, 443_636, 1}, {-100, 100, 1}} })
	outside := far.with(func(s *state) { s.tick = 31_000 })
	tests := []struct {
		name                   string
		s                      state
		falling, rising        []int32
		fallingEnd, risingEnd  error
		fallingNeeds           bool
		withoutPresentAccounts []int32
	}{
		{"the present array is on both", flat(), []int32{0, -3600}, []int32{0}, amm.ErrInsufficientLiquidity, amm.ErrInsufficientLiquidity, false, nil},
		{"the present array has no tick", flat().with(func(s *state) { s.tick, s.positions = 4000, []position{{-600, 8400, 1}} }),
			[]int32{-3600}, []int32{7200}, amm.ErrInsufficientLiquidity, amm.ErrInsufficientLiquidity, false, nil},
		{"as many as fit", many, []int32{0}, []int32{0, 60, 120, 180, 240, 300, 360, 420, 480, 540, 600, 660}, amm.ErrInsufficientLiquidity, amm.ErrArraysMissing, false, nil},
		{"far arrays", far, []int32{-120, -443_640}, []int32{60, 443_580}, amm.ErrInsufficientLiquidity, amm.ErrInsufficientLiquidity, true, nil},
		{"far arrays without the extension", far.with(func(s *state) { s.withoutExtension = true }), []int32{-120}, []int32{60}, amm.ErrInsufficientLiquidity, amm.ErrInsufficientLiquidity, false, nil},
		{"from beyond the pool's bitmap", outside, []int32{60, -120, -443_640}, []int32{443_580}, amm.ErrInsufficientLiquidity, amm.ErrInsufficientLiquidity, true, nil},
		{"from beyond it without the extension", outside.with(func(s *state) { s.withoutExtension = true }), nil, nil, amm.ErrInsufficientLiquidity, amm.ErrInsufficientLiquidity, true, nil},
		{"an account is not there", far, []int32{-120}, []int32{60, 443_580}, amm.ErrArraysMissing, amm.ErrInsufficientLiquidity, false, []int32{-443_640}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			accounts := tt.s.accounts()
			for _, start := range tt.withoutPresentAccounts {
				delete(accounts, arrayAddress(start))
			}
			decoded, err := ammtest.Decode(New(programID), poolKey, accounts)
			if err != nil {
				t.Fatal(err)
			}
			p := decoded.(*pool)
			if got := starts(p.falling); !slices.Equal(got, tt.falling) || !errors.Is(p.falling.end, tt.fallingEnd) || p.needsExtension(p.falling.arrays) != tt.fallingNeeds {
				t.Errorf("falling %v, %v", got, p.falling.end)
			}
			if got := starts(p.rising); !slices.Equal(got, tt.rising) || !errors.Is(p.rising.end, tt.risingEnd) {
				t.Errorf("rising %v, %v", got, p.rising.end)
			}
			if !slices.IsSortedFunc(p.ticks, func(a, b clmath.Tick) int { return int(a.Index - b.Index) }) {
				t.Errorf("ticks %v", p.ticks)
			}
		})
	}
}

func TestInstructionNamesTheArraysOnTheWayAndOneMore(t *testing.T) {
	s := wide(1)
	s.positions = append(s.positions, position{-443_636, 443_636, 1e9})
	p := s.decode(t)
	for _, tt := range []struct {
		arrays    uint8
		keys      []solana.PublicKey
		extension bool
	}{
		{1, []solana.PublicKey{arrayAddress(60), arrayAddress(180)}, false},
		{3, []solana.PublicKey{arrayAddress(60), arrayAddress(180), arrayAddress(360), arrayAddress(443_580)}, true},
		{4, []solana.PublicKey{arrayAddress(60), arrayAddress(180), arrayAddress(360), arrayAddress(443_580)}, true}, // there is no more
	} {
		quote := amm.Quote{Request: amm.Request{Amount: 1}, Arrays: tt.arrays}
		built, err := p.SwapInstruction(quote, amm.Swap{})
		if err != nil {
			t.Error(err)
			continue
		}
		var keys []solana.PublicKey
		for _, meta := range built.Accounts()[9:] {
			keys = append(keys, meta.PublicKey)
		}
		want := tt.keys
		if tt.extension {
			want = slices.Insert(slices.Clone(want), 1, p.extension)
		}
		if !slices.Equal(keys, want) || p.SwapAccounts(quote) != len(built.Accounts())+1 {
			t.Errorf("accounts %v, want %v; %d counted", keys, want, p.SwapAccounts(quote))
		}
	}
}

func TestMalformedAccountsNameTheField(t *testing.T) {
	s := wide(10).with(func(s *state) { s.dynamic, s.orders = volatile(10), map[int32][2]uint64{1010: {1, 2}} })
	present, extension := arrayAddress(600), address("pool_tick_array_bitmap_extension", nil)
	tests := []struct {
		field  string
		key    solana.PublicKey
		damage func(data []byte)
	}{
		{"discriminator", poolKey, func(d []byte) { d[0]++ }},
		{"tick_spacing", poolKey, func(d []byte) { d[235], d[236] = 0, 0 }},
		{"sqrt_price_x64", poolKey, func(d []byte) { d[268] = 1 }},
		{"tick_current", poolKey, func(d []byte) { d[272] = 0x7f }},
		{"fee_on", poolKey, func(d []byte) { d[390] = 3 }},
		{"reduction_factor", poolKey, func(d []byte) { d[dynamicAt+5] = 0xff }},
		{"max_volatility_accumulator", poolKey, func(d []byte) { d[dynamicAt+13] = 0xff }},
		{"tick_spacing_index_reference", poolKey, func(d []byte) { d[dynamicAt+17] = 0x70 }},
		{"trade_fee_rate", configKey, func(d []byte) { d[50] = 1 }},
		{"discriminator", configKey, func(d []byte) { d[7]++ }},
		{"pool_id", extension, func(d []byte) { d[8]++ }},
		{"pool_id", present, func(d []byte) { d[8]++ }},
		{"start_tick_index", present, func(d []byte) { d[40]++ }},
		{"tick.tick", present, func(d []byte) { d[ticksAt+41*tickLen]++ }}, // tick 1010
		{"tick.orders_amount", present, func(d []byte) { binary.LittleEndian.PutUint64(d[ticksAt+41*tickLen+124:], math.MaxUint64) }},
		{"ticks", present, func(d []byte) { clear(d[ticksAt:]) }},
	}
	for _, tt := range tests {
		accounts := s.accounts()
		tt.damage(accounts[tt.key].Data)
		_, err := ammtest.Decode(New(programID), poolKey, accounts)
		var malformed *amm.DecodeError
		if !errors.As(err, &malformed) || malformed.Field != tt.field || malformed.Account != tt.key {
			t.Errorf("error %v, want one about %s of %s", err, tt.field, tt.key)
		}
	}
}

// ladder has a tick at every place and even depth.
func ladder(ticks int32) state {
	s := state{spacing: 8, feeRate: 3000, tick: 4, mints: [2]*amm.Account{ammtest.Mint(9), ammtest.Mint(6)}, positions: []position{{-1440, 1440, 1e12}}}
	for i := int32(1); i <= ticks; i++ {
		s.positions = append(s.positions, position{8 * i, 8*i + 8, 1e9}, position{-8 * i, -8*i + 8, 1e9})
	}
	return s
}

func BenchmarkQuote(b *testing.B) {
	crossing := ladder(100)
	moving := crossing.with(func(s *state) { s.dynamic = volatile(8); s.dynamic.origin = 0 })
	output := crossing.with(func(s *state) { s.feeOn = feeOnToken1 })
	orders := crossing.with(func(s *state) {
		s.orders = map[int32][2]uint64{}
		for i := range int32(100) {
			s.orders[-8*i] = [2]uint64{1e6, 0}
		}
	})
	for _, bench := range []struct {
		name string
		s    state
		req  amm.Request
	}{
		{"within a tick, 0 in", crossing, amm.Request{AToB: true, Amount: 1e6}},
		{"within a tick, 1 in", crossing, amm.Request{Amount: 1e6}},
		{"within a tick, 0 out", crossing, amm.Request{ExactOut: true, Amount: 1e6}},
		{"within a tick, 1 out", crossing, amm.Request{AToB: true, ExactOut: true, Amount: 1e6}},
		{"within a tick, fee on the output", output, amm.Request{AToB: true, Amount: 1e6}},
		{"100 ticks, 0 in", crossing, amm.Request{AToB: true, Amount: 40_500_000_000}},
		{"100 ticks, 1 in", crossing, amm.Request{Amount: 41_200_000_000}},
		{"100 ticks with orders", orders, amm.Request{AToB: true, Amount: 40_600_000_000}},
		{"dynamic, within a tick", moving, amm.Request{AToB: true, Amount: 1e6}},
		{"dynamic, 100 ticks", moving, amm.Request{AToB: true, Amount: 40_500_000_000}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			p := bench.s.decode(b)
			q, err := p.Quote(amm.Clock{UnixTimestamp: now}, bench.req)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				p.Quote(amm.Clock{UnixTimestamp: now}, bench.req)
			}
			b.ReportMetric(float64(q.Steps), "ticks")
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for name, s := range map[string]state{"200 ticks": ladder(100), "few ticks": wide(60)} {
		b.Run(name, func(b *testing.B) {
			program, accounts := New(programID), s.accounts()
			if _, err := ammtest.Decode(program, poolKey, accounts); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := program.Decode(poolKey, accounts); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
