package raydiumamm

import (
	"encoding/binary"
	"errors"
	"math"
	"testing"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/ammtest"
)

func TestVectors(t *testing.T) {
	ammtest.Vectors{Program: New, Kinds: []string{"raydium-amm-v4"}, Unread: []int{6, 7, 8, 9, 10, 11, 12, 13}}.Run(t)
}

var (
	programID = solana.MustPublicKeyFromBase58("675kPX9MHTjS2zt1qfr1NYHuzeLXfQM9H24wFSUt1Mp8")

	poolKey   = ammtest.Key(1)
	vaultKeys = [2]solana.PublicKey{ammtest.Key(2), ammtest.Key(3)}
	mintKeys  = [2]solana.PublicKey{ammtest.Key(4), ammtest.Key(5)}
)

// state is a pool to be encoded.
type state struct {
	balances, owed [2]uint64
	feeNum, feeDen uint64
	status         uint64
	openTime       uint64
}

func usual(coin, pc uint64) state {
	return state{balances: [2]uint64{coin, pc}, feeNum: 25, feeDen: 10_000, status: statusSwapOnly}
}

func (s state) accounts() amm.Accounts {
	pool := make([]byte, poolLen)
	for at, v := range map[int]uint64{
		0: s.status, 8: 254, 176: s.feeNum, 184: s.feeDen, 192: s.owed[0], 200: s.owed[1], 224: s.openTime,
		144: 1, 152: 2, // the trade fee, which swaps do not pay
	} {
		binary.LittleEndian.PutUint64(pool[at:], v)
	}
	accounts := amm.Accounts{poolKey: {Owner: programID, Data: pool}}
	for i := range 2 {
		copy(pool[336+32*i:], vaultKeys[i][:])
		copy(pool[coinMintAt+32*i:], mintKeys[i][:])
		accounts[mintKeys[i]] = ammtest.Mint(uint8(6 + i))
		accounts[vaultKeys[i]] = ammtest.TokenAccount(solana.TokenProgramID, mintKeys[i], poolKey, s.balances[i])
	}
	return accounts
}

func (s state) decode(t testing.TB) amm.Pool {
	t.Helper()
	pool, err := ammtest.Decode(New(programID), poolKey, s.accounts())
	if err != nil {
		t.Fatal(err)
	}
	return pool
}

func cases() []ammtest.Case {
	owing := usual(5_000_000_000, 7_000_000)
	owing.owed, owing.status = [2]uint64{123_456, 789}, statusInitialized
	build := func(name string, s state) ammtest.Case {
		return ammtest.Case{Name: name, Program: New(programID), Pool: poolKey, Accounts: s.accounts(), After: ammtest.Move}
	}
	return []ammtest.Case{
		build("usual", usual(5_000_000_000, 7_000_000)),
		build("deep", usual(1<<62, 1<<61)),
		build("profit to take", owing),
	}
}

func TestContract(t *testing.T) { ammtest.Contract(t, cases()...) }

func FuzzDecode(f *testing.F) { ammtest.FuzzDecode(f, cases()...) }

func FuzzQuote(f *testing.F) {
	ammtest.FuzzQuote(f, amm.Clock{}, func(t testing.TB, a, b, c uint64) (amm.Pool, bool) {
		s := usual(a, b)
		s.feeDen = c>>32 + 1
		s.feeNum = c & math.MaxUint32 % (s.feeDen + 1)
		return s.decode(t), true
	})
}

