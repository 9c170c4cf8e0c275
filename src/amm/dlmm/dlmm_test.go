package dlmm

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

func TestVectors(t *testing.T) {
	program := func(id solana.PublicKey) amm.Program { return recorded{New(id)} }
	ammtest.Vectors{Program: program, Kinds: []string{"meteora-dlmm"}}.Run(t)
}

// recorded builds the swap instruction as it was recorded, with every array of the direction.
type recorded struct{ amm.Program }

type recordedPair struct{ *pair }

func (r recorded) Decode(key solana.PublicKey, accounts amm.Accounts) (amm.Pool, error) {
	decoded, err := r.Program.Decode(key, accounts)
	if err != nil {
		return nil, err
	}
	return recordedPair{decoded.(*pair)}, nil
}

func (p recordedPair) SwapInstruction(quote amm.Quote, swap amm.Swap) (solana.Instruction, error) {
	return p.instruction(quote, swap, p.path(quote.AToB).arrays)
}

func cases() []ammtest.Case {
	clock := amm.Clock{Epoch: 700, UnixTimestamp: now}
	build := func(name string, s state) ammtest.Case {
		return ammtest.Case{Name: name, Program: New(programID), Pool: pairKey, Accounts: s.accounts(), Clock: clock, Loose: true}
	}
	return []ammtest.Case{
		build("base fee", spread(20, 60)),
		build("variable fee only in Y", spread(20, 60).with(func(s *state) { varying(s); s.onlyY, s.stored = true, true })),
		build("limit orders", spread(20, 60).with(orders)),
		build("all of it", spread(20, 60).with(func(s *state) {
			varying(s)
			orders(s)
			s.withExtension = true
			s.mints = [2]*amm.Account{ammtest.MintWithFee(9, 77, 50_000), ammtest.MintWithFee(6, 10_000, 3)}
		})),
	}
}

func TestContract(t *testing.T) { ammtest.Contract(t, cases()...) }

func FuzzDecode(f *testing.F) { ammtest.FuzzDecode(f, cases()...) }

func FuzzQuote(f *testing.F) {
	ammtest.FuzzQuote(f, amm.Clock{UnixTimestamp: now}, func(t testing.TB, a, b, c uint64) (amm.Pool, bool) {
		s := spread(uint16(1+c%400), 30)
		s.factor, s.onlyY = uint16(c>>10), c>>26&1 == 1
		s.active += int32(b % 7)
		for id, bin := range s.bins {
			n := a >> (uint32(id) % 48) % (1 << 40)
			bin.x, bin.y = min(bin.x, 1)*(bin.x+n), min(bin.y, 1)*(bin.y+n>>3)
			s.bins[id] = bin
		}
		if c>>27&1 == 1 {
			varying(&s)
			s.volatility.control, s.volatility.lastUpdate = c>>28%200_000, now-int64(c>>48%1000)
		}
		return s.decode(t), false
	})
}

// A bin's price is a power, computed in at most 38 truncations.
func TestPriceIsThePower(t *testing.T) {
	for _, step := range []uint16{1, 20, 100, 400} {
		last := clmath.Uint128{}
		for id := int32(-8000); id <= 8000; id++ {
			got, ok := price(id, step)
			want := math.Pow(1+float64(step)/10_000, float64(id))
			if !ok {
				if want > 0x1p-50 && want < 0x1p60 {
					t.Fatalf("bin %d of step %d has no price, want %g", id, step, want)
				}
				continue
			}
			if !last.Less(got) && last != (clmath.Uint128{}) && want > 0x1p-40 && want < 0x1p40 {
				t.Fatalf("the price of bin %d of step %d is not above the one before", id, step)
			}
			last = got
			if want > 0x1p-20 && want < 0x1p20 && math.Abs(got.Float()/(1<<64)/want-1) > 1e-11 {
				t.Fatalf("bin %d of step %d: %g, want %g", id, step, got.Float()/(1<<64), want)
			}
		}
	}
	// By hand: 1.01 in Q64.64 is 2^64 + floor(2^64/100), whose inverse's inverse is this.
	inverse := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 128), big.NewInt(1))
	all := new(big.Int).Set(inverse)
	inverse.Quo(inverse, new(big.Int).Add(new(big.Int).Lsh(big.NewInt(1), 64), new(big.Int).SetUint64(184467440737095516)))
	want := all.Quo(all, inverse)
	if got, _ := price(1, 100); got.Hi != new(big.Int).Rsh(want, 64).Uint64() || got.Lo != new(big.Int).And(want, new(big.Int).SetUint64(math.MaxUint64)).Uint64() {
		t.Errorf("price %v, want %x", got, want)
	}
	if got, _ := price(-1, 100); (clmath.Uint128{Lo: inverse.Uint64()}) != got {
		t.Errorf("price %v, want %x", got, inverse)
	}
}

