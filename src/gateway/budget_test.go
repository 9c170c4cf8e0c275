package gateway

import (
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"jupiter-dex-integration/src/platform"
)

func TestTheQuotaIsSharedByReplicasAndRefusalsSayWhen(t *testing.T) {
	jup, redis := newFake(t, says(200, `{}`)), miniredis.RunT(t)
	env := []string{"JUPITER_API_URL=" + jup.URL + "/swap/v1", "REDIS_URL=redis://" + redis.Addr(), "JUPITER_REQUESTS_PER_MINUTE=1", "JUPITER_QUEUE_TIMEOUT=0s",
		"RATE_LIMIT_REDIS_TIMEOUT=10s"}
	a, b := start(t, env...), start(t, env...)
	if r := get(t, a.api+goodQuote); r.status != 200 {
		t.Fatalf("the first: %d %s", r.status, r.body)
	}
	for _, r := range []reply{get(t, b.api+goodQuote), do(t, "POST", a.api+"/swap", goodSwap), get(t, b.api+"/price/v3?ids="+wsol), get(t, b.api+"/tokens/v2/recent")} {
		wantError(t, r, 429, "TOO_MANY_REQUESTS")
		if seconds, err := strconv.Atoi(r.header.Get("Retry-After")); err != nil || seconds < 30 || seconds > 63 {
			t.Errorf("Retry-After %q with one call a minute", r.header.Get("Retry-After"))
		}
	}
	if r := do(t, "POST", b.api+"/swap/v2/execute", `{}`); r.status != 200 {
		t.Errorf("execute has a bucket of its own, and got %d", r.status)
	}
	if n := len(jup.requests()); n != 2 {
		t.Errorf("Jupiter saw %d requests", n)
	}
	if metrics := get(t, b.metrics+"/metrics").body; !strings.Contains(metrics, `jupiter_upstream_budget_per_minute{organisation="jupiter"} 1`) ||
		!strings.Contains(metrics, `jupiter_upstream_budget_refused_total{endpoint="quote",organisation="jupiter"} 1`) {
		t.Error("metrics lack the budget")
	}
}

func TestRequestsBeyondTheQuotaWaitTheirTurn(t *testing.T) {
	jup := newFake(t, says(200, `{}`))
	gw := start(t, "JUPITER_API_URL="+jup.URL+"/swap/v1", "JUPITER_REQUESTS_PER_MINUTE=1200", "JUPITER_QUEUE_TIMEOUT=30s")
	var wg sync.WaitGroup
	for i := range 15 { // the burst is 5
		wg.Go(func() {
			if resp, err := http.Get(gw.api + goodQuote + "&n=" + itoa(i)); err != nil || resp.StatusCode != 200 {
				t.Errorf("got %v, %v", resp, err)
			} else {
				resp.Body.Close()
			}
		})
	}
	wg.Wait()
	if metrics := get(t, gw.metrics+"/metrics").body; !strings.Contains(metrics, `jupiter_upstream_budget_wait_seconds_count{endpoint="quote",organisation="jupiter"} 15`) {
		t.Error("metrics lack the waits")
	}
}

func TestEachOrganisationHasItsOwnQuota(t *testing.T) {
	jup, other := newFake(t, says(200, `{}`)), newFake(t, says(200, `{}`))
	keyFile := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(keyFile, []byte("two"), 0o600); err != nil {
		t.Fatal(err)
	}
	gw := start(t, "JUPITER_API_URL="+jup.URL+"/swap/v1", "JUPITER_REQUESTS_PER_MINUTE=1", "JUPITER_QUEUE_TIMEOUT=0s", "QUOTE_CACHE_TTL=0s",
		"UPSTREAMS=one=swap-v1 "+jup.URL+"/swap/v1,other=swap-v1 "+other.URL+"/swap/v1 "+keyFile+" 60")
	for i, want := range []int{200, 200, 429} {
		if r := get(t, gw.api+goodQuote); r.status != want {
			t.Errorf("request %d: %d, want %d", i, r.status, want)
		}
	}
	wantError(t, get(t, gw.api+"/price/v3?ids="+wsol), 429, "TOO_MANY_REQUESTS") // of the same organisation as "one"
	if one, two := len(jup.requests()), len(other.requests()); one != 1 || two != 1 {
		t.Errorf("the organisations were asked %d and %d times, want once each", one, two)
	}
	if metrics := get(t, gw.metrics+"/metrics").body; !strings.Contains(metrics, `jupiter_upstream_budget_per_minute{organisation="other"} 60`) {
		t.Error("metrics lack the second quota")
	}
}

// Without a configured plan Jupiter's own word counts: a 429, or nothing left.
func TestJupitersHeadersHoldFurtherCalls(t *testing.T) {
	reset := strconv.FormatInt(time.Now().Add(40*time.Second).Unix(), 10)
	for name, h := range map[string]http.HandlerFunc{
		"429":          says(429, `{"code":429,"message":"[API Gateway] Too many requests"}`, "X-Ratelimit-Reset", reset),
		"nothing left": says(200, `{}`, "X-Ratelimit-Remaining", "0", "X-Ratelimit-Reset", reset),
	} {
		var calls atomic.Int64
		jup := newFake(t, func(w http.ResponseWriter, r *http.Request) { calls.Add(1); h(w, r) })
		gw := start(t, "JUPITER_API_URL="+jup.URL+"/swap/v1")
		get(t, gw.api+goodQuote)
		r := get(t, gw.api+goodQuote+"&slippageBps=1")
		wantError(t, r, 429, "TOO_MANY_REQUESTS")
		if seconds, err := strconv.Atoi(r.header.Get("Retry-After")); err != nil || seconds < 20 || seconds > 40 {
			t.Errorf("%s: Retry-After %q", name, r.header.Get("Retry-After"))
		}
		if calls.Load() != 1 {
			t.Errorf("%s: Jupiter was asked %d times", name, calls.Load())
		}
	}
}

func TestAnOpenBreakerUsesNoQuota(t *testing.T) {
	jup := newFake(t, says(500, `{}`))
	gw := start(t, "JUPITER_API_URL="+jup.URL+"/swap/v1", "JUPITER_REQUESTS_PER_MINUTE=60", "JUPITER_QUEUE_TIMEOUT=5s", "CIRCUIT_BREAKER_FAILURE_THRESHOLD=1")
	get(t, gw.api+goodQuote)
	for range 20 {
		wantError(t, get(t, gw.api+goodQuote), 503, "CIRCUIT_OPEN")
	}
}

func TestBudgetConfigurationErrorsNameTheVariable(t *testing.T) {
	for _, setting := range []string{"JUPITER_PLAN=gold", "JUPITER_REQUESTS_PER_MINUTE=-1", "JUPITER_QUEUE_TIMEOUT=2h", "JUPITER_QUEUE_SIZE=-1"} {
		name, _, _ := strings.Cut(setting, "=")
		if _, err := platform.Load[Config]([]string{setting}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", setting, err)
		}
	}
	if _, err := platform.Load[Config]([]string{"JUPITER_PLAN=pro", "JUPITER_REQUESTS_PER_MINUTE=5"}); err == nil {
		t.Error("two quotas were accepted")
	}
}
