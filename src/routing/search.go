package routing

import (
	"math"
	"math/bits"
	"slices"
	"sync"
	"time"

	"jupiter-dex-integration/src/amm"
)

const (
	// coarsest and finest are the parts of a trade that are tried on other routes, as divisors.
	coarsest = 4
	finest   = 1024
	// worthwhile is the part of a plan's outcome that a step must better it by.
	worthwhile = 5e-6
	// coarser is how much smaller the parts for which new routes are sought become each time.
	coarser = 4
	// spareRoutes is how many routes beyond the limit are collected before the smallest are dropped.
	spareRoutes = 8
	// givers is how many routes are tried as those that give a part away.
	givers = 2
	// maxQuotes bounds the pool quotes of one plan, and rebuildQuotes those of taking routes out and putting others in: in quotes
	// and not in time, so that equal requests have equal plans.
	maxQuotes     = 200_000
	rebuildQuotes = 12_000
	// maxRebuilds bounds how often, and for how many routes, some are taken out and put back.
	maxRebuilds = 10
	// maxReplaced bounds how many routes are sought anew, one by one, and how often.
	maxReplaced = 10
	// maxMints is how many tokens the flows of one plan can touch.
	maxMints = 64
	// maxLegCost is a cost that so many legs as a plan can have do not add up to an overflow.
	maxLegCost = math.MaxUint64 >> 12
	// boundSlack covers the rounding of the float arithmetic that only decides what is worth quoting.
	boundSlack = 1 + 1e-9
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
	defer s.release()
	s.prepare(g, req, lim, start, end)

	single, err := s.single()
	if err != nil {
		return Plan{}, err
	}
	if lim.MaxRoutes > 1 && !s.late() {
		if split, err := s.split(); err == nil && s.betterPlan(split, single) {
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
	// bits number the mints that flows touch, from 1; below has the mints to which flow leads from each of them, itself included.
	bits  []uint8
	mints []int32
	below [maxMints]uint64

	steps    [hopsLimit + 1][]step // by hop and mint
	frontier [hopsLimit + 1][]int32

	// maxFresh bounds how many pools without flow a walk may take; 0 is no bound.
	maxFresh int8

	quotes, quota int // pool quotes made, and how many may be
	losses        []lossOf
	routes        []route
	total         uint64 // what the routes make, as of their beginning
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
	fresh  int8 // pools on the way that had no flow
}

// route is one path, in the walk's direction, and what of the request's amount goes through it.
type route struct {
	mints  [hopsLimit + 1]int32
	edges  [hopsLimit]edge
	n      int
	amount uint64
}

// lossOf is what a route misses without some part.
type lossOf struct {
	route int
	loss  uint64
}

var searches = sync.Pool{New: func() any { return new(search) }}

func (s *search) prepare(g *Graph, req Request, lim Limits, start, end int32) {
	s.g, s.req, s.lim, s.start, s.end = g, req, lim, start, end
	s.hops = min(max(lim.MaxHops, 1), hopsLimit)
	s.quotes, s.quota = 0, maxQuotes
	s.req.LegCost = min(req.LegCost, maxLegCost)
	mints := len(g.mints)
	s.flows = resize(s.flows, len(g.pools))
	s.bits = resize(s.bits, mints)
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
					s.reach[r][m] = max(s.reach[r][m], g.rate(e)*far)
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

// betterNet reports whether a result a through n legs is better than b through m.
func (s *search) betterNet(a uint64, n int, b uint64, m int) bool {
	if s.req.ExactOut { // a + n*cost < b + m*cost
		a, b = b, a
	}
	left, carry := bits.Add64(a, uint64(m)*s.req.LegCost, 0) // a - n*cost > b - m*cost, without going below 0
	right, carryRight := bits.Add64(b, uint64(n)*s.req.LegCost, 0)
	return carry > carryRight || carry == carryRight && left > right
}

func (s *search) betterPlan(p, q Plan) bool {
	return s.betterNet(p.side(s.req.ExactOut), len(p.Legs), q.side(s.req.ExactOut), len(q.Legs))
}

func (s *search) late() bool {
	return s.quotes > s.quota || !s.lim.Deadline.IsZero() && time.Now().After(s.lim.Deadline)
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
	s.quotes++
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
	maxFresh := int8(hopsLimit)
	if s.maxFresh > 0 {
		maxFresh = s.maxFresh
	}
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
				rate := s.g.rate(e)
				there := &s.steps[h+1][e.to]
				if s.worthless(have, rate*far, best) || s.worthless(have, rate, there.amount) || !s.acyclic(h, m, e.to) {
					continue
				}
				fresh := s.steps[h][m].fresh
				if s.flows[e.pool].amount == 0 {
					fresh++
				}
				if fresh > maxFresh {
					continue
				}
				got, ok := s.extend(e, have)
				if !ok || there.amount != 0 && !s.better(got, there.amount) {
					continue
				}
				if there.amount == 0 {
					s.frontier[h+1] = append(s.frontier[h+1], e.to)
				}
				*there = step{got, e, m, fresh}
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
	var below uint64
	if bit := s.bits[to]; bit > 0 {
		below = s.below[bit-1]
	}
	for ; ; h-- {
		if m == to {
			return false
		}
		if bit := s.bits[m]; bit > 0 && below&(1<<(bit-1)) != 0 {
			return false
		}
		if h == 0 {
			return true
		}
		m = s.steps[h][m].prev
	}
}

// link notes that flow leads from one mint to another. It reports whether there was room to note it.
func (s *search) link(from, to int32) bool {
	for _, m := range [2]int32{from, to} {
		if s.bits[m] == 0 {
			if len(s.mints) == maxMints {
				return false
			}
			s.mints = append(s.mints, m)
			s.bits[m] = uint8(len(s.mints))
			s.below[len(s.mints)-1] = 1 << (len(s.mints) - 1)
		}
	}
	source, reached := uint64(1)<<(s.bits[from]-1), s.below[s.bits[to]-1]
	for i := range s.mints {
		if s.below[i]&source != 0 {
			s.below[i] |= reached
		}
	}
	return true
}

// push sends amount along a route on top of the present flows and returns what arrives.
func (s *search) push(r *route, amount uint64) (uint64, bool) {
	unknown := 0
	for _, m := range r.mints[:r.n+1] {
		if s.bits[m] == 0 {
			unknown++
		}
	}
	if len(s.mints)+unknown > maxMints {
		return 0, false
	}
	for i := range r.n {
		e := r.edges[i]
		got, ok := s.extend(e, amount)
		if !ok {
			return 0, false
		}
		f := &s.flows[e.pool]
		if f.amount == 0 {
			if !s.link(r.mints[i], e.to) {
				return 0, false
			}
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
	for _, m := range s.mints {
		s.bits[m] = 0
	}
	s.mints = s.mints[:0]
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
	var best Plan
	for hops := s.hops; hops > 0; hops-- { // fewer hops, if more take too many accounts or cost too much
		s.clearFlows()
		r, _, ok := s.walk(s.req.Amount, hops)
		if !ok {
			break
		}
		hops = r.n
		if _, ok = s.push(&r, s.req.Amount); !ok {
			break
		}
		s.routes = append(s.routes[:0], r)
		if p, err := s.assemble(1); err == nil && s.lim.allow(&p) && (best.Legs == nil || s.betterPlan(p, best)) {
			best = p
		}
		if best.Legs != nil && s.req.LegCost == 0 {
			break
		}
	}
	if best.Legs == nil {
		return Plan{}, ErrNoRoute
	}
	return best, nil
}

// split is the best plan found of several routes. It begins with all on one and moves parts to others, at first large ones, as long as that
// helps.
func (s *search) split() (Plan, error) {
	s.clearFlows()
	first, total, ok := s.walk(s.req.Amount, s.hops)
	if !ok {
		// No one route takes all of it: begin with what many small parts find.
		return s.spread()
	}
	s.routes, s.total = append(s.routes[:0], first), total
	if _, ok := s.push(&s.routes[0], s.req.Amount); !ok {
		return Plan{}, ErrNoRoute
	}
	s.followHints()
	s.improve()
	return s.finish()
}

// followHints moves parts to the hints' routes and keeps those that get any.
func (s *search) followHints() {
	for _, hint := range s.req.Hints {
		if hint.topology == s.g.topology && s.allows(&hint.route) {
			s.add(hint.route)
		}
	}
	s.balance(s.req.Amount / coarsest)
	s.routes = slices.DeleteFunc(s.routes, func(r route) bool { return r.amount == 0 })
	if _, ok := s.replay(s.routes); !ok { // which forgets the ways of those that got nothing
		r, _, _ := s.walk(s.req.Amount, s.hops)
		s.routes = append(s.routes[:0], r)
		s.replay(s.routes)
	}
}

// allows reports whether a route of an earlier search is within this request's rules and joins the flows without a circle.
func (s *search) allows(r *route) bool {
	if r.n == 0 || r.n > s.hops || r.mints[0] != s.start || r.mints[r.n] != s.end {
		return false
	}
	for i := range r.n {
		e := r.edges[i]
		if s.g.pools[e.pool] == nil || !s.labels[s.g.labelOf[e.pool]] || i+1 < r.n && !s.via[e.to] {
			return false
		}
		if bit := s.bits[e.to]; bit > 0 {
			for _, before := range r.mints[:i+1] {
				if b := s.bits[before]; b > 0 && s.below[bit-1]&(1<<(b-1)) != 0 {
					return false
				}
			}
		}
	}
	// Hints must not make circles with one another either, though nothing flows through them yet.
	for i := range r.n {
		if !s.link(r.mints[i], r.edges[i].to) {
			return false
		}
	}
	return true
}

// spread routes a trade in parts, each on the market that the former ones left, and improves on that.
func (s *search) spread() (Plan, error) {
	const parts = 16
	s.clearFlows()
	s.routes = s.routes[:0]
	var sent uint64
	s.total = 0
	for k := uint64(1); k <= parts; k++ {
		amount := s.req.Amount/parts*k + s.req.Amount%parts*k/parts - sent
		if amount == 0 {
			continue
		}
		r, got, ok := s.walk(amount, s.hops)
		if !ok || s.late() {
			return Plan{}, ErrNoRoute
		}
		s.total += got
		if _, ok := s.push(&r, amount); !ok {
			return Plan{}, ErrNoRoute
		}
		sent += amount
		s.add(r)
	}
	s.improve()
	return s.finish()
}

// add counts a route's amount to the same route if there is one, or makes it a new one, and then returns true.
func (s *search) add(r route) bool {
	for i := range s.routes {
		if o := &s.routes[i]; o.n == r.n && o.edges == r.edges {
			o.amount += r.amount
			return false
		}
	}
	s.routes = append(s.routes, r)
	return true
}

// improve seeks new routes for ever smaller parts of the trade and moves the parts there from the routes that miss them least.
func (s *search) improve() {
	for divisor := uint64(coarsest); divisor <= finest; divisor *= coarser {
		part := s.req.Amount / divisor
		if part == 0 {
			return
		}
		for range 2 * (s.lim.MaxRoutes + spareRoutes) {
			if len(s.routes) >= s.lim.MaxRoutes+spareRoutes || s.late() {
				break
			}
			from, loss, ok := s.leastMissed(part)
			if !ok {
				break
			}
			s.pull(&s.routes[from], part)
			r, gain, ok := s.walk(part, s.hops)
			if ok = ok && s.worth(gain, loss); ok {
				_, ok = s.push(&r, part)
			}
			if !ok {
				s.push(&s.routes[from], part) // which makes everything as it was
				break
			}
			s.routes[from].amount -= part
			isNew := s.add(r)
			s.move(part/2, 1)
			if !isNew { // then it is only the amounts that can be better yet
				break
			}
		}
		s.balance(part)
	}
}

// worth reports whether what a step wins is so much better than what it loses that the step is worth its time.
func (s *search) worth(gain, loss uint64) bool {
	if !s.better(gain, loss) {
		return false
	}
	return math.Abs(float64(gain)-float64(loss)) > max(2, worthwhile*float64(s.total)) // 2 is noise of rounding
}

// leastMissed is the route from which part can be taken at the least loss.
func (s *search) leastMissed(part uint64) (from int, loss uint64, ok bool) {
	for i := range s.routes {
		if s.routes[i].amount <= part {
			continue
		}
		if l, fine := s.lose(&s.routes[i], part); fine && (!ok || s.better(loss, l)) {
			from, loss, ok = i, l, true
		}
	}
	return from, loss, ok
}

// shrink is what an edge's other side has less of if amount less goes through it.
func (s *search) shrink(e edge, amount uint64) (uint64, bool) {
	f := &s.flows[e.pool]
	if f.amount <= amount {
		return 0, false
	}
	s.quotes++
	q, err := s.g.pools[e.pool].Quote(s.g.clock, amm.Request{AToB: e.aToB, ExactOut: s.req.ExactOut, Amount: f.amount - amount})
	if err != nil {
		return 0, false
	}
	value := q.Out
	if s.req.ExactOut {
		value = q.In
	}
	if value >= f.value {
		return 0, false
	}
	return f.value - value, true
}

// lose is what arrives less if part is taken from a route.
func (s *search) lose(r *route, part uint64) (uint64, bool) {
	for i := range r.n {
		var ok bool
		if part, ok = s.shrink(r.edges[i], part); !ok {
			return 0, false
		}
	}
	return part, true
}

// win is what arrives more if part is added to a route.
func (s *search) win(r *route, part uint64) (uint64, bool) {
	for i := range r.n {
		var ok bool
		if part, ok = s.extend(r.edges[i], part); !ok {
			return 0, false
		}
	}
	return part, true
}

// pull takes part from a route of which lose knows the outcome.
func (s *search) pull(r *route, part uint64) {
	for i := range r.n {
		f := &s.flows[r.edges[i].pool]
		less, ok := s.shrink(r.edges[i], part)
		if !ok {
			return
		}
		f.amount -= part
		f.value -= less
		part = less
	}
}

// balance moves parts between the routes, from part downwards, until all of them would miss the last part as much as any other would
// win by it.
func (s *search) balance(part uint64) {
	for ; part > s.req.Amount/finest && part > 0 && len(s.routes) > 1; part /= 2 {
		s.move(part, 4*len(s.routes))
	}
}

// move moves part from one of the routes that miss it least to the one that wins most by it, as long as that is worth while, at most so
// many times.
func (s *search) move(part uint64, times int) {
	for range times {
		if s.late() || !s.moveOne(part) {
			return
		}
	}
}

func (s *search) moveOne(part uint64) bool {
	s.losses = s.losses[:0]
	for i := range s.routes {
		if s.routes[i].amount > part {
			if l, ok := s.lose(&s.routes[i], part); ok {
				s.losses = append(s.losses, lossOf{i, l})
			}
		}
	}
	for n := range min(len(s.losses), givers) {
		for k := n + 1; k < len(s.losses); k++ { // the next least to its place
			if s.better(s.losses[n].loss, s.losses[k].loss) {
				s.losses[n], s.losses[k] = s.losses[k], s.losses[n]
			}
		}
		from := &s.routes[s.losses[n].route]
		// Taken out first, because the others may win by what a pool that they share is relieved of.
		s.pull(from, part)
		to, most := -1, uint64(0)
		for i := range s.routes {
			if &s.routes[i] == from {
				continue
			}
			if w, ok := s.win(&s.routes[i], part); ok && (to < 0 || s.better(w, most)) {
				to, most = i, w
			}
		}
		if to >= 0 && s.worth(most, s.losses[n].loss) {
			if _, ok := s.push(&s.routes[to], part); ok {
				from.amount -= part
				s.routes[to].amount += part
				return true
			}
		}
		s.push(from, part) // which makes everything as it was
	}
	return false
}

// finish makes the routes a plan within the limits. If there are too many, they are dropped until they fit, and built up from one until they
// no longer do; what is better of the two is then bettered route by route.
func (s *search) finish() (Plan, error) {
	s.quota = maxQuotes + rebuildQuotes // what was found is put into a plan in any case
	if p, ok := s.fit(); ok {
		return s.economise(p), nil
	}
	var best Plan
	for len(s.routes) > 1 {
		s.drop()
		if p, ok := s.fit(); ok {
			s.quota = s.quotes + rebuildQuotes
			best = s.economise(s.rebuild(s.replaceRoutes(p)))
			break
		}
	}
	s.quota = s.quotes + rebuildQuotes
	if p, ok := s.grow(); ok {
		if p = s.economise(s.rebuild(s.replaceRoutes(p))); best.Legs == nil || s.betterPlan(p, best) {
			best = p
		}
	}
	if best.Legs == nil {
		return Plan{}, ErrNoRoute
	}
	return best, nil
}

// economise drops routes from the plan p as long as that saves more than they earn.
func (s *search) economise(p Plan) Plan {
	for s.req.LegCost > 0 && len(s.routes) > 1 && !s.late() {
		s.drop()
		q, ok := s.fit()
		if !ok || !s.betterPlan(q, p) {
			break
		}
		p = q
	}
	return p
}

// fit is the plan of the present flows, if that is within the limits.
func (s *search) fit() (Plan, bool) {
	if len(s.routes) > s.lim.MaxRoutes {
		return Plan{}, false
	}
	p, err := s.assemble(len(s.routes))
	return p, err == nil && s.lim.allow(&p)
}

// grow builds a plan up from the best single route.
func (s *search) grow() (Plan, bool) {
	s.clearFlows()
	r, _, found := s.walk(s.req.Amount, s.hops)
	if !found {
		return Plan{}, false
	}
	if _, ok := s.push(&r, s.req.Amount); !ok {
		return Plan{}, false
	}
	s.routes = append(s.routes[:0], r)
	p, ok := s.fit()
	if !ok {
		return p, false
	}
	return s.addRoutes(p), true
}

// addRoutes betters the plan p of the present routes by further ones, as long as they fit.
func (s *search) addRoutes(p Plan) Plan {
	defer func() { s.maxFresh = 0 }()
	s.maxFresh = int8(s.hops)
	for divisor := uint64(2); divisor <= 32 && len(s.routes) < s.lim.MaxRoutes && !s.late(); divisor *= 2 {
		part := s.req.Amount / divisor
		from, loss, ok := s.leastMissed(part)
		if !ok {
			continue
		}
		s.pull(&s.routes[from], part)
		r, gain, found := s.walk(part, s.hops)
		s.push(&s.routes[from], part)
		if !found || !s.worth(gain, loss) {
			continue
		}
		fits := true
		before := slices.Clone(s.routes)
		s.routes[from].amount -= part
		isNew := s.add(r)
		if _, ok := s.replay(s.routes); ok {
			s.balance(part / 2)
			q, ok := s.fit()
			if ok && s.betterPlan(q, p) {
				p = q
				if isNew {
					divisor /= 2 // once more
				}
				continue
			}
			fits = ok
		}
		s.routes = append(s.routes[:0], before...)
		if _, ok := s.replay(s.routes); !ok {
			break
		}
		if !fits && s.maxFresh > 1 { // perhaps something smaller does
			s.maxFresh--
			divisor /= 2
		}
	}
	return p
}

// rebuild takes out one or two routes, lets the others take over, and adds routes again, as long as that betters p.
func (s *search) rebuild(p Plan) Plan {
	best := slices.Clone(s.routes)
	for range maxRebuilds {
		better := false
		for i := 0; i < len(best) && !better; i++ {
			for j := i; j < len(best) && !better; j++ {
				if s.late() || len(best) > maxRebuilds {
					return p
				}
				s.without(best, i)
				if j > i {
					if len(best) == 2 {
						continue
					}
					s.without(slices.Clone(s.routes), j-1)
				}
				if len(s.routes) == 0 {
					continue
				}
				if _, ok := s.replay(s.routes); !ok {
					continue
				}
				s.balance(s.req.Amount / coarsest)
				q, ok := s.fit()
				if !ok {
					continue
				}
				if q = s.addRoutes(q); s.betterPlan(q, p) {
					p, better = q, true
					best = append(best[:0], s.routes...)
				}
			}
		}
		if !better {
			break
		}
	}
	s.routes = append(s.routes[:0], best...)
	if _, ok := s.replay(s.routes); !ok {
		s.routes = s.routes[:0]
	}
	return p
}

// replaceRoutes takes out one route after the other and seeks the best one for its amount, given the others, as long as that betters p.
func (s *search) replaceRoutes(p Plan) Plan {
	best := slices.Clone(s.routes)
	rounds := 0
	for better := len(best) <= maxReplaced; better && rounds < maxReplaced; rounds++ {
		better = false
		for i := range best {
			if s.late() {
				return p
			}
			s.routes = append(append(s.routes[:0], best[:i]...), best[i+1:]...)
			if _, ok := s.replay(s.routes); !ok {
				continue
			}
			for hops := 1; hops <= s.hops; hops++ { // a shorter one may leave room
				r, _, ok := s.walk(best[i].amount, hops)
				if !ok {
					continue
				}
				s.routes = append(append(s.routes[:0], best[:i]...), best[i+1:]...)
				s.add(r)
				if _, ok := s.replay(s.routes); ok {
					s.balance(s.req.Amount / coarsest)
				}
				if other, ok := s.fit(); ok && s.betterPlan(other, p) {
					p, better = other, true
					best = append(best[:0], s.routes...)
					break
				}
				s.routes = append(append(s.routes[:0], best[:i]...), best[i+1:]...)
				if _, ok := s.replay(s.routes); !ok {
					break
				}
			}
			if better {
				break
			}
		}
	}
	s.routes = append(s.routes[:0], best...)
	if _, ok := s.replay(s.routes); !ok {
		s.routes = s.routes[:0]
	}
	return p
}

// drop gives up the route that is missed least, its cost counted, the others taking over its amount in proportion to theirs.
func (s *search) drop() {
	if len(s.routes) == 1 {
		s.routes = s.routes[:0]
		return
	}
	kept := append([]route(nil), s.routes...)
	best, bestTotal, bestLegs := -1, uint64(0), 0
	for i := range kept {
		s.without(kept, i)
		if total, ok := s.replay(s.routes); ok && (best < 0 || s.betterNet(total, len(s.used), bestTotal, bestLegs)) {
			best, bestTotal, bestLegs = i, total, len(s.used)
		}
	}
	s.without(kept, max(best, 0))
	if _, ok := s.replay(s.routes); ok {
		s.balance(s.req.Amount / coarsest)
	}
}

// without makes the routes all but one, which take over its amount.
func (s *search) without(all []route, drop int) {
	s.routes = append(append(s.routes[:0], all[:drop]...), all[drop+1:]...)
	if len(s.routes) == 0 {
		return
	}
	left, rest := all[drop].amount, uint64(0)
	for i := range s.routes {
		rest += s.routes[i].amount
	}
	for i := range s.routes {
		hi, lo := bits.Mul64(all[drop].amount, s.routes[i].amount)
		share, _ := bits.Div64(hi, lo, rest)
		s.routes[i].amount += share
		left -= share
	}
	s.routes[0].amount += left
}

func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	s = s[:n]
	clear(s)
	return s
}
