package routing

import (
	"math"
	"math/bits"
	"slices"
)

// boundSlack covers the rounding of the float arithmetic that only decides what is worth quoting.
const boundSlack = 1 + 1e-9

// walker finds the best path for an amount, on top of the present flows, by the pools' quotes: hop by hop it keeps the best way to
// each mint. Marginal prices, and the prices of smaller amounts quoted before, which no quote exceeds, tell in advance what cannot become
// the best.
type walker struct {
	// reach[r][m] bounds what one unit at mint m can become at the end within r pools; 0: cannot get there. It is known only for the
	// mints that a walk with so many pools left can be at.
	reach [hopsLimit + 1][]float64

	steps    [hopsLimit + 1][]step // by hop and mint
	frontier [hopsLimit + 1][]int32

	// roads[r][m] are where a walk that has so many pools left can go from a mint.
	roads [hopsLimit][]roads
	round uint64 // tells this search's roads from others

	// maxFresh bounds how many pools without flow a walk may take.
	maxFresh int8
}

// step is how a walk best reaches a mint after some hops.
type step struct {
	amount uint64 // 0: not reached
	edge   edge
	prev   int32
	fresh  int8 // pools on the way that had no flow
}

// roads are the edges from a mint of which the price to the end is more than least.
type roads struct {
	round uint64
	least float64
	all   []road
}

// road is an edge, its marginal price and, at marginal prices, the one from there to the end. In samples are quotes of the pool without
// flow, the later ones in place of the earlier, by whether the amount has an even number of bits.
type road struct {
	edge
	rate, toEnd float64
	samples     [2]sample
}

// sample is the price, output per input, that an amount had.
type sample struct {
	amount uint64
	rate   float64
}

// crowded is how many times the roads that were of use there must be for the others to be forgotten.
const crowded = 4

// from are the roads from a mint, at least those whose price to the end is more than least.
func (w *walker) from(s *search, m int32, rest int, least float64) *roads {
	r := &w.roads[rest][m]
	if r.round == w.round && least >= r.least {
		return r
	}
	*r = roads{w.round, least, r.all[:0]}
	for _, e := range s.edges(m) {
		if !s.rules.via[e.to] && e.to != s.end {
			continue
		}
		rate := s.rate(e)
		if toEnd := rate * w.reach[rest][e.to]; toEnd > least {
			r.all = append(r.all, road{e, rate, toEnd, [2]sample{{amount: math.MaxUint64}, {amount: math.MaxUint64}}})
		}
	}
	return r
}

// set prepares for walks of s: reach from the end backwards, first its neighbours, then all, in the last rounds only what
// the first hops from the start can lead to.
func (w *walker) set(s *search) {
	mints := len(s.g.mints)
	w.maxFresh = hopsLimit
	w.round++
	for h := range s.hops + 1 {
		if len(w.steps[h]) < mints {
			w.steps[h] = make([]step, mints)
		}
		w.reach[h] = resize(w.reach[h], mints)
		if h < s.hops && len(w.roads[h]) < mints {
			w.roads[h] = make([]roads, mints)
		}
	}
	clear(w.reach[0])
	w.reach[0][s.end] = 1
	for r := 1; r <= s.hops; r++ {
		near, far := w.reach[r-1], w.reach[r]
		copy(far, near)
		relax := func(m int32) {
			best := far[m]
			for _, e := range s.edges(m) {
				if onward := near[e.to]; onward > 0 && (s.rules.via[e.to] || e.to == s.end) {
					best = max(best, s.rate(e)*onward)
				}
			}
			far[m] = best
		}
		relax(s.start)
		switch left := s.hops - r; {
		case left == 0:
		case r == 1: // against the swaps: who leads to the end
			for _, e := range s.backEdges(s.end) {
				if e.to != s.start && s.rules.via[e.to] {
					far[e.to] = max(far[e.to], s.rate(e))
				}
			}
		case left == 1:
			last := int32(-1)
			for _, e := range s.edges(s.start) {
				if e.to != last && s.rules.via[e.to] {
					relax(e.to)
				}
				last = e.to
			}
		default:
			for m, via := range s.rules.via {
				if via {
					relax(int32(m))
				}
			}
		}
	}
}

