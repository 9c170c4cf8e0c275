package ammtest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
)

// Case is one pool on which the contract is checked.
type Case struct {
	Name     string
	Program  amm.Program
	Pool     solana.PublicKey
	Accounts amm.Accounts
	Clock    amm.Clock
	// Loose says that the program's exact-out charge can be more than the smallest input that buys the amount.
	Loose bool
	// Slack is how many units of input the program's rounding can cost a larger amount, where it takes several fees apart.
	Slack uint64
	// Short is how many units of input the program's exact-out charges less than its exact-in wants for the same output.
	Short uint64
	// After gives the accounts as a swap leaves them, for round trips; nil where that is not worked out.
	After func(accounts amm.Accounts, info *amm.Info, quote amm.Quote) amm.Accounts
}

func (c Case) decode(t testing.TB) amm.Pool {
	t.Helper()
	pool, err := Decode(c.Program, c.Pool, c.Accounts)
	if err != nil {
		t.Fatalf("%s: %v", c.Name, err)
	}
	return pool
}

// Contract checks what amm.Program and amm.Pool promise, on each case.
func Contract(t *testing.T, cases ...Case) {
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			t.Run("watch names what decode reads", c.watch)
			t.Run("damaged accounts are errors that name a field", c.damage)
			t.Run("quotes allocate nothing", c.allocations)
			t.Run("output never grows when input shrinks", c.monotone)
			t.Run("exact out buys at least the amount", c.exactOut)
			t.Run("no output beats the spot price", c.spot)
			t.Run("a round trip gains nothing", c.roundTrip)
			t.Run("swap instruction", c.instruction)
		})
	}
}

func (c Case) watch(t *testing.T) {
	loaded, err := load(c.Program, c.Pool, c.Accounts)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := c.Program.Watch(c.Pool, loaded)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(keys, c.Pool) {
		t.Error("the pool itself is not watched")
	}
	if len(loaded) != len(keys) {
		t.Errorf("%d keys watched, %d of them different", len(keys), len(loaded))
	}
	pool, err := c.Program.Decode(c.Pool, loaded)
	if err != nil {
		t.Fatal(err)
	}
	info := pool.Info()
	if info.Address != c.Pool || info.Program != c.Program.ID() || info.Label != c.Program.Label() {
		t.Errorf("info %+v", info)
	}
	layout, data := c.Program.Layout(), c.Accounts[c.Pool].Data
	if layout.Size != 0 && layout.Size != uint64(len(data)) || !bytes.HasPrefix(data, layout.Discriminator) {
		t.Errorf("layout %+v does not find the pool", layout)
	}
	for i, at := range layout.Mints {
		if !bytes.Equal(data[at:at+32], info.Mints[i][:]) {
			t.Errorf("mint %d is not at %d", i, at)
		}
	}
}

func (c Case) damage(t *testing.T) {
	loaded, err := load(c.Program, c.Pool, c.Accounts)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for key, account := range loaded {
		if account == nil {
			continue
		}
		for name, replacement := range map[string]*amm.Account{
			"absent": nil, "empty": {Owner: account.Owner}, "another owner": {Owner: Key(math.MaxUint64), Data: account.Data},
		} {
			if _, err := c.decodeWith(t, key, replacement); err == nil && (key == c.Pool || replacement != nil) {
				t.Errorf("%s: %s was accepted", key, name)
			}
		}
		for n := range account.Data {
			_, err := c.decodeWith(t, key, &amm.Account{Owner: account.Owner, Data: account.Data[:n]})
			if err == nil && key == c.Pool && c.Program.Layout().Size != 0 {
				t.Errorf("the pool cut to %d of %d bytes was accepted", n, len(account.Data))
			}
		}
		for range 2000 {
			data := slices.Clone(account.Data)
			for range 1 + random.IntN(3) {
				data[random.IntN(len(data))] ^= 1 << random.IntN(8)
			}
			pool, err := c.decodeWith(t, key, &amm.Account{Owner: account.Owner, Data: data})
			if err == nil {
				probe(t, pool, c.Clock, logUniform(random))
			}
		}
	}
}

// decodeWith decodes with one account replaced, and fails the test on an error without its type.
func (c Case) decodeWith(t testing.TB, key solana.PublicKey, replacement *amm.Account) (amm.Pool, error) {
	t.Helper()
	accounts := maps.Clone(c.Accounts)
	accounts[key] = replacement
	pool, err := Decode(c.Program, c.Pool, accounts)
	var malformed *amm.DecodeError
	var unsupported *amm.UnsupportedError
	switch {
	case err == nil:
	case errors.As(err, &malformed):
		if malformed.Field == "" || malformed.Reason == "" {
			t.Errorf("%+v names no field or reason", malformed)
		}
	case errors.As(err, &unsupported):
		if unsupported.Feature == "" || unsupported.Reason == "" {
			t.Errorf("%+v names no feature or reason", unsupported)
		}
	default:
		t.Errorf("error without a type: %v", err)
	}
	return pool, err
}

