package oracle

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gagliardetto/solana-go"
	"github.com/google/go-cmp/cmp"

	"jupiter-dex-integration/src/jupiter"
)

// start runs u in the bubble until the returned function is called.
func start(t *testing.T, u *updater) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { u.run(ctx) })
	return func() { cancel(); wg.Wait() }
}

// advance lets d pass and what it set off finish.
func advance(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestServerUpdatesAtOnceThenEveryInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &fakeJupiter{}
		source.set(map[string]string{wsol: "75.1"})
		u := testUpdater(source, nil, 5*time.Minute, wsol)
		defer start(t, u)()
		synctest.Wait()
		if source.count() != 1 || u.book.usd(wsol) != "75.1" {
			t.Fatalf("%d calls at start, price %q", source.count(), u.book.usd(wsol))
		}
		advance(time.Hour)
		// 12 intervals, stretched by up to a tenth of jitter.
		if n := source.count() - 1; n < 10 || n > 12 {
			t.Errorf("%d calls in the hour after", n)
		}
		for i := 1; i < len(source.at); i++ {
			if gap := source.at[i].Sub(source.at[i-1]); gap < 5*time.Minute || gap > 5*time.Minute+31*time.Second {
				t.Errorf("%v between updates", gap)
			}
		}
	})
}

func TestIncompleteUpdateIsRepeatedSoonAndThenLessAndLess(t *testing.T) {
	piped := newPipedRedis(t)
	synctest.Test(t, func(t *testing.T) {
		source := &fakeJupiter{fail: func(int, []string) error { return jupiter.Errorf(http.StatusUnauthorized, "", "no key yet") }}
		source.set(map[string]string{wsol: "75.1"})
		for range 2 {
			defer start(t, testUpdater(source, piped.client(t), 5*time.Minute, wsol))()
		}
		advance(10 * time.Second)
		if n := source.count(); n != 3 { // at once, after 2 s, after 4 s
			t.Errorf("%d calls in the first 10 s", n)
		}
		advance(time.Hour)
		before := source.count()
		advance(time.Hour)
		if n := source.count() - before; n < 10 || n > 12 {
			t.Errorf("%d calls in an hour, long after the trouble began", n)
		}
		source.mu.Lock()
		source.fail = nil
		source.mu.Unlock()
		advance(6 * time.Minute)
		before = source.count()
		advance(10 * time.Minute)
		if n := source.count() - before; n < 1 || n > 2 {
			t.Errorf("%d calls in ten minutes when all is well again", n)
		}
	})
}

func TestTwoServersAndTheJobCallAsOftenAsOneSchedule(t *testing.T) {
	piped := newPipedRedis(t)
	synctest.Test(t, func(t *testing.T) {
		source := &fakeJupiter{delay: 300 * time.Millisecond}
		source.set(map[string]string{wsol: "75.1"})
		servers := []*updater{testUpdater(source, piped.client(t), 5*time.Minute, wsol), testUpdater(source, piped.client(t), 5*time.Minute, wsol)}
		for _, u := range servers {
			defer start(t, u)()
		}
		for range 12 { // an hour of CronJobs
			job := testUpdater(source, piped.client(t), 5*time.Minute, wsol)
			if err := job.once(t.Context()); err != nil {
				t.Error(err)
			}
			advance(5 * time.Minute)
		}
		if n := source.count(); n < 10 || n > 13 {
			t.Errorf("%d calls in an hour of a five-minute schedule", n)
		}
		source.set(map[string]string{wsol: "76.2"})
		advance(6 * time.Minute)
		for i, u := range servers {
			if u.book.usd(wsol) != "76.2" {
				t.Errorf("server %d serves %s", i, u.book.usd(wsol))
			}
		}
	})
}

func TestServerIsServedByRedisBeforeItCallsAnyone(t *testing.T) {
	piped := newPipedRedis(t)
	synctest.Test(t, func(t *testing.T) {
		source := &fakeJupiter{}
		source.set(map[string]string{wsol: "75.1"})
		if err := testUpdater(source, piped.client(t), 5*time.Minute, wsol).once(t.Context()); err != nil {
			t.Fatal(err)
		}
		broken := &fakeJupiter{fail: func(int, []string) error { return errors.New("unreachable") }}
		u := testUpdater(broken, piped.client(t), 5*time.Minute, wsol)
		defer start(t, u)()
		synctest.Wait()
		if u.book.usd(wsol) != "75.1" || broken.count() != 0 {
			t.Errorf("price %q after %d calls", u.book.usd(wsol), broken.count())
		}
	})
}

