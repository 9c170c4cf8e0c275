package gateway

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"jupiter-dex-integration/src/platform"
)

var slot = CacheConfig{TTL: 400 * time.Millisecond, MaxAge: time.Second, Bytes: 1 << 20}

// counting returns a send that numbers its calls and takes a time for each.
func counting(took time.Duration) (func(context.Context) (*answer, error), *atomic.Int64) {
	calls := new(atomic.Int64)
	return func(ctx context.Context) (*answer, error) {
		n := calls.Add(1)
		select {
		case <-time.After(took):
			return &answer{status: 200, header: http.Header{headerRemaining: {"5"}, "X-A": {"b"}}, body: fmt.Append(nil, n)}, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}, calls
}

func testCache(t *testing.T, cfg CacheConfig) *cache {
	ctx, cancel := context.WithCancel(t.Context())
	c := newCache(ctx, cfg, prometheus.NewRegistry())
	done := make(chan struct{})
	go func() { c.run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	return c
}

// size counts every spelling as an entry of its own.
func (c *cache) size() (bytes int64, entries int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bytes, max(len(c.entries), len(c.spellings))
}

func TestCacheServesFreshThenStaleThenNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := testCache(t, slot)
		send, _ := counting(50 * time.Millisecond)
		for _, step := range []struct {
			pause        time.Duration
			body, result string
			age          time.Duration
		}{
			{0, "1", cacheMiss, 0},
			{399 * time.Millisecond, "1", cacheHit, 399 * time.Millisecond},
			{time.Millisecond, "1", cacheStale, 400 * time.Millisecond}, // and a second call begins
			{49 * time.Millisecond, "1", cacheStale, 449 * time.Millisecond},
			{time.Millisecond, "2", cacheHit, 0},
			{999 * time.Millisecond, "2", cacheStale, 999 * time.Millisecond},
			{50*time.Millisecond + time.Second, "4", cacheMiss, 0}, // the third came and grew too old
		} {
			time.Sleep(step.pause)
			synctest.Wait()
			a, age, result, err := c.get(t.Context(), "k", "k", send)
			if err != nil || string(a.body) != step.body || result != step.result || age != step.age {
				t.Fatalf("after %v: %v %s %v %v, want %+v", step.pause, a, result, age, err, step)
			}
			if result == cacheHit && a.header.Get(headerRemaining) != "" {
				t.Error("what was left of a limit then was served as if it were now")
			}
			if a.header.Get("X-A") != "b" {
				t.Error("the header was lost")
			}
		}
	})
}

func TestIdenticalRequestsShareOneCall(t *testing.T) {
	for _, cfg := range []CacheConfig{slot, {}} {
		synctest.Test(t, func(t *testing.T) {
			c := testCache(t, cfg)
			send, calls := counting(time.Second)
			results := map[string]int{}
			var mu sync.Mutex
			var wg sync.WaitGroup
			for range 100 {
				wg.Go(func() {
					a, _, result, err := c.get(t.Context(), "k", "k", send)
					if err != nil || string(a.body) != "1" {
						t.Errorf("got %v, %v", a, err)
					}
					mu.Lock()
					results[result]++
					mu.Unlock()
				})
			}
			wg.Wait()
			if calls.Load() != 1 || results[cacheMiss] != 1 || results[cacheCoalesced] != 99 {
				t.Errorf("%d calls, %v", calls.Load(), results)
			}
			if _, _, result, _ := c.get(t.Context(), "k", "k", send); (result == cacheHit) != (cfg.TTL > 0) {
				t.Errorf("afterwards: %s", result)
			}
		})
	}
}

func TestOneCallersEndIsNobodyElses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := testCache(t, slot)
		send, calls := counting(time.Second)
		left := errors.New("left")
		first, leave := context.WithCancelCause(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, _, _, err := c.get(first, "k", "k", send); !errors.Is(err, left) {
				t.Errorf("who left got %v", err)
			}
		})
		synctest.Wait()
		wg.Go(func() {
			if a, _, _, err := c.get(t.Context(), "k", "k", send); err != nil || string(a.body) != "1" {
				t.Errorf("who stayed got %v, %v", a, err)
			}
		})
		synctest.Wait()
		leave(left)
		wg.Wait()
		if calls.Load() != 1 {
			t.Errorf("%d calls", calls.Load())
		}
	})
}