// probe quotes every direction and mode, for panics and for errors that are not sentinels.
func probe(t testing.TB, pool amm.Pool, clock amm.Clock, amount uint64) {
	t.Helper()
	for _, request := range requests(amount) {
		quote, err := pool.Quote(clock, request)
		checkQuote(t, request, quote, err)
		pool.SpotPrice(request.AToB)
	}
}

var sentinels = []error{
	amm.ErrZeroAmount, amm.ErrZeroOutput, amm.ErrInsufficientLiquidity, amm.ErrOverflow, amm.ErrSwapDisabled, amm.ErrNotOpen,
	amm.ErrExactOutUnsupported, amm.ErrTransferFee, amm.ErrArraysMissing, amm.ErrComputeBudget,
}

func checkQuote(t testing.TB, request amm.Request, quote amm.Quote, err error) {
	t.Helper()
	switch {
	case err != nil:
		if !slices.Contains(sentinels, err) {
			t.Errorf("%+v: error %v is none of the package's", request, err)
		}
	case quote.Request != request:
		t.Errorf("%+v: the quote is for %+v", request, quote.Request)
	case !request.ExactOut && quote.In > request.Amount:
		t.Errorf("%+v: takes %d", request, quote.In)
	case request.ExactOut && quote.Out < request.Amount:
		t.Errorf("%+v: gives %d", request, quote.Out)
	}
}

func requests(amount uint64) [4]amm.Request {
	return [4]amm.Request{
		{AToB: true, Amount: amount},
		{AToB: false, Amount: amount},
		{AToB: true, ExactOut: true, Amount: amount},
		{AToB: false, ExactOut: true, Amount: amount},
	}
}

// logUniform is as likely to have 3 digits as 13.
func logUniform(random *rand.Rand) uint64 {
	return random.Uint64() >> random.IntN(64)
}

func (c Case) allocations(t *testing.T) {
	pool := c.decode(t)
	for _, request := range requests(1000) {
		for _, amount := range []uint64{0, 1, 1000, 1_000_000, math.MaxUint64} {
			request.Amount = amount
			if n := testing.AllocsPerRun(10, func() { pool.Quote(c.Clock, request) }); n != 0 {
				t.Errorf("%+v: %v allocations", request, n)
			}
		}
	}
}

// trials is how many random requests each property is tried with.
const trials = 4000

func (c Case) monotone(t *testing.T) {
	pool, random := c.decode(t), rand.New(rand.NewPCG(3, 4))
	compared := 0
	for range trials {
		low, high := logUniform(random), logUniform(random)
		if random.IntN(2) == 0 { // neighbours, where rounding shows
			high = low + uint64(random.IntN(3))
		}
		if low > high {
			low, high = high, low
		}
		aToB := random.IntN(2) == 0
		less, err1 := pool.Quote(c.Clock, amm.Request{AToB: aToB, Amount: low})
		more, err2 := pool.Quote(c.Clock, amm.Request{AToB: aToB, Amount: high + c.Slack})
		if err1 != nil || err2 != nil {
			continue
		}
		compared++
		if less.Out > more.Out {
			t.Errorf("%d buys %d, %d buys %d", low, less.Out, high, more.Out)
		}
	}
	if compared < trials/20 {
		t.Errorf("only %d of %d trials could be quoted", compared, trials)
	}
}

func (c Case) exactOut(t *testing.T) {
	pool, random := c.decode(t), rand.New(rand.NewPCG(5, 6))
	bought := 0
	for range trials {
		request := amm.Request{AToB: random.IntN(2) == 0, ExactOut: true, Amount: logUniform(random)}
		quote, err := pool.Quote(c.Clock, request)
		checkQuote(t, request, quote, err)
		if errors.Is(err, amm.ErrExactOutUnsupported) {
			t.Skip(err)
		}
		if err != nil {
			continue
		}
		bought++
		checkInverse(t, pool, c.Clock, quote, c.Short, !c.Loose)
	}
	if bought < trials/20 {
		t.Errorf("only %d of %d trials could be bought", bought, trials)
	}
}

