package dammv2

import (
	"encoding/binary"
	"errors"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/ammtest"
	"jupiter-dex-integration/src/amm/clmath"
)

func TestVectors(t *testing.T) {
	ammtest.Vectors{Program: New, Kinds: []string{"meteora-damm-v2"}}.Run(t)
}

var (
	programID = solana.MustPublicKeyFromBase58("cpamdpZCGKUy5JxQXB4dcpGPiikHawvSWAd6mEn1sGG")
	poolKey   = ammtest.Key(1)
	mintKeys  = [2]solana.PublicKey{ammtest.Key(2), ammtest.Key(3)}

	testClock = amm.Clock{Slot: 5_000, UnixTimestamp: 1_000}
)

// state is a pool to be encoded. Prices are square roots, Hi their whole part.
type state struct {
	mints                      [2]*amm.Account
	price, min, max, liquidity clmath.Uint128
	reserves, protocolFees     [2]uint64
	cliff, reduction           uint64
	mode                       uint8
	// The modes of the base fee use its bytes from 14 on differently; word16 and word20 are at 16 and 20.
	periods                  uint16
	word16, word20           uint32
	collect, status, version uint8
	activation               uint64
	bySlot, untracked        bool
	compoundingBps           uint16
	dynamic                  bool
	accumulator              uint64
	reference, unit          clmath.Uint128
	updated                  uint64
	initial                  clmath.Uint128
}

// plain has a price of 4 (a square root of 2) in the range 1/16 to 256, and a fee of 1%.
func plain() state {
	return state{
		mints: [2]*amm.Account{ammtest.Mint(9), ammtest.Mint(6)},
		price: clmath.Uint128{Hi: 2}, min: clmath.Uint128{Lo: 1 << 62}, max: clmath.Uint128{Hi: 16},
		liquidity: clmath.Uint128{Hi: 1_000_000},
		reserves:  [2]uint64{500_000, 2_000_000},
		cliff:     10_000_000, version: 1, initial: clmath.Uint128{Hi: 2},
	}
}

func (s state) with(change func(*state)) state {
	change(&s)
	return s
}

// limited is a pool of which buyers pay 1% for the first 1000, 1% more for each further 1000, and at most 10%, for 500 seconds from the activation.
func limited() state {
	return plain().with(func(s *state) {
		s.collect, s.mode, s.activation = collectOnlyB, modeRateLimiter, 600
		s.periods, s.word16, s.word20, s.reduction = 100, 500, 1_000, 1_000
	})
}

// compounding gives half of the fees that the protocol leaves back to the reserve.
func compounding() state {
	return plain().with(func(s *state) {
		s.collect, s.compoundingBps = collectCompounding, 5_000
		s.min, s.max = clmath.Uint128{}, clmath.Uint128{Hi: math.MaxUint64, Lo: math.MaxUint64}
	})
}

// volatile adds a dynamic fee of ceil((50000*1)^2 * 40000 / 10^11) = 1000 in 10^9.
func volatile(s *state) {
	s.dynamic, s.accumulator, s.updated = true, 50_000, 990
	s.reference, s.unit = s.price, clmath.Uint128{Lo: 1_844_674_407_370_955}
}

func put128(data []byte, x clmath.Uint128) {
	binary.LittleEndian.PutUint64(data, x.Lo)
	binary.LittleEndian.PutUint64(data[8:], x.Hi)
}

