package faults_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"jupiter-dex-integration/src/simulator/faults"
)

const body = `{"answer":"forty-two","items":[1,2,3,4,5,6,7,8,9]}`

// broken is an API that always answers the same, with faults in front.
type broken struct {
	*faults.Faults
	handler http.Handler
	url     string
}

func newBroken(t *testing.T) broken {
	t.Helper()
	f := faults.New(1)
	h := f.Wrap(faults.API{
		Endpoints: func(r *http.Request, _ []byte) []string { return strings.Split(r.URL.Path, ",") },
		Refuse: func(w http.ResponseWriter, _ *http.Request, status int) {
			w.WriteHeader(status)
			io.WriteString(w, `{"refused":true}`)
		},
	}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Got", string(sent))
		io.WriteString(w, body)
	}))
	mux := http.NewServeMux()
	mux.Handle("/admin/", f.Admin())
	mux.Handle("/", h)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	t.Cleanup(f.Close)
	return broken{f, h, server.URL}
}

func (b broken) set(t *testing.T, list ...faults.Fault) {
	t.Helper()
	if err := b.Set(list...); err != nil {
		t.Fatal(err)
	}
}

// get is a call on a connection of its own, as the faults end connections.
func (b broken) get(t *testing.T, path string) (*http.Response, string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", b.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	return resp, string(got), err
}

func TestEachFaultAsTheClientSeesIt(t *testing.T) {
	b := newBroken(t)
	for name, test := range map[string]struct {
		fault faults.Fault
		seen  func(resp *http.Response, got string, err error) bool
	}{
		"none":    {faults.Fault{Endpoint: "/elsewhere", Kind: faults.Reset}, func(_ *http.Response, got string, err error) bool { return err == nil && got == body }},
		"latency": {faults.Fault{Kind: faults.Latency, LatencyMs: 5}, func(_ *http.Response, got string, err error) bool { return err == nil && got == body }},
		"429": {faults.Fault{Kind: faults.Status, Status: 429}, func(r *http.Response, got string, err error) bool {
			return err == nil && r.StatusCode == 429 && got == `{"refused":true}`
		}},
		"500":   {faults.Fault{Kind: faults.Status, Status: 500}, func(r *http.Response, _ string, err error) bool { return err == nil && r.StatusCode == 500 }},
		"503":   {faults.Fault{Kind: faults.Status, Status: 503}, func(r *http.Response, _ string, err error) bool { return err == nil && r.StatusCode == 503 }},
		"reset": {faults.Fault{Kind: faults.Reset}, func(_ *http.Response, _ string, err error) bool { return errors.Is(err, syscall.ECONNRESET) }},
		"truncate": {faults.Fault{Kind: faults.Truncate}, func(_ *http.Response, got string, err error) bool {
			return errors.Is(err, io.ErrUnexpectedEOF) && got == body[:len(body)/2]
		}},
		"malformed": {faults.Fault{Kind: faults.Malformed}, func(r *http.Response, got string, err error) bool {
			return err == nil && r.StatusCode == 200 && r.Header.Get("Content-Type") == "application/json" && !json.Valid([]byte(got))
		}},
		"content type": {faults.Fault{Kind: faults.ContentType}, func(r *http.Response, got string, err error) bool {
			return err == nil && r.StatusCode == 200 && strings.HasPrefix(r.Header.Get("Content-Type"), "text/html") && strings.HasPrefix(got, "<")
		}},
	} {
		b.set(t, test.fault)
		if resp, got, err := b.get(t, "/quote"); !test.seen(resp, got, err) {
			t.Errorf("%s: %+v %q %v", name, resp, got, err)
		}
	}
}

func TestLatencyIsAsLongAsItSays(t *testing.T) {
	b := newBroken(t)
	synctest.Test(t, func(t *testing.T) {
		b := broken{Faults: faults.New(1)}
		b.handler = b.Wrap(faults.API{Endpoints: func(*http.Request, []byte) []string { return []string{"x"} }}, http.NotFoundHandler())
		if err := b.Set(faults.Fault{Kind: faults.Latency, LatencyMs: 700}, faults.Fault{Kind: faults.Latency, LatencyMs: 50}); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		b.handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
		if took := time.Since(start); took != 750*time.Millisecond {
			t.Errorf("took %v, want both latencies, 750ms", took)
		}
	})
	_ = b
}

