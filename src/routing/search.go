package routing

import (
	"math"
	"slices"
	"sync"
	"time"

	"jupiter-dex-integration/src/amm"
)

const (
	// pieces is how many parts of a trade are routed one after the other, each on the market that the former ones left.
	pieces = 20
	// spareRoutes is how many routes beyond the limit are collected before the smallest are dropped.
	spareRoutes = 8
	// boundSlack covers the rounding of the float arithmetic that only decides what is worth quoting.
	boundSlack = 1 + 1e-9
)

// Plan finds the best plan for req within lim: the greatest output for the input, or with ExactOut the smallest input for the
// output. Equal arguments give equal plans, but for a Deadline that cuts the search short. Its errors are ErrNoRoute and
// *UnknownMintError.
func (g *Graph) Plan(req Request, lim Limits) (Plan, error) {
	start, ok := g.index[req.Input]
	if !ok {
		return Plan{}, &UnknownMintError{req.Input}
	}
	end, ok := g.index[req.Output]
	if !ok {
		return Plan{}, &UnknownMintError{req.Output}
	}
	if req.ExactOut { // then the search walks from the output, against the swaps
		start, end = end, start
	}
	if start == end || req.Amount == 0 {
		return Plan{}, ErrNoRoute
	}
	s := searches.Get().(*search)
	defer s.release()
	s.prepare(g, req, lim, start, end)

	single, err := s.single()
	if err != nil {
		return Plan{}, err
	}
	if lim.MaxRoutes > 1 && !s.late() {
		if split, err := s.split(); err == nil && s.better(split.side(req.ExactOut), single.side(req.ExactOut)) {
			return split, nil
		}
	}
	return single, nil
}

// side is the amount that a plan is judged by.
func (p Plan) side(exactOut bool) uint64 {
	if exactOut {
		return p.In
	}
	return p.Out
}

// search is the working memory of one Plan. A walk begins at start, which is the input mint, or with ExactOut the output mint.
type search struct {
	g          *Graph
	req        Request
	lim        Limits
	hops       int
	start, end int32

	labels []bool // allowed, by label
	via    []bool // allowed as intermediate, by mint
	// reach[r][m] bounds what one unit at mint m can become at the end within r pools, by marginal prices; 0: cannot get there.
	reach [hopsLimit + 1][]float64

	flows []flow  // by pool
	used  []int32 // pools with flow

	steps    [hopsLimit + 1][]step // by hop and mint
	frontier [hopsLimit + 1][]int32
}

// flow is what goes through one pool: amount on the side where walks come from, value on the other.
type flow struct {
	amount, value uint64
	from, to      int32 // in the walk's direction
	aToB          bool
}

// step is how a walk best reaches a mint after some hops.
type step struct {
	amount uint64 // 0: not reached
	edge   edge
	prev   int32
}

// route is one path, in the walk's direction, and what of the request's amount goes through it.
type route struct {
	mints  [hopsLimit + 1]int32
	edges  [hopsLimit]edge
	n      int
	amount uint64
}

var searches = sync.Pool{New: func() any { return new(search) }}

func (s *search) prepare(g *Graph, req Request, lim Limits, start, end int32) {
	s.g, s.req, s.lim, s.start, s.end = g, req, lim, start, end
	s.hops = min(max(lim.MaxHops, 1), hopsLimit)
	mints := len(g.mints)
	s.flows = resize(s.flows, len(g.pools))
	for h := range s.hops + 1 {
		s.steps[h] = resize(s.steps[h], mints)
		s.frontier[h] = s.frontier[h][:0]
	}
	s.labels = resize(s.labels, len(g.labels))
	for i, label := range g.labels {
		s.labels[i] = (len(req.Dexes) == 0 || slices.Contains(req.Dexes, label)) && !slices.Contains(req.ExcludeDexes, label)
	}
	s.via = resize(s.via, mints)
	if req.Intermediates == nil {
		for i := range s.via {
			s.via[i] = true
		}
	}
	for _, mint := range req.Intermediates {
		if i, ok := g.index[mint]; ok {
			s.via[i] = true
		}
	}
	s.via[start], s.via[end] = false, false

	s.reach[0] = resize(s.reach[0], mints)
	s.reach[0][end] = 1
	for r := 1; r <= s.hops; r++ {
		s.reach[r] = append(s.reach[r][:0], s.reach[r-1]...)
		for m := range s.reach[r] {
			if !s.via[m] && int32(m) != start {
				continue
			}
			for _, e := range s.edges(int32(m)) {
				if far := s.reach[r-1][e.to]; far > 0 && s.labels[g.labelOf[e.pool]] {
					s.reach[r][m] = max(s.reach[r][m], g.spot(e)*far)
				}
			}
		}
	}
}