func (s state) accounts() amm.Accounts {
	le := binary.LittleEndian
	data := make([]byte, poolLen)
	copy(data, poolDiscriminator)
	le.PutUint64(data[8:], s.cliff)
	data[16] = s.mode
	le.PutUint16(data[22:], s.periods)
	le.PutUint32(data[24:], s.word16)
	le.PutUint32(data[28:], s.word20)
	le.PutUint64(data[32:], s.reduction)
	data[48] = 20
	le.PutUint16(data[54:], s.compoundingBps)
	if s.dynamic {
		data[56] = 1
	}
	le.PutUint32(data[68:], 40_000)
	le.PutUint16(data[72:], 1)
	le.PutUint16(data[74:], 20)
	le.PutUint64(data[80:], s.updated)
	put128(data[88:], s.unit)
	put128(data[104:], s.reference)
	le.PutUint64(data[120:], s.accumulator)
	put128(data[152:], s.initial)
	accounts := amm.Accounts{}
	for i, mint := range mintKeys {
		copy(data[mintAAt+32*i:], mint[:])
		vault := ammtest.Key(uint64(10 + i))
		copy(data[vaultAAt+32*i:], vault[:])
		le.PutUint64(data[392+8*i:], s.protocolFees[i])
		le.PutUint64(data[680+8*i:], s.reserves[i])
		accounts[mint] = s.mints[i]
	}
	put128(data[360:], s.liquidity)
	put128(data[424:], s.min)
	put128(data[440:], s.max)
	put128(data[456:], s.price)
	le.PutUint64(data[472:], s.activation)
	if !s.bySlot {
		data[480] = activationByTime
	}
	data[481], data[484], data[486] = s.status, s.collect, s.version
	if !s.untracked {
		data[696] = 1
	}
	accounts[poolKey] = &amm.Account{Owner: programID, Data: data}
	return accounts
}

func (s state) decode(t testing.TB) *pool {
	t.Helper()
	decoded, err := ammtest.Decode(New(programID), poolKey, s.accounts())
	if err != nil {
		t.Fatal(err)
	}
	return decoded.(*pool)
}

// after writes the price and the reserves that a swap of SPL Token mints leaves.
func after(accounts amm.Accounts, info *amm.Info, quote amm.Quote) amm.Accounts {
	decoded, err := ammtest.Decode(New(programID), poolKey, accounts)
	if err != nil {
		panic(err)
	}
	p := decoded.(*pool)
	t := trade{aToB: quote.AToB, elapsed: uint64(testClock.UnixTimestamp) - p.activation}
	if _, err := p.exactIn(&t, quote.In); err != nil {
		panic(err)
	}
	data := slices.Clone(accounts[poolKey].Data)
	in, out := 0, 1
	if !t.aToB {
		in, out = 1, 0
	}
	p.reserves[in] += t.in
	p.reserves[out] -= t.out
	p.reserves[1] += (t.fee - t.fee*p.protocolPercent/100) * p.compoundingBps / oneInBps
	if p.collect == collectCompounding {
		t.next = priceOf(p.reserves[0], p.reserves[1])
	}
	put128(data[456:], t.next)
	binary.LittleEndian.PutUint64(data[680:], p.reserves[0])
	binary.LittleEndian.PutUint64(data[688:], p.reserves[1])
	moved := maps.Clone(accounts)
	moved[poolKey] = &amm.Account{Owner: programID, Data: data}
	return moved
}