func TestACallThatNobodyWaitsForEndsAndHarmsNoNewcomer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := testCache(t, slot)
		ended := make(chan struct{})
		hang := func(ctx context.Context) (*answer, error) {
			<-ctx.Done()
			time.Sleep(time.Second) // it takes its time to end
			close(ended)
			return nil, context.Cause(ctx)
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() { synctest.Wait(); cancel() }()
		if _, _, _, err := c.get(ctx, "k", "k", hang); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		send, _ := counting(0)
		if a, _, _, err := c.get(t.Context(), "k", "k", send); err != nil || string(a.body) != "1" {
			t.Errorf("a newcomer got %v, %v", a, err)
		}
		<-ended
		if _, _, result, _ := c.get(t.Context(), "k", "k", send); result == cacheCoalesced {
			t.Error("the ended call is still waited for")
		}
	})
}

func TestOnlyGoodAnswersAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := testCache(t, slot)
		calls := 0
		for _, tt := range []struct {
			status int
			err    error
		}{{400, nil}, {429, nil}, {500, nil}, {0, errors.New("no answer")}} {
			for range 2 {
				c.get(t.Context(), fmt.Sprint(tt), "", func(context.Context) (*answer, error) {
					calls++
					return &answer{status: tt.status}, tt.err
				})
			}
		}
		if calls != 8 {
			t.Errorf("%d calls for 8 requests that failed", calls)
		}
		if bytes, entries := c.size(); bytes != 0 || entries != 0 {
			t.Errorf("failures left %d entries, %d bytes", entries, bytes)
		}
	})
}

func TestAPanicIsItsRequestsAndNotTheProcesss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := testCache(t, slot)
		func() {
			defer func() {
				if p := recover(); p == nil || !strings.Contains(fmt.Sprint(p), "boom") {
					t.Errorf("the request's handler saw %v", p)
				}
			}()
			c.get(t.Context(), "k", "k", func(context.Context) (*answer, error) { panic("boom") })
		}()
		send, _ := counting(0)
		if a, _, _, err := c.get(t.Context(), "k", "k", send); err != nil || string(a.body) != "1" {
			t.Errorf("the next one got %v, %v", a, err)
		}
	})
}

func TestARefreshThatFailsLeavesTheStaleQuoteUntilItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := testCache(t, slot)
		good, _ := counting(0)
		c.get(t.Context(), "k", "k", good)
		broken := func(context.Context) (*answer, error) { return nil, errors.New("down") }
		for range 5 {
			time.Sleep(190 * time.Millisecond)
			if a, _, _, err := c.get(t.Context(), "k", "k", broken); err != nil || string(a.body) != "1" {
				t.Fatalf("got %v, %v", a, err)
			}
		}
		time.Sleep(50 * time.Millisecond)
		if a, _, _, err := c.get(t.Context(), "k", "k", broken); err == nil {
			t.Errorf("a quote beyond its age was served: %s", a.body)
		}
	})
}

func TestCacheIsBoundedAndEmptiesItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := testCache(t, CacheConfig{TTL: slot.TTL, MaxAge: slot.MaxAge, Bytes: 10_000})
		body := make([]byte, 1000)
		for i := range 50 {
			key := fmt.Sprint("key", i)
			a, _, _, err := c.get(t.Context(), key, key, func(context.Context) (*answer, error) {
				return &answer{status: 200, header: http.Header{}, body: body}, nil
			})
			if err != nil || len(a.body) != 1000 {
				t.Fatalf("got %v, %v", a, err)
			}
		}
		if bytes, entries := c.size(); bytes > 10_000 || entries < 5 || entries > 10 {
			t.Errorf("%d bytes in %d entries", bytes, entries)
		}
		for i := range 50 { // one entry, whatever its spellings
			c.get(t.Context(), "key0", fmt.Sprint("spelling", i), nil)
		}
		c.mu.Lock()
		n := len(c.entries["key0"].spellings)
		c.mu.Unlock()
		if n > maxSpellings {
			t.Errorf("%d spellings of one request", n)
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if bytes, entries := c.size(); bytes != 0 || entries != 0 {
			t.Errorf("%d bytes in %d entries after their time", bytes, entries)
		}
	})
}

