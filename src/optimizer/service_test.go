package optimizer

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gagliardetto/solana-go"
	"github.com/prometheus/client_golang/prometheus"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/raydiumcpmm"
	"jupiter-dex-integration/src/chain"
	"jupiter-dex-integration/src/jupiter"
	"jupiter-dex-integration/src/platform"
	"jupiter-dex-integration/src/simulator/market"
	"jupiter-dex-integration/src/simulator/rpc"
)

const (
	wsol = "So11111111111111111111111111111111111111112"
	usdc = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
)

var (
	cpmmID  = solana.MustPublicKeyFromBase58("CPMMoo8L3F4NbTegBCKVNunggL7H1ZpdTHKxQB5qKP1C")
	genesis = solana.MustHashFromBase58("5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d")
	quiet   = slog.New(slog.NewTextHandler(io.Discard, nil))
)

// cluster is a simulated Solana whose slots the test takes.
type cluster struct {
	*market.Market
	url  string
	down func()
}

func newCluster(t testing.TB) *cluster {
	t.Helper()
	m, err := market.New(market.Config{Seed: 1, Start: time.Now(), CPMM: raydiumcpmm.New(cpmmID)})
	if err != nil {
		t.Fatal(err)
	}
	h := rpc.New(m, genesis)
	server := httptest.NewServer(h)
	c := &cluster{m, server.URL, func() { h.DropWebsockets(); server.CloseClientConnections(); server.Close() }}
	t.Cleanup(c.down)
	return c
}

func (c *cluster) pools() string {
	var list []string
	for _, p := range c.Pools() {
		list = append(list, p.String())
	}
	return strings.Join(list, ",")
}

// service runs the whole optimizer over c.
func (c *cluster) optimizer(t testing.TB, environ ...string) string {
	t.Helper()
	return start(t, append([]string{"SOLANA_RPC_URL=" + c.url, "SOLANA_WS_URL=" + strings.Replace(c.url, "http", "ws", 1), "POOLS=" + c.pools()}, environ...)...)
}

func start(t testing.TB, environ ...string) string {
	t.Helper()
	cfg, err := platform.Load[Config](append([]string{"LISTEN_ADDRESS=127.0.0.1:0", "METRICS_ADDRESS=127.0.0.1:0"}, environ...))
	if err != nil {
		t.Fatal(err)
	}
	p := platform.NewProcess("route-optimizer", quiet)
	addresses := make(chan string, 2)
	p.Listen = func(address string) (net.Listener, error) {
		l, err := net.Listen("tcp", address)
		if err == nil {
			addresses <- "http://" + l.Addr().String()
		}
		return l, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, cfg, p) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("service ended with %v", err)
		}
	})
	select {
	case address := <-addresses:
		return address
	case err := <-ended:
		ended <- err
		t.Fatal(err)
		return ""
	}
}

func get(t testing.TB, url string) (int, []byte) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, body
}

func decode[T any](t testing.TB, body []byte) (v T) {
	t.Helper()
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return v
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never happened: %s", what)
		}
	}
}

func waitReady(t testing.TB, base string) {
	t.Helper()
	eventually(t, "ready", func() bool { code, _ := get(t, base+"/ready"); return code == http.StatusOK })
}

