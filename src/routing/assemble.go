package routing

import (
	"cmp"
	"math/bits"
	"slices"

	"jupiter-dex-integration/src/amm"
)

// What a transaction for a plan names: whatever the legs are, the user and the programs of tokens, associated accounts, the system and
// the compute budget; for each mint itself and the user's account of it; for each leg what its instruction names but for these.
const (
	baseAccounts   = 6
	mintAccounts   = 2
	sharedAccounts = 7
)

func legAccounts(pool amm.Pool, q amm.Quote) int { return max(pool.SwapAccounts(q)-sharedAccounts, 4) }

// accounts is how many accounts a transaction for the flows names, as Plan.Accounts.
func (s *search) accounts() int {
	n := baseAccounts + mintAccounts*len(s.flows.mints)
	for _, used := range s.flows.used {
		if q, err := s.legQuote(used); err == nil {
			n += legAccounts(s.g.pools[used], q)
		}
	}
	return n
}

func (s *search) legQuote(pool int32) (amm.Quote, error) {
	f := &s.flows.pools[pool]
	return s.g.pools[pool].Quote(s.g.clock, amm.Request{AToB: f.aToB, ExactOut: s.req.ExactOut, Amount: f.amount})
}

// planOf makes a solution a plan of its own memory.
func (s *search) planOf(sol *solution) (Plan, error) {
	if !s.load(sol) {
		return Plan{}, ErrNoRoute
	}
	if s.req.ExactOut && len(s.routes) > 1 && !(s.trim() && s.allowed()) {
		s.load(sol)
	}
	if err := s.assemble(&s.draft); err != nil {
		return Plan{}, err
	}
	p := s.draft
	p.Legs = slices.Clone(p.Legs)
	p.Paths = make([]Path, len(s.routes))
	for i, r := range s.routes {
		r.amount = 0
		p.Paths[i] = Path{s.g.topology, r}
	}
	return p, nil
}

// assemble makes p the plan of the flows, but for its Paths. It reuses the legs' memory.
func (s *search) assemble(p *Plan) error {
	*p = Plan{Routes: len(s.routes), Accounts: s.accounts(), Legs: p.Legs[:0]}
	source, target := s.start, s.end
	if s.req.ExactOut {
		source, target = target, source
	}
	ends := func(f *flow) (from, to int32, in uint64) {
		if s.req.ExactOut {
			return f.to, f.from, f.value
		}
		return f.from, f.to, f.amount
	}
	// Legs are ordered by how far, at most, their input is from the source. Mints are numbered as flows does.
	var depth [maxMints]int
	place := func(m int32) int { return int(s.flows.bits[m]) - 1 }
	for range s.flows.used {
		for _, used := range s.flows.used {
			from, to, _ := ends(&s.flows.pools[used])
			depth[place(to)] = max(depth[place(to)], depth[place(from)]+1)
		}
	}
	slices.SortFunc(s.flows.used, func(a, b int32) int {
		from, _, in := ends(&s.flows.pools[a])
		other, _, otherIn := ends(&s.flows.pools[b])
		return cmp.Or(cmp.Compare(depth[place(from)], depth[place(other)]), cmp.Compare(from, other), cmp.Compare(otherIn, in), cmp.Compare(a, b))
	})
	// value is what a unit of the input becomes at a mint at marginal prices, and taken what legs take of a mint.
	var value [maxMints]float64
	var taken [maxMints]uint64
	for _, used := range s.flows.used {
		q, err := s.legQuote(used)
		if err != nil {
			return err
		}
		from, to, _ := ends(&s.flows.pools[used])
		p.Legs = append(p.Legs, Leg{Pool: s.g.pools[used], Input: s.g.mints[from], Output: s.g.mints[to], Quote: q})
		taken[place(from)] += q.In
		if from == source {
			p.In += q.In
		}
		if to == target {
			p.Out += q.Out
		}
	}
	value[place(source)] = 1
	for i := 0; i < len(p.Legs); {
		from, _, _ := ends(&s.flows.pools[s.flows.used[i]])
		j := i
		for ; j < len(p.Legs) && p.Legs[j].Input == p.Legs[i].Input; j++ {
			_, to, _ := ends(&s.flows.pools[s.flows.used[j]])
			q := &p.Legs[j].Quote
			value[place(to)] += value[place(from)] * float64(q.In) / float64(taken[place(from)]) * p.Legs[j].Pool.SpotPrice(q.AToB)
		}
		setShares(p.Legs[i:j], taken[place(from)])
		i = j
	}
	p.Spot = value[place(target)]
	return nil
}

// setShares gives legs of one input mint shares that sum to 10000: floors first, the rest one each to the largest remainders.
func setShares(legs []Leg, total uint64) {
	left := uint64(10000)
	remainder := func(l *Leg) uint64 {
		hi, lo := bits.Mul64(l.Quote.In, 10000)
		return bits.Rem64(hi, lo, total)
	}
	for i := range legs {
		hi, lo := bits.Mul64(legs[i].Quote.In, 10000)
		share, _ := bits.Div64(hi, lo, total)
		legs[i].ShareBps = uint16(share)
		left -= share
	}
	for above := uint64(1<<64 - 1); left > 0; { // there are few legs: the next largest remainder is sought each time
		next := uint64(0)
		for i := range legs {
			if r := remainder(&legs[i]); r < above {
				next = max(next, r)
			}
		}
		for i := range legs {
			if left > 0 && remainder(&legs[i]) == next {
				legs[i].ShareBps++
				left--
			}
		}
		above = next
	}
}
