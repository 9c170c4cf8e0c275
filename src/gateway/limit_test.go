package gateway

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"

	"jupiter-dex-integration/src/platform"
)

func hashOf(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// admittedOf sends n requests and counts those that were not refused for their number.
func admittedOf(t *testing.T, n int, url string, header ...string) (admitted int) {
	t.Helper()
	for range n {
		if get(t, url, header...).status != http.StatusTooManyRequests {
			admitted++
		}
	}
	return admitted
}

func TestReplicasShareOneLimitAndSayWhereTheClientStands(t *testing.T) {
	jup, redis := newFake(t, says(200, `{}`, "X-Ratelimit-Remaining", "500", "X-Ratelimit-Reset", "1")), miniredis.RunT(t)
	env := []string{"JUPITER_API_URL=" + jup.URL + "/swap/v1", "REDIS_URL=redis://" + redis.Addr(), "RATE_LIMIT_REQUESTS_PER_MINUTE=1",
		"RATE_LIMIT_BURST_SIZE=6", "QUOTE_CACHE_TTL=0s", "RATE_LIMIT_REDIS_TIMEOUT=10s"}
	a, b := start(t, env...), start(t, env...)
	r := get(t, a.api+goodQuote)
	for name, want := range map[string]string{
		"Ratelimit-Policy": `"rate";q=1;w=60, "burst";q=6;w=360`, "Ratelimit": `"burst";r=5;t=1`,
		"X-Ratelimit-Remaining": "5", "X-Ratelimit-Current": "1",
	} {
		if got := r.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	admitted := 1
	for range 6 {
		admitted += admittedOf(t, 1, a.api+"/v6"+goodQuote) + admittedOf(t, 1, b.api+"/program-id-to-label")
	}
	if admitted != 6 || len(jup.requests()) != 6 {
		t.Errorf("%d of 13 requests admitted, Jupiter saw %d, want 6", admitted, len(jup.requests()))
	}
	r = get(t, b.api+goodQuote)
	wantError(t, r, 429, "TOO_MANY_REQUESTS")
	if after := r.header.Get("Retry-After"); len(after) != 2 || after < "50" || after > "61" {
		t.Errorf("Retry-After is %q with one request a minute", after)
	}
	if !strings.Contains(r.body, `"code":429,"message":`) || r.header.Get("X-Ratelimit-Remaining") != "0" {
		t.Errorf("a refusal says %s %v", r.body, r.header)
	}
	if metrics := get(t, b.metrics+"/metrics").body; !strings.Contains(metrics, `jupiter_ratelimit_decisions_total{client="ip",decision="refused",route="quote"} 1`) ||
		!strings.Contains(metrics, "jupiter_ratelimit_store_up 1") {
		t.Error("metrics lack the decisions")
	}
}

func TestTheTighterLimitIsShown(t *testing.T) {
	jup := newFake(t, says(200, `{}`, "X-Ratelimit-Remaining", "3", "X-Ratelimit-Current", "57", "X-Ratelimit-Reset", "1796000000"))
	gw := start(t, "JUPITER_API_URL="+jup.URL+"/swap/v1")
	h := get(t, gw.api+goodQuote).header
	if h.Get("X-Ratelimit-Remaining") != "3" || h.Get("X-Ratelimit-Current") != "57" || h.Get("X-Ratelimit-Reset") != "1796000000" {
		t.Errorf("Jupiter has 3 left and the caller hears %v", h)
	}
}

func TestLimitsGoOnWithoutRedis(t *testing.T) {
	jup := newFake(t, says(200, `{}`))
	gw := start(t, "JUPITER_API_URL="+jup.URL+"/swap/v1", "REDIS_URL=redis://127.0.0.1:1", "RATE_LIMIT_REQUESTS_PER_MINUTE=1",
		"RATE_LIMIT_BURST_SIZE=8", "RATE_LIMIT_REPLICAS=2")
	if n := admittedOf(t, 10, gw.api+goodQuote); n != 4 {
		t.Errorf("%d admitted, want half of 8", n)
	}
	if r := get(t, gw.api+"/ready"); r.status != 200 || !strings.Contains(r.body, "degraded") {
		t.Errorf("/ready: %d %s", r.status, r.body)
	}
}

func TestRoutesAndKeysHaveTheirOwnLimits(t *testing.T) {
	jup := newFake(t, says(200, `{}`))
	keys := "# team keys\nteam-a " + hashOf("key-a") + "\n\nteam-b " + hashOf("key-b") + " 1/5\n"
	gw := start(t, "JUPITER_API_URL="+jup.URL+"/swap/v1", "CLIENT_KEYS="+keys, "RATE_LIMIT_REQUESTS_PER_MINUTE=1", "RATE_LIMIT_BURST_SIZE=3",
		"RATE_LIMIT_ROUTES=tokens=1/2")
	tokens := gw.api + "/tokens/v2/recent"
	for _, tt := range []struct {
		name, url string
		header    []string
		want      int
	}{
		{"a key with the default", gw.api + goodQuote, []string{"X-Api-Key", "key-a"}, 3},
		{"a key with its own", gw.api + goodQuote, []string{"X-Api-Key", "key-b"}, 5},
		{"an address", gw.api + goodQuote, nil, 3},
		{"a route, counted apart", tokens, nil, 2},
		{"the same route, another client", tokens, []string{"X-Api-Key", "key-a"}, 2},
	} {
		if got := admittedOf(t, 8, tt.url, tt.header...); got != tt.want {
			t.Errorf("%s: %d admitted, want %d", tt.name, got, tt.want)
		}
	}
	r := get(t, gw.api+goodQuote, "X-Api-Key", "made up")
	wantError(t, r, 401, "UNAUTHORIZED")
	for _, s := range jup.requests() {
		if s.Header.Get("X-Api-Key") != "" {
			t.Fatal("a caller's key went upstream")
		}
	}
	if logs := gw.logs.String(); strings.Contains(logs, "key-a") || strings.Contains(logs, "made up") {
		t.Error("a caller's key was logged")
	}
}

func TestShadowModeCountsAndAdmits(t *testing.T) {
	jup := newFake(t, says(200, `{}`))
	gw := start(t, "JUPITER_API_URL="+jup.URL+"/swap/v1", "RATE_LIMIT_SHADOW=true", "RATE_LIMIT_REQUESTS_PER_MINUTE=1", "RATE_LIMIT_BURST_SIZE=2")
	if n := admittedOf(t, 5, gw.api+goodQuote); n != 5 {
		t.Errorf("%d of 5 admitted", n)
	}
	if metrics := get(t, gw.metrics+"/metrics").body; !strings.Contains(metrics, `jupiter_ratelimit_decisions_total{client="ip",decision="would_refuse",route="quote"} 3`) {
		t.Error("what would be refused is not counted")
	}
}

func TestKeysCanBeRequired(t *testing.T) {
	jup := newFake(t, says(200, `{}`))
	for _, limited := range []string{"true", "false"} {
		gw := start(t, "JUPITER_API_URL="+jup.URL+"/swap/v1", "CLIENT_KEYS=a "+hashOf("k"), "CLIENT_KEYS_REQUIRED=true", "RATE_LIMIT_ENABLED="+limited)
		wantError(t, get(t, gw.api+goodQuote), 401, "UNAUTHORIZED")
		wantError(t, get(t, gw.api+goodQuote, "X-Api-Key", "other"), 401, "UNAUTHORIZED")
		if r := get(t, gw.api+goodQuote, "X-Api-Key", "k"); r.status != 200 {
			t.Errorf("the right key gets %d", r.status)
		}
		if r := do(t, "OPTIONS", gw.api+"/quote", ""); r.status != 204 {
			t.Errorf("a preflight, which cannot carry a key, gets %d", r.status)
		}
	}
}

func TestKeysFileIsReadAgainAndAWrongOneKeepsTheLast(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("a " + hashOf("first"))
	synctest.Test(t, func(t *testing.T) {
		cfg, err := platform.Load[Config]([]string{"CLIENT_KEYS_FILE=" + path})
		if err != nil {
			t.Fatal(err)
		}
		ring, err := newKeyring(cfg.ClientKeys.Value, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		expect := func(key string, want bool) {
			t.Helper()
			if c, ok := ring.lookup(key); ok != want || ok && c.id != "key:a" {
				t.Errorf("%s: %v %+v", key, ok, c)
			}
		}
		expect("first", true)
		expect("second", false)
		write("a " + hashOf("second"))
		time.Sleep(2 * time.Second)
		expect("first", false)
		expect("second", true)
		write("a nonsense")
		time.Sleep(2 * time.Second)
		expect("second", true)
	})
}

func TestWrongKeysAndLimitsAreRefusedAtStart(t *testing.T) {
	h := hashOf("k")
	for setting, want := range map[string]string{
		"CLIENT_KEYS=a":                         "line 1",
		"CLIENT_KEYS=#x\na " + h[:62]:           "line 2",
		"CLIENT_KEYS=a " + h + "00":             "SHA-256",
		"CLIENT_KEYS=a " + h + " fast":          "fast",
		"CLIENT_KEYS=a " + h + " 0/1":           "from 1",
		"CLIENT_KEYS=a " + h + "\na " + h:       "taken",
		"CLIENT_KEYS_REQUIRED=true":             "CLIENT_KEYS is missing",
		"TRUSTED_PROXIES=10.0.0.1":              "TRUSTED_PROXIES",
		"RATE_LIMIT_REQUESTS_PER_MINUTE=0":      "RATE_LIMIT_REQUESTS_PER_MINUTE",
		"RATE_LIMIT_BURST_SIZE=-1":              "RATE_LIMIT_BURST_SIZE",
		"RATE_LIMIT_ROUTES=swap":                "RATE_LIMIT_ROUTES swap",
		"RATE_LIMIT_REPLICAS=0":                 "RATE_LIMIT_REPLICAS",
		"RATE_LIMIT_ROUTES=swop=1/1,tokens=1/1": `no route "swop"`,
	} {
		cfg, err := platform.Load[Config]([]string{setting, "LISTEN_ADDRESS=127.0.0.1:0", "METRICS_ADDRESS=127.0.0.1:0"})
		if err == nil {
			err = Serve(t.Context(), cfg, platform.NewProcess("x", slog.New(slog.DiscardHandler)))
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v does not say %q", setting, err, want)
		}
	}
}

func TestAddressIsThePeersUnlessThePeerIsTrusted(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for _, tt := range []struct {
		name, peer string
		forwarded  []string
		trusted    []netip.Prefix
		want       string
	}{
		{"nobody is trusted by default", "10.0.0.1:1", []string{"1.2.3.4"}, nil, "10.0.0.1"},
		{"a stranger's claim", "5.6.7.8:1", []string{"1.2.3.4"}, proxies, "5.6.7.8"},
		{"a proxy's word", "10.0.0.1:1", []string{"1.2.3.4"}, proxies, "1.2.3.4"},
		{"a client who adds hops of his own", "10.0.0.1:1", []string{"9.9.9.9, 1.2.3.4"}, proxies, "1.2.3.4"},
		{"two proxies", "10.0.0.1:1", []string{"1.2.3.4, 10.1.1.1"}, proxies, "1.2.3.4"},
		{"in two fields", "10.0.0.1:1", []string{"9.9.9.9", "1.2.3.4,10.1.1.1"}, proxies, "1.2.3.4"},
		{"a proxy that says nothing", "10.0.0.1:1", nil, proxies, "10.0.0.1"},
		{"a proxy that says nonsense", "10.0.0.1:1", []string{"1.2.3.4, unknown"}, proxies, "10.0.0.1"},
		{"proxies all the way", "10.0.0.1:1", []string{"10.2.2.2"}, proxies, "10.2.2.2"},
		{"IPv4 in IPv6", "[::ffff:10.0.0.1]:1", []string{"::ffff:1.2.3.4"}, proxies, "1.2.3.4"},
		{"an IPv6 network is one client", "[2001:db8:1:2:3:4:5:6]:1", nil, proxies, "2001:db8:1:2::"},
		{"a zone", "[fd00::1]:1", []string{"fe80::1%eth0"}, proxies, "fe80::"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr, r.Header["X-Forwarded-For"] = tt.peer, tt.forwarded
		if got := (&identity{trusted: tt.trusted}).address(r); got != "ip:"+tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func FuzzParseKeys(f *testing.F) {
	f.Add("a " + hashOf("k") + " 1/1\n# c\n\nb")
	f.Fuzz(func(t *testing.T, text string) {
		keys, err := parseKeys(text)
		for _, c := range keys {
			if err == nil && (!strings.HasPrefix(c.id, "key:") || c.limit != (quota{}) && c.limit.check() != nil) {
				t.Errorf("accepted %s", fmt.Sprint(c))
			}
		}
	})
}
