package platform

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	checkTimeout = time.Second
	// checkInterval spares dependencies from probes: a load balancer and a kubelet ask far more often than state changes.
	checkInterval = time.Second
)

// Check asks one dependency whether it serves. A Required check that fails makes the process not ready; any other is
// reported as degraded and the process goes on from local state.
type Check struct {
	Name     string
	Required bool
	Probe    func(context.Context) error
}

type checkResult struct {
	OK       bool   `json:"ok"`
	Required bool   `json:"required"`
	Error    string `json:"error,omitempty"`
}

type readiness struct {
	checks   []Check
	draining atomic.Bool

	mu      sync.Mutex
	asked   time.Time
	results map[string]checkResult
}

// serveReady answers 200 when traffic may come and 503 when not; the body names what is missing.
func (rd *readiness) serveReady(w http.ResponseWriter, r *http.Request) {
	results := rd.probe(r.Context())
	status, code := "ready", http.StatusOK
	for _, res := range results {
		switch {
		case res.OK:
		case res.Required:
			status, code = "not ready", http.StatusServiceUnavailable
		case status == "ready":
			status = "degraded"
		}
	}
	if rd.draining.Load() {
		status, code = "draining", http.StatusServiceUnavailable
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(struct {
		Status string                 `json:"status"`
		Checks map[string]checkResult `json:"checks"`
	}{status, results})
}

func (rd *readiness) probe(ctx context.Context) map[string]checkResult {
	rd.mu.Lock()
	defer rd.mu.Unlock()
	if rd.results != nil && time.Since(rd.asked) < checkInterval {
		return rd.results
	}
	// Probes outlive a caller who hangs up: the result is shared with the next one.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkTimeout)
	defer cancel()
	outcomes := make([]checkResult, len(rd.checks))
	var wg sync.WaitGroup
	for i, c := range rd.checks {
		wg.Go(func() {
			outcomes[i] = checkResult{OK: true, Required: c.Required}
			if err := c.Probe(ctx); err != nil {
				outcomes[i].OK, outcomes[i].Error = false, err.Error()
			}
		})
	}
	wg.Wait()
	results := make(map[string]checkResult, len(rd.checks))
	for i, c := range rd.checks {
		results[c.Name] = outcomes[i]
	}
	rd.results, rd.asked = results, time.Now()
	return results
}

func serveHealth(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Write([]byte(`{"status":"ok"}` + "\n"))
}
