package oracle

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"jupiter-dex-integration/src/platform"
	"jupiter-dex-integration/src/platform/processtest"
	"jupiter-dex-integration/src/platform/redistest"
)

// TestTwoServersAndTheJobOnARealRedis runs two servers, and a job that starts again and again, on each kind of Redis, and
// counts what reaches Jupiter.
func TestTwoServersAndTheJobOnARealRedis(t *testing.T) {
	const interval = time.Second
	for kind, start := range map[string]func(*testing.T) (url string, disturb func()){
		"one server": func(t *testing.T) (string, func()) { return redistest.Start(t).URL, nil },
		"sentinels": func(t *testing.T) (string, func()) {
			servers := redistest.StartReplicated(t)
			return servers.URL, servers.Primary.Kill
		},
		"cluster": func(t *testing.T) (string, func()) { return redistest.StartCluster(t).URL, nil },
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			url, disturb := start(t)
			var mu sync.Mutex
			var calls []time.Time
			jupiter := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				mu.Lock()
				calls = append(calls, time.Now())
				mu.Unlock()
				w.Write([]byte(solPrice))
			}))
			t.Cleanup(jupiter.Close)
			count := func() int { mu.Lock(); defer mu.Unlock(); return len(calls) }
			environ := []string{"JUPITER_API_URL=" + jupiter.URL, "JUPITER_API_KEY=jup_test", "PRICE_TOKENS=" + wsol, "REDIS_URL=" + url, "UPDATE_INTERVAL=" + interval.String()}
			servers := []runningServer{serve(t, environ...), serve(t, environ...)}
			jobs, stop := context.WithCancel(t.Context())
			var job sync.WaitGroup
			defer job.Wait()
			defer stop()
			job.Go(func() {
				for sleep(jobs, interval/5) == nil {
					cfg, err := platform.Load[UpdateConfig](environ)
					if err != nil {
						t.Error(err)
						return
					}
					Update(jobs, cfg, platform.NewProcess("price-oracle", quiet)) // an error while Redis fails over is its own business
				}
			})
			begin := time.Now()
			processtest.Eventually(t, "six updates", func() bool { return count() >= 6 })
			took, made := time.Since(begin), count()

			mu.Lock()
			for i := 1; i < len(calls); i++ {
				if gap := calls[i].Sub(calls[i-1]); gap < interval*9/10 {
					t.Errorf("calls %d and %d are only %v apart", i, i+1, gap)
				}
			}
			mu.Unlock()
			t.Logf("%d calls in %v: one schedule of %v makes %d", made, took.Round(time.Millisecond), interval, int(took/interval)+1)

			if disturb == nil {
				return
			}
			disturb()
			for _, s := range servers {
				if code, body := get(t, s.api+"/price/v3?ids="+wsol); code != 200 || string(body) != solPrice {
					t.Errorf("while Redis fails over: HTTP %d, %s", code, body)
				}
			}
			made = count()
			processtest.Eventually(t, "shared updates again", func() bool {
				for _, s := range servers {
					if _, body := readyStatus(t, s); !strings.Contains(body, `"status":"ready"`) {
						return false
					}
				}
				return count() > made+2
			})
		})
	}
}
