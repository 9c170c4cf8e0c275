package whirlpool

import (
	"errors"
	"maps"
	"math"
	"math/big"
	"testing"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/ammtest"
	"jupiter-dex-integration/src/amm/clmath"
)

// The factors are 1.0001^(2^i / 2) and its inverse, which 600 bits give with certainty.
func TestTickFactorsAreTheRoundedPowers(t *testing.T) {
	number := func(x int64) *big.Float { return new(big.Float).SetPrec(600).SetInt64(x) }
	power := number(10_001)
	power.Quo(power, number(10_000)).Sqrt(power)
	for i := range rising {
		up, _ := new(big.Float).SetMantExp(power, 96).Int(nil)
		down, _ := new(big.Float).SetMantExp(new(big.Float).Quo(number(1), power), 64).Int(nil)
		if bigOf(rising[i]).Cmp(up) != 0 || falling[i] != down.Uint64() {
			t.Errorf("factor %d: %v and %x, want %x and %x", i, rising[i], falling[i], up, down)
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
	return state{spacing: 64, feeRate: 3000, positions: []position{{-640, 640, 1e12}}, mints: [2]*amm.Account{ammtest.Mint(9), ammtest.Mint(6)}}
}

func TestQuoteByHand(t *testing.T) {
	transfer := flat().with(func(s *state) {
		s.mints = [2]*amm.Account{ammtest.MintWithFee(9, 100, math.MaxUint64), ammtest.MintWithFee(6, 200, 5)}
	})
	tests := []struct {
		name string
		s    state
		req  amm.Request
		want amm.Quote
	}{
		// 997000 after the fee: 10^12 * (1 - 1/(1+997000/10^12)) = 996999.006 of B
		{"A for B", flat(), amm.Request{AToB: true, Amount: 1_000_000}, amm.Quote{In: 1_000_000, Out: 996_999, FeeIn: 3000}},
		{"B for A", flat(), amm.Request{Amount: 1_000_000}, amm.Quote{In: 1_000_000, Out: 996_999, FeeIn: 3000}},
		// 10^12 * (1/(1-10^-6) - 1) = 1000001.000001 rounded up is 1000002, and the fee on top of it ceil(1000002*3/997) = 3010
		{"exact out", flat(), amm.Request{ExactOut: true, Amount: 1_000_000}, amm.Quote{In: 1_003_012, Out: 1_000_000, FeeIn: 3010}},
		{"the whole is fee", flat(), amm.Request{AToB: true, Amount: 1}, amm.Quote{In: 1, Out: 0, FeeIn: 1}},
		// 10000 of 10^6 are withheld, the pool takes ceil of 0.3% of 990000 and gives 987029, of which 5 are withheld
		{"transfer fees", transfer, amm.Request{AToB: true, Amount: 1_000_000}, amm.Quote{In: 1_000_000, Out: 987_024, FeeIn: 2970}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.want.Request, tt.want.Arrays = tt.req, 3
			if got, err := tt.s.decode(t).Quote(amm.Clock{UnixTimestamp: now}, tt.req); err != nil || got != tt.want {
				t.Errorf("quote = %+v, %v, want %+v", got, err, tt.want)
			}
		})
	}
}

// A swap sees three arrays. With a spacing of 8 an array has 704 ticks.
func TestWindowsEndWhereTheProgramStopsLooking(t *testing.T) {
	tests := []struct {
		tick         int32
		falling      int
		fallingEnd   int32
		rising       int
		risingEnd    int32
		watchedAbove int32 // the highest start among the arrays that are watched
	}{
		{0, 3, -1408, 3, 2111, 1408},
		{695, 3, -1408, 3, 2111, 1408},
		{696, 3, -1408, 3, 2815, 2112}, // on the last place a rising price starts in the next array
		{703, 3, -1408, 3, 2815, 2112},
		{-1, 3, -2112, 3, 2111, 1408},
		{-9, 3, -2112, 3, 1407, 704},
		{minTick, 1, minTick, 3, -443520 + 1407, -442816},
		{-442800, 3, minTick, 3, -440705, -441408},
		{maxTick, 3, 443520 - 1408, 1, maxTick, 443520},
		{442815, 3, 440704, 2, maxTick, 443520},
	}
	for _, tt := range tests {
		s := flat().with(func(s *state) { s.spacing, s.tick, s.positions, s.sparse = 8, tt.tick, nil, true })
		p := s.decode(t)
		_, high := p.reach()
		if p.falling.n != tt.falling || p.falling.end.Index != tt.fallingEnd || p.rising.n != tt.rising || p.rising.end.Index != tt.risingEnd || high != tt.watchedAbove {
			t.Errorf("tick %d: falling %d arrays to %d, rising %d to %d, watched to %d, want %+v",
				tt.tick, p.falling.n, p.falling.end.Index, p.rising.n, p.rising.end.Index, high, tt)
		}
	}
}

func TestSwapsStopAtTheEndOfTheArrays(t *testing.T) {
	huge := uint64(1) << 62
	// Liquidity as far as the arrays go and beyond, and liquidity that ends on the last place of the last array.
	beyond := flat().with(func(s *state) { s.positions = []position{{-443584, 443584, 1e12}} })
	lastPlace := int32(5632*3 - 64)
	upTo := flat().with(func(s *state) { s.positions = []position{{-640, lastPlace, 1e12}} })
	highest := flat().with(func(s *state) { s.tick, s.positions = 443_000, []position{{440_000, 443_584, 1e9}} })
	fee := func(n uint64) uint64 { fee, _ := clmath.FeeOnTop(n, 3000); return n + fee }
	allTo := func(s state, tick int32) uint64 { // what the price takes of B to get there
		from, to := sqrtPrice(s.tick), sqrtPrice(tick)
		distance := new(big.Int).Mul(new(big.Int).Sub(bigOf(to), bigOf(from)), new(big.Int).SetUint64(s.positions[0].liquidity))
		distance.Add(distance, new(big.Int).SetUint64(math.MaxUint64))
		return distance.Rsh(distance, 64).Uint64()
	}
	tests := []struct {
		name string
		s    state
		req  amm.Request
		in   uint64
		err  error
	}{
		{"into the arrays beyond", beyond, amm.Request{Amount: huge}, 0, amm.ErrArraysMissing},
		{"into the arrays beyond, falling", beyond, amm.Request{AToB: true, Amount: huge}, 0, amm.ErrArraysMissing},
		{"just to the end", beyond, amm.Request{Amount: fee(allTo(beyond, 5632*3-1))}, fee(allTo(beyond, 5632*3-1)), nil},
		{"just to the last place", upTo, amm.Request{Amount: fee(allTo(upTo, lastPlace))}, fee(allTo(upTo, lastPlace)), nil},
		{"one unit beyond the last place", upTo, amm.Request{Amount: fee(allTo(upTo, lastPlace)) + 1}, 0, amm.ErrArraysMissing},
		{"at the end of all prices less is taken", highest, amm.Request{Amount: huge}, fee(allTo(highest, 443_584)), nil},
		{"exact out beyond the end of all prices", highest, amm.Request{ExactOut: true, Amount: 1e9}, 0, amm.ErrInsufficientLiquidity},
		{"no array above", flat().with(func(s *state) { s.tick, s.spacing = maxTick, 4; s.positions = nil }), amm.Request{Amount: 1}, 0, amm.ErrInsufficientLiquidity},
		{"zero", flat(), amm.Request{}, 0, amm.ErrZeroAmount},
		{"zero out", flat(), amm.Request{ExactOut: true}, 0, amm.ErrZeroAmount},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.s.decode(t).Quote(amm.Clock{UnixTimestamp: now}, tt.req)
			if !errors.Is(err, tt.err) || got.In != tt.in {
				t.Errorf("in %d, %v, want %d, %v", got.In, err, tt.in, tt.err)
			}
		})
	}
}

