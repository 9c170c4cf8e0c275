package sdktest

import (
	"flag"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"testing"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/ammtest"
	"jupiter-dex-integration/src/amm/token"
)

var (
	seed  = flag.Uint64("seed", 1, "what random markets to draw")
	pools = flag.Int("pools", 0, "how many markets to draw for each AMM, in place of its own number")
)

// swapsPerPool is how many swaps of each market are quoted.
const swapsPerPool = 40

// judge is an SDK that quotes an AMM's markets.
type judge struct {
	module string
	pools  int
	draw   func(d dice, price prices) market
	// deviation names the known reason why the SDK's answer is not the program's, or is empty.
	deviation func(t testing.TB, m market, pool amm.Pool, ours outcome, theirs answer) string
}

// outcome is our answer.
type outcome struct {
	amm.Quote
	err error
}

// answer is an SDK's answer. Fee is the pool's fee, and nil where the SDK does not tell it.
type answer struct {
	In    uint64  `json:"in,string"`
	Out   uint64  `json:"out,string"`
	Fee   *uint64 `json:"fee,string"`
	Error string  `json:"error"`
	// AtLimit says that the price reached the end of its range, so that the amount may be filled in part.
	AtLimit bool `json:"atLimit"`
}

func (a answer) equals(o outcome) bool {
	if a.Error != "" || o.err != nil {
		return a.Error != "" && o.err != nil
	}
	return a.In == o.In && a.Out == o.Out && (a.Fee == nil || *a.Fee == o.FeeIn+o.FeeOut)
}

func (a answer) String() string {
	if a.Error != "" {
		return a.Error
	}
	if a.Fee == nil {
		return fmt.Sprintf("%d for %d", a.Out, a.In)
	}
	return fmt.Sprintf("%d for %d (fee %d)", a.Out, a.In, *a.Fee)
}

var judges = map[string]judge{
	"Meteora DAMM v2": {"dammv2", 250, func(d dice, _ prices) market { return d.dammV2(meteoraDAMM) }, dammV2Deviation},
	"Meteora DLMM":    {"dlmm", 200, func(d dice, price prices) market { return d.dlmm(meteoraDLMM, price) }, dlmmDeviation},
	"Orca Whirlpool":  {"whirlpool", 250, func(d dice, price prices) market { return d.whirlpool(whirlpool2026, true, price) }, whirlpoolDeviation},
	"Raydium CPMM":    {"raydium-cpmm", 1000, func(d dice, _ prices) market { return d.raydiumCPMM(raydiumCPMM) }, raydiumCPMMDeviation},
	"PumpSwap":        {"pumpswap", 250, func(d dice, _ prices) market { return d.pumpSwap(pumpSwap) }, pumpSwapDeviation},
	"Raydium CLMM":    {"raydium-clmm", 300, func(d dice, price prices) market { return d.raydiumCLMM(raydiumCLMM, true, price) }, raydiumCLMMDeviation},
}

func TestQuotesEqualTheOfficialSDKs(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(judges)) {
		t.Run(name, func(t *testing.T) {
			judges[name].run(t)
		})
	}
}

func (j judge) run(t *testing.T) {
	sdk := start(t, "quote.mjs", j.module)
	n := j.pools
	if *pools > 0 {
		n = *pools
	}
	tallies := [2]tally{newTally(), newTally()}
	for i := range uint64(n) {
		d := roll(*seed, i)
		m := j.draw(d, sdk.prices)
		pool, err := ammtest.Decode(m.program, m.pool, m.accounts)
		if err != nil {
			t.Errorf("-seed %d, pool %d: %v", *seed, i, err)
			continue
		}
		requests := d.requests(pool, swapsPerPool)
		for k, theirs := range sdk.quote(m, requests) {
			request, mode := requests[k], &tallies[0]
			if request.ExactOut {
				mode = &tallies[1]
			}
			quote, err := pool.Quote(now, request)
			quote.Request = request
			ours := outcome{quote, err}
			mode.add(ours, theirs)
			if theirs.equals(ours) {
				continue
			}
			if reason := j.deviation(t, m, pool, ours, theirs); reason != "" {
				mode.deviations[reason]++
				continue
			}
			if mode.mismatches++; mode.mismatches <= 10 {
				t.Errorf("-seed %d, pool %d, %+v: %d for %d (fee %d), error %v; the SDK: %v", *seed, i, request, quote.Out, quote.In, quote.FeeIn+quote.FeeOut, err, theirs)
			}
		}
	}
	t.Logf("exact in:  %v", tallies[0])
	t.Logf("exact out: %v", tallies[1])
}

