package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"jupiter-dex-integration/src/jupiter"
	"jupiter-dex-integration/src/platform"
	"jupiter-dex-integration/src/ratelimit"
)

// Endpoints are what breakers, limits and metrics tell apart.
const (
	endpointQuote            = "quote"
	endpointSwap             = "swap"
	endpointSwapInstructions = "swap-instructions"
	endpointLabels           = "program-id-to-label"
	endpointPrice            = "price"
	endpointTokens           = "tokens"
	endpointSwapV2           = "swap-v2"
)

var endpoints = []string{endpointQuote, endpointSwap, endpointSwapInstructions, endpointLabels, endpointPrice, endpointTokens, endpointSwapV2}

// maxBuffered is how much of an answer is read before its first byte goes on: an answer that breaks off before that
// becomes a clean error. Only token lists are longer; they stream.
const maxBuffered = 1 << 20

// call is a request on its way to an upstream.
type call struct {
	endpoint string
	method   string
	path     string // as jupiter.Client.NewRequest takes it
	query    string
	header   http.Header
	body     []byte
	priority ratelimit.Priority
	timeout  time.Duration // 0: the upstream's own
	// unmetered calls are not counted in the quota that the others share.
	unmetered bool
}

// answer is what an upstream said, whatever the status.
type answer struct {
	status int
	header http.Header
	body   []byte
	rest   io.ReadCloser // what follows body, nil if body is all
}

func (a *answer) close() {
	if a.rest != nil {
		a.rest.Close()
	}
}

// writeTo sends the answer on. An answer that breaks off after it has begun breaks off here too: a clean end would make a
// part look like the whole.
func (a *answer) writeTo(w http.ResponseWriter) {
	defer a.close()
	h := w.Header()
	keepOurs := bindsLess(a.header, h)
	for name, values := range a.header {
		if keepOurs && (name == headerRemaining || name == headerCurrent || name == headerReset) {
			continue
		}
		h[name] = values
	}
	if a.rest == nil && h["Content-Length"] == nil { // a cached answer brings it
		h["Content-Length"] = []string{strconv.Itoa(len(a.body))}
	}
	w.WriteHeader(a.status)
	_, err := w.Write(a.body)
	if a.rest != nil && err == nil {
		if _, err := io.Copy(w, a.rest); err != nil {
			panic(http.ErrAbortHandler)
		}
	}
}

// upstream is one server that speaks Jupiter's API.
type upstream struct {
	name     string
	kind     string
	own      bool // one of our services, which may know the caller's trace
	client   *jupiter.Client
	timeout  time.Duration
	breakers map[string]*breaker // by endpoint; nil: no breakers
	// organisation is whose quota the calls count in, perMinute that quota, 0 if it is not known. Empty: there is no quota.
	organisation string
	perMinute    int64
	budget       *budget // nil: no quota
	// inFlight is bounded: what an upstream that hangs holds up must not take the memory of those that answer.
	inFlight    atomic.Int64
	maxInFlight int64
	metrics     *metrics
	log         *slog.Logger
}

// fetch sends c and returns the answer, which the caller must write or close. An error is a *jupiter.Error, or the cause
// of ctx's end.
func (u *upstream) fetch(ctx context.Context, c *call) (*answer, error) {
	if u.kind == kindSwapV2 {
		adapted, err := toSwapV2(c)
		if err != nil {
			return nil, err
		}
		a, err := u.ask(ctx, adapted)
		fromSwapV2(c, a)
		return a, err
	}
	return u.ask(ctx, c)
}

func (u *upstream) ask(ctx context.Context, c *call) (*answer, error) {
	b := u.breakers[c.endpoint]
	// An open breaker refuses below; the quota is for calls that are made.
	if u.budget != nil && !c.unmetered && (b == nil || b.State() != gobreaker.StateOpen) {
		if err := u.budget.wait(ctx, c); err != nil {
			return nil, err
		}
	}
	defer u.inFlight.Add(-1)
	if u.inFlight.Add(1) > u.maxInFlight {
		e := jupiter.Errorf(http.StatusServiceUnavailable, jupiter.CodeOverloaded, "too many requests wait for %s already", u.name)
		e.RetryAfter = time.Second
		return nil, e
	}
	if b == nil {
		return u.roundTrip(ctx, c)
	}
	return b.do(u.name, func() (*answer, error) { return u.roundTrip(ctx, c) })
}