func TestQuotesAreWhatTheProgramsDoInThatSlot(t *testing.T) {
	c := newCluster(t)
	base := c.optimizer(t)
	waitReady(t, base)
	byKey := func(s *market.Snapshot, key string) amm.Pool {
		for i, p := range c.Pools() {
			if p.String() == key {
				return s.Pools[i]
			}
		}
		t.Fatalf("no pool %s", key)
		return nil
	}
	history := map[uint64]*market.Snapshot{}
	history[c.At(market.Confirmed).Slot] = c.At(market.Confirmed)
	for i := range 40 {
		if err := c.Step(1); err != nil {
			t.Fatal(err)
		}
		s := c.At(market.Confirmed)
		history[s.Slot] = s
		query := url.Values{"inputMint": {wsol}, "outputMint": {usdc}, "amount": {strconv.Itoa(1_000_000 << (i % 20))}, "instructionVersion": {"V2"}}
		if i%2 == 1 {
			query.Set("swapMode", "ExactOut")
		}
		var q jupiter.Quote
		eventually(t, "a quote of this slot", func() bool {
			code, body := get(t, base+"/quote?"+query.Encode())
			if code != http.StatusOK {
				t.Fatalf("%d %s", code, body)
			}
			q = decode[jupiter.Quote](t, body)
			return q.ContextSlot >= s.Slot-1 // a slot is whole once the next one is heard of
		})
		s = history[q.ContextSlot]
		var in, out uint64
		shares := map[string]int{}
		for _, step := range q.RoutePlan {
			pool := byKey(s, step.SwapInfo.AmmKey)
			req := amm.Request{AToB: pool.Info().Mints[0].String() == step.SwapInfo.InputMint, Amount: step.SwapInfo.InAmount}
			if i%2 == 1 {
				req.ExactOut, req.Amount = true, step.SwapInfo.OutAmount
			}
			got, err := pool.Quote(amm.Clock{Slot: s.Slot, UnixTimestamp: s.Time.Unix()}, req)
			if err != nil || got.In != step.SwapInfo.InAmount || got.Out != step.SwapInfo.OutAmount {
				t.Errorf("slot %d: step %+v, the pool quotes %d for %d (%v)", s.Slot, step.SwapInfo, got.Out, got.In, err)
			}
			if step.SwapInfo.InputMint == wsol {
				in += step.SwapInfo.InAmount
			}
			if step.SwapInfo.OutputMint == usdc {
				out += step.SwapInfo.OutAmount
			}
			if step.Percent != nil || step.Bps == nil {
				t.Fatal("V2 has bps in place of percents")
			}
			shares[step.SwapInfo.InputMint] += int(*step.Bps)
		}
		if in != q.InAmount || out != q.OutAmount {
			t.Errorf("steps take %d and give %d, the quote says %d and %d", in, out, q.InAmount, q.OutAmount)
		}
		for mint, sum := range shares {
			if sum != 10000 {
				t.Errorf("shares of %s sum to %d", mint, sum)
			}
		}
	}
}

func TestQuoteHasJupitersShape(t *testing.T) {
	c := newCluster(t)
	base := c.optimizer(t)
	waitReady(t, base)
	code, body := get(t, base+"/quote?inputMint="+wsol+"&outputMint="+usdc+"&amount=2000000000000&platformFeeBps=85")
	if code != http.StatusOK {
		t.Fatalf("%d %s", code, body)
	}
	q := decode[jupiter.Quote](t, body)
	var gross uint64
	percents := map[string]int{}
	for _, step := range q.RoutePlan {
		if step.SwapInfo.OutputMint == usdc {
			gross += step.SwapInfo.OutAmount
		}
		if step.SwapInfo.Label != "Raydium CP" && step.SwapInfo.Label != "Raydium CPMM" || step.Percent == nil || *step.Percent == 0 {
			t.Errorf("step %+v", step)
		} else {
			percents[step.SwapInfo.InputMint] += int(*step.Percent)
		}
	}
	for mint, sum := range percents {
		if sum != 100 {
			t.Errorf("percents of %s sum to %d", mint, sum)
		}
	}
	if len(q.RoutePlan) < 2 {
		t.Error("2000 SOL go through one pool")
	}
	if q.PlatformFee == nil || q.PlatformFee.FeeBps != 85 || q.PlatformFee.Amount != gross*85/10000 || q.OutAmount != gross-q.PlatformFee.Amount {
		t.Errorf("platform fee %+v of %d leaves %d", q.PlatformFee, gross, q.OutAmount)
	}
	if q.SwapMode != "ExactIn" || q.InAmount != 2_000_000_000_000 || q.SlippageBps != 50 || q.OtherAmountThreshold != (q.OutAmount*9950+9999)/10000 {
		t.Errorf("quote %s", body)
	}
	if p, err := strconv.ParseFloat(q.PriceImpactPct, 64); err != nil || p <= 0 || p >= 1 {
		t.Errorf("priceImpactPct %q", q.PriceImpactPct)
	}
	if q.TimeTaken <= 0 || q.TimeTaken > 5 {
		t.Errorf("timeTaken %v is not in seconds", q.TimeTaken)
	}
}

