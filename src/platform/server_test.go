package platform

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

type running struct {
	api, metrics string
	logs         *lockedBuffer
	cancel       func()
	done         <-chan error
}

// serve runs s on real sockets.
func serve(t *testing.T, s Service) *running {
	t.Helper()
	r := &running{logs: new(lockedBuffer)}
	p := NewProcess("test", slog.New(slog.NewJSONHandler(r.logs, nil)))
	addresses := map[string]*string{"api": &r.api, "metrics": &r.metrics}
	listeners := map[string]net.Listener{}
	for name, address := range addresses {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listeners[name], *address = l, "http://"+l.Addr().String()
	}
	p.Listen = func(name string) (net.Listener, error) { return listeners[name], nil }
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- p.Serve(ctx, ServerConfig{ListenAddress: "api", MetricsAddress: "metrics", DrainTimeout: 10e9}, s)
		close(done)
	}()
	r.cancel, r.done = cancel, done
	t.Cleanup(func() { cancel(); <-done })
	return r
}

func get(t *testing.T, url string, header ...string) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body), resp.Header
}

func TestReadinessNamesWhatIsMissing(t *testing.T) {
	fine := func(context.Context) error { return nil }
	broken := func(context.Context) error { return errors.New("no route to it") }
	for _, tt := range []struct {
		name   string
		checks []Check
		status int
		body   string
	}{
		{"nothing to check", nil, 200, `{"status":"ready","checks":{}}`},
		{"all fine", []Check{{"rpc", true, fine}}, 200, `{"status":"ready","checks":{"rpc":{"ok":true,"required":true}}}`},
		{"optional missing", []Check{{"rpc", true, fine}, {"redis", false, broken}}, 200,
			`{"status":"degraded","checks":{"redis":{"ok":false,"required":false,"error":"no route to it"},"rpc":{"ok":true,"required":true}}}`},
		{"required missing", []Check{{"redis", false, broken}, {"rpc", true, broken}}, 503,
			`{"status":"not ready","checks":{"redis":{"ok":false,"required":false,"error":"no route to it"},"rpc":{"ok":false,"required":true,"error":"no route to it"}}}`},
		{"a probe that hangs", []Check{{"rpc", true, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }}}, 503,
			`{"status":"not ready","checks":{"rpc":{"ok":false,"required":true,"error":"context deadline exceeded"}}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := serve(t, Service{Handler: http.NotFoundHandler(), Checks: tt.checks})
			status, body, header := get(t, r.api+"/ready")
			if status != tt.status || strings.TrimSpace(body) != tt.body || header.Get("Content-Type") != "application/json" {
				t.Errorf("got %d %s, want %d %s", status, body, tt.status, tt.body)
			}
			if status, _, _ := get(t, r.api+"/health"); status != 200 {
				t.Errorf("/health is %d: a missing dependency must not restart the process", status)
			}
		})
	}
}

func TestRequestIDIsTheCallersIfItIsSafe(t *testing.T) {
	r := serve(t, Service{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, RequestID(r.Context())) })})
	for _, tt := range []struct {
		sent string
		kept bool
	}{
		{"", false}, {"abc-DEF_1.2", true}, {strings.Repeat("a", 64), true}, {strings.Repeat("a", 65), false},
		{"a b", false}, {`a"b`, false}, {"a/b", false}, {"ä", false},
	} {
		_, body, header := get(t, r.api, RequestIDHeader, tt.sent)
		if header.Get(RequestIDHeader) != body || body == "" || (body == tt.sent) != tt.kept {
			t.Errorf("sent %q: handler saw %q, the answer says %q", tt.sent, body, header.Get(RequestIDHeader))
		}
	}
	if id := RequestID(t.Context()); id != "" {
		t.Errorf("outside a request: %q", id)
	}
}

func TestPanicBecomes500OrBreaksOffWhatHasBegun(t *testing.T) {
	mux := http.NewServeMux()
	mux.Handle("/before", Route("before", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("boom") })))
	mux.Handle("/during", Route("during", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "half"); panic("boom") })))
	mux.Handle("/abort", Route("abort", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })))
	r := serve(t, Service{Handler: mux})
	status, body, header := get(t, r.api+"/before")
	var e struct{ Error, ErrorCode string }
	if err := json.Unmarshal([]byte(body), &e); err != nil || status != 500 || e.ErrorCode != "INTERNAL_ERROR" || strings.Contains(body, "boom") {
		t.Errorf("got %d %s", status, body)
	}
	if logs := r.logs.String(); !strings.Contains(logs, "boom") || !strings.Contains(logs, header.Get(RequestIDHeader)) {
		t.Errorf("the log does not say what happened: %s", logs)
	}
	for _, path := range []string{"/during", "/abort"} {
		resp, err := http.Get(r.api + path)
		if err == nil {
			_, err = io.ReadAll(resp.Body)
			resp.Body.Close()
		}
		if err == nil {
			t.Errorf("%s ended cleanly", path)
		}
	}
	_, metrics, _ := get(t, r.metrics+"/metrics")
	for _, want := range []string{
		`jupiter_api_requests_total{method="GET",route="before",status="500"} 1`,
		`jupiter_api_errors_total{method="GET",route="before",status="500"} 1`,
		`jupiter_api_errors_total{method="GET",route="during",status="200"}`,
		`jupiter_api_requests_total{method="GET",route="abort",status="200"}`,
		`jupiter_api_in_flight_requests 0`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
}

