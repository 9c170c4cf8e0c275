package oracle

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

const (
	// pollInterval is how soon a replica sees what another one wrote.
	pollInterval = time.Second
	// minRetry is how long after an incomplete update the next one comes; after each further one it is twice as long, up to the
	// interval. What was missing at the start of everything is so there in seconds.
	minRetry = 2 * time.Second
	// updateTimeout bounds one update, retries included: 100 batches without a key take three and a half minutes.
	updateTimeout = 5 * time.Minute
	redisTimeout  = 5 * time.Second
)

// updater keeps the book fresh: from Redis when another replica or the job has updated, from the source when it is this
// process's turn, and from the source alone while Redis is away.
type updater struct {
	tokens   []string
	interval time.Duration
	sources  []source
	decimals *decimals
	rules    rules
	clock    *clock
	store    *store // nil: no Redis is configured
	book     *book
	history  *history
	streams  *streams
	metrics  *metrics
	log      *slog.Logger
	// background is what must run meanwhile, close what comes at the end.
	background []func(context.Context) error
	close      func() error

	// What only the goroutine of run or once touches.
	version   int64         // of the prices in Redis that the book contains
	unsaved   bool          // the book may hold what Redis does not
	refreshed time.Time     // when this process last completed, or learnt of, an update
	jitter    time.Duration // spreads the schedules of deployments that started together
	expired   []string      // mints in Redis past their retention, for the next commit to remove

	mu       sync.Mutex
	problem  string // of the last update, "" after a good one
	failures int    // incomplete updates in a row
	health   []sourceHealth
	redisErr error
}

// status says what is wrong with the last update, and with Redis.
func (u *updater) status() (problem string, redisErr error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.problem, u.redisErr
}

