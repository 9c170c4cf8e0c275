package optimizer

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/chain"
	"jupiter-dex-integration/src/jupiter"
	"jupiter-dex-integration/src/simulator/market"
	"jupiter-dex-integration/src/simulator/svm"
)

// trader is a funded wallet on a cluster that stands still, so that what a transaction does can be compared with its quote.
type trader struct {
	*cluster
	base string
	key  solana.PrivateKey
}

func newTrader(t *testing.T) *trader {
	t.Helper()
	c := newCluster(t)
	key, err := solana.NewRandomPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.FundSOL(key.PublicKey(), 5_000_000_000_000); err != nil {
		t.Fatal(err)
	}
	for _, token := range c.Tokens() {
		if token.Mint == solana.WrappedSol {
			continue
		}
		if err := c.Fund(key.PublicKey(), token.Mint, math.MaxUint64); err != nil { // as much as there is
			t.Fatal(err)
		}
	}
	if err := c.Step(5); err != nil { // until it is confirmed
		t.Fatal(err)
	}
	// Without a stream pools are read at the very slot at which the cluster stands.
	tr := &trader{c, c.optimizer(t, "SOLANA_WS_URL=ws://127.0.0.1:1"), key}
	waitReady(t, tr.base)
	return tr
}

func post(t *testing.T, url string, body any) (int, []byte) {
	t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post(url, "application/json", bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, answer
}

func (tr *trader) quote(t *testing.T, query string) json.RawMessage {
	t.Helper()
	code, body := get(t, tr.base+"/quote?"+query)
	if code != http.StatusOK {
		t.Fatalf("quote %s: %d %s", query, code, body)
	}
	return body
}

// swap asks for a transaction and runs it on the cluster.
func (tr *trader) swap(t *testing.T, quote json.RawMessage, more map[string]any) (svm.Outcome, *svm.Accounts, jupiter.SwapResponse) {
	t.Helper()
	body := map[string]any{"userPublicKey": tr.key.PublicKey().String(), "quoteResponse": quote}
	for k, v := range more {
		body[k] = v
	}
	code, answer := post(t, tr.base+"/swap", body)
	if code != http.StatusOK {
		t.Fatalf("swap: %d %s", code, answer)
	}
	response := decode[jupiter.SwapResponse](t, answer)
	tx, err := solana.TransactionFromBase64(response.SwapTransaction)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Sign(func(solana.PublicKey) *solana.PrivateKey { return &tr.key }); err != nil {
		t.Fatal(err)
	}
	if err := tx.VerifySignatures(); err != nil {
		t.Fatal(err)
	}
	outcome, accounts := tr.Simulate(tr.At(market.Confirmed), tx)
	return outcome, accounts, response
}

// worth is the wallet's amount of a token; of SOL its lamports and what is wrapped.
func (tr *trader) worth(get func(solana.PublicKey) *amm.Account, token *market.Token) int64 {
	var sum int64
	if a := get(svm.AssociatedAddress(tr.key.PublicKey(), token.Mint, token.Program)); a != nil {
		sum = int64(svm.Balance(a))
	}
	if token.Mint == solana.WrappedSol {
		sum += int64(get(tr.key.PublicKey()).Lamports)
	}
	return sum
}

// change is by how much a transaction changed the wallet's amount of a mint, its fee not counted.
func (tr *trader) change(mint solana.PublicKey, outcome svm.Outcome, after *svm.Accounts) int64 {
	token := tr.Token(mint)
	d := tr.worth(after.Get, token) - tr.worth(tr.At(market.Confirmed).Account, token)
	if mint == solana.WrappedSol {
		d += int64(outcome.FeeLamports)
	}
	return d
}

func TestSwapTransactionsDoWhatTheirQuotesSay(t *testing.T) {
	tr := newTrader(t)
	hops, splits, tried := 0, 0, 0
	for i, in := range tr.Tokens() {
		for j, out := range tr.Tokens() {
			if i == j {
				continue
			}
			for _, mode := range []string{"ExactIn", "ExactOut"} {
				amount := uint64(math.Pow10(int(in.Decimals))) * uint64(1+(i+3*j)%50)
				if mode == "ExactOut" {
					amount = uint64(math.Pow10(int(out.Decimals)))
				}
				name := fmt.Sprintf("%s %s to %s", mode, in.Symbol, out.Symbol)
				code, body := get(t, fmt.Sprintf("%s/quote?inputMint=%s&outputMint=%s&amount=%d&swapMode=%s&restrictIntermediateTokens=false", tr.base, in.Mint, out.Mint, amount, mode))
				if code != http.StatusOK {
					continue // not every pair has a route
				}
				q := decode[jupiter.Quote](t, body)
				if tr.worth(tr.At(market.Confirmed).Account, in) < int64(q.OtherAmountThreshold) && mode == "ExactOut" || tr.worth(tr.At(market.Confirmed).Account, in) < int64(q.InAmount) {
					continue
				}
				tried++
				if len(q.RoutePlan) > 1 {
					hops++
				}
				shares := map[string]int{}
				for _, s := range q.RoutePlan {
					shares[s.SwapInfo.InputMint]++
				}
				if len(shares) < len(q.RoutePlan) {
					splits++
				}
				outcome, after, response := tr.swap(t, body, nil)
				if outcome.Err != nil || response.SimulationError != nil {
					t.Errorf("%s: %v, %v\n%s\n%s", name, outcome.Err, response.SimulationError, body, strings.Join(outcome.Logs, "\n"))
					continue
				}
				rent := int64(0) // accounts that the transaction made
				for key := range after.Written() {
					if tr.At(market.Confirmed).Account(key) == nil && after.Get(key) != nil {
						rent += int64(after.Get(key).Lamports)
					}
				}
				spent, got := -tr.change(in.Mint, outcome, after), tr.change(out.Mint, outcome, after)
				if in.Mint == solana.WrappedSol {
					spent -= rent
				}
				if out.Mint == solana.WrappedSol {
					got += rent
				}
				if spent != int64(q.InAmount) || got != int64(q.OutAmount) {
					t.Errorf("%s: spent %d and got %d, the quote says %d and %d\n%s", name, spent, got, q.InAmount, q.OutAmount, body)
				}
				if response.ComputeUnitLimit < uint32(outcome.Units) {
					t.Errorf("%s: limit of %d units, used are %d", name, response.ComputeUnitLimit, outcome.Units)
				}
			}
		}
	}
	if tried < 50 || hops < 10 || splits < 3 {
		t.Errorf("only %d swaps were tried, %d of several hops, %d with splits", tried, hops, splits)
	}
}

func TestLastHopsEnforceTheThreshold(t *testing.T) {
	tr := newTrader(t)
	quote := tr.quote(t, "inputMint="+wsol+"&outputMint="+usdc+"&amount=1000000000000&slippageBps=0")
	if outcome, _, _ := tr.swap(t, quote, nil); outcome.Err != nil {
		t.Fatalf("without a change: %v", outcome.Err)
	}
	// The transaction is made, then someone else sells SOL.
	body := map[string]any{"userPublicKey": tr.key.PublicKey().String(), "quoteResponse": quote}
	_, answer := post(t, tr.base+"/swap", body)
	if outcome, _, _ := tr.swap(t, tr.quote(t, "inputMint="+wsol+"&outputMint="+usdc+"&amount=2000000000000"), nil); outcome.Err != nil {
		t.Fatal(outcome.Err)
	}
	other, err := solana.TransactionFromBase64(decode[jupiter.SwapResponse](t, answer).SwapTransaction)
	if err != nil {
		t.Fatal(err)
	}
	_, rival := post(t, tr.base+"/swap", map[string]any{"userPublicKey": tr.key.PublicKey().String(), "quoteResponse": tr.quote(t, "inputMint="+wsol+"&outputMint="+usdc+"&amount=2000000000000")})
	first, err := solana.TransactionFromBase64(decode[jupiter.SwapResponse](t, rival).SwapTransaction)
	if err != nil {
		t.Fatal(err)
	}
	for _, tx := range []*solana.Transaction{first, other} {
		if _, err := tx.Sign(func(solana.PublicKey) *solana.PrivateKey { return &tr.key }); err != nil {
			t.Fatal(err)
		}
		if err := tr.Send(tx); err != nil {
			t.Fatal(err)
		}
	}
	if err := tr.Step(1); err != nil {
		t.Fatal(err)
	}
	if s, ok := tr.Status(first.Signatures[0]); !ok || s.Outcome.Err != nil {
		t.Fatalf("the rival's swap: %+v", s)
	}
	if s, ok := tr.Status(other.Signatures[0]); !ok || s.Outcome.Err == nil {
		t.Errorf("a swap with no slippage allowed went through at a worse price: %+v", s)
	}
	// And once the new state is seen, the old quote is refused.
	if err := tr.Step(5); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the quote is out of date", func() bool {
		code, answer := post(t, tr.base+"/swap", body)
		return code == http.StatusBadRequest && jupiter.DecodeError(code, answer).Code == codeSwapMetas
	})
}

