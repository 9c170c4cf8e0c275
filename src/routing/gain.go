package routing

import (
	"errors"
	"math"
	"slices"

	"jupiter-dex-integration/src/amm"
)

// slackUnits is how much rounding takes per step of a quote.
const slackUnits = 3

// point is a quote; low and high enclose what the output would be without rounding.
type point struct{ x, low, high float64 }

// gain bounds from above, in units of the output, what can be gained by any trade with a pool where a unit of input costs ratio units of output. x
// and out are a trade that nearly does it. If it need not be rigorous it is sought near the last one, and only that trade's gain is returned.
func (d *dual) gain(p amm.Pool, aToB bool, rate, ratio, keep float64, near *float64, rigorous bool) (gain, x, out float64) {
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
	const coarse = 8
	look := func() (peak float64) { // everywhere in large steps
		most := math.Inf(-1)
		for amount := 1e3; amount < end; amount *= coarse {
			if h, ok := try(amount); ok && h > most {
				peak, most = amount, h
			}
		}
		return max(peak, 1e3)
	}
	close := func(peak float64, rounds int) (found bool) { // in on the greatest gain
		from, to := peak/coarse, min(peak*coarse, end)
		low, high := from, to
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
		return low > from && (high < to || to == end)
	}
	if rigorous {
		close(look(), 18)
	} else if *near == 0 || !close(*near, 10) {
		close(look(), 10)
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
	return max(0, d.envelope(rate, ratio, end, keep)), x, out
}

// envelope is the greatest of output - ratio*input, up to an input of end, that a function through the points can reach that begins with the
// slope rate and would be concave but for its slope being anywhere between keep times that and that.
func (d *dual) envelope(rate, ratio, end, keep float64) float64 {
	pts := slices.CompactFunc(d.points, func(a, b point) bool { return a.x == b.x })
	n := len(pts)
	if n == 0 {
		return 0
	}
	greatest := math.Inf(-1)
	for i := -1; i < n; i++ { // the interval from point i to point i+1
		var a point // the origin
		if i >= 0 {
			a = pts[i]
		}
		to := end
		if i+1 < n {
			to = pts[i+1].x
		}
		// Upper bounds of the function there.
		buffer := [4]tangent{{0, 0, rate}}
		bounds := buffer[:1]
		if i >= 0 { // the flattest of the chords from the left, continued
			slope := a.high / a.x
			for _, p := range pts[:i] {
				slope = min(slope, (a.high-p.low)/(a.x-p.x))
			}
			bounds = append(bounds, tangent{a.x, a.high, slope / keep})
		}
		if i+2 < n { // the steepest of those from the right
			b, slope := pts[i+1], 0.0
			for _, c := range pts[i+2:] {
				slope = max(slope, (c.low-b.high)/(c.x-b.x))
			}
			bounds = append(bounds, tangent{b.x, b.high, slope * keep})
		}
		if i+1 < n { // it does not fall
			bounds = append(bounds, tangent{to, pts[i+1].high, 0})
		}
		// The least of the bounds is concave: its greatest value is at an end or where two of them cross.
		least := func(x float64) float64 {
			v := math.Inf(1)
			for _, b := range bounds {
				v = min(v, b.at(x)-ratio*x)
			}
			return v
		}
		greatest = max(greatest, least(a.x), least(to))
		for j, b := range bounds {
			for _, c := range bounds[:j] {
				if x := (c.at(0) - b.at(0)) / (b.slope - c.slope); x > a.x && x < to {
					greatest = max(greatest, least(x))
				}
			}
		}
	}
	return greatest
}

// tangent is the line through (x, y).
type tangent struct{ x, y, slope float64 }

func (t tangent) at(x float64) float64 { return t.y + t.slope*(x-t.x) }
