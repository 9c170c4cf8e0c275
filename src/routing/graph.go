package routing

import (
	"cmp"
	"math"
	"slices"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
)

// Graph is the pools of one snapshot with the tokens between them. It is immutable.
type Graph struct {
	*topology
	clock amm.Clock
	pools []amm.Pool
	// rates are the marginal prices after fees, by pool and direction (0 is A to B), 0 where there is none. Larger trades get less.
	rates [][2]float64
	// counted are the rates at which pools were when they were last counted in moves.
	counted []float64
	moves   uint64
}

// topology is what stays when prices change.
type topology struct {
	mints   []solana.PublicKey
	index   map[solana.PublicKey]int32
	labels  []string
	labelOf []int16    // by pool, -1 for one that is not known
	ends    [][2]int32 // mints by pool
	out, in [][]edge   // by mint, sorted by the mint at the other end
	hubs    []int32    // mints by falling number of pools
}

// edge is one direction of a pool, as seen from one of its mints.
type edge struct {
	pool int32
	to   int32
	aToB bool
}

// NewGraph makes a graph of pools at clock. infos says what each of them is, nil for one that is not known; pools that
// cannot be quoted now are nil.
func NewGraph(infos []*amm.Info, pools []amm.Pool, clock amm.Clock) *Graph {
	t := &topology{index: map[solana.PublicKey]int32{}, labelOf: make([]int16, len(pools)), ends: make([][2]int32, len(pools))}
	mint := func(info *amm.Info, side int) int32 {
		key := info.Mints[side]
		i, ok := t.index[key]
		if !ok {
			i = int32(len(t.mints))
			t.index[key] = i
			t.mints = append(t.mints, key)
			t.out, t.in = append(t.out, nil), append(t.in, nil)
		}
		return i
	}
	for i, info := range infos {
		t.labelOf[i] = -1
		if info == nil {
			continue
		}
		label := slices.Index(t.labels, info.Label)
		if label < 0 {
			label = len(t.labels)
			t.labels = append(t.labels, info.Label)
		}
		t.labelOf[i] = int16(label)
		a, b := mint(info, 0), mint(info, 1)
		t.ends[i] = [2]int32{a, b}
		for _, d := range []struct {
			from, to int32
			aToB     bool
		}{{a, b, true}, {b, a, false}} {
			t.out[d.from] = append(t.out[d.from], edge{int32(i), d.to, d.aToB})
			t.in[d.to] = append(t.in[d.to], edge{int32(i), d.from, d.aToB})
		}
	}
	for i := range t.mints {
		t.hubs = append(t.hubs, int32(i))
		for _, edges := range [][]edge{t.out[i], t.in[i]} {
			slices.SortStableFunc(edges, func(a, b edge) int { return cmp.Compare(a.to, b.to) })
		}
	}
	slices.SortStableFunc(t.hubs, func(a, b int32) int { return cmp.Compare(len(t.out[b]), len(t.out[a])) })
	g := &Graph{topology: t, clock: clock, pools: pools, rates: make([][2]float64, len(pools))}
	for i := range pools {
		g.price(i)
		g.counted = append(g.counted, g.rates[i][0])
	}
	return g
}

// Update returns the graph of a later snapshot of which the infos are the same.
func (g *Graph) Update(pools []amm.Pool, clock amm.Clock) *Graph {
	next := &Graph{topology: g.topology, clock: clock, pools: pools, rates: slices.Clone(g.rates), counted: g.counted, moves: g.moves}
	for i, p := range pools {
		if p == g.pools[i] {
			continue
		}
		next.price(i)
		if now, was := next.rates[i][0], g.counted[i]; math.Abs(now-was) > movedBy*was {
			if next.moves == g.moves {
				next.counted = slices.Clone(g.counted)
			}
			next.counted[i] = now
			next.moves++
		}
	}
	return next
}

// movedBy is from which change, as a ratio, a price counts as moved.
const movedBy = 1e-4

// Moves counts how often a pool's price has moved by a basis point, over the graphs that came of one another by Update.
func (g *Graph) Moves() uint64 { return g.moves }

// Pools is how many pools the graph knows, whether they can be quoted now or not.
func (g *Graph) Pools() int { return len(g.pools) }

func (g *Graph) price(i int) {
	g.rates[i] = [2]float64{}
	if p := g.pools[i]; p != nil && g.labelOf[i] >= 0 {
		for side, aToB := range []bool{true, false} {
			if spot := p.SpotPrice(aToB); spot > 0 && !math.IsInf(spot, 0) {
				g.rates[i][side] = spot * g.keeps(p, aToB)
			}
		}
	}
}

// keeps is the part of a small trade that a pool's fee leaves, found by a quote that is large enough for the rounding of the fee
// not to matter. It is 1 where no such quote can be had.
func (g *Graph) keeps(p amm.Pool, aToB bool) float64 {
	for amount := uint64(1e6); amount <= 1e15; amount *= 1e3 {
		q, err := p.Quote(g.clock, amm.Request{AToB: aToB, Amount: amount})
		if err == nil && q.In == amount && q.Out >= 1e3 {
			return min(1, (1-float64(q.FeeIn)/float64(q.In))*float64(q.Out)/(float64(q.Out)+float64(q.FeeOut))*(1+1e-6))
		}
	}
	return 1
}

func (g *Graph) rate(e edge) float64 { return g.rates[e.pool][side(e.aToB)] }

// side is the place of a direction, or of its input mint, among the two of a pool.
func side(aToB bool) int {
	if aToB {
		return 0
	}
	return 1
}

// Knows reports whether any pool trades mint.
func (g *Graph) Knows(mint solana.PublicKey) bool {
	_, ok := g.index[mint]
	return ok
}

// Hubs are the n mints that most pools trade.
func (g *Graph) Hubs(n int) []solana.PublicKey {
	hubs := make([]solana.PublicKey, 0, n)
	for _, i := range g.hubs[:min(n, len(g.hubs))] {
		hubs = append(hubs, g.mints[i])
	}
	return hubs
}

// Labels are the DEX names of the pools.
func (g *Graph) Labels() []string { return g.labels }