// 500 requests a second over 200 pairs, as popular as Zipf has it, for half a minute: how many of them go to Jupiter.
func TestFewOfPopularRequestsGoUpstream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := testCache(t, CacheConfig{TTL: 400 * time.Millisecond, MaxAge: 800 * time.Millisecond, Bytes: 64 << 20})
		send, calls := counting(30 * time.Millisecond)
		zipf := rand.NewZipf(rand.New(rand.NewPCG(1, 1)), 1.1, 1, 199)
		var wg sync.WaitGroup
		const requests = 500 * 30
		for range requests {
			key := fmt.Sprint(zipf.Uint64())
			wg.Go(func() {
				if _, age, _, err := c.get(t.Context(), key, key, send); err != nil || age >= 800*time.Millisecond {
					t.Errorf("age %v, %v", age, err)
				}
			})
			time.Sleep(2 * time.Millisecond)
		}
		wg.Wait()
		factor := requests / float64(calls.Load())
		t.Logf("%d requests became %d calls: a factor of %.1f", requests, calls.Load(), factor)
		if factor < 3 {
			t.Errorf("%d requests became %d calls", requests, calls.Load())
		}
	})
}

func TestQuotesAreServedFromTheCacheAndSwapsNever(t *testing.T) {
	var n atomic.Int64
	jup := newFake(t, func(w http.ResponseWriter, r *http.Request) { says(200, fmt.Sprintf(`{"n":%d}`, n.Add(1)))(w, r) })
	gw := start(t, "JUPITER_API_URL="+jup.URL+"/swap/v1", "QUOTE_CACHE_TTL=1m", "QUOTE_CACHE_MAX_AGE=1m")
	for _, tt := range []struct{ name, target, result, body string }{
		{"first", goodQuote + "&dexes=A,B", cacheMiss, `{"n":1}`},
		{"same", goodQuote + "&dexes=A,B", cacheHit, `{"n":1}`},
		{"another prefix", "/v6" + goodQuote + "&dexes=A,B", cacheHit, `{"n":1}`},
		{"another spelling", "/swap/v1" + goodQuote + "&dexes=B&dexes=A", cacheHit, `{"n":1}`},
		{"another request", goodQuote + "&dexes=A", cacheMiss, `{"n":2}`},
		{"an unknown parameter is part of the request", goodQuote + "&dexes=A&x=1", cacheMiss, `{"n":3}`},
	} {
		r := get(t, gw.api+tt.target)
		if r.header.Get("X-Cache") != tt.result || r.body != tt.body || (r.header.Get("Age") != "") != (tt.result == cacheHit) {
			t.Errorf("%s: %s %s, age %q", tt.name, r.header.Get("X-Cache"), r.body, r.header.Get("Age"))
		}
	}
	if r := get(t, gw.api+goodQuote+"&dexes=A,B", "Cache-Control", "no-cache"); r.header.Get("X-Cache") != cacheBypass || r.body != `{"n":4}` {
		t.Errorf("no-cache: %s %s", r.header.Get("X-Cache"), r.body)
	}
	for want := 5; want <= 6; want++ {
		if r := do(t, "POST", gw.api+"/swap", goodSwap); r.body != fmt.Sprintf(`{"n":%d}`, want) || r.header.Get("X-Cache") != "" {
			t.Errorf("swap: %s %v", r.body, r.header)
		}
	}
	if metrics := get(t, gw.metrics+"/metrics").body; !strings.Contains(metrics, `jupiter_quote_cache_requests_total{result="hit"} 3`) {
		t.Error("metrics lack the cache")
	}
}

func TestCacheConfigurationErrorsNameTheVariable(t *testing.T) {
	for _, setting := range []string{"QUOTE_CACHE_TTL=-1s", "QUOTE_CACHE_TTL=2h", "QUOTE_CACHE_MAX_AGE=1ms", "QUOTE_CACHE_BYTES=-1"} {
		name, _, _ := strings.Cut(setting, "=")
		if _, err := platform.Load[Config]([]string{setting}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", setting, err)
		}
	}
}