func TestQuoteByHand(t *testing.T) {
	s := usual(1_100, 2_100)
	s.owed = [2]uint64{100, 100}
	tests := []struct {
		name string
		req  amm.Request
		want amm.Quote
	}{
		// fee ceil(0.25) = 1, 99*2000/1099 = 180.16
		{"exact in", amm.Request{AToB: true, Amount: 100}, amm.Quote{In: 100, Out: 180, FeeIn: 1}},
		{"exact in, pc to coin", amm.Request{Amount: 100}, amm.Quote{In: 100, Out: 47, FeeIn: 1}},
		// The fee is 1 where 1/400 of the amount is far below: 1*2000/1001 = 1.99
		{"fee of a fraction", amm.Request{AToB: true, Amount: 2}, amm.Quote{In: 2, Out: 1, FeeIn: 1}},
		// ceil(1000*180/1820) = 99, ceil(99/0.9975) = 100
		{"exact out", amm.Request{AToB: true, ExactOut: true, Amount: 180}, amm.Quote{In: 100, Out: 180, FeeIn: 1}},
		// ceil(1000*1/1999) = 1, ceil(1/0.9975) = 2
		{"exact out of one", amm.Request{AToB: true, ExactOut: true, Amount: 1}, amm.Quote{In: 2, Out: 1, FeeIn: 1}},
	}
	pool := s.decode(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.want.Request = tt.req
			if got, err := pool.Quote(amm.Clock{}, tt.req); err != nil || got != tt.want {
				t.Errorf("quote = %+v, %v, want %+v", got, err, tt.want)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	with := func(change func(*state)) state {
		s := usual(1_000_000, 2_000_000)
		change(&s)
		return s
	}
	status := func(status uint64) state { return with(func(s *state) { s.status = status }) }
	waiting := func(openTime uint64) state {
		return with(func(s *state) { s.status, s.openTime = statusWaitingTrade, openTime })
	}
	in, out := amm.Request{AToB: true, Amount: 1000}, amm.Request{AToB: true, ExactOut: true, Amount: 1000}
	amount := func(req amm.Request, amount uint64) amm.Request {
		req.Amount = amount
		return req
	}
	tests := []struct {
		name string
		s    state
		req  amm.Request
		want error
	}{
		{"initialised", status(1), in, nil},
		{"disabled", status(2), in, amm.ErrSwapDisabled},
		{"withdraw only", status(3), in, amm.ErrSwapDisabled},
		{"liquidity only", status(4), in, amm.ErrSwapDisabled},
		{"order book only", status(5), in, amm.ErrSwapDisabled},
		{"opens at the second", waiting(500), in, nil},
		{"opens later", waiting(501), in, amm.ErrNotOpen},
		{"open time without waiting", with(func(s *state) { s.openTime = 501 }), in, nil},
		{"nothing left but profit", with(func(s *state) { s.owed[0] = 1_000_000 }), in, amm.ErrInsufficientLiquidity},
		{"zero in", status(6), amount(in, 0), amm.ErrZeroAmount},
		{"zero out", status(6), amount(out, 0), amm.ErrZeroAmount},
		{"all of it is fee", status(6), amount(in, 1), amm.ErrZeroOutput},
		{"the vault cannot hold it", status(6), amount(in, math.MaxUint64-999_999), amm.ErrOverflow},
		{"the vault just holds it", status(6), amount(in, math.MaxUint64-1_000_000), nil},
		{"the whole reserve", status(6), amount(out, 2_000_000), amm.ErrInsufficientLiquidity},
		{"all but one", status(6), amount(out, 1_999_999), nil},
		{"a fee of 100%", with(func(s *state) { s.feeNum = s.feeDen }), out, amm.ErrOverflow},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := tt.s.decode(t).Quote(amm.Clock{UnixTimestamp: 500}, tt.req); !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
		})
	}
}

func TestInconsistentAccountsAreRefused(t *testing.T) {
	tests := map[string]func(amm.Accounts){
		"status":             func(a amm.Accounts) { a[poolKey].Data[0] = 8 },
		"swap_fee_numerator": func(a amm.Accounts) { a[poolKey].Data[179] = 1 },
		"pc_vault_mint":      func(a amm.Accounts) { copy(a[poolKey].Data[pcMintAt:], mintKeys[0][:]) },
		"length":             func(a amm.Accounts) { a[poolKey].Data = append(a[poolKey].Data, 0) },
		"amount":             func(a amm.Accounts) { a[poolKey].Data[195] = 1 },
		"mint":               func(a amm.Accounts) { a[vaultKeys[1]].Data[0]++ },
		"owner":              func(a amm.Accounts) { a[mintKeys[0]].Owner = solana.Token2022ProgramID },
	}
	for field, damage := range tests {
		accounts := usual(1_000, 1_000).accounts()
		damage(accounts)
		_, err := ammtest.Decode(New(programID), poolKey, accounts)
		var malformed *amm.DecodeError
		if !errors.As(err, &malformed) || malformed.Field != field {
			t.Errorf("error %v, want one about %s", err, field)
		}
	}
}

func BenchmarkExactIn(b *testing.B) {
	benchmark(b, amm.Request{AToB: true, Amount: 1_000_000})
}

func BenchmarkExactOut(b *testing.B) {
	benchmark(b, amm.Request{AToB: true, ExactOut: true, Amount: 1_000})
}

func benchmark(b *testing.B, req amm.Request) {
	pool := usual(5_000_000_000, 7_000_000).decode(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := pool.Quote(amm.Clock{}, req); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	program, accounts := New(programID), usual(5_000_000_000, 7_000_000).accounts()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := program.Decode(poolKey, accounts); err != nil {
			b.Fatal(err)
		}
	}
}
