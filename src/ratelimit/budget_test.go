package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
)

// oneRedis decides as takeScript does (a test of its own compares them), in a synctest bubble's time.
type oneRedis struct {
	redis.UniversalClient
	mu   sync.Mutex
	tat  map[string]time.Time
	hold map[string]time.Time
}

func newOneRedis() *oneRedis {
	return &oneRedis{tat: map[string]time.Time{}, hold: map[string]time.Time{}}
}

func (r *oneRedis) EvalSha(ctx context.Context, _ string, keys []string, args ...any) *redis.Cmd {
	r.mu.Lock()
	defer r.mu.Unlock()
	cmd, now := redis.NewCmd(ctx), time.Now()
	if wait := r.hold[keys[1]].Sub(now); wait > 0 {
		cmd.SetVal([]any{int64(0), int64(0), wait.Microseconds()})
		return cmd
	}
	g := gcra{time.Duration(args[0].(int64)) * time.Microsecond, args[1].(int64)}
	tat, d := g.take(r.tat[keys[0]], now, args[2].(int64), args[3].(int64))
	r.tat[keys[0]] = tat
	cmd.SetVal([]any{d.granted, d.available, d.wait.Microseconds()})
	return cmd
}

func (r *oneRedis) Eval(ctx context.Context, _ string, keys []string, args ...any) *redis.Cmd {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hold[keys[0]] = time.Now().Add(time.Duration(args[0].(int64)) * time.Microsecond)
	return redis.NewCmd(ctx)
}

// meter is an upstream that counts in a sliding window.
type meter struct {
	mu                sync.Mutex
	window            time.Duration
	quota             int
	times             []time.Time
	accepted, refused int
}

func (m *meter) call() (nothingFor time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	for len(m.times) > 0 && now.Sub(m.times[0]) >= m.window {
		m.times = m.times[1:]
	}
	if len(m.times) >= m.quota {
		m.refused++
		return m.window - now.Sub(m.times[0])
	}
	m.times = append(m.times, now)
	m.accepted++
	return 0
}

func runBudget(t *testing.T, b *Budget) {
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { b.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
}

// Whatever window the upstream counts in, three replicas under full demand use its quota and are not refused.
func TestReplicasUseTheQuotaAndProvokeNoRefusal(t *testing.T) {
	for _, perMinute := range []int64{30, 60, 600, 3000} {
		for _, window := range []time.Duration{time.Minute, 10 * time.Second} {
			t.Run(fmt.Sprintf("%d per minute counted over %v", perMinute, window), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					const replicas, length = 3, 5 * time.Minute
					server, upstream := newOneRedis(), &meter{window: window, quota: int(perMinute * int64(window) / int64(time.Minute))}
					ctx, cancel := context.WithTimeout(t.Context(), length)
					var wg sync.WaitGroup
					for i := range replicas {
						b := NewBudget(NewShared(server, replicas, 5*time.Millisecond, quiet), "org", BudgetConfig{PerMinute: perMinute, MaxWait: time.Minute, MaxQueue: 100})
						wg.Go(func() { b.Run(ctx) })
						for j := range 20 { // callers who ask again as soon as they are answered
							rnd := rand.New(rand.NewPCG(uint64(i), uint64(j)))
							wg.Go(func() {
								for ctx.Err() == nil {
									if b.Wait(ctx, Quote) != nil {
										time.Sleep(time.Second)
										continue
									}
									time.Sleep(time.Duration(rnd.Int64N(int64(20 * time.Millisecond)))) // the network
									if wait := upstream.call(); wait > 0 {
										b.Observe(ctx, wait)
									}
								}
							})
						}
					}
					wg.Wait()
					cancel()
					quota := float64(perMinute) * length.Minutes()
					t.Logf("used %.1f %% of the quota, %d refused", 100*float64(upstream.accepted)/quota, upstream.refused)
					if float64(upstream.accepted) < 0.95*quota {
						t.Errorf("used only %d of %.0f", upstream.accepted, quota)
					}
					if upstream.refused*1000 > upstream.accepted {
						t.Errorf("%d of %d calls were refused", upstream.refused, upstream.accepted)
					}
				})
			})
		}
	}
}

func TestTheUrgentGoFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(NewShared(nil, 1, 5*time.Millisecond, quiet), "org", BudgetConfig{PerMinute: 60, MaxWait: time.Minute, MaxQueue: 100})
		runBudget(t, b)
		if err := b.Wait(t.Context(), Price); err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var order []Priority
		var wg sync.WaitGroup
		for _, p := range []Priority{Price, Quote, Price, Swap, Quote, Swap} {
			wg.Go(func() {
				if err := b.Wait(t.Context(), p); err != nil {
					t.Error(err)
				}
				mu.Lock()
				order = append(order, p)
				mu.Unlock()
			})
			synctest.Wait()
		}
		wg.Wait()
		if fmt.Sprint(order) != fmt.Sprint([]Priority{Swap, Swap, Quote, Quote, Price, Price}) {
			t.Errorf("served in the order %v", order)
		}
	})
}

func TestWhatCannotBeServedInTimeIsToldSoAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(NewShared(nil, 1, 5*time.Millisecond, quiet), "org", BudgetConfig{PerMinute: 60, MaxWait: 5 * time.Second, MaxQueue: 100})
		runBudget(t, b)
		var served, refused atomic.Int64
		var wg sync.WaitGroup
		start := time.Now()
		for range 20 {
			wg.Go(func() {
				err := b.Wait(t.Context(), Quote)
				var e *Exhausted
				switch {
				case err == nil:
					served.Add(1)
				case errors.As(err, &e) && time.Since(start) == 0 && e.RetryAfter > 4*time.Second && e.RetryAfter <= 8*time.Second:
					refused.Add(1)
				default:
					t.Errorf("after %v: %v", time.Since(start), err)
				}
			})
			synctest.Wait()
		}
		wg.Wait()
		// One at once, then one every 1.04 s: the fifth after it comes at 5.2 s, too late.
		if served.Load() != 5 || served.Load()+refused.Load() != 20 {
			t.Errorf("%d served, %d refused", served.Load(), refused.Load())
		}
	})
}

func TestQueueIsBoundedAndForgetsWhoLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(NewShared(nil, 1, 5*time.Millisecond, quiet), "org", BudgetConfig{PerMinute: 60, MaxWait: time.Hour, MaxQueue: 3})
		runBudget(t, b)
		b.Wait(t.Context(), Quote)
		left := errors.New("left")
		ctx, cancel := context.WithCancelCause(t.Context())
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if err := b.Wait(ctx, Quote); !errors.Is(err, left) {
					t.Errorf("got %v", err)
				}
			})
		}
		synctest.Wait()
		if n := b.Queued(); n != 3 {
			t.Fatalf("%d wait", n)
		}
		var e *Exhausted
		if err := b.Wait(t.Context(), Swap); !errors.As(err, &e) {
			t.Errorf("the queue is full: %v", err)
		}
		cancel(left)
		wg.Wait()
		if n := b.Queued(); n != 0 {
			t.Errorf("%d still wait", n)
		}
		if err := b.Wait(t.Context(), Swap); err != nil {
			t.Errorf("the queue is free: %v", err)
		}
	})
}

func TestWhatTheUpstreamSaysHoldsAllReplicas(t *testing.T) {
	for _, perMinute := range []int64{600, 0} {
		synctest.Test(t, func(t *testing.T) {
			server := newOneRedis()
			cfg := BudgetConfig{PerMinute: perMinute, MaxWait: time.Second, MaxQueue: 10}
			a, b := NewBudget(NewShared(server, 2, 5*time.Millisecond, quiet), "org", cfg), NewBudget(NewShared(server, 2, 5*time.Millisecond, quiet), "org", cfg)
			runBudget(t, a)
			runBudget(t, b)
			a.Observe(t.Context(), 10*time.Second)
			var e *Exhausted
			if err := a.Wait(t.Context(), Swap); !errors.As(err, &e) || e.RetryAfter != 10*time.Second {
				t.Errorf("here: %v", err)
			}
			if err := b.Wait(t.Context(), Swap); perMinute > 0 && !errors.As(err, &e) {
				t.Errorf("another replica of a known quota: %v", err)
			}
			time.Sleep(9500 * time.Millisecond)
			if err := a.Wait(t.Context(), Quote); err != nil {
				t.Errorf("who can wait for the end of the hold: %v", err)
			}
			a.Observe(t.Context(), 24*time.Hour)
			time.Sleep(time.Minute)
			if err := a.Wait(t.Context(), Quote); err != nil {
				t.Errorf("a hold beyond any window was believed: %v", err)
			}
		})
	}
}
