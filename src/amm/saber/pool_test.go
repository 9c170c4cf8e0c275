package saber

import (
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/ammtest"
)

func TestVectors(t *testing.T) {
	ammtest.Vectors{Program: New, Kinds: []string{"saber-stable-swap"}}.Run(t)
}

var (
	programID = solana.MustPublicKeyFromBase58("SSwpkEEcbUqx4vtoEByFjSkhKdCT862DNVb52nZg1UZ")

	poolKey   = solana.MustPublicKeyFromBase58("YAkoNb6HKmSxQN9L8hiBE5tPJRsniSSMzND1boHmZxe")
	vaultKeys = [2]solana.PublicKey{ammtest.Key(2), ammtest.Key(3)}
	mintKeys  = [2]solana.PublicKey{ammtest.Key(4), ammtest.Key(5)}
)

// state is a pool to be encoded.
type state struct {
	reserves              [2]uint64
	initialAmp, targetAmp uint64
	rampStart, rampStop   int64
	trade                 fraction
	paused                bool
}

func usual(a, b uint64) state {
	return state{reserves: [2]uint64{a, b}, initialAmp: 100, targetAmp: 100, trade: fraction{4, 10_000}}
}

func (s state) accounts(t testing.TB) amm.Accounts {
	t.Helper()
	_, nonce, err := solana.FindProgramAddress([][]byte{poolKey[:]}, programID)
	if err != nil {
		t.Fatal(err)
	}
	pool := make([]byte, poolLen)
	pool[0], pool[2] = 1, nonce
	if s.paused {
		pool[1] = 1
	}
	for at, v := range map[int]uint64{
		3: s.initialAmp, 11: s.targetAmp, 19: uint64(s.rampStart), 27: uint64(s.rampStop),
		331: 1, 339: 2, 363: s.trade.num, 371: s.trade.den,
	} {
		binary.LittleEndian.PutUint64(pool[at:], v)
	}
	accounts := amm.Accounts{poolKey: {Owner: programID, Data: pool}}
	for i := range 2 {
		copy(pool[107+32*i:], vaultKeys[i][:])
		copy(pool[mintAAt+32*i:], mintKeys[i][:])
		accounts[mintKeys[i]] = ammtest.Mint(6)
		accounts[vaultKeys[i]] = ammtest.TokenAccount(solana.TokenProgramID, mintKeys[i], poolKey, s.reserves[i])
	}
	return accounts
}

func (s state) decode(t testing.TB) amm.Pool {
	t.Helper()
	pool, err := ammtest.Decode(New(programID), poolKey, s.accounts(t))
	if err != nil {
		t.Fatal(err)
	}
	return pool
}

// after is accounts after a swap: the output and the admins' half of the fee are gone.
func after(accounts amm.Accounts, info *amm.Info, quote amm.Quote) amm.Accounts {
	quote.Out += quote.FeeOut / 2
	return ammtest.Move(accounts, info, quote)
}

func cases(t testing.TB) []ammtest.Case {
	build := func(name string, s state) ammtest.Case {
		return ammtest.Case{
			Name: name, Program: New(programID), Pool: poolKey, Accounts: s.accounts(t), After: after,
			Clock: amm.Clock{UnixTimestamp: 1500},
		}
	}
	free := usual(3_000_000_000, 2_000_000_000)
	free.trade = fraction{0, 1}
	ramp := usual(3_000_000_000, 2_000_000_000)
	ramp.initialAmp, ramp.rampStart, ramp.rampStop = 101, 1000, 2000
	return []ammtest.Case{
		build("usual", usual(5_000_000_000, 7_000_000_000)),
		build("no fee", free),
		build("out of balance", usual(900_000_000_000, 7_000_000_000)),
		build("ramp", ramp),
		build("deep", usual(1<<61, 1<<60)),
	}
}

func TestContract(t *testing.T) { ammtest.Contract(t, cases(t)...) }

func FuzzDecode(f *testing.F) { ammtest.FuzzDecode(f, cases(f)...) }