// checkInverse spends an exact-out quote's input, and what it is short of, exactly, and, where the quote is minimal, one unit less than the input.
func checkInverse(t testing.TB, pool amm.Pool, clock amm.Clock, quote amm.Quote, short uint64, minimal bool) {
	t.Helper()
	spend := amm.Request{AToB: quote.AToB, Amount: quote.In + short}
	if got, err := pool.Quote(clock, spend); err != nil || got.Out < quote.Amount {
		t.Errorf("%+v: its input buys %d, %v", quote, got.Out, err)
	}
	if spend.Amount = quote.In - 1; minimal && spend.Amount > 0 {
		if got, err := pool.Quote(clock, spend); err == nil && got.Out >= quote.Amount {
			t.Errorf("%+v: one unit less buys %d too", quote, got.Out)
		}
	}
}

func (c Case) spot(t *testing.T) {
	pool, random := c.decode(t), rand.New(rand.NewPCG(7, 8))
	for range trials {
		request := amm.Request{AToB: random.IntN(2) == 0, Amount: logUniform(random)}
		quote, err := pool.Quote(c.Clock, request)
		if err != nil {
			continue
		}
		// A float has 53 bits; the last unit is the rounding of curves that round in the user's favour.
		if limit := pool.SpotPrice(request.AToB)*float64(quote.In)*(1+1e-9) + 1; float64(quote.Out) > limit {
			t.Errorf("%+v: out is above %g at the spot price", quote, limit)
		}
	}
}

func (c Case) roundTrip(t *testing.T) {
	if c.After == nil {
		t.Skip("the state after a swap is not worked out for this pool")
	}
	pool, random := c.decode(t), rand.New(rand.NewPCG(9, 10))
	made := 0
	for range trials / 4 {
		there, err := pool.Quote(c.Clock, amm.Request{AToB: random.IntN(2) == 0, Amount: logUniform(random)})
		if err != nil || there.Out == 0 {
			continue
		}
		after, err := Decode(c.Program, c.Pool, c.After(c.Accounts, pool.Info(), there))
		if err != nil {
			t.Fatalf("after %+v: %v", there, err)
		}
		back, err := after.Quote(c.Clock, amm.Request{AToB: !there.AToB, Amount: there.Out})
		if err != nil {
			continue
		}
		made++
		if back.Out > there.In {
			t.Errorf("%d became %d and then %d", there.In, there.Out, back.Out)
		}
	}
	if made < trials/80 {
		t.Errorf("only %d round trips", made)
	}
}

func (c Case) instruction(t *testing.T) {
	pool, random := c.decode(t), rand.New(rand.NewPCG(11, 12))
	built := map[amm.Request]bool{}
	for range trials {
		request := amm.Request{AToB: random.IntN(2) == 0, ExactOut: random.IntN(2) == 0, Amount: logUniform(random)}
		kind := amm.Request{AToB: request.AToB, ExactOut: request.ExactOut}
		quote, err := pool.Quote(c.Clock, request)
		if err != nil || built[kind] {
			continue
		}
		built[kind] = true
		swap := swapOf(t, Key(77), pool.Info(), request)
		swap.Threshold = 123_456_789
		c.checkInstruction(t, pool, quote, swap)
	}
	if len(built) < 2 {
		t.Errorf("instructions for %v only", built)
	}
}

func (c Case) checkInstruction(t *testing.T, pool amm.Pool, quote amm.Quote, swap amm.Swap) {
	t.Helper()
	instruction, err := pool.SwapInstruction(quote, swap)
	if err != nil {
		t.Errorf("%+v: %v", quote, err)
		return
	}
	data, err := instruction.Data()
	if err != nil {
		t.Errorf("%+v: %v", quote, err)
		return
	}
	for _, amount := range []uint64{quote.Amount, swap.Threshold} {
		if !bytes.Contains(data, binary.LittleEndian.AppendUint64(nil, amount)) {
			t.Errorf("%+v: data %x without %d", quote, data, amount)
		}
	}
	distinct := map[solana.PublicKey]bool{instruction.ProgramID(): true}
	signers, writable := 0, map[solana.PublicKey]bool{}
	for _, meta := range instruction.Accounts() {
		distinct[meta.PublicKey] = true
		if meta.IsSigner {
			signers++
			if meta.PublicKey != swap.User {
				t.Errorf("%s must sign", meta.PublicKey)
			}
		}
		if meta.IsWritable {
			writable[meta.PublicKey] = true
		}
	}
	info := pool.Info()
	for _, key := range []solana.PublicKey{swap.Source, swap.Destination, info.Vaults[0], info.Vaults[1]} {
		if !writable[key] {
			t.Errorf("%s is not writable", key)
		}
	}
	if signers == 0 || instruction.ProgramID() != c.Program.ID() {
		t.Errorf("%d signers, program %s", signers, instruction.ProgramID())
	}
	if n := pool.SwapAccounts(quote); n < len(distinct) || n > len(instruction.Accounts())+1 {
		t.Errorf("SwapAccounts = %d for %d different of %d accounts", n, len(distinct), len(instruction.Accounts()))
	}
}
