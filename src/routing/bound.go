package routing

import (
	"errors"
	"math"
	"slices"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/token"
)

// ErrNoBound means that no bound could be established for a request.
var ErrNoBound = errors.New("no bound")

// floatSlack covers the rounding of float arithmetic in a bound's sums.
const floatSlack = 1 + 1e-9

// Bound is how good any routing of req can be over the pools that it allows, in which no unit passes more than hops of them or returns to a
// token: none gives more output, or with ExactOut takes less input, than it returns, however many routes and accounts it has. plan is a known plan for req, from which
// the search for a tight bound starts.
//
// It follows from weak duality. Let v(m, h) be any price of the token m in the hands of who came by h pools. What a routing makes of the input,
// valued so, is at most the value of the input plus what each pool by itself could gain at those prices; with the output's price 1 that is
// a bound of the output. It is tightest at the prices of the optimum, which L-BFGS looks for. (Angeris, Evans, Chitra, Boyd: Optimal Routing for
// Constant Function Market Makers, 2022; Diamandis et al.: An Efficient Algorithm for Optimal Routing, 2023.) There, a token has one price; but at
// one price, pools that disagree have gains, which going round in circles would bring in and no routing does. By hops a token is worth
// less the later it is there, and where going straight back is profitable, less to who comes from there; so those gains vanish.
//
// What a pool can gain is bounded from its exact quotes alone, taking for granted that without rounding its output would be a concave
// function of the input, but for transfer fees with a maximum, and that rounding takes from the trader, in each step of a quote, at most
// slackUnits of the input and of the output.
func (g *Graph) Bound(req Request, hops int, plan Plan) (float64, error) {
	source, ok1 := g.index[req.Input]
	target, ok2 := g.index[req.Output]
	if !ok1 || !ok2 || source == target || plan.In == 0 || plan.Out == 0 {
		return 0, ErrNoBound
	}
	d := newDual(g, req, min(max(hops, 1), hopsLimit), source, target)
	y, ok := d.start(plan)
	if !ok {
		return 0, ErrNoBound
	}
	grad := make([]float64, d.size)
	bound := d.value(y, grad, true)
	minimise(y, func(y, grad []float64) float64 { return d.value(y, grad, false) })
	if better := d.value(y, grad, true); !(better >= bound) { // for exactOut they are negative
		bound = better
	}
	if math.IsNaN(bound) || math.IsInf(bound, 0) {
		return 0, ErrNoBound
	}
	if req.ExactOut {
		return max(0, -bound/floatSlack), nil
	}
	return bound * floatSlack, nil
}

// dual is the dual function of one request. The prices are exp(y), of the output 1, or for exactOut of the input.
type dual struct {
	g              *Graph
	rules          rules
	hops           int
	source, target int32
	exactOut       bool
	amount         float64

	// nodes are what has a price in each hop: the mints, in their places, and after them some for those who came from a certain other
	// mint and may not return there. of are the nodes of each mint, into where each direction of each pool leads.
	nodes []node
	of    [][]int32
	into  [][2]int32
	// place[h][n] is where in y the price of a node after h pools is, -1 if one cannot be there or it is of no use.
	place [hopsLimit + 1][]int32
	size  int

	keep   []float64 // by pool, see keepOf
	lines  []line
	points []point
	near   [][2]float64 // the best trade found last, by pool and direction
}

type node struct{ mint, from int32 }

// transferFees are known of pools whose mints may withhold a part of transfers, by mint.
type transferFees interface {
	TransferFees(amm.Clock) [2]token.TransferFee
}

// keepOf is the part of a trade that transfer fees leave which, being capped, a larger trade need not pay: by so much a pool's output can
// rise faster again after it rose slower.
func keepOf(p amm.Pool, clock amm.Clock) float64 {
	keep := 1.0
	if with, ok := p.(transferFees); ok {
		for _, fee := range with.TransferFees(clock) {
			if fee.Maximum < math.MaxUint64 {
				keep *= 1 - float64(fee.Bps)/10000
			}
		}
	}
	return max(keep, 1e-6)
}

// unit is the place of the price 1.
const unit = -2

func newDual(g *Graph, req Request, hops int, source, target int32) *dual {
	d := &dual{g: g, hops: hops, source: source, target: target, amount: float64(req.Amount), exactOut: req.ExactOut,
		of: make([][]int32, len(g.mints)), into: make([][2]int32, len(g.pools)), near: make([][2]float64, len(g.pools))}
	d.rules.set(g, &req, source, target)
	for _, p := range g.pools {
		d.keep = append(d.keep, keepOf(p, g.clock))
	}
	d.setNodes()
	d.setPlaces()
	return d
}