// run serves until ctx ends.
func (u *updater) run(ctx context.Context) error {
	ticker := time.NewTicker(min(pollInterval, u.interval/2))
	defer ticker.Stop()
	for {
		u.step(ctx)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// step takes over what others wrote, gives back what Redis lost, and updates if it is time and nobody else does.
func (u *updater) step(ctx context.Context) {
	age := u.due()
	if u.store == nil {
		u.alone(ctx, age)
		return
	}
	t, err := u.store.begin(ctx, age)
	if err == nil {
		u.clock.set(t.Now)
	}
	if err == nil && (t.Version != u.version || u.unsaved) {
		if err = u.sync(ctx, &t); err != nil && t.Fence > 0 {
			u.release(ctx, t.Fence)
		}
	}
	if ctx.Err() != nil {
		return
	}
	u.noteRedis(err)
	switch {
	case err != nil:
		u.alone(ctx, age)
	case t.Fence > 0:
		u.lead(ctx, t.Fence)
	}
}

// due is how old the last update is when the next one comes.
func (u *updater) due() time.Duration {
	u.mu.Lock()
	defer u.mu.Unlock()
	age := u.interval + u.jitter
	if u.failures > 0 {
		age = min(age, minRetry<<min(u.failures-1, 20))
	}
	return age
}

// alone updates without Redis, on this process's own schedule.
func (u *updater) alone(ctx context.Context, age time.Duration) {
	if u.refreshed.IsZero() || time.Since(u.refreshed) >= age {
		u.lead(ctx, 0)
	}
}

// sync makes the book and Redis agree on the newest price of every token. Giving back what Redis lost takes the lease, and
// with it the turn, if it is this process's.
func (u *updater) sync(ctx context.Context, t *turn) error {
	got, err := u.load(ctx)
	if err != nil {
		return err
	}
	if err := u.followHistory(ctx, got); err != nil {
		return err
	}
	if t.Version != u.version && len(got.records) > 0 {
		u.refreshed = time.Now()
		u.note(got.problem, got.sources)
		if got.problem == "" {
			u.metrics.lastSuccess.SetToCurrentTime()
		}
	}
	lost := u.book.newerThan(got.records)
	if len(lost) == 0 {
		u.version, u.unsaved = got.version, false
		return nil
	}
	u.unsaved = true
	if t.Fence == 0 {
		if *t, err = u.store.begin(ctx, 0); err != nil || t.Fence == 0 {
			return err // busy: the next step tries again
		}
	}
	series, err := u.store.loadHistory(ctx, slices.Collect(maps.Keys(u.book.snapshot())))
	if err == nil {
		err = u.store.saveHistory(ctx, u.history.merge(series))
	}
	if err != nil {
		return err
	}
	problem, _ := u.status()
	if u.version, err = u.store.commit(ctx, t.Fence, outcome{records: lost, problem: problem, sources: u.sourceHealth()}, time.Since(u.refreshed), u.history.maxBytes()); err != nil {
		return err
	}
	t.Fence, u.unsaved = 0, false
	u.log.Info("prices kept in memory were written back to Redis", "tokens", len(lost))
	return nil
}

// lead updates from the sources. With a fence it writes the result to Redis, unless another leader took over.
func (u *updater) lead(ctx context.Context, fence int64) error {
	start := time.Now()
	seen := u.survey(ctx, fence)
	if ctx.Err() != nil { // told to stop: let another replica begin at once
		if fence > 0 {
			u.release(ctx, fence)
		}
		return seen.err
	}
	out := outcome{records: make(map[string]record, len(u.tokens)), expired: append(u.expired, u.book.expired()...), sources: u.keepSuccess(seen.health)}
	before, now := u.book.snapshot(), u.clock.now()
	out.bucket, out.prices = u.history.bucket(now), map[string]float64{}
	for _, mint := range u.tokens {
		r := u.rules.next(mint, u.sources, seen.observed, before[mint].record, now)
		if r.ObservedAt.After(before[mint].ObservedAt) {
			out.prices[mint] = r.Track.Price
		}
		u.metrics.rejected(r)
		out.records[mint] = r
	}
	seen.err = errors.Join(seen.err, u.addDecimals(ctx, out.records))
	if seen.err != nil {
		out.problem = seen.err.Error()
		u.log.Error("price update incomplete; the last good prices stay", "updated", len(out.prices), "tokens", len(u.tokens), "error", seen.err)
	} else {
		u.log.Info("prices updated", "updated", len(out.prices), "tokens", len(u.tokens), "duration", time.Since(start))
	}
	u.metrics.update(time.Since(start), len(out.prices), seen.err)
	u.note(out.problem, out.sources)
	u.refreshed, u.jitter = time.Now(), rand.N(u.interval/10)
	if err := u.book.merge(out.records); err != nil {
		return errors.Join(seen.err, err)
	}
	u.history.append(out.bucket, out.prices)
	u.history.forget(out.expired)
	if fence == 0 {
		u.unsaved = true
		return seen.err
	}
	version, err := u.store.commit(ctx, fence, out, 0, u.history.maxBytes())
	u.unsaved = err != nil
	if err != nil {
		u.log.Error("prices are in memory only", "error", err)
		return errors.Join(seen.err, err)
	}
	u.version, u.expired = version, nil
	return seen.err
}

// release gives an update up, so that the next replica need not wait for the lease to end.
func (u *updater) release(ctx context.Context, fence int64) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), redisTimeout)
	defer cancel()
	if err := u.store.release(ctx, fence); err != nil {
		u.log.Warn("the next update waits for the lease of this one to end", "lease", leaseTTL, "error", err)
	}
}

// survey asks the sources within updateTimeout, staying leader meanwhile.
func (u *updater) survey(ctx context.Context, fence int64) survey {
	ctx, cancel := context.WithTimeoutCause(ctx, updateTimeout, fmt.Errorf("the update took longer than %v", updateTimeout))
	defer cancel()
	if fence == 0 {
		return ask(ctx, u.sources, u.tokens, u.clock.now)
	}
	ctx, lose := context.WithCancelCause(ctx)
	var renewal sync.WaitGroup
	renewal.Go(func() {
		for sleep(ctx, leaseTTL/3) == nil {
			if err := u.store.renew(ctx, fence); errors.Is(err, errFenced) {
				lose(err)
			}
		}
	})
	defer renewal.Wait()
	defer lose(nil)
	return ask(ctx, u.sources, u.tokens, u.clock.now)
}

