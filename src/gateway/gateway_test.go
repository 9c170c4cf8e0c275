package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"jupiter-dex-integration/src/platform"
)

const (
	wsol      = "So11111111111111111111111111111111111111112"
	usdc      = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
	goodQuote = "/quote?inputMint=" + wsol + "&outputMint=" + usdc + "&amount=1000000000"
	goodSwap  = `{"userPublicKey":"` + wsol + `","quoteResponse":{"inAmount":"1"}}`
)

// running is a gateway on real sockets, started as its binary starts it.
type running struct {
	api, metrics string
	logs         *lockedBuffer
	stop         func() error // ends it as SIGTERM does; waits
}

// start runs a gateway with an environment of lines NAME=value.
func start(t testing.TB, environ ...string) *running {
	t.Helper()
	cfg, err := platform.Load[Config](append([]string{"LISTEN_ADDRESS=api", "METRICS_ADDRESS=metrics", "DRAIN_TIMEOUT=20s"}, environ...))
	if err != nil {
		t.Fatal(err)
	}
	r := &running{logs: new(lockedBuffer)}
	var logs io.Writer = r.logs
	if _, ok := t.(*testing.B); ok { // a line costs a system call there as it does in a container
		file, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		lines := platform.NewLogWriter(file)
		t.Cleanup(func() { lines.Close(); file.Close() })
		logs = lines
	}
	p := platform.NewProcess("api-gateway", slog.New(slog.NewJSONHandler(logs, nil)))
	listeners := map[string]net.Listener{}
	for _, name := range []string{"api", "metrics"} {
		if listeners[name], err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
	}
	p.Listen = func(name string) (net.Listener, error) { return listeners[name], nil }
	r.api = "http://" + listeners["api"].Addr().String()
	r.metrics = "http://" + listeners["metrics"].Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, cfg, p) }()
	r.stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("the gateway did not end cleanly: %v", err)
		}
	})
	return r
}

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

// seen is a request as an upstream got it.
type seen struct {
	Method, Path, Query string
	Header              http.Header
	Body                string
}

// fakeUpstream is an upstream that keeps what it is asked and answers with a handler.
type fakeUpstream struct {
	*httptest.Server
	mu   sync.Mutex
	seen []seen
}

func newFake(t *testing.T, h http.HandlerFunc) *fakeUpstream {
	t.Helper()
	s := new(fakeUpstream)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Request-Id") == "" { // the gateway's own call for the list of DEXes, which no request waits for
			http.NotFound(w, r)
			return
		}
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		s.seen = append(s.seen, seen{r.Method, r.URL.Path, r.URL.RawQuery, r.Header, string(body)})
		s.mu.Unlock()
		h(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *fakeUpstream) requests() []seen {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]seen(nil), s.seen...)
}

func (s *fakeUpstream) last(t *testing.T) seen {
	t.Helper()
	all := s.requests()
	if len(all) == 0 {
		t.Fatal("the upstream was not asked")
	}
	return all[len(all)-1]
}

// says answers every request alike.
func says(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

type reply struct {
	status int
	header http.Header
	body   string
}

// do sends a request; header is name, value, name, value.
func do(t testing.TB, method, url, body string, header ...string) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, string(text)}
}

func get(t testing.TB, url string, header ...string) reply {
	t.Helper()
	return do(t, http.MethodGet, url, "", header...)
}

// wantError checks status and code of one of our own errors.
func wantError(t *testing.T, r reply, status int, code string) {
	t.Helper()
	var e struct{ Error, ErrorCode string }
	if err := json.Unmarshal([]byte(r.body), &e); err != nil {
		t.Fatalf("status %d, body %q: %v", r.status, r.body, err)
	}
	if r.status != status || e.ErrorCode != code || e.Error == "" {
		t.Errorf("got %d %s, want %d with code %s", r.status, r.body, status, code)
	}
}

