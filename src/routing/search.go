package routing

import (
	"math"
	"math/bits"
	"slices"
	"sync"
	"time"
)

const (
	// maxQuotes bounds the pool quotes of one plan, and refineQuotes those of bringing it within the limits, for each beginning:
	// in quotes and not in time, so that equal requests have equal plans.
	maxQuotes    = 200_000
	refineQuotes = 12_000
	// maxLegCost is a cost that so many legs as a plan can have do not add up to an overflow.
	maxLegCost = math.MaxUint64 >> 12
)

// Plan finds the best plan for req within lim: the greatest output for the input, or with ExactOut the smallest input for the
// output, net of the legs' costs. Equal arguments give equal plans, but for a Deadline that cuts the search short. Its errors are ErrNoRoute and
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
	defer searches.Put(s)
	return s.solve(g, req, lim, start, end)
}

func (s *search) solve(g *Graph, req Request, lim Limits, start, end int32) (Plan, error) {
	s.prepare(g, req, lim, start, end)
	defer s.release()
	s.single()
	if lim.MaxRoutes > 1 && !s.late() {
		s.split()
	}
	if !s.best.found() {
		return Plan{}, ErrNoRoute
	}
	return s.planOf(&s.best)
}

// search is the working memory of one Plan. A walk begins at start, which is the input mint, or with ExactOut the output mint.
// What is called better below is more output, or less input.
type search struct {
	g          *Graph
	req        Request
	lim        Limits
	hops       int
	start, end int32
	// quotes are the pool quotes made, quota how many may be.
	quotes, quota int

	rules  rules
	walker walker
	flows  flows

	first  route   // the best one for the whole amount; without edges if none takes it
	routes []route // whose amounts make the flows
	losses []lossOf
	others []route // scratch of what is done with all routes but one
	order  []int32 // scratch of trim
	givers []edge  // scratch of trim: who gives a mint

	// best is what Plan returns; here is where a climb stands.
	best, here solution
	draft      Plan // of the flows, for Limits.Fits
}

// route is one path, in the walk's direction, and what of the request's amount goes through it.
type route struct {
	mints  [hopsLimit + 1]int32
	edges  [hopsLimit]edge
	n      int
	amount uint64
}

// solution is routes that were found to be within the limits, and what they make.
type solution struct {
	routes []route
	value  uint64 // the output, or with ExactOut the input
	legs   int
}

func (a *solution) found() bool { return len(a.routes) > 0 }

func (a *solution) clear() { a.routes = a.routes[:0] }

var searches = sync.Pool{New: func() any { return new(search) }}

func (s *search) prepare(g *Graph, req Request, lim Limits, start, end int32) {
	s.g, s.req, s.lim, s.start, s.end = g, req, lim, start, end
	s.hops = min(max(lim.MaxHops, 1), hopsLimit)
	s.quotes, s.quota = 0, maxQuotes
	s.req.LegCost = min(req.LegCost, maxLegCost)
	s.best.clear()
	s.first.n = 0
	s.rules.set(g, &s.req, start, end)
	s.walker.set(s)
	s.flows.fit(len(g.pools), len(g.mints))
}

func (s *search) release() {
	s.flows.clear()
	s.walker.clear()
	s.g, s.req, s.lim = nil, Request{}, Limits{}
	clear(s.draft.Legs[:cap(s.draft.Legs)]) // which would keep pools alive
}

// rules are a request's restrictions, by label and by mint.
type rules struct {
	labels []bool // allowed; empty if all are
	via    []bool // allowed as intermediate
}

func (r *rules) set(g *Graph, req *Request, start, end int32) {
	r.labels = r.labels[:0]
	if len(req.Dexes)+len(req.ExcludeDexes) > 0 {
		for _, label := range g.labels {
			r.labels = append(r.labels, (len(req.Dexes) == 0 || slices.Contains(req.Dexes, label)) && !slices.Contains(req.ExcludeDexes, label))
		}
	}
	r.via = resize(r.via, len(g.mints))
	for i := range r.via {
		r.via[i] = req.Intermediates == nil
	}
	for _, mint := range req.Intermediates {
		if i, ok := g.index[mint]; ok {
			r.via[i] = true
		}
	}
	r.via[start], r.via[end] = false, false
}

