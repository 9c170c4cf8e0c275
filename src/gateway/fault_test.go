package gateway

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"jupiter-dex-integration/src/jupiter"
	"jupiter-dex-integration/src/simulator"
	"jupiter-dex-integration/src/simulator/faults"
)

// Whatever Jupiter does, a client gets a whole quote for what it asked, or an error that says what happened, within the
// deadline; and quotes again once Jupiter is well.
func TestClientsSeeQuotesOrHonestErrorsUnderEveryFault(t *testing.T) {
	all := []faults.Fault{
		{Kind: faults.Latency, LatencyMs: 30}, {Kind: faults.Status, Status: 429}, {Kind: faults.Status, Status: 500}, {Kind: faults.Status, Status: 503},
		{Kind: faults.Hang}, {Kind: faults.Reset}, {Kind: faults.Truncate}, {Kind: faults.Malformed}, {Kind: faults.ContentType},
	}
	tests := map[string][]faults.Fault{"all together": nil}
	for _, f := range all {
		always, sometimes := f, f
		sometimes.Probability = 0.3
		name := strings.TrimSpace(fmt.Sprint(f.Kind, " ", max(f.Status, f.LatencyMs)))
		tests[name+", always"] = []faults.Fault{always}
		tests[name+", at times"] = []faults.Fault{sometimes}
		rare := f
		rare.Probability = 0.08
		tests["all together"] = append(tests["all together"], rare)
	}
	table := new(strings.Builder)
	defer func() {
		t.Logf("what %d clients of each saw; nothing else, and nobody nothing:\n%s", faultRequests, table)
	}()
	for _, name := range slices.Sorted(maps.Keys(tests)) {
		t.Run(name, func(t *testing.T) {
			sim, err := simulator.New(simulator.Config{Seed: 1})
			if err != nil {
				t.Fatal(err)
			}
			server := httptest.NewServer(sim.JupiterHandler())
			t.Cleanup(func() { sim.Close(); server.Close() })
			if err := sim.Faults.Set(tests[name]...); err != nil {
				t.Fatal(err)
			}
			gw := start(t, "JUPITER_API_URL="+server.URL+"/swap/v1", "CIRCUIT_BREAKER_TIMEOUT=200ms", "CIRCUIT_BREAKER_RESET_TIMEOUT=100ms",
				"JUPITER_QUEUE_TIMEOUT=50ms", "RATE_LIMIT_BURST_SIZE=1000")
			mints := sim.Mints()
			outcomes := askMany(gw.api, mints)
			fmt.Fprintf(table, "%-26s %v\n", name, outcomes)
			for outcome := range outcomes {
				if !slices.Contains([]string{"quote", "429", "500", "503", "429 TOO_MANY_REQUESTS", "502 UPSTREAM_UNAVAILABLE", "503 CIRCUIT_OPEN", "504 UPSTREAM_TIMEOUT"}, outcome) {
					t.Errorf("%d clients saw %s", outcomes[outcome], outcome)
				}
			}
			sim.Faults.Clear()
			for deadline := time.Now().Add(15 * time.Second); ask(gw.api, mints[0], mints[1], "5000000") != "quote"; time.Sleep(50 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatal("no quotes although Jupiter is well again")
				}
			}
		})
	}
}

// With another upstream that is well, whatever Jupiter does is nobody's concern.
func TestClientsSeeQuotesUnderEveryFaultWhereAnotherUpstreamIsWell(t *testing.T) {
	for _, f := range []faults.Fault{{Kind: faults.Status, Status: 429}, {Kind: faults.Status, Status: 500}, {Kind: faults.Hang}, {Kind: faults.Reset},
		{Kind: faults.Truncate}, {Kind: faults.Malformed}, {Kind: faults.ContentType}} {
		t.Run(strings.TrimSpace(fmt.Sprint(f.Kind, " ", f.Status)), func(t *testing.T) {
			sims := [2]*simulator.Simulator{}
			servers := [2]*httptest.Server{}
			for i := range sims {
				var err error
				if sims[i], err = simulator.New(simulator.Config{Seed: 1}); err != nil {
					t.Fatal(err)
				}
				servers[i] = httptest.NewServer(sims[i].JupiterHandler())
				t.Cleanup(func() { sims[i].Close(); servers[i].Close() })
			}
			if err := sims[0].Faults.Set(f); err != nil {
				t.Fatal(err)
			}
			gw := start(t, "UPSTREAMS=broken=swap-v1 "+servers[0].URL+"/swap/v1,well=swap-v1 "+servers[1].URL+"/swap/v1",
				"CIRCUIT_BREAKER_TIMEOUT=4s", "RATE_LIMIT_BURST_SIZE=1000")
			if outcomes := askMany(gw.api, sims[1].Mints()); outcomes["quote"] != faultRequests {
				t.Errorf("clients saw %v", outcomes)
			}
		})
	}
}

// faultRequests are sent by eight clients at once.
const faultRequests = 80

// askMany says how many clients saw what.
func askMany(base string, mints []string) map[string]int {
	outcomes := map[string]int{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := range faultRequests / 8 {
				outcome := ask(base, mints[0], mints[1], fmt.Sprint(1_000_000+100*worker+i))
				mu.Lock()
				outcomes[outcome]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return outcomes
}

// ask gets a quote and says what came of it.
func ask(base, in, out, amount string) string {
	client := http.Client{
		Timeout:   20 * time.Second, // the gateway's deadline, many times over
		Transport: &http.Transport{DisableKeepAlives: true},
	}
	resp, err := client.Get(base + "/quote?inputMint=" + in + "&outputMint=" + out + "&amount=" + amount)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	if resp.StatusCode == 200 {
		var q jupiter.Quote
		if err := json.Unmarshal(body, &q); err != nil || q.InputMint != in || q.OutputMint != out || fmt.Sprint(q.InAmount) != amount || q.OutAmount == 0 {
			return "a wrong answer: " + string(body)
		}
		return "quote"
	}
	e := jupiter.DecodeError(resp.StatusCode, body)
	return strings.TrimSpace(fmt.Sprint(e.Status, " ", e.Code))
}