func (s *search) release() {
	s.g, s.req, s.lim = nil, Request{}, Limits{}
	s.clearFlows()
	searches.Put(s)
}

// edges are where a walk can go from a mint.
func (s *search) edges(m int32) []edge {
	if s.req.ExactOut {
		return s.g.in[m]
	}
	return s.g.out[m]
}

func (s *search) better(a, b uint64) bool {
	if s.req.ExactOut {
		return a < b
	}
	return a > b
}

func (s *search) late() bool {
	return !s.lim.Deadline.IsZero() && time.Now().After(s.lim.Deadline)
}

// worthless reports whether amount, even at the marginal prices rate, cannot beat best. 0 is no best yet.
func (s *search) worthless(amount uint64, rate float64, best uint64) bool {
	if rate == 0 {
		return true
	}
	if best == 0 {
		return false
	}
	if s.req.ExactOut {
		return float64(amount)/rate >= float64(best)*boundSlack
	}
	return float64(amount)*rate*boundSlack <= float64(best)
}

// extend is what amount more through an edge makes on the other side: the difference between the pool's quotes with and without it.
func (s *search) extend(e edge, amount uint64) (uint64, bool) {
	f := &s.flows[e.pool]
	sum := f.amount + amount
	if sum < amount {
		return 0, false
	}
	q, err := s.g.pools[e.pool].Quote(s.g.clock, amm.Request{AToB: e.aToB, ExactOut: s.req.ExactOut, Amount: sum})
	if err != nil {
		return 0, false
	}
	value := q.Out
	if s.req.ExactOut {
		value = q.In
	} else if sum-q.In > sum/10000 { // it fills in part; a program that rounds its input down by some units is fine
		return 0, false
	}
	if value <= f.value {
		return 0, false
	}
	return value - f.value, true
}

// walk finds the best way for amount from start to end on top of the present flows.
func (s *search) walk(amount uint64, hops int) (route, uint64, bool) {
	for h := range hops + 1 {
		for _, m := range s.frontier[h] {
			s.steps[h][m].amount = 0
		}
		s.frontier[h] = s.frontier[h][:0]
	}
	s.steps[0][s.start] = step{amount: amount}
	s.frontier[0] = append(s.frontier[0], s.start)
	var best uint64
	bestHops := 0
	for h := range hops {
		rest := hops - h - 1
		for _, m := range s.frontier[h] {
			have := s.steps[h][m].amount
			if m == s.end || s.worthless(have, s.reach[rest+1][m], best) {
				continue
			}
			for _, e := range s.edges(m) {
				far := s.reach[rest][e.to]
				if far == 0 || s.g.pools[e.pool] == nil || !s.labels[s.g.labelOf[e.pool]] || !s.via[e.to] && e.to != s.end {
					continue
				}
				spot := s.g.spot(e)
				there := &s.steps[h+1][e.to]
				if s.worthless(have, spot*far, best) || s.worthless(have, spot, there.amount) || !s.acyclic(h, m, e.to) {
					continue
				}
				got, ok := s.extend(e, have)
				if !ok || there.amount != 0 && !s.better(got, there.amount) {
					continue
				}
				if there.amount == 0 {
					s.frontier[h+1] = append(s.frontier[h+1], e.to)
				}
				*there = step{got, e, m}
				if e.to == s.end && (best == 0 || s.better(got, best)) {
					best, bestHops = got, h+1
				}
			}
		}
	}
	if best == 0 {
		return route{}, 0, false
	}
	r := route{n: bestHops, amount: amount}
	m := s.end
	for h := bestHops; h > 0; h-- {
		st := s.steps[h][m]
		r.mints[h], r.edges[h-1] = m, st.edge
		m = st.prev
	}
	r.mints[0] = m
	return r, best, true
}

// acyclic reports whether a walk that reached m after h hops may go on to a mint: neither the walk nor the flows must lead back.
func (s *search) acyclic(h int, m, to int32) bool {
	for ; ; h-- {
		if m == to || s.flowsTo(to, m, len(s.used)) {
			return false
		}
		if h == 0 {
			return true
		}
		m = s.steps[h][m].prev
	}
}

// flowsTo reports whether flow leads from one mint to another, through at most depth pools.
func (s *search) flowsTo(from, to int32, depth int) bool {
	if depth == 0 {
		return false
	}
	for _, p := range s.used {
		if f := &s.flows[p]; f.from == from && (f.to == to || s.flowsTo(f.to, to, depth-1)) {
			return true
		}
	}
	return false
}

