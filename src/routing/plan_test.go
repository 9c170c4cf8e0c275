package routing

import (
	"errors"
	"flag"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/gagliardetto/solana-go"
	"github.com/google/go-cmp/cmp"

	"jupiter-dex-integration/src/amm"
)

var (
	testClock  = amm.Clock{Slot: 1}
	testLimits = Limits{MaxRoutes: 5, MaxHops: 4, MaxAccounts: 1000}
)

// side is the amount that a plan is judged by.
func (p Plan) side(exactOut bool) uint64 {
	if exactOut {
		return p.In
	}
	return p.Out
}

// check verifies what must hold of every plan, by the pools alone.
func check(t *testing.T, req Request, lim Limits, p Plan) {
	t.Helper()
	have := map[solana.PublicKey]uint64{} // what has arrived and is not yet spent
	shares := map[solana.PublicKey]int{}
	used := map[amm.Pool]bool{}
	have[req.Input] = p.In
	for _, l := range p.Legs {
		q, err := l.Pool.Quote(testClock, l.Quote.Request)
		if err != nil || q != l.Quote {
			t.Fatalf("leg %v quotes %+v, %v", l, q, err)
		}
		if used[l.Pool] {
			t.Fatalf("pool %s is used twice", l.Pool.Info().Address)
		}
		used[l.Pool] = true
		if have[l.Input] < q.In {
			t.Fatalf("leg spends %d of %s, only %d have arrived", q.In, l.Input, have[l.Input])
		}
		have[l.Input] -= q.In
		have[l.Output] += q.Out
		shares[l.Input] += int(l.ShareBps)
	}
	for m, sum := range shares {
		if sum != 10000 {
			t.Errorf("shares of %s sum to %d", m, sum)
		}
	}
	if have[req.Output] != p.Out || have[req.Input] != 0 {
		t.Errorf("%d arrive and %d are unspent, plan says %d of %d", have[req.Output], have[req.Input], p.Out, p.In)
	}
	if req.ExactOut && p.Out < req.Amount || !req.ExactOut && p.In > req.Amount {
		t.Errorf("in %d, out %d for %+v", p.In, p.Out, req)
	}
	if p.Routes > lim.MaxRoutes || p.Accounts > lim.MaxAccounts {
		t.Errorf("%d routes and %d accounts beyond limits %+v", p.Routes, p.Accounts, lim)
	}
}

// bestByExhaustion tries every simple path.
func bestByExhaustion(pools []amm.Pool, req Request, hops int) (best uint64) {
	var visit func(at solana.PublicKey, amount uint64, hops int, seen map[solana.PublicKey]bool)
	from, to := req.Input, req.Output
	if req.ExactOut {
		from, to = to, from
	}
	visit = func(at solana.PublicKey, amount uint64, hops int, seen map[solana.PublicKey]bool) {
		if at == to {
			if best == 0 || (amount > best) != req.ExactOut {
				best = amount
			}
			return
		}
		if hops == 0 {
			return
		}
		for _, p := range pools {
			for side, m := range p.Info().Mints {
				other := p.Info().Mints[1-side]
				if m != at || seen[other] {
					continue
				}
				q, err := p.Quote(testClock, amm.Request{AToB: (side == 0) != req.ExactOut, ExactOut: req.ExactOut, Amount: amount})
				if err != nil {
					continue
				}
				next := q.Out
				if req.ExactOut {
					next = q.In
				}
				seen[other] = true
				visit(other, next, hops-1, seen)
				delete(seen, other)
			}
		}
	}
	visit(from, req.Amount, hops, map[solana.PublicKey]bool{from: true})
	return best
}

