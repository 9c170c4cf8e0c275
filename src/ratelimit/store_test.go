package ratelimit

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/ulule/limiter/v3"

	"jupiter-dex-integration/src/platform"
	"jupiter-dex-integration/src/platform/redistest"
)

// TestMain lets the test binary be one replica among several.
func TestMain(m *testing.M) {
	if url := os.Getenv("BE_A_REPLICA_ON"); url != "" {
		beReplica(url)
		return
	}
	os.Exit(m.Run())
}

var quiet = slog.New(slog.DiscardHandler)

func connect(t testing.TB, url string) redis.UniversalClient {
	t.Helper()
	client, err := platform.RedisConfig{RedisURL: url}.Client()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// patient returns a replica that waits for a Redis on a busy machine: for tests of what Redis decides.
func patient(client redis.UniversalClient) *Shared {
	return NewShared(client, 1, 10*time.Second, quiet)
}

func admitted(t testing.TB, st limiter.Store, key string, rate limiter.Rate, n int) (count int) {
	t.Helper()
	for range n {
		c, err := st.Get(t.Context(), key, rate)
		if err != nil {
			t.Fatal(err)
		}
		if !c.Reached {
			count++
		}
	}
	return count
}

const (
	propertyRate   = 6000 // per minute
	propertyBurst  = 40
	propertyGoers  = 4
	propertyLength = 2 * time.Second
)

// beReplica asks as often as it can and prints when it was admitted.
func beReplica(url string) {
	client, err := platform.RedisConfig{RedisURL: url}.Client()
	if err != nil {
		panic(err)
	}
	st := patient(client).Store(propertyBurst)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	var mu sync.Mutex
	var wg sync.WaitGroup
	end := time.Now().Add(propertyLength)
	for range propertyGoers {
		wg.Go(func() {
			for time.Now().Before(end) {
				c, _ := st.Get(context.Background(), "k", perMinute(propertyRate))
				if !c.Reached {
					mu.Lock()
					fmt.Fprintln(out, time.Now().UnixNano())
					mu.Unlock()
				}
				time.Sleep(100 * time.Microsecond)
			}
		})
	}
	wg.Wait()
}

// In any window T all replicas together admit at most rate × T + burst + the leases that they hold. A replica notes an
// admission after it got it, so that each of its goroutines can make one look later than it was.
func TestReplicasTogetherHoldTheLimitInEveryWindow(t *testing.T) {
	server := redistest.Start(t)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const replicas = 3
	outputs := make([][]byte, replicas)
	var wg sync.WaitGroup
	for i := range replicas {
		wg.Go(func() {
			cmd := exec.Command(exe)
			cmd.Env = append(os.Environ(), "BE_A_REPLICA_ON="+server.URL)
			var err error
			if outputs[i], err = cmd.Output(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	var times []time.Time
	for _, out := range outputs {
		for _, text := range regexp.MustCompile(`\d+`).FindAllString(string(out), -1) {
			ns, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			times = append(times, time.Unix(0, ns))
		}
	}
	slices.SortFunc(times, func(a, b time.Time) int { return cmp.Compare(a.UnixNano(), b.UnixNano()) })
	g := newGCRA(perMinute(propertyRate), propertyBurst)
	over, bound := worstExcess(times, g), int64(propertyBurst+replicas*MaxLease(propertyBurst)+replicas*propertyGoers)
	t.Logf("%d admitted in %v; at most %d beyond the rate in a window, the bound is %d", len(times), propertyLength, over, bound)
	if over > bound {
		t.Errorf("a window admitted %d beyond its rate, more than %d", over, bound)
	}
	if least := propertyBurst + int(propertyLength/g.interval)/2; len(times) < least {
		t.Errorf("only %d admitted: not even half of the rate", len(times))
	}
}

func TestBurstThenRefusalThenComeBackAsTold(t *testing.T) {
	st := patient(connect(t, redistest.Start(t).URL)).Store(5)
	rate := perMinute(60)
	for want := int64(4); want >= 0; want-- {
		c, err := st.Get(t.Context(), "k", rate)
		if err != nil || c.Reached || c.Remaining != want || c.Limit != 60 {
			t.Fatalf("got %+v, %v, want %d remaining", c, err, want)
		}
	}
	c, err := st.Get(t.Context(), "k", rate)
	if err != nil || !c.Reached || c.Remaining != 0 {
		t.Fatalf("the sixth: %+v, %v", c, err)
	}
	if wait := time.Until(time.Unix(c.Reset, 0)); wait <= 0 || wait > 2*time.Second {
		t.Errorf("come back in %v, want about a second", wait)
	}
	if c, _ := st.Get(t.Context(), "other", rate); c.Reached {
		t.Error("keys are not apart")
	}
	if c, _ := st.Reset(t.Context(), "k", rate); c.Reached || c.Remaining != 5 {
		t.Errorf("after a reset: %+v", c)
	}
	if c, _ := st.Increment(t.Context(), "k", 5, rate); c.Reached || c.Remaining != 0 {
		t.Errorf("five at once: %+v", c)
	}
	if c, _ := st.Peek(t.Context(), "k", rate); !c.Reached {
		t.Errorf("a look: %+v", c)
	}
}

func TestRefusalsWriteNothingAndMostlyAskNothing(t *testing.T) {
	client := connect(t, redistest.Start(t).URL)
	shared := patient(client)
	st, rate := shared.Store(3), limiter.Rate{Period: time.Hour, Limit: 1}
	if n := admitted(t, st, "k", rate, 3); n != 3 {
		t.Fatalf("%d of the burst admitted", n)
	}
	arrival, _ := redisKeys("k")
	tat, trips := client.Get(t.Context(), arrival).Val(), shared.RoundTrips()
	if n := admitted(t, st, "k", rate, 1000); n != 0 {
		t.Fatalf("%d beyond the burst admitted", n)
	}
	if after := client.Get(t.Context(), arrival).Val(); after != tat || tat == "" {
		t.Errorf("a refusal moved the state from %s to %s", tat, after)
	}
	if asked := shared.RoundTrips() - trips; asked > 1 {
		t.Errorf("1000 refusals asked Redis %d times", asked)
	}
}

func TestCommonRequestCostsNoRoundTrip(t *testing.T) {
	shared := patient(connect(t, redistest.Start(t).URL))
	const requests = 1000
	if n := admitted(t, shared.Store(10*requests), "k", perMinute(60*requests), requests); n != requests {
		t.Fatalf("%d admitted", n)
	}
	if trips := shared.RoundTrips(); trips > requests/10 {
		t.Errorf("%d round trips for %d requests", trips, requests)
	}
}

func TestReplicasShareOneBudgetDownToTheLastAdmission(t *testing.T) {
	server := redistest.Start(t)
	rate := limiter.Rate{Period: time.Hour, Limit: 1}
	var stores []limiter.Store
	for range 4 {
		stores = append(stores, patient(connect(t, server.URL)).Store(100))
	}
	total := 0
	for range 100 {
		for _, st := range stores {
			total += admitted(t, st, "k", rate, 1)
		}
	}
	if total != 100 {
		t.Errorf("four replicas admitted %d of a budget of 100", total)
	}
}

// A Redis that hangs, dies, or was never there costs a few milliseconds once in a while; every replica then enforces its share.
func TestWithoutRedisEachReplicaEnforcesItsShare(t *testing.T) {
	hang := func(t *testing.T) string {
		server := redistest.Start(t)
		server.Signal(syscall.SIGSTOP)
		return server.URL
	}
	for name, start := range map[string]func(*testing.T) string{
		"hangs":       hang,
		"never there": func(*testing.T) string { return "redis://127.0.0.1:1" },
		"unroutable":  func(*testing.T) string { return "redis://192.0.2.1:6379" },
	} {
		t.Run(name, func(t *testing.T) {
			shared := NewShared(connect(t, start(t)), 4, 5*time.Millisecond, quiet)
			begin := time.Now()
			if n := admitted(t, shared.Store(100), "k", limiter.Rate{Period: time.Hour, Limit: 4}, 1000); n != 25 {
				t.Errorf("%d admitted, want the share of one replica in four of a burst of 100", n)
			}
			// Redis's own timeouts are a second; this is no measurement.
			if took := time.Since(begin); took > 900*time.Millisecond {
				t.Errorf("1000 decisions took %v", took)
			}
			if shared.Healthy() {
				t.Error("says that it is healthy")
			}
		})
	}
}

func TestWhoHasUsedTheBurstHasNoSecondOneWhenRedisGoes(t *testing.T) {
	server := redistest.Start(t)
	shared := NewShared(connect(t, server.URL), 1, 500*time.Millisecond, quiet)
	st, rate := shared.Store(10), limiter.Rate{Period: time.Hour, Limit: 1}
	if n := admitted(t, st, "k", rate, 7); n != 7 {
		t.Fatalf("%d of 7 admitted", n)
	}
	server.Signal(syscall.SIGSTOP)
	if n := admitted(t, st, "k", rate, 20); n != 3 {
		t.Errorf("%d admitted without Redis, want what was left of the burst: 3", n)
	}
}

func TestSharingResumesWhenRedisIsBack(t *testing.T) {
	server := redistest.Start(t)
	shared := NewShared(connect(t, server.URL), 1, 500*time.Millisecond, quiet)
	st, rate := shared.Store(10), limiter.Rate{Period: time.Hour, Limit: 1}
	admitted(t, st, "k", rate, 10)
	server.Signal(syscall.SIGSTOP)
	admitted(t, st, "other", rate, 1)
	if shared.Healthy() {
		t.Fatal("a hanging Redis was not noticed")
	}
	server.Signal(syscall.SIGCONT)
	for deadline := time.Now().Add(10 * time.Second); !shared.Healthy(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("Redis was not taken up again")
		}
		st.Peek(t.Context(), "other", rate)
	}
	if n := admitted(t, st, "k", rate, 10); n != 0 {
		t.Errorf("%d admitted beyond what was used before the failure", n)
	}
}

func TestLocalLimiterHoldsRateAndBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, rate := NewShared(nil, 1, 5*time.Millisecond, quiet).Store(10), perMinute(60)
		if n := admitted(t, st, "k", rate, 50); n != 10 {
			t.Errorf("burst: %d", n)
		}
		for range 5 {
			time.Sleep(3 * time.Second)
			if n := admitted(t, st, "k", rate, 50); n != 3 {
				t.Errorf("after 3 s at one per second: %d", n)
			}
		}
	})
}

func TestIdleKeysAreForgottenAndUsedOnesAreNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := NewShared(nil, 1, 5*time.Millisecond, quiet)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { shared.Run(ctx); close(done) }()
		st := shared.Store(10)
		admitted(t, st, "brief", perMinute(60), 1)
		admitted(t, st, "spent", limiter.Rate{Period: time.Hour, Limit: 1}, 10)
		time.Sleep(2*sweepInterval + time.Second)
		var keys []string
		shared.entries.Range(func(key, _ any) bool { keys = append(keys, key.(string)); return true })
		if !slices.Equal(keys, []string{"spent"}) {
			t.Errorf("kept %v", keys)
		}
		cancel()
		<-done
	})
}

