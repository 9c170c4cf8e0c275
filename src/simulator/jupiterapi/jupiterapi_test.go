package jupiterapi_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/big"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gagliardetto/solana-go"
	"github.com/google/go-cmp/cmp"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/ammtest"
	"jupiter-dex-integration/src/amm/raydiumcpmm"
	"jupiter-dex-integration/src/jupiter"
	"jupiter-dex-integration/src/simulator/jupiterapi"
	"jupiter-dex-integration/src/simulator/market"
	"jupiter-dex-integration/src/simulator/svm"
)

const (
	sol  = "So11111111111111111111111111111111111111112"
	usdc = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
	msol = "mSoLzYCxHdYgdzU16g5QSh3i5K3z3KZK7ytfqcJm7So"
	bonk = "DezXAZ8z7PnrnRJjz3wXBoRgixCa6xjnB7YaB1pPB263"
	bern = "CKfatsPMUf8SkiURsDXs7eK6GWb4Jsd6UDbs7twMCWxo"
	wif  = "EKpQGSJtjMFqKZ9KQanSqYXRcF8fBopzLHYxdM65zcjm"
)

type api struct {
	market  *market.Market
	handler *jupiterapi.Handler
}

func newAPI(t testing.TB, cfg jupiterapi.Config) api {
	t.Helper()
	m, err := market.New(market.Config{
		Seed: 1, Start: time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC),
		CPMM: raydiumcpmm.New(solana.MustPublicKeyFromBase58("CPMMoo8L3F4NbTegBCKVNunggL7H1ZpdTHKxQB5qKP1C")),
	})
	if err != nil {
		t.Fatal(err)
	}
	return api{m, jupiterapi.New(m, cfg)}
}

func (a api) tip() *market.Snapshot { return a.market.At(market.Processed) }

// do sends a request to the handler.
func (a api) do(method, target, body string, header ...string) *http.Response {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	a.handler.ServeHTTP(w, r)
	return w.Result()
}

func (a api) get(t testing.TB, target string, v any) {
	t.Helper()
	read(t, a.do("GET", target, ""), v)
}

func read(t testing.TB, resp *http.Response, v any) {
	t.Helper()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 200 {
		t.Fatalf("%s: %s", resp.Status, body)
	}
	if err := json.Unmarshal(body, v); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
}

func quotePath(in, out string, amount uint64, more ...string) string {
	q := url.Values{"inputMint": {in}, "outputMint": {out}, "amount": {strconv.FormatUint(amount, 10)}}
	for i := 0; i < len(more); i += 2 {
		q.Set(more[i], more[i+1])
	}
	return "/swap/v1/quote?" + q.Encode()
}

// keys are the paths of all fields in a JSON value; list items are merged.
func keys(v any, prefix string, into map[string]bool) map[string]bool {
	switch v := v.(type) {
	case map[string]any:
		for name, field := range v {
			into[prefix+name] = true
			keys(field, prefix+name+".", into)
		}
	case []any:
		for _, item := range v {
			keys(item, prefix, into)
		}
	}
	return into
}

func fixtureKeys(t *testing.T, name string) map[string]bool {
	t.Helper()
	body, err := os.ReadFile(ammtest.Fixture(t, "jupiter/"+name))
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatal(err)
	}
	return keys(v, "", map[string]bool{})
}

func sameKeys(t *testing.T, what string, got any, want map[string]bool, except ...string) {
	t.Helper()
	have := keys(got, "", map[string]bool{})
	for _, set := range []map[string]bool{have, want} {
		maps.DeleteFunc(set, func(name string, _ bool) bool {
			return slices.ContainsFunc(except, func(e string) bool { return strings.HasPrefix(name, e) })
		})
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(have))); diff != "" {
		t.Errorf("fields of %s (- recorded, + simulated): %s", what, diff)
	}
}