func cases() []ammtest.Case {
	deep := plain().with(func(s *state) {
		s.liquidity, s.reserves = clmath.Uint128{Hi: 1 << 50, Lo: 12_345}, [2]uint64{1 << 49, 1 << 51}
		s.price.Lo = 987_654_321
	})
	build := func(name string, s state) ammtest.Case {
		c := ammtest.Case{
			Name: name, Program: New(programID), Pool: poolKey, Accounts: s.accounts(), Clock: testClock,
			// The price after an output is rounded, so that its input can be more than the smallest.
			Loose: true,
		}
		if s.mints[0].Owner == solana.TokenProgramID {
			c.After = after
		}
		return c
	}
	limiter := build("rate limiter", limited().with(func(s *state) {
		s.liquidity, s.reserves = clmath.Uint128{Hi: 1 << 40}, [2]uint64{1 << 39, 1 << 41}
		s.reduction = 1 << 30
	}))
	// The program rounds one rate for the whole amount up to 10^-9 of it, and 14*2^40 of B can come in.
	limiter.Slack = 14 << 40 / oneInRate
	return []ammtest.Case{
		build("flat fee", plain().with(volatile)),
		build("deep, fee on B", deep.with(func(s *state) { s.collect = collectOnlyB })),
		build("time scheduler", deep.with(func(s *state) {
			s.mode, s.cliff, s.periods, s.word16, s.reduction = modeTimeExponential, 400_000_000, 60, 10, 500
		})),
		build("market-cap scheduler", deep.with(func(s *state) {
			s.mode, s.cliff, s.periods, s.word16, s.word20, s.reduction = modeMarketCapLinear, 400_000_000, 60, 100, 2_000, 1_000_000
			s.initial = clmath.Uint128{Hi: 1, Lo: 1 << 63}
		})),
		limiter,
		build("compounding", compounding().with(volatile)),
		build("transfer fees", deep.with(func(s *state) {
			s.mints = [2]*amm.Account{ammtest.MintWithFee(9, 77, 50_000), ammtest.MintWithFee(6, 10_000, 3)}
		})),
	}
}

func TestContract(t *testing.T) { ammtest.Contract(t, cases()...) }

func FuzzDecode(f *testing.F) { ammtest.FuzzDecode(f, cases()...) }

func FuzzQuote(f *testing.F) {
	ammtest.FuzzQuote(f, testClock, func(t testing.TB, a, b, c uint64) (amm.Pool, bool) {
		s := plain().with(func(s *state) {
			s.collect, s.cliff, s.version = uint8(c%3), c>>2%990_000_001, 1
			s.reserves = [2]uint64{a, b}
			s.price = clmath.Uint128{Hi: c >> 40 & 15, Lo: c}
			s.liquidity = clmath.Uint128{Hi: a >> 6, Lo: b} // so that the whole range's amounts fit 64 bits
			s.mode = uint8(c>>33) % modeRateLimiter
			s.periods, s.word16, s.reduction = uint16(c>>36), uint32(c>>44)%500, c>>50%10_001
			if c>>34&1 == 1 {
				s.mints[0] = ammtest.MintWithFee(6, uint16(c>>44)%10_001, c>>50)
			}
		})
		if s.price.Less(s.min) {
			return nil, false
		}
		return s.decode(t), false
	})
}