func TestPlatformFeeGoesToTheFeeAccount(t *testing.T) {
	tr := newTrader(t)
	other, _ := solana.NewRandomPrivateKey()
	if err := tr.Fund(other.PublicKey(), solana.MustPublicKeyFromBase58(usdc), 1); err != nil {
		t.Fatal(err)
	}
	if err := tr.Step(5); err != nil {
		t.Fatal(err)
	}
	feeAccount := svm.AssociatedAddress(other.PublicKey(), solana.MustPublicKeyFromBase58(usdc), solana.TokenProgramID)
	for _, mode := range []string{"ExactIn&amount=3000000000", "ExactOut&amount=3000000000"} {
		quote := tr.quote(t, "inputMint="+wsol+"&outputMint="+usdc+"&platformFeeBps=100&swapMode="+mode)
		var outcome svm.Outcome
		var after *svm.Accounts
		eventually(t, "a swap of the present state", func() bool {
			quote = tr.quote(t, "inputMint="+wsol+"&outputMint="+usdc+"&platformFeeBps=100&swapMode="+mode)
			outcome, after, _ = tr.swap(t, quote, map[string]any{"feeAccount": feeAccount.String()})
			return decode[jupiter.Quote](t, quote).ContextSlot == tr.At(market.Confirmed).Slot
		})
		q := decode[jupiter.Quote](t, quote)
		if outcome.Err != nil {
			t.Fatal(outcome.Err)
		}
		if paid := svm.Balance(after.Get(feeAccount)) - svm.Balance(tr.At(market.Confirmed).Account(feeAccount)); paid != q.PlatformFee.Amount || paid == 0 {
			t.Errorf("%s: fee %d, the quote says %d", mode, paid, q.PlatformFee.Amount)
		}
		if got := tr.change(solana.MustPublicKeyFromBase58(usdc), outcome, after); got != int64(q.OutAmount) {
			t.Errorf("%s: got %d, the quote says %d", mode, got, q.OutAmount)
		}
	}
	// A fee account of another mint cannot take it.
	code, answer := post(t, tr.base+"/swap", map[string]any{"userPublicKey": tr.key.PublicKey().String(), "feeAccount": other.PublicKey().String(),
		"quoteResponse": tr.quote(t, "inputMint="+wsol+"&outputMint="+usdc+"&platformFeeBps=100&amount=3000000000")})
	if e := jupiter.DecodeError(code, answer); code != 400 || !strings.Contains(e.Message, "feeAccount") {
		t.Errorf("%d %s", code, answer)
	}
}

