package raydiumcpmm

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
	ammtest.Vectors{Program: New, Kinds: []string{"raydium-cpmm"}}.Run(t)
}

var (
	programID = solana.MustPublicKeyFromBase58("CPMMoo8L3F4NbTegBCKVNunggL7H1ZpdTHKxQB5qKP1C")

	poolKey, configKey = ammtest.Key(1), ammtest.Key(2)
	vaultKeys          = [2]solana.PublicKey{ammtest.Key(3), ammtest.Key(4)}
	mintKeys           = [2]solana.PublicKey{ammtest.Key(5), ammtest.Key(6)}
)

// state is a pool to be encoded.
type state struct {
	mints                  [2]*amm.Account
	balances, owed         [2]uint64
	tradeRate, creatorRate uint64
	creatorFeeOn           uint8
	creatorFee             bool
	status                 uint8
	openTime               uint64
}

func plain(balances [2]uint64, tradeRate uint64) state {
	return state{mints: [2]*amm.Account{ammtest.Mint(9), ammtest.Mint(6)}, balances: balances, tradeRate: tradeRate}
}

func (s state) accounts() amm.Accounts {
	le := binary.LittleEndian
	pool := make([]byte, poolLen)
	copy(pool, poolDiscriminator)
	copy(pool[8:], configKey[:])
	accounts := amm.Accounts{}
	for i := range 2 {
		program := s.mints[i].Owner
		copy(pool[72+32*i:], vaultKeys[i][:])
		copy(pool[mint0At+32*i:], mintKeys[i][:])
		copy(pool[232+32*i:], program[:])
		le.PutUint64(pool[341+8*i:], s.owed[i]/2)
		le.PutUint64(pool[397+8*i:], s.owed[i]-s.owed[i]/2)
		accounts[mintKeys[i]] = s.mints[i]
		accounts[vaultKeys[i]] = ammtest.TokenAccount(program, mintKeys[i], poolKey, s.balances[i])
	}
	pool[329], pool[389] = s.status, s.creatorFeeOn
	if s.creatorFee {
		pool[390] = 1
	}
	le.PutUint64(pool[373:], s.openTime)
	config := make([]byte, configLen)
	copy(config, configDiscriminator)
	le.PutUint64(config[12:], s.tradeRate)
	le.PutUint64(config[108:], s.creatorRate)
	accounts[poolKey] = &amm.Account{Owner: programID, Data: pool}
	accounts[configKey] = &amm.Account{Owner: programID, Data: config}
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
	fees := plain([2]uint64{5_000_000_000, 7_000_000}, 2_500)
	fees.owed = [2]uint64{1_000_001, 2_001}
	fees.creatorFee, fees.creatorRate = true, 333
	onOutput := fees
	onOutput.creatorFeeOn = creatorFeeOnToken0
	transfer := fees
	transfer.mints = [2]*amm.Account{ammtest.MintWithFee(9, 77, 50_000), ammtest.MintWithFee(6, 10_000, 3)}
	build := func(name string, s state, loose bool) ammtest.Case {
		c := ammtest.Case{Name: name, Program: New(programID), Pool: poolKey, Accounts: s.accounts(), Loose: loose}
		if !loose && !s.creatorFee {
			c.After = ammtest.Move
		}
		return c
	}
	return []ammtest.Case{
		build("trade fee", plain([2]uint64{5_000_000_000, 7_000_000}, 2_500), false),
		build("deep", plain([2]uint64{1 << 62, 1 << 61}, 1), false),
		build("creator fee on input", fees, false),
		build("creator fee on token 0", onOutput, false),
		build("transfer fees", transfer, true),
	}
}

func TestContract(t *testing.T) { ammtest.Contract(t, cases()...) }

func FuzzDecode(f *testing.F) { ammtest.FuzzDecode(f, cases()...) }

func FuzzQuote(f *testing.F) {
	ammtest.FuzzQuote(f, amm.Clock{}, func(t testing.TB, a, b, c uint64) (amm.Pool, bool) {
		s := plain([2]uint64{a, b}, c%oneInRate)
		s.creatorRate = (c >> 20) % (oneInRate - s.tradeRate)
		s.creatorFeeOn, s.creatorFee = uint8(c>>40)%3, c>>42&1 == 1
		if c>>43&1 == 1 {
			s.mints[0] = ammtest.MintWithFee(6, uint16(c>>44)%10_001, c>>50)
		}
		return s.decode(t), c>>43&1 == 0
	})
}