// fixtures returns recorded data by file name; it lives outside the repository.
func fixtures(t *testing.T, pattern string) map[string][]byte {
	t.Helper()
	dir := os.Getenv("FIXTURES_DIR")
	if dir == "" {
		dir = "../../../shared/fixtures"
	}
	paths, err := filepath.Glob(filepath.Join(dir, "jupiter", pattern))
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) == 0 {
		if os.Getenv("REQUIRE_FIXTURES") == "1" {
			t.Fatalf("no recorded data in %s", dir)
		}
		t.Skip("recorded data not found: set FIXTURES_DIR")
	}
	files := map[string][]byte{}
	for _, path := range paths {
		if files[filepath.Base(path)], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

func TestFourOperationsAreServedUnderEveryPrefix(t *testing.T) {
	jup := newFake(t, func(w http.ResponseWriter, r *http.Request) { says(200, `{"path":"`+r.URL.Path+`"}`)(w, r) })
	gw := start(t, "JUPITER_API_URL="+jup.URL+"/swap/v1")
	for _, prefix := range []string{"", "/v6", "/swap/v1"} {
		for _, slash := range []string{"", "/"} {
			for _, op := range []struct{ method, path, query, body string }{
				{"GET", "/quote", strings.TrimPrefix(goodQuote, "/quote"), ""},
				{"POST", "/swap", "", goodSwap},
				{"POST", "/swap-instructions", "", goodSwap},
				{"GET", "/program-id-to-label", "", ""},
			} {
				url := gw.api + prefix + op.path + slash + op.query
				r := do(t, op.method, url, op.body)
				if want := `{"path":"/swap/v1` + op.path + `"}`; r.status != 200 || r.body != want {
					t.Errorf("%s %s: %d %s, want %s", op.method, url, r.status, r.body, want)
				}
			}
		}
	}
}

func TestPassThroughReachesJupitersOwnPaths(t *testing.T) {
	jup := newFake(t, says(200, `{}`))
	gw := start(t, "JUPITER_API_URL="+jup.URL+"/swap/v1")
	for _, tt := range []struct{ method, target, body string }{
		{"GET", "/swap/v2/order?inputMint=a&amount=1", ""},
		{"GET", "/swap/v2/build?mode=fast", ""},
		{"GET", "/swap/v2/quote?x=%20+%2B", ""},
		{"POST", "/swap/v2/execute", `{"signedTransaction":"AA=="}`},
		{"POST", "/swap/v2/swap", `{"taker":"x"}`},
		{"POST", "/swap/v2/swap-instructions", `{}`},
		{"GET", "/tokens/v2/search?query=a,b", ""},
		{"GET", "/tokens/v2/toporganicscore/5m?limit=1", ""},
		{"GET", "/tokens/v2/a%20b", ""},
		{"GET", "/price/v3?ids=" + wsol, ""},
	} {
		r := do(t, tt.method, gw.api+tt.target, tt.body)
		got := jup.last(t)
		path, query, _ := strings.Cut(tt.target, "?")
		path = strings.ReplaceAll(path, "%20", " ")
		if r.status != 200 || got.Method != tt.method || got.Path != path || got.Query != query || got.Body != tt.body {
			t.Errorf("%s %s: status %d, upstream saw %+v", tt.method, tt.target, r.status, got)
		}
	}
}

func TestUpstreamStatusHeaderAndBodyAreKept(t *testing.T) {
	var answer http.HandlerFunc
	jup := newFake(t, func(w http.ResponseWriter, r *http.Request) { answer(w, r) })
	gw := start(t, "JUPITER_API_URL="+jup.URL+"/swap/v1", "CIRCUIT_BREAKER_ENABLED=false", "QUOTE_CACHE_TTL=0s")
	for name, file := range fixtures(t, "errors/*.json") {
		var recorded struct {
			Status int
			Body   json.RawMessage
		}
		if err := json.Unmarshal(file, &recorded); err != nil {
			t.Fatal(err)
		}
		answer = says(recorded.Status, string(recorded.Body), "X-Ratelimit-Remaining", "-1", "X-Api-Gateway-Request-Id", "abc")
		r := get(t, gw.api+goodQuote)
		if r.status != recorded.Status || r.body != string(recorded.Body) {
			t.Errorf("%s: got %d %s", name, r.status, r.body)
		}
		for field, want := range map[string]string{"X-Ratelimit-Remaining": "-1", "X-Api-Gateway-Request-Id": "abc", "Content-Type": "application/json"} {
			if got := r.header.Get(field); got != want {
				t.Errorf("%s: header %s is %q, want %q", name, field, got, want)
			}
		}
	}
}

func TestRecordedQuotesComeAndGoByteForByte(t *testing.T) {
	var quote []byte
	jup := newFake(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Write(quote)
	})
	gw := start(t, "JUPITER_API_URL="+jup.URL+"/swap/v1")
	files := fixtures(t, "quotes/*.json")
	if len(files) < 15 {
		t.Fatalf("only %d recorded quotes", len(files))
	}
	for name, file := range files {
		quote = file
		r := get(t, gw.api+goodQuote+"&fixture="+name)
		if r.status != 200 || r.body != string(file) {
			t.Errorf("%s: the quote came out different", name)
		}
		body := `{"userPublicKey":"` + wsol + `", "quoteResponse":` + r.body + `,"futureField":1.10}`
		if do(t, "POST", gw.api+"/swap", body); jup.last(t).Body != body {
			t.Errorf("%s: the swap request went in different", name)
		}
	}
}

