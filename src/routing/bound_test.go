package routing

import (
	"cmp"
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/token"
)

// paths are all simple ways of at most hops pools from one mint to another.
func paths(pools []amm.Pool, from, to solana.PublicKey, hops int) (all [][]amm.Request) {
	var way []int
	var visit func(at solana.PublicKey, seen []solana.PublicKey)
	visit = func(at solana.PublicKey, seen []solana.PublicKey) {
		if at == to {
			path := make([]amm.Request, len(pools))
			for k, i := range way { // the pool's place, and in Amount its turn
				path[i] = amm.Request{AToB: pools[i].Info().Mints[0] == seen[k], Amount: uint64(k + 1)}
			}
			all = append(all, path)
			return
		}
		for i, p := range pools {
			for side, m := range p.Info().Mints {
				if next := p.Info().Mints[1-side]; m == at && len(way) < hops && !slices.Contains(seen, next) && next != at {
					way = append(way, i)
					visit(next, append(slices.Clone(seen), at))
					way = way[:len(way)-1]
				}
			}
		}
	}
	visit(from, nil)
	return all
}

// bestSplit tries every way to share amount among all paths, one after the other through what the former ones left of the pools. No two of
// them may swap against one another in a pool.
func bestSplit(pools []amm.Pool, ways [][]amm.Request, amount uint64) (best uint64) {
	var share func(k int, left, out uint64, through, made []uint64)
	share = func(k int, left, out uint64, through, made []uint64) {
		best = max(best, out)
		if k == len(ways) || left == 0 {
			return
		}
		against := slices.ContainsFunc(ways[:k], func(former []amm.Request) bool {
			for i, r := range former {
				if r.Amount > 0 && ways[k][i].Amount > 0 && r.AToB != ways[k][i].AToB && through[i] > 0 {
					return true
				}
			}
			return false
		})
		for part := uint64(0); part <= left && (part == 0 || !against); part++ {
			total, gives := slices.Clone(through), slices.Clone(made)
			got := part
			for turn := uint64(1); got > 0; turn++ {
				i := slices.IndexFunc(ways[k], func(r amm.Request) bool { return r.Amount == turn })
				if i < 0 {
					break
				}
				total[i] += got
				q, err := pools[i].Quote(testClock, amm.Request{AToB: ways[k][i].AToB, Amount: total[i]})
				if err != nil {
					q.Out = gives[i]
				}
				got, gives[i] = q.Out-gives[i], q.Out
			}
			share(k+1, left-part, out+got, total, gives)
		}
	}
	share(0, amount, 0, make([]uint64, len(pools)), make([]uint64, len(pools)))
	return best
}

// cappedPool is a pool of whose input a transfer withholds a part, but no more than a maximum.
type cappedPool struct {
	*testPool
	fees [2]token.TransferFee
}

func (p *cappedPool) TransferFees(amm.Clock) [2]token.TransferFee { return p.fees }

func (p *cappedPool) Quote(clock amm.Clock, req amm.Request) (amm.Quote, error) {
	in, out := p.fees[side(req.AToB)], p.fees[1-side(req.AToB)]
	asked := req
	req.Amount = in.Net(req.Amount)
	q, err := p.testPool.Quote(clock, req)
	if err != nil || asked.ExactOut {
		return q, cmp.Or(err, amm.ErrExactOutUnsupported)
	}
	q.Request, q.In, q.Out = asked, asked.Amount, out.Net(q.Out)
	return q, nil
}

