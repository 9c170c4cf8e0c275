package gateway

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"jupiter-dex-integration/src/platform"
	"jupiter-dex-integration/src/platform/processtest"
	"jupiter-dex-integration/src/platform/redistest"
	"jupiter-dex-integration/src/ratelimit"
)

const upstreamAnswer = `{"outAmount":"1"}`

// TestMain lets the test binary be a replica or an upstream: only a process can be killed as processes are.
func TestMain(m *testing.M) {
	switch role, address, _ := strings.Cut(os.Getenv("TEST_PROCESS"), " "); role {
	case "replica":
		os.Args = os.Args[:1]
		platform.Main("api-gateway", platform.NewCommand("serve", "serve Jupiter's HTTP API", Serve))
	case "upstream":
		fmt.Fprintln(os.Stderr, http.ListenAndServe(address, says(200, upstreamAnswer)))
		os.Exit(1)
	case "quotes": // in the time and of the length of Jupiter's
		fmt.Fprintln(os.Stderr, http.ListenAndServe(address, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(30 * time.Millisecond)
			says(200, string(quoteBody))(w, r)
		})))
		os.Exit(1)
	default:
		os.Exit(m.Run())
	}
}

// quoteAs sends a quote request as the client with an address and returns the answer's status, 0 for none, and whether the answer
// is what it should be with this status.
func quoteAs(api, client string) (status int, ok bool) {
	req, err := http.NewRequest(http.MethodGet, api+goodQuote, nil)
	if err != nil {
		return 0, false
	}
	req.Header.Set("X-Forwarded-For", client)
	resp, err := (&http.Client{Timeout: 10 * time.Second}).Do(req)
	if err != nil {
		return 0, false
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, err == nil && (resp.StatusCode != 200 || string(body) == upstreamAnswer)
}

func TestKillingAReplicaRedisAndTheUpstreamUnderLoadFailsFewRequestsAndLeavesLimitsExact(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 10 seconds")
	}
	if _, err := exec.LookPath("haproxy"); err != nil {
		t.Skip("haproxy is not installed: three replicas behind a balancer cannot be tried")
	}
	const perMinute, burst = 6, 30
	upstreamAddress, fallbackAddress, balancer := processtest.Address(t), processtest.Address(t), processtest.Address(t)
	redis := redistest.Start(t)
	upstream := processtest.Start(t, []string{"TEST_PROCESS=upstream " + upstreamAddress}, os.Args[0])
	processtest.Start(t, []string{"TEST_PROCESS=upstream " + fallbackAddress}, os.Args[0])
	config := "defaults\n mode http\n timeout connect 1s\n timeout client 20s\n timeout server 20s\n option redispatch 1\n retries 3\n" +
		" retry-on conn-failure empty-response\nfrontend f\n bind " + balancer + "\n default_backend b\nbackend b\n option httpchk GET /health\n"
	var replicas []*processtest.Process
	var metrics []string
	for i := range 3 {
		api, m := processtest.Address(t), processtest.Address(t)
		replicas = append(replicas, processtest.Start(t, []string{"TEST_PROCESS=replica", "LISTEN_ADDRESS=" + api, "METRICS_ADDRESS=" + m,
			"REDIS_URL=" + redis.URL, "UPSTREAMS=first=swap-v1 http://" + upstreamAddress + ",second=swap-v1 http://" + fallbackAddress,
			"TRUSTED_PROXIES=127.0.0.1/32", "QUOTE_CACHE_TTL=0s", "RATE_LIMIT_REDIS_TIMEOUT=200ms", "CIRCUIT_BREAKER_RESET_TIMEOUT=1s", "LOG_LEVEL=error",
			fmt.Sprint("RATE_LIMIT_REQUESTS_PER_MINUTE=", perMinute), fmt.Sprint("RATE_LIMIT_BURST_SIZE=", burst)}, os.Args[0]))
		metrics = append(metrics, "http://"+m+"/metrics")
		config += fmt.Sprintf(" server r%d %s check inter 200ms fall 2 rise 1\n", i, api)
	}
	path := filepath.Join(t.TempDir(), "haproxy.cfg")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	processtest.Start(t, nil, "haproxy", "-db", "-f", path)
	api := "http://" + balancer
	shared := func() bool { // every replica shares its limits; one that does not tries Redis again when it is asked
		for i := range 6 {
			quoteAs(api, fmt.Sprint("10.200.0.", i+1))
		}
		for _, m := range metrics {
			resp, err := http.Get(m)
			if err != nil {
				return false
			}
			text := new(strings.Builder)
			resp.Write(text)
			resp.Body.Close()
			if !strings.Contains(text.String(), "jupiter_ratelimit_store_up 1") {
				return false
			}
		}
		status, _ := quoteAs(api, "10.201.0.1")
		return status == 200 || status == 429
	}
	processtest.Eventually(t, "the replicas serve", shared)

	var sent, wrong atomic.Int64
	var phase atomic.Int32
	names := []string{"before", "replica killed", "Redis killed", "upstream killed", "all back"}
	var total, failed [5]atomic.Int64
	stop := make(chan struct{})
	var load sync.WaitGroup
	for range 4 {
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(4 * time.Millisecond):
				}
				n, now := sent.Add(1), phase.Load()
				status, ok := quoteAs(api, fmt.Sprintf("10.%d.%d.%d", 100, n>>8&255, n&255))
				total[now].Add(1)
				if status != 200 {
					failed[now].Add(1)
				}
				if status != 0 && !ok {
					wrong.Add(1)
				}
			}
		})
	}
	pause := func() { time.Sleep(1500 * time.Millisecond) }
	pause()
	phase.Store(1)
	replicas[0].Kill()
	pause()
	replicas[0].Restart()
	phase.Store(2)
	redis.Kill()
	pause()
	redis.Restart()
	phase.Store(3)
	upstream.Kill()
	pause()
	upstream.Restart()
	phase.Store(4)
	pause()
	close(stop)
	load.Wait()
	for i, name := range names {
		t.Logf("%s: %d requests, %d failed", name, total[i].Load(), failed[i].Load())
	}
	var allFailed int64
	for i := range failed {
		allFailed += failed[i].Load()
	}
	if n := sent.Load(); wrong.Load() > 0 || allFailed*20 > n || n < 100 {
		t.Errorf("of %d requests %d failed (at most one in twenty may) and %d were answered wrongly", n, allFailed, wrong.Load())
	}

	processtest.Eventually(t, "limits are shared again", shared)
	start, admitted := time.Now(), 0
	for range 3 * burst {
		if status, _ := quoteAs(api, "10.250.0.1"); status == 200 {
			admitted++
		}
	}
	most := burst + 1 + int(time.Since(start).Minutes()*perMinute) + 3*int(ratelimit.MaxLease(burst))
	t.Logf("afterwards one client was admitted %d times of %d, with a burst of %d", admitted, 3*burst, burst)
	if admitted > most || admitted < burst-3*int(ratelimit.MaxLease(burst)) {
		t.Errorf("a client with a burst of %d was admitted %d times, want at most %d", burst, admitted, most)
	}
}
