package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sony/gobreaker/v2"

	"jupiter-dex-integration/src/jupiter"
)

var known = BreakerConfig{Enabled: true, FailureThreshold: 5, FailureRatio: 0.5, Timeout: 30 * time.Second, ResetTimeout: time.Minute}

func sending(status int, err error) func() (*answer, error) {
	return func() (*answer, error) {
		if err != nil {
			return nil, err
		}
		return &answer{status: status, body: []byte(`{}`)}, nil
	}
}

func TestBreakerOpensAtTheFifthConsecutiveFailure(t *testing.T) {
	unavailable := jupiter.Errorf(502, jupiter.CodeUpstreamUnavailable, "x")
	stripped := func() (*answer, error) {
		return &answer{status: 500, body: []byte(`{"error":"Dynamic swap is missing dynamic swap details"}`)}, nil
	}
	times := func(n int, f func() (*answer, error)) (all []func() (*answer, error)) {
		for range n {
			all = append(all, f)
		}
		return all
	}
	for _, tt := range []struct {
		name  string
		sends []func() (*answer, error)
		open  bool
	}{
		{"four failures", times(4, sending(500, nil)), false},
		{"five failures", times(5, sending(500, nil)), true},
		{"five without an answer", times(5, sending(0, unavailable)), true},
		{"five of both kinds", append(times(2, sending(0, unavailable)), times(3, sending(503, nil))...), true},
		{"a success between", append(times(4, sending(500, nil)), append(times(1, sending(200, nil)), times(4, sending(500, nil))...)...), false},
		{"refusals", times(50, sending(400, nil)), false},
		{"limits", times(50, sending(429, nil)), false},
		{"a refusal is a sign of life", append(times(4, sending(500, nil)), append(times(1, sending(404, nil)), times(4, sending(500, nil))...)...), false},
		{"callers who hang up", times(50, sending(0, context.Canceled)), false},
		{"a hang-up is no sign of life", append(times(4, sending(500, nil)), append(times(1, sending(0, context.Canceled)), times(1, sending(500, nil))...)...), true},
		{"one caller's stripped quotes", times(50, stripped), false},
	} {
		b := newBreaker(known, func(_, _ gobreaker.State) {})
		for _, send := range tt.sends {
			b.do("jupiter", send)
		}
		if open := b.State() == gobreaker.StateOpen; open != tt.open {
			t.Errorf("%s: open is %v", tt.name, open)
		}
	}
}

func TestBreakerCountsFailuresInARowHoweverSeldomAndARatioOfRecentOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seldom := newBreaker(known, func(_, _ gobreaker.State) {})
		for range 5 {
			seldom.do("jupiter", sending(500, nil))
			time.Sleep(time.Minute)
		}
		if seldom.reopens.Load() == 0 {
			t.Error("five failures, a minute apart, did not open it")
		}
		for _, tt := range []struct {
			good, bad int // in turn
			pause     time.Duration
			open      bool
		}{{1, 1, 0, true}, {2, 1, 0, false}, {1, 1, 2 * time.Second, false}} {
			b := newBreaker(known, func(_, _ gobreaker.State) {})
			for range 30 {
				for range tt.good {
					b.do("jupiter", sending(200, nil))
				}
				for range tt.bad {
					b.do("jupiter", sending(500, nil))
				}
				time.Sleep(tt.pause)
			}
			if open := b.reopens.Load() != 0; open != tt.open {
				t.Errorf("%+v: opened is %v", tt, open)
			}
		}
	})
}

func TestBreakerGivesTheUpstreamsOwnFailure(t *testing.T) {
	b := newBreaker(known, func(_, _ gobreaker.State) {})
	if a, err := b.do("jupiter", sending(503, nil)); err != nil || a.status != 503 {
		t.Errorf("got %v, %v", a, err)
	}
}