func TestAnswersHaveTheFieldsOfRecordedOnes(t *testing.T) {
	a := newAPI(t, jupiterapi.Config{})
	var quote, instructions, prices any
	a.get(t, quotePath(sol, usdc, 1_000_000_000), &quote)
	sameKeys(t, "a quote", quote, fixtureKeys(t, "quotes/v1-sol-usdc-goonfi-20261005.json"), "mostReliableAmmsQuoteReport.")
	a.get(t, "/price/v3?ids="+sol+","+usdc, &prices)
	sameKeys(t, "prices", prices, fixtureKeys(t, "price-v3/usdc-sol-docs-398169360.json"))

	raw, _ := json.Marshal(quote)
	body := fmt.Sprintf(`{"userPublicKey":%q,"quoteResponse":%s,"dynamicComputeUnitLimit":true}`, solana.NewWallet().PublicKey(), raw)
	read(t, a.do("POST", "/swap/v1/swap-instructions", body), &instructions)
	sameKeys(t, "swap instructions", instructions, fixtureKeys(t, "swap-instructions/tesserav-202510.json"),
		"cleanupInstruction.", "otherInstructions.", "addressesByLookupTableAddress.", "simulationError.", "dynamicSlippageReport.")
	var swap any
	read(t, a.do("POST", "/swap/v1/swap", body), &swap)
	sameKeys(t, "a swap", swap, fixtureKeys(t, "swap/swap-response-202501-docs.json"), "dynamicSlippageReport.", "simulationError.", "simulationSlot")
}

// Every number of a quote must be what the pools it names would do, step by step, and the thresholds follow Jupiter's formulas.
func TestQuotesAreTrue(t *testing.T) {
	a := newAPI(t, jupiterapi.Config{})
	rng := rand.New(rand.NewPCG(1, 2))
	tokens := a.market.Tokens()
	pools := map[string]amm.Pool{}
	hops := map[int]int{}
	for range 1_500 {
		if rng.IntN(20) == 0 {
			if err := a.market.Step(1); err != nil {
				t.Fatal(err)
			}
		}
		s := a.tip()
		for _, pool := range s.Pools {
			pools[pool.Info().Address.String()] = pool
		}
		in, out := tokens[rng.IntN(len(tokens))], tokens[rng.IntN(len(tokens))]
		exactOut, bps, fee := rng.IntN(2) == 0, uint64(rng.IntN(300)), uint64(rng.IntN(3)*25)
		amount := 1 + rng.Uint64N(1<<(1+rng.UintN(42)))
		mode := jupiter.ExactIn
		if exactOut {
			mode = jupiter.ExactOut
		}
		resp := a.do("GET", quotePath(in.Mint.String(), out.Mint.String(), amount, "swapMode", mode, "slippageBps", strconv.FormatUint(bps, 10), "platformFeeBps", strconv.FormatUint(fee, 10)), "")
		if resp.StatusCode == 400 {
			continue
		}
		var q jupiter.Quote
		read(t, resp, &q)
		hops[len(q.RoutePlan)]++
		at, mint := q.InAmount, q.InputMint
		for _, step := range q.RoutePlan {
			pool := pools[step.SwapInfo.AmmKey]
			if step.SwapInfo.InAmount != at || step.SwapInfo.InputMint != mint || *step.Percent != 100 {
				t.Fatalf("step does not continue with %d of %s: %+v", at, mint, step)
			}
			req := amm.Request{AToB: pool.Info().Mints[0].String() == mint, ExactOut: exactOut, Amount: step.SwapInfo.InAmount}
			if exactOut {
				req.Amount = step.SwapInfo.OutAmount
			}
			got, err := pool.Quote(s.Clock(), req)
			if err != nil || got.In != step.SwapInfo.InAmount || got.Out != step.SwapInfo.OutAmount {
				t.Fatalf("the pool says %+v, %v to %+v", got, err, step)
			}
			at, mint = step.SwapInfo.OutAmount, step.SwapInfo.OutputMint
		}
		gross, given, threshold := at, q.InAmount, ceilDiv(q.OutAmount, 10_000-bps)
		if exactOut {
			given, threshold = q.OutAmount, ceilDiv(q.InAmount, 10_000+bps)
		}
		var taken uint64
		if q.PlatformFee != nil {
			taken = q.PlatformFee.Amount
		}
		want := new(big.Int).Mul(new(big.Int).SetUint64(gross), new(big.Int).SetUint64(fee))
		if want.Div(want, big.NewInt(10_000)); want.Uint64() != taken || q.OutAmount != gross-taken {
			t.Fatalf("fee of %d bps on %d is %d, want %s: %+v", fee, gross, taken, want, q)
		}
		if given < amount || !exactOut && given != amount || exactOut && fee == 0 && given != amount || mint != q.OutputMint || q.OtherAmountThreshold != threshold ||
			q.ContextSlot != s.Slot || q.SwapMode != mode {
			t.Fatalf("amount %d %s, bps %d: %+v, want threshold %d", amount, mode, bps, q, threshold)
		}
	}
	if hops[1] < 100 || hops[2] < 100 {
		t.Errorf("too few routes of a kind: %v", hops)
	}
}