func TestAbsentAndDynamicArraysChangeNothing(t *testing.T) {
	base := wide(8)
	want := base.decode(t)
	for name, s := range map[string]state{
		"dynamic": base.with(func(s *state) { s.dynamic = true }),
		"sparse":  base.with(func(s *state) { s.sparse = true }),
		"both":    base.with(func(s *state) { s.dynamic, s.sparse = true, true }),
	} {
		got := s.decode(t)
		for _, req := range []amm.Request{{AToB: true, Amount: 1e9}, {Amount: 1e9}, {AToB: true, ExactOut: true, Amount: 1e9}, {ExactOut: true, Amount: 1e9}} {
			a, errA := want.Quote(amm.Clock{UnixTimestamp: now}, req)
			b, errB := got.Quote(amm.Clock{UnixTimestamp: now}, req)
			if a != b || errA != nil || errB != nil || a.Steps == 0 {
				t.Errorf("%s: %+v, %v, want %+v, %v", name, b, errB, a, errA)
			}
		}
	}
	// Lamports sent to the address of an array do not make one.
	accounts := base.with(func(s *state) { s.sparse = true }).accounts()
	accounts[address("tick_array", "-704")] = &amm.Account{Owner: solana.SystemProgramID}
	if _, err := ammtest.Decode(New(programID), poolKey, accounts); err != nil {
		t.Error(err)
	}
}

