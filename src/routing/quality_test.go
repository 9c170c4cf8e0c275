package routing

import (
	"encoding/binary"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
)

// syntheticMarket is the benchmark's graph: constant-product pools between four hubs and many tokens, log-normal in size, with fees of 1
// to 100 bps, priced within their fees around one hidden price per token, so that there is next to no free arbitrage in it.
func syntheticMarket(seed uint64, tokens, pools int) ([]amm.Pool, []float64) {
	r := rand.New(rand.NewPCG(seed, 2))
	const hubs = 4
	price := make([]float64, tokens) // value of one base unit
	for i := range price {
		price[i] = math.Exp(r.NormFloat64()*2) * 1e-3
	}
	var all []amm.Pool
	for i := range pools {
		hub, other := r.IntN(hubs), i%tokens // each token has its share
		if i >= tokens {
			other = int(float64(tokens) * math.Pow(r.Float64(), 2)) // some are more popular
		}
		for hub == other {
			hub = r.IntN(hubs)
		}
		fee := []uint64{1, 4, 5, 20, 25, 30, 100}[r.IntN(7)]
		value := 1e9 * math.Exp(r.NormFloat64())
		noise := math.Exp((r.Float64()*2 - 1) * float64(fee) / 10000 * .9)
		all = append(all, newPool(i, hub, other, uint64(value/price[hub]), uint64(value/price[other]*noise), fee))
	}
	return all, price
}

type quality struct {
	req  Request
	size int // index of sizes
}

var sizes = []float64{1e-5, 1e-3, 2e-2}

// syntheticQueries are pairs of tokens with amounts in proportion to the thinner one's liquidity.
func syntheticQueries(seed uint64, pools []amm.Pool, price []float64, pairs int) []quality {
	r := rand.New(rand.NewPCG(seed, 3))
	liquidity := make([]float64, len(price))
	for _, p := range pools {
		for side, m := range p.Info().Mints {
			liquidity[mintIndex(m)] += float64(p.(*testPool).reserves[side]) * price[mintIndex(m)]
		}
	}
	var queries []quality
	for range pairs {
		a, b := r.IntN(len(price)), r.IntN(len(price))
		for a == b {
			b = r.IntN(len(price))
		}
		for i, size := range sizes {
			queries = append(queries, quality{Request{Input: mint(a), Output: mint(b), Amount: uint64(size * min(liquidity[a], liquidity[b]) / price[a])}, i})
		}
	}
	return queries
}

// smoothDual is the routing problem's dual for real-valued constant-product pools: for any prices, at least what any routing can make.
type smoothDual struct {
	pools          []*testPool
	ends           [][2]int
	source, target int
	amount         float64
}

func newSmoothDual(g *Graph, req Request) *smoothDual {
	d := &smoothDual{source: int(g.index[req.Input]), target: int(g.index[req.Output]), amount: float64(req.Amount)}
	for _, p := range g.pools {
		d.pools = append(d.pools, p.(*testPool))
		d.ends = append(d.ends, [2]int{int(g.index[p.Info().Mints[0]]), int(g.index[p.Info().Mints[1]])})
	}
	return d
}

// value is the bound at prices exp(y), and its gradient in y.
func (d *smoothDual) value(y, grad []float64) float64 {
	clear(grad)
	v := make([]float64, len(y))
	for i := range y {
		v[i] = math.Exp(y[i])
	}
	sum := v[d.source] * d.amount
	grad[d.source] = sum
	for i, p := range d.pools {
		gamma := 1 - float64(p.feeBps)/10000
		for side := range 2 {
			a, b := d.ends[i][side], d.ends[i][1-side]
			ra, rb := float64(p.reserves[side]), float64(p.reserves[1-side])
			if v[b]*rb*gamma <= v[a]*ra { // the marginal price is no better than the prices
				continue
			}
			x := (math.Sqrt(v[b]/v[a]*gamma*ra*rb) - ra) / gamma
			out := rb * gamma * x / (ra + gamma*x)
			sum += v[b]*out - v[a]*x
			grad[b] += v[b] * out
			grad[a] -= v[a] * x
		}
	}
	grad[d.target] = 0 // its price is 1
	return sum
}

