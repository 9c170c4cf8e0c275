package gateway

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"jupiter-dex-integration/src/platform"
)

func TestFailoverGoesThroughTheUpstreamsInOrder(t *testing.T) {
	down := func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }
	ok := func(name string) http.HandlerFunc { return says(200, `{"from":"`+name+`"}`) }
	optimizers := `{"servedBy":"route-optimizer","from":"optimizer"}`
	for _, tt := range []struct {
		name                         string
		jupiter, fallback, optimizer http.HandlerFunc
		status                       int
		body, upstream               string
	}{
		{"the first choice", ok("jupiter"), ok("fallback"), ok("optimizer"), 200, `{"from":"jupiter"}`, ""},
		{"a refusal is an answer", says(400, `{"error":"No routes found"}`), ok("fallback"), ok("optimizer"), 400, `{"error":"No routes found"}`, ""},
		{"the limit of one organisation", says(429, `{"code":429}`), ok("fallback"), ok("optimizer"), 200, `{"from":"fallback"}`, "second"},
		{"a limit is not the optimizer's", says(429, `{"code":429}`), says(429, `{"second":429}`), ok("optimizer"), 429, `{"code":429}`, ""},
		{"a limit stays one", says(429, `{"code":429}`), down, ok("optimizer"), 429, `{"code":429}`, ""},
		{"no answer", down, ok("fallback"), ok("optimizer"), 200, `{"from":"fallback"}`, "second"},
		{"a failure", says(500, `{}`), ok("fallback"), ok("optimizer"), 200, `{"from":"fallback"}`, "second"},
		{"two failures", says(500, `{}`), down, ok("optimizer"), 200, optimizers, "route-optimizer"},
		{"the second refuses", says(503, `{}`), says(400, `{"e":1}`), ok("optimizer"), 400, `{"e":1}`, "second"},
		{"all fail: the first one's failure", says(503, `{"first":1}`), says(500, `{}`), says(500, `{}`), 503, `{"first":1}`, ""},
		{"the optimizer has no route", down, down, says(400, `{"error":"x","errorCode":"NO_ROUTES_FOUND"}`), 400, `{"error":"x","errorCode":"NO_ROUTES_FOUND"}`, "route-optimizer"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			gw := start(t, "UPSTREAMS=first=swap-v1 "+newFake(t, tt.jupiter).URL+"/swap/v1,second=swap-v1 "+newFake(t, tt.fallback).URL,
				"ROUTE_OPTIMIZER_URL="+newFake(t, tt.optimizer).URL, "OPTIMIZER_FALLBACK=true", "QUOTE_CACHE_TTL=0s")
			r := get(t, gw.api+goodQuote)
			if r.status != tt.status || r.body != tt.body || r.header.Get("X-Upstream") != tt.upstream || !json.Valid([]byte(r.body)) {
				t.Errorf("got %d %s from %q, want %d %s from %q", r.status, r.body, r.header.Get("X-Upstream"), tt.status, tt.body, tt.upstream)
			}
		})
	}
}