func TestSwapInstructionsMakeTheSameSwap(t *testing.T) {
	tr := newTrader(t)
	quote := tr.quote(t, "inputMint="+wsol+"&outputMint="+usdc+"&amount=2000000000000")
	code, answer := post(t, tr.base+"/swap-instructions", map[string]any{"userPublicKey": tr.key.PublicKey().String(), "quoteResponse": quote})
	if code != http.StatusOK {
		t.Fatalf("%d %s", code, answer)
	}
	in := decode[jupiter.SwapInstructions](t, answer)
	all := slices.Concat(in.ComputeBudgetInstructions, in.SetupInstructions, []jupiter.Instruction{in.SwapInstruction})
	if in.CleanupInstruction != nil {
		all = append(all, *in.CleanupInstruction)
	}
	var instructions []solana.Instruction
	for _, i := range all {
		data, err := base64.StdEncoding.DecodeString(i.Data)
		if err != nil {
			t.Fatal(err)
		}
		var metas solana.AccountMetaSlice
		for _, a := range i.Accounts {
			metas = append(metas, solana.NewAccountMeta(solana.MustPublicKeyFromBase58(a.Pubkey), a.IsWritable, a.IsSigner))
		}
		instructions = append(instructions, solana.NewInstruction(solana.MustPublicKeyFromBase58(i.ProgramID), metas, data))
	}
	tx, err := chain.Envelope{Payer: tr.key.PublicKey(), Blockhash: tr.At(market.Confirmed).Blockhash}.Build(instructions)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Sign(func(solana.PublicKey) *solana.PrivateKey { return &tr.key }); err != nil {
		t.Fatal(err)
	}
	outcome, after := tr.Simulate(tr.At(market.Confirmed), tx)
	q := decode[jupiter.Quote](t, quote)
	if got := tr.change(solana.MustPublicKeyFromBase58(usdc), outcome, after); outcome.Err != nil || got != int64(q.OutAmount) {
		t.Errorf("got %d, %v; the quote says %d", got, outcome.Err, q.OutAmount)
	}
}