func ceilDiv(amount, bps uint64) uint64 {
	v := new(big.Int).Mul(new(big.Int).SetUint64(amount), new(big.Int).SetUint64(bps))
	return v.Add(v, big.NewInt(9_999)).Div(v, big.NewInt(10_000)).Uint64()
}

func TestTheBestRouteIsTaken(t *testing.T) {
	a := newAPI(t, jupiterapi.Config{})
	var best, direct jupiter.Quote
	a.get(t, quotePath(msol, usdc, 500_000_000_000), &best)
	a.get(t, quotePath(msol, usdc, 500_000_000_000, "onlyDirectRoutes", "true"), &direct)
	if len(best.RoutePlan) != 2 || len(direct.RoutePlan) != 1 || best.OutAmount <= direct.OutAmount {
		t.Errorf("best gives %d over %d pools, direct %d over %d", best.OutAmount, len(best.RoutePlan), direct.OutAmount, len(direct.RoutePlan))
	}
	var exact jupiter.Quote
	a.get(t, quotePath(msol, usdc, best.OutAmount, "swapMode", "ExactOut"), &exact)
	if exact.InAmount > best.InAmount || exact.OutAmount != best.OutAmount {
		t.Errorf("what %d bought costs %d", best.InAmount, exact.InAmount)
	}
	// 10 % less input buys less than what was asked for: the exact-out input is no padding.
	var less jupiter.Quote
	a.get(t, quotePath(msol, usdc, exact.InAmount*9/10), &less)
	if less.OutAmount >= exact.OutAmount {
		t.Errorf("%d buys %d, %d buys %d", exact.InAmount, exact.OutAmount, less.InAmount, less.OutAmount)
	}
}

func TestImpactGrowsWithTheTrade(t *testing.T) {
	a := newAPI(t, jupiterapi.Config{})
	last := -1.0
	for _, amount := range []uint64{1_000_000, 1_000_000_000_000, 5_000_000_000_000} {
		var q jupiter.Quote
		a.get(t, quotePath(sol, usdc, amount), &q)
		impact, err := strconv.ParseFloat(q.PriceImpactPct, 64)
		if err != nil || impact <= last || impact >= 1 {
			t.Errorf("%d lamports: impact %q, before it %v", amount, q.PriceImpactPct, last)
		}
		last = impact
	}
}

