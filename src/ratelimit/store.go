package ratelimit

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/ulule/limiter/v3"
)

const (
	// retryPause is how long decisions stay local after Redis failed; then one request tries it.
	retryPause = time.Second
	// leaseTTL bounds how old a leased admission can be when it is used.
	leaseTTL = time.Second
	// leaseShare of the burst is the most that one replica leases ahead for one key.
	leaseShare = 10

	heartbeat     = 5 * time.Second
	replicasKey   = "ratelimit:replicas"
	sweepInterval = 10 * time.Second
)

// Shared is one replica's part in limits that hold across replicas. With n replicas a key is admitted at most
// rate × T + burst + n × MaxLease(burst) times in any window T while Redis serves. Without Redis each replica goes on by
// itself, with the share of the last known number of replicas.
type Shared struct {
	client   redis.UniversalClient // nil: local only
	script   *redis.Script
	log      *slog.Logger
	self     string
	patience time.Duration // the most that one decision waits for Redis, queueing included
	replicas atomic.Int64
	retryAt  atomic.Int64 // Unix nanoseconds until which decisions are local; 0: Redis serves
	trips    atomic.Int64
	entries  sync.Map // key → *entry
}

// redisKeys are where a key's arrival time and its hold are: in one hash slot, so that one script of a cluster reaches both.
func redisKeys(key string) (arrival, hold string) {
	return "ratelimit:key:{" + key + "}", "ratelimit:hold:{" + key + "}"
}

// NewShared returns a Shared on client, which may be nil. It does not need Redis to be up, now or ever. Until Redis tells
// their number, replicas are taken to be as many as given. A decision waits for Redis no longer than patience. Run must run.
func NewShared(client redis.UniversalClient, replicas int64, patience time.Duration, log *slog.Logger) *Shared {
	s := &Shared{client: client, script: redis.NewScript(takeScript), log: log, self: rand.Text(), patience: patience}
	s.replicas.Store(max(replicas, 1))
	return s
}

// MaxLease is the most admissions that one replica holds ahead for one key of a burst.
func MaxLease(burst int64) int64 { return max(burst/leaseShare, 1) }

// Store returns a limiter.Store whose rates have a burst. Stores of one Shared must not share keys.
func (s *Shared) Store(burst int64) limiter.Store { return store{s, burst} }

// Healthy says whether decisions are shared at present.
func (s *Shared) Healthy() bool { return s.client != nil && s.retryAt.Load() == 0 }

// RoundTrips counts the questions to Redis so far.
func (s *Shared) RoundTrips() int64 { return s.trips.Load() }

// Run tells Redis that this replica lives, learns how many others do, and forgets idle keys, until ctx ends.
func (s *Shared) Run(ctx context.Context) error {
	beat, sweep := time.NewTicker(heartbeat), time.NewTicker(sweepInterval)
	defer beat.Stop()
	defer sweep.Stop()
	s.countReplicas(ctx)
	if s.client != nil {
		s.script.Load(ctx, s.client) // spares the first request a round trip; it does without
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-beat.C:
			s.countReplicas(ctx)
		case <-sweep.C:
			s.sweep(time.Now())
		}
	}
}

// countReplicas keeps a sorted set of replicas by the time of their last heartbeat; one that missed three is gone.
func (s *Shared) countReplicas(ctx context.Context) {
	if s.client == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	n, err := s.client.Eval(ctx, `
local now = redis.call('TIME')[1]
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[2])
return redis.call('ZCARD', KEYS[1])`, []string{replicasKey}, s.self, int64(3*heartbeat/time.Second)).Int64()
	if err == nil {
		s.replicas.Store(max(n, 1))
	}
}

func (s *Shared) sweep(now time.Time) {
	s.entries.Range(func(key, value any) bool {
		if value.(*entry).idle(now) {
			s.entries.Delete(key)
		}
		return true
	})
}

// entry is what this replica knows of one key.
type entry struct {
	turn chan struct{} // holds one token: who has it may ask Redis

	mu           sync.Mutex
	leased       int64 // admissions that Redis has granted and nobody has used
	leaseExpires time.Time
	size         int64     // of the next lease
	refusedUntil time.Time // Redis has said that there is nothing until then
	available    int64     // at Redis, when last asked
	// local is the theoretical arrival time of the local limiter, which counts all that this replica admits: who has used
	// his share when Redis goes has no second one.
	local time.Time
}

func newEntry() *entry {
	e := &entry{turn: make(chan struct{}, 1), size: 1}
	e.turn <- struct{}{}
	return e
}

func (e *entry) idle(now time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return now.After(e.leaseExpires) && now.After(e.refusedUntil) && now.After(e.local)
}

// known decides from what Redis said before, if that is enough.
func (e *entry) known(now time.Time, count int64, share gcra) (d decision, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case count == 0:
		return d, false
	case e.leased >= count && now.Before(e.leaseExpires):
		e.leased -= count
		e.local = share.spend(e.local, now, count)
		return decision{granted: count, available: e.available + e.leased}, true
	case now.Before(e.refusedUntil):
		return decision{wait: e.refusedUntil.Sub(now)}, true
	}
	return d, false
}

// lease is how many admissions to ask of Redis for a request of count: more each time that a lease was used up in its
// life, so that one request in many pays a round trip, and none ahead for a key that is seldom seen.
func (e *entry) lease(now time.Time, count int64, g gcra) int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	if count == 0 {
		return 0
	}
	if now.After(e.leaseExpires) {
		e.leased, e.size = 0, 1
	} else {
		e.size = min(2*e.size, MaxLease(g.burst))
	}
	return count + e.size - 1
}

