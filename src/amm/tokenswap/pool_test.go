package tokenswap

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/ammtest"
)

func TestVectors(t *testing.T) {
	ammtest.Vectors{Program: New, Kinds: []string{"spl-token-swap"}}.Run(t)
}

var (
	programID = solana.MustPublicKeyFromBase58("9W959DqEETiGZocYWCQPaJ6sBmUzgfxXfqGeTEdp3aQP")

	poolKey   = solana.MustPublicKeyFromBase58("EGZ7tiLeH62TPV1gL8WwbXGzEPa9zmcpVnnkPKKnrE2U")
	vaultKeys = [2]solana.PublicKey{ammtest.Key(2), ammtest.Key(3)}
	mintKeys  = [2]solana.PublicKey{ammtest.Key(4), ammtest.Key(5)}
)

// state is a pool to be encoded.
type state struct {
	reserves     [2]uint64
	trade, owner fee
	curve        uint8
	amp          uint64
}

func product30(a, b uint64) state {
	return state{reserves: [2]uint64{a, b}, trade: fee{25, 10_000}, owner: fee{5, 10_000}}
}

func stable100(a, b uint64) state {
	return state{reserves: [2]uint64{a, b}, trade: fee{4, 10_000}, curve: curveStable, amp: 100}
}

func (s state) accounts(t testing.TB) amm.Accounts {
	t.Helper()
	_, bump, err := solana.FindProgramAddress([][]byte{poolKey[:]}, programID)
	if err != nil {
		t.Fatal(err)
	}
	pool := make([]byte, poolLen)
	copy(pool, poolStart)
	pool[2] = bump
	copy(pool[3:], solana.TokenProgramID[:])
	for at, v := range map[int]uint64{227: s.trade.num, 235: s.trade.den, 243: s.owner.num, 251: s.owner.den, 292: s.amp} {
		binary.LittleEndian.PutUint64(pool[at:], v)
	}
	pool[291] = s.curve
	accounts := amm.Accounts{poolKey: {Owner: programID, Data: pool}}
	for i := range 2 {
		copy(pool[35+32*i:], vaultKeys[i][:])
		copy(pool[mintAAt+32*i:], mintKeys[i][:])
		accounts[mintKeys[i]] = ammtest.Mint(uint8(6 + i))
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

func cases(t testing.TB) []ammtest.Case {
	build := func(name string, s state) ammtest.Case {
		c := ammtest.Case{Name: name, Program: New(programID), Pool: poolKey, Accounts: s.accounts(t), After: ammtest.Move}
		if s.trade.num > 0 && s.owner.num > 0 {
			c.Slack = 1 // both fees can step up at once
		}
		return c
	}
	free := product30(5_000_000_000, 7_000_000)
	free.trade, free.owner = fee{}, fee{}
	return []ammtest.Case{
		build("two fees", product30(5_000_000_000, 7_000_000)),
		build("no fees", free),
		build("deep", product30(1<<62, 1<<61)),
		build("stable", stable100(5_000_000_000, 7_000_000_000)),
		build("stable, out of balance", stable100(500_000_000_000_000, 7_000_000_000)),
	}
}

func TestContract(t *testing.T) { ammtest.Contract(t, cases(t)...) }

func FuzzDecode(f *testing.F) { ammtest.FuzzDecode(f, cases(f)...) }

func FuzzQuote(f *testing.F) {
	ammtest.FuzzQuote(f, amm.Clock{}, func(t testing.TB, a, b, c uint64) (amm.Pool, bool) {
		s := state{reserves: [2]uint64{a, b}, trade: fee{c >> 8 & 0xfff, 0x1000}, curve: uint8(c) & curveStable, amp: c>>20&0xffff + 1}
		return s.decode(t), true
	})
}

func TestQuoteByHand(t *testing.T) {
	tests := []struct {
		name string
		s    state
		req  amm.Request
		want amm.Quote
	}{
		// Fees of floor(0.25) and floor(0.05) are 1 each; 2000000/1098 = 1821.5, up to 1822, for which 1098 are needed.
		{"product", product30(1000, 2000), amm.Request{AToB: true, Amount: 100}, amm.Quote{In: 100, Out: 178, FeeIn: 2}},
		// Of 1000 the fees are floor(2.5) and 1; 300000/1997 = 150.2, up to 151, for which ceil(300000/151) = 1987 do: 10 are not taken.
		{"product takes less", product30(1000, 300), amm.Request{AToB: true, Amount: 1000}, amm.Quote{In: 990, Out: 149, FeeIn: 3}},
		// 178 leave 1822: ceil(2000000/1822) = 1098, and 98 are left of 100.
		{"product, exact out", product30(1000, 2000), amm.Request{AToB: true, ExactOut: true, Amount: 178}, amm.Quote{In: 100, Out: 178, FeeIn: 2}},
		// D = 2000 and 1010 of A leave y with y^2 + (1010+10-2000)y = 2000^3/(4*1010*200) = 9900, so 990.00002, up to 991.
		{"stable", stable100(1000, 1000), amm.Request{AToB: true, Amount: 11}, amm.Quote{In: 11, Out: 9, FeeIn: 1}},
		{"stable, all of it is fee", stable100(1000, 1000), amm.Request{AToB: true, Amount: 1}, amm.Quote{In: 1, Out: 0, FeeIn: 1}},
		{"stable, exact out", stable100(1000, 1000), amm.Request{AToB: true, ExactOut: true, Amount: 9}, amm.Quote{In: 11, Out: 9, FeeIn: 1}},
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

func TestRefusals(t *testing.T) {
	in, out := func(n uint64) amm.Request { return amm.Request{AToB: true, Amount: n} }, func(n uint64) amm.Request {
		return amm.Request{AToB: true, ExactOut: true, Amount: n}
	}
	greedy := product30(1_000_000, 1_000_000)
	greedy.trade, greedy.owner = fee{99, 100}, fee{99, 100}
	tests := []struct {
		name string
		s    state
		req  amm.Request
		want error
	}{
		{"zero in", product30(1000, 2000), in(0), amm.ErrZeroAmount},
		{"fees above the amount", product30(1000, 2000), in(1), amm.ErrZeroAmount},
		{"nothing after fees", product30(1000, 2000), in(2), amm.ErrZeroOutput},
		{"no input reserve", product30(0, 2000), in(100), amm.ErrInsufficientLiquidity},
		{"no output reserve", product30(2000, 0), in(100), amm.ErrInsufficientLiquidity},
		{"more than the product", product30(1000, 2000), in(2_010_000), amm.ErrInsufficientLiquidity},
		{"the vault cannot hold it", product30(1<<63, 1<<63), in(1<<63 + 1<<54), amm.ErrOverflow},
		{"the whole reserve", product30(1000, 2000), out(2000), amm.ErrInsufficientLiquidity},
		{"all but one", product30(1000, 2000), out(1999), nil},
		{"all but one, stable", stable100(1000, 2000), out(1999), amm.ErrInsufficientLiquidity},
		{"most of it, stable", stable100(1000, 2000), out(1990), nil},
		{"fees of 198%", greedy, out(1000), amm.ErrExactOutUnsupported},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := tt.s.decode(t).Quote(amm.Clock{}, tt.req); !errors.Is(err, tt.want) {
				t.Errorf("quote %+v, error %v, want %v", got, err, tt.want)
			}
		})
	}
}

// Two fees with their own steps make what is left of an amount shrink now and then as the amount grows, so that not even the neighbours
// tell whether an input is the smallest one.
func TestExactOutIsTheSmallestInputOfAll(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		s := state{
			reserves: [2]uint64{1 + random.Uint64N(3000), 1 + random.Uint64N(3000)},
			trade:    fee{random.Uint64N(50), 100}, owner: fee{random.Uint64N(50), 97},
			curve: curveStable * uint8(random.IntN(2)), amp: 1 + random.Uint64N(300),
		}
		pool := s.decode(t)
		request := amm.Request{AToB: true, ExactOut: true, Amount: 1 + random.Uint64N(s.reserves[1])}
		quote, err := pool.Quote(amm.Clock{}, request)
		const limit = 20_000
		if err != nil || quote.In > limit {
			continue
		}
		for in := uint64(1); in < quote.In; in++ {
			if got, err := pool.Quote(amm.Clock{}, amm.Request{AToB: true, Amount: in}); err == nil && got.Out >= request.Amount {
				t.Fatalf("%+v: %d buys %d with %d already, not with %d", s, request.Amount, got.Out, in, quote.In)
			}
		}
	}
}

func TestInconsistentAccountsAreRefused(t *testing.T) {
	tests := map[string]func(amm.Accounts){
		"discriminator":             func(a amm.Accounts) { a[poolKey].Data[0] = 2 },
		"trade_fee_numerator":       func(a amm.Accounts) { a[poolKey].Data[235], a[poolKey].Data[236] = 1, 0 },
		"mint":                      func(a amm.Accounts) { a[vaultKeys[1]].Data[0]++ },
		"token_program_id":          func(a amm.Accounts) { a[poolKey].Data[3]++ },
		"owner":                     func(a amm.Accounts) { a[mintKeys[0]].Owner = solana.Token2022ProgramID },
		"amp":                       func(a amm.Accounts) { a[poolKey].Data[291] = curveStable },
		"owner_trade_fee_numerator": func(a amm.Accounts) { a[poolKey].Data[250] = 1 },
	}
	for field, damage := range tests {
		accounts := product30(1_000, 1_000).accounts(t)
		damage(accounts)
		_, err := ammtest.Decode(New(programID), poolKey, accounts)
		var malformed *amm.DecodeError
		if !errors.As(err, &malformed) || malformed.Field != field {
			t.Errorf("error %v, want one about %s", err, field)
		}
	}
	accounts := product30(1_000, 1_000).accounts(t)
	accounts[poolKey].Data[291] = 1
	var unsupported *amm.UnsupportedError
	if _, err := ammtest.Decode(New(programID), poolKey, accounts); !errors.As(err, &unsupported) {
		t.Errorf("constant price: %v", err)
	}
}

func BenchmarkProductExactIn(b *testing.B) {
	benchmark(b, product30(5_000_000_000, 7_000_000), amm.Request{AToB: true, Amount: 1_000_000})
}

func BenchmarkProductExactOut(b *testing.B) {
	benchmark(b, product30(5_000_000_000, 7_000_000), amm.Request{AToB: true, ExactOut: true, Amount: 1_000})
}

func BenchmarkStableExactIn(b *testing.B) {
	benchmark(b, stable100(5_000_000_000, 7_000_000_000), amm.Request{AToB: true, Amount: 1_000_000})
}

func BenchmarkStableExactOut(b *testing.B) {
	benchmark(b, stable100(5_000_000_000, 7_000_000_000), amm.Request{AToB: true, ExactOut: true, Amount: 1_000_000})
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

func BenchmarkDecodeStable(b *testing.B) {
	program, accounts := New(programID), stable100(5_000_000_000, 7_000_000_000).accounts(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := program.Decode(poolKey, accounts); err != nil {
			b.Fatal(err)
		}
	}
}