func TestSwapThatWouldFailSaysSo(t *testing.T) {
	tr := newTrader(t)
	poor, _ := solana.NewRandomPrivateKey()
	code, answer := post(t, tr.base+"/swap", map[string]any{"userPublicKey": poor.PublicKey().String(), "quoteResponse": tr.quote(t, "inputMint="+wsol+"&outputMint="+usdc+"&amount=1000000000")})
	if response := decode[jupiter.SwapResponse](t, answer); code != http.StatusOK || response.SimulationError == nil || response.SwapTransaction == "" {
		t.Errorf("%d %s", code, answer)
	}
}

func TestDoctoredQuotesAreRefused(t *testing.T) {
	tr := newTrader(t)
	base := decode[jupiter.Quote](t, tr.quote(t, "inputMint="+wsol+"&outputMint="+usdc+"&amount=2000000000000"))
	if len(base.RoutePlan) < 2 {
		t.Fatal("the test wants a split")
	}
	for name, tc := range map[string]struct {
		change func(*jupiter.Quote)
		code   string
	}{
		"nothing":           {func(q *jupiter.Quote) { *q = jupiter.Quote{} }, jupiter.CodeInvalidRequest},
		"no steps":          {func(q *jupiter.Quote) { q.RoutePlan = nil }, jupiter.CodeInvalidRequest},
		"a step less":       {func(q *jupiter.Quote) { q.RoutePlan = q.RoutePlan[1:] }, jupiter.CodeInvalidRequest},
		"a step twice":      {func(q *jupiter.Quote) { q.RoutePlan = append(q.RoutePlan, q.RoutePlan[0]) }, jupiter.CodeInvalidRequest},
		"more in":           {func(q *jupiter.Quote) { q.InAmount++ }, jupiter.CodeInvalidRequest},
		"more out":          {func(q *jupiter.Quote) { q.OutAmount++ }, jupiter.CodeInvalidRequest},
		"overflow":          {func(q *jupiter.Quote) { q.OutAmount = math.MaxUint64; q.PlatformFee = &jupiter.PlatformFee{Amount: 1} }, jupiter.CodeInvalidRequest},
		"unknown pool":      {func(q *jupiter.Quote) { q.RoutePlan[0].SwapInfo.AmmKey = usdc }, codeMarketNotFound},
		"the wrong mint":    {func(q *jupiter.Quote) { q.RoutePlan[0].SwapInfo.OutputMint = cpmmID.String() }, jupiter.CodeInvalidRequest},
		"the wrong way":     {func(q *jupiter.Quote) { q.InputMint, q.OutputMint = q.OutputMint, q.InputMint }, jupiter.CodeInvalidRequest},
		"too much slippage": {func(q *jupiter.Quote) { q.SlippageBps = 10001 }, jupiter.CodeInvalidRequest},
		"an unknown mode":   {func(q *jupiter.Quote) { q.SwapMode = "Exact" }, jupiter.CodeInvalidRequest},
		"a better price": {func(q *jupiter.Quote) {
			for i := range q.RoutePlan {
				if q.RoutePlan[i].SwapInfo.OutputMint == usdc {
					q.OutAmount += q.RoutePlan[i].SwapInfo.OutAmount
					q.RoutePlan[i].SwapInfo.OutAmount *= 2
				}
			}
		}, codeSwapMetas},
	} {
		t.Run(name, func(t *testing.T) {
			q := base
			q.RoutePlan = slices.Clone(base.RoutePlan)
			tc.change(&q)
			code, answer := post(t, tr.base+"/swap", map[string]any{"userPublicKey": tr.key.PublicKey().String(), "quoteResponse": q})
			if e := jupiter.DecodeError(code, answer); code != 400 || e.Code != tc.code {
				t.Errorf("%d %s", code, answer)
			}
		})
	}
}

