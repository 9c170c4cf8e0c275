package optimizer

import (
	"math/bits"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gagliardetto/solana-go"
	"github.com/prometheus/client_golang/prometheus"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/chain"
	"jupiter-dex-integration/src/jupiter"
)

// reserves is a pool of constant product without fees.
type reserves struct {
	coin
	has [2]uint64
}

func (r *reserves) Quote(_ amm.Clock, req amm.Request) (amm.Quote, error) {
	in, out := r.has[0], r.has[1]
	if !req.AToB {
		in, out = out, in
	}
	if out == 0 {
		return amm.Quote{}, amm.ErrInsufficientLiquidity
	}
	hi, lo := bits.Mul64(out, req.Amount)
	got, _ := bits.Div64(hi, lo, in+req.Amount)
	return amm.Quote{Request: req, In: req.Amount, Out: got}, nil
}

func (r *reserves) SpotPrice(aToB bool) float64 {
	a, b := float64(r.has[0]), float64(r.has[1])
	if b == 0 || a == 0 {
		return 0
	}
	if aToB {
		return b / a
	}
	return a / b
}

func TestAPoolIsLiquidIfAModestTradeKeepsOneOfTwoRules(t *testing.T) {
	token, other, island, strait := solana.PublicKey{1}, solana.PublicKey{2}, solana.PublicKey{3}, solana.PublicKey{4}
	const trade = 3 * lamportsPerSOL
	between := func(a, b solana.PublicKey, hasA, hasB uint64) amm.Pool {
		return &reserves{coin: coin{info: amm.Info{Address: solana.NewWallet().PublicKey(), Mints: [2]solana.PublicKey{a, b}}}, has: [2]uint64{hasA, hasB}}
	}
	cases := []struct {
		name string
		pool amm.Pool
		want string // part of the failure
	}{
		{"there and back loses 30 %", between(solana.SolMint, token, trade*14/3+1, 1e15), ""},
		{"twice as much gets a price that is 20 % worse", between(solana.SolMint, token, trade*3+1, 1e15), ""},
		{"neither", between(solana.SolMint, token, trade*29/10, 1e15), "loses 41 %, and twice as much gets a price that is 20 % worse: at most 30 and 20 %"},
		{"next to nothing", between(token, solana.SolMint, 1000, 1000), "loses 100 %"},
		{"a mint that other pools price", between(token, other, 1e16, 1e9), ""},
		{"a mint that other pools price, and little", between(token, other, 1e9, 1e9), "loses"},
		{"mints without a price", between(island, strait, 10, 10), ""},
	}
	s := &chain.Snapshot{}
	for _, one := range cases {
		s.Pools = append(s.Pools, one.pool)
	}
	s.Pools = append(s.Pools, nil)
	for _, p := range s.Pools {
		if p == nil {
			s.Infos = append(s.Infos, nil)
			continue
		}
		s.Infos = append(s.Infos, p.Info())
	}
	l := newLiquidity(3, quiet, prometheus.NewRegistry())
	l.judge(t.Context(), s)
	failures := *l.failures()
	for i, one := range cases {
		if got := failures[i]; (got == nil) != (one.want == "") || got != nil && !strings.Contains(got.Error(), one.want) {
			t.Errorf("%s: %v, want %q", one.name, got, one.want)
		}
	}
}

func TestIlliquidPoolsAreNotRoutedOverAndSaySo(t *testing.T) {
	c := newCluster(t)
	s := c.standing()
	s.metrics = newMetrics(prometheus.NewRegistry())
	reg := prometheus.NewRegistry()
	s.liquidity = newLiquidity(maxLiquidityTest, quiet, reg)
	now := s.market.Snapshot()
	var status []chain.PoolStatus
	for _, p := range now.Pools {
		status = append(status, chain.PoolStatus{Address: p.Info().Address, Mints: p.Info().Mints, Pool: p})
	}
	s.market = half{still{now}, status}
	ask := func(path string) (int, []byte) {
		w := httptest.NewRecorder()
		s.handler().ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		return w.Code, w.Body.Bytes()
	}
	query := "inputMint=" + wsol + "&outputMint=" + usdc + "&amount=1000000"
	if code, body := ask("/quote?" + query); code != http.StatusOK {
		t.Fatalf("before the pools are judged: %d %s", code, body)
	}
	s.liquidity.judge(t.Context(), now)
	code, body := ask("/quote?" + query)
	if e := jupiter.DecodeError(code, body); code != http.StatusBadRequest || e.Code != jupiter.CodeTokenNotTradable || !strings.Contains(e.Message, "is liquid enough: swapping") {
		t.Errorf("%d %s", code, body)
	}
	if _, body := ask("/v1/pools"); strings.Count(string(body), `"reason":"illiquid"`) != len(now.Pools) {
		t.Errorf("%s", body)
	}
	if _, body := ask("/v1/tokens"); string(body) != "[]\n" && string(body) != "[]" {
		t.Errorf("tokens: %s", body)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if n := families[0].Metric[0].Gauge.GetValue(); int(n) != len(now.Pools) {
		t.Errorf("%s is %v of %d", families[0].GetName(), n, len(now.Pools))
	}
	none := *now
	none.Pools = make([]amm.Pool, len(now.Pools))
	s.liquidity.judge(t.Context(), &none)
	if (*s.liquidity.failures())[0] == nil {
		t.Error("a pool that could not be quoted for a while has become liquid")
	}
	s.liquidity.lamports = lamportsPerSOL
	s.liquidity.judge(t.Context(), now)
	if code, body := ask("/quote?" + query); code != http.StatusOK {
		t.Errorf("when they are liquid again: %d %s", code, body)
	}
}
