package routing

import (
	"errors"
	"math"
	"testing"
)

// net is what a plan is worth with its legs paid for; more is better in both modes.
func net(req Request, side uint64, legs int) float64 {
	cost := float64(legs) * float64(req.LegCost)
	if req.ExactOut {
		return -float64(side) - cost
	}
	return float64(side) - cost
}

func TestALegMustEarnMoreThanItCosts(t *testing.T) {
	g := newGraph(randomMarket(newRand(t, 3), 6, 40))
	for _, exactOut := range []bool{false, true} {
		req := Request{Input: mint(0), Output: mint(1), Amount: 1e11, ExactOut: exactOut}
		free, err := g.Plan(req, testLimits)
		if err != nil {
			t.Fatal(err)
		}
		direct, err := g.Plan(req, Limits{MaxRoutes: 1, MaxHops: 1, MaxAccounts: 1000})
		if err != nil {
			t.Fatal(err)
		}
		gain := max(free.side(exactOut), direct.side(exactOut)) - min(free.side(exactOut), direct.side(exactOut))
		if len(free.Legs) < 3 || gain == 0 {
			t.Fatalf("the market is too simple: %d legs gain %d", len(free.Legs), gain)
		}
		last := math.MaxInt
		for _, tc := range []struct {
			cost        uint64
			least, most int // legs
		}{{0, 3, math.MaxInt}, {gain / uint64(len(free.Legs)), 1, len(free.Legs) - 1}, {gain + 1, 1, 1}, {math.MaxUint64, 1, 1}} {
			req.LegCost = tc.cost
			p, err := g.Plan(req, testLimits)
			if err != nil {
				t.Fatal(err)
			}
			check(t, req, testLimits, p)
			if n := len(p.Legs); n < tc.least || n > tc.most || n > last {
				t.Errorf("exactOut=%v: %d legs at a cost of %d, %d at a lower one", exactOut, n, tc.cost, last)
			}
			last = len(p.Legs)
		}
	}
}

func TestPlansAreTheBestNetOfTheirLegsCosts(t *testing.T) {
	for seed := range uint64(60) {
		r := newRand(t, seed)
		pools := randomMarket(r, 6, 14)
		g := newGraph(pools)
		req := Request{Input: mint(1 + r.IntN(5)), Output: mint(0), Amount: uint64(1e9 + r.Int64N(1e11)), ExactOut: seed%2 == 1}
		free, err := g.Plan(req, testLimits)
		if errors.Is(err, ErrNoRoute) || errors.As(err, new(*UnknownMintError)) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		req.LegCost = free.side(req.ExactOut) / uint64(1+r.IntN(20_000))
		p, err := g.Plan(req, testLimits)
		if err != nil {
			t.Fatal(err)
		}
		check(t, req, testLimits, p)
		got := net(req, p.side(req.ExactOut), len(p.Legs))
		for hops := 1; hops <= 4; hops++ {
			if single := bestByExhaustion(pools, req, hops); single > 0 && net(req, single, hops) > got {
				t.Errorf("seed %d: %d hops are worth %v, the plan of %d legs %v", seed, hops, net(req, single, hops), len(p.Legs), got)
			}
		}
		const slack = 1e-5 // searches that end in different places
		if worth := net(req, free.side(req.ExactOut), len(free.Legs)); worth-slack*math.Abs(worth) > got {
			t.Errorf("seed %d: a plan that ignores costs is worth %v, one that counts them %v", seed, worth, got)
		}
	}
}

func TestASingleRoutePlanNamesItsOwnPath(t *testing.T) {
	lim := Limits{MaxRoutes: 1, MaxHops: 4, MaxAccounts: 1000}
	large := newGraph(randomMarket(newRand(t, 1), 30, 200))
	if _, err := large.Plan(Request{Input: mint(0), Output: mint(1), Amount: 1e10}, testLimits); err != nil {
		t.Fatal(err)
	}
	small := newGraph(randomMarket(newRand(t, 2), 3, 6))
	req := Request{Input: mint(0), Output: mint(1), Amount: 1e10}
	p, err := small.Plan(req, lim)
	if err != nil || len(p.Paths) != 1 || p.Paths[0].n != len(p.Legs) {
		t.Fatalf("%d legs, paths %+v, %v", len(p.Legs), p.Paths, err)
	}
	req.Hints = p.Paths
	again, err := small.Plan(req, testLimits)
	if err != nil || again.Out < p.Out {
		t.Errorf("with its own hint it gives %d, before %d, %v", again.Out, p.Out, err)
	}
}
