package gateway

import (
	"encoding/json"
	"net/http"
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
		{"so is a limit", says(429, `{"code":429}`), ok("fallback"), ok("optimizer"), 429, `{"code":429}`, ""},
		{"no answer", down, ok("fallback"), ok("optimizer"), 200, `{"from":"fallback"}`, "jupiter-fallback"},
		{"a failure", says(500, `{}`), ok("fallback"), ok("optimizer"), 200, `{"from":"fallback"}`, "jupiter-fallback"},
		{"two failures", says(500, `{}`), down, ok("optimizer"), 200, optimizers, "route-optimizer"},
		{"the second refuses", says(503, `{}`), says(400, `{"e":1}`), ok("optimizer"), 400, `{"e":1}`, "jupiter-fallback"},
		{"all fail: the first one's failure", says(503, `{"first":1}`), says(500, `{}`), says(500, `{}`), 503, `{"first":1}`, ""},
		{"the optimizer has no route", down, down, says(400, `{"error":"x","errorCode":"NO_ROUTES_FOUND"}`), 400, `{"error":"x","errorCode":"NO_ROUTES_FOUND"}`, "route-optimizer"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			gw := start(t, "JUPITER_API_URL="+newStub(t, tt.jupiter).URL+"/swap/v1", "JUPITER_FALLBACK_URL="+newStub(t, tt.fallback).URL,
				"ROUTE_OPTIMIZER_URL="+newStub(t, tt.optimizer).URL, "OPTIMIZER_FALLBACK=true", "QUOTE_CACHE_TTL=0s")
			r := get(t, gw.api+goodQuote)
			if r.status != tt.status || r.body != tt.body || r.header.Get("X-Upstream") != tt.upstream || !json.Valid([]byte(r.body)) {
				t.Errorf("got %d %s from %q, want %d %s from %q", r.status, r.body, r.header.Get("X-Upstream"), tt.status, tt.body, tt.upstream)
			}
		})
	}
}

func TestOpenBreakerFailsOverWithoutAskingAgain(t *testing.T) {
	jup, fallback := newStub(t, says(500, `{}`)), newStub(t, says(200, `{}`))
	gw := start(t, "JUPITER_API_URL="+jup.URL+"/swap/v1", "JUPITER_FALLBACK_URL="+fallback.URL, "JUPITER_API_KEY=one", "JUPITER_FALLBACK_API_KEY=two", "QUOTE_CACHE_TTL=0s")
	for range 20 {
		if r := get(t, gw.api+goodQuote); r.status != 200 {
			t.Fatalf("status %d", r.status)
		}
	}
	if n := len(jup.requests()); n != 5 {
		t.Errorf("the broken upstream was asked %d times", n)
	}
	if one, two := jup.last(t).Header.Get("X-Api-Key"), fallback.last(t).Header.Get("X-Api-Key"); one != "one" || two != "two" {
		t.Errorf("keys went to the wrong upstream: %q, %q", one, two)
	}
}

func TestSwapOfAnOptimizersQuoteGoesToTheOptimizer(t *testing.T) {
	jup, optimizer := newStub(t, says(200, `{"from":"jupiter"}`)), newStub(t, says(200, `{"from":"optimizer"}`))
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
	optimizer := newStub(t, says(200, `{}`))
	gw := start(t, "JUPITER_API_URL=http://127.0.0.1:1", "ROUTE_OPTIMIZER_URL="+optimizer.URL)
	wantError(t, get(t, gw.api+goodQuote), 502, "UPSTREAM_UNAVAILABLE")
	if n := len(optimizer.requests()); n != 0 {
		t.Errorf("it was asked %d times", n)
	}
	if _, err := platform.Load[Config]([]string{"OPTIMIZER_FALLBACK=true"}); err == nil || !strings.Contains(err.Error(), "ROUTE_OPTIMIZER_URL") {
		t.Errorf("allowed and nowhere: %v", err)
	}
}