// setNodes makes a node for each mint, and one for each way to a mint from where going straight back would be profitable.
func (d *dual) setNodes() {
	for m := range d.g.mints {
		d.nodes = append(d.nodes, node{int32(m), -1})
		d.of[m] = []int32{int32(m)}
	}
	best := map[[2]int32]float64{}
	d.edges(func(pool int32, side int, from, to int32) {
		best[[2]int32{from, to}] = max(best[[2]int32{from, to}], d.g.rates[pool][side])
	})
	marked := map[[2]int32]int32{}
	d.edges(func(pool int32, side int, from, to int32) {
		pair := [2]int32{from, to}
		n, ok := marked[pair]
		if !ok {
			n = to
			if d.rules.via[from] && d.rules.via[to] && best[pair]*best[[2]int32{to, from}] > 1 {
				n = int32(len(d.nodes))
				d.nodes = append(d.nodes, node{to, from})
				d.of[to] = append(d.of[to], n)
			}
			marked[pair] = n
		}
		d.into[pool][side] = n
	})
}

// setPlaces gives a price to each node to which so many pools lead, and from which the rest can lead to the target.
func (d *dual) setPlaces() {
	var there, onward [hopsLimit + 1][]bool
	for h := range d.hops + 1 {
		there[h], onward[h] = make([]bool, len(d.nodes)), make([]bool, len(d.nodes))
		d.place[h] = make([]int32, len(d.nodes))
	}
	there[0][d.source], onward[0][d.target] = true, true
	for h := range d.hops {
		d.steps(func(_ int32, _ int, from, to int32) {
			there[h+1][to] = there[h+1][to] || there[h][from]
			onward[h+1][from] = onward[h+1][from] || onward[h][to]
		})
	}
	for h := range d.hops + 1 {
		for n := range d.nodes {
			d.place[h][n] = -1
			if int32(n) != d.target && there[h][n] && slices.ContainsFunc(onward[:d.hops-h+1], func(o []bool) bool { return o[n] }) {
				d.place[h][n] = int32(d.size)
				d.size++
			}
		}
		d.place[h][d.target] = unit
	}
	if d.exactOut { // the input's price is 1, the output's one of those looked for
		d.place[0][d.source] = unit
		for h := range d.hops + 1 {
			d.place[h][d.target] = int32(d.size)
		}
		d.size++
	}
}

// edges calls f for each direction of each pool that may be used.
func (d *dual) edges(f func(pool int32, side int, from, to int32)) {
	for i, p := range d.g.pools {
		if p == nil || d.g.labelOf[i] < 0 || len(d.rules.labels) > 0 && !d.rules.labels[d.g.labelOf[i]] {
			continue
		}
		for side := range 2 {
			from, to := d.g.ends[i][side], d.g.ends[i][1-side]
			if d.g.rates[i][side] > 0 && (from == d.source || d.rules.via[from]) && (to == d.target || d.rules.via[to]) {
				f(int32(i), side, from, to)
			}
		}
	}
}

// steps calls f for each way from node to node.
func (d *dual) steps(f func(pool int32, side int, from, to int32)) {
	d.edges(func(pool int32, side int, from, to int32) {
		for _, n := range d.of[from] {
			if d.nodes[n].from != to {
				f(pool, side, n, d.into[pool][side])
			}
		}
	})
}

func price(y []float64, place int32) float64 {
	if place == unit {
		return 1
	}
	return math.Exp(y[place])
}

// value is the bound at prices exp(y): of the output, or for exactOut of the negative input. grad is its gradient in y, as far as
// it has one. Only a rigorous value is a bound; any other is near one.
func (d *dual) value(y, grad []float64, rigorous bool) float64 {
	clear(grad)
	add := func(place int32, v float64) {
		if place != unit {
			grad[place] += v
		}
	}
	var sum float64
	if d.exactOut {
		sum = -price(y, d.place[0][d.target]) * d.amount
		add(d.place[0][d.target], sum)
	} else {
		sum = price(y, d.place[0][d.source]) * d.amount
		add(d.place[0][d.source], sum)
	}
	d.edges(func(pool int32, side int, from, to int32) {
		rate := d.g.rates[pool][side]
		lines := d.linesOf(y, from, to, d.into[pool][side])
		for i, l := range lines[:len(lines)-1] {
			next := lines[i+1]
			va, vb := l.va-next.va, l.vb-next.vb
			ratio := va / vb
			if rate*boundSlack <= ratio {
				continue
			}
			if len(lines) > 2 { // the sum over the lines is for concave pools: this is of one that is, and gives more
				ratio *= d.keep[pool]
				vb /= d.keep[pool]
			}
			gain, x, out := d.gain(d.g.pools[pool], side == 0, rate*boundSlack, ratio, d.keep[pool], &d.near[pool][side], rigorous)
			sum += vb * gain
			add(l.b, l.vb*out)
			add(l.a, -l.va*x)
			add(next.b, -next.vb*out)
			add(next.a, next.va*x)
		}
	})
	return sum
}

