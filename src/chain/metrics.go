package chain

import "github.com/prometheus/client_golang/prometheus"

var (
	poolsDesc  = prometheus.NewDesc("solana_pools", "Configured pools by state: usable, or the reason why not.", []string{"state"}, nil)
	slotDesc   = prometheus.NewDesc("solana_snapshot_slot", "Slot of the market snapshot that quotes use.", nil, nil)
	lagDesc    = prometheus.NewDesc("solana_slot_lag", "Slots that the snapshot is behind the newest slot of any RPC node.", nil, nil)
	streamDesc = prometheus.NewDesc("solana_stream_connected", "1 while the account stream is connected, 0 while pools are polled.", nil, nil)
)

// marketCollector reads a market's state when metrics are scraped.
type marketCollector struct{ *Market }

func (c marketCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{poolsDesc, slotDesc, lagDesc, streamDesc} {
		ch <- d
	}
}

func (c marketCollector) Collect(ch chan<- prometheus.Metric) {
	count := map[string]int{"usable": 0, ReasonLoading: 0, ReasonNotFound: 0, ReasonUnknownProgram: 0, ReasonMalformed: 0,
		ReasonUnsupported: 0, ReasonTooManyAccounts: 0, ReasonStale: 0}
	for _, s := range c.Status() {
		switch {
		case s.Pool != nil:
			count["usable"]++
		case s.Reason == "": // between a change and the read that tells what it was
			count[ReasonLoading]++
		default:
			count[s.Reason]++
		}
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for state, n := range count {
		gauge(poolsDesc, float64(n), state)
	}
	if s := c.Snapshot(); s != nil {
		gauge(slotDesc, float64(s.Slot))
		gauge(lagDesc, float64(c.Lag()))
	}
	up := 0.0
	if c.streaming.Load() {
		up = 1
	}
	gauge(streamDesc, up)
}
