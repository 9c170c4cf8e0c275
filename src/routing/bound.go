package routing

import (
	"errors"
	"math"
	"slices"

	"jupiter-dex-integration/src/amm"
)

// ErrNoBound means that no bound could be established for a request.
var ErrNoBound = errors.New("no bound")

const (
	boundSteps  = 60
	boundMemory = 8
	// floatSlack covers the rounding of float arithmetic in a bound's sums.
	floatSlack = 1 + 1e-9
)

// Bound is how good any routing of req can be over the graph's pools, whatever the limits: no plan gives more output, or with ExactOut takes less
// input, than it returns. plan is a known plan for req, from which the search for a tight bound starts.
//
// It follows from weak duality. For any prices v of the tokens, what a routing makes of the input, valued at v, is at most the
// value of the input plus what each pool by itself could gain at v; with the output's price 1 that is a bound of the output. The bound is
// tightest at the prices of the optimum, which L-BFGS looks for. (Angeris, Evans, Chitra, Boyd: Optimal Routing for Constant
// Function Market Makers, 2022; Diamandis et al.: An Efficient Algorithm for Optimal Routing, 2023.)
//
// What a pool can gain is bounded from its exact quotes alone, taking for granted that without rounding its output would be a concave
// function of the input, and that rounding takes from the trader, in each step of a quote, at most slackUnits of the input and of the
// output. A transfer fee with a maximum is not concave: with a token that has one the bound may be too tight by that maximum.
func (g *Graph) Bound(req Request, plan Plan) (float64, error) {
	source, ok1 := g.index[req.Input]
	target, ok2 := g.index[req.Output]
	if !ok1 || !ok2 || source == target || plan.In == 0 || plan.Out == 0 {
		return 0, ErrNoBound
	}
	d := &dual{g: g, source: int(source), target: int(target), amount: float64(req.Amount)}
	if req.ExactOut {
		// Minimise the input for an output: at input price 1, the input is at least the output's value less what pools gain.
		d.exactOut = true
	}
	d.near = make([][2]float64, len(g.pools))
	y, ok := d.prices(plan)
	if !ok {
		return 0, ErrNoBound
	}
	d.minimise(y)
	bound := d.value(y, make([]float64, len(y)), true)
	if math.IsNaN(bound) || math.IsInf(bound, 0) {
		return 0, ErrNoBound
	}
	if req.ExactOut {
		return max(0, -bound/floatSlack), nil
	}
	return bound * floatSlack, nil
}

// dual is the dual function of one request. Prices are exp(y).
type dual struct {
	g              *Graph
	source, target int
	exactOut       bool
	amount         float64
	points         []point
	near           [][2]float64 // the best trade found last, by pool and direction
}

// value is the bound at prices exp(y): of the output, or for exactOut of the negative input. grad is its gradient in y, as far as
// it has one. Only a rigorous value is a bound; any other is near one.
func (d *dual) value(y, grad []float64, rigorous bool) float64 {
	clear(grad)
	var sum float64
	if d.exactOut {
		sum = -math.Exp(y[d.target]) * d.amount
		grad[d.target] = sum
	} else {
		sum = math.Exp(y[d.source]) * d.amount
		grad[d.source] = sum
	}
	for i, p := range d.g.pools {
		if p == nil || d.g.labelOf[i] < 0 {
			continue
		}
		ends := d.g.ends[i]
		for side := range 2 {
			a, b := ends[side], ends[1-side]
			ratio := math.Exp(y[a] - y[b])
			if d.g.rates[i][side]*boundSlack <= ratio {
				continue
			}
			gain, x, out := d.gain(p, side == 0, ratio, &d.near[i][side], rigorous)
			va, vb := math.Exp(y[a]), math.Exp(y[b])
			sum += vb * gain
			grad[b] += vb * out
			grad[a] -= va * x
		}
	}
	if d.exactOut {
		grad[d.source] = 0
	} else {
		grad[d.target] = 0
	}
	return sum
}

// slackUnits is how much rounding takes per step of a quote.
const slackUnits = 3

// point is a quote; low and high enclose what the output would be without rounding.
type point struct{ x, low, high float64 }