func TestRedisAwayPricesComeFromMemoryAndReturnToRedis(t *testing.T) {
	piped := newPipedRedis(t)
	synctest.Test(t, func(t *testing.T) {
		source := &fakeJupiter{}
		source.set(map[string]string{wsol: "75.1"})
		rdb := piped.client(t)
		u := testUpdater(source, rdb, time.Minute, wsol)
		defer start(t, u)()
		synctest.Wait()

		piped.setDown(true)
		source.set(map[string]string{wsol: "80"})
		advance(2 * time.Minute)
		if _, redisErr := u.status(); redisErr == nil || u.book.usd(wsol) != "80" {
			t.Fatalf("without Redis: price %s, reported %v", u.book.usd(wsol), redisErr)
		}
		source.setFail(func(int, []string) error { return errors.New("unreachable") })
		piped.FlushAll() // it comes back empty, and the source is gone
		piped.setDown(false)
		advance(3 * time.Second)
		got, err := newStore(rdb, "mainnet").load(t.Context())
		if err != nil || got.records[wsol].Price != "80" {
			t.Errorf("Redis holds %v (%v) after its return", got.records, err)
		}
		if _, redisErr := u.status(); redisErr != nil {
			t.Errorf("still reported: %v", redisErr)
		}
	})
}

func TestOlderPricesInRedisDoNotReplaceNewerOnesInMemory(t *testing.T) {
	piped := newPipedRedis(t)
	synctest.Test(t, func(t *testing.T) {
		source := &fakeJupiter{}
		source.set(map[string]string{wsol: "75", usdc: "1"})
		rdb := piped.client(t)
		a, b := testUpdater(source, rdb, time.Minute, wsol), testUpdater(source, piped.client(t), time.Minute, usdc)
		if err := b.once(t.Context()); err != nil { // another list of tokens, as in the middle of a rollout
			t.Fatal(err)
		}
		advance(time.Minute)
		piped.setDown(true)
		a.step(t.Context())
		source.set(map[string]string{wsol: "80", usdc: "1.01"})
		piped.setDown(false)
		a.step(t.Context())
		got, err := newStore(rdb, "mainnet").load(t.Context())
		if err != nil || got.records[wsol].Price != "75" || got.records[usdc].Price != "1" {
			t.Errorf("Redis holds %v (%v)", got.records, err)
		}
		if a.book.usd(usdc) != "1" {
			t.Errorf("the other replica's token is served as %q", a.book.usd(usdc))
		}
	})
}

func TestCrashedLeaderIsReplacedAfterItsLease(t *testing.T) {
	piped := newPipedRedis(t)
	synctest.Test(t, func(t *testing.T) {
		source := &fakeJupiter{}
		source.set(map[string]string{wsol: "75"})
		if _, err := newStore(piped.client(t), "mainnet").begin(t.Context(), time.Hour); err != nil { // and never heard of again
			t.Fatal(err)
		}
		u := testUpdater(source, piped.client(t), time.Hour, wsol)
		defer start(t, u)()
		advance(leaseTTL - time.Second)
		if source.count() != 0 {
			t.Fatal("updated while another held the lease")
		}
		advance(3 * time.Second)
		if source.count() != 1 || u.book.usd(wsol) != "75" {
			t.Errorf("%d calls, price %q", source.count(), u.book.usd(wsol))
		}
	})
}

func TestSlowLeaderStaysInOffice(t *testing.T) {
	piped := newPipedRedis(t)
	synctest.Test(t, func(t *testing.T) {
		tokens := manyTokens(jupiter.MaxPriceIDs * 12)
		source := &fakeJupiter{delay: 8 * time.Second} // 96 s in all: longer than a lease
		slow, other := testUpdater(source, piped.client(t), time.Hour, tokens...), testUpdater(source, piped.client(t), time.Hour, tokens...)
		defer start(t, slow)()
		synctest.Wait()
		defer start(t, other)()
		advance(3 * time.Minute)
		if n := source.count(); n != 12 {
			t.Errorf("%d calls for 12 batches", n)
		}
	})
}

