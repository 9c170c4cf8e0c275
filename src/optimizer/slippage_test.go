package optimizer

import (
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"testing"
	"time"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/chain"
	"jupiter-dex-integration/src/jupiter"
	"jupiter-dex-integration/src/simulator/market"
)

// standing is a service over the market's present state.
func (c *cluster) standing() *service {
	now := c.At(market.Processed)
	s := &chain.Snapshot{Slot: now.Slot, Clock: now.Clock(), Pools: now.Pools, Advanced: time.Now()}
	for _, p := range now.Pools {
		s.Infos = append(s.Infos, p.Info())
	}
	return &service{market: still{s}, maxRoutes: 5, slippageBps: 50, log: quiet}
}

func quoteOf(t *testing.T, s *service, query string) json.RawMessage {
	t.Helper()
	q, err := s.quote(map[string][]string{"inputMint": {wsol}, "outputMint": {usdc}, "amount": {"50000000000"}, "swapMode": {query}}, false)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(q.answer)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestDynamicSlippageFollowsVolatility(t *testing.T) {
	s := newCluster(t).standing()
	st, err := s.current()
	if err != nil {
		t.Fatal(err)
	}
	wish := slippageRequest{asked: true, minBps: minSlippageBps, maxBps: maxSlippageBps}
	fit := func(mode string) *slippageReport {
		r, err := parseQuote(quoteOf(t, s, mode))
		if err != nil {
			t.Fatal(err)
		}
		report, err := s.fitSlippage(st, r, wish)
		if err != nil {
			t.Fatal(err)
		}
		return report
	}
	if r := fit(jupiter.ExactIn); r.CategoryName != "unmeasured" || r.SlippageBps != 50 || r.SimulatedIncurredSlippageBps != 0 {
		t.Errorf("before anything was measured: %+v", r)
	}
	snapshot := *st.Snapshot
	for range 100 {
		s.volatility.look(&snapshot)
	}
	if r := fit(jupiter.ExactIn); r.CategoryName != "measured" || r.SlippageBps != minSlippageBps {
		t.Errorf("while nothing moves: %+v", r)
	}
	const step = 1e-4 // as a ratio, each second
	for i := range 600 {
		moved := slices.Clone(st.Pools)
		for k := range moved {
			moved[k] = &shifted{moved[k], 1 + step*float64(i%2)}
		}
		snapshot.Pools = moved
		s.volatility.look(&snapshot)
	}
	want := deviations * step * math.Sqrt(landing.Seconds()) * bps
	for _, mode := range []string{jupiter.ExactIn, jupiter.ExactOut} {
		r := fit(mode)
		if got := float64(r.SlippageBps); got < want*.9 || got > want*1.6+1 { // a route of two pools has up to twice the variance
			t.Errorf("%s: steps of 1 bp a second give %+v, want about %.1f bps", mode, r, want)
		}
	}
	wish.maxBps = 7
	if r := fit(jupiter.ExactIn); r.SlippageBps != 7 {
		t.Errorf("beyond its maximum: %+v", r)
	}
}

// shifted is a pool at another price.
type shifted struct {
	amm.Pool
	factor float64
}

func (s *shifted) SpotPrice(aToB bool) float64 {
	if aToB {
		return s.Pool.SpotPrice(true) * s.factor
	}
	return s.Pool.SpotPrice(false) / s.factor
}

func TestDynamicSlippageAllowsForWhatHasMovedAlready(t *testing.T) {
	c := newCluster(t)
	s := c.standing()
	st, err := s.current()
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		s.volatility.look(st.Snapshot)
	}
	for _, mode := range []string{jupiter.ExactIn, jupiter.ExactOut} {
		r, err := parseQuote(quoteOf(t, s, mode))
		if err != nil {
			t.Fatal(err)
		}
		if r.gross += r.gross / 100; r.exactOut { // it was 1 % better when it was quoted
			r.gross -= r.gross / 101
			r.in -= r.in / 100
		}
		report, err := s.fitSlippage(st, r, slippageRequest{asked: true, minBps: minSlippageBps, maxBps: maxSlippageBps})
		if mode == jupiter.ExactIn && (err != nil || report.SimulatedIncurredSlippageBps < 99 || report.SlippageBps < 99 || report.SlippageBps > 105) {
			t.Errorf("%s: %+v, %v", mode, report, err)
		}
		if mode == jupiter.ExactOut && (err != nil || report.SimulatedIncurredSlippageBps < 99 || report.SlippageBps < 99) {
			t.Errorf("%s: %+v, %v", mode, report, err)
		}
	}
}

func TestSwapsReportDynamicSlippage(t *testing.T) {
	tr := newTrader(t)
	quote := tr.quote(t, "inputMint="+wsol+"&outputMint="+usdc+"&amount=1000000000")
	outcome, _, response := tr.swap(t, quote, map[string]any{"dynamicSlippage": map[string]int{"minBps": 20, "maxBps": 90}})
	report, ok := response.DynamicSlippageReport.(map[string]any)
	if outcome.Err != nil || !ok || report["heuristicMaxSlippageBps"] != 90. {
		t.Errorf("%v, report %v", outcome.Err, response.DynamicSlippageReport)
	}
	for _, wrong := range []any{"yes", 5, map[string]int{"minBps": 50, "maxBps": 20}, map[string]int{"maxBps": 20_000}} {
		code, body := post(t, tr.base+"/swap", map[string]any{"userPublicKey": tr.key.PublicKey().String(), "quoteResponse": quote, "dynamicSlippage": wrong})
		if code != http.StatusBadRequest {
			t.Errorf("%v: %d %s", wrong, code, body)
		}
	}
}