func TestQuoteByHand(t *testing.T) {
	s := plain([2]uint64{1_100, 2_100}, 2_500)
	s.owed = [2]uint64{100, 100}
	creatorIn, creatorOut, transfer := s, s, s
	creatorIn.creatorFee, creatorIn.creatorRate = true, 2_500
	creatorOut.creatorFee, creatorOut.creatorRate, creatorOut.creatorFeeOn = true, 2_500, creatorFeeOnToken1
	transfer.mints = [2]*amm.Account{ammtest.MintWithFee(9, 100, math.MaxUint64), ammtest.MintWithFee(6, 200, 5)}
	tests := []struct {
		name string
		s    state
		req  amm.Request
		want amm.Quote
	}{
		// 100: fee ceil(0.25) = 1, out = 99*2000/1099 = 180.16
		{"exact in", s, amm.Request{AToB: true, Amount: 100}, amm.Quote{In: 100, Out: 180, FeeIn: 1}},
		// 100: fee 1, out = 99*1000/2099 = 47.2
		{"exact in, b to a", s, amm.Request{Amount: 100}, amm.Quote{In: 100, Out: 47, FeeIn: 1}},
		// net = ceil(1000*180/1820) = 99, in = ceil(99/0.9975) = 100
		{"exact out", s, amm.Request{AToB: true, ExactOut: true, Amount: 180}, amm.Quote{In: 100, Out: 180, FeeIn: 1}},
		// Two fees of ceil(0.25) under one ceiling: 1, not 2
		{"creator fee on input", creatorIn, amm.Request{AToB: true, Amount: 100}, amm.Quote{In: 100, Out: 180, FeeIn: 1}},
		// The creator takes ceil(180*0.0025) = 1 of the output
		{"creator fee on output", creatorOut, amm.Request{AToB: true, Amount: 100}, amm.Quote{In: 100, Out: 179, FeeIn: 1, FeeOut: 1}},
		// gross = ceil(179/0.9975) = 180, and from there as above
		{"creator fee on output, exact out", creatorOut, amm.Request{AToB: true, ExactOut: true, Amount: 179}, amm.Quote{In: 100, Out: 179, FeeIn: 1, FeeOut: 1}},
		// 101 leave, 2 are withheld, 99 arrive: fee 1, out = 98*2000/1098 = 178, of which ceil(3.56) = 4 are withheld
		{"transfer fees", transfer, amm.Request{AToB: true, Amount: 101}, amm.Quote{In: 101, Out: 174, FeeIn: 1}},
		// 174 + ceil(3.56) = 178, net = ceil(178000/1822) = 98, 99 must arrive: 99 + ceil(1.0) = 100
		{"transfer fees, exact out", transfer, amm.Request{AToB: true, ExactOut: true, Amount: 174}, amm.Quote{In: 100, Out: 174, FeeIn: 1}},
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
	s := plain([2]uint64{1_000_000, 2_000_000}, 2_500)
	with := func(change func(*state)) state {
		changed := s
		change(&changed)
		return changed
	}
	exactIn, exactOut := amm.Request{AToB: true, Amount: 1000}, amm.Request{AToB: true, ExactOut: true, Amount: 1000}
	tests := []struct {
		name string
		s    state
		req  amm.Request
		want error
	}{
		{"deposits and withdrawals disabled", with(func(s *state) { s.status = 3 }), exactIn, nil},
		{"swaps disabled", with(func(s *state) { s.status = 4 }), exactIn, amm.ErrSwapDisabled},
		{"opens at the second", with(func(s *state) { s.openTime = 500 }), exactIn, nil},
		{"opens later", with(func(s *state) { s.openTime = 501 }), exactIn, amm.ErrNotOpen},
		{"no reserve left after fees", with(func(s *state) { s.owed[1] = s.balances[1] }), exactIn, amm.ErrInsufficientLiquidity},
		{"no rate to split the fee by", with(func(s *state) { s.tradeRate = 0 }), exactIn, amm.ErrSwapDisabled},
		{"zero trade fee with the creator's on output", with(func(s *state) {
			s.tradeRate, s.creatorFee, s.creatorRate, s.creatorFeeOn = 0, true, 1, creatorFeeOnToken1
		}), exactIn, nil},
		{"zero in", s, amm.Request{}, amm.ErrZeroAmount},
		{"zero out", s, amm.Request{ExactOut: true}, amm.ErrZeroAmount},
		{"all of it is fee", s, amm.Request{Amount: 1}, amm.ErrZeroOutput},
		{"the vault cannot hold it", s, amm.Request{AToB: true, Amount: math.MaxUint64 - 999_999}, amm.ErrOverflow},
		{"the vault just holds it", s, amm.Request{AToB: true, Amount: math.MaxUint64 - 1_000_000}, nil},
		{"the whole reserve", s, amm.Request{AToB: true, ExactOut: true, Amount: 2_000_000}, amm.ErrInsufficientLiquidity},
		{"all but one", s, amm.Request{AToB: true, ExactOut: true, Amount: 1_999_999}, nil},
		{"a fee of 100%", with(func(s *state) { s.tradeRate = oneInRate }), exactOut, amm.ErrOverflow},
		{"a fee of 100%, exact in", with(func(s *state) { s.tradeRate = oneInRate }), exactIn, amm.ErrZeroOutput},
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
	s := plain([2]uint64{1_000, 1_000}, 2_500)
	tests := map[string]func(amm.Accounts){
		"amount":           func(a amm.Accounts) { a[vaultKeys[0]].Data[64], a[vaultKeys[0]].Data[65] = 9, 0 },
		"mint":             func(a amm.Accounts) { a[vaultKeys[1]].Data[0]++ },
		"token_program":    func(a amm.Accounts) { a[mintKeys[0]].Owner = solana.Token2022ProgramID },
		"creator_fee_on":   func(a amm.Accounts) { a[poolKey].Data[389] = 3 },
		"creator_fee_rate": func(a amm.Accounts) { a[configKey].Data[15] = 1 },
		"discriminator":    func(a amm.Accounts) { a[configKey].Data[0]++ },
	}
	s.owed = [2]uint64{10, 10}
	for field, damage := range tests {
		accounts := s.accounts()
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
	pool := plain([2]uint64{5_000_000_000, 7_000_000}, 2_500).decode(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := pool.Quote(amm.Clock{}, req); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	program, accounts := New(programID), plain([2]uint64{5_000_000_000, 7_000_000}, 2_500).accounts()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := program.Decode(poolKey, accounts); err != nil {
			b.Fatal(err)
		}
	}
}