func TestStoppedLeaderHandsOverAtOnce(t *testing.T) {
	piped := newPipedRedis(t)
	synctest.Test(t, func(t *testing.T) {
		source := &fakeJupiter{delay: 5 * time.Second}
		source.set(map[string]string{wsol: "75"})
		stop := start(t, testUpdater(source, piped.client(t), time.Hour, wsol))
		advance(time.Second)
		stop()
		u := testUpdater(source, piped.client(t), time.Hour, wsol)
		defer start(t, u)()
		advance(6 * time.Second)
		if u.book.usd(wsol) != "75" {
			t.Error("the successor had to wait")
		}
	})
}

func TestPartialFailureKeepsTheLastGoodPricesAndSaysSo(t *testing.T) {
	piped := newPipedRedis(t)
	synctest.Test(t, func(t *testing.T) {
		tokens := manyTokens(120)
		prices := map[string]string{}
		for _, mint := range tokens {
			prices[mint] = "1"
		}
		source := &fakeJupiter{}
		source.set(prices)
		rdb := piped.client(t)
		u := testUpdater(source, rdb, time.Minute, tokens...)
		if err := u.once(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, batch := range source.calls {
			if len(batch) > jupiter.MaxPriceIDs {
				t.Errorf("%d ids in one call", len(batch))
			}
		}
		for mint := range prices {
			prices[mint] = "1.05"
		}
		source.set(prices)
		source.setFail(func(_ int, mints []string) error {
			if mints[0] == tokens[50] {
				return jupiter.Errorf(http.StatusServiceUnavailable, "", "maintenance")
			}
			return nil
		})
		advance(time.Minute)
		before := source.count()
		err := u.once(t.Context())
		if err == nil || !strings.Contains(err.Error(), "50 tokens from "+tokens[50]) {
			t.Errorf("error %v", err)
		}
		if n := source.count() - before; n != 3+retriesPerUpdate {
			t.Errorf("%d calls for 3 batches, one of them failing", n)
		}
		got, _ := u.store.load(t.Context())
		for i, mint := range tokens {
			want := "1.05"
			if i >= 50 && i < 100 {
				want = "1"
			}
			if string(got.records[mint].Price) != want {
				t.Fatalf("token %d is %s, want %s", i, got.records[mint].Price, want)
			}
		}
		// A job that finds the update done says how it ended.
		if err := testUpdater(source, rdb, time.Minute, tokens...).once(t.Context()); err == nil || !strings.Contains(err.Error(), "maintenance") {
			t.Errorf("the next job, within the interval: %v", err)
		}
	})
}

func TestJobWaitsForTheLeaderAtWork(t *testing.T) {
	piped := newPipedRedis(t)
	synctest.Test(t, func(t *testing.T) {
		source := &fakeJupiter{delay: 5 * time.Second}
		source.set(map[string]string{wsol: "75"})
		defer start(t, testUpdater(source, piped.client(t), time.Hour, wsol))()
		synctest.Wait()
		begin := time.Now()
		if err := testUpdater(source, piped.client(t), time.Hour, wsol).once(t.Context()); err != nil {
			t.Error(err)
		}
		if waited := time.Since(begin); waited < 4*time.Second || source.count() != 1 {
			t.Errorf("done after %v and %d calls", waited, source.count())
		}
	})
}

func TestRetries(t *testing.T) {
	status := func(code int, after time.Duration) error {
		return fmt.Errorf("asking: %w", &jupiter.Error{Status: code, Message: "x", RetryAfter: after})
	}
	for name, c := range map[string]struct {
		err          error
		calls        int
		atLeast, max time.Duration
	}{
		"network failures are retried with backoff":        {errors.New("reset"), 1 + retriesPerUpdate, 3500 * time.Millisecond, 8 * time.Second},
		"overload waits as long as it asks":                {status(429, 9*time.Second), 1 + retriesPerUpdate, 36 * time.Second, 40 * time.Second},
		"but not for ever":                                 {status(429, time.Hour), 1 + retriesPerUpdate, 60 * time.Second, 61 * time.Second},
		"server errors are retried":                        {status(503, 0), 1 + retriesPerUpdate, 3500 * time.Millisecond, 8 * time.Second},
		"a request that is refused is not repeated":        {status(400, 0), 1, 0, time.Second},
		"a key that is refused is not repeated":            {status(401, 0), 1, 0, time.Second},
		"a key without permission is not repeated, either": {status(403, 0), 1, 0, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				source := &fakeJupiter{fail: func(int, []string) error { return c.err }}
				u := testUpdater(source, nil, time.Minute, wsol)
				begin := time.Now()
				if _, err := u.sources[0].observe(t.Context(), u.tokens); !errors.Is(err, c.err) {
					t.Errorf("error %v", err)
				}
				if took := time.Since(begin); source.count() != c.calls || took < c.atLeast || took > c.max {
					t.Errorf("%d calls in %v", source.count(), took)
				}
			})
		})
	}
}