func TestOpenBreakerSaysWhenToComeBackAndTriesOneRequestThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(known, func(_, _ gobreaker.State) {})
		for range 5 {
			b.do("jupiter", sending(500, nil))
		}
		refused := func() *jupiter.Error {
			t.Helper()
			_, err := b.do("jupiter", func() (*answer, error) { t.Error("the upstream was asked"); return nil, nil })
			var e *jupiter.Error
			if !errors.As(err, &e) || e.Status != 503 || e.Code != jupiter.CodeCircuitOpen {
				t.Fatalf("got %v", err)
			}
			return e
		}
		if e := refused(); e.RetryAfter != time.Minute {
			t.Errorf("at once: come back in %v", e.RetryAfter)
		}
		time.Sleep(59 * time.Second)
		if e := refused(); e.RetryAfter != time.Second {
			t.Errorf("after 59 s: come back in %v", e.RetryAfter)
		}
		time.Sleep(time.Second + time.Millisecond)
		// Half-open: one trial, nobody else.
		b.do("jupiter", func() (*answer, error) { refused(); return nil, errors.New("still broken") })
		if e := refused(); e.RetryAfter != time.Minute {
			t.Errorf("after a failed trial: come back in %v", e.RetryAfter)
		}
		time.Sleep(time.Minute + time.Millisecond)
		if _, err := b.do("jupiter", sending(200, nil)); err != nil || b.State() != gobreaker.StateClosed {
			t.Errorf("after a good trial: %v, %v", b.State(), err)
		}
	})
}

func TestBreakersAreApartByEndpointAndShowInReadinessAndMetrics(t *testing.T) {
	var broken atomic.Bool
	broken.Store(true)
	jup := newFake(t, func(w http.ResponseWriter, r *http.Request) {
		if broken.Load() && strings.HasSuffix(r.URL.Path, "/quote") {
			says(500, `{"error":"boom"}`)(w, r)
			return
		}
		says(200, `{}`)(w, r)
	})
	gw := start(t, "JUPITER_API_URL="+jup.URL+"/swap/v1", "CIRCUIT_BREAKER_RESET_TIMEOUT=300ms")
	for range 5 {
		if r := get(t, gw.api+goodQuote); r.status != 500 || r.body != `{"error":"boom"}` {
			t.Fatalf("a failure did not come through: %d %s", r.status, r.body)
		}
	}
	r := get(t, gw.api+goodQuote)
	wantError(t, r, 503, "CIRCUIT_OPEN")
	if seconds, err := strconv.Atoi(r.header.Get("Retry-After")); err != nil || seconds < 1 {
		t.Errorf("Retry-After: %q", r.header.Get("Retry-After"))
	}
	if n := len(jup.requests()); n != 5 {
		t.Errorf("Jupiter was asked %d times", n)
	}
	if r := do(t, "POST", gw.api+"/swap", goodSwap); r.status != 200 {
		t.Errorf("swaps stopped too: %d", r.status)
	}
	if r := get(t, gw.api+"/ready"); r.status != 200 || !strings.Contains(r.body, "degraded") || !strings.Contains(r.body, "jupiter quote") {
		t.Errorf("/ready: %d %s", r.status, r.body)
	}
	if r := get(t, gw.metrics+"/metrics"); !strings.Contains(r.body, `jupiter_upstream_breaker_state{endpoint="quote",upstream="jupiter"} 2`) ||
		!strings.Contains(r.body, `jupiter_upstream_breaker_state{endpoint="swap",upstream="jupiter"} 0`) ||
		!strings.Contains(r.body, `jupiter_upstream_latency_seconds_count{endpoint="quote",outcome="5xx",upstream="jupiter"} 5`) {
		t.Errorf("/metrics: %s", r.body)
	}
	broken.Store(false)
	for deadline := time.Now().Add(10 * time.Second); get(t, gw.api+goodQuote).status != 200; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the breaker did not close again")
		}
	}
}