func TestRefusals(t *testing.T) {
	a := newAPI(t, jupiterapi.Config{})
	unknown := "11111111111111111111111111111112"
	var q json.RawMessage
	a.get(t, quotePath(sol, usdc, 1_000_000), &q)
	user := solana.NewWallet().PublicKey().String()
	swap := func(fields string) string { return `{"quoteResponse":` + string(q) + fields + `}` }
	for name, test := range map[string]struct {
		method, target, body string
		status               int
		want                 string // in the body
	}{
		"amount is no number":       {"GET", "/swap/v1/quote?inputMint=" + sol + "&outputMint=" + usdc + "&amount=abc", "", 400, "amount cannot be parsed"},
		"no amount":                 {"GET", "/swap/v1/quote?inputMint=" + sol + "&outputMint=" + usdc, "", 400, "amount"},
		"same mints":                {"GET", quotePath(sol, sol, 1), "", 400, "CIRCULAR_ARBITRAGE_IS_DISABLED"},
		"unknown mint":              {"GET", quotePath(unknown, usdc, 1_000), "", 400, "TOKEN_NOT_TRADABLE"},
		"dust":                      {"GET", quotePath(bonk, usdc, 1), "", 400, `{"error":"No routes found","errorCode":"NO_ROUTES_FOUND"}`},
		"more than there is":        {"GET", quotePath(sol, usdc, 1<<62, "swapMode", "ExactOut"), "", 400, "NO_ROUTES_FOUND"},
		"unknown label":             {"GET", quotePath(sol, usdc, 1_000_000, "dexes", "raydium cp"), "", 400, "NO_ROUTES_FOUND"},
		"excluded label":            {"GET", quotePath(sol, usdc, 1_000_000, "excludeDexes", "Raydium CP"), "", 400, "NO_ROUTES_FOUND"},
		"dexes and excludeDexes":    {"GET", quotePath(sol, usdc, 1_000_000, "dexes", "a", "excludeDexes", "b"), "", 400, "Cannot set dexes and exclude dexes at the same time"},
		"too few accounts":          {"GET", quotePath(sol, usdc, 1_000_000, "maxAccounts", "5"), "", 400, "NO_ROUTES_FOUND"},
		"too many accounts":         {"GET", quotePath(sol, usdc, 1_000_000, "maxAccounts", "65"), "", 400, "MAX_ACCOUNT_GREATER_THAN_MAX"},
		"direct where none is":      {"GET", quotePath(bonk, wif, 1_000_000_000, "onlyDirectRoutes", "true"), "", 400, "NO_ROUTES_FOUND"},
		"trailing slash":            {"GET", "/swap/v1/quote/?inputMint=" + sol, "", 404, `{"code":404,`},
		"wrong method":              {"GET", "/swap/v1/swap", "", 404, `{"code":404,`},
		"51 prices":                 {"GET", "/price/v3?ids=" + strings.Repeat(sol+",", 50) + usdc, "", 400, "Too many ids"},
		"no body":                   {"POST", "/swap/v1/swap", "", 400, "INVALID_REQUEST"},
		"no user":                   {"POST", "/swap/v1/swap", swap(``), 400, "userPublicKey"},
		"bad user":                  {"POST", "/swap/v1/swap", swap(`,"userPublicKey":"x"`), 400, "userPublicKey"},
		"no quote":                  {"POST", "/swap/v1/swap", `{"userPublicKey":"` + user + `"}`, 400, "quoteResponse"},
		"both kinds of fee":         {"POST", "/swap/v1/swap", swap(`,"userPublicKey":"` + user + `","computeUnitPriceMicroLamports":1,"prioritizationFeeLamports":1`), 400, "INVALID_COMPUTE_UNIT_PRICE_AND_PRIORITIZATION_FEE"},
		"unknown level":             {"POST", "/swap/v1/swap", swap(`,"userPublicKey":"` + user + `","prioritizationFeeLamports":{"priorityLevelWithMaxLamports":{"priorityLevel":"low","maxLamports":1}}`), 400, "priorityLevel"},
		"unknown pool":              {"POST", "/swap/v1/swap", strings.ReplaceAll(swap(`,"userPublicKey":"`+user+`"`), ammKey(t, q), user), 400, "MARKET_NOT_FOUND"},
		"platform fee, no account":  {"POST", "/swap/v1/swap", strings.Replace(swap(`,"userPublicKey":"`+user+`"`), `"platformFee":null`, `"platformFee":{"amount":"1","feeBps":20}`, 1), 400, "feeAccount"},
		"zero amounts in the quote": {"POST", "/swap/v1/swap", strings.ReplaceAll(swap(`,"userPublicKey":"`+user+`"`), `"1000000"`, `"0"`), 400, "FAILED_TO_GET_SWAP_AND_ACCOUNT_METAS"},
	} {
		resp := a.do(test.method, test.target, test.body)
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != test.status || !strings.Contains(string(body), test.want) || !json.Valid(body) {
			t.Errorf("%s: %s %s, want %d with %s", name, resp.Status, body, test.status, test.want)
		}
		if resp.Header.Get("x-api-gateway-request-id") == "" {
			t.Errorf("%s: no request id", name)
		}
	}
}