func TestSinglePathIsTheBestOfAll(t *testing.T) {
	for seed := range uint64(60) {
		r := newRand(t, seed)
		pools := randomMarket(r, 6, 12)
		g := newGraph(pools)
		req := Request{Input: mint(r.IntN(6)), Output: mint(0), Amount: uint64(1 + r.Int64N(1e12)), ExactOut: seed%2 == 1}
		if req.Input == req.Output {
			req.Input = mint(1)
		}
		lim := Limits{MaxRoutes: 1, MaxHops: 4, MaxAccounts: 1000}
		want := bestByExhaustion(pools, req, 4)
		p, err := g.Plan(req, lim)
		if err != nil {
			if want != 0 || !errors.Is(err, ErrNoRoute) && !errors.As(err, new(*UnknownMintError)) {
				t.Errorf("seed %d: %v, although exhaustion finds %d", seed, err, want)
			}
			continue
		}
		check(t, req, lim, p)
		if got := p.side(req.ExactOut); got != want {
			t.Errorf("seed %d: exactOut=%v plan makes %d, exhaustion %d", seed, req.ExactOut, got, want)
		}
	}
}

func TestSplitIsSoundAndNeverBelowTheBestSinglePath(t *testing.T) {
	improved := 0
	for seed := range uint64(120) {
		r := newRand(t, seed)
		pools := randomMarket(r, 12, 60)
		g := newGraph(pools)
		req := Request{Input: mint(r.IntN(12)), Output: mint(r.IntN(12)), Amount: uint64(1) << r.IntN(45), ExactOut: seed%2 == 1}
		one := testLimits
		one.MaxRoutes = 1
		single, err := g.Plan(req, one)
		split, err2 := g.Plan(req, testLimits)
		if err == nil && err2 != nil {
			t.Fatalf("seed %d: single %v, split %v", seed, err, err2)
		}
		if err2 != nil {
			continue
		}
		check(t, req, testLimits, split)
		if err != nil {
			continue // the amount is more than one path takes
		}
		a, b := split.side(req.ExactOut), single.side(req.ExactOut)
		if a != b && (a < b) != req.ExactOut {
			t.Errorf("seed %d: split makes %d, one path %d", seed, a, b)
		}
		if a != b {
			improved++
		}
	}
	if improved < 20 {
		t.Errorf("splitting improved only %d of 120 requests", improved)
	}
}

var exactOutRequests = flag.Uint64("exactout.requests", 500, "random requests of TestExactOutStatesTheLeastInput")

// spend is what arrives at the end of a plan whose legs are given what they state, as far as it has arrived, but the leg at short one
// unit less.
func spend(t *testing.T, req Request, p Plan, short int) uint64 {
	t.Helper()
	have := map[solana.PublicKey]uint64{req.Input: p.In}
	for i, l := range p.Legs {
		in := min(l.Quote.In, have[l.Input])
		have[l.Input] -= in
		if i == short {
			in--
		}
		if in == 0 {
			continue
		}
		q, err := l.Pool.Quote(testClock, amm.Request{AToB: l.Quote.AToB, Amount: in})
		if err != nil && (short < 0 || !errors.Is(err, amm.ErrZeroOutput)) {
			t.Fatal(err)
		}
		have[l.Output] += q.Out
	}
	return have[req.Output]
}

// What Out says arrives if In is spent; with one unit less to any of the legs that take the input, not even what was asked for does.
func TestExactOutStatesTheLeastInput(t *testing.T) {
	for name, market := range map[string]func(r *rand.Rand) []amm.Pool{
		"constant product": func(r *rand.Rand) []amm.Pool { return randomMarket(r, 10, 40) },
		"mixed curves": func(r *rand.Rand) []amm.Pool {
			pools, _ := mixedMarket(t, r.Uint64(), 10, 40)
			return pools
		},
	} {
		t.Run(name, func(t *testing.T) {
			var plans, splits uint64
			for seed := range *exactOutRequests {
				r := newRand(t, seed)
				g := newGraph(market(r))
				req := Request{Input: mint(r.IntN(10)), Output: mint(r.IntN(10)), Amount: 1 + r.Uint64N(1<<(1+r.IntN(40))), ExactOut: true}
				p, err := g.Plan(req, testLimits)
				if err != nil {
					if !errors.Is(err, ErrNoRoute) && !errors.As(err, new(*UnknownMintError)) {
						t.Fatal(err)
					}
					continue
				}
				plans++
				if p.Routes > 1 {
					splits++
				}
				check(t, req, testLimits, p)
				if out := spend(t, req, p, -1); out < req.Amount {
					t.Errorf("seed %d: the stated input buys %d of %d", seed, out, req.Amount)
				}
				for i, l := range p.Legs {
					if l.Input == req.Input && spend(t, req, p, i) >= req.Amount {
						t.Errorf("seed %d: %d routes: a unit less in leg %d of %d buys %d, too", seed, p.Routes, i, len(p.Legs), req.Amount)
					}
				}
			}
			if plans < *exactOutRequests/4 || splits == 0 {
				t.Errorf("only %d plans and %d splits", plans, splits)
			}
			t.Logf("%d requests: %d plans, %d of them split", *exactOutRequests, plans, splits)
		})
	}
}