// gain bounds from above, in units of the output, what can be gained by any trade with a pool where a unit of input costs ratio units of output. x
// and out are a trade that nearly does it. If it need not be rigorous it is sought near the last one, and only that trade's gain is returned.
func (d *dual) gain(p amm.Pool, aToB bool, ratio float64, near *float64, rigorous bool) (gain, x, out float64) {
	d.points = d.points[:0]
	end := float64(math.MaxUint64) // no trade is this large
	best := 0.0
	try := func(amount float64) (float64, bool) {
		if !(amount < math.MaxUint64) || amount < 1 {
			return 0, false
		}
		q, err := p.Quote(d.g.clock, amm.Request{AToB: aToB, Amount: uint64(amount)})
		if err != nil {
			if !errors.Is(err, amm.ErrZeroAmount) && !errors.Is(err, amm.ErrZeroOutput) {
				end = min(end, math.Floor(amount))
			}
			return 0, false
		}
		slack := slackUnits * float64(q.Steps+1)
		in := float64(q.In)
		slope := float64(q.Out) / in
		d.points = append(d.points, point{in, float64(q.Out), float64(q.Out) + slack*(1+slope)})
		if q.In < uint64(amount) { // it is full
			end = min(end, in+slack)
		}
		h := float64(q.Out) - ratio*in
		if h > best {
			best, x, out = h, in, float64(q.Out)
		}
		return h, true
	}
	// Look everywhere in large steps, then close in on the greatest gain.
	const coarse = 8
	peak, peakAt, rounds := math.Inf(-1), *near, 10
	if rigorous || peakAt == 0 {
		rounds, peakAt = 18, 1e3
		for amount := 1e3; amount < end; amount *= coarse {
			if h, ok := try(amount); ok && h > peak {
				peak, peakAt = h, amount
			}
		}
	}
	low, high := peakAt/coarse, min(peakAt*coarse, end)
	for range rounds {
		l, r := low+(high-low)*.382, low+(high-low)*.618
		hl, okl := try(l)
		hr, okr := try(r)
		switch {
		case !okr || okl && hl >= hr:
			high = r
		default:
			low = l
		}
	}
	*near = x
	if !rigorous {
		return best, x, out
	}
	slices.SortFunc(d.points, func(a, b point) int {
		switch {
		case a.x < b.x:
			return -1
		case a.x > b.x:
			return 1
		}
		return 0
	})
	return max(0, d.envelope(ratio, end)), x, out
}

// envelope is the greatest of output - ratio*input that a concave function can reach that passes through the points:
// between two points it lies below the continued chords on either side.
func (d *dual) envelope(ratio, end float64) float64 {
	pts := slices.CompactFunc(d.points, func(a, b point) bool { return a.x == b.x })
	n := len(pts)
	if n == 0 {
		return 0
	}
	greatest := math.Inf(-1)
	// line is an upper bound of the function: value at x plus slope times the distance.
	type line struct{ x, y, slope float64 }
	at := func(l line, x float64) float64 { return l.y + l.slope*(x-l.x) - ratio*x }
	for i := -1; i < n; i++ { // the interval from point i to point i+1
		var a point // the origin
		if i >= 0 {
			a = pts[i]
		}
		to := end
		if i+1 < n {
			to = pts[i+1].x
		}
		var buffer [3]line
		lines := buffer[:0]
		if i >= 0 { // the flattest of the chords from the left, continued
			slope := a.high / a.x
			for _, p := range pts[:i] {
				slope = min(slope, (a.high-p.low)/(a.x-p.x))
			}
			lines = append(lines, line{a.x, a.high, slope})
		}
		if i+2 < n { // the steepest of those from the right
			b, slope := pts[i+1], 0.0
			for _, c := range pts[i+2:] {
				slope = max(slope, (c.low-b.high)/(c.x-b.x))
			}
			lines = append(lines, line{b.x, b.high, slope})
		}
		if i+1 < n { // it does not fall
			lines = append(lines, line{to, pts[i+1].high, 0})
		}
		// The least of the lines is concave: its greatest value is at an end or where two of them cross.
		least := func(x float64) float64 {
			v := math.Inf(1)
			for _, l := range lines {
				v = min(v, at(l, x))
			}
			return v
		}
		greatest = max(greatest, least(a.x), least(to))
		for j := range lines {
			for k := range j {
				l, m := lines[j], lines[k]
				x := (m.y - m.slope*m.x - l.y + l.slope*l.x) / (l.slope - m.slope)
				if x > a.x && x < to {
					greatest = max(greatest, least(x))
				}
			}
		}
	}
	return greatest
}

