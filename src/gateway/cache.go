package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"jupiter-dex-integration/src/jupiter"
)

// CacheConfig holds for quotes. Swaps are never cached.
type CacheConfig struct {
	// TTL is how long a quote is as good as new; the default is one slot. 0: identical requests share a call while it is in
	// flight, and nothing is kept.
	TTL time.Duration `env:"QUOTE_CACHE_TTL" envDefault:"400ms"`
	// MaxAge is up to when it is served while a new one is fetched; no quote is ever served at a greater age.
	MaxAge time.Duration `env:"QUOTE_CACHE_MAX_AGE" envDefault:"800ms"`
	Bytes  int64         `env:"QUOTE_CACHE_BYTES" envDefault:"67108864"`
}

func (c CacheConfig) validate() error {
	var errs []error
	if c.TTL < 0 || c.TTL > time.Minute {
		errs = append(errs, fmt.Errorf("QUOTE_CACHE_TTL must be from 0 to 1m, not %v", c.TTL))
	}
	if c.TTL > 0 && (c.MaxAge < c.TTL || c.MaxAge > time.Minute) {
		errs = append(errs, fmt.Errorf("QUOTE_CACHE_MAX_AGE must be from QUOTE_CACHE_TTL (%v) to 1m, not %v", c.TTL, c.MaxAge))
	}
	if c.Bytes < 0 {
		errs = append(errs, errors.New("QUOTE_CACHE_BYTES must not be negative"))
	}
	return errors.Join(errs...)
}

// How a quote came about, as x-cache and the metrics say.
const (
	cacheHit       = "hit"
	cacheStale     = "stale"     // served while a new one is fetched
	cacheMiss      = "miss"      // fetched for this request
	cacheCoalesced = "coalesced" // fetched for an identical request in flight
	cacheBypass    = "bypass"    // the request asked for it
)

// maxSpellings is how many forms of one request are recognised without parsing.
const maxSpellings = 4

// cache keeps answers by normalised request and lets identical requests in flight share one call.
type cache struct {
	cfg CacheConfig
	// background is the context of refreshes that no request waits for.
	background context.Context
	results    map[string]prometheus.Counter
	age        prometheus.Histogram

	mu        sync.RWMutex
	entries   map[string]*cached // by normalised request
	spellings map[string]*cached // by request as clients write it
	bytes     int64
}

type cached struct {
	key       string
	spellings []string
	size      int64
	answer    *answer // nil: none yet
	at        time.Time
	flight    *flight
}

// flight is a call that several requests may wait for.
type flight struct {
	done   chan struct{}
	answer *answer
	err    error
	// panicked says how the call panicked, and where.
	panicked string
	waiting  int
	cancel   context.CancelCauseFunc
}

func newCache(background context.Context, cfg CacheConfig, reg prometheus.Registerer) *cache {
	c := &cache{cfg: cfg, background: background, results: map[string]prometheus.Counter{},
		entries: map[string]*cached{}, spellings: map[string]*cached{},
		age: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "jupiter_quote_cache_age_seconds",
			Help: "Age of the quotes served from the cache.", Buckets: []float64{.025, .05, .1, .2, .4, .8, 1.6, 5, 60}}),
	}
	results := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "jupiter_quote_cache_requests_total",
		Help: "Quote requests by how their answer came about."}, []string{"result"})
	for _, r := range []string{cacheHit, cacheStale, cacheMiss, cacheCoalesced, cacheBypass} {
		c.results[r] = results.WithLabelValues(r)
	}
	reg.MustRegister(results, c.age, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "jupiter_quote_cache_bytes",
		Help: "Size of the quotes kept."}, func() float64 {
		c.mu.Lock()
		defer c.mu.Unlock()
		return float64(c.bytes)
	}))
	return c
}

// fresh returns what is kept for a request that was spelt like this before and needs no call.
func (c *cache) fresh(spelling string, now time.Time) (*answer, time.Duration) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if e := c.spellings[spelling]; e != nil && e.answer != nil {
		if age := now.Sub(e.at); age < c.cfg.TTL {
			return e.answer, age
		}
	}
	return nil, 0
}

