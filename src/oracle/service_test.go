package oracle

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"jupiter-dex-integration/src/jupiter"
	"jupiter-dex-integration/src/platform"
)

// upstream is a price API on a real socket; it answers every request with body.
type upstream struct {
	*httptest.Server
	calls  atomic.Int64
	body   atomic.Pointer[[]byte]
	status atomic.Int64
}

func newUpstream(t *testing.T, body []byte) *upstream {
	u := &upstream{}
	u.body.Store(&body)
	u.status.Store(200)
	u.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u.calls.Add(1)
		if r.URL.Path != "/price/v3" || r.Header.Get("X-Api-Key") != "jup_test" {
			http.Error(w, `{"code":401,"message":"Unauthorized"}`, http.StatusUnauthorized)
			return
		}
		w.WriteHeader(int(u.status.Load()))
		w.Write(*u.body.Load())
	}))
	t.Cleanup(u.Close)
	return u
}

type runningServer struct {
	api, metrics string
	stop         func() error
}

func serve(t *testing.T, environ ...string) runningServer {
	t.Helper()
	cfg, err := platform.Load[Config](append([]string{"LISTEN_ADDRESS=127.0.0.1:0", "METRICS_ADDRESS=127.0.0.1:0", "JUPITER_API_KEY=jup_test"}, environ...))
	if err != nil {
		t.Fatal(err)
	}
	p := platform.NewProcess("price-oracle", quiet)
	listeners := make(chan string, 2)
	p.Listen = func(address string) (net.Listener, error) {
		l, err := net.Listen("tcp", address)
		if err == nil {
			listeners <- "http://" + l.Addr().String()
		}
		return l, err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, cfg, p) }()
	s := runningServer{stop: func() error {
		cancel()
		err := <-done
		done <- err
		return err
	}}
	t.Cleanup(func() { s.stop() })
	for _, url := range []*string{&s.api, &s.metrics} {
		select {
		case *url = <-listeners:
		case err := <-done:
			t.Fatalf("server ended: %v", err)
		}
	}
	return s
}

func get(t *testing.T, url string) (int, []byte) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, body
}

// eventually waits for what another goroutine or process does on its own time.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("never happened: %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func readyStatus(t *testing.T, s runningServer) (int, string) {
	code, body := get(t, s.api+"/ready")
	return code, string(body)
}