func TestErrorsHaveStableCodes(t *testing.T) {
	c := newCluster(t)
	base := c.optimizer(t)
	waitReady(t, base)
	for name, tc := range map[string]struct {
		query, code string
		status      int
		says        string
	}{
		"unknown mint":     {"outputMint=" + cpmmID.String() + "&amount=1000", jupiter.CodeTokenNotTradable, 400, "no pool known here trades it"},
		"unknown dex":      {"outputMint=" + usdc + "&amount=1000&dexes=Nowhere", jupiter.CodeNoRoutesFound, 400, "filters"},
		"dust":             {"outputMint=" + usdc + "&amount=1", jupiter.CodeNoRoutesFound, 400, "the amount 1 is too small"},
		"too few accounts": {"outputMint=" + usdc + "&amount=100000000&maxAccounts=3", jupiter.CodeNoRoutesFound, 400, "limits"},
		"more than exists": {"outputMint=" + usdc + "&amount=18446744073709551615&swapMode=ExactOut", codeTooLarge, 400, "larger than the pools can swap"},
		"beyond 64 bits":   {"outputMint=" + usdc + "&amount=18446744073709551616", jupiter.CodeInvalidRequest, 400, "amount"},
		"overflow":         {"outputMint=" + usdc + "&amount=18446744073709551615&maxAccounts=20", codeTooLarge, 400, "larger than the pools can swap"},
		"zero":             {"outputMint=" + usdc + "&amount=0", jupiter.CodeInvalidRequest, 400, "amount"},
		"the same mint":    {"outputMint=" + wsol + "&amount=5", jupiter.CodeCircularArbitrage, 400, "same"},
		"version":          {"outputMint=" + usdc + "&amount=5000000&instructionVersion=V9", jupiter.CodeInvalidRequest, 400, "instructionVersion"},
		"all is fee":       {"outputMint=" + usdc + "&amount=5000000&platformFeeBps=10000", jupiter.CodeInvalidRequest, 400, "platform fee"},
	} {
		t.Run(name, func(t *testing.T) {
			status, body := get(t, base+"/quote?inputMint="+wsol+"&"+tc.query)
			e := jupiter.DecodeError(status, body)
			if status != tc.status || e.Code != tc.code || !strings.Contains(e.Message, tc.says) {
				t.Errorf("%d %s", status, body)
			}
		})
	}
	if code, body := get(t, base+"/nothing"); code != 404 || jupiter.DecodeError(code, body).Code != jupiter.CodeNotFound {
		t.Errorf("unknown path: %d %s", code, body)
	}
}

func TestLabelsNameThePrograms(t *testing.T) {
	c := newCluster(t)
	base := c.optimizer(t)
	_, body := get(t, base+"/program-id-to-label")
	if labels := decode[map[string]string](t, body); labels[cpmmID.String()] != c.Program().Label() {
		t.Errorf("labels %v", labels)
	}
}

func TestNeverReadyWithoutPoolsAndReadyForGoodOnceThereWere(t *testing.T) {
	nowhere := start(t, "SOLANA_RPC_URL=http://127.0.0.1:1", "POOLS="+cpmmID.String())
	code, body := get(t, nowhere+"/ready")
	if code != 503 || !strings.Contains(string(body), "no pool could be loaded") {
		t.Errorf("%d %s", code, body)
	}
	status, body := get(t, nowhere+"/quote?inputMint="+wsol+"&outputMint="+usdc+"&amount=100")
	if e := jupiter.DecodeError(status, body); status != 503 || e.Code != jupiter.CodeStateNotReady {
		t.Errorf("%d %s", status, body)
	}

	c := newCluster(t)
	base := c.optimizer(t)
	waitReady(t, base)
	c.down()
	if code, body := get(t, base+"/ready"); code != 200 {
		t.Errorf("%d %s", code, body)
	}
}

// still is a market that stands.
type still struct{ snapshot *chain.Snapshot }

func (s still) Snapshot() *chain.Snapshot  { return s.snapshot }
func (s still) Status() []chain.PoolStatus { return nil }
func (s still) Lag() uint64                { return 0 }

