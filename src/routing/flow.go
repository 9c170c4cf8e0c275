package routing

import (
	"cmp"
	"math/bits"
	"slices"

	"jupiter-dex-integration/src/amm"
)

// maxMints is how many tokens the flows of one plan can touch.
const maxMints = 64

// flows are what goes through the pools.
type flows struct {
	pools []flow  // by pool
	used  []int32 // pools with flow
	// bits number the mints that flows touch, from 1; below has the mints to which flow leads from each of them, itself included.
	bits  []uint8
	mints []int32
	below [maxMints]uint64
}

// flow is what goes through one pool: amount on the side where walks come from, value on the other.
type flow struct {
	amount, value uint64
	from, to      int32 // in the walk's direction
	aToB          bool
}

// fit makes room. There must be no flow.
func (f *flows) fit(pools, mints int) {
	if len(f.pools) < pools {
		f.pools = make([]flow, pools)
	}
	if len(f.bits) < mints {
		f.bits = make([]uint8, mints)
	}
}

func (f *flows) clear() {
	for _, p := range f.used {
		f.pools[p] = flow{}
	}
	f.used = f.used[:0]
	for _, m := range f.mints {
		f.bits[m] = 0
	}
	f.mints = f.mints[:0]
}

// belowOf is the set of mints to which flow leads from a mint, as contains understands it.
func (f *flows) belowOf(m int32) uint64 {
	if bit := f.bits[m]; bit > 0 {
		return f.below[bit-1]
	}
	return 0
}

func (f *flows) contains(set uint64, m int32) bool {
	bit := f.bits[m]
	return bit > 0 && set&(1<<(bit-1)) != 0
}

// link notes that flow leads from one mint to another. It reports whether there was room to note it.
func (f *flows) link(from, to int32) bool {
	for _, m := range [2]int32{from, to} {
		if f.bits[m] == 0 {
			if len(f.mints) == maxMints {
				return false
			}
			f.mints = append(f.mints, m)
			f.bits[m] = uint8(len(f.mints))
			f.below[len(f.mints)-1] = 1 << (len(f.mints) - 1)
		}
	}
	source, reached := uint64(1)<<(f.bits[from]-1), f.below[f.bits[to]-1]
	for i := range f.mints {
		if f.below[i]&source != 0 {
			f.below[i] |= reached
		}
	}
	return true
}

// arrived is what the flows make at a mint, and whether that fits 64 bits.
func (f *flows) arrived(end int32) (total uint64, ok bool) {
	var carry uint64
	for _, p := range f.used {
		if flow := &f.pools[p]; flow.to == end {
			var c uint64
			total, c = bits.Add64(total, flow.value, 0)
			carry |= c
		}
	}
	return total, carry == 0
}

// quote is what a pool makes of an amount on the side where walks come from: the value on the other.
func (s *search) quote(e edge, amount uint64) (uint64, bool) {
	s.quotes++
	q, err := s.g.pools[e.pool].Quote(s.g.clock, amm.Request{AToB: e.aToB, ExactOut: s.req.ExactOut, Amount: amount})
	if err != nil {
		return 0, false
	}
	if s.req.ExactOut {
		return q.In, true
	}
	return q.Out, amount-q.In <= amount/10000 // or it fills in part; a program that rounds its input down by some units is fine
}

// extend is what amount more through an edge makes on the other side: the difference between the pool's quotes with and without it.
func (s *search) extend(e edge, amount uint64) (uint64, bool) {
	f := &s.flows.pools[e.pool]
	sum := f.amount + amount
	if sum < amount {
		return 0, false
	}
	value, ok := s.quote(e, sum)
	if !ok || value <= f.value {
		return 0, false
	}
	return value - f.value, true
}

// shrink is what an edge's other side has less of if amount less goes through it.
func (s *search) shrink(e edge, amount uint64) (uint64, bool) {
	f := &s.flows.pools[e.pool]
	if f.amount <= amount {
		return 0, false
	}
	value, ok := s.quote(e, f.amount-amount)
	if !ok || value >= f.value {
		return 0, false
	}
	return f.value - value, true
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

// push sends amount along a route on top of the present flows and returns what arrives.
func (s *search) push(r *route, amount uint64) (uint64, bool) {
	unknown := 0
	for _, m := range r.mints[:r.n+1] {
		if s.flows.bits[m] == 0 {
			unknown++
		}
	}
	if len(s.flows.mints)+unknown > maxMints {
		return 0, false
	}
	for i := range r.n {
		e := r.edges[i]
		got, ok := s.extend(e, amount)
		if !ok {
			return 0, false
		}
		f := &s.flows.pools[e.pool]
		if f.amount == 0 {
			if !s.flows.link(r.mints[i], e.to) {
				return 0, false
			}
			*f = flow{from: r.mints[i], to: e.to, aToB: e.aToB}
			s.flows.used = append(s.flows.used, e.pool)
		}
		f.amount += amount
		f.value += got
		amount = got
	}
	return amount, true
}

// pull takes part from a route of which lose knows the outcome.
func (s *search) pull(r *route, part uint64) {
	for i := range r.n {
		f := &s.flows.pools[r.edges[i].pool]
		less, ok := s.shrink(r.edges[i], part)
		if !ok {
			return
		}
		f.amount -= part
		f.value -= less
		part = less
	}
}

// replay makes the flows those of the routes' amounts. A route that is left with too little to swap leaves that to the largest.
func (s *search) replay() bool {
	s.flows.clear()
	for i := 0; i < len(s.routes); i++ {
		r := &s.routes[i]
		if _, ok := s.push(r, r.amount); ok {
			continue
		}
		if len(s.routes) == 1 || r.amount > s.req.Amount/finest {
			return false
		}
		little := r.amount
		s.routes = slices.Delete(s.routes, i, i+1)
		largest := slices.MaxFunc(s.routes, func(a, b route) int { return cmp.Compare(a.amount, b.amount) })
		s.add(route{mints: largest.mints, edges: largest.edges, n: largest.n, amount: little})
		s.flows.clear()
		i = -1
	}
	_, ok := s.flows.arrived(s.end)
	return ok
}