func TestUpstreamFaultsBecomeErrorsWithinTheirBound(t *testing.T) {
	for _, tt := range []struct {
		name    string
		handler http.HandlerFunc
		status  int
		code    string
	}{
		{"hangs before the answer", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, 504, "UPSTREAM_TIMEOUT"},
		{"hangs in the answer", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100")
			w.Write([]byte(`{"a":`))
			http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, 504, "UPSTREAM_TIMEOUT"},
		{"resets", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 502, "UPSTREAM_UNAVAILABLE"},
		{"cuts a sized answer", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			w.Write([]byte(`{"a":`))
		}, 502, "UPSTREAM_UNAVAILABLE"},
		{"cuts a chunked answer", func(w http.ResponseWriter, _ *http.Request) {
			w.Write([]byte(`{"a":`))
			http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, 502, "UPSTREAM_UNAVAILABLE"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			jup := newFake(t, tt.handler)
			gw := start(t, "JUPITER_API_URL="+jup.URL+"/swap/v1", "CIRCUIT_BREAKER_TIMEOUT=100ms")
			wantError(t, get(t, gw.api+goodQuote), tt.status, tt.code)
		})
	}
	gw := start(t, "JUPITER_API_URL=http://127.0.0.1:1/swap/v1")
	wantError(t, get(t, gw.api+goodQuote), 502, "UPSTREAM_UNAVAILABLE")
}

func TestHangingUpstreamHoldsUpABoundedNumber(t *testing.T) {
	release := make(chan struct{})
	asked := make(chan struct{}, 10)
	jup := newFake(t, func(w http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-release
		says(200, `{}`)(w, r)
	})
	gw := start(t, "JUPITER_API_URL="+jup.URL+"/swap/v1", "UPSTREAM_MAX_IN_FLIGHT=2", "CIRCUIT_BREAKER_FAILURE_THRESHOLD=1")
	answers := make(chan int, 2)
	for range 2 {
		go func() {
			resp, err := http.Get(gw.api + "/program-id-to-label")
			if err != nil {
				answers <- 0
				return
			}
			resp.Body.Close()
			answers <- resp.StatusCode
		}()
		<-asked
	}
	r := get(t, gw.api+goodQuote)
	wantError(t, r, 503, "OVERLOADED")
	if r.header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After %q", r.header.Get("Retry-After"))
	}
	close(release)
	for range 2 {
		if status := <-answers; status != 200 {
			t.Errorf("one that waited got %d", status)
		}
	}
	if r := get(t, gw.api+goodQuote); r.status != 200 {
		t.Errorf("afterwards: %d %s", r.status, r.body)
	}
}

func TestCallerWhoHangsUpEndsTheUpstreamCall(t *testing.T) {
	asked, ended := make(chan struct{}), make(chan struct{})
	jup := newFake(t, func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
		close(ended)
	})
	gw := start(t, "JUPITER_API_URL="+jup.URL+"/swap/v1")
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, gw.api+"/swap", strings.NewReader(goodSwap))
	if err != nil {
		t.Fatal(err)
	}
	go func() { <-asked; cancel() }()
	if resp, err := http.DefaultTransport.RoundTrip(req); err == nil {
		resp.Body.Close()
		t.Fatal("got an answer")
	}
	<-ended
}

func TestLongAnswersStreamAndABrokenOneDoesNotLookWhole(t *testing.T) {
	long := strings.Repeat("0123456789abcdef", maxBuffered/8)
	var cut atomic.Bool
	jup := newFake(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Write([]byte(long))
		if cut.Load() {
			panic(http.ErrAbortHandler)
		}
	})
	gw := start(t, "JUPITER_API_URL="+jup.URL+"/swap/v1")
	if r := get(t, gw.api+"/tokens/v2/tag?query=verified"); r.status != 200 || r.body != long {
		t.Errorf("status %d, %d bytes of %d", r.status, len(r.body), len(long))
	}
	cut.Store(true)
	resp, err := http.Get(gw.api + "/tokens/v2/tag?query=verified")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if n, err := io.Copy(io.Discard, resp.Body); err == nil {
		t.Errorf("a cut answer ended cleanly after %d bytes", n)
	}
}
