package oracle

import (
	"errors"
	"math/rand/v2"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

// TestAnHourOfFaultsLeavesNothingBehind runs two servers through an hour in which Jupiter and Redis come and go.
func TestAnHourOfFaultsLeavesNothingBehind(t *testing.T) {
	piped := newPipedRedis(t)
	tokens := manyTokens(60)
	synctest.Test(t, func(t *testing.T) {
		source := &fakeJupiter{}
		prices := map[string]string{}
		servers := []*updater{testUpdater(source, piped.client(t), 10*time.Second, tokens...), testUpdater(source, piped.client(t), 10*time.Second, tokens...)}
		for _, u := range servers {
			defer start(t, u)()
		}
		r := rand.New(rand.NewPCG(1, 2))
		var heap, goroutines [2]uint64
		for minute := range 60 {
			for i, mint := range tokens {
				prices[mint] = string(formatPrice(float64(i+1) * (1 + 0.001*r.Float64())))
			}
			source.set(prices)
			source.setFail(nil)
			if r.IntN(3) == 0 {
				source.setFail(func(call int, _ []string) error {
					if call%3 != 0 {
						return errors.New("connection reset")
					}
					return nil
				})
			}
			piped.setDown(minute > 5 && minute < 55 && r.IntN(4) == 0)
			advance(time.Minute)
			source.mu.Lock() // what the test itself has piled up
			source.calls, source.at = nil, nil
			source.mu.Unlock()
			if at := map[int]int{9: 1, 59: 2}[minute]; at > 0 {
				runtime.GC()
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				heap[at-1], goroutines[at-1] = m.HeapAlloc, uint64(runtime.NumGoroutine())
			}
		}
		for i, u := range servers {
			if problem, redisErr := u.status(); redisErr != nil {
				t.Errorf("server %d: %s, %v", i, problem, redisErr)
			}
			for _, mint := range tokens {
				e := u.book.snapshot()[mint]
				if u.rules.ages.state(e.record, u.clock.now()) == stale {
					t.Errorf("server %d: the price of %s is %v old", i, mint, u.clock.since(e.ObservedAt))
				}
			}
		}
		t.Logf("heap %d kB after ten minutes, %d kB after an hour; %d and %d goroutines", heap[0]>>10, heap[1]>>10, goroutines[0], goroutines[1])
		// A day of history is 17 kB a token and server: 50 minutes are 72 kB of 60 tokens in Redis and in two servers.
		if heap[1] > heap[0]+2<<20 {
			t.Errorf("the heap grew from %d kB to %d kB", heap[0]>>10, heap[1]>>10)
		}
		if goroutines[1] > goroutines[0]+20 {
			t.Errorf("goroutines went from %d to %d", goroutines[0], goroutines[1])
		}
	})
}
