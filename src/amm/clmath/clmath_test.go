package clmath

import (
	"errors"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"jupiter-dex-integration/src/amm"
)

// Prices of ticks -443636 and 443636, between which both programs keep theirs.
var (
	lowest  = Uint128{0, 4295048016}
	highest = Uint128{4294886577, 9537527425331189659}
)

func (x Uint128) big() *big.Int {
	b := new(big.Int).SetUint64(x.Hi)
	return b.Add(b.Lsh(b, 64), new(big.Int).SetUint64(x.Lo))
}

func u64(x uint64) *big.Int { return new(big.Int).SetUint64(x) }

func div(n, d *big.Int, up bool) *big.Int {
	q, r := new(big.Int).QuoRem(n, d, new(big.Int))
	if up && r.Sign() > 0 {
		q.Add(q, big.NewInt(1))
	}
	return q
}

// random has a random number of bits, so that small and large values are equally likely.
func random(r *rand.Rand) uint64 { return r.Uint64() >> r.IntN(64) }

func randomWide(r *rand.Rand, bits int) Uint128 {
	n := 1 + r.IntN(bits)
	x := Uint128{r.Uint64(), r.Uint64()}
	if n <= 64 {
		return Uint128{0, x.Lo>>(64-n) | 1}
	}
	return Uint128{x.Hi >> (128 - n), x.Lo}
}

func randomPrice(r *rand.Rand) Uint128 {
	for {
		if p := randomWide(r, 96); !p.Less(lowest) && !highest.Less(p) {
			return p
		}
	}
}

func TestAmountsEqualTheirDefinition(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 50_000 {
		p, q, l, up := randomPrice(r), randomPrice(r), randomWide(r, 128), r.IntN(2) == 0
		distance := new(big.Int).Abs(new(big.Int).Sub(p.big(), q.big()))
		x := distance.Mul(distance, l.big())
		for a, want := range map[bool]*big.Int{
			true:  div(new(big.Int).Lsh(x, 64), new(big.Int).Mul(p.big(), q.big()), up),
			false: div(x, new(big.Int).Lsh(big.NewInt(1), 64), up),
		} {
			got, ok := between(l, p, q).amount(a, p, q, up)
			if ok != want.IsUint64() || ok && got != want.Uint64() {
				t.Fatalf("amount of A %v between %v and %v at liquidity %v, up %v: %d, %v, want %s", a, p, q, l, up, got, ok, want)
			}
		}
	}
}

func TestPricesEqualTheirDefinition(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	max128 := new(big.Int).Lsh(big.NewInt(1), 128)
	for range 50_000 {
		p, l, amount, add := randomPrice(r), randomWide(r, 128), random(r), r.IntN(2) == 0
		sign := int64(-1)
		if add {
			sign = 1
		}
		signed := new(big.Int).Mul(u64(amount), big.NewInt(sign))

		// P*L*2^64 / (L*2^64 + amount*P)
		d := new(big.Int).Lsh(l.big(), 64)
		d.Add(d, new(big.Int).Mul(signed, p.big()))
		got, ok := priceFromA(p, l, amount, add)
		if d.Sign() <= 0 {
			if ok {
				t.Fatalf("from A: %v for more than there is", got)
			}
		} else {
			n := new(big.Int).Mul(p.big(), l.big())
			want := div(n.Lsh(n, 64), d, true)
			if fits := want.Cmp(max128) < 0; ok != fits || ok && got.big().Cmp(want) != 0 {
				t.Fatalf("from A: price %v, liquidity %v, amount %s: %v, %v, want %x", p, l, signed, got, ok, want)
			}
		}

		delta := div(new(big.Int).Lsh(u64(amount), 64), l.big(), !add)
		want := p.big()
		want.Add(want, delta.Mul(delta, big.NewInt(sign)))
		got, ok = priceFromB(p, l, amount, add)
		if fits := want.Sign() >= 0 && want.Cmp(max128) < 0; ok != fits || ok && got.big().Cmp(want) != 0 {
			t.Fatalf("from B: price %v, liquidity %v, amount %s: %v, %v, want %x", p, l, signed, got, ok, want)
		}
	}
}