func ammKey(t *testing.T, raw []byte) string {
	var q jupiter.Quote
	if err := json.Unmarshal(raw, &q); err != nil {
		t.Fatal(err)
	}
	return q.RoutePlan[0].SwapInfo.AmmKey
}

func TestPrices(t *testing.T) {
	a := newAPI(t, jupiterapi.Config{})
	var prices map[string]jupiter.Price
	a.get(t, "/price/v3?ids="+sol+",nonsense,"+usdc+",11111111111111111111111111111112", &prices)
	if len(prices) != 2 {
		t.Fatalf("got %d prices, want those of SOL and USDC alone", len(prices))
	}
	price := func(mint string) float64 { v, _ := prices[mint].USDPrice.Float64(); return v }
	if p := price(usdc); p < 0.99 || p > 1.01 {
		t.Errorf("USDC is at %v", p)
	}
	// The price must fit what a small trade gives, within fees.
	var q jupiter.Quote
	a.get(t, quotePath(sol, usdc, 1_000_000_000), &q)
	if got, want := float64(q.OutAmount)/1e6*price(usdc), price(sol); got < want*0.99 || got > want*1.01 {
		t.Errorf("one SOL is priced at %v and trades at %v", want, got)
	}
	if p := prices[sol]; p.Decimals != 9 || p.BlockID > a.tip().Slot || p.BlockID+50 < a.tip().Slot || p.Liquidity == nil || p.PriceChange24h == nil {
		t.Errorf("SOL: %+v", p)
	}
	var none map[string]jupiter.Price
	a.get(t, "/price/v3?ids=bingus", &none)
	if none == nil || len(none) != 0 {
		t.Errorf("unknown ids give %v, want {}", none)
	}
}

func TestTokenSearch(t *testing.T) {
	a := newAPI(t, jupiterapi.Config{})
	var byMint, byName []struct {
		ID, Symbol string
		Decimals   int
	}
	a.get(t, "/tokens/v2/search?query="+usdc+","+bern, &byMint)
	a.get(t, "/tokens/v2/search?query=staked", &byName)
	if len(byMint) != 2 || byMint[0].Symbol != "USDC" || byMint[0].Decimals != 6 || byMint[1].ID != bern || len(byName) != 2 {
		t.Errorf("by mint %v, by name %v", byMint, byName)
	}
}

func TestKeysAndLimits(t *testing.T) {
	cfg := jupiterapi.Config{
		Keys:    map[string]string{"k1": "acme", "k2": "acme", "k3": "other"},
		Plan:    jupiterapi.Plan{Requests: 3, Window: time.Minute},
		Keyless: jupiterapi.Plan{Requests: 1, Window: 10 * time.Second},
	}
	a := newAPI(t, cfg)
	synctest.Test(t, func(t *testing.T) {
		call := func(key string) *http.Response {
			if key == "" {
				return a.do("GET", "/swap/v1/program-id-to-label", "")
			}
			return a.do("GET", "/swap/v1/program-id-to-label", "", "x-api-key", key)
		}
		limits := func(r *http.Response) string {
			return strings.Join([]string{strconv.Itoa(r.StatusCode), r.Header.Get("x-ratelimit-remaining"), r.Header.Get("x-ratelimit-current"), r.Header.Get("x-ratelimit-reset")}, " ")
		}
		start := time.Now().Unix()
		expect := func(what, key, want string) {
			t.Helper()
			if got := limits(call(key)); got != want {
				t.Errorf("%s: %q, want %q", what, got, want)
			}
		}
		expect("first of three", "k1", fmt.Sprintf("200 2 1 %d", start+60))
		time.Sleep(10 * time.Second)
		expect("a second key shares the limit", "k2", fmt.Sprintf("200 1 2 %d", start+60))
		expect("the third", "k1", fmt.Sprintf("200 0 3 %d", start+60))
		expect("one too many", "k2", fmt.Sprintf("429 0 3 %d", start+60))
		expect("another organisation", "k3", fmt.Sprintf("200 2 1 %d", start+70))
		expect("without a key", "", fmt.Sprintf("200 0 1 %d", start+20))
		expect("without a key again", "", fmt.Sprintf("429 0 1 %d", start+20))
		time.Sleep(50*time.Second - time.Millisecond)
		expect("still full; the refused one did not count", "k1", fmt.Sprintf("429 0 3 %d", start+60))
		time.Sleep(time.Millisecond)
		expect("one slot is free again", "k1", fmt.Sprintf("200 0 3 %d", start+70))

		resp := call("wrong")
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != 401 || !strings.Contains(string(body), `"code":401`) || resp.Header.Get("x-ratelimit-remaining") != "" {
			t.Errorf("unknown key: %s %s", resp.Status, body)
		}
	})
}

