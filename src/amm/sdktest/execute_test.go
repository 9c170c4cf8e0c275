package sdktest

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/ammtest"
	"jupiter-dex-integration/src/chain"
)

// program is a deployed program that executes swaps of markets.
type program struct {
	id solana.PublicKey
	// module is the SDK that knows the prices of ticks or bins, where there are any.
	module string
	pools  int
	draw   func(d dice, price prices) market
	// exactOut says that the program has exact outputs of its own. Without, one that we refuse is not one that it can refuse.
	exactOut bool
	// spares names orders that the build at hand does otherwise.
	spares func(o order) bool
}

var programs = map[string]program{
	"Meteora DAMM v2": {id: meteoraDAMM, pools: 100, exactOut: true, draw: func(d dice, _ prices) market { return d.dammV2(meteoraDAMM) }},
	"Meteora DLMM": {
		id: meteoraDLMM, module: "dlmm", pools: 40, exactOut: true,
		draw: func(d dice, price prices) market { return d.dlmm(meteoraDLMM, price) },
	},
	"Orca token-swap": {id: orcaTokenSwap, pools: 100, draw: func(d dice, _ prices) market { return d.tokenSwap(orcaTokenSwap) }},
	"Orca Whirlpool, 2024": {
		id: whirlpool2024, module: "whirlpool", pools: 40, exactOut: true,
		draw: func(d dice, price prices) market { return d.whirlpool(whirlpool2024, false, price) },
	},
	"Orca Whirlpool, 2026": {
		id: whirlpool2026, module: "whirlpool", pools: 40, exactOut: true,
		draw: func(d dice, price prices) market { return d.whirlpool(whirlpool2026, true, price) },
	},
	"Raydium AMM v4": {
		id: raydiumAMM, pools: 100, exactOut: true, spares: oldRounding,
		draw: func(d dice, _ prices) market { return d.raydiumAMM(raydiumAMM) },
	},
	"Raydium CLMM": {
		id: raydiumCLMM, module: "raydium-clmm", pools: 40, exactOut: true,
		draw: func(d dice, price prices) market { return d.raydiumCLMM(raydiumCLMM, false, price) },
	},
	"Raydium CPMM": {id: raydiumCPMM, pools: 100, exactOut: true, draw: func(d dice, _ prices) market { return d.raydiumCPMM(raydiumCPMM) }},
	"Saber":        {id: saberSwap, pools: 100, draw: func(d dice, _ prices) market { return d.saber(saberSwap) }},
}

// transactionsPerPool is how many swaps of each market are executed.
const transactionsPerPool = 25

// The programs of mainnet are not the project's to have: PROGRAMS_DIR names a directory with their binaries, each named after its program's id.
func TestTransactionsDoAsQuoted(t *testing.T) {
	dir := os.Getenv("PROGRAMS_DIR")
	if dir == "" {
		t.Skip("skipped: set PROGRAMS_DIR to a directory of program binaries, each named <program id>.so")
	}
	for _, name := range slices.Sorted(maps.Keys(programs)) {
		t.Run(name, func(t *testing.T) {
			p := programs[name]
			path, err := filepath.Abs(filepath.Join(dir, p.id.String()+".so"))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(path); err != nil {
				t.Skipf("skipped: the program's binary is not in PROGRAMS_DIR: %v", err)
			}
			p.run(t, path)
		})
	}
}

func (p program) run(t *testing.T, path string) {
	runtime := start(t, "execute.mjs")
	var loaded struct{ Blockhash solana.Hash }
	runtime.ask(map[string]any{"programs": map[string]string{p.id.String(): path}}, &loaded)
	var price prices
	if p.module != "" {
		price = start(t, "quote.mjs", p.module).prices
	}
	n := p.pools
	if *pools > 0 {
		n = *pools
	}
	secret := roll(*seed, math.MaxUint64).key()
	trader := trader{solana.PrivateKey(ed25519.NewKeyFromSeed(secret[:])), loaded.Blockhash}
	tallies := map[bool]*executions{false: {}, true: {}} // by ExactOut
	for i := range uint64(n) {
		d := roll(*seed, i)
		m := p.draw(d, price)
		pool, err := ammtest.Decode(m.program, m.pool, m.accounts)
		if err != nil {
			t.Errorf("-seed %d, pool %d: %v", *seed, i, err)
			continue
		}
		orders := slices.DeleteFunc(trader.orders(t, m, pool, d.requests(pool, transactionsPerPool)), p.unfair)
		for k, done := range runtime.execute(m, orders) {
			o := orders[k]
			n := tallies[o.ExactOut]
			if problem := n.judge(o, done); problem != "" && n.Mismatches <= 10 {
				t.Errorf("-seed %d, pool %d, %+v: %d for %d, error %v; %s", *seed, i, o.Request, o.Out, o.In, o.err, problem)
			}
		}
	}
	t.Logf("exact in:  %+v", *tallies[false])
	t.Logf("exact out: %+v", *tallies[true])
}

