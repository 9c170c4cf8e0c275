package oracle

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"jupiter-dex-integration/src/jupiter"
	"jupiter-dex-integration/src/ratelimit"
)

const (
	callTimeout = 10 * time.Second
	// retriesPerUpdate bounds what an upstream in trouble gets on top of one call per batch of tokens.
	retriesPerUpdate = 4
	firstBackoff     = 500 * time.Millisecond
	maxBackoff       = 15 * time.Second
)

// priceClient is Jupiter's price API.
type priceClient interface {
	// Prices returns the prices of at most jupiter.MaxPriceIDs mints; those without a price are not in the map.
	Prices(ctx context.Context, mints []string) (map[string]jupiter.Price, error)
}

// budget is the quota that all callers of Jupiter share. Prices come last in it.
type budget interface {
	Wait(ctx context.Context, p ratelimit.Priority) error
	Observe(ctx context.Context, nothingFor time.Duration)
}

// jupiterSource reads Jupiter's own prices.
type jupiterSource struct {
	client  priceClient
	budget  budget
	metrics *metrics
	now     func() time.Time
}

func (*jupiterSource) name() string { return "jupiter" }

// observe returns the prices of tokens as far as Jupiter gave any, and with them an error for every batch that it did not
// answer. A token that Jupiter left out is no error.
func (s *jupiterSource) observe(ctx context.Context, tokens []string) (map[string]observation, error) {
	observed := make(map[string]observation, len(tokens))
	var errs []error
	retries := retriesPerUpdate
	for batch := range slices.Chunk(tokens, jupiter.MaxPriceIDs) {
		prices, err := s.call(ctx, batch, &retries)
		if err != nil {
			err = fmt.Errorf("%d tokens from %s on: %w", len(batch), batch[0], err)
			errs = append(errs, err)
			for _, mint := range batch {
				observed[mint] = observation{Reason: err.Error()}
			}
			if ctx.Err() != nil || refused(err) {
				break
			}
			continue
		}
		now := s.now()
		for _, mint := range batch {
			p, ok := prices[mint]
			if !ok {
				observed[mint] = observation{Reason: "Jupiter gives no price: not traded for days, or not trusted"}
				continue
			}
			if _, err := parsePrice(p.USDPrice); err != nil {
				err = fmt.Errorf("%s: %w", mint, err)
				errs = append(errs, err)
				observed[mint] = observation{Reason: err.Error()}
				continue
			}
			observed[mint] = observation{Price: p.USDPrice, Weight: 1, At: now, Slot: p.BlockID, Decimals: &p.Decimals, Jupiter: &p}
		}
	}
	return observed, errors.Join(errs...)
}

// call asks for one batch, again while retries last and the failure may pass.
func (s *jupiterSource) call(ctx context.Context, batch []string, retries *int) (map[string]jupiter.Price, error) {
	backoff := firstBackoff
	for {
		prices, err := s.attempt(ctx, batch)
		if err == nil {
			return prices, nil
		}
		var answer *jupiter.Error
		var exhausted *ratelimit.Exhausted
		var asked time.Duration // how long we are asked to wait
		switch {
		case errors.As(err, &exhausted):
			asked = exhausted.RetryAfter
		case errors.As(err, &answer) && answer.Status == http.StatusTooManyRequests:
			asked = answer.RetryAfter
			s.budget.Observe(ctx, asked)
		case answer != nil && answer.Status < 500:
			return nil, err
		}
		if *retries == 0 {
			return nil, err
		}
		*retries--
		wait := max(asked, backoff/2+rand.N(backoff/2))
		if err := sleep(ctx, min(wait, maxBackoff)); err != nil {
			return nil, err
		}
		backoff *= 2
	}
}

// attempt makes one call, when the quota reaches for it.
func (s *jupiterSource) attempt(ctx context.Context, batch []string) (map[string]jupiter.Price, error) {
	if err := s.budget.Wait(ctx, ratelimit.Price); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	prices, err := s.client.Prices(ctx, batch)
	s.metrics.call(s.name(), err)
	return prices, err
}

// refused says that no other batch would fare better.
func refused(err error) bool {
	var answer *jupiter.Error
	return errors.As(err, &answer) && (answer.Status == http.StatusUnauthorized || answer.Status == http.StatusForbidden)
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
