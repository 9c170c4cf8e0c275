package gateway

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/ulule/limiter/v3"
	"go.opentelemetry.io/otel/trace"

	"jupiter-dex-integration/src/jupiter"
	"jupiter-dex-integration/src/platform"
	"jupiter-dex-integration/src/ratelimit"
)

// RateLimitConfig is what one client may ask, of all replicas together.
type RateLimitConfig struct {
	Enabled           bool  `env:"RATE_LIMIT_ENABLED" envDefault:"true"`
	RequestsPerMinute int64 `env:"RATE_LIMIT_REQUESTS_PER_MINUTE" envDefault:"1000"`
	BurstSize         int64 `env:"RATE_LIMIT_BURST_SIZE" envDefault:"100"`
	// Routes have limits of their own, counted apart, for every client: "swap=60/10" is 60 a minute with a burst of 10.
	Routes []string `env:"RATE_LIMIT_ROUTES"`
	// Shadow counts what would be refused and refuses nothing.
	Shadow bool `env:"RATE_LIMIT_SHADOW" envDefault:"false"`
	// Replicas is how many share the limits while Redis, which knows, has not been reached yet.
	Replicas int64 `env:"RATE_LIMIT_REPLICAS" envDefault:"1"`
	// RedisTimeout is the most that a request waits for Redis; this replica decides alone then.
	RedisTimeout time.Duration `env:"RATE_LIMIT_REDIS_TIMEOUT" envDefault:"5ms"`
}

// quota is a sustained rate and how far a client may run ahead of it.
type quota struct{ perMinute, burst int64 }

// parseQuota reads "600/60".
func parseQuota(text string) (quota, error) {
	rate, burst, _ := strings.Cut(text, "/")
	var q quota
	var err, err2 error
	q.perMinute, err = strconv.ParseInt(rate, 10, 32)
	q.burst, err2 = strconv.ParseInt(burst, 10, 32)
	if err != nil || err2 != nil {
		return quota{}, fmt.Errorf("%q is no limit: want requests per minute and burst, as in 600/60", text)
	}
	return q, q.check()
}

func (q quota) check() error {
	if q.perMinute < 1 || q.perMinute > 60e6 || q.burst < 1 || q.burst > 60e6 {
		return fmt.Errorf("requests per minute and burst must be from 1 to 60000000, not %d and %d", q.perMinute, q.burst)
	}
	return nil
}

// parseRouteQuotas reads RATE_LIMIT_ROUTES.
func (c RateLimitConfig) parseRouteQuotas() (map[string]quota, error) {
	known := map[string]bool{}
	for _, r := range new(gateway).routes() {
		known[r.name] = true
	}
	quotas := map[string]quota{}
	var errs []error
	for _, item := range c.Routes {
		route, text, _ := strings.Cut(item, "=")
		if !known[route] {
			errs = append(errs, fmt.Errorf("RATE_LIMIT_ROUTES: there is no route %q, only %s", route, strings.Join(slices.Sorted(maps.Keys(known)), ", ")))
		}
		q, err := parseQuota(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("RATE_LIMIT_ROUTES %s: %w", item, err))
		}
		quotas[route] = q
	}
	return quotas, errors.Join(errs...)
}

// limits refuses what is beyond a client's quota. Routes with a quota of their own count it apart; a key's own quota replaces
// the default.
type limits struct {
	shared    *ratelimit.Shared
	standard  *plan
	routes    map[string]*plan
	plans     sync.Map // quota → *plan
	shadow    bool
	decisions *prometheus.CounterVec
}

func newLimits(cfg RateLimitConfig, shared *ratelimit.Shared, reg prometheus.Registerer) (*limits, error) {
	routes, err := cfg.parseRouteQuotas()
	if err != nil {
		return nil, err
	}
	l := &limits{shared: shared, routes: map[string]*plan{}, shadow: cfg.Shadow,
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "jupiter_ratelimit_decisions_total",
			Help: "Client rate limit decisions: allowed, refused, or would_refuse in shadow mode; by the kind of client."}, []string{"route", "client", "decision"}),
	}
	l.standard = l.plan(quota{cfg.RequestsPerMinute, cfg.BurstSize})
	for route, q := range routes {
		l.routes[route] = l.plan(q)
	}
	reg.MustRegister(l.decisions,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "jupiter_ratelimit_store_up",
			Help: "1 while Redis shares the limits between replicas, 0 while each enforces its part."}, func() float64 {
			if shared.Healthy() {
				return 1
			}
			return 0
		}),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "jupiter_ratelimit_store_round_trips_total",
			Help: "Questions to Redis; the decisions that needed none came from a lease."}, func() float64 { return float64(shared.RoundTrips()) }))
	return l, nil
}