// The transactions must do what the quotes say: for each kind of route, a wallet swaps and ends with what was quoted.
func TestSwapTransactionsDoWhatTheQuoteSays(t *testing.T) {
	for name, test := range map[string]struct {
		in, out string
		amount  uint64
		query   []string
		body    string
		hops    int
	}{
		"SOL into a token":              {sol, usdc, 1_000_000_000, []string{"onlyDirectRoutes", "true"}, ``, 1},
		"a token into SOL":              {usdc, sol, 150_000_000, []string{"onlyDirectRoutes", "true"}, `,"dynamicComputeUnitLimit":true`, 1},
		"two pools":                     {bonk, wif, 5_000_000_000, nil, ``, 2},
		"two pools through SOL":         {msol, usdc, 2_000_000_000, nil, `,"dynamicComputeUnitLimit":true`, 2},
		"exact output":                  {bonk, wif, 7_777_777, []string{"swapMode", "ExactOut"}, ``, 2},
		"exact output, one pool":        {sol, usdc, 7_777_777, []string{"swapMode", "ExactOut", "onlyDirectRoutes", "true"}, ``, 1},
		"a token that takes fees":       {sol, bern, 100_000_000, []string{"onlyDirectRoutes", "true"}, ``, 1},
		"selling one that takes fees":   {bern, bonk, 50_000_000, nil, ``, 2},
		"legacy transaction":            {sol, usdc, 1_000_000_000, []string{"onlyDirectRoutes", "true"}, `,"asLegacyTransaction":true`, 1},
		"no slippage, fixed unit price": {sol, usdc, 1_000_000_000, []string{"slippageBps", "0", "onlyDirectRoutes", "true"}, `,"computeUnitPriceMicroLamports":1000`, 1},
		"Jito tip":                      {sol, usdc, 1_000_000_000, []string{"onlyDirectRoutes", "true"}, `,"prioritizationFeeLamports":{"jitoTipLamports":2000000}`, 1},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAPI(t, jupiterapi.Config{})
			wallet := solana.NewWallet()
			user := wallet.PublicKey()
			for _, token := range a.market.Tokens() {
				if token.Mint != solana.WrappedSol {
					if err := a.market.Fund(user, token.Mint, 1_000_000_000_000); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := a.market.FundSOL(user, 20_000_000_000); err != nil {
				t.Fatal(err)
			}
			if err := a.market.Step(1); err != nil {
				t.Fatal(err)
			}
			var raw json.RawMessage
			a.get(t, quotePath(test.in, test.out, test.amount, test.query...), &raw)
			var q jupiter.Quote
			if err := json.Unmarshal(raw, &q); err != nil {
				t.Fatal(err)
			}
			if len(q.RoutePlan) != test.hops {
				t.Fatalf("the route has %d pools, want %d", len(q.RoutePlan), test.hops)
			}
			var swap struct {
				jupiter.SwapResponse
				SimulationError any
			}
			read(t, a.do("POST", "/swap/v1/swap", fmt.Sprintf(`{"userPublicKey":%q,"quoteResponse":%s%s}`, user, raw, test.body)), &swap)
			if swap.SimulationError != nil {
				t.Fatalf("simulation: %v", swap.SimulationError)
			}
			tx := decode(t, swap.SwapTransaction)
			settled := a.market.At(market.Finalized) // its blockhash is known at every commitment
			if tx.Message.RecentBlockhash != settled.Blockhash || swap.LastValidBlockHeight != settled.LastValidHeight() {
				t.Errorf("blockhash %s until %d, want %s until %d", tx.Message.RecentBlockhash, swap.LastValidBlockHeight, settled.Blockhash, settled.LastValidHeight())
			}
			if legacy := strings.Contains(test.body, "asLegacy"); tx.Message.IsVersioned() == legacy {
				t.Error("the transaction has the wrong version")
			}
			if strings.Contains(test.body, "dynamicComputeUnitLimit") && swap.ComputeUnitLimit >= 1_400_000 {
				t.Errorf("the unit limit %d is not dynamic", swap.ComputeUnitLimit)
			}
			if _, err := tx.Sign(func(solana.PublicKey) *solana.PrivateKey { return &wallet.PrivateKey }); err != nil {
				t.Fatal(err)
			}
			before := a.tip()
			if err := a.market.Send(tx); err != nil {
				t.Fatal(err)
			}
			if err := a.market.Step(1); err != nil {
				t.Fatal(err)
			}
			status, ok := a.market.Status(tx.Signatures[0])
			if !ok || status.Outcome.Err != nil {
				t.Fatalf("processed %t: %v\n%s", ok, status.Outcome.Err, strings.Join(status.Outcome.Logs, "\n"))
			}
			spent := balance(a, before, user, test.in) - balance(a, a.tip(), user, test.in)
			gained := balance(a, a.tip(), user, test.out) - balance(a, before, user, test.out)
			paid := int64(status.Outcome.FeeLamports)
			if strings.Contains(test.body, "jitoTip") {
				paid += 2_000_000
			}
			if test.in == sol {
				spent -= paid
			} else if test.out == sol {
				gained += paid
			}
			low, high := int64(q.OutAmount), int64(q.OutAmount)
			if test.hops == 2 { // half of the slippage goes to the middle
				low = int64(q.OtherAmountThreshold)
			}
			if q.SwapMode == jupiter.ExactOut {
				low = high
				if spent > int64(q.OtherAmountThreshold) || test.hops == 1 && spent != int64(q.InAmount) {
					t.Errorf("spent %d, quoted %d, at most %d", spent, q.InAmount, q.OtherAmountThreshold)
				}
			} else if spent != int64(q.InAmount) {
				t.Errorf("spent %d, quoted %d", spent, q.InAmount)
			}
			if gained < low || gained > high {
				t.Errorf("gained %d, quoted %d, at least %d", gained, q.OutAmount, low)
			}
			if fee := uint64(status.Outcome.FeeLamports) - 5_000; fee != swap.PrioritizationFeeLamports && !strings.Contains(test.body, "jitoTip") {
				t.Errorf("paid %d for priority, told %d", fee, swap.PrioritizationFeeLamports)
			}
		})
	}
}