// tally counts the swaps of one mode.
type tally struct {
	quoted, refused, mismatches int
	crossed                     int // ticks or bins
	deviations, ours, theirs    map[string]int
}

func newTally() tally {
	return tally{deviations: map[string]int{}, ours: map[string]int{}, theirs: map[string]int{}}
}

func (n *tally) add(ours outcome, theirs answer) {
	if ours.err == nil {
		n.quoted++
		n.crossed += int(ours.Steps)
	} else {
		n.refused++
		n.ours[ours.err.Error()]++
	}
	if theirs.Error != "" {
		n.theirs[theirs.Error]++
	}
}

func (n tally) String() string {
	return fmt.Sprintf("quoted %d (%d ticks or bins crossed), refused %d, mismatches %d, known deviations %v; refusals %v; the SDK's %v",
		n.quoted, n.crossed, n.refused, n.mismatches, n.deviations, n.ours, n.theirs)
}

// prices are those of ticks or bins by the SDK.
func (n *node) prices(step uint16, indexes ...int32) []*big.Int {
	n.t.Helper()
	var answer struct{ Prices []string }
	n.ask(map[string]any{"prices": append([]int32{}, indexes...), "step": step}, &answer)
	found := make([]*big.Int, len(indexes))
	for i, text := range answer.Prices {
		found[i], _ = new(big.Int).SetString(text, 10)
	}
	return found
}

type wireAccount struct {
	Owner solana.PublicKey `json:"owner"`
	Data  []byte           `json:"data"`
	// Lamports are those beyond what Data needs.
	Lamports uint64 `json:"lamports,omitempty"`
}

type wireSwap struct {
	AToB     bool   `json:"aToB"`
	ExactOut bool   `json:"exactOut"`
	Amount   uint64 `json:"amount,string"`
}

func wireAccounts(accounts amm.Accounts) map[string]wireAccount {
	wire := map[string]wireAccount{}
	for key, account := range accounts {
		wire[key.String()] = wireAccount{Owner: account.Owner, Data: account.Data}
	}
	return wire
}

func wireClock(clock amm.Clock) map[string]any {
	return map[string]any{"slot": clock.Slot, "epoch": clock.Epoch, "unixTimestamp": clock.UnixTimestamp}
}

func (n *node) quote(m market, requests []amm.Request) []answer {
	n.t.Helper()
	swaps := make([]wireSwap, len(requests))
	for i, r := range requests {
		swaps[i] = wireSwap(r)
	}
	var answer struct{ Quotes []answer }
	n.ask(map[string]any{"pool": m.pool, "accounts": wireAccounts(m.accounts), "clock": wireClock(now), "swaps": swaps}, &answer)
	if len(answer.Quotes) != len(requests) {
		n.t.Fatalf("%d answers to %d requests", len(answer.Quotes), len(requests))
	}
	return answer.Quotes
}

// inFee is the fee that the input mint takes from a transfer.
func inFee(t testing.TB, m market, pool amm.Pool, aToB bool) token.TransferFee {
	mint := pool.Info().Mints[0]
	if !aToB {
		mint = pool.Info().Mints[1]
	}
	decoded, err := token.DecodeMint(m.accounts, mint)
	if err != nil {
		t.Fatal(err)
	}
	return decoded.TransferFee(now.Epoch)
}
