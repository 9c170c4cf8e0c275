package pumpswap

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/ammtest"
)

var (
	programID = solana.MustPublicKeyFromBase58("pAMMBay6oceH9fJKBRHGP5D4bD4sWpmSwMn52FMfXEA")
	// Two of the program's addresses as they are known from the chain.
	configKey    = solana.MustPublicKeyFromBase58("ADyA8hdefvWN2dbGGWFotbzWxrAvLW83WG6QCVXvJKqw")
	feeConfigKey = solana.MustPublicKeyFromBase58("5PHirr8joyTMp9JMm6nW7hNDVyEYdkzDqazxPD7RaTjx")

	poolKey   = ammtest.Key(1)
	baseMint  = ammtest.Key(4)
	vaultKeys = [2]solana.PublicKey{ammtest.Key(2), ammtest.Key(3)}
)

// state is a pool to be encoded. Its lists of tiers are those of the test's fee config.
type state struct {
	base, quote, supply uint64
	virtual             int64
	baseMint, quoteMint solana.PublicKey
	creator             solana.PublicKey
	coinCreator         solana.PublicKey
	mayhem, cashback    bool
	creatorFeeBps       uint64
	poolLen             int
}

func usual(base, quote uint64) state {
	return state{base: base, quote: quote, supply: 1_000_000_000, baseMint: baseMint, quoteMint: solana.SolMint, poolLen: 301}
}

// canonical makes a pool that of a coin with a creator.
func (s state) canonical(t testing.TB) state {
	t.Helper()
	var err error
	s.creator, _, err = solana.FindProgramAddress([][]byte{[]byte("pool-authority"), s.baseMint[:]}, pumpProgram)
	if err != nil {
		t.Fatal(err)
	}
	s.coinCreator = ammtest.Key(9)
	return s
}

// accounts are those of the pool alone, without the two configs.
func (s state) accounts() amm.Accounts {
	pool := make([]byte, 301)
	copy(pool, poolDiscriminator)
	copy(pool[11:], s.creator[:])
	copy(pool[baseMintAt:], s.baseMint[:])
	copy(pool[quoteMintAt:], s.quoteMint[:])
	copy(pool[139:], vaultKeys[0][:])
	copy(pool[171:], vaultKeys[1][:])
	copy(pool[211:], s.coinCreator[:])
	if s.mayhem {
		pool[243] = 1
	}
	if s.cashback {
		pool[244] = 1
	}
	binary.LittleEndian.PutUint64(pool[245:], uint64(s.virtual))
	binary.LittleEndian.PutUint64(pool[253:], uint64(s.virtual>>63))
	binary.LittleEndian.PutUint64(pool[261:], s.creatorFeeBps)
	base := ammtest.Mint(6)
	binary.LittleEndian.PutUint64(base.Data[36:], s.supply)
	return amm.Accounts{
		poolKey:      {Owner: programID, Data: pool[:s.poolLen]},
		s.baseMint:   base,
		s.quoteMint:  ammtest.Mint(9),
		vaultKeys[0]: ammtest.TokenAccount(solana.TokenProgramID, s.baseMint, poolKey, s.base),
		vaultKeys[1]: ammtest.TokenAccount(solana.TokenProgramID, s.quoteMint, poolKey, s.quote),
	}
}

// The test's schedules: flat 25+5+0, tiers 2+93+30 and from a capitalisation of 1000 on 20+5+95, stable ones 1+2+3, exotic 7+7+7.
func (s state) withConfigs() amm.Accounts {
	le := binary.LittleEndian
	config := make([]byte, 949)
	copy(config, configDiscriminator)
	for i := range 8 {
		copy(config[57+32*i:], keyBytes(100+i))
		copy(config[643+32*i:], keyBytes(300+i))
	}
	copy(config[385:], keyBytes(200))
	for i := range 7 {
		copy(config[418+32*i:], keyBytes(201+i))
	}
	feeConfig := make([]byte, 41, exoticLen)
	copy(feeConfig, feeConfigDiscriminator)
	put := func(values ...uint64) {
		for _, v := range values {
			feeConfig = le.AppendUint64(feeConfig, v)
		}
	}
	put(25, 5, 0)
	feeConfig = le.AppendUint32(feeConfig, 2)
	put(0, 0, 2, 93, 30)
	put(1000, 0, 20, 5, 95)
	feeConfig = le.AppendUint32(feeConfig, 1)
	put(0, 0, 1, 2, 3)
	put(7, 7, 7)
	accounts := s.accounts()
	accounts[configKey] = &amm.Account{Owner: programID, Data: config}
	accounts[feeConfigKey] = &amm.Account{Owner: feeProgram, Data: feeConfig[:exoticLen]}
	return accounts
}

