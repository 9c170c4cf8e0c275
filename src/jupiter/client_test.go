package jupiter

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	wsol = "So11111111111111111111111111111111111111112"
	usdc = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
)

// fixture returns recorded data, which lives outside the repository.
func fixture(t *testing.T, name string) []byte {
	t.Helper()
	dir := os.Getenv("FIXTURES_DIR")
	if dir == "" {
		dir = "../../../shared/fixtures"
	}
	data, err := os.ReadFile(filepath.Join(dir, "jupiter", name))
	if err != nil {
		if os.Getenv("REQUIRE_FIXTURES") == "1" {
			t.Fatal(err)
		}
		t.Skipf("recorded data not found (set FIXTURES_DIR): %v", err)
	}
	return data
}

func newTestClient(t *testing.T, h http.Handler, key func() string) *Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	c, err := NewClient(s.URL+"/swap/v1", key, NewTransport())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func answer(status int, body string, header ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	})
}

func TestStalePricesAreNoPrices(t *testing.T) {
	c := newTestClient(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(PriceStateHeader, "stale")
		w.Write([]byte(`{"` + wsol + `":{"usdPrice":150.5,"decimals":9}}`))
	}), nil)
	if got, err := c.Prices(t.Context(), []string{wsol}); !errors.Is(err, ErrStalePrices) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestClientFindsOperationsAndRoot(t *testing.T) {
	for base, want := range map[string][2]string{
		"https://api.jup.ag/swap/v1":  {"https://api.jup.ag/swap/v1/quote", "https://api.jup.ag/price/v3"},
		"https://api.jup.ag/swap/v1/": {"https://api.jup.ag/swap/v1/quote", "https://api.jup.ag/price/v3"},
		"https://api.jup.ag/swap/v2":  {"https://api.jup.ag/swap/v2/quote", "https://api.jup.ag/price/v3"},
		"http://metis:8080":           {"http://metis:8080/quote", "http://metis:8080/price/v3"},
		"http://proxy/jup/swap/v1":    {"http://proxy/jup/swap/v1/quote", "http://proxy/jup/price/v3"},
	} {
		c, err := NewClient(base, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		var got [2]string
		for i, path := range []string{"quote", "/price/v3"} {
			req, err := c.NewRequest(t.Context(), http.MethodGet, path, "", nil)
			if err != nil {
				t.Fatal(err)
			}
			got[i] = req.URL.String()
		}
		if got != want {
			t.Errorf("%s: got %v, want %v", base, got, want)
		}
	}
}

func TestNewClientRefusesWhatIsNoBaseURL(t *testing.T) {
	for _, base := range []string{"", "api.jup.ag/swap/v1", "ftp://api.jup.ag", "http://", "https://api.jup.ag/swap/v1?x=1", "https://api.jup.ag/a%2Fb", "https://api.jup.ag/#x", "http://a b"} {
		if _, err := NewClient(base, nil, nil); err == nil {
			t.Errorf("%q was accepted", base)
		}
	}
}

func TestClientSendsTheKeyOfTheMomentAndNoOther(t *testing.T) {
	var seen []string
	key := "first"
	c := newTestClient(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		seen = append(seen, strings.Join(r.Header.Values("X-Api-Key"), "+"))
	}), func() string { return key })
	for _, key = range []string{"first", "second", ""} {
		req, err := c.NewRequest(t.Context(), http.MethodGet, "quote", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Api-Key", "a caller's")
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	if diff := cmp.Diff([]string{"first", "second", ""}, seen); diff != "" {
		t.Error(diff)
	}
}

func TestClientAuthenticatesAsTheURLSays(t *testing.T) {
	var user, password string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { user, password, _ = r.BasicAuth() }))
	t.Cleanup(server.Close)
	c, err := NewClient(strings.Replace(server.URL, "://", "://me:word@", 1), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	req, err := c.NewRequest(t.Context(), http.MethodGet, "quote", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if user != "me" || password != "word" {
		t.Errorf("came as %q with %q", user, password)
	}
}

func TestClientFollowsNoRedirect(t *testing.T) {
	c := newTestClient(t, http.RedirectHandler("/elsewhere", http.StatusFound), func() string { return "secret" })
	req, err := c.NewRequest(t.Context(), http.MethodGet, "quote", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusFound {
		t.Errorf("status %d, want the redirect itself", resp.StatusCode)
	}
}

func TestPricesReadsRecordedAnswers(t *testing.T) {
	body := fixture(t, "price-v3/sol-wbtc-weth-440287447.json")
	var want map[string]Price
	if err := json.Unmarshal(body, &want); err != nil {
		t.Fatal(err)
	}
	if len(want) != 3 {
		t.Fatalf("the recording has %d prices, want 3", len(want))
	}
	var mints []string
	for mint := range want {
		mints = append(mints, mint)
	}
	c := newTestClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if got := r.URL.Path + " " + r.URL.Query().Get("ids"); got != "/price/v3 "+strings.Join(mints, ",") {
			t.Errorf("asked %q", got)
		}
		w.Write(body)
	}), nil)
	got, err := c.Prices(t.Context(), mints)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if p := got[wsol]; p.Decimals != 9 || p.BlockID == 0 || p.USDPrice == "" {
		t.Errorf("SOL decoded as %+v", p)
	}
}

