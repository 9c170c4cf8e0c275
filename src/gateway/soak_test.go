package gateway

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"jupiter-dex-integration/src/jupiter"
	"jupiter-dex-integration/src/platform/processtest"
	"jupiter-dex-integration/src/platform/redistest"
	"jupiter-dex-integration/src/simulator"
)

// gatewayProcess is a gateway in a process of its own, whose memory is nobody else's, before an upstream in another.
type gatewayProcess struct {
	*processtest.Process
	api, metrics string // URLs
	upstream     string // address
}

func startGatewayProcess(t testing.TB, role string, environ ...string) *gatewayProcess {
	t.Helper()
	upstream, api, metrics := processtest.Address(t), processtest.Address(t), processtest.Address(t)
	processtest.Start(t, []string{"TEST_PROCESS=" + role + " " + upstream}, os.Args[0])
	g := &gatewayProcess{api: "http://" + api, metrics: "http://" + metrics + "/metrics", upstream: upstream}
	g.Process = processtest.Start(t, append([]string{"TEST_PROCESS=replica", "LISTEN_ADDRESS=" + api, "METRICS_ADDRESS=" + metrics, "LOG_LEVEL=info",
		"JUPITER_API_URL=http://" + upstream + "/swap/v1"}, append(unlimited, environ...)...), os.Args[0])
	processtest.Eventually(t, "the gateway and its upstream serve", func() bool {
		status, _ := quoteAs(g.api, "10.0.0.1")
		return status == 200
	})
	return g
}

// residentMiB is the memory that the process holds now.
func (g *gatewayProcess) residentMiB(t testing.TB) float64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.PID()))
	if err != nil {
		t.Skip(err)
	}
	kB := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(text)
	n, err := strconv.Atoi(string(kB[1]))
	if err != nil {
		t.Fatal(err)
	}
	return float64(n) / 1024
}

