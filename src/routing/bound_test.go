package routing

import (
	"math"
	"testing"

	"jupiter-dex-integration/src/amm"
)

// bestSplit tries every way to share amount among pools 0 and 1 (input to output) and the pair 2, 3 (through a token in between).
func bestSplit(pools []amm.Pool, amount uint64) (best uint64) {
	out := func(p amm.Pool, in uint64) uint64 {
		if in == 0 {
			return 0
		}
		q, err := p.Quote(testClock, amm.Request{AToB: true, Amount: in})
		if err != nil {
			return 0
		}
		return q.Out
	}
	for a := uint64(0); a <= amount; a++ {
		for b := uint64(0); a+b <= amount; b++ {
			best = max(best, out(pools[0], a)+out(pools[1], b)+out(pools[3], out(pools[2], amount-a-b)))
		}
	}
	return best
}

func TestBoundHoldsForEveryIntegerSplit(t *testing.T) {
	for seed := range uint64(40) {
		r := newRand(t, seed)
		reserve := func() uint64 { return uint64(200 + r.IntN(3000)) }
		pools := []amm.Pool{newPool(0, 0, 1, reserve(), reserve(), 30), newPool(1, 0, 1, reserve(), reserve(), 100),
			newPool(2, 0, 2, reserve(), reserve(), 5), newPool(3, 2, 1, reserve(), reserve(), 25)}
		g := newGraph(pools)
		req := Request{Input: mint(0), Output: mint(1), Amount: uint64(20 + r.IntN(250))}
		best := bestSplit(pools, req.Amount)
		p, err := g.Plan(req, testLimits)
		if err != nil {
			t.Fatal(err)
		}
		bound, err := g.Bound(req, p)
		if err != nil || bound < float64(best) {
			t.Errorf("seed %d: %d can be had, the bound is %v, %v", seed, best, bound, err)
		}
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
		bound, err := g.Bound(q.req, p)
		if err != nil {
			t.Fatal(err)
		}
		gap := (bound/float64(p.Out) - 1) * 1e4
		if gap < 0 {
			t.Errorf("query %d: the plan makes %d, the bound is %v", i, p.Out, bound)
		}
		gaps += gap / float64(len(queries))
	}
	if gaps > 20 {
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
		bound, err := g.Bound(req, p)
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
		_, _ = g.Bound(queries[i%len(queries)].req, plans[i%len(queries)])
	}
}
