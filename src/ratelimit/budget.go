package ratelimit

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ulule/limiter/v3"
)

// Priority orders those who wait for a budget.
type Priority int

// Priorities, the most urgent first.
const (
	Swap Priority = iota
	Quote
	Price
	priorities
)

// Exhausted says that a budget does not reach for a request in the time it can wait.
type Exhausted struct {
	// RetryAfter is when it may reach, as far as can be told now.
	RetryAfter time.Duration
}

func (e *Exhausted) Error() string {
	return fmt.Sprintf("the upstream's quota is used up; come back in %v", e.RetryAfter.Round(time.Millisecond))
}

// BudgetConfig describes a quota that an upstream enforces on all replicas together.
type BudgetConfig struct {
	// PerMinute is the quota; 0 if it is not known: then only what the upstream says of it, to Observe, slows calls down.
	PerMinute int64
	MaxWait   time.Duration
	MaxQueue  int
}

// Budget paces calls to an upstream so that it does not refuse them. Run must run.
type Budget struct {
	cfg    BudgetConfig
	shared *Shared
	key    string
	pace   gcra
	wake   chan struct{}

	mu        sync.Mutex
	queues    [priorities][]*waiter
	length    int
	holdUntil time.Time // without PerMinute: what Observe has learned
}

type waiter struct{ ready chan struct{} }

// NewBudget returns the budget that all replicas share under key.
func NewBudget(shared *Shared, key string, cfg BudgetConfig) *Budget {
	b := &Budget{cfg: cfg, shared: shared, key: key, wake: make(chan struct{}, 1)}
	if cfg.PerMinute > 0 {
		b.pace = paceFor(cfg.PerMinute)
	}
	return b
}

// paceFor uses 96 % of a quota. Upstreams count in sliding windows, and say 60 seconds while some count 10: in any 10
// seconds the pace admits at most 1 + 2 % more than 96 % of a sixth of the quota, and the 2 % left absorb what the network
// does to the spacing.
func paceFor(perMinute int64) gcra {
	g := newGCRA(limiter.Rate{Period: time.Minute, Limit: perMinute}, 1+perMinute/6*2/100)
	g.interval = (g.interval * 100 / 96).Truncate(time.Microsecond)
	return g
}

// Wait returns when a call may be made. Its error is an *Exhausted, at once if it is plain that MaxWait does not suffice, or
// the cause of ctx's end.
func (b *Budget) Wait(ctx context.Context, p Priority) error {
	b.mu.Lock()
	ahead := 0
	for _, q := range b.queues[:p+1] {
		ahead += len(q)
	}
	full := b.length >= b.cfg.MaxQueue
	b.mu.Unlock()
	wait := time.Duration(ahead+1) * b.pace.interval
	if ahead == 0 {
		d := b.decide(ctx)
		if d.granted > 0 {
			return nil
		}
		wait = d.wait
	}
	if full || wait > b.cfg.MaxWait {
		return &Exhausted{max(wait, b.pace.interval)}
	}

	w := &waiter{make(chan struct{})}
	b.mu.Lock()
	b.queues[p] = append(b.queues[p], w)
	b.length++
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default: // it is awake
	}
	timer := time.NewTimer(b.cfg.MaxWait)
	defer timer.Stop()
	var err error
	select {
	case <-w.ready:
		return nil
	case <-timer.C:
		err = &Exhausted{max(wait, time.Second)}
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if !b.leave(p, w) {
		return nil // its turn came at the same moment; the call would be lost otherwise
	}
	return err
}

// leave takes w out of the queue and says whether it was still there.
func (b *Budget) leave(p Priority, w *waiter) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.Index(b.queues[p], w)
	if i >= 0 {
		b.queues[p] = slices.Delete(b.queues[p], i, i+1)
		b.length--
	}
	return i >= 0
}

// Run gives the waiting their turn until ctx ends.
func (b *Budget) Run(ctx context.Context) error {
	for {
		var pause <-chan time.Time
		if b.Queued() > 0 {
			if d := b.decide(ctx); d.granted > 0 {
				b.release()
				continue
			} else {
				pause = time.After(max(d.wait, time.Millisecond))
			}
		}
		if pause == nil {
			select {
			case <-b.wake:
			case <-ctx.Done():
				return ctx.Err()
			}
			continue
		}
		select { // newcomers do not make it come sooner
		case <-pause:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// release lets the most urgent go that came first.
func (b *Budget) release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for p, q := range b.queues {
		if len(q) > 0 {
			close(q[0].ready)
			b.queues[p] = q[1:]
			b.length--
			return
		}
	}
}

// Queued is how many wait.
func (b *Budget) Queued() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.length
}

func (b *Budget) decide(ctx context.Context) decision {
	if b.cfg.PerMinute > 0 {
		return b.shared.decide(ctx, time.Now(), b.key, b.pace, 1)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if wait := time.Until(b.holdUntil); wait > 0 {
		return decision{wait: wait}
	}
	return decision{granted: 1}
}

// Observe corrects the budget by what the upstream says: nothing is left for a time. Others may use the same quota.
func (b *Budget) Observe(ctx context.Context, nothingFor time.Duration) {
	nothingFor = min(nothingFor, time.Minute) // no window is longer
	if b.cfg.PerMinute > 0 {
		b.shared.hold(ctx, b.key, nothingFor)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if until := time.Now().Add(nothingFor); until.After(b.holdUntil) {
		b.holdUntil = until
	}
}