// bound minimises the dual from prices y by L-BFGS.
func (d *smoothDual) bound(y []float64) float64 {
	const memory = 12
	n := len(y)
	grad, next, nextGrad := make([]float64, n), make([]float64, n), make([]float64, n)
	f := d.value(y, grad)
	var ss, ys [][]float64
	dot := func(a, b []float64) (s float64) {
		for i := range a {
			s += a[i] * b[i]
		}
		return s
	}
	for range 400 {
		q := slices.Clone(grad)
		alphas := make([]float64, len(ss))
		for i := len(ss) - 1; i >= 0; i-- {
			alphas[i] = dot(ss[i], q) / dot(ss[i], ys[i])
			for j := range q {
				q[j] -= alphas[i] * ys[i][j]
			}
		}
		scale := 1e-3 / math.Sqrt(dot(grad, grad)+1e-300)
		if k := len(ss) - 1; k >= 0 {
			scale = dot(ss[k], ys[k]) / dot(ys[k], ys[k])
		}
		for j := range q {
			q[j] *= scale
		}
		for i := range ss {
			beta := dot(ys[i], q) / dot(ss[i], ys[i])
			for j := range q {
				q[j] += (alphas[i] - beta) * ss[i][j]
			}
		}
		slope := dot(grad, q)
		if slope <= 0 {
			if len(ss) == 0 {
				break
			}
			ss, ys = nil, nil
			continue
		}
		step, done := 1.0, false
		for {
			for j := range y {
				next[j] = y[j] - step*q[j]
			}
			g := d.value(next, nextGrad)
			if g <= f-1e-4*step*slope {
				done = f-g < 1e-9*f
				f = g
				break
			}
			if step /= 2; step < 1e-12 {
				return f
			}
		}
		s, dy := make([]float64, n), make([]float64, n)
		for j := range y {
			s[j], dy[j] = next[j]-y[j], nextGrad[j]-grad[j]
		}
		if dot(s, dy) > 1e-300 {
			ss, ys = append(ss, s), append(ys, dy)
			if len(ss) > memory {
				ss, ys = ss[1:], ys[1:]
			}
		}
		copy(y, next)
		copy(grad, nextGrad)
		if done {
			break
		}
	}
	return f
}

// prices are the best values of all tokens in terms of the output, at the marginal prices that a plan leaves.
func (d *smoothDual) prices(g *Graph, p Plan) []float64 {
	reserves := make([][2]float64, len(d.pools))
	for i, pool := range d.pools {
		reserves[i] = [2]float64{float64(pool.reserves[0]), float64(pool.reserves[1])}
		for _, l := range p.Legs {
			if l.Pool == amm.Pool(pool) {
				in, out := 0, 1
				if !l.Quote.AToB {
					in, out = 1, 0
				}
				reserves[i][in] += float64(l.Quote.In - l.Quote.FeeIn)
				reserves[i][out] -= float64(l.Quote.Out)
			}
		}
	}
	v := make([]float64, len(g.mints))
	v[d.target] = 1
	for changed, n := true, 0; changed && n < 6; n++ /* more would go round what arbitrage a plan leaves */ {
		changed = false
		for i, pool := range d.pools {
			for side := range 2 {
				a, b := d.ends[i][side], d.ends[i][1-side]
				if w := v[b] * reserves[i][1-side] / reserves[i][side] * (1 - float64(pool.feeBps)/10000); a != d.target && w > v[a]*(1+1e-12) {
					v[a], changed = w, true
				}
			}
		}
	}
	y := make([]float64, len(v))
	for i := range v {
		y[i] = math.Log(max(v[i], 1e-30))
	}
	return y
}

func mintIndex(m solana.PublicKey) int { return int(binary.BigEndian.Uint32(m[1:])) }

func quantile(d []time.Duration, q float64) time.Duration {
	slices.Sort(d)
	return d[int(float64(len(d)-1)*q)]
}

// BenchmarkQuality is the table of time and loss: percentiles of the time for one plan, and by size the mean loss against the dual
// bound in bps.
func BenchmarkQuality(b *testing.B) {
	for _, tc := range []struct {
		name          string
		tokens, pools int
		pairs         int
		lim           Limits
		hinted        bool // with the paths of an earlier plan
	}{
		{"250/free", 60, 250, 60, freeLimits, false},
		{"1000/free", 200, 1000, 60, freeLimits, false},
		{"1000/solana", 200, 1000, 60, Limits{MaxRoutes: 5, MaxHops: 4, MaxAccounts: 64}, false},
		{"1000/hinted", 200, 1000, 60, Limits{MaxRoutes: 5, MaxHops: 4, MaxAccounts: 64}, true},
		{"1000/single", 200, 1000, 60, Limits{MaxRoutes: 1, MaxHops: 4, MaxAccounts: 64}, false},
		{"5000/free", 1000, 5000, 20, freeLimits, false},
		{"5000/solana", 1000, 5000, 20, solanaLimits, false},
	} {
		b.Run(tc.name, func(b *testing.B) {
			pools, price := syntheticMarket(1, tc.tokens, tc.pools)
			g := newGraph(pools)
			queries := syntheticQueries(1, pools, price, tc.pairs)
			if tc.hinted {
				for i := range queries {
					p, _ := g.Plan(queries[i].req, tc.lim)
					queries[i].req.Hints = p.Paths
				}
			}
			var times []time.Duration
			plans := make([]Plan, len(queries))
			for b.Loop() {
				for i, q := range queries {
					start := time.Now()
					plans[i], _ = g.Plan(q.req, tc.lim)
					times = append(times, time.Since(start))
				}
			}
			b.StopTimer()
			reportTimes(b, times)
			var loss [3][]float64
			for i, q := range queries {
				d := newSmoothDual(g, q.req)
				hidden := make([]float64, len(g.mints))
				for j, m := range g.mints {
					hidden[j] = math.Log(price[mintIndex(m)] / price[mintIndex(q.req.Output)])
				}
				bound := min(d.bound(d.prices(g, plans[i])), d.bound(hidden))
				loss[q.size] = append(loss[q.size], (bound-float64(plans[i].Out))/bound*1e4)
			}
			for i, name := range []string{"loss-1e-5-bps", "loss-1e-3-bps", "loss-2e-2-bps"} {
				sum := 0.0
				for _, l := range loss[i] {
					sum += l
				}
				b.ReportMetric(sum/float64(len(loss[i])), name)
			}
		})
	}
}

