package oracle

import (
	"errors"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"jupiter-dex-integration/src/jupiter"
)

type metrics struct {
	calls       *prometheus.CounterVec
	updates     *prometheus.CounterVec
	duration    prometheus.Histogram
	lastSuccess prometheus.Gauge
	redisUp     prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "jupiter_price_upstream_calls_total",
			Help: "Calls of this process to price sources, by result: ok, throttled or error."}, []string{"source", "result"}),
		updates: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "jupiter_price_updates_total",
			Help: "Price updates that this process led, by result: success, partial (some tokens could not be asked for) or failure."}, []string{"result"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "jupiter_price_update_duration_seconds",
			Help: "Duration of the price updates that this process led, retries included.", Buckets: []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120}}),
		lastSuccess: prometheus.NewGauge(prometheus.GaugeOpts{Name: "jupiter_price_last_success_timestamp_seconds",
			Help: "When this process last led or took over an update without any failure, Unix seconds; 0 if never."}),
		redisUp: prometheus.NewGauge(prometheus.GaugeOpts{Name: "jupiter_price_redis_up",
			Help: "1 while prices are shared through Redis, 0 while this process works from its own memory."}),
	}
	reg.MustRegister(m.calls, m.updates, m.duration, m.lastSuccess, m.redisUp)
	for _, result := range []string{"success", "partial", "failure"} {
		m.updates.WithLabelValues(result)
	}
	return m
}

func (m *metrics) call(err error) {
	result := "ok"
	var answer *jupiter.Error
	switch {
	case errors.As(err, &answer) && answer.Status == http.StatusTooManyRequests:
		result = "throttled"
	case err != nil:
		result = "error"
	}
	m.calls.WithLabelValues("jupiter", result).Inc()
}

func (m *metrics) update(took time.Duration, observed int, err error) {
	result := "success"
	switch {
	case err != nil && observed == 0:
		result = "failure"
	case err != nil:
		result = "partial"
	default:
		m.lastSuccess.SetToCurrentTime()
	}
	m.updates.WithLabelValues(result).Inc()
	m.duration.Observe(took.Seconds())
}

// bookCollector measures the book when it is scraped: an age that is stored is wrong by the time it is read.
type bookCollector struct {
	book   *book
	tokens []string
	// late is the age from which a price counts as missing.
	late time.Duration
}

var (
	ageDesc     = prometheus.NewDesc("jupiter_price_age_seconds", "Time since the price of a token was observed.", []string{"mint"}, nil)
	tokensDesc  = prometheus.NewDesc("jupiter_price_tokens", "Tokens that are configured to be priced.", nil, nil)
	missingDesc = prometheus.NewDesc("jupiter_price_missing_tokens", "Configured tokens without a price from the last three update intervals.", nil, nil)
)

func (c bookCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- ageDesc
	ch <- tokensDesc
	ch <- missingDesc
}

func (c bookCollector) Collect(ch chan<- prometheus.Metric) {
	entries, missing := c.book.snapshot(), 0
	for _, mint := range c.tokens {
		e, ok := entries[mint]
		if !ok {
			missing++
			continue
		}
		age := time.Since(e.ObservedAt)
		if age > c.late {
			missing++
		}
		ch <- prometheus.MustNewConstMetric(ageDesc, prometheus.GaugeValue, age.Seconds(), mint)
	}
	ch <- prometheus.MustNewConstMetric(tokensDesc, prometheus.GaugeValue, float64(len(c.tokens)))
	ch <- prometheus.MustNewConstMetric(missingDesc, prometheus.GaugeValue, float64(missing))
}