func TestQuoteByHand(t *testing.T) {
	onB := plain().with(func(s *state) { s.collect = collectOnlyB })
	transfer := plain().with(func(s *state) {
		s.mints = [2]*amm.Account{ammtest.MintWithFee(9, 100, math.MaxUint64), ammtest.MintWithFee(6, 200, 5)}
	})
	a := func(amount uint64) amm.Request { return amm.Request{AToB: true, Amount: amount} }
	b := func(amount uint64) amm.Request { return amm.Request{Amount: amount} }
	exact := func(r amm.Request) amm.Request {
		r.ExactOut = true
		return r
	}
	tests := []struct {
		name string
		s    state
		req  amm.Request
		want amm.Quote
	}{
		// The root of the price falls from 2 to 2*10^6/(10^6+2000) = 1.996007..: 3992.01 B, of which ceil(39.92) are the fee
		{"a for b", plain(), a(1_000), amm.Quote{In: 1_000, Out: 3_952, FeeOut: 40}},
		// It rises to 2.004: 10^6*0.004/(2*2.004) = 998.003.. A, fee ceil(9.98)
		{"b for a", plain(), b(4_000), amm.Quote{In: 4_000, Out: 988, FeeOut: 10}},
		// Fee 40 of 4000, the root rises to 2.00396: 10^6*0.00396/(2*2.00396) = 988.04
		{"b for a, fee on b", onB, b(4_000), amm.Quote{In: 4_000, Out: 988, FeeIn: 40}},
		// ceil(3951/0.99) = 3991 leave, the root falls to 1.996009: ceil(10^6*0.003991/(2*1.996009)) = 1000
		{"a for exact b", plain(), exact(a(3_951)), amm.Quote{In: 1_000, Out: 3_951, FeeOut: 40}},
		// The root rises to 2*10^6/(10^6-2*988) = 2.00395982..: ceil(3959.82) must arrive, and ceil(3960/0.99) = 4000 with the fee
		{"b for exact a, fee on b", onB, exact(b(988)), amm.Quote{In: 4_000, Out: 988, FeeIn: 40}},
		// ceil(10.1) = 11 of 1010 are withheld, 999 arrive: 2*10^6/1001998 = 1.9960119..: 3988.03 B, fee 40, of 3948 the cap of 5
		{"transfer fees", transfer, a(1_010), amm.Quote{In: 1_010, Out: 3_943, FeeOut: 40}},
		// 2000000*1000/501000 = 3992.01, fee 40
		{"compounding, a for b", compounding(), a(1_000), amm.Quote{In: 1_000, Out: 3_952, FeeOut: 40}},
		// fee 40: 500000*3960/2003960 = 988.04
		{"compounding, b for a", compounding(), b(4_000), amm.Quote{In: 4_000, Out: 988, FeeIn: 40}},
		// ceil(2000000*988/499012) = 3960, with the fee 4000
		{"compounding, b for exact a", compounding(), exact(b(988)), amm.Quote{In: 4_000, Out: 988, FeeIn: 40}},
		// A rate of 1000 in 10^9 more than 1%: ceil(998*0.010001) = 10 of A
		{"dynamic fee", plain().with(volatile), b(4_000), amm.Quote{In: 4_000, Out: 988, FeeOut: 10}},
		// 1000 at 1%, 1000 at 2%, 500 at 3%: 45 of 2500, the root rises to 2.002455: 612.99 A
		{"rate limiter", limited(), b(2_500), amm.Quote{In: 2_500, Out: 612, FeeIn: 45}},
		// What sells is not limited
		{"rate limiter, a for b", limited(), a(1_000), amm.Quote{In: 1_000, Out: 3_952, FeeOut: 40}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.want.Request = tt.req
			if got, err := tt.s.decode(t).Quote(testClock, tt.req); err != nil || got != tt.want {
				t.Errorf("quote = %+v, %v, want %+v", got, err, tt.want)
			}
		})
	}
}

func TestFeeSchedules(t *testing.T) {
	const activation = 600
	linear := plain().with(func(s *state) {
		s.activation, s.cliff, s.periods, s.word16, s.reduction = activation, 400_000_000, 10, 60, 30_000_000
	})
	exponential := linear.with(func(s *state) { s.mode, s.reduction = modeTimeExponential, 5_000 })
	byPrice := linear.with(func(s *state) {
		// 4% up from the start are 8 steps of 0.5%.
		s.mode, s.word16, s.word20 = modeMarketCapLinear, 50, 100
		s.price, s.initial = clmath.Uint128{Hi: 104}, clmath.Uint128{Hi: 100}
	})
	tests := []struct {
		name    string
		s       state
		elapsed uint64
		want    uint64
	}{
		{"linear, at the start", linear, 0, 400_000_000},
		{"linear, last point of the first period", linear, 59, 400_000_000},
		{"linear, second period", linear, 60, 370_000_000},
		{"linear, all periods", linear, 600, 100_000_000},
		{"linear, long after", linear, math.MaxUint32, 100_000_000},
		{"exponential, at the start", exponential, 0, 400_000_000},
		{"exponential, halved", exponential, 60, 200_000_000},
		{"exponential, halved thrice", exponential, 180, 50_000_000},
		{"by price, in time", byPrice, 100, 400_000_000 - 8*30_000_000},
		{"by price, expired", byPrice, 101, 100_000_000},
		{"by price, below the start", byPrice.with(func(s *state) { s.initial = clmath.Uint128{Hi: 105} }), 0, 400_000_000},
		{"by price, halved eight times", byPrice.with(func(s *state) { s.mode, s.reduction = modeMarketCapExponential, 5_000 }), 0, 1_562_500},
		{"no periods", linear.with(func(s *state) { s.word16 = 0 }), 600, 400_000_000},
		{"capped at half", linear.with(func(s *state) { s.cliff, s.version = 600_000_000, 0 }), 0, 500_000_000},
		{"capped at 99%", linear.with(func(s *state) { s.cliff = 995_000_000 }), 0, 990_000_000},
		{"with a dynamic part", linear.with(volatile), 0, 400_001_000},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.s.decode(t).rate(&trade{aToB: true, elapsed: tt.elapsed}, 1_000, true)
			if err != nil || got != tt.want {
				t.Errorf("rate %d, %v, want %d", got, err, tt.want)
			}
		})
	}
}