func TestSwapRequestsThatMakeNoSenseAreRefused(t *testing.T) {
	tr := newTrader(t)
	quote := tr.quote(t, "inputMint="+wsol+"&outputMint="+usdc+"&amount=1000000000")
	for name, tc := range map[string]struct {
		more map[string]any
		code string
	}{
		"no user":         {map[string]any{"userPublicKey": ""}, jupiter.CodeInvalidRequest},
		"no quote":        {map[string]any{"quoteResponse": nil}, jupiter.CodeInvalidRequest},
		"quote is text":   {map[string]any{"quoteResponse": "x"}, jupiter.CodeInvalidRequest},
		"two fees":        {map[string]any{"computeUnitPriceMicroLamports": 1, "prioritizationFeeLamports": 1}, codeTwoPrices},
		"tip":             {map[string]any{"prioritizationFeeLamports": map[string]any{"jitoTipLamports": 1}}, jupiter.CodeNotSupported},
		"unknown level":   {map[string]any{"prioritizationFeeLamports": map[string]any{"priorityLevelWithMaxLamports": map[string]any{"priorityLevel": "low"}}}, jupiter.CodeInvalidRequest},
		"bad destination": {map[string]any{"destinationTokenAccount": usdc}, jupiter.CodeInvalidRequest},
	} {
		t.Run(name, func(t *testing.T) {
			body := map[string]any{"userPublicKey": tr.key.PublicKey().String(), "quoteResponse": quote}
			for k, v := range tc.more {
				body[k] = v
			}
			code, answer := post(t, tr.base+"/swap", body)
			if e := jupiter.DecodeError(code, answer); code != 400 || e.Code != tc.code {
				t.Errorf("%d %s", code, answer)
			}
		})
	}
}

func TestPriorityFees(t *testing.T) {
	paid := []uint64{0, 100, 50_000, 10_000, 20_000} // sorted: 0, 100, 10000, 20000, 50000
	parse := func(body string) feeRequest {
		var req swapRequest
		if err := json.Unmarshal([]byte(body), &req); err != nil {
			t.Fatal(err)
		}
		f, err := parseFeeRequest(&req)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	for _, tc := range []struct {
		body string
		want uint64
	}{
		{`{}`, 30_000}, // the 75th percentile times 1.5
		{`{"prioritizationFeeLamports":"auto"}`, 30_000},
		{`{"prioritizationFeeLamports":{"autoMultiplier":2}}`, 60_000},
		{`{"prioritizationFeeLamports":{"priorityLevelWithMaxLamports":{"priorityLevel":"medium","maxLamports":1000000}}}`, 15_000},
		{`{"prioritizationFeeLamports":{"priorityLevelWithMaxLamports":{"priorityLevel":"veryHigh","maxLamports":1000}}}`, 5_000}, // 1000 lamports for 200,000 units
		{`{"prioritizationFeeLamports":"disabled"}`, 0},
		{`{"prioritizationFeeLamports":0}`, 0},
		{`{"prioritizationFeeLamports":200000}`, 1_000_000},
		{`{"computeUnitPriceMicroLamports":7}`, 7},
		{`{"computeUnitPriceMicroLamports":"auto"}`, 30_000},
	} {
		if got := parse(tc.body).price(paid, 1.5, 200_000); got != tc.want {
			t.Errorf("%s: %d, want %d", tc.body, got, tc.want)
		}
	}
	if got := parse(`{}`).price(nil, 1.5, 200_000); got != minMicroLamports {
		t.Errorf("without knowledge: %d", got)
	}
	if got := parse(`{}`).price([]uint64{math.MaxUint64}, 1.5, 200_000); got != maxAutoLamports*1_000_000/200_000 {
		t.Errorf("at most: %d", got)
	}
	if got := (chain.Budget{UnitLimit: 1_400_000, MicroLamports: math.MaxUint64}).FeeLamports(); got < 1<<60 {
		t.Errorf("a huge fee is said to be %d", got)
	}
}