func TestTwoEqualPoolsShareATrade(t *testing.T) {
	g := newGraph([]amm.Pool{newPool(0, 0, 1, 1e9, 1e9, 30), newPool(1, 0, 1, 1e9, 1e9, 30)})
	p, err := g.Plan(Request{Input: mint(0), Output: mint(1), Amount: 1e8}, testLimits)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Legs) != 2 || p.Legs[0].ShareBps != 5000 {
		t.Errorf("plan %+v", p)
	}
}

// Two pools x·y=k that keep g of an input share a trade best where both have the marginal price p: sqrt(g·x·y/p) = x + g·input in each.
func TestTwoPoolsShareATradeAsTheFormulaSays(t *testing.T) {
	for seed := range uint64(500) {
		r := newRand(t, seed)
		var pools []amm.Pool
		var has [2][2]float64
		var keeps [2]float64
		for i := range has {
			x, fee := uint64(math.Exp(18+r.Float64()*8)), uint64(1+r.IntN(100))
			y := uint64(float64(x) * (1 + r.Float64()/100))
			pools = append(pools, newPool(i, 0, 1, x, y, fee))
			has[i], keeps[i] = [2]float64{float64(x), float64(y)}, 1-float64(fee)/1e4
		}
		amount := uint64(has[0][0] * math.Exp(-6*r.Float64()))
		gives := func(i int, in float64) float64 { return has[i][1] * keeps[i] * in / (has[i][0] + keeps[i]*in) }
		depth, roots := float64(amount), 0.0
		for i := range has {
			depth += has[i][0] / keeps[i]
			roots += math.Sqrt(has[i][0] * has[i][1] / keeps[i])
		}
		first := (math.Sqrt(keeps[0]*has[0][0]*has[0][1])*depth/roots - has[0][0]) / keeps[0]
		first = min(max(first, 0), float64(amount))
		best := gives(0, first) + gives(1, float64(amount)-first)
		p, err := newGraph(pools).Plan(Request{Input: mint(0), Output: mint(1), Amount: amount}, testLimits)
		if err != nil {
			t.Fatal(err)
		}
		if loss := (best - float64(p.Out)) / best; loss > 3*worthwhile {
			t.Errorf("seed %d: %d gives %d, the formula %.0f: %.3g less", seed, amount, p.Out, best, loss)
		}
	}
}

func TestRoutesThroughOneSharedPoolAreMerged(t *testing.T) {
	// 0 -> 1 has one pool; 1 -> 2 has two: both routes share the first.
	g := newGraph([]amm.Pool{newPool(0, 0, 1, 1e12, 1e12, 1), newPool(1, 1, 2, 1e9, 1e9, 30), newPool(2, 1, 2, 1e9, 1e9, 30)})
	req := Request{Input: mint(0), Output: mint(2), Amount: 1e8}
	p, err := g.Plan(req, testLimits)
	if err != nil {
		t.Fatal(err)
	}
	check(t, req, testLimits, p)
	if len(p.Legs) != 3 || p.Routes != 2 {
		t.Errorf("plan of %d legs and %d routes", len(p.Legs), p.Routes)
	}
}