func TestAdaptiveFeeByHand(t *testing.T) {
	o := &oracle{
		filterPeriod: 10, decayPeriod: 100, reduction: 5000, control: 4000, maxVolatility: 350_000, groupSize: 4,
		lastReference: 1000, lastMajorSwap: 1005, reference: 7_000, volatility: 60_000, groupReference: 10,
	}
	tests := []struct {
		now       uint64
		origin    int32
		reference uint64
		err       error
	}{
		{1004, 0, 0, amm.ErrNotOpen}, // before the last major swap
		{1014, 10, 7_000, nil},       // 9 s after it: within the filter
		{1015, 25, 30_000, nil},      // 10 s: half of the volatility is left
		{1104, 25, 30_000, nil},      // 99 s
		{1105, 25, 0, nil},           // 100 s: all decayed
		{1000 + 3601, 25, 0, nil},    // the reference is too old
		{math.MaxInt64, 25, 0, nil},  // and however much later
		{1000 + 3600, 25, 0, nil},    // decayed before it got that old
	}
	for _, tt := range tests {
		f, err := o.begin(3000, true, 103, tt.now) // 103 is in group 25
		if !errors.Is(err, tt.err) || err == nil && (f.origin != tt.origin || f.reference != tt.reference || f.group != 25) {
			t.Errorf("at %d: origin %d, reference %d, %v, want %+v", tt.now, f.origin, f.reference, err, tt)
		}
	}
	f, _ := o.begin(3000, true, 103, 1014)
	// 15 groups from 10: 7000 + 150000 = 157000, times 4 squared is 394384000000, times 4000 / 10^13 is 157.75, up
	if got := f.rate(); got != 3158 {
		t.Errorf("rate %d, want 3158", got)
	}
	// 34.3 groups to the maximum of 350000
	if f.lower != 10-35 || f.upper != 10+35 {
		t.Errorf("core %d to %d", f.lower, f.upper)
	}
	f.group = 1000
	if got := f.rate(); got != 3784 { // 1400000^2 * 4000 / 10^13
		t.Errorf("greatest rate %d, want 3784", got)
	}
	if f.static = 99_999; f.rate() != maxFeeRate {
		t.Errorf("rate %d, want the limit %d", f.rate(), maxFeeRate)
	}
}