func itoa(n int) string { b, _ := json.Marshal(n); return string(b) }

// Every recorded request of the official client reaches Jupiter as sent, but for lists, keys and addresses.
func TestRecordedClientRequestsReachJupiter(t *testing.T) {
	jup := newFake(t, says(200, `{}`))
	gw := start(t, "JUPITER_API_URL="+jup.URL+"/swap/v1", "JUPITER_API_KEY=operator", "QUOTE_CACHE_TTL=0s")
	for name, file := range fixtures(t, "client-requests/*.json") {
		var recorded struct {
			Calls []struct {
				Call string
				Sent *struct {
					Method, URL string
					Headers     map[string]string
					Body        json.RawMessage
				}
			}
		}
		if err := json.Unmarshal(file, &recorded); err != nil {
			t.Fatal(err)
		}
		for _, c := range recorded.Calls {
			if c.Sent == nil { // the client fails before it sends
				continue
			}
			var header []string
			for k, v := range c.Sent.Headers {
				if k != "content-length" && k != "host" {
					header = append(header, k, v)
				}
			}
			body := string(c.Sent.Body)
			r := do(t, c.Sent.Method, gw.api+c.Sent.URL, body, header...)
			got := jup.last(t)
			if r.status != 200 || got.Body != body {
				t.Errorf("%s, %s: status %d %s", name, c.Call, r.status, r.body)
			}
			if key := got.Header.Get("X-Api-Key"); key != "operator" {
				t.Errorf("%s, %s: Jupiter got the key %q", name, c.Call, key)
			}
			if strings.Contains(c.Sent.URL, "dexes=") && !strings.Contains(got.Query, "dexes=Meteora+DLMM%2COrca+V2&") {
				t.Errorf("%s, %s: Jupiter got the list as %s", name, c.Call, got.Query)
			}
		}
	}
}

func TestListsAreNormalisedAndUnknownParametersPass(t *testing.T) {
	jup := newFake(t, says(200, `{}`))
	gw := start(t, "JUPITER_API_URL="+jup.URL+"/swap/v1")
	for _, tt := range []struct{ name, sent, want string }{
		{"repeated", "dexes=Orca%20V2&dexes=Meteora+DLMM", "dexes=Meteora+DLMM%2COrca+V2&"},
		{"comma", "dexes=Meteora+DLMM,Orca%20V2", "dexes=Meteora+DLMM%2COrca+V2&"},
		{"both, doubled, spaced", "dexes=B,A&dexes=A,%20C", "dexes=A%2CB%2CC&"},
		{"misspelt", "excludedDexes=B&excludeDexes=A", "excludeDexes=A%2CB&"},
		{"empty", "dexes=&excludeDexes=A", "excludeDexes=A&"},
		{"unknown parameter", "allowDynamicSwap=false", "allowDynamicSwap=false&"},
	} {
		if r := get(t, gw.api+goodQuote+"&"+tt.sent); r.status != 200 {
			t.Errorf("%s: %d %s", tt.name, r.status, r.body)
			continue
		}
		for _, want := range []string{tt.want, "amount=1000000000&", "inputMint=" + wsol + "&", "outputMint=" + usdc} {
			if got := jup.last(t).Query; !strings.Contains(got, want) {
				t.Errorf("%s: Jupiter got %s, want %s", tt.name, got, want)
			}
		}
	}
}

