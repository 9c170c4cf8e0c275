package platform

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
)

// RequestIDHeader carries one id through every hop, from the client's answer to the last upstream call.
const RequestIDHeader = "X-Request-Id"

type requestKey struct{}

// request is a request's own context, the recorder of its answer, and what the outer handler and the routes say to each other
// about it: all in one allocation.
type request struct {
	context.Context
	id     string
	idSent [1]string // the value of the answer's field
	route  string
	span   trace.Span // nil: nothing is traced
	answer responseRecorder
}

func (r *request) Value(key any) any {
	if _, ok := key.(requestKey); ok {
		return r
	}
	return r.Context.Value(key)
}

// RequestID returns the id of the request that ctx belongs to, or "" outside a request.
func RequestID(ctx context.Context) string {
	if r, ok := ctx.Value(requestKey{}).(*request); ok {
		return r.id
	}
	return ""
}

// Route names the route that metrics and logs count a request under. Names come from the code, never from the request,
// so that the label stays a closed set.
func Route(name string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if req, ok := r.Context().Value(requestKey{}).(*request); ok {
			req.route = name
		}
		h.ServeHTTP(w, r)
	})
}

type apiMetrics struct {
	requests *prometheus.CounterVec
	errors   *prometheus.CounterVec
	latency  *prometheus.HistogramVec
	inFlight prometheus.Gauge
	log      slog.Handler

	mu    sync.RWMutex
	known map[outcome]counted
}

// outcome is a combination of labels; counted, where it is counted and logged. Looking that up in the library's vectors, and
// writing the same words into every line, takes longer.
type outcome struct {
	route, method string
	status        int
}

type counted struct {
	requests prometheus.Counter
	latency  prometheus.Observer
	log      slog.Handler
}

func (m *apiMetrics) of(o outcome) counted {
	m.mu.RLock()
	c, ok := m.known[o]
	m.mu.RUnlock()
	if !ok {
		c = counted{m.requests.WithLabelValues(o.route, o.method, strconv.Itoa(o.status)), m.latency.WithLabelValues(o.route, o.method),
			m.log.WithAttrs([]slog.Attr{slog.String("method", o.method), slog.String("route", o.route), slog.Int("status", o.status)})}
		m.mu.Lock()
		m.known[o] = c
		m.mu.Unlock()
	}
	return c
}

func newAPIMetrics(reg prometheus.Registerer, log slog.Handler) *apiMetrics {
	m := &apiMetrics{
		known: map[outcome]counted{}, log: log,
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "jupiter_api_requests_total",
			Help: "Requests answered, by route, method and HTTP status."}, []string{"route", "method", "status"}),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "jupiter_api_errors_total",
			Help: "Requests answered with a 5xx status or broken off: our fault or our upstream's, never the client's."}, []string{"route", "method", "status"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "jupiter_api_latency_seconds",
			Help:                        "Time from the request's header to the end of the answer.",
			Buckets:                     []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2, 5, 10, 30},
			NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100, NativeHistogramMinResetDuration: time.Hour,
		}, []string{"route", "method"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{Name: "jupiter_api_in_flight_requests",
			Help: "Requests being served now."}),
	}
	reg.MustRegister(m.requests, m.errors, m.latency, m.inFlight)
	return m
}

// instrument is the outermost handler of an API: request id, access log, metrics, and a 500 in place of a panic.
// tracer may be nil.
func instrument(h http.Handler, log *slog.Logger, m *apiMetrics, tracer trace.Tracer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		req := &request{Context: r.Context(), id: r.Header.Get(RequestIDHeader), route: "unmatched", answer: responseRecorder{ResponseWriter: w}}
		if !validRequestID(req.id) {
			req.id = rand.Text()
		}
		req.idSent[0] = req.id
		w.Header()[RequestIDHeader] = req.idSent[:]
		if tracer != nil {
			req.traced(tracer, r)
		}
		rec := &req.answer
		m.inFlight.Inc()
		defer func() {
			m.inFlight.Dec()
			p := recover()
			if p != nil && p != http.ErrAbortHandler { // which is the way to break off an answer that has begun
				log.Error("handler panicked", "request_id", req.id, "route", req.route, "panic", p, "stack", string(debug.Stack()))
				if rec.status == 0 {
					rec.Header().Set("Content-Type", "application/json")
					rec.WriteHeader(http.StatusInternalServerError)
					rec.Write([]byte(`{"error":"internal error; the request id finds it in the log","errorCode":"INTERNAL_ERROR"}`))
					p = nil
				}
			}
			method, status := methodLabel(r.Method), rec.code()
			elapsed := time.Since(start)
			c := m.of(outcome{req.route, method, status})
			c.requests.Inc()
			c.latency.Observe(elapsed.Seconds())
			if req.span != nil {
				req.endSpan(method, status, p != nil)
			}
			if status >= 500 || p != nil { // or broken off
				m.errors.WithLabelValues(req.route, method, strconv.Itoa(status)).Inc()
			}
			if c.log.Enabled(req, slog.LevelInfo) { // log.LogAttrs would look up its caller and the time each time
				line := slog.NewRecord(start.Add(elapsed), slog.LevelInfo, "request", 0)
				line.AddAttrs( // five fit into a record without an allocation
					slog.String("request_id", req.id), slog.String("path", r.URL.Path), slog.Int64("bytes", rec.bytes),
					slog.Duration("duration", elapsed), slog.String("remote", r.RemoteAddr))
				if req.span != nil {
					line.AddAttrs(slog.String("trace_id", req.span.SpanContext().TraceID().String()))
				}
				c.log.Handle(req, line) // there is nowhere to report an error to
			}
			if p != nil {
				panic(http.ErrAbortHandler) // a clean end would make a part look like the whole
			}
		}()
		h.ServeHTTP(rec, r.WithContext(req))
	})
}

// validRequestID keeps a caller's id only if it is short and safe to log and to send on.
func validRequestID(id string) bool {
	if id == "" || len(id) > 64 {
		return false
	}
	for _, c := range []byte(id) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.') {
			return false
		}
	}
	return true
}

func methodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodOptions:
		return method
	}
	return "other"
}

type responseRecorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (r *responseRecorder) WriteHeader(status int) {
	if r.status == 0 && status >= 200 { // 1xx answers come before the real one
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *responseRecorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(b)
	r.bytes += int64(n)
	return n, err
}

// Unwrap gives http.ResponseController the writer that can flush and set deadlines.
func (r *responseRecorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (r *responseRecorder) code() int {
	if r.status == 0 {
		return http.StatusOK
	}
	return r.status
}
