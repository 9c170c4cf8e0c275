package optimizer

import (
	"errors"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"jupiter-dex-integration/src/jupiter"
)

type metrics struct {
	seconds *prometheus.HistogramVec
	legs    prometheus.Histogram
	routes  prometheus.Histogram
	gap     prometheus.Histogram
	cache   *prometheus.CounterVec
	better  prometheus.Histogram
	tried   *prometheus.CounterVec
	guard   *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "optimizer_quote_seconds",
			Help:    "Time to quote, by outcome: ok, or the error's code in lower case.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25}}, []string{"outcome"}),
		legs: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "optimizer_quote_legs",
			Help: "Pools that a quoted route swaps through.", Buckets: []float64{1, 2, 3, 4, 5, 6, 8, 10, 15, 20}}),
		gap: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "optimizer_quote_gap_bps",
			Help: "How far detailed quotes are at most from the best routing without limits.", Buckets: []float64{.1, .5, 1, 2, 5, 10, 20, 50, 100, 500}}),
		cache: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "optimizer_path_cache_total",
			Help: "Requests whose paths were looked up in the cache, by result: hit or miss."}, []string{"result"}),
	}
	m.routes = prometheus.NewHistogram(prometheus.HistogramOpts{Name: "optimizer_quote_routes",
		Help: "Routes that a quote was split over.", Buckets: []float64{1, 2, 3, 4, 5, 10, 20}})
	m.better = prometheus.NewHistogram(prometheus.HistogramOpts{Name: "optimizer_improvement_bps",
		Help: "How much better than Jupiter's answer the best candidate was.", Buckets: []float64{0, .1, .5, 1, 2, 5, 10, 20, 50, 100, 500}})
	m.tried = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "optimizer_candidates_total",
		Help: "Candidates for optimised quotes, by kind (jupiter, variant, own) and outcome (won, lost, none)."}, []string{"kind", "outcome"})
	m.guard = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "optimizer_price_guard_total",
		Help: "Quotes by what the price guard found: ok, deviates or unknown."}, []string{"status"})
	reg.MustRegister(m.seconds, m.legs, m.gap, m.cache, m.better, m.tried, m.guard, m.routes)
	return m
}

func (m *metrics) observe(elapsed time.Duration, q *quoted, err error) {
	outcome := "ok"
	if err != nil {
		outcome = "internal_error"
		if e, ok := errors.AsType[*jupiter.Error](err); ok {
			outcome = strings.ToLower(e.Code)
			if outcome == "" { // Jupiter has errors without a code; they are all about the request
				outcome = "invalid_request"
			}
		}
	} else {
		m.legs.Observe(float64(len(q.plan.Legs)))
		m.routes.Observe(float64(q.plan.Routes))
	}
	m.seconds.WithLabelValues(outcome).Observe(elapsed.Seconds())
}

func (m *metrics) lookedUp(hit bool) {
	result := "miss"
	if hit {
		result = "hit"
	}
	m.cache.WithLabelValues(result).Inc()
}

func (m *metrics) optimized(c *candidates) {
	for _, one := range c.All {
		kind, outcome := "variant", one.Outcome
		if one.Name == "jupiter" || one.Name == "own" {
			kind = one.Name
		}
		if outcome != "won" && outcome != "lost" {
			outcome = "none"
		}
		m.tried.WithLabelValues(kind, outcome).Inc()
	}
	if c.winner != nil && c.All[0].body != nil {
		m.better.Observe(c.ImprovementBps)
	}
}