// unfair says that the order says nothing about our quotes.
func (p program) unfair(o order) bool {
	return o.err != nil && o.ExactOut && !p.exactOut || p.spares != nil && p.spares(o)
}

// order is a swap and the signed transaction that does it.
type order struct {
	outcome
	calls []solana.PublicKey // the program of each instruction
	wire  wireTransaction
	funds uint64 // what the trader has of the input before
}

type wireTransaction struct {
	Transaction string                  `json:"transaction"`
	Accounts    map[string]*wireAccount `json:"accounts"` // besides the market's; nil for one that does not exist
	Watch       [2]string               `json:"watch"`    // the trader's accounts of input and output
}

// trader signs transactions and pays for them.
type trader struct {
	key       solana.PrivateKey
	blockhash solana.Hash
}

// orders are transactions for the requests that the vaults could serve: as the quote says, with no room for slippage, or, where there is none, at any
// price.
func (tr trader) orders(t *testing.T, m market, pool amm.Pool, requests []amm.Request) (orders []order) {
	t.Helper()
	for _, request := range requests {
		quote, err := pool.Quote(now, request)
		if err != nil {
			quote = amm.Quote{Request: request, In: math.MaxUint64 / 2, Arrays: math.MaxUint8}
			if !request.ExactOut {
				quote.In = request.Amount
			}
		}
		// The trader has more than it takes, so that it is never he who lacks funds.
		o := order{outcome: outcome{quote, err}, funds: max(quote.In, request.Amount)}
		o.funds += min(o.funds, math.MaxUint64-o.funds)
		if !m.holds(pool, quote) {
			continue
		}
		switch signed := tr.sign(&o, m, pool); {
		case signed == nil:
			orders = append(orders, o)
		case err == nil: // what is not quoted need not be built
			t.Errorf("%+v: %v", quote, signed)
		}
	}
	return orders
}

// holds says whether the vaults have the output, and room for the input. A random state can be one that no deposits lead to.
func (m market) holds(pool amm.Pool, quote amm.Quote) bool {
	in, out := m.vaults(pool, quote.AToB)
	return quote.Out <= out && quote.In <= math.MaxUint64-in
}

// sign makes the transaction as the route-optimizer's /swap does.
func (tr trader) sign(o *order, m market, pool amm.Pool) error {
	user, info := tr.key.PublicKey(), pool.Info()
	from, to := 0, 1
	if !o.AToB {
		from, to = 1, 0
	}
	threshold := o.Out
	if o.ExactOut {
		threshold = o.In
	}
	swap := chain.Swap{
		User: user, Payer: user, Hops: []chain.Hop{{Pool: pool, Quote: o.Quote, Threshold: threshold}},
		Input: o.funds, InputMint: info.Mints[from], OutputMint: info.Mints[to],
	}
	accounts, err := swap.TokenAccounts()
	if err != nil {
		return err
	}
	swaps, err := swap.Instructions(accounts)
	if err != nil {
		return err
	}
	instructions := append(chain.Budget{UnitLimit: chain.MaxComputeUnits, MicroLamports: 1000}.Instructions(), swaps.All()...)
	envelope := chain.Envelope{Payer: user, Blockhash: tr.blockhash}
	tx, err := envelope.Build(instructions)
	table := m.table()
	if errors.As(err, new(*chain.TooLargeError)) {
		envelope.Tables = map[solana.PublicKey]solana.PublicKeySlice{m.tableKey(): table}
		tx, err = envelope.Build(instructions)
	}
	if err != nil {
		return err
	}
	if _, err := tx.Sign(func(solana.PublicKey) *solana.PrivateKey { return &tr.key }); err != nil {
		return err
	}
	data, err := tx.MarshalBinary()
	if err != nil {
		return err
	}
	for _, i := range instructions {
		o.calls = append(o.calls, i.ProgramID())
	}
	source, destination := accounts[info.Mints[from]].String(), accounts[info.Mints[to]].String()
	funds := tokenAccount(info.Mints[from], user, m.accounts[info.Mints[from]], o.funds)
	o.wire = wireTransaction{
		Transaction: base64.StdEncoding.EncodeToString(data),
		Watch:       [2]string{source, destination},
		Accounts: map[string]*wireAccount{
			user.String():         {Owner: solana.SystemProgramID, Lamports: solana.LAMPORTS_PER_SOL},
			source:                {Owner: funds.Owner, Data: funds.Data},
			destination:           nil,
			m.tableKey().String(): {Owner: solana.AddressLookupTableProgramID, Data: tableData(table)},
		},
	}
	return nil
}