// line is one use of a pool: a unit of its input is worth va, one of its output vb, at places a and b.
type line struct {
	a, b   int32
	va, vb float64
}

// linesOf are the uses of a pool, by the hop at which it is passed, that can be the most profitable at some marginal price of the pool, in the order in
// which they are as that falls: ever less output's value and ever less input's. What the pool can gain in all of them together is the
// integral of the most profitable one over its marginal prices; that is the sum, over the lines, of what it can gain by the difference of
// one line and the next. The last line is to leave the pool alone.
func (d *dual) linesOf(y []float64, from, to, into int32) []line {
	lines := d.lines[:0]
	for h := range d.hops {
		b := d.place[h+1][into]
		if b == -1 {
			continue
		}
		vb := price(y, b)
		for _, n := range d.of[from] {
			if a := d.place[h][n]; a != -1 && d.nodes[n].from != to {
				lines = append(lines, line{a, b, price(y, a), vb})
			}
		}
	}
	lines = append(lines, line{a: unit, b: unit})
	d.lines = lines
	slices.SortFunc(lines, func(l, m line) int {
		switch {
		case l.vb != m.vb:
			return compare(m.vb, l.vb)
		default:
			return compare(l.va, m.va)
		}
	})
	hull := lines[:0]
	for _, l := range lines {
		for n := len(hull); n > 0; n = len(hull) {
			last := hull[n-1]
			if l.va >= last.va || l.vb == last.vb { // never better
				break
			}
			// Where l overtakes the last must be below where the last overtook its predecessor.
			if n == 1 || (last.va-l.va)*(hull[n-2].vb-last.vb) < (hull[n-2].va-last.va)*(last.vb-l.vb) {
				break
			}
			hull = hull[:n-1]
		}
		if n := len(hull); n == 0 || l.va < hull[n-1].va && l.vb < hull[n-1].vb {
			hull = append(hull, l)
		}
	}
	return hull
}

func compare(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// start is what tokens are worth by hops at the marginal prices that a plan leaves.
func (d *dual) start(plan Plan) (y []float64, ok bool) {
	rates := d.marginal(plan)
	worth := make([][]float64, d.hops+1)
	for h := range worth {
		worth[h] = make([]float64, len(d.nodes))
		worth[h][d.target] = 1
	}
	for h := d.hops - 1; h >= 0; h-- {
		d.steps(func(pool int32, side int, from, to int32) {
			if d.place[h][from] != -1 && d.place[h+1][to] != -1 {
				worth[h][from] = max(worth[h][from], worth[h+1][to]*rates[pool][side])
			}
		})
	}
	in := worth[0][d.source]
	if in == 0 {
		return nil, false
	}
	y = make([]float64, d.size)
	for h := range worth {
		for n, w := range worth[h] {
			if place := d.place[h][n]; place >= 0 {
				y[place] = math.Log(max(w, in*1e-300))
				if d.exactOut {
					y[place] -= math.Log(in)
				}
			}
		}
	}
	return y, true
}

// marginal are the marginal prices that a plan leaves, by pool and direction.
func (d *dual) marginal(plan Plan) [][2]float64 {
	rates := slices.Clone(d.g.rates)
	for _, l := range plan.Legs {
		i := slices.Index(d.g.pools, l.Pool)
		if i < 0 {
			continue
		}
		less, err := l.Pool.Quote(d.g.clock, amm.Request{AToB: l.Quote.AToB, Amount: l.Quote.In - l.Quote.In/64})
		if err != nil || less.In >= l.Quote.In || less.Out >= l.Quote.Out {
			continue
		}
		used := side(l.Quote.AToB)
		fees := rates[i][used] * rates[i][1-used] // about (1-fee) squared
		rates[i][used] = float64(l.Quote.Out-less.Out) / float64(l.Quote.In-less.In)
		rates[i][1-used] = min(1, fees) / rates[i][used]
	}
	return rates
}