// push sends amount along a route on top of the present flows and returns what arrives.
func (s *search) push(r *route, amount uint64) (uint64, bool) {
	for i := range r.n {
		e := r.edges[i]
		got, ok := s.extend(e, amount)
		if !ok {
			return 0, false
		}
		f := &s.flows[e.pool]
		if f.amount == 0 {
			*f = flow{from: r.mints[i], to: e.to, aToB: e.aToB}
			s.used = append(s.used, e.pool)
		}
		f.amount += amount
		f.value += got
		amount = got
	}
	return amount, true
}

func (s *search) clearFlows() {
	for _, p := range s.used {
		s.flows[p] = flow{}
	}
	s.used = s.used[:0]
}

// replay sends every route's amount anew and returns what arrives in all.
func (s *search) replay(routes []route) (uint64, bool) {
	s.clearFlows()
	var total uint64
	for i := range routes {
		got, ok := s.push(&routes[i], routes[i].amount)
		if !ok || total > math.MaxUint64-got {
			return 0, false
		}
		total += got
	}
	return total, true
}

// single is the best plan of one route.
func (s *search) single() (Plan, error) {
	for hops := s.hops; hops > 0; hops-- { // fewer hops, if more take too many accounts
		s.clearFlows()
		r, _, ok := s.walk(s.req.Amount, hops)
		if !ok {
			return Plan{}, ErrNoRoute
		}
		if _, ok = s.push(&r, s.req.Amount); !ok {
			return Plan{}, ErrNoRoute
		}
		p, err := s.assemble(1)
		if err == nil && s.lim.allow(&p) {
			return p, nil
		}
	}
	return Plan{}, ErrNoRoute
}

// split is the best plan found of several routes.
func (s *search) split() (Plan, error) {
	s.clearFlows()
	var routes []route
	var sent uint64
	for k := uint64(1); k <= pieces && !s.late(); k++ {
		amount := s.req.Amount/pieces*k + s.req.Amount%pieces*k/pieces - sent
		if amount == 0 {
			continue
		}
		r, _, ok := s.walk(amount, s.hops)
		if !ok {
			return Plan{}, ErrNoRoute
		}
		if _, ok := s.push(&r, amount); !ok {
			return Plan{}, ErrNoRoute
		}
		sent += amount
		i := slices.IndexFunc(routes, func(o route) bool { return o.n == r.n && o.edges == r.edges })
		switch {
		case i >= 0:
			routes[i].amount += amount
		case len(routes) == s.lim.MaxRoutes+spareRoutes:
			return Plan{}, ErrNoRoute
		default:
			routes = append(routes, r)
		}
	}
	if len(routes) == 0 {
		return Plan{}, ErrNoRoute
	}
	if sent < s.req.Amount { // out of time: what is left goes where most went
		largest := 0
		for i := range routes {
			if routes[i].amount > routes[largest].amount {
				largest = i
			}
		}
		routes[largest].amount += s.req.Amount - sent
	}
	for len(routes) > 0 {
		if len(routes) <= s.lim.MaxRoutes {
			s.balance(routes)
			if _, ok := s.replay(routes); ok {
				if p, err := s.assemble(len(routes)); err == nil && s.lim.allow(&p) {
					return p, nil
				}
			}
		}
		routes = dropSmallest(routes)
	}
	return Plan{}, ErrNoRoute
}

// dropSmallest moves the smallest route's amount to the largest and drops it.
func dropSmallest(routes []route) []route {
	slices.SortStableFunc(routes, func(a, b route) int {
		switch {
		case a.amount > b.amount:
			return -1
		case a.amount < b.amount:
			return 1
		}
		return 0
	})
	last := len(routes) - 1
	if last > 0 {
		routes[0].amount += routes[last].amount
	}
	return routes[:last]
}

// balance moves amounts between routes, in ever smaller parts, as long as that helps.
func (s *search) balance(routes []route) {
	if len(routes) < 2 {
		return
	}
	best, ok := s.replay(routes)
	for part := s.req.Amount / pieces; part > s.req.Amount/4096 && part > 0; part /= 2 {
		for improved := true; improved && !s.late(); {
			improved = false
			for i := range routes {
				for j := range routes {
					if i == j || routes[i].amount <= part {
						continue
					}
					routes[i].amount -= part
					routes[j].amount += part
					if total, fine := s.replay(routes); fine && (!ok || s.better(total, best)) {
						best, ok, improved = total, true, true
						continue
					}
					routes[i].amount += part
					routes[j].amount -= part
				}
			}
		}
	}
}

func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	s = s[:n]
	clear(s)
	return s
}