func TestLimitsAndFilters(t *testing.T) {
	// Direct and expensive (Alpha), or by 1 (Beta, Gamma) or by 3 (Alpha, Beta).
	pools := []amm.Pool{newPool(0, 0, 2, 1e9, 1e9, 500), newPool(1, 0, 1, 1e9, 1e9, 1), newPool(2, 1, 2, 1e9, 1e9, 1),
		newPool(3, 0, 3, 1e9, 1e9, 2), newPool(4, 3, 2, 1e9, 1e9, 2)}
	base := Request{Input: mint(0), Output: mint(2), Amount: 1e5}
	for name, tc := range map[string]struct {
		change func(*Request, *Limits)
		want   []int // pools
		err    error
	}{
		"cheapest":           {func(*Request, *Limits) {}, []int{1, 2}, nil},
		"direct only":        {func(_ *Request, l *Limits) { l.MaxHops = 1 }, []int{0}, nil},
		"few accounts":       {func(_ *Request, l *Limits) { l.MaxAccounts = 18 }, []int{0}, nil},
		"too few accounts":   {func(_ *Request, l *Limits) { l.MaxAccounts = 5 }, nil, ErrNoRoute},
		"one dex":            {func(r *Request, _ *Limits) { r.Dexes = []string{"Alpha"} }, []int{0}, nil},
		"two dexes":          {func(r *Request, _ *Limits) { r.Dexes = []string{"Alpha", "Beta"} }, []int{3, 4}, nil},
		"without a dex":      {func(r *Request, _ *Limits) { r.ExcludeDexes = []string{"Gamma"} }, []int{3, 4}, nil},
		"unknown dex":        {func(r *Request, _ *Limits) { r.Dexes = []string{"alpha"} }, nil, ErrNoRoute},
		"intermediate":       {func(r *Request, _ *Limits) { r.Intermediates = []solana.PublicKey{mint(3)} }, []int{3, 4}, nil},
		"no intermediates":   {func(r *Request, _ *Limits) { r.Intermediates = []solana.PublicKey{} }, []int{0}, nil},
		"exact out":          {func(r *Request, _ *Limits) { r.ExactOut = true }, []int{1, 2}, nil},
		"exact out directly": {func(r *Request, l *Limits) { r.ExactOut, l.MaxHops = true, 1 }, []int{0}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			req, lim := base, Limits{MaxRoutes: 1, MaxHops: 4, MaxAccounts: 64}
			tc.change(&req, &lim)
			p, err := newGraph(pools).Plan(req, lim)
			if !errors.Is(err, tc.err) {
				t.Fatalf("error %v, want %v", err, tc.err)
			}
			var got []int
			for _, l := range p.Legs {
				for i := range pools {
					if pools[i] == l.Pool {
						got = append(got, i)
					}
				}
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestUnknownMintIsNamed(t *testing.T) {
	g := newGraph([]amm.Pool{newPool(0, 0, 1, 1e9, 1e9, 30)})
	_, err := g.Plan(Request{Input: mint(0), Output: mint(7), Amount: 1}, testLimits)
	if unknown, ok := errors.AsType[*UnknownMintError](err); !ok || unknown.Mint != mint(7) {
		t.Errorf("error %v", err)
	}
}

func TestUpdateQuotesTheNewStateOnly(t *testing.T) {
	pools := []amm.Pool{newPool(0, 0, 1, 1e9, 1e9, 30), newPool(1, 0, 1, 1e9, 2e9, 30)}
	g := newGraph(pools)
	req := Request{Input: mint(0), Output: mint(1), Amount: 1000}
	next := g.Update([]amm.Pool{pools[0], nil}, testClock)
	p, err := next.Plan(req, testLimits)
	if err != nil || len(p.Legs) != 1 || p.Legs[0].Pool != pools[0] {
		t.Errorf("a pool without state was used: %+v, %v", p, err)
	}
	if p, _ := g.Plan(req, testLimits); p.Legs[0].Pool != pools[1] {
		t.Error("the earlier graph changed")
	}
}

func TestDeadlineStillGivesAPlan(t *testing.T) {
	g := newGraph(randomMarket(newRand(t, 1), 30, 200))
	lim := testLimits
	lim.Deadline = time.Now().Add(-time.Second)
	req := Request{Input: mint(1), Output: mint(2), Amount: 1e9}
	p, err := g.Plan(req, lim)
	if err != nil {
		t.Fatal(err)
	}
	check(t, req, lim, p)
}

func TestHintsNeverMakeAPlanWorseAndAreCheckedAnew(t *testing.T) {
	for seed := range uint64(50) {
		r := newRand(t, seed)
		pools := randomMarket(r, 12, 80)
		g := newGraph(pools)
		req := Request{Input: mint(r.IntN(12)), Output: mint(r.IntN(12)), Amount: uint64(1) << (15 + r.IntN(25)), ExactOut: seed%3 == 0}
		first, err := g.Plan(req, testLimits)
		if err != nil {
			continue
		}
		req.Hints = first.Paths
		again, err := g.Plan(req, testLimits)
		if err != nil {
			t.Fatal(err)
		}
		check(t, req, testLimits, again)
		if a, b := float64(again.side(req.ExactOut)), float64(first.side(req.ExactOut)); req.ExactOut && a > b*1.0005 || !req.ExactOut && a < b*.9995 {
			t.Errorf("seed %d: %v with hints, %v without", seed, a, b)
		}
		// The same hints where a pool is gone, a DEX is excluded, another way is asked for.
		some := append([]amm.Pool(nil), pools...)
		for i := range some {
			if some[i] == first.Legs[0].Pool {
				some[i] = nil
			}
		}
		for _, change := range []func(*Request){
			func(*Request) {},
			func(r *Request) { r.ExcludeDexes = []string{"Alpha"} },
			func(r *Request) { r.Intermediates = []solana.PublicKey{} },
			func(r *Request) { r.Input, r.Output = r.Output, r.Input },
			func(r *Request) { r.ExactOut = !r.ExactOut },
		} {
			other := req
			change(&other)
			p, err := g.Update(some, testClock).Plan(other, testLimits)
			if err != nil {
				continue
			}
			check(t, other, testLimits, p)
			for _, l := range p.Legs {
				if l.Pool == first.Legs[0].Pool || len(other.ExcludeDexes) > 0 && l.Pool.Info().Label == "Alpha" {
					t.Errorf("seed %d: a hint led to a forbidden pool", seed)
				}
			}
		}
	}
}

func BenchmarkPlan(b *testing.B) {
	g := newGraph(randomMarket(newRand(b, 7), 200, 1000))
	r := newRand(b, 8)
	reqs := make([]Request, 256)
	for i := range reqs {
		reqs[i] = Request{Input: mint(r.IntN(25)), Output: mint(100 + r.IntN(100)), Amount: uint64(1) << (20 + r.IntN(20))}
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		_, _ = g.Plan(reqs[i%len(reqs)], testLimits)
	}
}

func TestPlanAllocatesNothingButItsResult(t *testing.T) {
	g := newGraph(randomMarket(newRand(t, 1), 30, 200))
	for _, exactOut := range []bool{false, true} {
		req := Request{Input: mint(0), Output: mint(9), Amount: 1e11, ExactOut: exactOut}
		p, err := g.Plan(req, testLimits)
		if err != nil || p.Routes < 2 {
			t.Fatalf("%d routes, %v", p.Routes, err)
		}
		const legsAndPaths = 2
		s := new(search)
		if n := testing.AllocsPerRun(50, func() { _, _ = s.solve(g, req, testLimits, g.index[req.Input], g.index[req.Output]) }); n > legsAndPaths {
			t.Errorf("%v allocations, exact out %t", n, exactOut)
		}
	}
}