func TestPricesLeavesOutMintsWithoutPrice(t *testing.T) {
	c := newTestClient(t, answer(200, `{"`+wsol+`":null,"`+usdc+`":{"usdPrice":1.0001,"blockId":7,"decimals":6}}`), nil)
	got, err := c.Prices(t.Context(), []string{wsol, usdc})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]Price{usdc: {USDPrice: "1.0001", BlockID: 7, Decimals: 6}}, got); diff != "" {
		t.Error(diff)
	}
}

func TestPricesRefusals(t *testing.T) {
	tests := map[string]struct {
		handler http.Handler
		want    Error
	}{
		"application error": {answer(400, `{"error":"No routes found","errorCode":"NO_ROUTES_FOUND"}`),
			Error{Status: 400, Code: CodeNoRoutesFound, Message: "No routes found"}},
		"gateway error with the moment to come back": {answer(429, `{"code":429,"message":"[API Gateway] Too many requests"}`, "Retry-After", "7"),
			Error{Status: 429, Message: "[API Gateway] Too many requests", RetryAfter: 7 * time.Second}},
		"no JSON":  {answer(502, `<html>`), Error{Status: 502, Message: "Bad Gateway"}},
		"redirect": {http.RedirectHandler("/x", http.StatusFound), Error{Status: 302, Message: "Found"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := newTestClient(t, tt.handler, nil).Prices(t.Context(), []string{wsol})
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v, want an *Error", err)
			}
			if diff := cmp.Diff(tt.want, *e); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPricesRefusesBrokenAnswers(t *testing.T) {
	for name, h := range map[string]http.Handler{
		"malformed":    answer(200, `{"`+wsol+`":`),
		"not prices":   answer(200, `[1]`),
		"endless":      answer(200, strings.Repeat(" ", maxAnswerBytes+1)),
		"cut off":      answer(200, `{}`, "Content-Length", "100"),
		"string price": answer(200, `{"`+wsol+`":{"usdPrice":"abc"}}`),
	} {
		if got, err := newTestClient(t, h, nil).Prices(t.Context(), []string{wsol}); err == nil {
			t.Errorf("%s: accepted as %v", name, got)
		}
	}
}

func TestPricesAsksForAtMostFiftyAndNotForNone(t *testing.T) {
	c := newTestClient(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a request was sent") }), nil)
	if _, err := c.Prices(t.Context(), make([]string, MaxPriceIDs+1)); err == nil {
		t.Error("51 mints were accepted")
	}
	if got, err := c.Prices(t.Context(), nil); err != nil || len(got) != 0 {
		t.Errorf("no mints gave %v, %v", got, err)
	}
}

func TestPricesEndsWithItsContext(t *testing.T) {
	hang := make(chan struct{})
	c := newTestClient(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }), nil)
	t.Cleanup(func() { close(hang) })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := c.Prices(ctx, []string{wsol}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the deadline", err)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Unix(1000, 0)
	for _, tt := range []struct {
		name   string
		header http.Header
		want   time.Duration
	}{
		{"nothing said", http.Header{}, 0},
		{"seconds", http.Header{"Retry-After": {"3"}}, 3 * time.Second},
		{"jupiter's reset", http.Header{"X-Ratelimit-Reset": {"1004"}}, 4 * time.Second},
		{"a reset that has passed", http.Header{"X-Ratelimit-Reset": {"990"}}, 0},
		{"both: Retry-After is exact", http.Header{"Retry-After": {"1"}, "X-Ratelimit-Reset": {"1004"}}, time.Second},
		{"nonsense", http.Header{"Retry-After": {"-1"}, "X-Ratelimit-Reset": {"soon"}}, 0},
	} {
		if got := RetryAfter(tt.header, now); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}