// edges are where a walk can go from a mint.
func (s *search) edges(m int32) []edge {
	if s.req.ExactOut {
		return s.g.in[m]
	}
	return s.g.out[m]
}

// backEdges are from where a walk can come to a mint.
func (s *search) backEdges(m int32) []edge {
	if s.req.ExactOut {
		return s.g.out[m]
	}
	return s.g.in[m]
}

// rate is an edge's marginal price, 0 if the edge may not be used.
func (s *search) rate(e edge) float64 {
	if len(s.rules.labels) > 0 && !s.rules.labels[s.g.labelOf[e.pool]] {
		return 0
	}
	return s.g.rate(e)
}

func (s *search) better(a, b uint64) bool {
	if s.req.ExactOut {
		return a < b
	}
	return a > b
}

// betterNet reports whether a value a through n legs is better than b through m.
func (s *search) betterNet(a uint64, n int, b uint64, m int) bool {
	if s.req.ExactOut { // a + n*cost < b + m*cost
		a, b = b, a
	}
	left, carry := bits.Add64(a, uint64(m)*s.req.LegCost, 0) // a - n*cost > b - m*cost, without going below 0
	right, carryRight := bits.Add64(b, uint64(n)*s.req.LegCost, 0)
	return carry > carryRight || carry == carryRight && left > right
}

func (s *search) late() bool {
	return s.quotes > s.quota || !s.lim.Deadline.IsZero() && time.Now().After(s.lim.Deadline)
}

// adopt makes the present routes the solution if they are better and within the limits.
func (s *search) adopt(sol *solution) bool {
	value, ok := s.flows.arrived(s.end)
	if !ok || sol.found() && !s.betterNet(value, len(s.flows.used), sol.value, sol.legs) || !s.allowed() {
		return false
	}
	s.save(sol)
	return true
}

// save makes the present routes the solution.
func (s *search) save(sol *solution) {
	sol.routes = append(sol.routes[:0], s.routes...)
	sol.value, _ = s.flows.arrived(s.end)
	sol.legs = len(s.flows.used)
}

// keep makes a solution the best if it is.
func (s *search) keep(sol *solution) {
	if sol.found() && (!s.best.found() || s.betterNet(sol.value, sol.legs, s.best.value, s.best.legs)) {
		s.best.routes = append(s.best.routes[:0], sol.routes...)
		s.best.value, s.best.legs = sol.value, sol.legs
	}
}

// load makes a solution's routes the present ones.
func (s *search) load(sol *solution) bool {
	s.routes = append(s.routes[:0], sol.routes...)
	return s.replay()
}

// allowed reports whether the present routes are within the limits.
func (s *search) allowed() bool {
	if len(s.routes) > s.lim.MaxRoutes || s.accounts() > s.lim.MaxAccounts {
		return false
	}
	return s.lim.Fits == nil || s.assemble(&s.draft) == nil && s.lim.Fits(&s.draft)
}

// single looks for the best solution of one route.
func (s *search) single() {
	for hops := s.hops; hops > 0; hops-- { // fewer hops, if more take too many accounts or cost too much
		s.flows.clear()
		r, _, ok := s.walk(s.req.Amount, hops, 0)
		if !ok {
			return
		}
		if hops == s.hops {
			s.first = r
		}
		hops = r.n
		s.routes = append(s.routes[:0], r)
		if !s.replay() {
			return
		}
		s.adopt(&s.best)
		if s.best.found() && s.req.LegCost == 0 {
			return
		}
	}
}

// resize returns n elements of no particular value.
func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