func TestWorthEqualsItsDefinition(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	one := new(big.Int).Lsh(big.NewInt(1), 64)
	for range 50_000 {
		amount, price, up := random(r), randomWide(r, 128), r.IntN(2) == 0
		times := div(new(big.Int).Mul(u64(amount), price.big()), one, up)
		if got, ok := TimesPrice(amount, price, up); ok != times.IsUint64() || ok && got != times.Uint64() {
			t.Fatalf("%d * %v, up %v: %d, %v, want %s", amount, price, up, got, ok, times)
		}
		over := div(new(big.Int).Mul(u64(amount), one), price.big(), up)
		if got, ok := OverPrice(amount, price, up); ok != over.IsUint64() || ok && got != over.Uint64() {
			t.Fatalf("%d / %v, up %v: %d, %v, want %s", amount, price, up, got, ok, over)
		}
	}
}

func TestQuotientsAtTheLimits(t *testing.T) {
	edges := []uint64{0, 1, 2, 1 << 31, 1<<32 - 1, 1 << 32, 1<<63 - 1, 1 << 63, 1<<63 + 1, math.MaxUint64 - 1, math.MaxUint64}
	r := rand.New(rand.NewPCG(5, 6))
	edge := func() uint64 { return edges[r.IntN(len(edges))] }
	value := func(x uint192) *big.Int {
		b := Uint128{x.w2, x.w1}.big()
		return b.Add(b.Lsh(b, 64), u64(x.w0))
	}
	for range 100_000 {
		n, d := uint192{edge(), edge(), edge()}, uint192{edge(), edge(), edge()}
		dividend := value(n)
		dividend.Lsh(dividend, 64)
		q, inexact, ok := div128(n, d)
		if d == (uint192{}) {
			if ok {
				t.Fatal("division by zero")
			}
			continue
		}
		want, rest := new(big.Int).QuoRem(dividend, value(d), new(big.Int))
		if fits := want.BitLen() <= 128; ok != fits || ok && (q.big().Cmp(want) != 0 || inexact != (rest.Sign() != 0)) {
			t.Fatalf("%x / %x = %v, %v, %v, want %x rest %x", dividend, value(d), q, inexact, ok, want, rest)
		}
		if n.less(d) {
			if q, inexact := div64(n, d); q != want.Uint64() || inexact != (rest.Sign() != 0) {
				t.Fatalf("%x / %x = %x, %v, want %x", dividend, value(d), q, inexact, want)
			}
		}

		x, y := Uint128{edge(), edge()}, Uint128{edge(), edge()}
		if y.IsZero() {
			continue
		}
		want, rest = new(big.Int).QuoRem(x.big(), y.big(), new(big.Int))
		if q, inexact := x.Quo(y); q.big().Cmp(want) != 0 || inexact != (rest.Sign() != 0) {
			t.Fatalf("%v / %v = %v, %v, want %x rest %x", x, y, q, inexact, want, rest)
		}
		product := new(big.Int).Mul(x.big(), y.big())
		if p := x.mul(y); new(big.Int).Add(new(big.Int).Lsh(Uint128{p.w3, p.w2}.big(), 128), (Uint128{p.w1, p.w0}).big()).Cmp(product) != 0 {
			t.Fatalf("%v * %v = %v, want %x", x, y, p, product)
		}
	}
}