func keyBytes(n int) []byte {
	key := ammtest.Key(uint64(n))
	return key[:]
}

func (s state) decode(t testing.TB) amm.Pool {
	t.Helper()
	pool, err := ammtest.Decode(New(programID), poolKey, s.withConfigs())
	if err != nil {
		t.Fatal(err)
	}
	return pool
}

func mainnetAccount(t testing.TB, name string) (solana.PublicKey, *amm.Account) {
	t.Helper()
	data, err := os.ReadFile(ammtest.Fixture(t, "solana/real/pumpswap-wsol-usdc/"+name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var dump struct {
		Key     solana.PublicKey `json:"pubkey"`
		Account struct {
			Owner solana.PublicKey `json:"owner"`
			Data  [2]string        `json:"data"`
		} `json:"account"`
	}
	if err := json.Unmarshal(data, &dump); err != nil {
		t.Fatal(err)
	}
	raw, err := base64.StdEncoding.DecodeString(dump.Account.Data[0])
	if err != nil {
		t.Fatal(err)
	}
	return dump.Key, &amm.Account{Owner: dump.Account.Owner, Data: raw}
}

// The recorded quotes are those of pump.fun's own SDK, with the fee schedules that mainnet had.
func TestVectors(t *testing.T) {
	type number = uint64
	var file struct {
		Cases []struct {
			BaseMint    solana.PublicKey `json:"base_mint"`
			QuoteMint   solana.PublicKey `json:"quote_mint"`
			PoolCreator solana.PublicKey `json:"pool_creator"`
			CoinCreator solana.PublicKey `json:"coin_creator"`
			Base        number           `json:"base_reserve,string"`
			Quote       number           `json:"quote_reserve,string"`
			Virtual     int64            `json:"virtual_quote_reserves,string"`
			Supply      number           `json:"base_supply,string"`
			Mayhem      bool             `json:"is_mayhem_mode"`
			Swaps       []struct {
				Kind     string `json:"kind"`
				Amount   number `json:"amount,string"`
				QuoteOut number `json:"quote_out,string"`
				QuoteIn  number `json:"quote_in,string"`
				BaseOut  number `json:"base_out,string"`
				Error    string `json:"error"`
			} `json:"swaps"`
		} `json:"cases"`
	}
	ammtest.ReadFixture(t, "solana/vectors/vectors-pumpswap-sdk.json.gz", &file)
	tried, mismatches := map[string]int{}, 0
	for i, c := range file.Cases {
		accounts := state{
			base: c.Base, quote: c.Quote, supply: c.Supply, virtual: c.Virtual, baseMint: c.BaseMint, quoteMint: c.QuoteMint,
			creator: c.PoolCreator, coinCreator: c.CoinCreator, mayhem: c.Mayhem, poolLen: 301,
		}.accounts()
		for _, name := range []string{"fee_config", "global_config"} {
			key, account := mainnetAccount(t, name)
			accounts[key] = account
		}
		pool, err := ammtest.Decode(New(programID), poolKey, accounts)
		if err != nil {
			t.Errorf("case %d: %v", i, err)
			continue
		}
		for _, swap := range c.Swaps {
			request := amm.Request{Amount: swap.Amount, AToB: swap.Kind == "sell_base_in", ExactOut: swap.Kind == "buy_base_out"}
			quote, err := pool.Quote(amm.Clock{}, request)
			got, want := quote.Out, swap.QuoteOut+swap.BaseOut
			if request.ExactOut {
				got, want = quote.In, swap.QuoteIn
			}
			tried[swap.Kind]++
			if (err != nil) != (swap.Error != "") || got != want {
				mismatches++
				t.Errorf("case %d: %s of %d: %+v, %v, want %d %s", i, swap.Kind, swap.Amount, quote, err, want, swap.Error)
			}
		}
	}
	t.Logf("tried %v, mismatches %d", tried, mismatches)
}

func TestMainnetPoolDecodes(t *testing.T) {
	accounts := amm.Accounts{}
	var key solana.PublicKey
	for _, name := range []string{"base_vault", "quote_vault", "fee_config", "global_config", "pool"} {
		var account *amm.Account
		key, account = mainnetAccount(t, name)
		accounts[key] = account
	}
	accounts[solana.SolMint], accounts[usdcMint] = ammtest.Mint(9), ammtest.Mint(6)
	decoded, err := ammtest.Decode(New(programID), key, accounts)
	if err != nil {
		t.Fatal(err)
	}
	if got := decoded.(*pool).fees; got != (fees{lp: 25, protocol: 5}) {
		t.Errorf("fees %+v of a pool that pump.fun did not create", got)
	}
	if price := decoded.SpotPrice(true); price < 1 || price > 100 {
		t.Errorf("%g lamports for a millionth of a dollar", price)
	}
}

func TestFeesFollowThePool(t *testing.T) {
	change := func(s state, change func(*state)) state {
		change(&s)
		return s
	}
	small := usual(1_000_000, 999).canonical(t) // a capitalisation of 999000
	tiny := change(small, func(s *state) { s.supply = 1_000_000 })
	tests := []struct {
		name string
		s    state
		want fees
	}{
		{"not pump.fun's", usual(1_000_000, 999), fees{25, 5, 0}},
		{"below the second tier", tiny, fees{2, 93, 30}},
		{"in the second tier", small, fees{20, 5, 95}},
		{"just in the second tier", change(tiny, func(s *state) { s.quote++ }), fees{20, 5, 95}},
		{"mayhem counts a fixed supply", change(tiny, func(s *state) { s.mayhem = true }), fees{20, 5, 95}},
		{"virtual reserves count", change(tiny, func(s *state) { s.virtual = 1 }), fees{20, 5, 95}},
		{"negative virtual reserves count", change(tiny, func(s *state) { s.quote, s.virtual = 1500, -501 }), fees{2, 93, 30}},
		{"nobody to pay", change(small, func(s *state) { s.coinCreator = solana.PublicKey{} }), fees{20, 5, 0}},
		{"in USDC", change(small, func(s *state) { s.quoteMint = usdcMint }), fees{1, 2, 3}},
		{"in something else", change(small, func(s *state) { s.quoteMint = ammtest.Key(8) }), fees{7, 7, 7}},
		{"own creator fee while the switch is off", change(small, func(s *state) { s.creatorFeeBps = 50 }), fees{20, 5, 95}},
		{"old pool without a creator's field", change(small, func(s *state) { s.poolLen = minPoolLen }), fees{20, 5, 0}},
	}
	for _, tt := range tests {
		if got := tt.s.decode(t).(*pool).fees; got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}

	own := change(small, func(s *state) { s.creatorFeeBps = 50 }).withConfigs()
	own[configKey].Data[940] = 1
	decoded, err := ammtest.Decode(New(programID), poolKey, own)
	if err != nil {
		t.Fatal(err)
	}
	if got := decoded.(*pool).fees; got != (fees{20, 5, 50}) {
		t.Errorf("own creator fee: %+v", got)
	}
	old := tiny.withConfigs()
	old[feeConfigKey].Data = old[feeConfigKey].Data[:stableTiersLen-1]
	old[tiny.quoteMint], old[usdcMint] = ammtest.Mint(9), ammtest.Mint(6)
	copy(old[poolKey].Data[quoteMintAt:], usdcMint[:])
	copy(old[vaultKeys[1]].Data, usdcMint[:])
	if decoded, err = ammtest.Decode(New(programID), poolKey, old); err != nil {
		t.Fatal(err)
	}
	if got := decoded.(*pool).fees; got != (fees{2, 93, 30}) {
		t.Errorf("USDC pool under a fee config without stable tiers: %+v", got)
	}
}

// after is accounts after a swap, of which the pool keeps the LP fee.
func after(lpBps uint64) func(amm.Accounts, *amm.Info, amm.Quote) amm.Accounts {
	return func(accounts amm.Accounts, info *amm.Info, quote amm.Quote) amm.Accounts {
		if quote.AToB {
			gross := quote.Out + quote.FeeOut
			quote.Out = gross - (gross*lpBps+9999)/10_000
		} else {
			net := quote.In - quote.FeeIn
			quote.In = net + (net*lpBps+9999)/10_000
		}
		return ammtest.Move(accounts, info, quote)
	}
}

func cases(t testing.TB) []ammtest.Case {
	build := func(name string, s state, lpBps uint64) ammtest.Case {
		// Three fees step up apart from each other, and a purchase gives a unit of its amount away.
		return ammtest.Case{
			Name: name, Program: New(programID), Pool: poolKey, Accounts: s.withConfigs(), Loose: true, Slack: 6, Short: 6, After: after(lpBps),
		}
	}
	creator := usual(7_000_000_000, 5_000_000_000).canonical(t)
	virtual := creator
	virtual.virtual, virtual.cashback = 1_000_000_000, true
	return []ammtest.Case{
		build("flat fees", usual(6_000_000_000, 5_000_000_000), 25),
		build("creator's fee", creator, 20),
		build("virtual reserves and cashback", virtual, 20),
	}
}

func TestContract(t *testing.T) { ammtest.Contract(t, cases(t)...) }

func FuzzDecode(f *testing.F) { ammtest.FuzzDecode(f, cases(f)...) }

// FuzzQuote compares with the SDK's formulas over unbounded integers.
func FuzzQuote(f *testing.F) {
	f.Add(uint64(1_000_000), uint64(2_000_000), int64(0), uint64(1000), uint32(0), uint8(0))
	f.Add(uint64(1)<<60, uint64(3), int64(12_345_678), uint64(1)<<40, uint32(0xffffffff), uint8(1))
	f.Add(uint64(1)<<63, uint64(1)<<63, int64(-1)<<60, uint64(1)<<62, uint32(12345), uint8(2))
	f.Add(uint64(900), uint64(90_000_000), int64(0), uint64(899), uint32(12345), uint8(2))
	f.Fuzz(func(t *testing.T, base, quote uint64, virtual int64, amount uint64, rates uint32, kind uint8) {
		effective := new(big.Int).Add(u(quote), big.NewInt(virtual))
		if base == 0 || quote == 0 || effective.Sign() <= 0 || !effective.IsUint64() || amount == 0 {
			return
		}
		p := &pool{
			base: base, quoteBalance: quote, quote: effective.Uint64(),
			fees: fees{lp: uint64(rates & 0x3ff), protocol: uint64(rates >> 10 & 0x3ff), creator: uint64(rates >> 20 & 0x3ff)},
		}
		request := amm.Request{AToB: kind%3 == 0, ExactOut: kind%3 == 1, Amount: amount}
		got, err := p.Quote(amm.Clock{}, request)
		wantIn, wantOut := reference(p, request)
		if wantOut == nil { // refused, or beyond what the vaults can hold
			if err == nil {
				t.Fatalf("%+v of %+v: %+v, want a refusal", request, p, got)
			}
			return
		}
		if err != nil || got.Request != request || u(got.In).Cmp(wantIn) != 0 || u(got.Out).Cmp(wantOut) != 0 {
			t.Fatalf("%+v of %+v: %+v, %v, want %s for %s", request, p, got, err, wantOut, wantIn)
		}
	})
}

func u(v uint64) *big.Int { return new(big.Int).SetUint64(v) }

// reference gives nil for a refusal.
func reference(p *pool, req amm.Request) (in, out *big.Int) {
	fee := func(x *big.Int, bps uint64) *big.Int {
		q := new(big.Int).Mul(x, u(bps))
		return q.Add(q, big.NewInt(9999)).Div(q, big.NewInt(10_000))
	}
	lp := func(x *big.Int) *big.Int { return fee(x, p.fees.lp) }
	others := func(x *big.Int) *big.Int {
		return new(big.Int).Add(fee(x, p.fees.protocol), fee(x, p.fees.creator))
	}
	plus := func(x *big.Int, more ...*big.Int) *big.Int {
		x = new(big.Int).Set(x)
		for _, y := range more {
			x.Add(x, y)
		}
		return x
	}
	fits := func(xs ...*big.Int) bool {
		for _, x := range xs {
			if !x.IsUint64() {
				return false
			}
		}
		return true
	}
	x := u(req.Amount)
	switch {
	case req.AToB:
		gross := new(big.Int).Mul(u(p.quote), x)
		gross.Div(gross, plus(u(p.base), x))
		out = new(big.Int).Sub(gross, plus(lp(gross), others(gross)))
		if out.Sign() < 0 || new(big.Int).Sub(gross, lp(gross)).Cmp(u(p.quoteBalance)) > 0 || !fits(plus(u(p.base), x)) {
			return nil, nil
		}
		return x, out
	case req.ExactOut:
		rest := new(big.Int).Sub(u(p.base), x)
		if rest.Sign() <= 0 {
			return nil, nil
		}
		net := new(big.Int).Mul(u(p.quote), x)
		net.Add(net, rest).Sub(net, big.NewInt(1)).Div(net, rest)
		in = plus(net, lp(net), others(net))
		if !fits(in, plus(u(p.quoteBalance), net, lp(net))) {
			return nil, nil
		}
		return in, x
	default:
		net := new(big.Int).Mul(x, big.NewInt(10_000))
		net.Div(net, u(10_000+p.fees.total()))
		lpFee := lp(net)
		in = plus(net, lpFee, others(net))
		overflow := !fits(in)
		if in.Cmp(x) > 0 {
			net.Sub(net, new(big.Int).Sub(in, x))
			in = x
		}
		less := new(big.Int).Sub(net, big.NewInt(1))
		if less.Sign() < 0 || overflow || !fits(plus(u(p.quote), less), plus(u(p.quoteBalance), net, lpFee)) {
			return nil, nil
		}
		out = new(big.Int).Mul(u(p.base), less)
		return in, out.Div(out, plus(u(p.quote), less))
	}
}

// Three fees make what a sale pays shrink now and then as the sale grows, so that not even the neighbours tell whether it is the smallest.
func TestExactOutSaleIsTheSmallestOfAll(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	bought := 0
	for range 500 {
		p := &pool{base: 1 + random.Uint64N(5000), quote: 1 + random.Uint64N(5000)}
		p.quoteBalance = p.quote
		p.fees = fees{random.Uint64N(500), random.Uint64N(500), random.Uint64N(500)}
		request := amm.Request{AToB: true, ExactOut: true, Amount: 1 + random.Uint64N(p.quote)}
		quote, err := p.Quote(amm.Clock{}, request)
		if err != nil || quote.In > 20_000 {
			continue
		}
		bought++
		if quote.Out < request.Amount {
			t.Fatalf("%+v: %+v", p, quote)
		}
		for in := uint64(1); in < quote.In; in++ {
			if got, err := p.Quote(amm.Clock{}, amm.Request{AToB: true, Amount: in}); err == nil && got.Out >= request.Amount {
				t.Fatalf("%+v: %d is paid for %d already, not for %d", p, got.Out, in, quote.In)
			}
		}
	}
	if bought < 100 {
		t.Errorf("only %d sales", bought)
	}
}

func TestRefusals(t *testing.T) {
	sell := func(n uint64) amm.Request { return amm.Request{AToB: true, Amount: n} }
	buy := func(n uint64) amm.Request { return amm.Request{ExactOut: true, Amount: n} }
	virtual := usual(1000, 100)
	virtual.virtual = 5000
	tests := []struct {
		name string
		s    state
		req  amm.Request
		want error
	}{
		{"zero", usual(1000, 2000), sell(0), amm.ErrZeroAmount},
		{"no base", usual(0, 2000), sell(10), amm.ErrInsufficientLiquidity},
		{"no quote", usual(2000, 0), sell(10), amm.ErrInsufficientLiquidity},
		{"the whole base reserve", usual(1000, 2000), buy(1000), amm.ErrInsufficientLiquidity},
		{"all but one", usual(1000, 2000), buy(999), nil},
		{"fees above what the curve gives", usual(1000, 2000), sell(1), amm.ErrZeroOutput},
		{"one unit gives nothing", usual(2000, 2000), sell(1), nil},
		{"the base vault cannot hold it", usual(1000, 2000), sell(math.MaxUint64), amm.ErrOverflow},
		{"out of the virtual reserve", virtual, sell(100), amm.ErrInsufficientLiquidity},
		{"from the vault", virtual, sell(10), nil},
		{"a purchase that is all fee", usual(1000, 2000), amm.Request{Amount: 2}, amm.ErrZeroAmount},
		{"more quote than there is", usual(1000, 2000), amm.Request{AToB: true, ExactOut: true, Amount: 2000}, amm.ErrInsufficientLiquidity},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := tt.s.decode(t).Quote(amm.Clock{}, tt.req); !errors.Is(err, tt.want) {
				t.Errorf("quote %+v, error %v, want %v", got, err, tt.want)
			}
		})
	}

	disabled := usual(1000, 2000).withConfigs()
	disabled[configKey].Data[56] = 1
	pool, err := ammtest.Decode(New(programID), poolKey, disabled)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Quote(amm.Clock{}, sell(100)); !errors.Is(err, amm.ErrSwapDisabled) {
		t.Errorf("disabled: %v", err)
	}
}

