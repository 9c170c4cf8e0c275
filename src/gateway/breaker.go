package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"

	"jupiter-dex-integration/src/jupiter"
)

// breaker spares an upstream that does not serve one endpoint, and its callers the wait.
type breaker struct {
	*gobreaker.CircuitBreaker[*answer]
	// failures in a row: the library's own count ends with its window, and an upstream that is asked once a minute must
	// open the breaker too.
	failures atomic.Uint32
	reopens  atomic.Int64 // Unix nanoseconds: when an open breaker lets a trial through
}

const (
	// ratioWindow is the time over which the ratio of failures counts, from ratioRequests in it.
	ratioWindow   = 10 * time.Second
	ratioRequests = 20
)

func newBreaker(cfg BreakerConfig, onChange func(from, to gobreaker.State)) *breaker {
	b := new(breaker)
	b.CircuitBreaker = gobreaker.NewCircuitBreaker[*answer](gobreaker.Settings{
		Interval:     ratioWindow,
		BucketPeriod: ratioWindow / 10,
		Timeout:      cfg.ResetTimeout,
		ReadyToTrip: func(c gobreaker.Counts) bool {
			counted := c.TotalSuccesses + c.TotalFailures
			return b.failures.Load() >= cfg.FailureThreshold ||
				cfg.FailureRatio > 0 && counted >= ratioRequests && float64(c.TotalFailures) >= cfg.FailureRatio*float64(counted)
		},
		// A caller who hangs up says nothing about the upstream.
		IsExcluded: func(err error) bool { return errors.Is(err, context.Canceled) },
		OnStateChange: func(_ string, from, to gobreaker.State) {
			b.failures.Store(0)
			if to == gobreaker.StateOpen {
				b.reopens.Store(time.Now().Add(cfg.ResetTimeout).UnixNano())
			}
			onChange(from, to)
		},
	})
	return b
}

// failedAnswer tells the breaker of a 5xx, which is still an answer to the caller.
type failedAnswer struct{ *answer }

func (f failedAnswer) Error() string { return fmt.Sprint("status ", f.status) }

// do runs send unless the breaker is open, in which case the error says when to come back. Failures are an error of send
// and a status of 5xx; any other answer, a refusal included, shows that the upstream works.
func (b *breaker) do(upstream string, send func() (*answer, error)) (*answer, error) {
	a, err := b.Execute(func() (*answer, error) {
		a, err := send()
		if err == nil && a.status >= 500 && !callersFault(a) {
			err = failedAnswer{a}
		}
		switch {
		case err == nil:
			b.failures.Store(0)
		case !errors.Is(err, context.Canceled):
			b.failures.Add(1)
		}
		return a, err
	})
	var failed failedAnswer
	switch {
	case errors.As(err, &failed):
		return failed.answer, nil
	case errors.Is(err, gobreaker.ErrOpenState), errors.Is(err, gobreaker.ErrTooManyRequests):
		e := jupiter.Errorf(http.StatusServiceUnavailable, jupiter.CodeCircuitOpen,
			"%s does not serve at the moment; it is tried again after a pause", upstream)
		e.RetryAfter = max(time.Second, time.Until(time.Unix(0, b.reopens.Load())))
		return nil, e
	}
	return a, err
}

// callersFault knows the one 500 that Jupiter gives for a request that is wrong: a quote that its caller has stripped of
// fields. Were it counted, one such caller could open the breaker for all.
func callersFault(a *answer) bool {
	return a.status == http.StatusInternalServerError && bytes.Contains(a.body, []byte("Dynamic swap is missing"))
}
