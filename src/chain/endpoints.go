package chain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/gagliardetto/solana-go/rpc"
	"github.com/gagliardetto/solana-go/rpc/jsonrpc"
)

const (
	callTimeout   = 5 * time.Second
	probeInterval = 5 * time.Second
	probeTimeout  = 2 * time.Second
	// laggingSlots is how far behind the newest node a node may be and still be chosen for its speed.
	laggingSlots = 10
	minCooldown  = 250 * time.Millisecond
	maxCooldown  = 30 * time.Second
	maxBody      = 64 << 20
	// codeMinContextSlot is the JSON-RPC error of a node that has not reached the minContextSlot asked for.
	codeMinContextSlot = -32016
)

// Commitment is the one level at which everything is read: what is confirmed is not rolled back in practice, and all nodes
// agree on it within about a second.
const Commitment = rpc.CommitmentConfirmed

// ErrUnavailable means that no RPC node answered a call.
var ErrUnavailable = errors.New("no Solana RPC node answered")

// Endpoints are the RPC nodes of one cluster. A call goes to the best of them (not failing, not lagging, fast) and, if that one fails, once
// to each other. It is safe for concurrent use.
type Endpoints struct {
	nodes []*node
}

type node struct {
	host string // for messages: the URL's path and query often hold a key
	rpc  *rpc.Client

	mu        sync.Mutex
	slot      uint64
	latency   time.Duration // moving average
	failures  int
	coolUntil time.Time
	limited   bool // coolUntil is what the node asked for
}

// NewEndpoints makes the clients of RPC nodes. authorization, if not nil, gives the Authorization header of each request.
func NewEndpoints(urls []string, authorization func() string) (*Endpoints, error) {
	if len(urls) == 0 {
		return nil, errors.New("no RPC URL")
	}
	e := &Endpoints{}
	for _, raw := range urls {
		u, err := url.Parse(raw)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, errors.New("an RPC URL must look like https://host:port/path")
		}
		n := &node{host: u.Host}
		base := http.DefaultTransport.(*http.Transport).Clone()
		base.MaxIdleConnsPerHost = 16
		client := &http.Client{Transport: &transport{base: base, url: u, authorization: authorization, limited: n.rateLimited}}
		// The client is given a URL without path and query, so that its error messages cannot leak a key.
		n.rpc = rpc.NewWithCustomRPCClient(jsonrpc.NewClientWithOpts((&url.URL{Scheme: u.Scheme, Host: u.Host}).String(),
			&jsonrpc.RPCClientOpts{HTTPClient: client}))
		e.nodes = append(e.nodes, n)
	}
	return e, nil
}

// transport sends requests to the real URL, with the present credentials, and bounds what comes back.
type transport struct {
	base          http.RoundTripper
	url           *url.URL
	authorization func() string
	limited       func(retryAfter string)
}

func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL = t.url
	if t.authorization != nil {
		if value := t.authorization(); value != "" {
			r.Header.Set("Authorization", value)
		}
	}
	resp, err := t.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusTooManyRequests {
		t.limited(resp.Header.Get("Retry-After"))
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, maxBody), resp.Body}
	return resp, nil
}

// do runs call on the best node, then on each other until one succeeds. call returns the slot its answer is of, 0 if the
// answer has none.
func (e *Endpoints) do(ctx context.Context, what string, call func(context.Context, *rpc.Client) (slot uint64, err error)) error {
	return e.within(ctx, callTimeout, what, call)
}

// within is do with a bound of its own on each node's answer.
func (e *Endpoints) within(ctx context.Context, timeout time.Duration, what string, call func(context.Context, *rpc.Client) (slot uint64, err error)) error {
	errs := []error{fmt.Errorf("%s: %w", what, ErrUnavailable)}
	for _, n := range e.ranked(time.Now()) {
		if err := n.do(ctx, timeout, call); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", n.host, err))
			if ctx.Err() != nil {
				break
			}
			continue
		}
		return nil
	}
	return errors.Join(errs...)
}

func (n *node) do(ctx context.Context, timeout time.Duration, call func(context.Context, *rpc.Client) (uint64, error)) error {
	callCtx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	start := time.Now()
	slot, err := call(callCtx, n.rpc)
	n.mu.Lock()
	defer n.mu.Unlock()
	switch rpcErr := (*jsonrpc.RPCError)(nil); {
	case err == nil:
		n.failures, n.limited = 0, false
		n.slot = max(n.slot, slot)
		n.latency = cmp.Or(n.latency, time.Since(start))*7/8 + time.Since(start)/8
	case ctx.Err() != nil: // the caller gave up: that says nothing about the node
	case errors.As(err, &rpcErr) && rpcErr.Code == codeMinContextSlot: // lagging, not failing
	default:
		n.failures++
		if !n.limited || time.Now().After(n.coolUntil) {
			n.limited = false
			n.coolUntil = time.Now().Add(min(maxCooldown, minCooldown<<min(n.failures-1, 10)))
		}
	}
	return err
}

// rateLimited notes a 429. A node that does not say how long is left alone for a second.
func (n *node) rateLimited(retryAfter string) {
	wait := time.Second
	if seconds, err := strconv.Atoi(retryAfter); err == nil && seconds > 0 {
		wait = min(time.Duration(seconds)*time.Second, maxCooldown)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.limited, n.coolUntil = true, time.Now().Add(wait)
}

// ranked lists the nodes worth trying, best first: those that are not cooling down, or else, so that a lone node's hiccup does
// not fail everything for a while, those that did not ask to be left alone.
func (e *Endpoints) ranked(now time.Time) []*node {
	type state struct {
		*node
		usable, fresh bool
		slot          uint64
		latency       time.Duration
	}
	states := make([]state, 0, len(e.nodes))
	newest := e.Slot()
	for _, n := range e.nodes {
		n.mu.Lock()
		cooling := now.Before(n.coolUntil)
		if !cooling || !n.limited {
			states = append(states, state{n, !cooling, n.slot+laggingSlots >= newest, n.slot, n.latency})
		}
		n.mu.Unlock()
	}
	rank := func(s state) int {
		switch {
		case s.usable && s.fresh:
			return 0
		case s.usable:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(states, func(a, b state) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.latency, b.latency))
	})
	nodes := make([]*node, len(states))
	for i, s := range states {
		nodes[i] = s.node
	}
	return nodes
}

// Slot is the newest slot that any node has told of.
func (e *Endpoints) Slot() uint64 {
	var newest uint64
	for _, n := range e.nodes {
		n.mu.Lock()
		newest = max(newest, n.slot)
		n.mu.Unlock()
	}
	return newest
}

// probe asks every node for its slot, so that a node that is not in use is known when it is needed.
func (e *Endpoints) probe(ctx context.Context) {
	var wg sync.WaitGroup
	for _, n := range e.nodes {
		n.mu.Lock()
		cooling := time.Now().Before(n.coolUntil)
		n.mu.Unlock()
		if cooling {
			continue
		}
		wg.Go(func() {
			_ = n.do(ctx, probeTimeout, func(ctx context.Context, c *rpc.Client) (uint64, error) { // n has noted the failure
				return c.GetSlot(ctx, Commitment)
			})
		})
	}
	wg.Wait()
}