// reportTimes reports quantiles, and how many plans a core makes in a second.
func reportTimes(b *testing.B, times []time.Duration) {
	var sum time.Duration
	for _, t := range times {
		sum += t
	}
	b.ReportMetric(float64(quantile(times, .5).Microseconds()), "p50-µs")
	b.ReportMetric(float64(quantile(times, .95).Microseconds()), "p95-µs")
	b.ReportMetric(float64(quantile(times, .99).Microseconds()), "p99-µs")
	b.ReportMetric(float64(len(times))/sum.Seconds(), "plans/s")
}

var offlineRounds = flag.Int("offline.rounds", 20, "how often the search that BenchmarkConstrained compares with begins anew")

// BenchmarkConstrained compares plans under Solana's limits with the best that a long search finds, which plans anew with a random
// part of the pools missing, again and again: the part of queries that reach 99.9 % of that, over all and by size, and the mean loss.
func BenchmarkConstrained(b *testing.B) {
	pools, price := syntheticMarket(1, 200, 1000)
	g := newGraph(pools)
	queries := syntheticQueries(1, pools, price, 60)
	plans := make([]Plan, len(queries))
	for b.Loop() {
		for i, q := range queries {
			plans[i], _ = g.Plan(q.req, solanaLimits)
		}
	}
	b.StopTimer()
	best := make([]uint64, len(queries))
	r := rand.New(rand.NewPCG(1, 4))
	for round := range *offlineRounds {
		some := slices.Clone(pools)
		for i := range some {
			if r.IntN(4+round%3*4) == 0 {
				some[i] = nil
			}
		}
		fewer := g.Update(some, testClock)
		for i, q := range queries {
			if p, err := fewer.Plan(q.req, solanaLimits); err == nil {
				best[i] = max(best[i], p.Out)
			}
		}
	}
	var good [3]float64
	var loss [3]float64
	for i, p := range plans {
		best[i] = max(best[i], p.Out)
		n := float64(len(queries) / len(sizes))
		if float64(p.Out) >= .999*float64(best[i]) {
			good[queries[i].size] += 100 / n
		}
		loss[queries[i].size] += (1 - float64(p.Out)/float64(best[i])) * 1e4 / n
	}
	b.ReportMetric((good[0]+good[1]+good[2])/3, "%≥99.9")
	for i, name := range []string{"1e-5", "1e-3", "2e-2"} {
		b.ReportMetric(good[i], "%≥99.9-"+name)
		b.ReportMetric(loss[i], "loss-"+name+"-bps")
	}
}

// BenchmarkExactOut is the time of exact-out plans under Solana's limits for what exact-in ones give, and how much more input they take than those, in the mean.
func BenchmarkExactOut(b *testing.B) {
	pools, price := syntheticMarket(1, 200, 1000)
	g := newGraph(pools)
	queries := syntheticQueries(1, pools, price, 60)
	spent := make([]float64, len(queries))
	for i := range queries {
		p, err := g.Plan(queries[i].req, solanaLimits)
		if err != nil {
			b.Fatal(err)
		}
		spent[i] = float64(p.In)
		queries[i].req.ExactOut, queries[i].req.Amount = true, p.Out
	}
	var times []time.Duration
	plans := make([]Plan, len(queries))
	for b.Loop() {
		for i, q := range queries {
			start := time.Now()
			plans[i], _ = g.Plan(q.req, solanaLimits)
			times = append(times, time.Since(start))
		}
	}
	b.StopTimer()
	reportTimes(b, times)
	more := 0.0
	for i, p := range plans {
		more += (float64(p.In)/spent[i] - 1) * 1e4 / float64(len(plans))
	}
	b.ReportMetric(more, "more-than-exact-in-bps")
}

