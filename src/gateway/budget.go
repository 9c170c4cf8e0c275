package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"jupiter-dex-integration/src/jupiter"
	"jupiter-dex-integration/src/platform"
	"jupiter-dex-integration/src/ratelimit"
)

// BudgetConfig is the quota that Jupiter gives the organisation of JUPITER_API_KEY, for all replicas together.
type BudgetConfig struct {
	// Without a quota calls are slowed down only by what Jupiter's answers say of its limit.
	jupiter.Quota
	// QueueTimeout and QueueSize bound the wait of what is beyond a quota at the moment, any organisation's.
	QueueTimeout time.Duration `env:"JUPITER_QUEUE_TIMEOUT" envDefault:"2s"`
	QueueSize    int           `env:"JUPITER_QUEUE_SIZE" envDefault:"1000"`
}

func (c BudgetConfig) validate() error {
	errs := []error{c.Quota.Validate()}
	if c.QueueTimeout < 0 || c.QueueTimeout > maxUpstreamTimeout {
		errs = append(errs, fmt.Errorf("JUPITER_QUEUE_TIMEOUT must be from 0 to %v, not %v", maxUpstreamTimeout, c.QueueTimeout))
	}
	if c.QueueSize < 0 {
		errs = append(errs, errors.New("JUPITER_QUEUE_SIZE must not be negative"))
	}
	return errors.Join(errs...)
}

// budget is an organisation's quota at Jupiter.
type budget struct {
	*ratelimit.Budget
	waited  *prometheus.HistogramVec
	refused *prometheus.CounterVec
	left    atomic.Int64
}

func newBudget(organisation string, perMinute int64, cfg BudgetConfig, shared *ratelimit.Shared, reg prometheus.Registerer) *budget {
	reg = prometheus.WrapRegistererWith(prometheus.Labels{"organisation": organisation}, reg)
	b := &budget{
		Budget: ratelimit.NewBudget(shared, "upstream:"+organisation, ratelimit.BudgetConfig{PerMinute: perMinute, MaxWait: cfg.QueueTimeout, MaxQueue: cfg.QueueSize}),
		waited: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "jupiter_upstream_budget_wait_seconds",
			Help: "Time that calls waited for the organisation's quota.", Buckets: []float64{.001, .01, .05, .1, .25, .5, 1, 2, 5, 10}}, []string{"endpoint"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "jupiter_upstream_budget_refused_total",
			Help: "Requests answered 429 because the organisation's quota did not reach for them in time."}, []string{"endpoint"}),
	}
	b.left.Store(-1)
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	reg.MustRegister(b.waited, b.refused,
		gauge("jupiter_upstream_budget_per_minute", "The organisation's quota; 0 if it is not configured.", func() float64 { return float64(perMinute) }),
		gauge("jupiter_upstream_budget_remaining", "What Jupiter last said is left in its window; -1 if it has not said.", func() float64 { return float64(b.left.Load()) }),
		gauge("jupiter_upstream_budget_queue", "Requests that wait for the quota.", func() float64 { return float64(b.Queued()) }))
	return b
}

// wait returns once c may be sent.
func (b *budget) wait(ctx context.Context, c *call) error {
	start := time.Now()
	ctx, span := platform.Span(ctx, "wait for Jupiter's quota", trace.SpanKindInternal)
	defer span.End()
	err := b.Wait(ctx, c.priority)
	var exhausted *ratelimit.Exhausted
	if errors.As(err, &exhausted) {
		b.refused.WithLabelValues(c.endpoint).Inc()
		e := jupiter.Errorf(http.StatusTooManyRequests, jupiter.CodeTooManyRequests, "the quota at Jupiter is used up for the moment")
		e.RetryAfter = exhausted.RetryAfter
		return e
	}
	b.waited.WithLabelValues(c.endpoint).Observe(time.Since(start).Seconds())
	return err
}

// observe learns from the header of Jupiter's answer, in which others who use the quota show too.
func (b *budget) observe(ctx context.Context, a *answer) {
	left, err := strconv.ParseInt(a.header.Get(headerRemaining), 10, 64)
	if err == nil {
		b.left.Store(max(left, 0))
	}
	switch {
	case a.status == http.StatusTooManyRequests:
		b.Observe(ctx, max(time.Second, jupiter.RetryAfter(a.header, time.Now())))
	case err == nil && left <= 0:
		b.Observe(ctx, jupiter.RetryAfter(a.header, time.Now()))
	}
}