// Two bins at prices 1 and, above it, 1.01: 1000 X and 500 Y at 1, 1000 X at 1.01. The base fee is 1%.
func small() state {
	s := spread(100, 0)
	s.active, s.volatility.origin = 0, 0
	s.bins = map[int32]bin{0: {x: 1000, y: 500}, 1: {x: 1000}}
	return s
}

func TestQuoteByHand(t *testing.T) {
	onlyY := small().with(func(s *state) { s.onlyY = true })
	ordered := small().with(func(s *state) {
		s.function = 2
		s.bins[0] = bin{x: 10, y: 500, processed: 20, open: 30, ask: true}
	})
	undetermined := ordered.with(func(s *state) { s.function = 0 })
	varied := small().with(func(s *state) {
		s.volatility.control, s.volatility.reference, s.volatility.lastUpdate = 10_000, 10_000, now
	})
	transfer := small().with(func(s *state) {
		s.mints = [2]*amm.Account{ammtest.MintWithFee(9, 100, math.MaxUint64), ammtest.MintWithFee(6, 200, 5)}
	})
	tests := []struct {
		name string
		s    state
		req  amm.Request
		want amm.Quote
	}{
		{"X for Y", small(), amm.Request{AToB: true, Amount: 100}, amm.Quote{In: 100, Out: 99, FeeIn: 1, Steps: 1}},
		{"X for Y, fee in Y", onlyY, amm.Request{AToB: true, Amount: 100}, amm.Quote{In: 100, Out: 99, FeeOut: 1, Steps: 1}},
		{"Y for X, fee in Y", onlyY, amm.Request{Amount: 100}, amm.Quote{In: 100, Out: 99, FeeIn: 1, Steps: 1}},
		// 1000 X for 1000 Y and ceil(1000/99) = 11; of the 202 left 3 are fee, and 199/1.01 = 197.03
		{"into the second bin", small(), amm.Request{Amount: 1213}, amm.Quote{In: 1213, Out: 1197, FeeIn: 14, Steps: 2}},
		// 197 at 1.01 cost 198.97, up 199, and ceil(199/99) = 3
		{"exact out into the second bin", small(), amm.Request{ExactOut: true, Amount: 1197}, amm.Quote{In: 1213, Out: 1197, FeeIn: 14, Steps: 2}},
		{"exact out, all of a bin", small(), amm.Request{ExactOut: true, Amount: 1000}, amm.Quote{In: 1011, Out: 1000, FeeIn: 11, Steps: 1}},
		// 101 are needed of which ceil(1.01) = 2 would leave 99, so 102: 2 are fee
		{"exact out, fee in Y", onlyY, amm.Request{AToB: true, ExactOut: true, Amount: 100}, amm.Quote{In: 102, Out: 100, FeeOut: 2, Steps: 1}},
		// 10 of the makers, 20 and 25 of the orders, as 55 are left of 56
		{"layers", ordered, amm.Request{Amount: 56}, amm.Quote{In: 56, Out: 55, FeeIn: 1, Steps: 1}},
		{"layers of an undetermined pair", undetermined, amm.Request{Amount: 56}, amm.Quote{In: 56, Out: 55, FeeIn: 1, Steps: 1}},
		{"orders on the other side do not count", ordered, amm.Request{AToB: true, Amount: 100}, amm.Quote{In: 100, Out: 99, FeeIn: 1, Steps: 1}},
		// (10000 * 100)^2 * 10000 / 10^11 = 100000 of 10^9 more than 1%, so 1.01% of 1000 is 11
		{"variable fee", varied, amm.Request{Amount: 1000}, amm.Quote{In: 1000, Out: 989, FeeIn: 11, Steps: 1}},
		// 1 of 100 is withheld, 1 is fee, 98 come out of which 2 are withheld
		{"transfer fees", transfer, amm.Request{AToB: true, Amount: 100}, amm.Quote{In: 100, Out: 96, FeeIn: 1, Steps: 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.want.Request, tt.want.Arrays = tt.req, 1
			if got, err := tt.s.decode(t).Quote(amm.Clock{UnixTimestamp: now}, tt.req); err != nil || got != tt.want {
				t.Errorf("quote = %+v, %v, want %+v", got, err, tt.want)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	clock := amm.Clock{UnixTimestamp: now, Slot: 1000}
	layered := small().with(func(s *state) {
		s.function, s.active = 2, 1
		s.bins = map[int32]bin{1: {x: 50, processed: 50, open: 50, ask: true}} // at 1.01
	})
	tests := []struct {
		name string
		s    state
		req  amm.Request
		want error
	}{
		{"disabled", small().with(func(s *state) { s.status = 1 }), amm.Request{Amount: 100}, amm.ErrSwapDisabled},
		{"activates at the slot", small().with(func(s *state) { s.pairType, s.activation = 1, 1000 }), amm.Request{Amount: 100}, nil},
		{"activates at a later slot", small().with(func(s *state) { s.pairType, s.activation = 2, 1001 }), amm.Request{Amount: 100}, amm.ErrNotOpen},
		{"activates at the second", small().with(func(s *state) { s.pairType, s.atTime, s.activation = 2, true, now }), amm.Request{Amount: 100}, nil},
		{"activates at a later second", small().with(func(s *state) { s.pairType, s.atTime, s.activation = 2, true, now+1 }), amm.Request{Amount: 100}, amm.ErrNotOpen},
		{"permissionless pairs do not activate", small().with(func(s *state) { s.pairType, s.activation = 3, 1001 }), amm.Request{Amount: 100}, nil},
		{"zero in", small(), amm.Request{}, amm.ErrZeroAmount},
		{"zero out", small(), amm.Request{ExactOut: true}, amm.ErrZeroAmount},
		{"all of it is fee", small(), amm.Request{Amount: 1}, amm.ErrZeroOutput},
		{"more than there is", small(), amm.Request{Amount: 1_000_000}, amm.ErrInsufficientLiquidity},
		{"more than there is, exact out", small(), amm.Request{AToB: true, ExactOut: true, Amount: 501}, amm.ErrInsufficientLiquidity},
		{"the reserve is short", small().with(func(s *state) { s.reserves[0] = 98 }), amm.Request{Amount: 100}, amm.ErrInsufficientLiquidity},
		{"the reserve just suffices", small().with(func(s *state) { s.reserves[0] = 99 }), amm.Request{Amount: 100}, nil},
		// 51 cost 51.51, up 52, of which the first layer takes 50.5, up 51, and the second gives floor(1/1.01) = 0
		{"layers give less than was asked", layered, amm.Request{ExactOut: true, Amount: 51}, amm.ErrInsufficientLiquidity},
		{"the decay overflows", small().with(func(s *state) { s.volatility.accumulator = 1 << 30 }), amm.Request{Amount: 100}, amm.ErrOverflow},
	}
	for _, tt := range tests {
		if _, err := tt.s.decode(t).Quote(clock, tt.req); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

func TestSwapsThroughTooManyBinsAreRefused(t *testing.T) {
	p := spread(1, 400).decode(t)
	for amount, want := range map[uint64]error{100_000_000: nil, 400_000_000: amm.ErrComputeBudget} {
		if _, err := p.Quote(amm.Clock{UnixTimestamp: now}, amm.Request{Amount: amount}); !errors.Is(err, want) {
			t.Errorf("%d: %v, want %v", amount, err, want)
		}
	}
}

func TestVolatilityAgesByHand(t *testing.T) {
	p := spread(20, 0).with(func(s *state) {
		s.active = 33
		s.volatility = volatility{filterPeriod: 10, decayPeriod: 100, reduction: 5000, control: 40_000, maximum: 350_000, lastUpdate: 1000, reference: 7_000, accumulator: 60_000, origin: 30}
	}).decode(t)
	for _, tt := range []struct {
		now       int64
		origin    int32
		reference uint64
	}{
		{900, 30, 7_000}, // a clock behind counts as no time
		{1009, 30, 7_000},
		{1010, 33, 30_000},
		{1099, 33, 30_000},
		{1100, 33, 0},
	} {
		f, err := p.begin(tt.now)
		if err != nil || f.origin != tt.origin || f.reference != tt.reference {
			t.Errorf("at %d: %+v, %v, want %+v", tt.now, f, err, tt)
		}
	}
	f, _ := p.begin(1009)
	// 5 bins away: (57000*20)^2 * 40000 / 10^11 = 519840, on top of 10000*20*10
	if got := f.rate(25); got != 2_519_840 {
		t.Errorf("rate %d", got)
	}
	// At most 350000: 7000000^2 * 40000 / 10^11 = 19600000
	if got := f.rate(30_000); got != 21_600_000 {
		t.Errorf("greatest rate %d", got)
	}
	if f.maximum = 1 << 32; f.rate(400_000) != maxFeeRate {
		t.Errorf("rate %d, want the limit", f.rate(400_000))
	}
}

func TestBaseFeeSaturates(t *testing.T) {
	for _, tt := range []struct {
		factor, step uint16
		power        uint8
		want         uint64
	}{{10_000, 20, 0, 2_000_000}, {100, 20, 2, 2_000_000}, {math.MaxUint16, math.MaxUint16, 0, maxFeeRate}, {1, 1, 255, maxFeeRate}, {0, 20, 255, 0}} {
		if got := baseFee(tt.factor, tt.step, tt.power); got != tt.want {
			t.Errorf("%+v: %d", tt, got)
		}
	}
}

func TestPathsFollowTheBitmaps(t *testing.T) {
	indexes := func(p path) []int32 {
		var list []int32
		for _, a := range p.arrays {
			list = append(list, a.index)
		}
		return list
	}
	full := bin{x: 1, y: 1}
	far := small().with(func(s *state) {
		s.step = 1
		s.bins = map[int32]bin{5: full, -70 * 512: full, -70*513 - 1: full, 70*512 - 1: full, 70 * 512: full, 443_000: full, -443_000: full}
	})
	with := far.with(func(s *state) { s.withExtension = true })
	for _, tt := range []struct {
		name            string
		s               state
		falling, rising []int32
	}{
		{"without the extension", far, []int32{0, -512}, []int32{0, 511}},
		{"with it", with, []int32{0, -512, -514, -6329}, []int32{0, 511, 512, 6328}},
		{"from beyond the pair's bitmap", with.with(func(s *state) { s.active = 70 * 600 }), []int32{512, 511, 0, -512, -514, -6329}, []int32{6328}},
		{"from beyond it without the extension", far.with(func(s *state) { s.active = 70 * 600 }), nil, nil},
	} {
		p := tt.s.decode(t)
		if got := indexes(p.falling); !slices.Equal(got, tt.falling) {
			t.Errorf("%s: falling %v, want %v", tt.name, got, tt.falling)
		}
		if got := indexes(p.rising); !slices.Equal(got, tt.rising) {
			t.Errorf("%s: rising %v, want %v", tt.name, got, tt.rising)
		}
	}
	accounts := with.accounts()
	delete(accounts, arrayAddress(511))
	decoded, err := ammtest.Decode(New(programID), pairKey, accounts)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := decoded.Quote(amm.Clock{UnixTimestamp: now}, amm.Request{Amount: 1000}); !errors.Is(err, amm.ErrArraysMissing) {
		t.Errorf("beyond an array that is not there: %v", err)
	}
}

func TestMalformedAccountsNameTheField(t *testing.T) {
	s := spread(20, 10).with(func(s *state) { orders(s); s.withExtension = true })
	array, extension := arrayAddress(0), address([]byte("bitmap"), pairKey[:])
	tests := []struct {
		field  string
		key    solana.PublicKey
		damage func(data []byte)
	}{
		{"discriminator", pairKey, func(d []byte) { d[0]++ }},
		{"function_type", pairKey, func(d []byte) { d[35] = 3 }},
		{"collect_fee_mode", pairKey, func(d []byte) { d[36] = 2 }},
		{"pair_type", pairKey, func(d []byte) { d[75] = 4 }},
		{"active_id", pairKey, func(d []byte) { d[79] = 0x7f }},
		{"bin_step", pairKey, func(d []byte) { d[80], d[81] = 0, 0 }},
		{"status", pairKey, func(d []byte) { d[82] = 2 }},
		{"activation_type", pairKey, func(d []byte) { d[86] = 2 }},
		{"token_x_program_flag", pairKey, func(d []byte) { d[880] = 2 }},
		{"token_program_flag", pairKey, func(d []byte) { d[881] = 1 }},
		{"mint", vaultKeys[0], func(d []byte) { d[0]++ }},
		{"lb_pair", extension, func(d []byte) { d[8]++ }},
		{"lb_pair", array, func(d []byte) { d[24]++ }},
		{"index", array, func(d []byte) { d[8]++ }},
	}
	for _, tt := range tests {
		accounts := s.accounts()
		tt.damage(accounts[tt.key].Data)
		_, err := ammtest.Decode(New(programID), pairKey, accounts)
		var malformed *amm.DecodeError
		if !errors.As(err, &malformed) || malformed.Field != tt.field || malformed.Account != tt.key {
			t.Errorf("error %v, want one about %s of %s", err, tt.field, tt.key)
		}
	}
	far := small().with(func(s *state) { s.step, s.bins = 400, map[int32]bin{50_000: {x: 1}, 0: {y: 1}}; s.withExtension = true })
	accounts := far.accounts()
	var malformed *amm.DecodeError
	if _, err := ammtest.Decode(New(programID), pairKey, accounts); !errors.As(err, &malformed) || malformed.Field != "bin.price" {
		t.Errorf("error %v, want one about a bin without a price", err)
	}
	at := binsAt + (50_000-714*arrayBins)*binLen + 16
	binary.LittleEndian.PutUint64(accounts[arrayAddress(714)].Data[at:], 1)
	if _, err := ammtest.Decode(New(programID), pairKey, accounts); err != nil {
		t.Errorf("with a stored price: %v", err)
	}
}

func BenchmarkQuote(b *testing.B) {
	plain := spread(20, 69)
	full := plain.with(func(s *state) { varying(s); orders(s); s.stored = true })
	for _, bench := range []struct {
		name string
		s    state
		req  amm.Request
	}{
		{"within a bin, X in", plain, amm.Request{AToB: true, Amount: 1e5}},
		{"within a bin, Y in", plain, amm.Request{Amount: 1e5}},
		{"within a bin, X out", plain, amm.Request{ExactOut: true, Amount: 1e5}},
		{"within a bin, Y out", plain, amm.Request{AToB: true, ExactOut: true, Amount: 1e5}},
		{"50 bins, X in", plain, amm.Request{AToB: true, Amount: 96_000_000}},
		{"50 bins, Y in", plain, amm.Request{Amount: 57_000_000}},
		{"50 bins with variable fee and orders", full, amm.Request{Amount: 57_000_000}},
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
			b.ReportMetric(float64(q.Steps), "bins")
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for name, s := range map[string]state{"stored prices": spread(20, 69).with(func(s *state) { s.stored = true }), "prices to compute": spread(20, 69)} {
		b.Run(name, func(b *testing.B) {
			program, accounts := New(programID), s.accounts()
			accounts[address([]byte("bitmap"), pairKey[:])] = nil
			b.ReportAllocs()
			for b.Loop() {
				if _, err := program.Decode(pairKey, accounts); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
