package optimizer

import (
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"jupiter-dex-integration/src/jupiter"
	"jupiter-dex-integration/src/simulator/jupiterapi"
	"jupiter-dex-integration/src/simulator/market"
)

var optimizedRequests = flag.Int("optimized.requests", 300, "random requests of TestTheBestCandidateIsNeverWorseThanJupiter")

// withJupiter starts an optimizer beside a simulated Jupiter that shows the same market.
func (c *cluster) withJupiter(t testing.TB, environ ...string) (base, api string, calls func() int64) {
	t.Helper()
	var n atomic.Int64
	simulated := jupiterapi.New(c.Market, jupiterapi.Config{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.Add(1)
		simulated.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	base = c.optimizer(t, append(environ, "JUPITER_API_URL="+server.URL+"/swap/v1")...)
	waitReady(t, base)
	return base, server.URL + "/swap/v1", n.Load
}

type optimized struct {
	Quote json.RawMessage `json:"quote"`
	candidates
}

// tradeSizes are parts of the input's smallest pool.
var tradeSizes = []float64{1e-5, 1e-4, 1e-3, 1e-2, 5e-2}

// randomQuery is a request of a size of tradeSizes.
func randomQuery(r *rand.Rand, m *market.Market) (query string, size int) {
	s := m.At(market.Processed)
	pool := s.Pools[r.IntN(len(s.Pools))].Info()
	in := r.IntN(2)
	other := s.Pools[r.IntN(len(s.Pools))].Info()
	out := other.Mints[r.IntN(2)]
	if out == pool.Mints[in] {
		out = pool.Mints[1-in]
	}
	size = r.IntN(len(tradeSizes))
	reserve := binary.LittleEndian.Uint64(s.Account(pool.Vaults[in]).Data[64:])
	amount := uint64(tradeSizes[size]*float64(reserve)) + 1
	query = fmt.Sprintf("inputMint=%s&outputMint=%s&amount=%d", pool.Mints[in], out, amount)
	if r.IntN(4) == 0 {
		query += "&restrictIntermediateTokens=false"
	}
	if r.IntN(4) == 0 {
		query += "&swapMode=ExactOut"
	}
	return query, size
}

func TestTheBestCandidateIsNeverWorseThanJupiter(t *testing.T) {
	c := newCluster(t)
	base, api, calls := c.withJupiter(t)
	r := rand.New(rand.NewPCG(1, 1))
	better, spent := 0, int64(0)
	for i := range *optimizedRequests {
		if i%100 == 50 {
			if err := c.Step(1); err != nil {
				t.Fatal(err)
			}
		}
		query, _ := randomQuery(r, c.Market)
		status, body := get(t, api+"/quote?"+query)
		before := calls()
		gotStatus, got := get(t, base+"/v1/optimized?"+query)
		if status != http.StatusOK {
			if gotStatus == http.StatusOK {
				better++
			}
			continue
		}
		if gotStatus != http.StatusOK {
			t.Fatalf("%s: %d %s", query, gotStatus, got)
		}
		theirs, answer := decode[jupiter.Quote](t, body), decode[optimized](t, got)
		ours := decode[jupiter.Quote](t, answer.Quote)
		gain := offerOf(&ours).gross(offerOf(&theirs), ours.SwapMode == jupiter.ExactOut)
		if gain < 0 || gain != answer.ImprovementBps || answer.ImprovementBps < 0 {
			t.Errorf("%s: better by %v bps, it says %v", query, gain, answer.ImprovementBps)
		}
		if n := calls() - before; n != int64(answer.UpstreamCalls) || n > 3 {
			t.Errorf("%s: %d calls, it says %d", query, n, answer.UpstreamCalls)
		}
		if spent += int64(answer.UpstreamCalls); gain > 0 {
			better++
		}
		won := 0
		for _, one := range answer.All {
			if one.Outcome == "won" {
				won++
			}
		}
		if won != 1 {
			t.Errorf("%s: %d winners: %s", query, won, got)
		}
	}
	if better < *optimizedRequests/10 {
		t.Errorf("only %d of %d answers are better", better, *optimizedRequests)
	}
	t.Logf("%d requests, %d of them bettered, %d upstream calls", *optimizedRequests, better, spent)
}

func TestOwnQuotesOfOptimizedRequestsCanBeSwapped(t *testing.T) {
	tr := newTrader(t)
	base, _, _ := tr.withJupiter(t)
	_, body := get(t, base+"/optimized/quote?inputMint="+wsol+"&outputMint="+usdc+"&amount=700000000000")
	if !strings.Contains(string(body), `"servedBy":"route-optimizer"`) {
		t.Fatalf("a large trade was not bettered by splitting it: %s", body)
	}
	status, swap := post(t, base+"/swap", map[string]any{"userPublicKey": tr.key.PublicKey().String(), "quoteResponse": json.RawMessage(body)})
	if status != http.StatusOK || decode[jupiter.SwapResponse](t, swap).SwapTransaction == "" {
		t.Errorf("%d %s", status, swap)
	}
}

func TestAShortQuotaDoesLess(t *testing.T) {
	c := newCluster(t)
	base, _, calls := c.withJupiter(t, "JUPITER_REQUESTS_PER_MINUTE=60", "JUPITER_QUEUE_TIMEOUT=10ms")
	const requests = 20
	query := "inputMint=" + wsol + "&outputMint=" + usdc + "&amount=700000000000"
	asked := 0
	for range requests {
		status, body := get(t, base+"/v1/optimized?"+query)
		answer := decode[optimized](t, body)
		if asked += answer.UpstreamCalls; status != http.StatusOK {
			t.Fatalf("%d %s", status, body)
		}
	}
	if n := calls(); n != int64(asked) || n == 0 || n > requests/2 {
		t.Errorf("%d calls, %d reported", n, asked)
	}
}

func TestWithoutJupiterOwnRoutesAnswerAndItsRefusalsPass(t *testing.T) {
	c := newCluster(t)
	down := httptest.NewServer(http.NotFoundHandler())
	down.Close()
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		jupiter.WriteError(w, jupiter.Errorf(http.StatusBadRequest, jupiter.CodeNoRoutesFound, "No routes found"))
	}))
	defer refusing.Close()
	for name, tc := range map[string]struct {
		url, query string
		status     int
		says       string
	}{
		"down, own route":        {down.URL, "outputMint=" + usdc + "&amount=5000000", 200, `"servedBy"`},
		"down, no own route":     {down.URL, "outputMint=" + usdc + "&amount=5000000&dexes=None", 502, jupiter.CodeUpstreamUnavailable},
		"refusing, own route":    {refusing.URL, "outputMint=" + usdc + "&amount=5000000", 200, `"servedBy"`},
		"refusing, no own route": {refusing.URL, "outputMint=" + usdc + "&amount=5000000&dexes=None", 400, "No routes found"},
		"bad request":            {refusing.URL, "outputMint=" + usdc + "&amount=0", 400, "amount"},
	} {
		t.Run(name, func(t *testing.T) {
			base := c.optimizer(t, "JUPITER_API_URL="+tc.url)
			waitReady(t, base)
			status, body := get(t, base+"/optimized/quote?inputMint="+wsol+"&"+tc.query)
			if status != tc.status || !strings.Contains(string(body), tc.says) {
				t.Errorf("%d %s", status, body)
			}
		})
	}
}