func TestHangEndsWhenTheClientGoes(t *testing.T) {
	b := newBroken(t)
	b.set(t, faults.Fault{Kind: faults.Hang})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for b.List()[0].Struck == 0 { // until the server hangs
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	req, _ := http.NewRequestWithContext(ctx, "POST", b.url+"/swap", strings.NewReader(`{"a":1}`))
	if _, err := http.DefaultClient.Do(req); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	// The server's side must end too: its count comes when the handler is done.
	for deadline := time.Now().Add(20 * time.Second); b.Calls().Total("/swap") == 0; {
		if time.Now().After(deadline) {
			t.Fatal("the handler hangs on without a client")
		}
		time.Sleep(time.Millisecond)
	}
}

func TestHangEndsWhenTheFaultIsCleared(t *testing.T) {
	for name, end := range map[string]func(broken) error{
		"cleared": func(b broken) error { b.Clear(); return nil },
		"closed":  func(b broken) error { b.Close(); return nil },
		"changed": func(b broken) error { return b.Set() },
	} {
		b := newBroken(t)
		b.set(t, faults.Fault{Kind: faults.Hang})
		done := make(chan error, 1)
		go func() {
			_, _, err := b.get(t, "/quote")
			done <- err
		}()
		for b.List()[0].Struck == 0 {
			time.Sleep(time.Millisecond)
		}
		if err := end(b); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v, want a broken connection", name, err)
		}
		if _, got, err := b.get(t, "/quote"); err != nil || got != body {
			t.Errorf("%s: afterwards %q, %v", name, got, err)
		}
	}
}

func TestCountEndsAFault(t *testing.T) {
	b := newBroken(t)
	b.set(t, faults.Fault{Endpoint: "/quote", Kind: faults.Status, Status: 503, Count: 2})
	var got []int
	for range 4 {
		resp, _, err := b.get(t, "/quote")
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, resp.StatusCode)
	}
	if !slices.Equal(got, []int{503, 503, 200, 200}) {
		t.Errorf("statuses %v", got)
	}
	if calls := b.Calls(); calls["/quote"][503] != 2 || calls["/quote"][200] != 2 || calls.Total("/quote") != 4 {
		t.Errorf("calls %v", calls)
	}
}

func TestProbabilityStrikesTheSameCallsForTheSameSeed(t *testing.T) {
	pattern := func() (struck []bool) {
		b := newBroken(t)
		b.set(t, faults.Fault{Kind: faults.Status, Status: 500, Probability: 0.3})
		for range 200 {
			w := httptest.NewRecorder()
			b.handler.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
			struck = append(struck, w.Code == 500)
		}
		return struck
	}
	first, second := pattern(), pattern()
	if !slices.Equal(first, second) {
		t.Error("two runs differ")
	}
	n := 0
	for _, s := range first {
		if s {
			n++
		}
	}
	if n < 40 || n > 80 {
		t.Errorf("%d of 200 calls were struck, want about 60", n)
	}
}

func TestABatchIsStruckForAnyOfItsCalls(t *testing.T) {
	b := newBroken(t)
	b.set(t, faults.Fault{Endpoint: "rpc/getSlot", Kind: faults.Status, Status: 500})
	for path, want := range map[string]int{"rpc/getHealth,rpc/getSlot": 500, "rpc/getHealth": 200} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "/", nil)
		r.URL.Path = path
		if b.handler.ServeHTTP(w, r); w.Code != want {
			t.Errorf("%s: %d, want %d", path, w.Code, want)
		}
	}
	if calls := b.Calls(); calls.Total("rpc/getHealth") != 2 || calls.Total("rpc/getSlot") != 1 {
		t.Errorf("calls %v", calls)
	}
}

