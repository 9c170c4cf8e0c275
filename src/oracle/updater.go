package oracle

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// pollInterval is how soon a replica sees what another one wrote.
	pollInterval = time.Second
	// updateTimeout bounds one update, retries included: 100 batches of a second each, and room.
	updateTimeout = 3 * time.Minute
	redisTimeout  = 5 * time.Second
)

// updater keeps the book fresh: from Redis when another replica or the job has updated, from the source when it is this
// process's turn, and from the source alone while Redis is away.
type updater struct {
	tokens   []string
	interval time.Duration
	source   *jupiterSource
	store    *store // nil: no Redis is configured
	book     *book
	metrics  *metrics
	log      *slog.Logger

	// What only the goroutine of run or once touches.
	version   int64         // of the prices in Redis that the book contains
	unsaved   bool          // the book may hold what Redis does not
	refreshed time.Time     // when this process last completed, or learnt of, an update
	jitter    time.Duration // spreads the schedules of deployments that started together

	mu       sync.Mutex
	problem  string // of the last update, "" after a good one
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
	age := u.interval + u.jitter
	if u.store == nil {
		u.alone(ctx, age)
		return
	}
	t, err := u.store.begin(ctx, age)
	if err == nil && (t.Version != u.version || u.unsaved) {
		err = u.sync(ctx, &t)
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

// alone updates without Redis, on this process's own schedule.
func (u *updater) alone(ctx context.Context, age time.Duration) {
	if u.refreshed.IsZero() || time.Since(u.refreshed) >= age {
		u.lead(ctx, 0)
	}
}

// sync makes the book and Redis agree on the newest price of every token. Giving back what Redis lost takes the lease, and
// with it the turn, if it is this process's.
func (u *updater) sync(ctx context.Context, t *turn) error {
	got, err := u.store.load(ctx)
	if got.records == nil {
		return err
	}
	if err != nil {
		u.log.Error("prices in Redis are unreadable and were left out", "error", err)
	}
	if err := u.book.merge(got.records); err != nil {
		return err
	}
	if t.Version != u.version && len(got.records) > 0 {
		u.refreshed = time.Now()
		u.note(got.problem)
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
	fence := t.Fence
	t.Fence = 0
	problem, _ := u.status()
	if u.version, err = u.store.commit(ctx, fence, lost, nil, problem, time.Since(u.refreshed)); err != nil {
		return err
	}
	u.unsaved = false
	u.log.Info("prices kept in memory were written back to Redis", "tokens", len(lost))
	return nil
}

// lead updates from the source. With a fence it writes the result to Redis, unless another leader took over.
func (u *updater) lead(ctx context.Context, fence int64) error {
	start := time.Now()
	observed, err := u.observe(ctx, fence)
	if ctx.Err() != nil { // told to stop: let another replica begin at once
		if fence > 0 {
			release, cancel := context.WithTimeout(context.WithoutCancel(ctx), redisTimeout)
			defer cancel()
			err = errors.Join(err, u.store.release(release, fence))
		}
		return err
	}
	problem := ""
	if err != nil {
		problem = err.Error()
		u.log.Error("price update incomplete; the last good prices stay", "updated", len(observed), "tokens", len(u.tokens), "error", err)
	} else {
		u.log.Info("prices updated", "updated", len(observed), "tokens", len(u.tokens), "duration", time.Since(start))
	}
	u.metrics.update(time.Since(start), len(observed), err)
	u.note(problem)
	u.refreshed, u.jitter = time.Now(), rand.N(u.interval/10)
	expired := u.book.expired()
	if mergeErr := u.book.merge(observed); mergeErr != nil {
		return errors.Join(err, mergeErr)
	}
	if fence == 0 {
		u.unsaved = true
		return err
	}
	version, commitErr := u.store.commit(ctx, fence, observed, expired, problem, 0)
	u.unsaved = commitErr != nil
	if commitErr != nil {
		u.log.Error("prices are in memory only", "error", commitErr)
		return errors.Join(err, commitErr)
	}
	u.version = version
	return err
}

// observe asks the source within updateTimeout, staying leader meanwhile.
func (u *updater) observe(ctx context.Context, fence int64) (map[string]record, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, updateTimeout, fmt.Errorf("the update took longer than %v", updateTimeout))
	defer cancel()
	if fence == 0 {
		return u.source.observe(ctx, u.tokens)
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
	return u.source.observe(ctx, u.tokens)
}

// once updates if the prices are older than the interval and returns whatever kept them from being complete. While
// another leader is at work it waits for the outcome.
func (u *updater) once(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 2*updateTimeout, errors.New("another leader did not finish its update"))
	defer cancel()
	for {
		t, err := u.store.begin(ctx, u.interval)
		switch {
		case err != nil:
			return err
		case t.Fence > 0:
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

func (u *updater) note(problem string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.problem = problem
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