func TestBoundHoldsForEveryIntegerSplit(t *testing.T) {
	const input, output = 0, 1
	for seed := range uint64(60) {
		r := newRand(t, seed)
		reserve := func() uint64 { return uint64(200 + r.IntN(3000)) }
		var pools []amm.Pool
		for i, ends := range [][2]int{{0, 1}, {0, 2}, {2, 1}, {3, 2}, {3, 1}, {0, 3}}[:3+r.IntN(4)] {
			pool := newPool(i, ends[0], ends[1], reserve(), reserve(), []uint64{5, 30, 100}[r.IntN(3)]) // whose prices agree in nothing
			if pools = append(pools, pool); seed%3 == 0 && i%2 == 0 {
				cap := token.TransferFee{Bps: uint16(r.IntN(4000)), Maximum: uint64(r.IntN(8))}
				pools[i] = &cappedPool{pool, [2]token.TransferFee{cap, {Bps: 500, Maximum: 3}}}
			}
		}
		g := newGraph(pools)
		for hops := 1; hops <= 3; hops++ {
			ways := paths(pools, mint(input), mint(output), hops)
			amount := uint64(20 + r.IntN([]int{1, 400, 250, 60, 20, 10, 8, 8, 8}[min(len(ways), 8)]))
			req := Request{Input: mint(input), Output: mint(output), Amount: amount}
			best := bestSplit(pools, ways, amount)
			p, err := g.Plan(req, Limits{MaxRoutes: 5, MaxHops: hops, MaxAccounts: 1000})
			if best == 0 && errors.Is(err, ErrNoRoute) {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			bound, err := g.Bound(req, hops, p)
			if err != nil || bound < float64(best) || bound < float64(p.Out) {
				t.Errorf("seed %d: by %d hops %d can be had for %d, the plan has %d, the bound is %v, %v", seed, hops, best, amount, p.Out, bound, err)
			}
		}
	}
}

func TestNoTradeWithAPoolGainsMoreThanItsBound(t *testing.T) {
	for seed := range uint64(80) {
		r := newRand(t, seed)
		pool := newPool(0, 0, 1, uint64(1000+r.IntN(20_000)), uint64(1000+r.IntN(20_000)), uint64(r.IntN(100)))
		capped := &cappedPool{pool, [2]token.TransferFee{{Bps: uint16(r.IntN(5000)), Maximum: uint64(r.IntN(2000))}, {Bps: uint16(r.IntN(5000)), Maximum: uint64(r.IntN(500))}}}
		g := newGraph([]amm.Pool{capped})
		for range 20 {
			d := &dual{g: g}
			ratio := g.rates[0][0] * r.Float64()
			best := 0.0
			for x := uint64(1); x < 100_000; x += 1 + x/200 {
				if q, err := capped.Quote(testClock, amm.Request{AToB: true, Amount: x}); err == nil {
					best = max(best, float64(q.Out)-ratio*float64(q.In))
				}
			}
			var near float64
			if gain, _, _ := d.gain(capped, true, g.rates[0][0]*boundSlack, ratio, keepOf(capped, testClock), &near, true); gain < best {
				t.Errorf("seed %d: at %v of the marginal price %v can be gained, the bound is %v", seed, ratio/g.rates[0][0], best, gain)
			}
		}
	}
}

// Going from a token to another and straight back is profitable here, but no plan does it.
func TestBoundIsNotLoosenedByPoolsThatDisagree(t *testing.T) {
	pools := []amm.Pool{newPool(0, 0, 2, 1e12, 1e12, 30), newPool(1, 2, 1, 1e12, 1e12, 30),
		newPool(2, 2, 3, 1e12, 1e12, 30), newPool(3, 2, 3, 1e12, 5e12, 30)}
	g := newGraph(pools)
	req := Request{Input: mint(0), Output: mint(1), Amount: 1e6}
	p, err := g.Plan(req, testLimits)
	if err != nil {
		t.Fatal(err)
	}
	bound, err := g.Bound(req, testLimits.MaxHops, p)
	if err != nil || bound > float64(p.Out)*1.0001 {
		t.Errorf("the plan has %d, the bound is %v, %v", p.Out, bound, err)
	}
}

func TestBoundIsTightAndNeverBelowAPlan(t *testing.T) {
	pools, price := syntheticMarket(3, 40, 160)
	g := newGraph(pools)
	lim := Limits{MaxRoutes: 100, MaxHops: 4, MaxAccounts: math.MaxInt}
	var gaps float64
	queries := syntheticQueries(3, pools, price, 20)
	for i, q := range queries {
		p, err := g.Plan(q.req, lim)
		if err != nil {
			t.Fatal(err)
		}
		bound, err := g.Bound(q.req, testLimits.MaxHops, p)
		if err != nil {
			t.Fatal(err)
		}
		gap := (bound/float64(p.Out) - 1) * 1e4
		if gap < 0 {
			t.Errorf("query %d: the plan makes %d, the bound is %v", i, p.Out, bound)
		}
		gaps += gap / float64(len(queries))
	}
	if gaps > 2 {
		t.Errorf("the mean gap is %.2f bps", gaps)
	}
	t.Logf("mean gap %.2f bps", gaps)
}

func TestExactOutBoundIsBelowEveryInput(t *testing.T) {
	for seed := range uint64(20) {
		r := newRand(t, seed)
		g := newGraph(randomMarket(r, 8, 30))
		req := Request{Input: mint(0), Output: mint(1), Amount: uint64(1e6), ExactOut: true}
		p, err := g.Plan(req, testLimits)
		if err != nil {
			continue
		}
		bound, err := g.Bound(req, testLimits.MaxHops, p)
		if err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
		if bound > float64(p.In) || bound < .5*float64(p.In) {
			t.Errorf("seed %d: the plan takes %d, the bound is %v", seed, p.In, bound)
		}
	}
}

func BenchmarkBound(b *testing.B) {
	pools, price := syntheticMarket(1, 200, 1000)
	g := newGraph(pools)
	queries := syntheticQueries(1, pools, price, 10)
	plans := make([]Plan, len(queries))
	for i, q := range queries {
		plans[i], _ = g.Plan(q.req, testLimits)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		_, _ = g.Bound(queries[i%len(queries)].req, testLimits.MaxHops, plans[i%len(queries)])
	}
}