// clear forgets the last walk.
func (w *walker) clear() {
	for h := range w.frontier {
		for _, m := range w.frontier[h] {
			w.steps[h][m].amount = 0
		}
		w.frontier[h] = w.frontier[h][:0]
	}
}

// walk finds the best way for amount from start to end that makes better than floor; a floor of 0 is none.
func (s *search) walk(amount uint64, hops int, floor uint64) (r route, value uint64, ok bool) {
	w := &s.walker
	w.clear()
	best, bestHops := floor, 0
	w.steps[0][s.start] = step{amount: amount}
	w.frontier[0] = append(w.frontier[0], s.start)
	for h := range hops {
		rest := hops - h - 1
		for _, m := range w.frontier[h] {
			at := w.steps[h][m]
			if m == s.end || w.reach[rest+1][m] <= s.least(at.amount, best) {
				continue
			}
			least := s.least(at.amount, best)
			roads := w.from(s, m, rest, least)
			parity, useful := bits.Len64(at.amount)&1, 0
			for i := range roads.all {
				e := &roads.all[i]
				if e.toEnd <= least {
					continue
				}
				useful++
				there := &w.steps[h+1][e.to]
				beat := s.least(at.amount, there.amount)
				seen := &e.samples[parity]
				if e.rate <= beat || seen.amount <= at.amount && (seen.rate <= beat || seen.rate*e.toEnd <= least*e.rate) || w.met(&s.flows, h, m, e.to) {
					continue
				}
				fresh := at.fresh
				if s.flows.pools[e.pool].amount == 0 {
					if fresh++; fresh > w.maxFresh {
						continue
					}
				}
				got, ok := s.extend(e.edge, at.amount)
				if ok && fresh > at.fresh {
					*seen = sample{at.amount, s.price(at.amount, got)}
				}
				if !ok || there.amount != 0 && !s.better(got, there.amount) {
					continue
				}
				if there.amount == 0 {
					w.frontier[h+1] = append(w.frontier[h+1], e.to)
				}
				*there = step{got, e.edge, m, fresh}
				if e.to == s.end && (best == 0 || s.better(got, best)) {
					best, bestHops = got, h+1
					least = s.least(at.amount, best)
				}
			}
			if useful*crowded < len(roads.all) {
				roads.least = least
				roads.all = slices.DeleteFunc(roads.all, func(r road) bool { return r.toEnd <= least })
			}
		}
	}
	if bestHops == 0 {
		return route{}, 0, false
	}
	r = route{n: bestHops, amount: amount}
	m := s.end
	for h := bestHops; h > 0; h-- {
		st := w.steps[h][m]
		r.mints[h], r.edges[h-1] = m, st.edge
		m = st.prev
	}
	r.mints[0] = m
	return r, best, true
}

// price is output per input of a swap with amount on the side where walks come from.
func (s *search) price(amount, value uint64) float64 {
	if s.req.ExactOut {
		amount, value = value, amount
	}
	return float64(value) / float64(amount)
}

// least is the price at which amount does not become better than best; a best of 0 is none yet.
func (s *search) least(amount, best uint64) float64 {
	if best == 0 {
		return 0
	}
	if s.req.ExactOut {
		amount, best = best, amount
	}
	return float64(best) / float64(amount) / boundSlack
}

// met reports whether a walk that reached m after h hops must not go on to a mint: it or the flows lead from there to where it has been.
func (w *walker) met(f *flows, h int, m, to int32) bool {
	below := f.belowOf(to)
	for ; ; h-- {
		if m == to || below != 0 && f.contains(below, m) {
			return true
		}
		if h == 0 {
			return false
		}
		m = w.steps[h][m].prev
	}
}
