package gateway

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sony/gobreaker/v2"
)

type metrics struct {
	registry        prometheus.Registerer
	upstreamLatency *prometheus.HistogramVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		registry: reg,
		upstreamLatency: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "jupiter_upstream_latency_seconds",
			Help:                        "Time from sending a request upstream to the end of the answer (of its first MiB), by what came of it.",
			Buckets:                     []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
			NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100, NativeHistogramMinResetDuration: time.Hour,
		}, []string{"upstream", "endpoint", "outcome"}),
	}
	reg.MustRegister(m.upstreamLatency)
	return m
}

// watchBreaker exports the state at the time of the scrape: an open breaker turns half-open by the clock alone.
func (m *metrics) watchBreaker(upstream, endpoint string, b *breaker) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "jupiter_upstream_breaker_state",
		Help:        "Circuit breaker: 0 closed, 1 half-open, 2 open.",
		ConstLabels: prometheus.Labels{"upstream": upstream, "endpoint": endpoint},
	}, func() float64 {
		switch b.State() {
		case gobreaker.StateOpen:
			return 2
		case gobreaker.StateHalfOpen:
			return 1
		}
		return 0
	}))
}

func (m *metrics) watchInFlight(upstream string, n *atomic.Int64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "jupiter_upstream_in_flight_requests",
		Help:        "Calls that wait for an upstream's answer.",
		ConstLabels: prometheus.Labels{"upstream": upstream},
	}, func() float64 { return float64(n.Load()) }))
}

// outcome is the label of an upstream call, from a closed set.
func outcome(a *answer, err error) string {
	switch {
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case err != nil:
		return "error"
	case a.status == 429:
		return "429"
	case a.status >= 500:
		return "5xx"
	case a.status >= 400:
		return "4xx"
	case a.status >= 300:
		return "3xx"
	}
	return "2xx"
}