// At price 1 (2^64) with liquidity 10^12, 10^6 of either token is 10^-6 of the liquidity.
func TestStepByHand(t *testing.T) {
	one := Uint128{1, 0}
	liquidity := Uint128{0, 1_000_000_000_000}
	near := Uint128{1, 1 << 48} // 2^-16 above: all of B up to there is 10^12 / 2^16 = 15258789.06
	down := Uint128{0, 1<<63 + 1<<62}
	tests := []struct {
		name   string
		d      Direction
		target Uint128
		rest   uint64
		rate   uint32
		want   Step
	}{
		{"B in, short of the target, the fee is what is left", Direction{}, near, 1_000_000, 3000,
			// 997000 * 2^64 / 10^12 = 18391403841488.4, whose B is 996999.99..., up 997000; A: 997000/(1+997000/10^12), down
			Step{Price: Uint128{1, 18391403841488}, In: 997000, Out: 996999, Fee: 3000}},
		{"B in, to the target", Direction{}, near, 1 << 40, 3000,
			// A: 10^12 * 2^-16 / (1+2^-16) = 15258556.2; the fee is 15258790 * 3000/997000 up
			Step{Price: near, In: 15258790, Out: 15258556, Fee: 45915, Filled: true}},
		{"A out, short", Direction{ExactOut: true}, near, 1_000_000, 3000,
			Step{Price: Uint128{1, 18446762520473}, In: 1000002, Out: 1000000, Fee: 3010}},
		{"A in, the fee taken from B", Direction{AToB: true, FeeOnOutput: true}, down, 1_000_000, 10_000,
			// without a fee the output is 10^6/(1+10^-6) = 999999.000001, less 1% up
			Step{Price: Uint128{0, 18446725626983924633}, In: 1_000_000, Out: 989999, Fee: 10000}},
		{"no liquidity", Direction{AToB: true}, down, 5, 3000, Step{Price: down, Filled: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := liquidity
			if tt.name == "no liquidity" {
				l = Uint128{}
			}
			if got, err := tt.d.Step(one, tt.target, l, tt.rest, tt.rate); err != nil || got != tt.want {
				t.Errorf("got %+v, %v\nwant %+v", got, err, tt.want)
			}
		})
	}
}

// FuzzStep checks what must hold of every step: the price moves in the direction and not beyond the target, nothing exceeds what was asked, and the
// input pays at least the fee.
func FuzzStep(f *testing.F) {
	f.Add(uint64(1), uint64(0), uint64(1), uint64(1<<48), uint64(0), uint64(1_000_000_000_000), uint64(1_000_000), uint32(3000), uint8(0))
	f.Add(uint64(1), uint64(0), uint64(0), uint64(1<<63), uint64(1<<40), uint64(0), uint64(math.MaxUint64), uint32(0), uint8(7))
	f.Fuzz(func(t *testing.T, ph, pl, th, tl, lh, ll, rest uint64, rate uint32, flags uint8) {
		price, target, liquidity := Uint128{ph, pl}, Uint128{th, tl}, Uint128{lh, ll}
		for _, p := range []Uint128{price, target} {
			if p.Less(lowest) || highest.Less(p) {
				return
			}
		}
		rate %= RateUnit
		d := Direction{AToB: target.Less(price), ExactOut: flags&1 != 0, FeeOnOutput: flags&2 != 0}
		s, err := d.Step(price, target, liquidity, rest, rate)
		if err != nil {
			if !errors.Is(err, amm.ErrOverflow) {
				t.Fatal(err)
			}
			return
		}
		if d.AToB && (s.Price.Less(target) || price.Less(s.Price)) || !d.AToB && (target.Less(s.Price) || s.Price.Less(price)) {
			t.Fatalf("price %v is not between %v and %v", s.Price, price, target)
		}
		if s.Filled && s.Price != target {
			t.Fatal("filled but short of the target")
		}
		switch {
		case d.ExactOut && s.Out > rest:
			t.Fatalf("out %d of %d asked", s.Out, rest)
		case d.ExactOut && s.Price != target && s.Out != rest:
			t.Fatalf("short of the target with %d of %d", s.Out, rest)
		case !d.ExactOut && s.Price != target && (s.In > rest || s.In+s.Fee != rest) && !d.FeeOnOutput:
			t.Fatalf("in %d, fee %d of %d", s.In, s.Fee, rest)
		case !d.ExactOut && d.FeeOnOutput && s.In > rest:
			t.Fatalf("in %d of %d", s.In, rest)
		}
		if !d.FeeOnOutput && s.Fee < FeeOf(s.In, rate) {
			t.Fatalf("fee %d on %d at %d", s.Fee, s.In, rate)
		}
	})
}