// upstreamCalls is how many quotes the gateway has asked for.
func (g *gatewayProcess) upstreamCalls(t testing.TB) float64 {
	t.Helper()
	var sum float64
	for _, m := range regexp.MustCompile(`(?m)^jupiter_upstream_latency_seconds_count\{endpoint="quote".*\} (\S+)$`).FindAllStringSubmatch(get(t, g.metrics).body, -1) {
		n, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	return sum
}

// SOAK, of any duration, runs it; the race detector would count many times the memory.
func TestSoakFiveThousandOpenConnectionsFitInto150MiB(t *testing.T) {
	if os.Getenv("SOAK") == "" {
		t.Skip("SOAK=5m (any duration) runs it")
	}
	const connections, most = 5000, 150
	g := startGatewayProcess(t, "quotes", "QUOTE_CACHE_TTL=1m", "QUOTE_CACHE_MAX_AGE=1m")
	before := g.residentMiB(t)
	dialer := net.Dialer{Timeout: 30 * time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP("127.0.0.5")}}
	for i := range connections {
		c, err := dialer.Dial("tcp", strings.TrimPrefix(g.api, "http://"))
		if err != nil {
			t.Skipf("connection %d: %v", i, err)
		}
		t.Cleanup(func() { c.Close() })
		if _, err := io.WriteString(c, "GET "+goodQuote+" HTTP/1.1\r\nHost: gateway\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if err := readAnswer(bufio.NewReader(c)); err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
	}
	after := g.residentMiB(t)
	t.Logf("%d connections, each used and kept open: %.0f MiB resident, %.0f MiB before", connections, after, before)
	if after >= most {
		t.Errorf("%.0f MiB are resident, want less than %d", after, most)
	}
}

// SOAK=5m runs it for so long: 500 requests a second by plan, over 200 pairs as popular as Zipf has it, with requests among them
// that nobody repeats, from many clients, and swaps.
func TestSoakHoldsMemoryAndSparesJupiter(t *testing.T) {
	duration, err := time.ParseDuration(os.Getenv("SOAK"))
	if err != nil {
		t.Skip("SOAK=5m (any duration) runs it")
	}
	const perSecond = 500
	g := startGatewayProcess(t, "quotes", "TRUSTED_PROXIES=127.0.0.0/8")
	client := http.Client{Transport: jupiter.NewTransport(), Timeout: 10 * time.Second}
	rng := rand.New(rand.NewPCG(1, 1))
	zipf := rand.NewZipf(rng, 1.1, 1, 199)
	var mu sync.Mutex
	var popular, failed int
	latencies := map[string][]time.Duration{} // by x-cache
	var wg sync.WaitGroup
	var resident []float64 // after each fifth of the time
	callsBefore, start := g.upstreamCalls(t), time.Now()
	var single int
	for n := 0; time.Since(start) < duration; n++ {
		due := start.Add(time.Duration(n) * time.Second / perSecond)
		time.Sleep(time.Until(due))
		if time.Since(start) > duration*time.Duration(len(resident)+1)/5 {
			resident = append(resident, g.residentMiB(t))
		}
		method, target, body, kind := http.MethodGet, "", "", rng.IntN(100)
		switch {
		case kind == 0:
			method, target, body = http.MethodPost, "/swap", goodSwap
		case kind <= 5:
			single++
			target = goodQuote + fmt.Sprint(n)
		default:
			popular++
			target = goodQuote + "&slippageBps=" + fmt.Sprint(zipf.Uint64())
		}
		who := fmt.Sprintf("10.%d.%d.%d", n>>16&255, n>>8&255, n&255)
		wg.Go(func() {
			req, err := http.NewRequest(method, g.api+target, strings.NewReader(body))
			if err != nil {
				t.Error(err)
				return
			}
			req.Header.Set("X-Forwarded-For", who)
			resp, err := client.Do(req)
			if err == nil {
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
			took := time.Since(due)
			mu.Lock()
			defer mu.Unlock()
			if err != nil || resp.StatusCode != 200 {
				failed++
				return
			}
			how := resp.Header.Get("X-Cache")
			latencies[how] = append(latencies[how], took)
		})
	}
	wg.Wait()
	resident = append(resident, g.residentMiB(t))
	calls := g.upstreamCalls(t) - callsBefore - float64(single)
	t.Logf("%v: MiB resident after each fifth of the time: %.1f", duration, resident)
	t.Logf("%d popular quote requests became %.0f calls: a factor of %.1f; %d requests failed", popular, calls, float64(popular)/calls, failed)
	for how, all := range latencies {
		slices.Sort(all)
		t.Logf("%-9s %7d answers, p50 %v, p99 %v from the planned time", how, len(all), all[len(all)/2], all[len(all)*99/100])
	}
	if settled, end := resident[0], resident[len(resident)-1]; end > 1.25*settled+8 {
		t.Errorf("memory grew from %.1f to %.1f MiB", settled, end)
	}
	if failed > 0 {
		t.Errorf("%d requests failed", failed)
	}
}

// SOAK=1m runs it for so long: three replicas on a real Redis, before a Jupiter that counts in windows of 10 seconds.
func TestSoakReplicasUseJupitersQuotaAndProvokeNoRefusal(t *testing.T) {
	duration, err := time.ParseDuration(os.Getenv("SOAK"))
	if err != nil {
		t.Skip("SOAK=1m (any duration) runs it")
	}
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("redis-server is not installed: replicas cannot share a quota")
	}
	const perMinute, window = 600, 10 * time.Second
	sim, err := simulator.New(simulator.Config{Seed: 1, Plan: simulator.Plan{Requests: perMinute / 6, Window: window}})
	if err != nil {
		t.Fatal(err)
	}
	jup := httptest.NewServer(sim.JupiterHandler())
	t.Cleanup(func() { sim.Close(); jup.Close() })
	redis := redistest.Start(t)
	var apis []string
	for range 3 {
		api := processtest.Address(t)
		processtest.Start(t, append([]string{"TEST_PROCESS=replica", "LISTEN_ADDRESS=" + api, "METRICS_ADDRESS=127.0.0.1:0", "REDIS_URL=" + redis.URL,
			"RATE_LIMIT_REDIS_TIMEOUT=200ms", "JUPITER_API_URL=" + jup.URL + "/swap/v1", "JUPITER_API_KEY=jup_soak", "JUPITER_QUEUE_TIMEOUT=5s",
			fmt.Sprint("JUPITER_REQUESTS_PER_MINUTE=", perMinute)}, unlimited...), os.Args[0])
		apis = append(apis, "http://"+api)
	}
	for _, api := range apis {
		processtest.Eventually(t, "a replica serves", func() bool {
			resp, err := http.Get(api + "/health")
			if err == nil {
				resp.Body.Close()
			}
			return err == nil
		})
	}
	mints := sim.Mints()
	time.Sleep(window) // what was asked so far leaves Jupiter's window
	sim.Faults.ResetCalls()
	start := time.Now()
	var wg sync.WaitGroup
	for worker := range 12 {
		wg.Go(func() {
			for n := 0; time.Since(start) < duration; n++ {
				ask(apis[worker%3], mints[0], mints[1], fmt.Sprint(1_000_000+1_000_000*worker+n))
			}
		})
	}
	wg.Wait()
	quota := perMinute * time.Since(start).Minutes()
	calls := sim.Faults.Calls()["/swap/v1/quote"]
	t.Logf("of a quota of %.0f calls %d were made and %d refused: %.1f %% used", quota, calls[200], calls[429], 100*float64(calls[200])/quota)
	if float64(calls[200]) < 0.95*quota || float64(calls[429]) >= 0.001*float64(calls[200]) {
		t.Error("want 95 % of the quota used and fewer than one call in a thousand refused")
	}
}