// The limiter's definition, summed a reference at a time.
func TestRateLimiterChargesEachReferenceMore(t *testing.T) {
	l := limited().decode(t).base.limiter
	for amount := uint64(1); amount < 30_000; amount += 7 {
		var fee, rate uint64 = 0, l.cliff
		for rest := amount; rest > 0; {
			part := min(rest, l.referenceIn)
			fee += part * rate
			rest -= part
			rate = min(rate+l.increment, l.max)
		}
		fee = (fee + oneInRate - 1) / oneInRate
		want := (fee*oneInRate + amount - 1) / amount
		if amount <= l.referenceIn {
			want = l.cliff
		}
		if got, ok := l.ofIncluded(amount); !ok || got != want {
			t.Fatalf("rate of %d is %d, %t, want %d", amount, got, ok, want)
		}
	}
}

// What is left of an input, asked for as such, must be charged what the input is, but for the rounding of the program's square root.
func TestRateLimiterInverse(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		l := limiter{
			cliff: ratePerBps * (1 + random.Uint64N(500)), increment: ratePerBps * (1 + random.Uint64N(500)),
			referenceIn: 100_000 + random.Uint64()>>(24+random.IntN(20)),
		}
		l.max = l.cliff + ratePerBps*random.Uint64N(4_900)
		amount := 1 + random.Uint64N(60*l.referenceIn)
		left, ok := l.less(amount)
		rate, ok2 := l.ofExcluded(left)
		if !ok || !ok2 {
			t.Fatalf("%+v: no rate for %d", l, amount)
		}
		gross, _ := plusFee(0, left, rate)
		if diff := max(gross, amount) - min(gross, amount); float64(diff) > 4+float64(amount)*3e-9 {
			t.Errorf("%+v: %d leaves %d, which is thought to take %d", l, amount, left, gross)
		}
	}
}