func TestTheBodyReachesTheHandlerWhole(t *testing.T) {
	b := newBroken(t)
	for _, n := range []int{0, 10, 3 << 20} {
		w := httptest.NewRecorder()
		sent := strings.Repeat("x", n)
		if b.handler.ServeHTTP(w, httptest.NewRequest("POST", "/", strings.NewReader(sent))); w.Header().Get("X-Got") != sent {
			t.Errorf("of %d bytes %d arrived", n, len(w.Header().Get("X-Got")))
		}
	}
}

func TestWrongFaultsAreRefused(t *testing.T) {
	f := faults.New(1)
	if err := f.Set(faults.Fault{Kind: faults.Reset}); err != nil {
		t.Fatal(err)
	}
	for name, fault := range map[string]faults.Fault{
		"unknown kind":      {Kind: "explode"},
		"no status":         {Kind: faults.Status},
		"good status":       {Kind: faults.Status, Status: 200},
		"no latency":        {Kind: faults.Latency},
		"probability":       {Kind: faults.Reset, Probability: 1.5},
		"negative count":    {Kind: faults.Reset, Count: -1},
		"negative latency":  {Kind: faults.Latency, LatencyMs: -1},
		"small probability": {Kind: faults.Reset, Probability: -0.1},
	} {
		if f.Set(fault) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if got := f.List(); len(got) != 1 || got[0].Kind != faults.Reset {
		t.Errorf("refused faults changed those in force: %+v", got)
	}
}

func TestAdminEndpoints(t *testing.T) {
	b := newBroken(t)
	do := func(method, path, sent string) (int, string) {
		t.Helper()
		req, _ := http.NewRequest(method, b.url+path, strings.NewReader(sent))
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		got, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, strings.TrimSpace(string(got))
	}
	for _, step := range []struct {
		method, path, sent string
		status             int
		want               string
	}{
		{"GET", "/admin/faults", ``, 200, `[]`},
		{"PUT", "/admin/faults", `[{"endpoint":"/quote","kind":"status","status":503,"count":1}]`, 200, `[{"endpoint":"/quote","kind":"status","count":1,"status":503,"struck":0}]`},
		{"GET", "/quote", ``, 503, `{"refused":true}`},
		{"GET", "/quote", ``, 200, body},
		{"GET", "/admin/faults", ``, 200, `[{"endpoint":"/quote","kind":"status","count":1,"status":503,"struck":1}]`},
		{"GET", "/admin/calls", ``, 200, `{"/quote":{"200":1,"503":1}}`},
		{"DELETE", "/admin/calls", ``, 200, `{}`},
		{"DELETE", "/admin/faults", ``, 200, `[]`},
		{"PUT", "/admin/faults", `[{"kind":"explode"}]`, 400, `{"error":"a JSON array of faults is wanted: fault 0: kind \"explode\" is none of [latency status hang reset truncate malformed content-type]"}`},
		{"PUT", "/admin/faults", `[{"kind":"reset","when":"now"}]`, 400, `{"error":"a JSON array of faults is wanted: json: unknown field \"when\""}`},
		{"PUT", "/admin/faults", `nonsense`, 400, `{"error":"a JSON array of faults is wanted: invalid character 'o' in literal null (expecting 'u')"}`},
	} {
		if status, got := do(step.method, step.path, step.sent); status != step.status || got != step.want {
			t.Errorf("%s %s %s: %d %s, want %d %s", step.method, step.path, step.sent, status, got, step.status, step.want)
		}
	}
}

func TestConcurrentCallsAndChanges(t *testing.T) {
	b := newBroken(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 50 {
				if i == 0 {
					b.Set(faults.Fault{Kind: faults.Status, Status: 500, Probability: 0.5}, faults.Fault{Kind: faults.Hang, Probability: 0.1})
					continue
				}
				w := httptest.NewRecorder()
				func() {
					defer func() { recover() }() // a hang ends in an abort
					b.handler.ServeHTTP(w, httptest.NewRequest("GET", "/quote", nil))
				}()
			}
			if i == 0 {
				b.Close()
			}
		})
	}
	wg.Wait()
	if got := b.Calls().Total("/quote"); got != 350 {
		t.Errorf("%d calls were counted, want 350", got)
	}
}