func FuzzQuote(f *testing.F) {
	ammtest.FuzzQuote(f, amm.Clock{UnixTimestamp: 1500}, func(t testing.TB, a, b, c uint64) (amm.Pool, bool) {
		s := usual(a, b)
		s.trade = fraction{c & 0xfff, 0xfff}
		s.initialAmp, s.targetAmp = 1+c>>12%maxAmp, 1+c>>32%maxAmp
		s.rampStart, s.rampStop = 1000, 1000+int64(c>>52)
		return s.decode(t), false
	})
}

func TestQuoteByHand(t *testing.T) {
	tests := []struct {
		name string
		s    state
		req  amm.Request
		want amm.Quote
	}{
		// D = 2000, and 1010 of A balance y with y^2 + (1010+10-2000)y = 2000^3/(4*1010*200) = 9900, so 990: one less than 10 come out.
		{"exact in", usual(1000, 1000), amm.Request{AToB: true, Amount: 10}, amm.Quote{In: 10, Out: 9}},
		// 99 of 100: y is 900.3
		{"fee rounded down", state{reserves: [2]uint64{1000, 1000}, initialAmp: 100, targetAmp: 100, trade: fraction{19, 1000}},
			amm.Request{AToB: true, Amount: 100}, amm.Quote{In: 100, Out: 98, FeeOut: 1}},
		{"exact out", usual(1000, 1000), amm.Request{AToB: true, ExactOut: true, Amount: 9}, amm.Quote{In: 10, Out: 9}},
		{"one buys nothing", usual(1_000_000, 1_000_000), amm.Request{AToB: true, Amount: 1}, amm.Quote{In: 1, Out: 0}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.want.Request = tt.req
			if got, err := tt.s.decode(t).Quote(amm.Clock{}, tt.req); err != nil || got != tt.want {
				t.Errorf("quote = %+v, %v, want %+v", got, err, tt.want)
			}
		})
	}
}

func TestAmplificationRampsInAStraightLine(t *testing.T) {
	up := pool{initialAmp: 100, targetAmp: 400, rampStart: 1000, rampStop: 2000}
	down := pool{initialAmp: 400, targetAmp: 100, rampStart: 1000, rampStop: 2000}
	endless := pool{initialAmp: 400, targetAmp: 100, rampStart: math.MinInt64, rampStop: 2000}
	tests := []struct {
		pool pool
		now  int64
		want uint64 // 0 for none
	}{
		{up, 999, 0}, {up, 1000, 100}, {up, 1001, 100}, {up, 1500, 250}, {up, 1999, 399}, {up, 2000, 400}, {up, 9999, 400},
		{down, 999, 0}, {down, 1000, 400}, {down, 1001, 400}, {down, 1500, 250}, {down, 1999, 101}, {down, 2000, 100},
		{endless, 1000, 0}, {endless, 2000, 100},
	}
	for _, tt := range tests {
		if got, ok := tt.pool.amp(tt.now); got != tt.want || ok != (tt.want != 0) {
			t.Errorf("%d to %d at %d = %d, %t, want %d", tt.pool.initialAmp, tt.pool.targetAmp, tt.now, got, ok, tt.want)
		}
	}
}

// A ramp's end must not show in quotes: the curve computed on the way and the one computed when decoding are the same.
func TestRampEndsWhereTheSettledCurveBegins(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		s := usual(1+random.Uint64N(1<<40), 1+random.Uint64N(1<<40))
		ramp := s
		s.targetAmp = 1 + random.Uint64N(1000)
		// Half way from 2t-1 to 1 is t.
		ramp.initialAmp, ramp.targetAmp, ramp.rampStart, ramp.rampStop = 2*s.targetAmp-1, 1, 0, 2
		request := amm.Request{AToB: random.IntN(2) == 0, Amount: 1 + random.Uint64N(1<<40)}
		want, wantErr := s.decode(t).Quote(amm.Clock{UnixTimestamp: 1}, request)
		got, err := ramp.decode(t).Quote(amm.Clock{UnixTimestamp: 1}, request)
		if got != want || !errors.Is(err, wantErr) {
			t.Errorf("%+v, %+v: %+v, %v on the way, %+v, %v settled", s, request, got, err, want, wantErr)
		}
	}
}