func TestRefusals(t *testing.T) {
	sell, buy := amm.Request{AToB: true, Amount: 1_000}, amm.Request{Amount: 1_000}
	buyOut := amm.Request{ExactOut: true, Amount: 100}
	s := plain()
	tests := []struct {
		name string
		s    state
		req  amm.Request
		want error
	}{
		{"open", s, sell, nil},
		{"disabled", s.with(func(s *state) { s.status = 1 }), sell, amm.ErrSwapDisabled},
		{"opens at the second", s.with(func(s *state) { s.activation = 1_000 }), sell, nil},
		{"opens later", s.with(func(s *state) { s.activation = 1_001 }), sell, amm.ErrNotOpen},
		{"opens at the slot", s.with(func(s *state) { s.activation, s.bySlot = 5_000, true }), sell, nil},
		{"opens at a later slot", s.with(func(s *state) { s.activation, s.bySlot = 5_001, true }), sell, amm.ErrNotOpen},
		{"zero in", s, amm.Request{}, amm.ErrZeroAmount},
		{"zero out", s, amm.Request{ExactOut: true}, amm.ErrZeroAmount},
		{"zero is bought", s, amm.Request{Amount: 1}, nil},
		{"no liquidity", s.with(func(s *state) { s.liquidity = clmath.Uint128{} }), sell, amm.ErrInsufficientLiquidity},
		// From 2 down to 1/4 the range takes 10^6*1.75/0.5 of A, and up to 16 10^6*14 of B.
		{"down to the range's end", s, amm.Request{AToB: true, Amount: 3_500_000}, nil},
		{"below the range", s, amm.Request{AToB: true, Amount: 3_500_001}, amm.ErrInsufficientLiquidity},
		{"up to the range's end", s, amm.Request{Amount: 14_000_000}, nil},
		{"above the range", s, amm.Request{Amount: 14_000_001}, amm.ErrInsufficientLiquidity},
		{"all of A and more", s, amm.Request{ExactOut: true, Amount: math.MaxUint64}, amm.ErrOverflow},
		{"more of A than there is", s, amm.Request{ExactOut: true, Amount: 490_000}, amm.ErrInsufficientLiquidity},
		{"more than the reserve", s.with(func(s *state) { s.reserves[1] = 3_991 }), sell, amm.ErrInsufficientLiquidity},
		{"the reserve", s.with(func(s *state) { s.reserves[1] = 3_992 }), sell, nil},
		{"a reserve that overflows", s.with(func(s *state) { s.reserves[0] = math.MaxUint64 - 999 }), sell, amm.ErrOverflow},
		{"a pool without an account of its reserves", s.with(func(s *state) { s.reserves, s.untracked = [2]uint64{}, true }), sell, nil},
		{"protocol fees that overflow", s.with(func(s *state) { s.protocolFees[1] = math.MaxUint64 - 7 }), sell, amm.ErrOverflow},
		{"protocol fees of the other token", s.with(func(s *state) { s.protocolFees[0] = math.MaxUint64 - 1 }), sell, nil},
		{"a reduction above the fee", s.with(func(s *state) { s.periods, s.word16, s.reduction = 10, 1, 2_000_000 }), sell, amm.ErrOverflow},
		{"a reduction of 100%", s.with(func(s *state) { s.mode, s.periods, s.word16, s.reduction = 1, 10, 1, 10_000 }), sell, amm.ErrOverflow},
		{"a limiter without a step", limited().with(func(s *state) { s.periods = 0 }), amm.Request{Amount: 1_001}, amm.ErrOverflow},
		{"a limiter without a step, sold", limited().with(func(s *state) { s.periods = 0 }), sell, nil},
		{"a limiter without a step, expired", limited().with(func(s *state) { s.periods, s.word16 = 0, 399 }), amm.Request{Amount: 1_001}, nil},
		{"no limiter", limited().with(func(s *state) { s.periods, s.word16, s.word20, s.reduction = 0, 0, 0, 0 }), buy, nil},
		{"volatility without a reference", s.with(volatile).with(func(s *state) { s.reference = clmath.Uint128{} }), sell, amm.ErrOverflow},
		{"volatility whose reference is old", s.with(volatile).with(func(s *state) { s.reference, s.updated = clmath.Uint128{}, 980 }), sell, nil},
		{"volatility from the future", s.with(volatile).with(func(s *state) { s.updated = 9_999 }), sell, nil},
		{"compounding, all of the reserve", compounding(), amm.Request{ExactOut: true, Amount: 500_000}, amm.ErrInsufficientLiquidity},
		{"compounding, empty", compounding().with(func(s *state) { s.reserves = [2]uint64{} }), buy, amm.ErrInsufficientLiquidity},
		{"compounding, exact out", compounding(), buyOut, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := tt.s.decode(t).Quote(testClock, tt.req); !errors.Is(err, tt.want) {
				t.Errorf("quote %+v, error %v, want %v", got, err, tt.want)
			}
		})
	}
}