func TestEachUpstreamHasItsOwnBreakersAndItsOwnKey(t *testing.T) {
	jup, second, own := newFake(t, says(500, `{}`)), newFake(t, says(500, `{}`)), newFake(t, says(200, `{}`))
	keyFile := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(keyFile, []byte("two\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	gw := start(t, "JUPITER_API_URL="+jup.URL+"/swap/v1", "JUPITER_API_KEY=one", "QUOTE_CACHE_TTL=0s",
		"UPSTREAMS=public=swap-v1 "+jup.URL+"/swap/v1, second=swap-v1 "+second.URL+"/swap/v1 "+keyFile+",own=metis "+own.URL)
	for range 20 {
		if r := get(t, gw.api+goodQuote); r.status != 200 || r.header.Get("X-Upstream") != "own" {
			t.Fatalf("status %d from %q", r.status, r.header.Get("X-Upstream"))
		}
	}
	if one, two := len(jup.requests()), len(second.requests()); one != 5 || two != 5 {
		t.Errorf("the broken upstreams were asked %d and %d times, want 5", one, two)
	}
	for want, s := range map[string]*fakeUpstream{"one": jup, "two": second, "": own} {
		if got := s.last(t).Header.Get("X-Api-Key"); got != want {
			t.Errorf("the key %q went where %q should", got, want)
		}
	}
	if metrics := get(t, gw.metrics+"/metrics").body; !strings.Contains(metrics, `jupiter_upstream_breaker_state{endpoint="quote",upstream="second"} 2`) ||
		!strings.Contains(metrics, `jupiter_upstream_breaker_state{endpoint="swap",upstream="second"} 0`) {
		t.Error("the metrics do not tell the breakers apart")
	}
	if r := do(t, "POST", gw.api+"/swap", goodSwap); r.status != 200 || len(jup.requests()) != 6 {
		t.Errorf("a swap, whose breaker is closed: %d, %d calls", r.status, len(jup.requests()))
	}
}

func TestUpstreamsOfOneQuotaAreNotAskedInTurn(t *testing.T) {
	jup := newFake(t, says(429, `{"code":429}`))
	gw := start(t, "JUPITER_API_URL="+jup.URL+"/swap/v1", "QUOTE_CACHE_TTL=0s",
		"UPSTREAMS=one=swap-v1 "+jup.URL+"/swap/v1,two=swap-v2 "+jup.URL+"/swap/v2")
	if r := get(t, gw.api+goodQuote); r.status != 429 || len(jup.requests()) != 1 {
		t.Errorf("status %d after %d calls", r.status, len(jup.requests()))
	}
}

func TestTheKeyOfJupiterGoesToNoOtherHost(t *testing.T) {
	elsewhere := newFake(t, says(200, `{}`))
	gw := start(t, "JUPITER_API_URL=http://localhost:1/swap/v1", "JUPITER_API_KEY=secret", "UPSTREAMS=other=swap-v1 "+elsewhere.URL+"/swap/v1")
	if r := get(t, gw.api+goodQuote); r.status != 200 || elsewhere.last(t).Header.Get("X-Api-Key") != "" {
		t.Errorf("%d, with key %q", r.status, elsewhere.last(t).Header.Get("X-Api-Key"))
	}
}

func TestUpstreamsShareTheTimeThatARequestMayTake(t *testing.T) {
	hangs := func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	first, second := newFake(t, hangs), newFake(t, hangs)
	gw := start(t, "UPSTREAMS=first=swap-v1 "+first.URL+",second=swap-v1 "+second.URL, "CIRCUIT_BREAKER_TIMEOUT=300ms", "QUOTE_CACHE_TTL=0s")
	r := get(t, gw.api+goodQuote)
	wantError(t, r, 504, "UPSTREAM_TIMEOUT")
	if !strings.Contains(r.body, "first did not answer within 150ms") || len(first.requests()) != 1 || len(second.requests()) != 1 {
		t.Errorf("asked %d and %d times, then said %s", len(first.requests()), len(second.requests()), r.body)
	}
}

func TestOneKindsLimitsAreNotAnothers(t *testing.T) {
	from := func(name string) http.HandlerFunc { return says(200, `{"from":"`+name+`"}`) }
	unknown := says(400, `{"error":"The token is not tradable","errorCode":"TOKEN_NOT_TRADABLE"}`)
	v2Swap := `{"userPublicKey":"` + wsol + `","quoteResponse":{"routePlan":[{"percent":null,"bps":10000}]}}`
	v1Swap := `{"userPublicKey":"` + wsol + `","quoteResponse":{"routePlan":[{"percent":100,"bps":null}]}}`
	for _, tt := range []struct {
		name          string
		kinds         [2]string
		first, second http.HandlerFunc
		target, body  string
		status        int
		want          string
	}{
		{"a token that the own router does not know yet", [2]string{"metis", "swap-v1"}, unknown, from("second"), goodQuote, "", 200, `{"from":"second"}`},
		{"a token that nobody knows", [2]string{"metis", "swap-v1"}, unknown, unknown, goodQuote, "", 400, "TOKEN_NOT_TRADABLE"},
		{"a token that Jupiter does not know", [2]string{"swap-v1", "metis"}, unknown, from("second"), goodQuote, "", 400, "TOKEN_NOT_TRADABLE"},
		{"the own router does not know, Jupiter fails", [2]string{"metis", "swap-v1"}, unknown, says(503, `{"failed":1}`), goodQuote, "", 503, "failed"},
		{"ExactOut, which v2 has not", [2]string{"swap-v2", "swap-v1"}, from("first"), from("second"), goodQuote + "&swapMode=ExactOut", "", 200, `{"from":"second"}`},
		{"ExactOut, v1 fails", [2]string{"swap-v1", "swap-v2"}, says(502, `{"failed":1}`), from("second"), goodQuote + "&swapMode=ExactOut", "", 502, "failed"},
		{"a direct route, v2 first and v1 failing", [2]string{"swap-v2", "swap-v1"}, from("first"), says(502, `{"failed":1}`), goodQuote + "&onlyDirectRoutes=true", "", 502, "failed"},
		{"a swap of v2's quote", [2]string{"swap-v1", "swap-v2"}, from("first"), from("second"), "/swap", v2Swap, 200, `{"from":"second"}`},
		{"a swap of v1's quote", [2]string{"swap-v2", "swap-v1"}, from("first"), from("second"), "/swap", v1Swap, 200, `{"from":"second"}`},
		{"a swap of the first choice's quote", [2]string{"swap-v2", "swap-v1"}, from("first"), from("second"), "/swap", v2Swap, 200, `{"from":"first"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			gw := start(t, "QUOTE_CACHE_TTL=0s", "UPSTREAMS=first="+tt.kinds[0]+" "+newFake(t, tt.first).URL+",second="+tt.kinds[1]+" "+newFake(t, tt.second).URL)
			method := "GET"
			if tt.body != "" {
				method = "POST"
			}
			if r := do(t, method, gw.api+tt.target, tt.body); r.status != tt.status || !strings.Contains(r.body, tt.want) {
				t.Errorf("got %d %s, want %d %s", r.status, r.body, tt.status, tt.want)
			}
		})
	}
}

func TestWrongUpstreamsAreRefusedAtStart(t *testing.T) {
	for _, list := range []string{"https://api.jup.ag/swap/v1", "a=swap-v3 https://x", "a=metis", "a=metis http://x /no/such/file",
		"A=metis http://x", "a=swap-v1 http://x /dev/null gold", "a=swap-v1 http://x /dev/null -5", "a=swap-v1 http://x /dev/null 5 6", "a=metis http://x,a=metis http://y", "jupiter=metis http://x"} {
		if _, err := platform.Load[Config]([]string{"UPSTREAMS=" + list}); err == nil || !strings.Contains(err.Error(), "UPSTREAMS") {
			t.Errorf("%q: %v", list, err)
		}
	}
	if _, err := platform.Load[Config]([]string{"UPSTREAMS=a=metis http://x", "UPSTREAM_MODE=optimizer", "ROUTE_OPTIMIZER_URL=http://y"}); err == nil {
		t.Error("upstreams that are never asked")
	}
	cfg, err := platform.Load[Config]([]string{"UPSTREAMS=a=metis http://user:word@x:8080,b=swap-v2 https://y/swap/v2"})
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := platform.Print(&text, cfg); err != nil || !strings.Contains(text.String(), "UPSTREAMS=a=metis http://user:xxxxx@x:8080,b=swap-v2 https://y/swap/v2\n") {
		t.Errorf("%v, printed as %s", err, text.String())
	}
}

func TestSwapOfAnOptimizersQuoteGoesToTheOptimizer(t *testing.T) {
	jup, optimizer := newFake(t, says(200, `{"from":"jupiter"}`)), newFake(t, says(200, `{"from":"optimizer"}`))
	gw := start(t, "JUPITER_API_URL="+jup.URL+"/swap/v1", "ROUTE_OPTIMIZER_URL="+optimizer.URL, "OPTIMIZER_FALLBACK=true")
	own := `{"userPublicKey":"` + wsol + `","quoteResponse":{"servedBy":"route-optimizer","inAmount":"1"}}`
	rebuilt := `{"quoteResponse": {"inAmount": "1", "servedBy": "route-optimizer"}, "userPublicKey": "` + wsol + `"}`
	elsewhere := `{"userPublicKey":"` + wsol + `","servedBy":"route-optimizer","quoteResponse":{"inAmount":"1"}}`
	for body, want := range map[string]string{own: `{"from":"optimizer"}`, rebuilt: `{"from":"optimizer"}`, elsewhere: `{"from":"jupiter"}`, goodSwap: `{"from":"jupiter"}`} {
		for _, path := range []string{"/swap", "/swap-instructions"} {
			if r := do(t, "POST", gw.api+path, body); r.body != want {
				t.Errorf("%s %s: got %s, want %s", path, body, r.body, want)
			}
		}
	}
}

func TestTheOptimizerStandsInOnlyIfAllowed(t *testing.T) {
	optimizer := newFake(t, says(200, `{}`))
	gw := start(t, "JUPITER_API_URL=http://127.0.0.1:1", "ROUTE_OPTIMIZER_URL="+optimizer.URL)
	wantError(t, get(t, gw.api+goodQuote), 502, "UPSTREAM_UNAVAILABLE")
	if n := len(optimizer.requests()); n != 0 {
		t.Errorf("it was asked %d times", n)
	}
	if _, err := platform.Load[Config]([]string{"OPTIMIZER_FALLBACK=true"}); err == nil || !strings.Contains(err.Error(), "ROUTE_OPTIMIZER_URL") {
		t.Errorf("allowed and nowhere: %v", err)
	}
}

func TestOptimizedModeAsksTheOptimizerFirstAndJupiterWhenItFails(t *testing.T) {
	for name, tc := range map[string]struct {
		optimizer     http.HandlerFunc
		body          string
		upstream      string
		swapsAreOwned bool
	}{
		"its own route":  {says(200, `{"servedBy":"route-optimizer"}`), `{"servedBy":"route-optimizer"}`, "optimized", true},
		"Jupiter's":      {says(200, `{"from":"jupiter"}`), `{"from":"jupiter"}`, "optimized", false},
		"it fails":       {says(502, `{}`), `{"from":"jupiter itself"}`, "", false},
		"it has no turn": {says(429, `{}`), `{"from":"jupiter itself"}`, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			jup, own := newFake(t, says(200, `{"from":"jupiter itself"}`)), newFake(t, tc.optimizer)
			gw := start(t, "UPSTREAM_MODE=optimized", "JUPITER_API_URL="+jup.URL+"/swap/v1", "ROUTE_OPTIMIZER_URL="+own.URL, "QUOTE_CACHE_TTL=0s")
			r := get(t, gw.api+goodQuote)
			if r.status != 200 || r.body != tc.body || r.header.Get("X-Upstream") != tc.upstream {
				t.Errorf("%d %s from %q", r.status, r.body, r.header.Get("X-Upstream"))
			}
			if asked := own.requests(); len(asked) != 1 || asked[0].Path != "/optimized/quote" {
				t.Errorf("the optimizer was asked %v", asked)
			}
			do(t, http.MethodPost, gw.api+"/swap", `{"userPublicKey":"So11111111111111111111111111111111111111112","quoteResponse":`+r.body+`}`)
			if n := len(own.requests()); n == 2 != tc.swapsAreOwned {
				t.Errorf("a swap of %s: %d requests at the optimizer", r.body, n)
			}
		})
	}
}