// tableKey is where the market's lookup table is.
func (m market) tableKey() solana.PublicKey {
	key, _ := address(solana.AddressLookupTableProgramID, m.pool[:])
	return key
}

// table has all of the market's accounts, for transactions that are too large without.
func (m market) table() solana.PublicKeySlice {
	return slices.SortedFunc(maps.Keys(m.accounts), func(a, b solana.PublicKey) int { return slices.Compare(a[:], b[:]) })
}

// tableData is a lookup table's account: kind 1, never deactivated, extended in slot 0, without an authority.
func tableData(keys solana.PublicKeySlice) image {
	data := make(image, 56)
	data.u32(0, 1)
	data.u64(4, math.MaxUint64)
	for _, key := range keys {
		data = append(data, key[:]...)
	}
	return data
}

// receipt is what came of a transaction.
type receipt struct {
	Instructions []solana.PublicKey
	Error        string
	Units        int
	Amounts      []string
}

func (n *node) execute(m market, orders []order) []receipt {
	n.t.Helper()
	transactions := make([]wireTransaction, len(orders))
	for i, o := range orders {
		transactions[i] = o.wire
	}
	var answer struct{ Results []receipt }
	n.ask(map[string]any{"accounts": wireAccounts(m.accounts), "clock": wireClock(now), "transactions": transactions}, &answer)
	return answer.Results
}

// executions counts the transactions of one mode.
type executions struct {
	Executed   int // and did as quoted
	Refused    int // by us and by the program
	OutOfUnits int // quoted, and too long for a transaction
	Unfunded   int // a random state whose vault lacks what goes to the output's transfer fee
	Mismatches int
	MostUnits  int
}

// insufficientFunds is Token-2022's error 1.
const insufficientFunds = "Program TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb failed: custom program error: 0x1;"

// judge says what is wrong, if anything is.
func (n *executions) judge(o order, done receipt) (problem string) {
	defer func() {
		if problem != "" {
			n.Mismatches++
		}
	}()
	if !slices.Equal(done.Instructions, o.calls) {
		return fmt.Sprintf("the transaction decodes to calls of %v, not of %v", done.Instructions, o.calls)
	}
	switch {
	case done.Error != "" && o.err != nil:
		n.Refused++
		return ""
	case done.Error != "" && (strings.Contains(done.Error, "exceeded CUs meter") || strings.Contains(done.Error, "ComputationalBudgetExceeded")):
		n.OutOfUnits++
		return ""
	case strings.Contains(done.Error, insufficientFunds):
		n.Unfunded++
		return ""
	case done.Error != "":
		return "the program: " + done.Error
	}
	left, err1 := strconv.ParseUint(done.Amounts[0], 10, 64)
	received, err2 := strconv.ParseUint(done.Amounts[1], 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		return err.Error()
	}
	n.MostUnits = max(n.MostUnits, done.Units)
	if paid := o.funds - left; o.err != nil || paid != o.In || received != o.Out {
		return fmt.Sprintf("the program gave %d for %d", received, paid)
	}
	n.Executed++
	return ""
}
