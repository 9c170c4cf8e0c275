package optimizer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/sony/gobreaker/v2"

	"jupiter-dex-integration/src/jupiter"
	"jupiter-dex-integration/src/platform"
	"jupiter-dex-integration/src/ratelimit"
)

const (
	// quotaKey is where all who ask Jupiter count their calls.
	quotaKey = "upstream:jupiter"
	// quotaPatience is how long a decision about the quota waits for Redis.
	quotaPatience = 100 * time.Millisecond
	// quotaQueue is how many requests may wait for the quota.
	quotaQueue = 1000
	// maxQuoteBytes bounds what is read of an answer.
	maxQuoteBytes = 1 << 20
)

// errNotAsked means that Jupiter was not asked: its quota has no room, or it does not answer anyhow.
var errNotAsked = errors.New("not asked")

// UpstreamConfig says which Jupiter's answers are to be bettered.
type UpstreamConfig struct {
	// JupiterAPIURL is of the swap API v1. Empty: there is none, and nothing to better.
	JupiterAPIURL string          `env:"JUPITER_API_URL"`
	JupiterAPIKey platform.Secret `env:"JUPITER_API_KEY"`
	jupiter.Quota
	// QueueTimeout bounds the wait for the quota, JupiterTimeout an answer's.
	QueueTimeout   time.Duration `env:"JUPITER_QUEUE_TIMEOUT" envDefault:"2s"`
	JupiterTimeout time.Duration `env:"JUPITER_TIMEOUT" envDefault:"5s"`
	// MaxVariants is how many variants of a request Jupiter may be asked for, when the quota has room for them at once.
	MaxVariants int `env:"JUPITER_VARIANTS" envDefault:"2"`
}

func (c UpstreamConfig) validate() []error {
	var errs []error
	if c.JupiterAPIURL != "" {
		if _, err := jupiter.NewClient(c.JupiterAPIURL, nil, nil); err != nil {
			errs = append(errs, fmt.Errorf("JUPITER_API_URL: %w", err))
		}
	}
	if err := c.Quota.Validate(); err != nil {
		errs = append(errs, err)
	}
	for name, d := range map[string]time.Duration{"JUPITER_QUEUE_TIMEOUT": c.QueueTimeout, "JUPITER_TIMEOUT": c.JupiterTimeout} {
		if d < 0 || d > time.Minute {
			errs = append(errs, fmt.Errorf("%s: %v is not from 0 to 1m", name, d))
		}
	}
	if c.MaxVariants < 0 || c.MaxVariants > 4 {
		errs = append(errs, fmt.Errorf("JUPITER_VARIANTS: %d is not from 0 to 4", c.MaxVariants))
	}
	return errs
}

// upstream asks Jupiter for quotes, within the quota that the gateway and the price-oracle share.
type upstream struct {
	client      *jupiter.Client
	timeout     time.Duration
	maxVariants int
	// quota is waited for by requests; spare is what of it is free at once, for variants.
	quota, spare *ratelimit.Budget
	breaker      *gobreaker.CircuitBreaker[*upstreamQuote]
}

// upstreamQuote is an answer of Jupiter as it came, and read; quote is nil if it is a refusal.
type upstreamQuote struct {
	status int
	body   []byte
	quote  *jupiter.Quote
}

func newUpstream(cfg UpstreamConfig, shared *ratelimit.Shared) (*upstream, error) {
	client, err := jupiter.NewClient(cfg.JupiterAPIURL, cfg.JupiterAPIKey.Value, jupiter.NewTransport())
	if err != nil {
		return nil, fmt.Errorf("JUPITER_API_URL: %w", err)
	}
	perMinute := cfg.PerMinute()
	return &upstream{
		client: client, timeout: cfg.JupiterTimeout, maxVariants: cfg.MaxVariants,
		quota:   ratelimit.NewBudget(shared, quotaKey, ratelimit.BudgetConfig{PerMinute: perMinute, MaxWait: cfg.QueueTimeout, MaxQueue: quotaQueue}),
		spare:   ratelimit.NewBudget(shared, quotaKey, ratelimit.BudgetConfig{PerMinute: perMinute}),
		breaker: gobreaker.NewCircuitBreaker[*upstreamQuote](gobreaker.Settings{IsExcluded: func(err error) bool { return errors.Is(err, context.Canceled) }}),
	}, nil
}

// quote asks for a quote; one that is needed waits for the quota. The error is a *jupiter.Error, also where the answer is a refusal.
func (u *upstream) quote(ctx context.Context, rawQuery string, needed bool) (*upstreamQuote, error) {
	if u.breaker.State() == gobreaker.StateOpen { // the quota is for calls that are made
		return nil, fmt.Errorf("%w: %w", errNotAsked, jupiter.Errorf(http.StatusServiceUnavailable, jupiter.CodeCircuitOpen, "Jupiter does not answer"))
	}
	budget, priority := u.spare, ratelimit.Price
	if needed {
		budget, priority = u.quota, ratelimit.Quote
	}
	if err := budget.Wait(ctx, priority); err != nil {
		if exhausted, ok := errors.AsType[*ratelimit.Exhausted](err); ok {
			e := jupiter.Errorf(http.StatusTooManyRequests, jupiter.CodeTooManyRequests, "the quota at Jupiter is used up for the moment")
			e.RetryAfter = exhausted.RetryAfter
			return nil, fmt.Errorf("%w: %w", errNotAsked, e)
		}
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, u.timeout)
	defer cancel()
	a, err := u.breaker.Execute(func() (*upstreamQuote, error) { return u.fetch(ctx, rawQuery) })
	if err != nil {
		return nil, jupiter.Errorf(http.StatusBadGateway, jupiter.CodeUpstreamUnavailable, "Jupiter gave no answer: %v", err)
	}
	if a.quote == nil {
		return a, jupiter.DecodeError(a.status, a.body)
	}
	return a, nil
}

func (u *upstream) fetch(ctx context.Context, rawQuery string) (*upstreamQuote, error) {
	req, err := u.client.NewRequest(ctx, http.MethodGet, "quote", rawQuery, nil)
	if err != nil {
		return nil, err
	}
	resp, err := u.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxQuoteBytes))
	if err != nil {
		return nil, err
	}
	a := &upstreamQuote{status: resp.StatusCode, body: body}
	switch {
	case resp.StatusCode == http.StatusTooManyRequests:
		wait := max(time.Second, jupiter.RetryAfter(resp.Header, time.Now()))
		u.quota.Observe(ctx, wait)
		u.spare.Observe(ctx, wait)
	case resp.StatusCode >= 500:
		return nil, fmt.Errorf("status %d", resp.StatusCode)
	case resp.StatusCode == http.StatusOK:
		a.quote = new(jupiter.Quote)
		if err := json.Unmarshal(body, a.quote); err != nil || a.quote.InAmount == 0 || a.quote.OutAmount == 0 {
			return nil, errors.New("an answer that is no quote")
		}
	}
	return a, nil
}