// get returns the answer to the request key, spelt in this way, and how it came about: from the cache, from an identical
// request's call, or from a call of send. send's context ends when nobody waits for it any more.
func (c *cache) get(ctx context.Context, key, spelling string, send func(context.Context) (*answer, error)) (a *answer, age time.Duration, result string, err error) {
	now := time.Now()
	c.mu.Lock()
	e := c.entries[key]
	if e == nil {
		e = &cached{key: key, size: int64(len(key))}
		c.entries[key] = e
		c.bytes += e.size
	}
	if len(e.spellings) < maxSpellings && c.spellings[spelling] == nil {
		spelling = strings.Clone(spelling) // else it would keep its whole request
		e.spellings = append(e.spellings, spelling)
		c.spellings[spelling] = e
		e.size += int64(len(spelling))
		c.bytes += int64(len(spelling))
	}
	if e.answer != nil {
		age, a := now.Sub(e.at), e.answer
		switch {
		case age < c.cfg.TTL:
			c.mu.Unlock()
			return a, age, cacheHit, nil
		case age < c.cfg.MaxAge:
			if e.flight == nil {
				c.launch(c.background, e, send).waiting++ // the cache itself
			}
			c.mu.Unlock()
			return a, age, cacheStale, nil
		}
	}
	f, result := e.flight, cacheCoalesced
	if f == nil {
		f, result = c.launch(context.WithoutCancel(ctx), e, send), cacheMiss
	}
	f.waiting++
	c.mu.Unlock()

	select {
	case <-f.done:
		if f.panicked != "" {
			panic(f.panicked) // here, where the request's own handler reports it
		}
		return f.answer, 0, result, f.err
	case <-ctx.Done():
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.waiting--; f.waiting == 0 {
		f.cancel(context.Cause(ctx))
		if e.flight == f {
			e.flight = nil // newcomers must not wait for a call that ends for want of them
		}
	}
	return nil, 0, result, context.Cause(ctx)
}

// launch starts a call for e. The caller holds the lock.
func (c *cache) launch(ctx context.Context, e *cached, send func(context.Context) (*answer, error)) *flight {
	ctx, cancel := context.WithCancelCause(ctx)
	f := &flight{done: make(chan struct{}), cancel: cancel}
	e.flight = f
	go func() {
		defer cancel(nil)
		f.answer, f.err = f.call(ctx, send)
		if f.err == nil && f.answer.rest != nil { // it cannot be shared, and is no quote
			f.answer.close()
			f.answer, f.err = nil, jupiter.Errorf(http.StatusBadGateway, jupiter.CodeUpstreamUnavailable, "the quote is larger than %d bytes", maxBuffered)
		}
		c.mu.Lock()
		if e.flight == f {
			e.flight = nil
		}
		if f.err == nil && f.answer.status == http.StatusOK {
			c.keep(e, f.answer)
		}
		if e.answer == nil && e.flight == nil {
			c.drop(e)
		}
		c.mu.Unlock()
		close(f.done)
	}()
	return f
}

// call is send, but that its panic is not the process's.
func (f *flight) call(ctx context.Context, send func(context.Context) (*answer, error)) (a *answer, err error) {
	defer func() {
		if p := recover(); p != nil {
			f.panicked = fmt.Sprintf("%v\n%s", p, debug.Stack())
			err = errors.New("the call panicked")
		}
	}()
	return send(ctx)
}

// keep stores a for e if there is room. What an answer says of Jupiter's limit holds at its time only.
func (c *cache) keep(e *cached, a *answer) {
	if c.cfg.TTL == 0 || c.entries[e.key] != e {
		return
	}
	grown := int64(len(a.body))
	if e.answer != nil {
		grown -= int64(len(e.answer.body))
	}
	if c.bytes+grown > c.cfg.Bytes {
		return
	}
	c.bytes += grown
	e.size += grown
	header := a.header.Clone()
	for _, name := range []string{headerRemaining, headerCurrent, headerReset} {
		delete(header, name)
	}
	header["Content-Length"] = []string{strconv.Itoa(len(a.body))} // once, not for every hit
	e.answer, e.at = &answer{status: a.status, header: header, body: a.body}, time.Now()
}

func (c *cache) drop(e *cached) {
	if c.entries[e.key] != e {
		return
	}
	delete(c.entries, e.key)
	for _, s := range e.spellings {
		delete(c.spellings, s)
	}
	c.bytes -= e.size
}

// run drops what is too old to serve, until ctx ends.
func (c *cache) run(ctx context.Context) error {
	tick := time.NewTicker(max(c.cfg.MaxAge, 100*time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case now := <-tick.C:
			c.mu.Lock()
			for _, e := range c.entries {
				if e.flight == nil && now.Sub(e.at) >= c.cfg.MaxAge {
					c.drop(e)
				}
			}
			c.mu.Unlock()
		}
	}
}

// bypasses says whether a request wants an answer of its own.
func bypasses(r *http.Request) bool {
	v := r.Header["Cache-Control"]
	return v != nil && (strings.Contains(v[0], "no-cache") || strings.Contains(v[0], "no-store"))
}

// Field values that need no allocation.
var (
	cacheFields = map[string][]string{cacheHit: {cacheHit}, cacheStale: {cacheStale}, cacheMiss: {cacheMiss}, cacheCoalesced: {cacheCoalesced}, cacheBypass: {cacheBypass}}
	ageFields   = func() (fields [61][]string) {
		for i := range fields {
			fields[i] = []string{fmt.Sprint(i)}
		}
		return fields
	}()
)

// respond writes an answer with its x-cache and Age.
func (c *cache) respond(w http.ResponseWriter, a *answer, age time.Duration, result string, err error) {
	c.results[result].Inc()
	h := w.Header()
	h["X-Cache"] = cacheFields[result]
	if result == cacheHit || result == cacheStale {
		h["Age"] = ageFields[age/time.Second]
		c.age.Observe(age.Seconds())
	}
	respond(w, a, err)
}
