package oracle

import (
	"errors"
	"math"
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
	outliers    *prometheus.CounterVec
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
		outliers: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "jupiter_price_rejected_quotes_total",
			Help: "Prices of a source that an update of this process did not use although there were others."}, []string{"source"}),
	}
	reg.MustRegister(m.calls, m.updates, m.duration, m.lastSuccess, m.redisUp, m.outliers)
	for _, result := range []string{"success", "partial", "failure"} {
		m.updates.WithLabelValues(result)
	}
	return m
}

func (m *metrics) call(source string, err error) {
	result := "ok"
	var answer *jupiter.Error
	switch {
	case errors.As(err, &answer) && answer.Status == http.StatusTooManyRequests:
		result = "throttled"
	case err != nil:
		result = "error"
	}
	m.calls.WithLabelValues(source, result).Inc()
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

// rejected counts the quotes of a record that were not used.
func (m *metrics) rejected(r record) {
	for _, q := range r.Sources {
		if q.Price != "" && !q.Used {
			m.outliers.WithLabelValues(q.Name).Inc()
		}
	}
}

// bookCollector measures the book when it is scraped: an age that is stored is wrong by the time it is read.
type bookCollector struct {
	book   *book
	tokens []string
	rules  rules
}

var (
	ageDesc     = prometheus.NewDesc("jupiter_price_age_seconds", "Time since the price of a token was observed.", []string{"mint"}, nil)
	sourcesDesc = prometheus.NewDesc("jupiter_price_sources_used", "Sources that agree on the price of a token.", []string{"mint"}, nil)
	jupiterDesc = prometheus.NewDesc("jupiter_price_deviation_ratio", "Distance of a token's price from Jupiter's own, relative to Jupiter's.", []string{"mint"}, nil)
	pegDesc     = prometheus.NewDesc("jupiter_price_peg_deviation_ratio", "Distance of a pegged token's price from its peg, relative to the peg.", []string{"mint"}, nil)
	tokensDesc  = prometheus.NewDesc("jupiter_price_tokens", "Configured tokens by the state of their price: fresh, degraded, stale, or none without any price.", []string{"state"}, nil)
	missingDesc = prometheus.NewDesc("jupiter_price_missing_tokens", "Configured tokens without a price from the last three update intervals.", nil, nil)
)

func (c bookCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{ageDesc, sourcesDesc, jupiterDesc, pegDesc, tokensDesc, missingDesc} {
		ch <- d
	}
}

func (c bookCollector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	entries, now := c.book.snapshot(), c.book.clock.now()
	states := map[state]int{fresh: 0, degraded: 0, stale: 0, "none": 0}
	for _, mint := range c.tokens {
		e := entries[mint]
		if e.Price == "" {
			states["none"]++
			continue
		}
		states[c.rules.ages.state(e.record, now)]++
		gauge(ageDesc, c.book.clock.since(e.ObservedAt).Seconds(), mint)
		used, usd := 0, e.Track.Price
		for _, q := range e.Sources {
			if q.Used {
				used++
			}
			if jup, err := parsePrice(q.Price); err == nil && q.Name == "jupiter" {
				gauge(jupiterDesc, math.Abs(usd-jup)/jup, mint)
			}
		}
		gauge(sourcesDesc, float64(used), mint)
		if target := c.rules.pegs[mint]; target > 0 {
			gauge(pegDesc, math.Abs(usd-target)/target, mint)
		}
	}
	for s, n := range states {
		gauge(tokensDesc, float64(n), string(s))
	}
	gauge(missingDesc, float64(states["none"]+states[stale]))
}