func TestRefusals(t *testing.T) {
	paused, late := usual(1000, 1000), usual(1000, 1000)
	paused.paused = true
	late.initialAmp, late.rampStart, late.rampStop = 50, 10, 20
	in := func(n uint64) amm.Request { return amm.Request{AToB: true, Amount: n} }
	out := func(n uint64) amm.Request { return amm.Request{AToB: true, ExactOut: true, Amount: n} }
	tests := []struct {
		name string
		s    state
		req  amm.Request
		want error
	}{
		{"paused", paused, in(100), amm.ErrSwapDisabled},
		{"ramp not begun", late, in(100), amm.ErrOverflow},
		{"zero in", usual(1000, 1000), in(0), amm.ErrZeroAmount},
		{"zero out", usual(1000, 1000), out(0), amm.ErrZeroAmount},
		{"no input reserve", usual(0, 1000), in(100), amm.ErrInsufficientLiquidity},
		{"no output reserve", usual(1000, 0), in(100), amm.ErrInsufficientLiquidity},
		{"reserves a million times apart", state{
			reserves: [2]uint64{3_878_282_366_904, 3_344_562}, initialAmp: 11, targetAmp: 11, trade: fraction{0, 1},
		}, in(1000), amm.ErrComputeBudget},
		{"doubling the reserve overflows", usual(1<<63, 1000), in(100), amm.ErrInsufficientLiquidity},
		{"doubling the new reserve overflows", usual(1<<62, 1<<62), in(1 << 62), amm.ErrOverflow},
		{"the vault cannot hold it", usual(1000, 1000), in(math.MaxUint64), amm.ErrOverflow},
		{"the whole reserve", usual(1000, 1000), out(1000), amm.ErrInsufficientLiquidity},
		{"all but one", usual(1000, 1000), out(999), nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := tt.s.decode(t).Quote(amm.Clock{}, tt.req); !errors.Is(err, tt.want) {
				t.Errorf("quote %+v, error %v, want %v", got, err, tt.want)
			}
		})
	}
}

func TestInconsistentAccountsAreRefused(t *testing.T) {
	tests := map[string]func(amm.Accounts){
		"discriminator":             func(a amm.Accounts) { a[poolKey].Data[0] = 0 },
		"is_paused":                 func(a amm.Accounts) { a[poolKey].Data[1] = 2 },
		"initial_amp_factor":        func(a amm.Accounts) { a[poolKey].Data[3] = 0 },
		"target_amp_factor":         func(a amm.Accounts) { a[poolKey].Data[14] = 1 },
		"trade_fee_numerator":       func(a amm.Accounts) { a[poolKey].Data[366] = 1 },
		"admin_trade_fee_numerator": func(a amm.Accounts) { a[poolKey].Data[339] = 0 },
		"mint":                      func(a amm.Accounts) { a[vaultKeys[1]].Data[0]++ },
		"owner":                     func(a amm.Accounts) { a[mintKeys[0]].Owner = solana.Token2022ProgramID },
	}
	for field, damage := range tests {
		accounts := usual(1_000, 1_000).accounts(t)
		damage(accounts)
		_, err := ammtest.Decode(New(programID), poolKey, accounts)
		var malformed *amm.DecodeError
		if !errors.As(err, &malformed) || malformed.Field != field {
			t.Errorf("error %v, want one about %s", err, field)
		}
	}
}

func BenchmarkExactIn(b *testing.B) {
	benchmark(b, usual(5_000_000_000, 7_000_000_000), amm.Request{AToB: true, Amount: 1_000_000})
}

func BenchmarkExactInDuringRamp(b *testing.B) {
	s := usual(5_000_000_000, 7_000_000_000)
	s.initialAmp, s.rampStop = 200, 10
	benchmark(b, s, amm.Request{AToB: true, Amount: 1_000_000})
}

func BenchmarkExactOut(b *testing.B) {
	benchmark(b, usual(5_000_000_000, 7_000_000_000), amm.Request{AToB: true, ExactOut: true, Amount: 1_000_000})
}

func benchmark(b *testing.B, s state, req amm.Request) {
	pool := s.decode(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := pool.Quote(amm.Clock{}, req); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	program, accounts := New(programID), usual(5_000_000_000, 7_000_000_000).accounts(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := program.Decode(poolKey, accounts); err != nil {
			b.Fatal(err)
		}
	}
}
