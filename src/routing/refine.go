package routing

import "math/bits"

// maxReplaced bounds how many routes are sought anew, one by one, and how often.
const maxReplaced = 10

// refine makes the present routes a solution within the limits. If there are too many for that, solutions are built up from the best single
// route, with ever fewer pools to each further route, and bettered route by route: where one way ends in a blind alley, another does not.
func (s *search) refine() {
	s.quota = maxQuotes + refineQuotes // what was found is put into a plan in any case
	s.here.clear()
	if s.adopt(&s.here) {
		s.economise()
		s.keep(&s.here)
		return
	}
	if s.first.n == 0 { // then there is nothing to build up from
		for len(s.routes) > 1 && s.drop() && !s.adopt(&s.here) {
		}
		s.climb()
		return
	}
	for fresh := s.hops; fresh > 0; fresh /= 2 {
		s.routes = append(s.routes[:0], s.first)
		s.here.clear()
		if !s.replay() || !s.adopt(&s.here) {
			return
		}
		s.quota = s.quotes + refineQuotes
		s.walker.maxFresh = int8(fresh)
		s.addRoutes()
		s.climb()
	}
	s.walker.maxFresh = hopsLimit
}

// climb betters the solution here and keeps the result.
func (s *search) climb() {
	for range maxReplaced {
		if len(s.here.routes) > maxReplaced || !s.replaceOne() {
			break
		}
	}
	if s.load(&s.here) {
		s.economise()
	}
	s.keep(&s.here)
}

// economise drops routes as long as that saves more than they earn.
func (s *search) economise() {
	for s.req.LegCost > 0 && len(s.routes) > 1 && !s.late() {
		if !s.drop() || !s.adopt(&s.here) {
			return
		}
	}
}

// addRoutes betters the solution here, which the present routes are, by further ones, as long as they fit.
func (s *search) addRoutes() {
	defer func(fresh int8) { s.walker.maxFresh = fresh }(s.walker.maxFresh)
	for divisor := uint64(2); divisor <= 32 && len(s.routes) < s.lim.MaxRoutes && !s.late(); divisor *= 2 {
		part := s.req.Amount / divisor
		from, loss, ok := s.leastMissed(part)
		if !ok {
			continue
		}
		s.pull(&s.routes[from], part)
		r, gain, found := s.walk(part, s.hops, loss)
		s.push(&s.routes[from], part)
		if !found || !s.worth(gain, loss) {
			continue
		}
		s.routes[from].amount -= part
		isNew := s.add(r)
		if s.replay() {
			if s.settle(part/2, &s.here) {
				if isNew {
					divisor /= 2 // once more
				}
				continue
			}
			if s.walker.maxFresh > 1 && !s.allowed() { // perhaps something smaller is
				s.walker.maxFresh = min(s.walker.maxFresh, int8(s.hops)) - 1
				divisor /= 2
			}
		}
		if !s.load(&s.here) {
			return
		}
	}
}

// replaceOne takes out one route after the other and seeks the best one for its amount, given the others, until that betters the solution
// here.
func (s *search) replaceOne() bool {
	for i := range s.here.routes {
		amount := s.here.routes[i].amount
		for hops := s.hops; hops > 0; hops-- { // a shorter one may leave room
			if s.late() {
				return false
			}
			s.routes = append(append(s.routes[:0], s.here.routes[:i]...), s.here.routes[i+1:]...)
			if !s.replay() {
				break
			}
			rest, _ := s.flows.arrived(s.end)
			r, _, ok := s.walk(amount, hops, s.near(s.here.value, rest))
			if !ok {
				break
			}
			hops = r.n
			s.add(r)
			if s.replay() && s.settle(s.req.Amount/coarsest, &s.here) {
				return true
			}
		}
	}
	return false
}

// drop gives up the route that is missed least, its cost counted, the others taking over its amount in proportion to theirs. It fails if
// they cannot.
func (s *search) drop() bool {
	s.others = append(s.others[:0], s.routes...)
	best, bestValue, bestLegs := -1, uint64(0), 0
	for i := range s.others {
		if s.without(s.others, i); !s.replay() {
			continue
		}
		if value, _ := s.flows.arrived(s.end); best < 0 || s.betterNet(value, len(s.flows.used), bestValue, bestLegs) {
			best, bestValue, bestLegs = i, value, len(s.flows.used)
		}
	}
	if best < 0 {
		return false
	}
	s.without(s.others, best)
	s.replay() // as it did before
	s.balance(s.req.Amount / coarsest)
	return true
}

// without makes the routes all but one, of which there must be others, and which take over its amount.
func (s *search) without(all []route, drop int) {
	s.routes = append(append(s.routes[:0], all[:drop]...), all[drop+1:]...)
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
