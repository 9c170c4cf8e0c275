package routing

import (
	"math/bits"
	"slices"

	"jupiter-dex-integration/src/amm"
)

// trim makes the flows of an exact-out plan take no unit that they can do without. The last unit of a pool's input seldom buys just the
// pool's part, and what it buys beyond is less to ask of the other pools that give the same mint. Mints follow one another from the output
// on, so that what is saved at one is no longer asked for at the next. It fails if a pool cannot be quoted.
func (s *search) trim() bool {
	s.order = append(s.order[:0], s.flows.mints...)
	slices.SortFunc(s.order, func(a, b int32) int { // who leads to another leads to all that the other leads to, and to the other
		return bits.OnesCount64(s.flows.belowOf(b)) - bits.OnesCount64(s.flows.belowOf(a))
	})
	for _, m := range s.order {
		s.givers = s.givers[:0]
		asked, given := uint64(0), uint64(0)
		if m == s.start {
			asked = s.req.Amount
		}
		for _, used := range s.flows.used {
			f := &s.flows.pools[used]
			if f.to == m {
				asked += f.value
			}
			if f.from == m {
				given += f.amount
				s.givers = append(s.givers, edge{pool: used, aToB: f.aToB})
			}
		}
		for _, e := range s.givers {
			amount := s.flows.pools[e.pool].amount
			less := min(given-asked, amount-1)
			if less > 0 && !s.ask(e, amount-less) {
				return false
			}
			given -= less
		}
		for s.trimOne() {
		}
	}
	return true
}

// trimOne asks one of the pools that give a mint for less, by what the others' inputs buy beyond what is asked of them, if it then takes less.
func (s *search) trimOne() bool {
	for i, e := range s.givers {
		spare := uint64(0)
		for k, other := range s.givers {
			if k != i {
				spare += s.spare(other)
			}
		}
		f := &s.flows.pools[e.pool]
		was := *f
		less := min(spare, f.amount-1)
		if less == 0 || !s.ask(e, f.amount-less) {
			continue
		}
		if f.value >= was.value { // each step saves a unit, so that there is a last one
			*f = was
			continue
		}
		for k, other := range s.givers {
			if k != i {
				more := min(less, s.spare(other))
				s.flows.pools[other.pool].amount += more
				less -= more
			}
		}
		return true
	}
	return false
}

// ask makes a pool's flow what the pool takes for an amount.
func (s *search) ask(e edge, amount uint64) bool {
	value, ok := s.quote(e, amount)
	if ok {
		s.flows.pools[e.pool].amount, s.flows.pools[e.pool].value = amount, value
	}
	return ok
}

// spare is how much more a pool's exact-out swap gives for the same input.
func (s *search) spare(e edge) uint64 {
	f := &s.flows.pools[e.pool]
	q, err := s.g.pools[e.pool].Quote(s.g.clock, amm.Request{AToB: e.aToB, Amount: f.value})
	if err != nil || q.Out <= f.amount {
		return 0
	}
	if value, ok := s.quote(e, q.Out); !ok || value > f.value { // a program's two swaps need not be each other's inverse
		return 0
	}
	return q.Out - f.amount
}
