// Package load asks a service at a constant rate and counts what it saw: the clients of the end-to-end tests.
package load

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Request is what a load repeats.
type Request struct {
	Method  string            `json:"method"`
	URL     string            `json:"url"`
	Body    string            `json:"body,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
}

// An Answer is what came back.
type Answer struct {
	Status int         `json:"status"`
	Header http.Header `json:"header"`
	Body   string      `json:"body"`
}

// HTTP makes the request.
func (r Request) HTTP(ctx context.Context) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, r.Method, r.URL, strings.NewReader(r.Body))
	if err != nil {
		return nil, err
	}
	if r.Body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	for name, value := range r.Headers {
		request.Header.Set(name, value)
	}
	return request, nil
}

// A Load asks its requests in turn at a constant rate, whatever the answers: one that is slow does not slow the next. Every second
// turn is made on connections of its own, as by clients without a pool, the others on connections that are kept.
type Load struct {
	Requests []Request `json:"requests"`
	// Rate is requests per second.
	Rate float64 `json:"rate"`
}

// A Report is what a load has seen.
type Report struct {
	Asked    int            `json:"asked"`
	Statuses map[string]int `json:"statuses"` // by status code, "none" for no answer
	// Failures are the first of those that got no answer or a status of 5xx.
	Failed   int       `json:"failed"`
	Failures []Failure `json:"failures,omitempty"`
	// Gap is the longest time between two good answers while requests failed, in milliseconds.
	GapMs float64 `json:"gapMs"`
	// Latencies of good answers, in milliseconds.
	P50Ms float64 `json:"p50Ms"`
	P95Ms float64 `json:"p95Ms"`
	P99Ms float64 `json:"p99Ms"`
	MaxMs float64 `json:"maxMs"`
}

// A Failure is one request that failed.
type Failure struct {
	At     time.Time `json:"at"`
	URL    string    `json:"url"`
	Reason string    `json:"reason"`
}

const (
	// Timeout is the longest wait for one answer.
	Timeout     = 15 * time.Second
	maxFailures = 20
	maxWaiting  = 2000
)

func client(newConnections bool) *http.Client {
	return &http.Client{Timeout: Timeout, Transport: &http.Transport{
		DisableKeepAlives: newConnections, MaxIdleConnsPerHost: 100, IdleConnTimeout: 30 * time.Second,
	}}
}

// A Generator runs one load.
type Generator struct {
	load    Load
	clients [2]*http.Client
	cancel  context.CancelFunc
	done    sync.WaitGroup

	mu        sync.Mutex
	report    Report
	latencies []float64
	lastGood  time.Time
	failing   bool
	waiting   int
}

// Start begins a load.
func Start(load Load) *Generator {
	ctx, cancel := context.WithCancel(context.Background())
	g := &Generator{load: load, cancel: cancel, lastGood: time.Now(), report: Report{Statuses: map[string]int{}},
		clients: [2]*http.Client{client(false), client(true)}}
	g.done.Go(func() { g.run(ctx) })
	return g
}

func (g *Generator) run(ctx context.Context) {
	ticker := time.NewTicker(time.Duration(float64(time.Second) / g.load.Rate))
	defer ticker.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		g.mu.Lock()
		full := g.waiting >= maxWaiting
		if !full {
			g.waiting++
		}
		g.mu.Unlock()
		if full {
			continue
		}
		request := g.load.Requests[i%len(g.load.Requests)]
		client := g.clients[i/len(g.load.Requests)%2]
		g.done.Go(func() { g.ask(client, request) })
	}
}

func (g *Generator) ask(client *http.Client, r Request) {
	began := time.Now()
	status, reason := send(client, r)
	took := time.Since(began)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting--
	g.report.Asked++
	g.report.Statuses[status]++
	if reason != "" {
		g.report.Failed++
		g.failing = true
		if len(g.report.Failures) < maxFailures {
			g.report.Failures = append(g.report.Failures, Failure{began, r.URL, reason})
		}
		return
	}
	g.latencies = append(g.latencies, float64(took)/float64(time.Millisecond))
	if g.failing {
		g.report.GapMs = max(g.report.GapMs, float64(time.Since(g.lastGood))/float64(time.Millisecond))
	}
	g.failing, g.lastGood = false, time.Now()
}

// send returns the status, and the reason if that is a failure.
func send(client *http.Client, r Request) (status, failure string) {
	request, err := r.HTTP(context.Background())
	if err != nil {
		return "none", err.Error()
	}
	response, err := client.Do(request)
	if err != nil {
		return "none", err.Error()
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
		return "none", err.Error()
	case response.StatusCode >= 500:
		return fmt.Sprint(response.StatusCode), fmt.Sprintf("%s: %.200s", response.Status, body)
	}
	return fmt.Sprint(response.StatusCode), ""
}

// Report is the report so far.
func (g *Generator) Report() Report {
	g.mu.Lock()
	defer g.mu.Unlock()
	report := g.report
	sorted := slices.Sorted(slices.Values(g.latencies))
	quantile := func(q float64) float64 {
		if len(sorted) == 0 {
			return 0
		}
		return sorted[int(q*float64(len(sorted)-1))]
	}
	report.P50Ms, report.P95Ms, report.P99Ms, report.MaxMs = quantile(0.5), quantile(0.95), quantile(0.99), quantile(1)
	if g.failing {
		report.GapMs = max(report.GapMs, float64(time.Since(g.lastGood))/float64(time.Millisecond))
	}
	return report
}

// Stop asks no more, and waits for the answers.
func (g *Generator) Stop() Report {
	g.cancel()
	g.done.Wait()
	for _, client := range g.clients {
		client.CloseIdleConnections()
	}
	return g.Report()
}