func TestInconsistentAccountsAreRefused(t *testing.T) {
	tests := map[string]func(amm.Accounts){
		"discriminator":          func(a amm.Accounts) { a[configKey].Data[0]++ },
		"is_mayhem_mode":         func(a amm.Accounts) { a[poolKey].Data[243] = 2 },
		"virtual_quote_reserves": func(a amm.Accounts) { a[poolKey].Data[253] = 1 },
		"creator_fee_bps":        func(a amm.Accounts) { a[poolKey].Data[264] = 1 },
		"fee_tiers":              func(a amm.Accounts) { a[feeConfigKey].Data[67] = 1 },
		"lp_supply":              func(a amm.Accounts) { a[poolKey].Data = a[poolKey].Data[:minPoolLen-1] },
		"mint":                   func(a amm.Accounts) { a[vaultKeys[1]].Data[0]++ },
		"flat_fees.lp_fee_bps":   func(a amm.Accounts) { a[feeConfigKey].Data[44] = 1 },
		"owner":                  func(a amm.Accounts) { a[feeConfigKey].Owner = programID },
	}
	for field, damage := range tests {
		accounts := usual(1_000, 1_000).withConfigs()
		damage(accounts)
		_, err := ammtest.Decode(New(programID), poolKey, accounts)
		var malformed *amm.DecodeError
		if !errors.As(err, &malformed) || malformed.Field != field {
			t.Errorf("error %v, want one about %s", err, field)
		}
	}
	accounts := usual(1_000, 1_000).withConfigs()
	accounts[baseMint] = ammtest.MintWithFee(6, 1, 1)
	accounts[vaultKeys[0]].Owner = solana.Token2022ProgramID
	var unsupported *amm.UnsupportedError
	if _, err := ammtest.Decode(New(programID), poolKey, accounts); !errors.As(err, &unsupported) {
		t.Errorf("transfer fee: %v", err)
	}
}