func TestAdaptiveFeeWithoutControlIsStatic(t *testing.T) {
	static := wide(8)
	varying := static.with(func(s *state) { s.oracle = adaptive(8); s.oracle.control = 0 })
	for _, req := range []amm.Request{{AToB: true, Amount: 1e9}, {Amount: 1e9}, {AToB: true, ExactOut: true, Amount: 1e9}, {ExactOut: true, Amount: 1e9}} {
		want, err1 := static.decode(t).Quote(amm.Clock{UnixTimestamp: now}, req)
		got, err2 := varying.decode(t).Quote(amm.Clock{UnixTimestamp: now}, req)
		if err1 != nil || err2 != nil || got != want || got.Steps == 0 {
			t.Errorf("%+v, %v, want %+v, %v", got, err2, want, err1)
		}
	}
}

// Every group further from the reference costs more, so that the same swap pays more where the fee has lately been high.
func TestAdaptiveFeeGrowsWithDistance(t *testing.T) {
	paid := func(reference int32) uint64 {
		s := wide(8).with(func(s *state) {
			s.oracle = adaptive(8)
			s.oracle.groupReference, s.oracle.lastReference, s.oracle.lastMajorSwap = reference, now, now
		})
		quote, err := s.decode(t).Quote(amm.Clock{UnixTimestamp: now}, amm.Request{Amount: 1e8})
		if err != nil {
			t.Fatal(err)
		}
		return quote.FeeIn
	}
	if near, far := paid(100), paid(80); near <= 300_000 || far <= near { // 300000 is the static fee
		t.Errorf("fee %d at the reference, %d at 20 groups from it", near, far)
	}
}