func TestBadRequestsAreRefusedBeforeJupiterIsAsked(t *testing.T) {
	jup := newFake(t, says(200, `{}`))
	gw := start(t, "JUPITER_API_URL="+jup.URL+"/swap/v1")
	quote := func(in, out, more string) string { return "/quote?inputMint=" + in + "&outputMint=" + out + more }
	for _, tt := range []struct {
		name, method, target, body string
		status                     int
		code, names                string
	}{
		{"no mint", "GET", "/quote?outputMint=" + usdc + "&amount=1", "", 400, "INVALID_REQUEST", "inputMint"},
		{"no base58", "GET", quote("0x0", usdc, "&amount=1"), "", 400, "INVALID_REQUEST", "inputMint"},
		{"31 bytes", "GET", quote(wsol, wsol[:len(wsol)-2], "&amount=1"), "", 400, "INVALID_REQUEST", "outputMint"},
		{"amount missing", "GET", quote(wsol, usdc, ""), "", 400, "INVALID_REQUEST", "amount"},
		{"amount 2^64", "GET", quote(wsol, usdc, "&amount=18446744073709551616"), "", 400, "INVALID_REQUEST", "amount"},
		{"amount a fraction", "GET", quote(wsol, usdc, "&amount=1.5"), "", 400, "INVALID_REQUEST", "amount"},
		{"amount zero", "GET", quote(wsol, usdc, "&amount=0"), "", 400, "INVALID_REQUEST", "amount"},
		{"slippage", "GET", quote(wsol, usdc, "&amount=1&slippageBps=10001"), "", 400, "INVALID_REQUEST", "slippageBps"},
		{"mode", "GET", quote(wsol, usdc, "&amount=1&swapMode=exactIn"), "", 400, "INVALID_REQUEST", "swapMode"},
		{"both lists", "GET", quote(wsol, usdc, "&amount=1&dexes=A&excludedDexes=B"), "", 400, "", "exclude dexes"},
		{"circular", "GET", quote(wsol, wsol, "&amount=1"), "", 400, "CIRCULAR_ARBITRAGE_IS_DISABLED", ""},
		{"bad escape", "GET", quote(wsol, usdc, "&amount=1&x=%zz"), "", 400, "INVALID_REQUEST", "query"},
		{"swap: empty", "POST", "/swap", "", 400, "INVALID_REQUEST", "body"},
		{"swap: cut off", "POST", "/swap", goodSwap[:20], 400, "INVALID_REQUEST", "body"},
		{"swap: array", "POST", "/swap", "[]", 400, "INVALID_REQUEST", "body"},
		{"swap: no quote", "POST", "/swap-instructions", `{"userPublicKey":"` + wsol + `"}`, 400, "INVALID_REQUEST", "quoteResponse"},
		{"swap: quote a string", "POST", "/swap", `{"userPublicKey":"` + wsol + `","quoteResponse":"{}"}`, 400, "INVALID_REQUEST", "quoteResponse"},
		{"swap: no user", "POST", "/swap", `{"quoteResponse":{}}`, 400, "INVALID_REQUEST", "userPublicKey"},
		{"swap: bad user", "POST", "/swap", `{"userPublicKey":"me","quoteResponse":{}}`, 400, "INVALID_REQUEST", "userPublicKey"},
		{"swap: deep", "POST", "/swap", strings.Repeat("[", 40) + strings.Repeat("]", 40), 400, "INVALID_REQUEST", "levels"},
		{"swap: large", "POST", "/swap", `{"a":"` + strings.Repeat("x", maxBody) + `"}`, 413, "INVALID_REQUEST", "bytes"},
		{"v2: large", "POST", "/swap/v2/execute", strings.Repeat("x", maxBody+1), 413, "INVALID_REQUEST", "bytes"},
		{"no prices", "GET", "/price/v3?ids=,", "", 400, "INVALID_REQUEST", "ids"},
		{"51 prices", "GET", "/price/v3?ids=" + strings.Repeat("a,", 51), "", 400, "INVALID_REQUEST", "ids"},
		{"unknown path", "GET", "/quotes", "", 404, "NOT_FOUND", "/quotes"},
		{"outside", "GET", "/tokens/v2/../../admin", "", 404, "NOT_FOUND", "/admin"},
		{"outside, escaped", "GET", "/tokens/v2/%2e%2e/%2e%2e/admin", "", 404, "NOT_FOUND", "/admin"},
		{"wrong method", "POST", "/quote", "", 405, "METHOD_NOT_ALLOWED", "GET"},
		{"wrong method", "GET", "/v6/swap", "", 405, "METHOD_NOT_ALLOWED", "POST"},
	} {
		r := do(t, tt.method, gw.api+tt.target, tt.body)
		wantError(t, r, tt.status, tt.code)
		if !strings.Contains(r.body, tt.names) {
			t.Errorf("%s: %s does not name %q", tt.name, r.body, tt.names)
		}
	}
	if n := len(jup.requests()); n != 0 {
		t.Errorf("Jupiter was asked %d times", n)
	}
}