// prices are what tokens are worth in terms of the output (for exactOut: of the input) at the marginal prices that a plan leaves.
func (d *dual) prices(plan Plan) ([]float64, bool) {
	rates := slices.Clone(d.g.rates)
	for i, p := range d.g.pools {
		for _, l := range plan.Legs {
			if l.Pool != p {
				continue
			}
			side := 1
			if l.Quote.AToB {
				side = 0
			}
			less, err := p.Quote(d.g.clock, amm.Request{AToB: l.Quote.AToB, Amount: l.Quote.In - l.Quote.In/64})
			if err != nil || less.In >= l.Quote.In {
				continue
			}
			fees := rates[i][side] * rates[i][1-side] // about (1-fee) squared
			rates[i][side] = float64(l.Quote.Out-less.Out) / float64(l.Quote.In-less.In)
			rates[i][1-side] = min(1, fees) / rates[i][side]
		}
	}
	v := make([]float64, len(d.g.mints))
	v[d.target] = 1
	for range 6 {
		for i := range d.g.pools {
			if d.g.labelOf[i] < 0 {
				continue
			}
			for side := range 2 {
				a, b := d.g.ends[i][side], d.g.ends[i][1-side]
				if int(a) != d.target {
					v[a] = max(v[a], v[b]*rates[i][side])
				}
			}
		}
	}
	if v[d.source] == 0 {
		return nil, false
	}
	y := make([]float64, len(v))
	least := math.Inf(1)
	for _, w := range v {
		if w > 0 {
			least = min(least, w)
		}
	}
	for i, w := range v {
		if w == 0 { // it cannot become the output: it is worth next to nothing
			w = least * 1e-9
		}
		y[i] = math.Log(w)
		if d.exactOut {
			y[i] -= math.Log(v[d.source])
		}
	}
	return y, true
}

// minimise moves prices towards those of the least value, by L-BFGS.
func (d *dual) minimise(y []float64) {
	n := len(y)
	grad, next, nextGrad, dir := make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n)
	f := d.value(y, grad, false)
	type pair struct {
		s, y []float64
		rho  float64
	}
	var pairs []pair
	dot := func(a, b []float64) (sum float64) {
		for i := range a {
			sum += a[i] * b[i]
		}
		return sum
	}
	for range boundSteps {
		copy(dir, grad)
		alphas := make([]float64, len(pairs))
		for i := len(pairs) - 1; i >= 0; i-- {
			p := pairs[i]
			alphas[i] = p.rho * dot(p.s, dir)
			for j := range dir {
				dir[j] -= alphas[i] * p.y[j]
			}
		}
		scale := 1e-4 / math.Sqrt(dot(grad, grad)+1e-300)
		if k := len(pairs) - 1; k >= 0 {
			scale = 1 / (pairs[k].rho * dot(pairs[k].y, pairs[k].y))
		}
		for j := range dir {
			dir[j] *= scale
		}
		for i, p := range pairs {
			beta := p.rho * dot(p.y, dir)
			for j := range dir {
				dir[j] += (alphas[i] - beta) * p.s[j]
			}
		}
		slope := dot(grad, dir)
		if !(slope > 0) {
			if len(pairs) == 0 {
				return
			}
			pairs = nil
			continue
		}
		step := 1.0
		var g float64
		for {
			for j := range y {
				next[j] = y[j] - step*dir[j]
			}
			if g = d.value(next, nextGrad, false); g <= f-1e-4*step*slope {
				break
			}
			if step /= 4; step < 1e-8 {
				return
			}
		}
		s, dy := make([]float64, n), make([]float64, n)
		for j := range y {
			s[j], dy[j] = next[j]-y[j], nextGrad[j]-grad[j]
		}
		if c := dot(s, dy); c > 0 {
			if pairs = append(pairs, pair{s, dy, 1 / c}); len(pairs) > boundMemory {
				pairs = pairs[1:]
			}
		}
		done := math.Abs(f-g) < 1e-7*math.Abs(f)
		copy(y, next)
		copy(grad, nextGrad)
		if f = g; done {
			break
		}
	}
}