// balance is what a wallet has of a token; of SOL its lamports, with no wrapped account left, and new accounts' rent put back.
func balance(a api, s *market.Snapshot, user solana.PublicKey, mint string) int64 {
	key := solana.MustPublicKeyFromBase58(mint)
	account := s.Account(svm.AssociatedAddress(user, key, a.market.Token(key).Program))
	if mint == sol {
		if account != nil {
			return -1 // wrapped SOL was left behind: no sum will fit
		}
		return int64(s.Account(user).Lamports)
	}
	if account == nil {
		return 0
	}
	return int64(svm.Balance(account))
}

func decode(t *testing.T, text string) *solana.Transaction {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(raw) > 1232 {
		t.Fatalf("%d bytes, %v", len(raw), err)
	}
	tx, err := solana.TransactionFromBytes(raw)
	if err != nil {
		t.Fatal(err)
	}
	for _, signature := range tx.Signatures {
		if !signature.IsZero() {
			t.Error("the transaction is signed")
		}
	}
	return tx
}

func TestPlatformFeeArrives(t *testing.T) {
	a := newAPI(t, jupiterapi.Config{})
	wallet, partner := solana.NewWallet(), solana.NewWallet().PublicKey()
	mint := solana.MustPublicKeyFromBase58(usdc)
	if err := a.market.FundSOL(wallet.PublicKey(), 5_000_000_000); err != nil {
		t.Fatal(err)
	}
	if err := a.market.Fund(partner, mint, 1); err != nil {
		t.Fatal(err)
	}
	if err := a.market.Step(1); err != nil {
		t.Fatal(err)
	}
	var raw json.RawMessage
	a.get(t, quotePath(sol, usdc, 1_000_000_000, "platformFeeBps", "50", "onlyDirectRoutes", "true"), &raw)
	var q jupiter.Quote
	if err := json.Unmarshal(raw, &q); err != nil {
		t.Fatal(err)
	}
	account := svm.AssociatedAddress(partner, mint, solana.TokenProgramID)
	body := fmt.Sprintf(`{"userPublicKey":%q,"quoteResponse":%s,"feeAccount":%q}`, wallet.PublicKey(), raw, account)
	var swap jupiter.SwapResponse
	read(t, a.do("POST", "/swap/v1/swap", body), &swap)
	tx := decode(t, swap.SwapTransaction)
	if _, err := tx.Sign(func(solana.PublicKey) *solana.PrivateKey { return &wallet.PrivateKey }); err != nil {
		t.Fatal(err)
	}
	if err := a.market.Send(tx); err != nil {
		t.Fatal(err)
	}
	if err := a.market.Step(1); err != nil {
		t.Fatal(err)
	}
	if status, ok := a.market.Status(tx.Signatures[0]); !ok || status.Outcome.Err != nil {
		t.Fatalf("processed %t: %v", ok, status.Outcome.Err)
	}
	if got := svm.Balance(a.tip().Account(account)); got != 1+q.PlatformFee.Amount {
		t.Errorf("the partner has %d, want 1 more than %d", got, q.PlatformFee.Amount)
	}
	if got := balance(a, a.tip(), wallet.PublicKey(), usdc); got != int64(q.OutAmount) {
		t.Errorf("the user got %d, quoted %d", got, q.OutAmount)
	}
}