func TestSwapsWaitForTheClock(t *testing.T) {
	rewards := flat().with(func(s *state) { s.rewardsUpdated = now })
	gated := flat().with(func(s *state) { s.oracle = adaptive(64); s.oracle.tradeEnable = now })
	for _, tt := range []struct {
		name string
		s    state
		at   int64
		want error
	}{
		{"rewards updated now", rewards, now, nil},
		{"rewards updated later", rewards, now - 1, amm.ErrNotOpen},
		{"before 1970", flat(), -1, amm.ErrNotOpen},
		{"trading enabled now", gated, now, nil},
		{"trading enabled later", gated, now - 1, amm.ErrNotOpen},
	} {
		if _, err := tt.s.decode(t).Quote(amm.Clock{UnixTimestamp: tt.at}, amm.Request{Amount: 1000}); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

func TestSwapsOfTooManyStepsAreRefused(t *testing.T) {
	s := wide(128).with(func(s *state) {
		s.oracle = adaptive(1)
		s.oracle.maxVolatility, s.oracle.groupReference = 100_000_000, s.tick
	})
	p := s.decode(t)
	if _, err := p.Quote(amm.Clock{UnixTimestamp: now}, amm.Request{Amount: 1e6}); err != nil {
		t.Error(err)
	}
	if _, err := p.Quote(amm.Clock{UnixTimestamp: now}, amm.Request{Amount: 1e10}); !errors.Is(err, amm.ErrComputeBudget) {
		t.Error(err)
	}
}

func TestMalformedAccountsNameTheField(t *testing.T) {
	s := wide(8).with(func(s *state) { s.oracle, s.dynamic = adaptive(8), true })
	array := address("tick_array", "704")
	tests := []struct {
		field  string
		key    solana.PublicKey
		damage func(data []byte)
	}{
		{"discriminator", poolKey, func(d []byte) { d[0]++ }},
		{"tick_spacing", poolKey, func(d []byte) { d[41], d[42] = 0, 0 }},
		{"sqrt_price", poolKey, func(d []byte) { d[80] = 1 }},
		{"tick_current_index", poolKey, func(d []byte) { d[84] = 0x7f }},
		{"whirlpool", address("oracle"), func(d []byte) { d[8]++ }},
		{"tick_group_size", address("oracle"), func(d []byte) { d[62], d[63] = 0, 0 }},
		{"reduction_factor", address("oracle"), func(d []byte) { d[53] = 0xff }},
		{"max_volatility_accumulator", address("oracle"), func(d []byte) { d[61] = 0xff }},
		{"volatility_reference", address("oracle"), func(d []byte) { d[101] = 1 }},
		{"volatility_accumulator", address("oracle"), func(d []byte) { d[109] = 1 }},
		{"tick_group_index_reference", address("oracle"), func(d []byte) { d[105] = 0x70 }},
		{"start_tick_index", array, func(d []byte) { d[8]++ }},
		{"whirlpool", array, func(d []byte) { d[12]++ }},
		{"tick_bitmap", array, func(d []byte) { d[44] ^= 2 }},
		{"tick tag", array, func(d []byte) { d[60] = 2 }},
	}
	for _, tt := range tests {
		accounts := maps.Clone(s.accounts())
		tt.damage(accounts[tt.key].Data)
		_, err := ammtest.Decode(New(programID), poolKey, accounts)
		var malformed *amm.DecodeError
		if !errors.As(err, &malformed) || malformed.Field != tt.field || malformed.Account != tt.key {
			t.Errorf("error %v, want one about %s of %s", err, tt.field, tt.key)
		}
	}
	var malformed *amm.DecodeError
	accounts := s.accounts()
	if _, err := New(programID).Decode(poolKey, amm.Accounts{poolKey: accounts[poolKey], mintKeys[0]: accounts[mintKeys[0]], mintKeys[1]: accounts[mintKeys[1]]}); !errors.As(err, &malformed) || malformed.Reason != "not loaded" {
		t.Errorf("error %v, want one about what is not loaded", err)
	}
}

// ladder has a tick at every place and even depth.
func ladder(ticks int32) state {
	s := state{spacing: 8, feeRate: 3000, tick: 4, mints: [2]*amm.Account{ammtest.Mint(9), ammtest.Mint(6)}, positions: []position{{-704 * 2, 704*3 - 8, 1e12}}}
	for i := int32(1); i <= ticks; i++ {
		s.positions = append(s.positions, position{8 * i, 8*i + 8, 1e9}, position{-8 * i, -8*i + 8, 1e9})
	}
	return s
}

func BenchmarkQuote(b *testing.B) {
	crossing := ladder(100)
	deep := crossing.with(func(s *state) { s.oracle = adaptive(8); s.oracle.groupReference = 0 })
	for _, bench := range []struct {
		name string
		s    state
		req  amm.Request
	}{
		{"within a tick, A in", crossing, amm.Request{AToB: true, Amount: 1e6}},
		{"within a tick, B in", crossing, amm.Request{Amount: 1e6}},
		{"within a tick, A out", crossing, amm.Request{ExactOut: true, Amount: 1e6}},
		{"within a tick, B out", crossing, amm.Request{AToB: true, ExactOut: true, Amount: 1e6}},
		{"100 ticks, A in", crossing, amm.Request{AToB: true, Amount: 40_500_000_000}},
		{"100 ticks, B in", crossing, amm.Request{Amount: 41_200_000_000}},
		{"adaptive, within a tick", deep, amm.Request{AToB: true, Amount: 1e6}},
		{"adaptive, 100 ticks", deep, amm.Request{AToB: true, Amount: 40_500_000_000}},
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
	for name, s := range map[string]state{"fixed arrays": ladder(100), "dynamic arrays": ladder(100).with(func(s *state) { s.dynamic = true }), "few ticks": wide(64).with(func(s *state) { s.dynamic, s.sparse = true, true })} {
		b.Run(name, func(b *testing.B) {
			program, accounts := New(programID), s.accounts()
			if _, err := ammtest.Decode(program, poolKey, accounts); err != nil {
				b.Fatal(err)
			}
			keys, _ := program.Watch(poolKey, accounts)
			for _, key := range keys {
				if accounts[key] == nil {
					accounts[key] = nil // known not to exist
				}
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
