package aggregate

import (
	"math"
	"time"
)

// emaPeriod is the time constant of the moving average: after it, a step in the price has moved the average by 1-1/e.
const emaPeriod = time.Hour

// Track is what of a token's past its next price depends on. The zero Track has none.
type Track struct {
	Price float64
	At    time.Time
	// EMA is the exponential moving average of the published prices over an hour, weighted by time.
	EMA float64
	// Pending is a jump that waits to be confirmed; 0 if there is none.
	Pending float64
}

// Advance returns the track after an update at the time at, in which sources agreed on price. A jump that fewer than two
// sources (or MinSources) back is held: the track keeps its price until the next update repeats the jump. A track whose
// price is older than fresh has no say any more.
func (t Track) Advance(price float64, sources int, at time.Time, fresh time.Duration, p Policy) (next Track, held bool) {
	if t.Price <= 0 || at.Sub(t.At) > fresh {
		return Track{Price: price, At: at, EMA: price}, false
	}
	confirmed := sources >= max(2, p.MinSources) || t.Pending > 0 && ratio(price, t.Pending) <= p.MaxJump/2
	held = ratio(price, t.Price) > p.MaxJump && !confirmed
	next = Track{Price: price, At: at}
	if held {
		next.Price, next.Pending = t.Price, price
	}
	share := 1 - math.Exp(-max(0, at.Sub(t.At).Seconds())/emaPeriod.Seconds())
	next.EMA = t.EMA + share*(next.Price-t.EMA)
	return next, held
}

// ratio is how far a is from b, relative to b.
func ratio(a, b float64) float64 { return math.Abs(a-b) / b }

// Point is a price at a time.
type Point struct {
	At    time.Time
	Price float64
}

// TWAP is the average of prices over the time from..to, each weighted by how long it was the latest. points are in the
// order of their times; the time before the first of them does not count. It is NaN if no point is in time.
func TWAP(points []Point, from, to time.Time) float64 {
	sum, weight := 0.0, 0.0
	for i, p := range points {
		begin, end := p.At, to
		if begin.Before(from) {
			begin = from
		}
		if i+1 < len(points) && points[i+1].At.Before(to) {
			end = points[i+1].At
		}
		if s := end.Sub(begin).Seconds(); s > 0 {
			sum += p.Price * s
			weight += s
		}
	}
	return sum / weight
}

// Peg says how a token that should be worth target fares.
type Peg int

// The states of a peg: within 50 bps, within 200 bps, and beyond: then nothing may be converted through the token.
const (
	PegHolds Peg = iota
	PegStrained
	PegBroken
)

// CheckPeg compares price with target; both are in US dollars.
func CheckPeg(price, target float64) Peg {
	switch d := ratio(price, target); {
	case d <= 0.0050:
		return PegHolds
	case d <= 0.0200:
		return PegStrained
	}
	return PegBroken
}