// BenchmarkPathCache compares plans with the paths of an earlier one to plans without, where prices have moved since by a normally distributed
// part: the time of both, the mean loss of the former, and how many pools have moved as far as the cache counts.
func BenchmarkPathCache(b *testing.B) {
	for _, moved := range []float64{0, 3e-5, 1e-4, 1e-3} {
		b.Run(fmt.Sprintf("moved=%.0e", moved), func(b *testing.B) {
			pools, price := syntheticMarket(1, 200, 1000)
			g := newGraph(pools)
			queries := syntheticQueries(1, pools, price, 60)
			hinted := slices.Clone(queries)
			for i := range hinted {
				p, _ := g.Plan(hinted[i].req, solanaLimits)
				hinted[i].req.Hints = p.Paths
			}
			r := rand.New(rand.NewPCG(1, 5))
			pools = slices.Clone(pools)
			for i, p := range pools {
				other := *p.(*testPool)
				f := math.Exp(r.NormFloat64() * moved / 2)
				other.reserves = [2]uint64{uint64(float64(other.reserves[0]) * f), uint64(float64(other.reserves[1]) / f)}
				pools[i] = &other
			}
			g = g.Update(pools, testClock)
			var with, without time.Duration
			n, loss := 0.0, 0.0
			for b.Loop() {
				for i := range queries {
					start := time.Now()
					p, _ := g.Plan(queries[i].req, solanaLimits)
					between := time.Now()
					h, _ := g.Plan(hinted[i].req, solanaLimits)
					with, without = with+time.Since(between), without+between.Sub(start)
					n, loss = n+1, loss+(1-float64(h.Out)/float64(p.Out))*1e4
				}
			}
			b.ReportMetric(float64(with.Microseconds())/n, "with-µs")
			b.ReportMetric(float64(without.Microseconds())/n, "without-µs")
			b.ReportMetric(loss/n, "loss-bps")
			b.ReportMetric(float64(g.Moves())/float64(len(pools))*100, "%moved")
		})
	}
}

// BenchmarkPhases is the mean time of each part of a plan under Solana's limits: preparing, the best single route, splitting it freely, and
// bringing that within the limits.
func BenchmarkPhases(b *testing.B) {
	for _, n := range []int{1000, 5000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			pools, price := syntheticMarket(1, n/5, n)
			g := newGraph(pools)
			queries := syntheticQueries(1, pools, price, 60)
			s := new(search)
			var spent [4]time.Duration
			count := 0.0
			for b.Loop() {
				for _, q := range queries {
					last := time.Now()
					lap := func(phase int) {
						now := time.Now()
						spent[phase], last = spent[phase]+now.Sub(last), now
					}
					s.prepare(g, q.req, solanaLimits, g.index[q.req.Input], g.index[q.req.Output])
					lap(0)
					s.single()
					lap(1)
					if s.begin() {
						s.improve()
						lap(2)
						s.refine()
						lap(3)
					}
					s.release()
					count++
				}
			}
			for i, name := range []string{"prepare-µs", "single-µs", "split-µs", "refine-µs"} {
				b.ReportMetric(float64(spent[i].Nanoseconds())/1e3/count, name)
			}
		})
	}
}

// BenchmarkUpdate is the time from one pool's change to a graph that knows it.
func BenchmarkUpdate(b *testing.B) {
	for _, n := range []int{1000, 5000, 50_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			pools, _ := syntheticMarket(1, n/5, n)
			g := newGraph(pools)
			other := *pools[0].(*testPool)
			other.reserves[0]++
			changed := slices.Clone(pools)
			changed[0] = &other
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				g = g.Update([][]amm.Pool{changed, pools}[i%2], testClock)
			}
		})
	}
}

// BenchmarkMemory is what 50,000 pools of all kinds take, with their graph, and after plans on each core.
func BenchmarkMemory(b *testing.B) {
	heap := func() float64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc) / (1 << 20)
	}
	for b.Loop() {
		before := heap()
		pools, price := mixedMarket(b, 1, 10_000, 50_000)
		g := newGraph(pools)
		b.ReportMetric(heap()-before, "market-MiB")
		var working sync.WaitGroup
		searches := make([]*search, runtime.GOMAXPROCS(0))
		for k := range searches {
			working.Go(func() {
				searches[k] = new(search)
				for i := range 20 {
					req := Request{Input: mint(i % 4), Output: mint(1000 + 37*i + k), Amount: uint64(1e6/price[i%4]) + 1}
					end, ok := g.index[req.Output]
					if ok {
						_, _ = searches[k].solve(g, req, solanaLimits, g.index[req.Input], end)
					}
				}
			})
		}
		working.Wait()
		b.ReportMetric(heap()-before, "in-use-MiB")
		runtime.KeepAlive(searches)
		runtime.KeepAlive(g)
	}
}