func TestSlippageProtectsWhenTheMarketMoved(t *testing.T) {
	a := newAPI(t, jupiterapi.Config{})
	wallet := solana.NewWallet()
	if err := a.market.FundSOL(wallet.PublicKey(), 5_000_000_000); err != nil {
		t.Fatal(err)
	}
	if err := a.market.Step(1); err != nil {
		t.Fatal(err)
	}
	var q map[string]any
	a.get(t, quotePath(sol, usdc, 1_000_000_000, "slippageBps", "0"), &q)
	q["outAmount"] = strconv.FormatUint(mustUint(t, q["outAmount"])+1_000_000, 10) // as if it had been better before
	raw, err := json.Marshal(q)
	if err != nil {
		t.Fatal(err)
	}
	var swap struct {
		SimulationError map[string]string
	}
	read(t, a.do("POST", "/swap/v1/swap", fmt.Sprintf(`{"userPublicKey":%q,"quoteResponse":%s,"dynamicComputeUnitLimit":true}`, wallet.PublicKey(), raw)), &swap)
	if got := swap.SimulationError; got["errorCode"] != "TRANSACTION_ERROR" || !strings.Contains(got["error"], "0x1775") {
		t.Errorf("simulation error %v, want the program's 6005", got)
	}
}

func mustUint(t *testing.T, v any) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(v.(string), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func FuzzSwapBodies(f *testing.F) {
	a := newAPI(f, jupiterapi.Config{})
	var raw json.RawMessage
	a.get(f, quotePath(sol, usdc, 1_000_000), &raw)
	user := solana.NewWallet().PublicKey()
	f.Add(fmt.Sprintf(`{"userPublicKey":%q,"quoteResponse":%s,"dynamicComputeUnitLimit":true,"prioritizationFeeLamports":{"autoMultiplier":2}}`, user, raw))
	f.Add(fmt.Sprintf(`{"userPublicKey":%q,"quoteResponse":%s,"computeUnitPriceMicroLamports":18446744073709551615}`, user, raw))
	f.Fuzz(func(t *testing.T, body string) {
		for _, path := range []string{"/swap/v1/swap", "/swap/v1/swap-instructions"} {
			resp := a.do("POST", path, body)
			answer, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != 200 && (resp.StatusCode < 400 || resp.StatusCode > 413) || !json.Valid(answer) {
				t.Errorf("%s: %s %s", path, resp.Status, answer)
			}
		}
	})
}