func TestVariantsAreWhatJupitersAnswerLeavesToTry(t *testing.T) {
	step := func(label string, percent uint8) jupiter.RoutePlanStep {
		return jupiter.RoutePlanStep{SwapInfo: jupiter.SwapInfo{Label: label}, Percent: &percent}
	}
	two := []jupiter.RoutePlanStep{step("A", 70), step("B", 30)}
	for name, tc := range map[string]struct {
		more   string
		impact string
		steps  []jupiter.RoutePlanStep
		want   []string
	}{
		"small trade":      {"", "0.0001", two, nil},
		"one pool":         {"", "0.01", two[:1], []string{"more intermediates"}},
		"two":              {"", "0.01", two, []string{"more intermediates", "without B", "fewer accounts", "direct"}},
		"any intermediate": {"&restrictIntermediateTokens=false", "0.01", two[:1], nil},
		"given dexes":      {"&dexes=A,B", "0.01", two, []string{"more intermediates", "fewer accounts", "direct"}},
	} {
		t.Run(name, func(t *testing.T) {
			query, _ := url.ParseQuery("inputMint=" + wsol + "&outputMint=" + usdc + "&amount=5&unknown=x" + tc.more)
			req, err := jupiter.ParseQuoteRequest(query)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, v := range variants(query, req, &jupiter.Quote{PriceImpactPct: tc.impact, RoutePlan: tc.steps}) {
				got = append(got, v.name)
				if !strings.Contains(v.query, "unknown=x") {
					t.Errorf("%s drops a parameter: %s", v.name, v.query)
				}
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

// BenchmarkOptimized reports, by size of trade as a part of the pool's reserve, the mean improvement over Jupiter's answer, the part
// of requests that are bettered and the upstream calls of each.
func BenchmarkOptimized(b *testing.B) {
	c := newCluster(b)
	base, _, _ := c.withJupiter(b)
	for size, part := range tradeSizes {
		b.Run(fmt.Sprintf("size=%.0e", part), func(b *testing.B) {
			r := rand.New(rand.NewPCG(2, uint64(size)))
			var sum, better, calls, n float64
			for b.Loop() {
				query, is := randomQuery(r, c.Market)
				for is != size {
					query, is = randomQuery(r, c.Market)
				}
				status, body := get(b, base+"/v1/optimized?"+query)
				if status != http.StatusOK {
					continue
				}
				answer := decode[optimized](b, body)
				n, sum, calls = n+1, sum+answer.ImprovementBps, calls+float64(answer.UpstreamCalls)
				if answer.ImprovementBps > 0 {
					better++
				}
			}
			b.ReportMetric(sum/n, "gain-bps")
			b.ReportMetric(better/n*100, "%bettered")
			b.ReportMetric(calls/n, "calls/op")
		})
	}
}