// limit admits the clients of a route within their quota and tells them where they stand, in the fields of the IETF draft
// (draft-ietf-httpapi-ratelimit-headers) and in Jupiter's.
func (l *limits) limit(route string, who *identity, next http.Handler) http.Handler {
	own := l.routes[route]
	allowed := map[string]prometheus.Counter{} // the common decision, by kind of client
	for _, kind := range []string{kindKey, kindIP} {
		allowed[kind] = l.decisions.WithLabelValues(route, kind, "allowed")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := who.of(r)
		if err != nil {
			jupiter.WriteError(w, err)
			return
		}
		p, key := l.standard, c.id
		if own != nil {
			p, key = own, c.id+"|"+route
		} else if c.limit != (quota{}) {
			p = l.plan(c.limit)
		}
		ctx, span := platform.Span(r.Context(), "rate limit", trace.SpanKindInternal)
		state, err := p.Get(ctx, key)
		span.End()
		if err != nil {
			jupiter.WriteError(w, err)
			return
		}
		wait := max(1, state.Reset-time.Now().Unix())
		p.describe(w.Header(), state, wait)
		kind, _, _ := strings.Cut(c.id, ":")
		switch {
		case !state.Reached:
			allowed[kind].Inc()
		case l.shadow:
			l.decisions.WithLabelValues(route, kind, "would_refuse").Inc()
		default:
			l.decisions.WithLabelValues(route, kind, "refused").Inc()
			e := jupiter.Errorf(http.StatusTooManyRequests, jupiter.CodeTooManyRequests, "Too many requests: at most %d a minute and %d at once", p.perMinute, p.burst)
			e.RetryAfter = time.Duration(wait) * time.Second
			jupiter.WriteError(w, e)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// plan is a quota at work.
type plan struct {
	quota
	*limiter.Limiter
	policy []string
}

func (l *limits) plan(q quota) *plan {
	if p, ok := l.plans.Load(q); ok {
		return p.(*plan)
	}
	// The burst is refilled in so many seconds.
	refill := (60*q.burst + q.perMinute - 1) / q.perMinute
	p, _ := l.plans.LoadOrStore(q, &plan{
		quota:   q,
		Limiter: limiter.New(l.shared.Store(q.burst), limiter.Rate{Period: time.Minute, Limit: q.perMinute}),
		policy:  []string{fmt.Sprintf(`"rate";q=%d;w=60, "burst";q=%d;w=%d`, q.perMinute, q.burst, refill)},
	})
	return p.(*plan)
}

func (p *plan) describe(h http.Header, state limiter.Context, wait int64) {
	// The four values are parts of one string: this runs for every request.
	var buf [96]byte
	text := append(buf[:0], `"burst";r=`...)
	remaining := len(text)
	text = strconv.AppendInt(text, state.Remaining, 10)
	remainingEnd := len(text)
	text = strconv.AppendInt(append(text, ";t="...), wait, 10)
	current := len(text)
	text = strconv.AppendInt(text, max(0, p.burst-state.Remaining), 10)
	reset := len(text)
	all := string(strconv.AppendInt(text, state.Reset, 10))
	values := [...]string{all[:current], all[remaining:remainingEnd], all[current:reset], all[reset:]}
	h["Ratelimit-Policy"] = p.policy
	h["Ratelimit"] = values[0:1:1]
	h[headerRemaining] = values[1:2:2]
	h[headerCurrent] = values[2:3:3]
	h[headerReset] = values[3:4:4]
}

// Jupiter's names.
const (
	headerRemaining = "X-Ratelimit-Remaining"
	headerCurrent   = "X-Ratelimit-Current"
	headerReset     = "X-Ratelimit-Reset"
)

// bindsLess says whether upstream leaves the caller more than our own limit does: the tighter of the two is shown.
func bindsLess(upstream, ours http.Header) bool {
	theirs, ok := upstream[headerRemaining]
	if !ok {
		return false
	}
	mine, err := strconv.ParseInt(ours.Get(headerRemaining), 10, 64)
	if err != nil {
		return false
	}
	left, err := strconv.ParseInt(theirs[0], 10, 64)
	return err != nil || left >= mine
}