func TestGatewayErrorsHaveBothOfJupitersShapes(t *testing.T) {
	gw := start(t, "JUPITER_API_URL=http://127.0.0.1:1/swap/v1")
	r := get(t, gw.api+"/nowhere")
	var got map[string]any
	if err := json.Unmarshal([]byte(r.body), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"code": 404.0, "message": "no route matches /nowhere", "error": "no route matches /nowhere", "errorCode": "NOT_FOUND"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestOnlyNamedHeadersTravel(t *testing.T) {
	jup := newFake(t, says(200, `{}`, "Set-Cookie", "a=b", "Strict-Transport-Security", "max-age=1", "Connection", "X-Hop", "X-Hop", "1",
		"Access-Control-Allow-Origin", "https://jup.ag", "X-Request-Id", "theirs", "X-Other", "kept"))
	gw := start(t, "JUPITER_API_URL="+jup.URL+"/swap/v1", "RATE_LIMIT_ENABLED=false")
	r := get(t, gw.api+goodQuote, "X-Api-Key", "caller", "Cookie", "c=d", "Authorization", "Bearer x", "X-Forwarded-For", "10.0.0.1",
		"Forwarded", "for=10.0.0.1", "Origin", "https://app", "X-Request-Id", "call-1", "Accept", "application/json", "User-Agent", "bot/1")
	got := jup.last(t).Header
	delete(got, "Accept-Encoding")
	want := http.Header{"Accept": {"application/json"}, "User-Agent": {"bot/1"}, "X-Request-Id": {"call-1"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("upstream: %s", diff)
	}
	back := http.Header{}
	for name, values := range r.header {
		if name != "Date" {
			back[name] = values
		}
	}
	want = http.Header{"Content-Type": {"application/json"}, "Content-Length": {"2"}, "X-Other": {"kept"}, "X-Cache": {"miss"}, "X-Request-Id": {"call-1"},
		"Access-Control-Allow-Origin": {"*"}, "Access-Control-Expose-Headers": {"*"}}
	if diff := cmp.Diff(want, back); diff != "" {
		t.Errorf("caller: %s", diff)
	}
}

func TestUpstream429SaysWhenToComeBack(t *testing.T) {
	for _, tt := range []struct{ reset, want string }{
		{"", "1"},
		{itoa(int(time.Now().Unix()) + 3600), "3600"},
	} {
		jup := newFake(t, says(429, `{"code":429,"message":"[API Gateway] Too many requests"}`, "X-Ratelimit-Reset", tt.reset))
		gw := start(t, "JUPITER_API_URL="+jup.URL+"/swap/v1")
		r := get(t, gw.api+goodQuote)
		got := r.header.Get("Retry-After")
		if r.status != 429 || got != tt.want && !(tt.want == "3600" && strings.HasPrefix(got, "35")) {
			t.Errorf("reset %q: status %d, Retry-After %q", tt.reset, r.status, got)
		}
	}
}

func TestBrowsersMayCall(t *testing.T) {
	gw := start(t, "JUPITER_API_URL=http://127.0.0.1:1/swap/v1")
	r := do(t, "OPTIONS", gw.api+"/v6/swap", "", "Origin", "https://app", "Access-Control-Request-Method", "POST")
	if r.status != 204 || r.header.Get("Access-Control-Allow-Origin") != "*" || !strings.Contains(r.header.Get("Access-Control-Allow-Methods"), "POST") ||
		!strings.Contains(r.header.Get("Access-Control-Allow-Headers"), "X-Api-Key") {
		t.Errorf("preflight: %d %v", r.status, r.header)
	}
	if r := get(t, gw.api+"/quote"); r.header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("an error without CORS header hides its code from browsers: %v", r.header)
	}
	closed := start(t, "JUPITER_API_URL=http://127.0.0.1:1/swap/v1", "CORS_ALLOW_ORIGIN=none")
	if r := get(t, closed.api+"/quote"); r.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("CORS cannot be turned off: %v", r.header)
	}
}

func TestRotatedKeyIsUsedWithoutRestart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	write := func(key string) {
		if err := os.WriteFile(file, []byte(key+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("old")
	jup := newFake(t, says(200, `{}`))
	gw := start(t, "JUPITER_API_URL="+jup.URL+"/swap/v1", "JUPITER_API_KEY_FILE="+file)
	get(t, gw.api+goodQuote)
	if key := jup.last(t).Header.Get("X-Api-Key"); key != "old" {
		t.Fatalf("key %q", key)
	}
	write("new")
	for deadline := time.Now().Add(10 * time.Second); jup.last(t).Header.Get("X-Api-Key") != "new"; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the new key was not used")
		}
		if r := get(t, gw.api+"/program-id-to-label"); r.status != 200 {
			t.Fatalf("status %d during the rotation", r.status)
		}
	}
	if strings.Contains(gw.logs.String(), "old") || strings.Contains(gw.logs.String(), "new") {
		t.Error("a key was logged")
	}
}

func TestOptimizerModeServesWhereJupiterIsNot(t *testing.T) {
	optimizer, oracle := newFake(t, says(200, `{"from":"optimizer"}`)), newFake(t, says(200, `{}`))
	gw := start(t, "NETWORK=devnet", "UPSTREAM_MODE=optimizer", "ROUTE_OPTIMIZER_URL="+optimizer.URL, "PRICE_ORACLE_URL="+oracle.URL,
		"JUPITER_API_URL=http://127.0.0.1:1", "JUPITER_API_KEY=operator")
	for _, r := range []reply{get(t, gw.api+"/swap/v1"+goodQuote), do(t, "POST", gw.api+"/v6/swap", goodSwap),
		do(t, "POST", gw.api+"/swap-instructions", goodSwap), get(t, gw.api+"/program-id-to-label")} {
		if r.status != 200 || r.body != `{"from":"optimizer"}` {
			t.Errorf("got %d %s", r.status, r.body)
		}
	}
	var paths []string
	for _, s := range optimizer.requests() {
		paths = append(paths, s.Path)
		if s.Header.Get("X-Api-Key") != "" {
			t.Error("the optimizer was given Jupiter's key")
		}
	}
	if diff := cmp.Diff([]string{"/quote", "/swap", "/swap-instructions", "/program-id-to-label"}, paths); diff != "" {
		t.Error(diff)
	}
	wantError(t, get(t, gw.api+"/swap/v2/order?amount=1"), 400, "NOT_SUPPORTED")
	wantError(t, get(t, gw.api+"/tokens/v2/recent"), 400, "NOT_SUPPORTED")
	if r := get(t, gw.api+"/price/v3?ids="+wsol); r.status != 200 || r.body != "{}" || len(oracle.requests()) != 1 {
		t.Errorf("price: %d %s", r.status, r.body)
	}
}

func TestConfigurationErrorsNameEveryVariable(t *testing.T) {
	_, err := platform.Load[Config]([]string{"NETWORK=moon", "UPSTREAM_MODE=optimizer", "CIRCUIT_BREAKER_FAILURE_THRESHOLD=0",
		"CIRCUIT_BREAKER_TIMEOUT=2m", "CIRCUIT_BREAKER_RESET_TIMEOUT=0s"})
	for _, name := range []string{"NETWORK", "ROUTE_OPTIMIZER_URL", "CIRCUIT_BREAKER_FAILURE_THRESHOLD", "CIRCUIT_BREAKER_TIMEOUT", "CIRCUIT_BREAKER_RESET_TIMEOUT"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v does not name %s", err, name)
		}
	}
	for variable, value := range map[string]string{"JUPITER_API_URL": "api.jup.ag", "PRICE_ORACLE_URL": "ftp://x", "REDIS_URL": "http://x"} {
		cfg, err := platform.Load[Config]([]string{variable + "=" + value})
		if err != nil {
			t.Fatal(err)
		}
		if err := Serve(t.Context(), cfg, platform.NewProcess("x", slog.New(slog.DiscardHandler))); err == nil || !strings.Contains(err.Error(), variable) {
			t.Errorf("%v does not name %s", err, variable)
		}
	}
}