func TestRecordedPricesPassThroughUnchanged(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"sol-435318986", "sol-431926834-rounded", "sol-wbtc-weth-440287447", "usdc-sol-docs-398169360", "jup-sol-docs-347148315"} {
		t.Run(name, func(t *testing.T) {
			recorded := fixture(t, "price-v3/"+name+".json")
			want := decodeNumbers(t, recorded)
			var mints []string
			for mint := range want {
				mints = append(mints, mint)
			}
			rdb := realRedis(t)
			environ := []string{"JUPITER_API_URL=" + newUpstream(t, recorded).URL + "/swap/v1", "PRICE_TOKENS=" + strings.Join(mints, ","),
				"REDIS_URL=redis://" + rdb.Options().Addr}
			first := serve(t, environ...)
			priced := func(s runningServer) func() bool {
				return func() bool { _, body := get(t, s.api+"/price/v3?ids="+mints[0]); return string(body) != "{}" }
			}
			eventually(t, "first update", priced(first))
			// The second server has the prices from Redis: its upstream would answer nothing of use.
			environ[0] = "JUPITER_API_URL=" + newUpstream(t, []byte("{}")).URL + "/swap/v1"
			second := serve(t, environ...)
			eventually(t, "prices from Redis", priced(second))
			for _, s := range []runningServer{first, second} {
				_, body := get(t, s.api+"/price/v3?ids="+strings.Join(mints, ","))
				if diff := cmp.Diff(want, decodeNumbers(t, body)); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

// decodeNumbers keeps numbers as the bytes that they are written with.
func decodeNumbers(t *testing.T, body []byte) map[string]map[string]any {
	t.Helper()
	var v map[string]map[string]any
	d := json.NewDecoder(strings.NewReader(string(body)))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

const solPrice = `{"` + wsol + `":{"usdPrice":75.5,"blockId":1,"decimals":9}}`

func TestServerWithoutAnyPriceIsNotReadyAndSaysWhy(t *testing.T) {
	t.Parallel()
	s := serve(t, "JUPITER_API_URL="+newUpstream(t, []byte("{}")).URL+"/wrong/path", "PRICE_TOKENS="+wsol)
	eventually(t, "the reason in /ready", func() bool {
		code, body := readyStatus(t, s)
		return code == 503 && strings.Contains(body, "no price has been observed yet") && strings.Contains(body, "401")
	})
	if code, _ := get(t, s.api+"/health"); code != 200 {
		t.Errorf("/health: %d", code)
	}
}

func TestServerWithPricesInRedisIsReadyWithoutJupiter(t *testing.T) {
	t.Parallel()
	rdb := realRedis(t)
	st := newStore(rdb, "mainnet")
	if _, err := st.commit(t.Context(), mustBegin(t, st, 0).Fence, outcome{records: map[string]record{wsol: someRecord("75.5", time.Now())}}, 0, 1200); err != nil {
		t.Fatal(err)
	}
	up := newUpstream(t, []byte("{}"))
	s := serve(t, "JUPITER_API_URL="+up.URL, "PRICE_TOKENS="+wsol, "REDIS_URL=redis://"+rdb.Options().Addr)
	eventually(t, "readiness", func() bool { code, _ := readyStatus(t, s); return code == 200 })
	if _, body := get(t, s.api+"/price/v3?ids="+wsol); !strings.Contains(string(body), `"usdPrice":75.5`) || up.calls.Load() != 0 {
		t.Errorf("answer %s after %d upstream calls", body, up.calls.Load())
	}
}

func TestRedisGoneDegradesButServes(t *testing.T) {
	t.Parallel()
	rdb := realRedis(t)
	s := serve(t, "JUPITER_API_URL="+newUpstream(t, []byte(solPrice)).URL, "PRICE_TOKENS="+wsol, "REDIS_URL=redis://"+rdb.Options().Addr, "UPDATE_INTERVAL=1s")
	eventually(t, "readiness", func() bool {
		code, body := readyStatus(t, s)
		return code == 200 && strings.Contains(body, `"status":"ready"`)
	})
	rdb.ShutdownNoSave(t.Context()) // the answer is the end of the connection
	eventually(t, "degraded", func() bool {
		code, body := readyStatus(t, s)
		return code == 200 && strings.Contains(body, `"status":"degraded"`) && strings.Contains(body, `"redis":{"ok":false`)
	})
	if code, body := get(t, s.api+"/price/v3?ids="+wsol); code != 200 || string(body) != solPrice {
		t.Errorf("HTTP %d: %s", code, body)
	}
	if _, body := get(t, s.metrics+"/metrics"); !strings.Contains(string(body), "jupiter_price_redis_up 0") {
		t.Error("jupiter_price_redis_up does not say so")
	}
}

func TestUpstreamGoneKeepsServingAndSaysSo(t *testing.T) {
	t.Parallel()
	up := newUpstream(t, []byte(solPrice))
	s := serve(t, "JUPITER_API_URL="+up.URL, "PRICE_TOKENS="+wsol+","+jup, "UPDATE_INTERVAL=1s")
	eventually(t, "readiness", func() bool { code, _ := readyStatus(t, s); return code == 200 })
	if _, metrics := get(t, s.metrics+"/metrics"); !strings.Contains(string(metrics), `jupiter_price_deviation_ratio{mint="`+wsol+`"} 0`) {
		t.Error("/metrics lacks the deviation from Jupiter")
	}
	up.status.Store(400)
	up.body.Store(new([]byte))
	eventually(t, "degraded", func() bool {
		code, body := readyStatus(t, s)
		return code == 200 && strings.Contains(body, `"status":"degraded"`) && strings.Contains(body, "the last update was incomplete")
	})
	if _, body := get(t, s.api+"/price/v3?ids="+wsol+","+jup); string(body) != solPrice {
		t.Errorf("answer %s", body)
	}
	_, metrics := get(t, s.metrics+"/metrics")
	for _, want := range []string{
		`jupiter_price_age_seconds{mint="` + wsol + `"}`, `jupiter_price_tokens{state="none"} 1`, "jupiter_price_missing_tokens 1",
		`jupiter_price_sources_used{mint="` + wsol + `"} 0`,
		`jupiter_price_upstream_calls_total{result="ok",source="jupiter"}`, `jupiter_price_upstream_calls_total{result="error",source="jupiter"}`,
		`jupiter_price_updates_total{result="success"}`, "jupiter_price_update_duration_seconds_count", "jupiter_price_last_success_timestamp_seconds 1",
	} {
		if !strings.Contains(string(metrics), want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
}

func TestQuotaIsSharedWithTheGateway(t *testing.T) {
	t.Parallel()
	rdb := realRedis(t)
	up := newUpstream(t, []byte("{}"))
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			cfg, err := platform.Load[UpdateConfig]([]string{"PRICE_TOKENS=" + strings.Join(manyTokens(10), ","), "JUPITER_API_KEY=jup_test", "JUPITER_API_URL=" + up.URL,
				"REDIS_URL=redis://" + rdb.Options().Addr, "JUPITER_PLAN=keyless"})
			if err != nil {
				t.Error(err)
				return
			}
			if err := Update(t.Context(), cfg, platform.NewProcess("price-oracle", quiet)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := up.calls.Load(); n != 1 {
		t.Errorf("%d calls of three jobs", n)
	}
	if n := len(rdb.Keys(t.Context(), "ratelimit:*{upstream:jupiter}").Val()); n == 0 {
		t.Error("the quota is not counted where the gateway counts it")
	}
}

func TestServerStopsCleanly(t *testing.T) {
	t.Parallel()
	s := serve(t, "JUPITER_API_URL="+newUpstream(t, []byte(solPrice)).URL, "PRICE_TOKENS="+wsol)
	eventually(t, "readiness", func() bool { code, _ := readyStatus(t, s); return code == 200 })
	if err := s.stop(); err != nil {
		t.Error(err)
	}
}

func TestUpdateCommand(t *testing.T) {
	t.Parallel()
	rdb := realRedis(t)
	up := newUpstream(t, []byte(solPrice))
	update := func(environ ...string) error {
		cfg, err := platform.Load[UpdateConfig](append([]string{"PRICE_TOKENS=" + wsol, "JUPITER_API_KEY=jup_test", "JUPITER_API_URL=" + up.URL}, environ...))
		if err != nil {
			t.Fatal(err)
		}
		return Update(t.Context(), cfg, platform.NewProcess("price-oracle", quiet))
	}
	if err := update(); err == nil || !strings.Contains(err.Error(), "REDIS_URL") {
		t.Errorf("without Redis: %v", err)
	}
	if err := update("REDIS_URL=redis://127.0.0.1:1"); err == nil {
		t.Error("Redis away: no error")
	}
	redisURL := "REDIS_URL=redis://" + rdb.Options().Addr
	for range 3 {
		if err := update(redisURL); err != nil {
			t.Error(err)
		}
	}
	if n := up.calls.Load(); n != 1 {
		t.Errorf("%d upstream calls for 3 jobs within one interval", n)
	}
	var answer *jupiter.Error
	if err := update(redisURL, "NETWORK=devnet", "JUPITER_API_KEY=revoked"); !errors.As(err, &answer) || answer.Status != 401 {
		t.Errorf("with a wrong key: %v", err)
	}
}