func TestInconsistentAccountsAreRefused(t *testing.T) {
	fields := map[string]func(data []byte){
		"base_fee_mode":          func(d []byte) { d[16] = 5 },
		"protocol_fee_percent":   func(d []byte) { d[48] = 101 },
		"compounding_fee_bps":    func(d []byte) { d[55] = 0xff },
		"activation_type":        func(d []byte) { d[480] = 2 },
		"collect_fee_mode":       func(d []byte) { d[484] = 3 },
		"fee_version":            func(d []byte) { d[486] = 2 },
		"layout_version":         func(d []byte) { d[696] = 2 },
		"sqrt_price_step_bps":    func(d []byte) { d[16] = modeMarketCapLinear },
		"init_sqrt_price":        func(d []byte) { d[16], d[24] = modeMarketCapLinear, 1; clear(d[152:168]) },
		"bin_step_u128":          func(d []byte) { d[56] = 1 },
		"volatility_accumulator": func(d []byte) { d[56], d[96], d[130] = 1, 1, 1 },
	}
	for field, damage := range fields {
		accounts := plain().accounts()
		damage(accounts[poolKey].Data)
		_, err := ammtest.Decode(New(programID), poolKey, accounts)
		var malformed *amm.DecodeError
		if !errors.As(err, &malformed) || malformed.Field != field {
			t.Errorf("error %v, want one about %s", err, field)
		}
	}
	features := map[string]state{
		"dynamic fee":      plain().with(volatile).with(func(s *state) { s.accumulator = math.MaxUint64 }),
		"layout version 0": plain().with(func(s *state) { s.untracked, s.price = true, clmath.Uint128{Hi: 17} }),
	}
	for feature, s := range features {
		_, err := ammtest.Decode(New(programID), poolKey, s.accounts())
		var unsupported *amm.UnsupportedError
		if !errors.As(err, &unsupported) || unsupported.Feature != feature {
			t.Errorf("error %v, want one about %s", err, feature)
		}
	}
}

// The program looks at the transaction's instructions for a buyer whom the limiter can meet.
func TestRateLimiterIsShownTheInstructions(t *testing.T) {
	p := limited().decode(t)
	for _, aToB := range []bool{true, false} {
		quote, err := p.Quote(testClock, amm.Request{AToB: aToB, Amount: 2_000})
		if err != nil {
			t.Fatal(err)
		}
		instruction, err := p.SwapInstruction(quote, amm.Swap{})
		if err != nil {
			t.Fatal(err)
		}
		keys := instruction.Accounts()
		if shown := keys[len(keys)-1].PublicKey == solana.SysVarInstructionsPubkey; shown == aToB {
			t.Errorf("a to b %t: instructions shown: %t", aToB, shown)
		}
	}
}

func BenchmarkExactIn(b *testing.B) {
	benchmark(b, plain(), amm.Request{AToB: true, Amount: 1_000})
}

func BenchmarkExactInOfB(b *testing.B) {
	benchmark(b, plain(), amm.Request{Amount: 1_000})
}

func BenchmarkExactOut(b *testing.B) {
	benchmark(b, plain(), amm.Request{AToB: true, ExactOut: true, Amount: 1_000})
}

func BenchmarkRateLimiterExactIn(b *testing.B) {
	benchmark(b, limited(), amm.Request{Amount: 2_500})
}

func BenchmarkRateLimiterExactOut(b *testing.B) {
	benchmark(b, limited(), amm.Request{ExactOut: true, Amount: 1_000})
}

func BenchmarkCompoundingExactIn(b *testing.B) {
	benchmark(b, compounding(), amm.Request{AToB: true, Amount: 1_000})
}

func benchmark(b *testing.B, s state, req amm.Request) {
	pool := s.decode(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := pool.Quote(testClock, req); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	program, accounts := New(programID), plain().accounts()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := program.Decode(poolKey, accounts); err != nil {
			b.Fatal(err)
		}
	}
}
