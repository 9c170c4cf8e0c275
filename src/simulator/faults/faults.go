package faults

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Kind is what a fault does.
type Kind string

// The kinds of faults. All but Latency and Status look like success until the client reads on.
const (
	// Latency delays the answer by LatencyMs and then gives the true one.
	Latency Kind = "latency"
	// Status answers with Status and the API's own error body; 429 has its rate limit headers.
	Status Kind = "status"
	// Hang does not answer until the client goes, the fault is taken away or the simulator stops.
	Hang Kind = "hang"
	// Reset breaks the connection with a TCP RST, or the stream where many share a connection.
	Reset Kind = "reset"
	// Truncate breaks the connection after half of the body.
	Truncate Kind = "truncate"
	// Malformed gives the first half of the body as if it were the whole.
	Malformed Kind = "malformed"
	// ContentType gives an HTML page with status 200, as a proxy in between would.
	ContentType Kind = "content-type"
)

var kinds = []Kind{Latency, Status, Hang, Reset, Truncate, Malformed, ContentType}

// Fault is one rule.
type Fault struct {
	// Endpoint is how the names of the calls that it strikes begin: "/swap/v1/quote", "/swap/", "rpc/getAccountInfo", "rpc/", "ws", or
	// "" for all.
	Endpoint string `json:"endpoint"`
	Kind     Kind   `json:"kind"`
	// Probability is that of striking a call; 0 means always.
	Probability float64 `json:"probability,omitempty"`
	// Count is how many calls it strikes before it is spent; 0 means no end.
	Count int `json:"count,omitempty"`
	// LatencyMs is Latency's, in milliseconds.
	LatencyMs int `json:"latencyMs,omitempty"`
	// Status is Status's, from 400 to 599.
	Status int `json:"status,omitempty"`
}

func (f Fault) check() error {
	switch {
	case !slices.Contains(kinds, f.Kind):
		return fmt.Errorf("kind %q is none of %v", f.Kind, kinds)
	case f.Probability < 0 || f.Probability > 1:
		return fmt.Errorf("probability %v is not from 0 to 1", f.Probability)
	case f.Count < 0:
		return fmt.Errorf("count %d is negative", f.Count)
	case f.Kind == Status && (f.Status < 400 || f.Status > 599):
		return fmt.Errorf("status %d is not from 400 to 599", f.Status)
	case f.Kind == Latency && f.LatencyMs <= 0:
		return fmt.Errorf("latencyMs %d is not positive", f.LatencyMs)
	}
	return nil
}

// Active is a fault in force.
type Active struct {
	Fault
	// Struck is how many calls it has struck.
	Struck int `json:"struck"`
}

// Calls counts calls by endpoint and by the status that was answered, 0 for none.
type Calls map[string]map[int]uint64

// Total is how many calls an endpoint got.
func (c Calls) Total(endpoint string) (sum uint64) {
	for _, n := range c[endpoint] {
		sum += n
	}
	return sum
}

// Faults are the faults in force and the calls so far. It is safe for concurrent use.
type Faults struct {
	mu       sync.Mutex
	rng      *rand.Rand
	active   []*Active
	released chan struct{} // closed when hanging calls shall end
	closed   bool
	calls    Calls
}

// New has no faults. The seed decides which calls a probability strikes.
func New(seed uint64) *Faults {
	return &Faults{rng: rand.New(rand.NewPCG(seed, 0x6661756c74)), released: make(chan struct{}), calls: Calls{}}
}

// Set replaces the faults in force. Calls that hang are let go.
func (f *Faults) Set(faults ...Fault) error {
	active := make([]*Active, len(faults))
	for i, fault := range faults {
		if err := fault.check(); err != nil {
			return fmt.Errorf("fault %d: %w", i, err)
		}
		active[i] = &Active{Fault: fault}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.active = active
	f.release()
	return nil
}

// Clear takes all faults away and lets calls that hang go.
func (f *Faults) Clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.active = nil
	f.release()
}

// Close is Clear for good: nothing hangs any more.
func (f *Faults) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.active = nil
	f.release()
	if !f.closed {
		f.closed = true
		close(f.released)
	}
}

func (f *Faults) release() {
	if !f.closed {
		close(f.released)
		f.released = make(chan struct{})
	}
}

// List is the faults in force, spent ones included.
func (f *Faults) List() []Active {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := []Active{}
	for _, a := range f.active {
		list = append(list, *a)
	}
	return list
}

// Calls is a copy of the counts so far.
func (f *Faults) Calls() Calls {
	f.mu.Lock()
	defer f.mu.Unlock()
	calls := Calls{}
	for endpoint, statuses := range f.calls {
		calls[endpoint] = maps.Clone(statuses)
	}
	return calls
}

// ResetCalls starts counting anew.
func (f *Faults) ResetCalls() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = Calls{}
}

func (f *Faults) count(endpoints []string, status int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, endpoint := range endpoints {
		if f.calls[endpoint] == nil {
			f.calls[endpoint] = make(map[int]uint64)
		}
		f.calls[endpoint][status]++
	}
}

// strike is what happens to a call: a delay, at most one other fault, and the end of hanging.
func (f *Faults) strike(endpoints []string) (delay time.Duration, struck *Fault, released <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range f.active {
		matches := slices.ContainsFunc(endpoints, func(endpoint string) bool { return strings.HasPrefix(endpoint, a.Endpoint) })
		if !matches || a.Count > 0 && a.Struck >= a.Count || a.Kind != Latency && struck != nil {
			continue
		}
		if a.Probability > 0 && f.rng.Float64() >= a.Probability {
			continue
		}
		a.Struck++
		if a.Kind == Latency {
			delay += time.Duration(a.LatencyMs) * time.Millisecond
		} else {
			struck = &a.Fault
		}
	}
	return delay, struck, f.released
}

// wait delays a call; false if its client has gone meanwhile.
func wait(r *http.Request, d time.Duration, released <-chan struct{}) bool {
	if d == 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-r.Context().Done():
		return false
	case <-timer.C:
	case <-released:
	}
	return true
}
