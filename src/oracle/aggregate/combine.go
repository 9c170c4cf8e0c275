package aggregate

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
)

// Quote is what one source says of a token.
type Quote struct {
	// Source is unique among the quotes of one call.
	Source string
	// Price is in US dollars per whole token, positive.
	Price float64
	// Confidence is the source's own half-width around Price in US dollars; 0 if it gives none.
	Confidence float64
	// Weight is relative and positive. It is capped so that no half of the sources decides.
	Weight float64
}

// Policy sets the limits of Combine and of Track.Advance.
type Policy struct {
	// MinSources is how many sources must agree; with fewer the price is degraded.
	MinSources int
	// OutlierFloor is the ratio of the price within which no quote is an outlier, however close the others are.
	OutlierFloor float64
	// OutlierMADs is how many scaled median absolute deviations from the median make an outlier.
	OutlierMADs float64
	// MaxConfidence is the ratio of confidence to price above which the price is degraded.
	MaxConfidence float64
	// MaxJump is the ratio to the last price above which a price that fewer than MinSources (at least two) agree on is held
	// back until the next update confirms it.
	MaxJump float64
}

// DefaultPolicy holds for liquid tokens.
var DefaultPolicy = Policy{MinSources: 2, OutlierFloor: 0.0025, OutlierMADs: 3.5, MaxConfidence: 0.01, MaxJump: 0.10}

// madScale makes the median absolute deviation of a normal distribution its standard deviation: 1/Φ⁻¹(3/4).
const madScale = 1.4826022185056018

// Result is the price that the sources agree on.
type Result struct {
	Price float64
	// Confidence is a half-width in US dollars: the larger of the distance to the farthest quote that was used and the
	// weighted median of the sources' own confidences. It is NaN where one source alone gave none.
	Confidence float64
	// Used lists the sources whose quotes were used, Rejected the others with the reason.
	Used     []string
	Rejected map[string]string
	// Degraded says why the price is less than sure; empty if it is sure.
	Degraded []string
}

// ErrNoQuotes says that there is nothing to combine.
var ErrNoQuotes = errors.New("no source has a usable price")

// Combine rejects outliers by their median absolute deviation from the weighted median and returns the weighted median of
// the rest. Quotes that are not positive finite numbers are rejected. As long as fewer than half of the sources are wrong,
// the price lies within the range of those that are right. Where the sources are split with no majority, as two are that
// disagree, those go on that are nearest to last, the last good price, if that is not 0: nobody gains by the mean of a
// right price and a wrong one.
func Combine(quotes []Quote, last float64, p Policy) (Result, error) {
	r := Result{Rejected: map[string]string{}}
	var sound []Quote
	for _, q := range quotes {
		if !(q.Price > 0) || math.IsInf(q.Price, 0) || !(q.Confidence >= 0) || math.IsInf(q.Confidence, 0) || !(q.Weight > 0) || math.IsInf(q.Weight, 0) {
			r.Rejected[q.Source] = "not a positive finite number"
			continue
		}
		sound = append(sound, q)
	}
	if len(sound) == 0 {
		return r, ErrNoQuotes
	}
	sound = capWeights(sound)
	center := median(sound, func(q Quote) float64 { return q.Price })
	mad := median(sound, func(q Quote) float64 { return math.Abs(q.Price - center) })
	limit := max(p.OutlierFloor*center, p.OutlierMADs*madScale*mad)
	var used []Quote
	for _, q := range sound {
		if d := math.Abs(q.Price - center); d > limit {
			r.Rejected[q.Source] = fmt.Sprintf("%.2f %% from the median, %.2f %% are allowed", 100*d/center, 100*limit/center)
			continue
		}
		used = append(used, q)
	}
	used = capWeights(used)
	r.Price = median(used, func(q Quote) float64 { return q.Price })
	if last > 0 && slices.ContainsFunc(used, func(q Quote) bool { return math.Abs(q.Price-r.Price) > p.MaxConfidence*r.Price }) {
		used = nearest(used, last, p.MaxConfidence, r.Rejected)
		r.Price = median(used, func(q Quote) float64 { return q.Price })
	}
	for _, q := range used {
		r.Used = append(r.Used, q.Source)
	}
	slices.Sort(r.Used)
	r.Confidence = median(used, func(q Quote) float64 { return q.Confidence })
	for _, q := range used {
		r.Confidence = max(r.Confidence, math.Abs(q.Price-r.Price))
	}
	if len(used) == 1 && r.Confidence == 0 {
		r.Confidence = math.NaN()
	}

	if len(used) < p.MinSources {
		r.Degraded = append(r.Degraded, fmt.Sprintf("%d of at least %d sources", len(used), p.MinSources))
	}
	// One source may be wrong among four. Where more are, or those that agree are no great majority, who is right is open.
	if n := len(r.Rejected); n > 1 || n == 1 && len(used) < 3 {
		r.Degraded = append(r.Degraded, fmt.Sprintf("%d of %d sources disagree", n, len(quotes)))
	}
	if r.Confidence > p.MaxConfidence*r.Price {
		r.Degraded = append(r.Degraded, fmt.Sprintf("confidence of %.2f %%, at most %.2f %% is sure", 100*r.Confidence/r.Price, 100*p.MaxConfidence))
	}
	return r, nil
}

// nearest returns the quotes within tolerance, a ratio, of the one that is nearest to last, and rejects the others.
func nearest(quotes []Quote, last, tolerance float64, rejected map[string]string) []Quote {
	first := slices.MinFunc(quotes, func(a, b Quote) int { return cmp.Compare(math.Abs(a.Price-last), math.Abs(b.Price-last)) })
	var near []Quote
	for _, q := range quotes {
		if ratio(q.Price, first.Price) <= tolerance {
			near = append(near, q)
		} else {
			rejected[q.Source] = fmt.Sprintf("%.2f %% from %s, which is nearer to the last price, and no majority says who is right", 100*ratio(q.Price, first.Price), first.Source)
		}
	}
	return near
}

// capWeights returns quotes with their weights limited such that no half of them outweighs the other: the heaviest k = ⌊n/2⌋
// weigh no more than the others if each weighs at most w = min·(n-k)/k, as then k·w ≤ (n-k)·min. Of an even number all
// weigh the same.
func capWeights(quotes []Quote) []Quote {
	n := len(quotes)
	k := n / 2
	if k == 0 {
		return quotes
	}
	least := slices.MinFunc(quotes, func(a, b Quote) int { return cmp.Compare(a.Weight, b.Weight) }).Weight
	const strictly = 0.99
	capped := slices.Clone(quotes)
	for i := range capped {
		capped[i].Weight = min(capped[i].Weight, max(least, strictly*least*float64(n-k)/float64(k)))
	}
	return capped
}

// median is the weighted median of value over quotes: the value at which half of the weight is reached, or the mean of
// that value and the next one where it is reached exactly.
func median(quotes []Quote, value func(Quote) float64) float64 {
	type weighted struct{ value, weight float64 }
	sorted := make([]weighted, len(quotes))
	total := 0.0
	for i, q := range quotes {
		sorted[i] = weighted{value(q), q.Weight}
		total += q.Weight
	}
	slices.SortFunc(sorted, func(a, b weighted) int { return cmp.Compare(a.value, b.value) })
	below := 0.0
	for i, w := range sorted {
		below += w.weight
		switch half := total / 2; {
		case i == len(sorted)-1 || below > half:
			return w.value
		case below == half:
			return w.value/2 + sorted[i+1].value/2
		}
	}
	return math.NaN() // no quotes; Combine never asks
}