// addDecimals completes the records of priced tokens whose decimals no source told: without them there is no entry in Jupiter's shape.
func (u *updater) addDecimals(ctx context.Context, records map[string]record) error {
	var mints []string
	for mint, r := range records {
		if r.Price != "" && r.Decimals == nil {
			mints = append(mints, mint)
		}
	}
	places, err := u.decimals.of(ctx, mints)
	for mint, d := range places {
		r := records[mint]
		r.Decimals = &d
		records[mint] = r
	}
	if err != nil {
		return fmt.Errorf("decimals of %d tokens: %w", len(mints)-len(places), err)
	}
	return nil
}

// once updates if the prices are older than the interval and returns whatever kept them from being complete. While
// another leader is at work it waits for the outcome.
func (u *updater) once(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 2*updateTimeout, errors.New("another leader did not finish its update"))
	defer cancel()
	for failures := 0; ; {
		t, err := u.store.begin(ctx, u.interval)
		switch {
		case err != nil && failures < 2: // a Redis that is failing over is back in a moment
			failures++
			if err := sleep(ctx, pollInterval); err != nil {
				return err
			}
			continue
		case err != nil:
			return err
		case t.Fence > 0:
			u.clock.set(t.Now)
			got, err := u.load(ctx) // the next prices depend on the last ones
			if err != nil {
				u.release(ctx, t.Fence)
				return err
			}
			u.note(got.problem, got.sources)
			return u.lead(ctx, t.Fence)
		case t.Busy:
			if err := sleep(ctx, pollInterval); err != nil {
				return err
			}
			continue
		}
		got, err := u.store.load(ctx)
		if got.problem != "" {
			err = errors.Join(err, fmt.Errorf("the last update, less than %v ago, was incomplete: %s", u.interval, got.problem))
		}
		if err == nil {
			u.log.Info("prices are fresh; nothing to do", "tokens", len(got.records), "interval", u.interval)
		}
		return err
	}
}

// load reads what Redis holds into the book.
func (u *updater) load(ctx context.Context) (saved, error) {
	got, err := u.store.load(ctx)
	if got.records == nil {
		return got, err
	}
	if err != nil {
		u.log.Error("something in Redis is unreadable and was left out", "error", err)
	}
	u.expired = nil
	for mint, r := range got.records {
		if u.clock.since(r.CheckedAt) > retention {
			u.expired = append(u.expired, mint)
		}
	}
	before := u.book.snapshot()
	got.prices = map[string]float64{}
	for mint, r := range got.records {
		if r.ObservedAt.After(before[mint].ObservedAt) {
			got.prices[mint] = r.Track.Price
		}
	}
	return got, u.book.merge(got.records)
}

// followHistory files the prices of the next version; if versions were missed, it reads the history that Redis has.
func (u *updater) followHistory(ctx context.Context, got saved) error {
	if got.before == u.version && u.version > 0 {
		u.history.append(got.bucket, got.prices)
		return nil
	}
	series, err := u.store.loadHistory(ctx, slices.Collect(maps.Keys(got.records)))
	if err == nil {
		u.history.merge(series)
	}
	return err
}

func (u *updater) note(problem string, health []sourceHealth) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.problem, u.health = problem, health
	u.failures++
	if problem == "" {
		u.failures = 0
	}
}

func (u *updater) sourceHealth() []sourceHealth {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.health
}

// keepSuccess gives sources that have just failed the time of their last success.
func (u *updater) keepSuccess(health []sourceHealth) []sourceHealth {
	for _, last := range u.sourceHealth() {
		for i := range health {
			if health[i].Name == last.Name && health[i].LastSuccess.IsZero() {
				health[i].LastSuccess = last.LastSuccess
			}
		}
	}
	return health
}

// noteRedis logs a change of state, not each failure.
func (u *updater) noteRedis(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case err != nil && u.redisErr == nil:
		u.log.Warn("Redis is away; prices are served and updated from memory", "error", err)
	case err == nil && u.redisErr != nil:
		u.log.Info("Redis is back")
	}
	u.redisErr = err
	if err == nil {
		u.metrics.redisUp.Set(1)
	} else {
		u.metrics.redisUp.Set(0)
	}
}