func TestInstructionAccountsDependOnThePool(t *testing.T) {
	plain := usual(1000, 2000)
	creator := plain.canonical(t)
	cashback := creator
	cashback.cashback = true
	tests := []struct {
		name      string
		s         state
		sell, buy int
	}{
		{"no creator", plain, 23, 25},
		{"creator", creator, 24, 26},
		{"cashback", cashback, 26, 27},
	}
	for _, tt := range tests {
		pool := tt.s.decode(t)
		for _, aToB := range []bool{true, false} {
			instruction, err := pool.SwapInstruction(amm.Quote{Request: amm.Request{AToB: aToB, Amount: 10}}, amm.Swap{User: ammtest.Key(7)})
			if err != nil {
				t.Fatal(err)
			}
			want := tt.sell
			if !aToB {
				want = tt.buy
			}
			if got := len(instruction.Accounts()); got != want {
				t.Errorf("%s, sell %t: %d accounts, want %d", tt.name, aToB, got, want)
			}
		}
	}
	old := plain
	old.poolLen = minPoolLen
	var unsupported *amm.UnsupportedError
	if _, err := old.decode(t).SwapInstruction(amm.Quote{}, amm.Swap{}); !errors.As(err, &unsupported) {
		t.Errorf("a pool that must be extended: %v", err)
	}
}

func BenchmarkSell(b *testing.B) { benchmark(b, amm.Request{AToB: true, Amount: 1_000_000}) }

func BenchmarkBuyExactQuoteIn(b *testing.B) { benchmark(b, amm.Request{Amount: 1_000_000}) }

func BenchmarkBuy(b *testing.B) { benchmark(b, amm.Request{ExactOut: true, Amount: 1_000_000}) }

func BenchmarkSellExactOut(b *testing.B) {
	benchmark(b, amm.Request{AToB: true, ExactOut: true, Amount: 1_000_000})
}

func benchmark(b *testing.B, req amm.Request) {
	pool := usual(5_000_000_000, 7_000_000_000).canonical(b).decode(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := pool.Quote(amm.Clock{}, req); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	program, accounts := New(programID), usual(5_000_000_000, 7_000_000_000).canonical(b).withConfigs()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := program.Decode(poolKey, accounts); err != nil {
			b.Fatal(err)
		}
	}
}