func TestReplicasCountOneAnother(t *testing.T) {
	server := redistest.Start(t)
	a, b := NewShared(connect(t, server.URL), 9, 5*time.Millisecond, quiet), NewShared(connect(t, server.URL), 9, 5*time.Millisecond, quiet)
	a.countReplicas(t.Context())
	b.countReplicas(t.Context())
	if got := b.replicas.Load(); got != 2 {
		t.Errorf("the second counts %d", got)
	}
	server.Kill()
	b.countReplicas(t.Context())
	if got := b.replicas.Load(); got != 2 {
		t.Errorf("without Redis the last known number was lost: %d", got)
	}
}

func BenchmarkDecideFromLease(b *testing.B) {
	st := NewShared(connect(b, redistest.Start(b).URL), 1, 5*time.Millisecond, quiet).Store(1 << 30)
	rate := limiter.Rate{Period: time.Second, Limit: 1e6}
	b.ReportAllocs()
	for b.Loop() {
		st.Get(b.Context(), "k", rate)
	}
}

func TestLimitsHoldOnACluster(t *testing.T) {
	url := redistest.StartCluster(t).URL
	a, b := patient(connect(t, url)), patient(connect(t, url))
	rate := limiter.Rate{Period: time.Hour, Limit: 1}
	for _, key := range []string{"client:a", "client:b", "client:c", "ip:2001:db8::/64", "odd{}name"} { // of several nodes
		if n := admitted(t, a.Store(5), key, rate, 3) + admitted(t, b.Store(5), key, rate, 20); n != 5 {
			t.Errorf("%s: %d of a burst of 5 were admitted by two replicas", key, n)
		}
		if _, err := a.Store(5).Reset(t.Context(), key, rate); err != nil {
			t.Errorf("%s: %v", key, err)
		}
		a.hold(t.Context(), key, time.Hour)
		if n := admitted(t, a.Store(5), key, rate, 1); n != 0 {
			t.Errorf("%s was admitted in spite of the hold", key)
		}
	}
	if !a.Healthy() || !b.Healthy() {
		t.Error("decisions were local")
	}
	a.countReplicas(t.Context())
	b.countReplicas(t.Context())
	if n := b.replicas.Load(); n != 2 {
		t.Errorf("%d replicas are counted", n)
	}
}