func (u *upstream) roundTrip(ctx context.Context, c *call) (*answer, error) {
	start := time.Now()
	ctx, span := platform.Span(ctx, u.name+" "+c.endpoint, trace.SpanKindClient)
	a, err := u.exchange(ctx, c)
	endSpan(span, a, err)
	u.metrics.upstreamLatency.WithLabelValues(u.name, c.endpoint, outcome(a, err)).Observe(time.Since(start).Seconds())
	if err == nil {
		if u.budget != nil && !c.unmetered {
			u.budget.observe(ctx, a)
		}
		return a, nil
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	u.log.Warn("upstream call did not end in an answer", "request_id", platform.RequestID(ctx), "upstream", u.name,
		"endpoint", c.endpoint, "error", err)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, jupiter.Errorf(http.StatusGatewayTimeout, jupiter.CodeUpstreamTimeout, "%s did not answer within %v", u.name, u.patience(c).Round(time.Millisecond))
	}
	return nil, jupiter.Errorf(http.StatusBadGateway, jupiter.CodeUpstreamUnavailable, "%s gave no complete answer", u.name)
}

// endSpan says what became of an upstream call.
func endSpan(span trace.Span, a *answer, err error) {
	if err != nil {
		span.SetStatus(codes.Error, outcome(a, err))
	} else if span.IsRecording() {
		span.SetAttributes(attribute.Int("http.response.status_code", a.status))
		if a.status >= 500 {
			span.SetStatus(codes.Error, "")
		}
	}
	span.End()
}

// patience is how long c may take.
func (u *upstream) patience(c *call) time.Duration {
	if c.timeout > 0 {
		return min(c.timeout, u.timeout)
	}
	return u.timeout
}

// exchange gives an answer or an error, never both; the time bound covers the answer to its last byte.
func (u *upstream) exchange(ctx context.Context, c *call) (_ *answer, err error) {
	ctx, cancel := context.WithTimeout(ctx, u.patience(c))
	keep := false
	defer func() {
		if !keep {
			cancel()
		}
	}()
	var body io.Reader
	if c.body != nil {
		body = bytes.NewReader(c.body)
	}
	req, err := u.client.NewRequest(ctx, c.method, c.path, c.query, body)
	if err != nil {
		return nil, err
	}
	req.Header = maps.Clone(c.header) // the next upstream's has another key
	if u.own {
		platform.Propagate(ctx, req.Header)
	}
	resp, err := u.client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode < 200 { // a switch of protocols, which nobody asked for
		resp.Body.Close()
		return nil, fmt.Errorf("status %d", resp.StatusCode)
	}
	a := &answer{status: resp.StatusCode, header: callerHeader(resp.StatusCode, resp.Header)}
	if a.body, err = readBuffered(resp); err != nil {
		resp.Body.Close()
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	if int64(len(a.body)) == resp.ContentLength || len(a.body) < maxBuffered {
		resp.Body.Close()
		// A success that is no JSON is some proxy's page or half an answer: a caller, or the cache, would take it for a quote.
		if a.status == http.StatusOK && !json.Valid(a.body) {
			return nil, fmt.Errorf("%d bytes of %s that are not JSON", len(a.body), a.header.Get("Content-Type"))
		}
		return a, nil
	}
	keep, a.rest = true, &streamed{resp.Body, cancel}
	return a, nil
}

// readBuffered reads all of a body of known and modest length into a slice of that length, or at most maxBuffered bytes.
func readBuffered(resp *http.Response) ([]byte, error) {
	if n := resp.ContentLength; n >= 0 && n <= maxBuffered {
		body := make([]byte, n)
		_, err := io.ReadFull(resp.Body, body)
		return body, err
	}
	return io.ReadAll(io.LimitReader(resp.Body, maxBuffered))
}

type streamed struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (s *streamed) Close() error {
	s.cancel()
	return s.ReadCloser.Close()
}