// learn takes over what Redis answered to a request of count.
func (e *entry) learn(now time.Time, count int64, share gcra, d decision) decision {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.available = d.available
	if d.granted > 0 {
		e.leased, e.leaseExpires = e.leased+d.granted-count, now.Add(leaseTTL)
		d.granted = count
		e.local = share.spend(e.local, now, count)
	}
	if count == 1 && d.granted == 0 {
		e.refusedUntil = now.Add(d.wait)
	}
	d.available += e.leased
	return d
}

func (e *entry) takeLocal(now time.Time, count int64, share gcra) (d decision) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.local, d = share.take(e.local, now, count, count)
	return d
}

type store struct {
	shared *Shared
	burst  int64
}

// Get admits one request of key, or not. Its error is always nil: there is always a limiter to ask.
func (st store) Get(ctx context.Context, key string, rate limiter.Rate) (limiter.Context, error) {
	return st.Increment(ctx, key, 1, rate)
}

// Increment admits count requests at once, or none.
func (st store) Increment(ctx context.Context, key string, count int64, rate limiter.Rate) (limiter.Context, error) {
	now := time.Now()
	d := st.shared.decide(ctx, now, key, newGCRA(rate, st.burst), count)
	return result(now, rate, d, d.granted < count), nil
}

// Peek tells what Get would find and admits nothing.
func (st store) Peek(ctx context.Context, key string, rate limiter.Rate) (limiter.Context, error) {
	now := time.Now()
	d := st.shared.decide(ctx, now, key, newGCRA(rate, st.burst), 0)
	return result(now, rate, d, d.available < 1), nil
}

// Reset forgets what key has used, here and in Redis. Leases that other replicas hold stay.
func (st store) Reset(ctx context.Context, key string, rate limiter.Rate) (limiter.Context, error) {
	st.shared.entries.Delete(key)
	var err error
	if st.shared.client != nil {
		arrival, hold := redisKeys(key)
		err = st.shared.client.Del(ctx, arrival, hold).Err()
	}
	return limiter.Context{Limit: rate.Limit, Remaining: st.burst, Reset: time.Now().Unix()}, err
}

// result rounds the moment to come back up to a whole second.
func result(now time.Time, rate limiter.Rate, d decision, reached bool) limiter.Context {
	return limiter.Context{
		Limit:     rate.Limit,
		Remaining: d.available,
		Reset:     now.Add(d.wait + time.Second - 1).Unix(),
		Reached:   reached,
	}
}

// decide takes count admissions: from the lease, else from Redis together with a new lease, else from the local limiter.
func (s *Shared) decide(ctx context.Context, now time.Time, key string, g gcra, count int64) decision {
	e, share := s.entry(key), g.share(s.replicas.Load())
	if d, ok := e.known(now, count, share); ok {
		return d
	}
	if s.mayAsk(now) {
		// The answer serves this replica even if its caller hangs up.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.patience)
		defer cancel()
		if d, ok := s.shared(ctx, e, key, g, share, count); ok {
			return d
		}
	}
	return e.takeLocal(now, count, share)
}

func (s *Shared) entry(key string) *entry {
	value, ok := s.entries.Load(key)
	if !ok {
		value, _ = s.entries.LoadOrStore(key, newEntry())
	}
	return value.(*entry)
}

// hold refuses key for a while, on all replicas as far as Redis serves.
func (s *Shared) hold(ctx context.Context, key string, d time.Duration) {
	now := time.Now()
	e := s.entry(key)
	e.mu.Lock()
	e.leased = 0
	if until := now.Add(d); until.After(e.refusedUntil) {
		e.refusedUntil = until
	}
	e.mu.Unlock()
	if !s.mayAsk(now) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.patience)
	defer cancel()
	_, hold := redisKeys(key)
	if err := s.client.Eval(ctx, holdScript, []string{hold}, d.Microseconds()).Err(); err != nil && !errors.Is(err, redis.Nil) {
		s.failed(err)
	}
}

// failed makes decisions local for a while.
func (s *Shared) failed(err error) {
	if s.retryAt.Swap(time.Now().Add(retryPause).UnixNano()) == 0 {
		s.log.Warn("Redis does not serve the limits; each replica enforces its share", "replicas", s.replicas.Load(), "error", err)
	}
}

// mayAsk says whether to ask Redis: always while it serves, and once per retryPause while it does not.
func (s *Shared) mayAsk(now time.Time) bool {
	if s.client == nil {
		return false
	}
	at := s.retryAt.Load()
	return at == 0 || now.UnixNano() >= at && s.retryAt.CompareAndSwap(at, now.Add(retryPause).UnixNano())
}

// shared asks Redis, one request per key at a time: those that waited find the lease of the first.
func (s *Shared) shared(ctx context.Context, e *entry, key string, g, share gcra, count int64) (decision, bool) {
	select {
	case <-e.turn:
		defer func() { e.turn <- struct{}{} }()
	case <-ctx.Done():
		return decision{}, false
	}
	now := time.Now()
	if d, ok := e.known(now, count, share); ok {
		return d, true
	}
	s.trips.Add(1)
	arrival, hold := redisKeys(key)
	answer, err := s.script.Run(ctx, s.client, []string{arrival, hold},
		g.interval.Microseconds(), g.burst, count, e.lease(now, count, g)).Int64Slice()
	if err == nil && len(answer) != 3 {
		err = errors.New("an answer of another script")
	}
	if err != nil {
		s.failed(err)
		return decision{}, false
	}
	if s.retryAt.Swap(0) != 0 {
		s.log.Info("Redis serves the limits again")
	}
	return e.learn(time.Now(), count, share, decision{answer[0], answer[1], time.Duration(answer[2]) * time.Microsecond}), true
}