func TestMetricsCountRoutesAndLeaveProbesOut(t *testing.T) {
	mux := http.NewServeMux()
	mux.Handle("/quote", Route("quote", http.NotFoundHandler()))
	r := serve(t, Service{Handler: mux})
	get(t, r.api+"/quote?x=1")
	get(t, r.api+"/made-up/by/caller")
	get(t, r.api+"/health")
	get(t, r.api+"/ready")
	_, metrics, _ := get(t, r.metrics+"/metrics")
	var got []string
	for line := range strings.Lines(metrics) {
		if strings.HasPrefix(line, "jupiter_api_requests_total") || strings.HasPrefix(line, "jupiter_api_latency_seconds_count") {
			got = append(got, strings.TrimSpace(line))
		}
	}
	want := []string{
		`jupiter_api_latency_seconds_count{method="GET",route="quote"} 1`,
		`jupiter_api_latency_seconds_count{method="GET",route="unmatched"} 1`,
		`jupiter_api_requests_total{method="GET",route="quote",status="404"} 1`,
		`jupiter_api_requests_total{method="GET",route="unmatched",status="404"} 1`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if n := strings.Count(r.logs.String(), `"msg":"request"`); n != 2 {
		t.Errorf("%d lines in the access log, want 2", n)
	}
	if status, _, _ := get(t, r.api+"/metrics"); status != 404 {
		t.Errorf("metrics are public: %d", status)
	}
}

func TestBackgroundWorkThatEndsStopsTheProcess(t *testing.T) {
	other := make(chan struct{})
	r := serve(t, Service{Handler: http.NotFoundHandler(), Background: []func(context.Context) error{
		func(ctx context.Context) error { <-ctx.Done(); close(other); return ctx.Err() },
		func(context.Context) error { return errors.New("lost its subscription") },
	}})
	if err := <-r.done; err == nil || !strings.Contains(err.Error(), "lost its subscription") {
		t.Errorf("got %v", err)
	}
	<-other
}

func TestDrainFinishesRequestsOfBothProtocols(t *testing.T) {
	for _, version := range []string{"HTTP/1.1", "HTTP/2"} {
		t.Run(version, func(t *testing.T) {
			entered, release, background := make(chan struct{}), make(chan struct{}), make(chan struct{})
			r := serve(t, Service{
				Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					close(entered)
					<-release
					select {
					case <-background:
						t.Error("background work ended before the last request")
					default:
					}
					io.WriteString(w, r.Proto)
				}),
				Background: []func(context.Context) error{func(ctx context.Context) error { <-ctx.Done(); close(background); return nil }},
			})
			protocols := new(http.Protocols)
			protocols.SetHTTP1(version == "HTTP/1.1")
			protocols.SetUnencryptedHTTP2(version == "HTTP/2")
			client := http.Client{Transport: &http.Transport{Protocols: protocols}}
			answer := make(chan string, 1)
			go func() {
				resp, err := client.Get(r.api)
				if err != nil {
					answer <- err.Error()
					return
				}
				defer resp.Body.Close()
				body, _ := io.ReadAll(resp.Body)
				answer <- string(body)
			}()
			<-entered
			r.cancel()
			for { // until the listener is closed
				c, err := net.Dial("tcp", strings.TrimPrefix(r.api, "http://"))
				if err != nil {
					break
				}
				c.Close()
			}
			close(release)
			if got := <-answer; !strings.HasPrefix(got, version) {
				t.Errorf("the request in flight got %q", got)
			}
			if err := <-r.done; err != nil {
				t.Errorf("the drain failed: %v", err)
			}
		})
	}
}

func TestHeadersHaveABound(t *testing.T) {
	r := serve(t, Service{Handler: http.NotFoundHandler()})
	if status, _, _ := get(t, r.api, "X-Large", strings.Repeat("x", 64<<10)); status != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("status %d", status)
	}
}
