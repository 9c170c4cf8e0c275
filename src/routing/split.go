package routing

import "math"

const (
	// coarsest and finest are the parts of a trade that are tried on other routes, as divisors.
	coarsest = 4
	finest   = 1024
	// rough is the finest part that is moved before it is known whether a result is promising: within so much of the best, as a divisor.
	rough     = 64
	promising = 100
	// coarser is how much smaller the parts for which new routes are sought become each time.
	coarser = 4
	// worthwhile is the part of a plan's outcome that a step must better it by. The more routes there are, the more steps of that kind can be
	// left undone: for all routes together they may come to untouched.
	worthwhile = 5e-6
	untouched  = 5e-5
	// spareRoutes is how many routes beyond the limit are collected before the smallest are dropped.
	spareRoutes = 2
	// givers is how many routes are tried as those that give a part away.
	givers = 2
	// spreadParts is in how many parts a trade is routed that no one route takes.
	spreadParts = 16
)

// split looks for better solutions of several routes. It begins with all on one and moves parts to others, at first large ones, as long as
// that helps; then it brings what it has within the limits. Where there are hints it only betters what they make.
func (s *search) split() {
	if s.followHints() {
		s.climb()
		return
	}
	if !s.begin() && !s.spread() {
		return
	}
	s.improve()
	s.refine()
}

// begin puts the amount on the best route for all of it.
func (s *search) begin() bool {
	s.flows.clear()
	if s.first.n == 0 {
		return false
	}
	s.routes = append(s.routes[:0], s.first)
	return s.replay()
}

// followHints shares the amount out among the hints and makes that the solution here. All of them must be allowed now, and no one route better.
func (s *search) followHints() bool {
	s.flows.clear()
	s.routes = s.routes[:0]
	for i := range s.req.Hints {
		hint := &s.req.Hints[i]
		if hint.topology != s.g.topology || !s.allows(&hint.route) {
			return false
		}
		s.add(hint.route)
	}
	n := uint64(len(s.routes))
	if n == 0 {
		return false
	}
	for i := range s.routes {
		s.routes[i].amount = s.req.Amount / n
	}
	s.routes[0].amount += s.req.Amount % n
	if !s.replay() {
		return false
	}
	s.balance(s.req.Amount / coarsest)
	s.here.clear()
	if !s.adopt(&s.here) {
		return false
	}
	s.quota = s.quotes + refineQuotes
	return !s.best.found() || !s.betterNet(s.best.value, s.best.legs, s.here.value, s.here.legs)
}

// allows reports whether a route of an earlier search is within this request's rules and joins the flows without a circle. Hints
// must not make circles with one another either, so its ways are noted though nothing flows through them yet.
func (s *search) allows(r *route) bool {
	if r.n == 0 || r.n > s.hops || r.mints[0] != s.start || r.mints[r.n] != s.end {
		return false
	}
	for i := range r.n {
		e := r.edges[i]
		if s.rate(e) == 0 || i+1 < r.n && !s.rules.via[e.to] {
			return false
		}
		below := s.flows.belowOf(e.to)
		for _, before := range r.mints[:i+1] {
			if s.flows.contains(below, before) {
				return false
			}
		}
	}
	for i := range r.n {
		if !s.flows.link(r.mints[i], r.edges[i].to) {
			return false
		}
	}
	return true
}

// spread routes a trade in parts, each on the market that the former ones left.
func (s *search) spread() bool {
	s.flows.clear()
	s.routes = s.routes[:0]
	var sent uint64
	for k := uint64(1); k <= spreadParts; k++ {
		amount := s.req.Amount/spreadParts*k + s.req.Amount%spreadParts*k/spreadParts - sent
		if amount == 0 {
			continue
		}
		r, _, ok := s.walk(amount, s.hops, 0)
		if !ok || s.late() {
			return false
		}
		if _, ok := s.push(&r, amount); !ok {
			return false
		}
		sent += amount
		s.add(r)
	}
	return true
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
			r, gain, ok := s.walk(part, s.hops, loss)
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
		if s.accounts() > s.lim.MaxAccounts || len(s.routes) > s.lim.MaxRoutes {
			return // smaller parts only add to what is too much
		}
		s.balance(part)
	}
}

// worth reports whether what a step wins is so much better than what it loses that the step is worth its time.
func (s *search) worth(gain, loss uint64) bool {
	if !s.better(gain, loss) {
		return false
	}
	total, _ := s.flows.arrived(s.end)
	least := min(worthwhile, untouched/float64(len(s.routes))) * float64(total)
	return math.Abs(float64(gain)-float64(loss)) > max(2, least) // 2 is noise of rounding
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

// balance moves parts between the routes, from part downwards, until all of them would miss the last part as much as any other would
// win by it.
func (s *search) balance(part uint64) { s.balanceTo(part, s.req.Amount/finest) }

func (s *search) balanceTo(part, least uint64) {
	for ; part > least && part > 0 && len(s.routes) > 1; part /= 2 {
		s.move(part, 4*len(s.routes))
	}
}

// settle balances the present routes, as finely as it takes to tell whether they are a better solution, and adopts them if so.
func (s *search) settle(part uint64, sol *solution) bool {
	s.balanceTo(part, s.req.Amount/rough)
	if sol.found() {
		value, _ := s.flows.arrived(s.end)
		if !s.better(value, s.near(sol.value, 0)) {
			return false
		}
	}
	s.balance(min(part, s.req.Amount/rough))
	return s.adopt(sol)
}

// near is what has to be beaten beyond rest for a result that balancing may make better than value.
func (s *search) near(value, rest uint64) uint64 {
	margin := value / promising
	if s.req.ExactOut {
		return value - min(value, rest) + margin
	}
	return value - min(value, rest+margin)
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

// lossOf is what a route misses without some part.
type lossOf struct {
	route int
	loss  uint64
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