func TestStateThatIsTooOldIsRefused(t *testing.T) {
	s := &service{market: still{&chain.Snapshot{Slot: 7, Advanced: time.Now().Add(-time.Minute)}}, metrics: newMetrics(prometheus.NewRegistry()), log: quiet}
	w := httptest.NewRecorder()
	s.handler().ServeHTTP(w, httptest.NewRequest("GET", "/quote?inputMint="+wsol+"&outputMint="+usdc+"&amount=100", nil))
	if e := jupiter.DecodeError(w.Code, w.Body.Bytes()); w.Code != 503 || e.Code != codeStateTooOld || !strings.Contains(e.Message, "slot 7") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestThresholdsFollowJupitersArithmetic(t *testing.T) {
	for _, tc := range []struct {
		in, out  uint64
		bps      uint16
		exactOut bool
		want     uint64
		ok       bool
	}{
		{in: 1, out: 1000, bps: 50, want: 995, ok: true},
		{in: 1, out: 1001, bps: 50, want: 996, ok: true}, // 995.995 rounds up
		{in: 1, out: 1001, bps: 0, want: 1001, ok: true},
		{in: 1, out: 1001, bps: 10000, want: 0, ok: true},
		{in: 1001, out: 1, bps: 50, exactOut: true, want: 1007, ok: true}, // 1006.005 rounds up
		{in: math.MaxUint64, out: 1, bps: 1, exactOut: true},
		{in: 1, out: math.MaxUint64, bps: 0, want: math.MaxUint64, ok: true},
	} {
		if got, ok := threshold(tc.in, tc.out, tc.bps, tc.exactOut); got != tc.want || ok != tc.ok {
			t.Errorf("%+v: %d, %v", tc, got, ok)
		}
	}
}

func FuzzGrossLeavesNetAndIsTheLeast(f *testing.F) {
	f.Add(uint64(1_000_000), uint16(85))
	f.Add(uint64(1), uint16(9999))
	f.Fuzz(func(t *testing.T, net uint64, feeBps uint16) {
		gross, ok := grossOf(net, feeBps)
		if !ok || net == 0 {
			return
		}
		left := func(g uint64) uint64 { return g - mulDiv(g, uint64(feeBps), bps) }
		if left(gross) < net || left(gross-1) >= net {
			t.Errorf("gross %d of net %d at %d bps leaves %d, one less %d", gross, net, feeBps, left(gross), left(gross-1))
		}
	})
}

func TestConfigurationNamesEveryWrongVariable(t *testing.T) {
	_, err := platform.Load[Config]([]string{"NETWORK=moon", "SOLANA_RPC_URL=ftp://x", "MAX_ROUTES=0", "SLIPPAGE_TOLERANCE_PERCENT=NaN", "POOLS=abc"})
	for _, name := range []string{"NETWORK", "SOLANA_RPC_URL", "MAX_ROUTES", "SLIPPAGE_TOLERANCE_PERCENT", "POOLS"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not named in %v", name, err)
		}
	}
	if _, err := platform.Load[Config](nil); err == nil || !strings.Contains(err.Error(), "MARKET_FILE") {
		t.Errorf("without pools: %v", err)
	}
	cfg, err := platform.Load[Config]([]string{"POOLS=" + cpmmID.String(), "SLIPPAGE_TOLERANCE_PERCENT=0.29"})
	if err != nil || cfg.slippageBps() != 29 {
		t.Errorf("0.29 %% are %d bps, %v", cfg.slippageBps(), err)
	}
}

func TestDetailedQuoteSaysHowFarFromTheBestItIs(t *testing.T) {
	c := newCluster(t)
	base := c.optimizer(t)
	waitReady(t, base)
	for _, mode := range []string{"ExactIn", "ExactOut"} {
		code, body := get(t, base+"/v1/quote?inputMint="+wsol+"&outputMint="+usdc+"&amount=5000000000&swapMode="+mode)
		q := decode[detailedQuote](t, body)
		if code != http.StatusOK || q.Bound == nil {
			t.Fatalf("%d %s", code, body)
		}
		bound, err := strconv.ParseUint(q.Bound.Amount, 10, 64)
		if err != nil || mode == "ExactIn" && (bound < q.Quote.OutAmount || q.Bound.Side != "output") || mode == "ExactOut" && (bound > q.Quote.InAmount || q.Bound.Side != "input") {
			t.Errorf("%s: %s", mode, body)
		}
		if q.Bound.GapBps > 200 {
			t.Errorf("%s: the gap is %v bps", mode, q.Bound.GapBps)
		}
	}
}

func TestPoolsAreListedWithTheirState(t *testing.T) {
	c := newCluster(t)
	base := start(t, "SOLANA_RPC_URL="+c.url, "POOLS="+c.Pools()[0].String()+","+usdc)
	waitReady(t, base)
	eventually(t, "both are known", func() bool {
		_, body := get(t, base+"/v1/pools")
		pools := decode[[]poolStatus](t, body)
		return len(pools) == 2 && pools[0].Usable && pools[0].Label == c.Program().Label() && !pools[1].Usable && pools[1].Reason == chain.ReasonUnknownProgram && pools[1].Detail != ""
	})
}