func TestUsedUpQuotaIsWaitedForAndWhatJupiterSaysOfItIsPassedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &fakeJupiter{}
		source.set(map[string]string{wsol: "75"})
		source.setFail(func(call int, _ []string) error {
			if call == 1 {
				return &jupiter.Error{Status: 429, Message: "too many", RetryAfter: 7 * time.Second}
			}
			return nil
		})
		u := testUpdater(source, nil, time.Minute, wsol)
		b := &fakeBudget{refusals: 2}
		u.sources[0].(*jupiterSource).budget = b
		begin := time.Now()
		got, err := u.sources[0].observe(t.Context(), u.tokens)
		if err != nil || got[wsol].Price != "75" || source.count() != 2 {
			t.Errorf("%v, %v after %d calls", got, err, source.count())
		}
		if took := time.Since(begin); took != 13*time.Second {
			t.Errorf("took %v: twice 3 s for the quota, 7 s for Jupiter", took)
		}
		if diff := cmp.Diff([]time.Duration{7 * time.Second}, b.observed); diff != "" {
			t.Error(diff)
		}
	})
}

func TestRefusedKeyEndsTheUpdate(t *testing.T) {
	source := &fakeJupiter{fail: func(int, []string) error { return jupiter.Errorf(http.StatusUnauthorized, "", "invalid key") }}
	u := testUpdater(source, nil, time.Minute, manyTokens(500)...)
	if _, err := u.sources[0].observe(t.Context(), u.tokens); err == nil || source.count() != 1 {
		t.Errorf("%d calls, error %v", source.count(), err)
	}
}

func TestHangingUpstreamIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &fakeJupiter{delay: 24 * time.Hour}
		u := testUpdater(source, nil, time.Minute, manyTokens(5000)...)
		begin := time.Now()
		err := u.survey(t.Context(), 0).err
		if took := time.Since(begin); err == nil || took > updateTimeout {
			t.Errorf("ended after %v with %v", took, err)
		}
	})
}

func TestNonsensePricesAreRefused(t *testing.T) {
	source := &fakeJupiter{}
	source.set(map[string]string{wsol: "0", usdc: "-1", jup: "0.5"})
	u := testUpdater(source, nil, time.Minute, wsol, usdc, jup)
	got, err := u.sources[0].observe(t.Context(), u.tokens)
	if err == nil || !strings.Contains(err.Error(), wsol) || !strings.Contains(err.Error(), usdc) || got[jup].Price != "0.5" || got[wsol].Price != "" {
		t.Errorf("observed %v, error %v", got, err)
	}
}

func TestPricesExpireAfterRetention(t *testing.T) {
	piped := newPipedRedis(t)
	synctest.Test(t, func(t *testing.T) {
		source := &fakeJupiter{}
		source.set(map[string]string{wsol: "75", usdc: "1"})
		u := testUpdater(source, piped.client(t), 24*time.Hour, wsol, usdc)
		if err := u.once(t.Context()); err != nil {
			t.Fatal(err)
		}
		source.set(map[string]string{wsol: "76"})
		for range 8 {
			advance(24 * time.Hour)
			if err := u.once(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		got, err := u.store.load(t.Context())
		if err != nil || got.records[usdc].Price != "" || u.book.usd(usdc) != "" || u.book.usd(wsol) != "76" {
			t.Errorf("Redis: %v (%v), memory: %q", got.records[usdc], err, u.book.usd(usdc))
		}
		u.tokens = []string{wsol} // usdc is priced no more
		for range 8 {
			advance(24 * time.Hour)
			if err := u.once(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		got, err = u.store.load(t.Context())
		if _, kept := got.records[usdc]; err != nil || kept || len(u.book.snapshot()) != 1 {
			t.Errorf("a token that left the list is kept for ever: %v (%v)", got.records, err)
		}
	})
}

// manyTokens returns n distinct valid mints.
func manyTokens(n int) []string {
	tokens := make([]string, n)
	for i := range tokens {
		tokens[i] = solana.PublicKey{1, byte(i >> 8), byte(i)}.String()
	}
	return tokens
}