func TestCrossFollowsTheSign(t *testing.T) {
	plus, minus := Tick{Net: Uint128{0, 5}}, Tick{Net: Uint128{math.MaxUint64, math.MaxUint64 - 4}}
	tests := []struct {
		tick      Tick
		from      Uint128
		leftwards bool
		want      Uint128
		ok        bool
	}{
		{plus, Uint128{0, 7}, false, Uint128{0, 12}, true},
		{plus, Uint128{0, 7}, true, Uint128{0, 2}, true},
		{minus, Uint128{0, 7}, false, Uint128{0, 2}, true},
		{minus, Uint128{0, 7}, true, Uint128{0, 12}, true},
		{minus, Uint128{0, 4}, false, Uint128{}, false},
		{plus, Uint128{math.MaxUint64, math.MaxUint64}, false, Uint128{}, false},
		{Tick{}, Uint128{0, 7}, true, Uint128{0, 7}, true},
	}
	for _, tt := range tests {
		if got, ok := tt.tick.Cross(tt.from, tt.leftwards); ok != tt.ok || ok && got != tt.want {
			t.Errorf("crossing %v from %v, leftwards %v: %v, %v", tt.tick.Net, tt.from, tt.leftwards, got, ok)
		}
	}
}

func TestAfterAndSpot(t *testing.T) {
	half, two := Uint128{0, 1 << 63}, Uint128{2, 0}
	ticks := []Tick{{Index: -10, Price: half, Net: Uint128{0, 3}}, {Index: 20, Price: two, Net: Uint128{0, 4}}}
	for index, want := range map[int32]int{-11: 0, -10: 1, 0: 1, 20: 2, 30: 2} {
		if got := After(ticks, index); got != want {
			t.Errorf("After(%d) = %d, want %d", index, got, want)
		}
	}
	tests := []struct {
		liquidity uint64
		aToB      bool
		want      float64
	}{
		{9, true, 1}, {9, false, 1},
		{0, false, 0.25}, // from price 4 on
		{0, true, 0},     // falling across the tick would need liquidity below it to be negative
	}
	for _, tt := range tests {
		if got := Spot(Uint128{1, 0}, Uint128{0, tt.liquidity}, ticks, 1, tt.aToB); got != tt.want {
			t.Errorf("liquidity %d, A to B %v: %v, want %v", tt.liquidity, tt.aToB, got, tt.want)
		}
	}
}

func TestBitmapFindsTheNextSetBit(t *testing.T) {
	b := Bitmap{First: -128, Words: make([]uint64, 4)}
	b.Set(-64, []byte{1, 0, 0, 0, 0, 0, 0, 0x80, 0, 2, 0, 0, 0, 0, 0, 0}) // -64, -1 and 9
	tests := []struct {
		from int32
		up   bool
		want int32
		ok   bool
	}{
		{-128, true, -64, true}, {-64, true, -64, true}, {-63, true, -1, true}, {0, true, 9, true}, {10, true, 0, false},
		{127, false, 9, true}, {9, false, 9, true}, {8, false, -1, true}, {-2, false, -64, true}, {-65, false, 0, false},
		{128, true, 0, false}, {-129, false, 0, false},
	}
	for _, tt := range tests {
		if got, ok := b.Next(tt.from, tt.up); got != tt.want || ok != tt.ok {
			t.Errorf("from %d, up %v: %d, %v, want %d, %v", tt.from, tt.up, got, ok, tt.want, tt.ok)
		}
	}
}

func BenchmarkStep(b *testing.B) {
	one, liquidity := Uint128{1, 0}, Uint128{0, 1_000_000_000_000}
	for name, target := range map[string]Uint128{"to the target": {1, 1 << 40}, "short of it": {2, 0}} {
		for side, d := range map[string]Direction{"B in": {}, "A out": {ExactOut: true}} {
			b.Run(name+", "+side, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := d.Step(one, target, liquidity, 1_000_000_000, 3000); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		b.Run(name+", A in", func(b *testing.B) {
			b.ReportAllocs()
			target := Uint128{0, math.MaxUint64 - target.Lo}
			if target.Lo == math.MaxUint64 {
				target.Lo = 1 << 62
			}
			for b.Loop() {
				if _, err := (Direction{AToB: true}).Step(one, target, liquidity, 1_000_000_000, 3000); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
