package dammv2

import (
	"math/bits"

	"github.com/holiman/uint256"

	"jupiter-dex-integration/src/amm/clmath"
	"jupiter-dex-integration/src/amm/muldiv"
)

const (
	// oneInRate is 100% in fee rates, which the program calls numerators.
	oneInRate = 1_000_000_000
	oneInBps  = 10_000
	// ratePerBps is a basis point as a fee rate.
	ratePerBps = oneInRate / oneInBps

	modeTimeLinear           = 0
	modeTimeExponential      = 1
	modeRateLimiter          = 2
	modeMarketCapLinear      = 3
	modeMarketCapExponential = 4
)

// maxRates are the caps of the whole fee rate by fee_version.
var maxRates = [...]uint64{500_000_000, 990_000_000}

// baseFee is the part of the fee that follows a schedule. Rates are in 10^-9, points are slots or Unix seconds by the pool's activation type.
type baseFee struct {
	mode uint8
	// cliff is the rate at the start.
	cliff uint64
	// reduction is taken off for every period that has passed: a rate, or basis points of what is left.
	reduction uint64
	periods   uint64
	// length is the points of a period of the time scheduler; 0 leaves the rate at the cliff.
	length uint64
	// passed is the periods by which the price has risen, and duration the points after which the market-cap scheduler counts them all.
	passed, duration uint64
	limiter          limiter
}

// rate is the base rate of a swap elapsed points after the activation, and whether the program can compute it. amount includes the fee, or not.
func (f *baseFee) rate(elapsed uint64, aToB bool, amount uint64, included bool) (uint64, bool) {
	switch f.mode {
	case modeRateLimiter:
		switch {
		case f.limiter.off || aToB || elapsed > f.duration:
			return f.cliff, true
		case included:
			return f.limiter.ofIncluded(amount)
		}
		return f.limiter.ofExcluded(amount)
	case modeMarketCapLinear, modeMarketCapExponential:
		if elapsed > f.duration {
			return f.after(f.periods)
		}
		return f.after(f.passed)
	}
	if f.length == 0 {
		return f.cliff, true
	}
	return f.after(min(elapsed/f.length, f.periods))
}

// after is the rate when so many periods have passed.
func (f *baseFee) after(periods uint64) (uint64, bool) {
	if f.mode == modeTimeExponential || f.mode == modeMarketCapExponential {
		return decay(f.cliff, f.reduction, periods)
	}
	hi, lo := bits.Mul64(f.reduction, periods)
	return f.cliff - lo, hi == 0 && lo <= f.cliff
}

// decay is rate * (1 - bps/10000)^n by squares in Q64.64, each product rounded down, and whether the program finds one.
func decay(rate, bps, n uint64) (uint64, bool) {
	if bps == 0 || n == 0 {
		return rate, bps <= oneInBps
	}
	if bps >= oneInBps {
		return 0, false
	}
	q, _ := bits.Div64(bps, 0, oneInBps)
	// Below 1, so that 64 bits hold it and every power of it; 1 itself is the one that they cannot hold.
	square, power, one := -q, uint64(0), true
	for ; n > 0; n >>= 1 {
		if n&1 == 1 && one {
			power, one = square, false
		} else if n&1 == 1 {
			power, _ = bits.Mul64(power, square)
		}
		square, _ = bits.Mul64(square, square)
	}
	fee, _ := bits.Mul64(power, rate)
	return fee, power != 0
}

// limiter is a rate that grows with the amount: cliff for the first reference units, increment more for each further reference units, and at most
// max, all over the amount as one rate. It keeps large buyers from taking a new pool at its first price.
type limiter struct {
	off                                bool
	cliff, increment, max, referenceIn uint64
}

// steps is how many whole increments fit below the maximum, and whether the program can tell.
func (l *limiter) steps() (uint64, bool) {
	if l.increment == 0 || l.max < l.cliff {
		return 0, false
	}
	return (l.max - l.cliff) / l.increment, true
}

// ofIncluded is the rate of an amount that includes the fee.
func (l *limiter) ofIncluded(amount uint64) (uint64, bool) {
	if amount <= l.referenceIn {
		return l.cliff, true
	}
	steps, ok := l.steps()
	if !ok || l.referenceIn == 0 {
		return 0, false
	}
	n, rest := amount/l.referenceIn-1, amount%l.referenceIn
	last := l.max
	if n < steps {
		last = l.cliff + l.increment*(n+1)
	} else {
		rest += (n - steps) * l.referenceIn
		n = steps
	}
	// reference * (cliff*(n+1) + increment*n*(n+1)/2) + rest*last, in which n(n+1) is even
	var sum, term uint256.Int
	sum.Mul(sum.SetUint64(l.cliff), term.SetUint64(n+1))
	term.Mul(&term, &uint256.Int{n})
	term.Rsh(&term, 1)
	term.Mul(&term, &uint256.Int{l.increment})
	sum.Add(&sum, &term)
	sum.Mul(&sum, &uint256.Int{l.referenceIn})
	term.Mul(&uint256.Int{rest}, &uint256.Int{last})
	sum.Add(&sum, &term)
	fee, ok := quo(&sum, &uint256.Int{oneInRate}, true)
	if !ok || fee.Hi != 0 {
		return 0, false
	}
	return muldiv.Ceil(fee.Lo, oneInRate, amount)
}

// less is what is left of an amount that includes the fee.
func (l *limiter) less(amount uint64) (uint64, bool) {
	rate, ok := l.ofIncluded(amount)
	fee, fits := muldiv.Ceil(amount, rate, oneInRate)
	return amount - fee, ok && fits && fee <= amount
}

// ofExcluded is the rate of an amount that does not include the fee.
func (l *limiter) ofExcluded(amount uint64) (uint64, bool) {
	first, ok := l.less(l.referenceIn)
	if !ok {
		return 0, false
	}
	if amount <= first {
		return l.cliff, true
	}
	steps, ok := l.steps()
	if !ok {
		return 0, false
	}
	// Beyond growing, every further unit is charged the maximum.
	hi, growing := bits.Mul64(steps+1, l.referenceIn)
	if hi != 0 {
		growing = ^uint64(0)
	}
	left, ok := l.less(growing)
	switch {
	case !ok:
		return 0, false
	case amount == left:
		return l.ofIncluded(growing)
	case amount > left && hi != 0:
		return 0, false
	}
	var sum uint64
	if amount > left {
		sum, ok = plusFee(growing, amount-left, l.max)
	} else {
		sum, ok = l.grown(amount)
	}
	if !ok || sum < amount {
		return 0, false
	}
	rate, ok := muldiv.Ceil(sum-amount, oneInRate, sum)
	return rate, ok && rate >= l.cliff
}

// grown is the amount, fee included, of which amount is left where the rate still grows: the smaller root x of
// increment*x^2 - y*x + z = 0, where y = reference*(2*10^9 + increment - 2*cliff) and z = 2*10^9*reference*amount, and then what that root,
// which holds for whole references, leaves over.
func (l *limiter) grown(amount uint64) (uint64, bool) {
	if l.cliff > oneInRate+l.increment/2 {
		return 0, false
	}
	var y, z, root uint256.Int
	y.Mul(&uint256.Int{l.referenceIn}, &uint256.Int{2*oneInRate + l.increment - 2*l.cliff})
	z.Mul(&uint256.Int{2 * oneInRate}, &uint256.Int{l.referenceIn})
	z.Mul(&z, &uint256.Int{amount})
	z.Mul(&z, &uint256.Int{4 * l.increment})
	root.Mul(&y, &y)
	if _, negative := root.SubOverflow(&root, &z); negative {
		return 0, false
	}
	root.Sqrt(&root)
	root.Sub(&y, &root)
	whole, ok := quo(&root, &uint256.Int{2 * l.increment}, false)
	if !ok || whole.Hi != 0 {
		return 0, false
	}
	left, ok := l.less(whole.Lo)
	if !ok || left > amount {
		return 0, false
	}
	return plusFee(whole.Lo, amount-left, l.cliff+l.increment*(whole.Lo/l.referenceIn))
}

// plusFee is sum and the amount with its fee on top, and whether that fits.
func plusFee(sum, amount, rate uint64) (uint64, bool) {
	if rate >= oneInRate {
		return 0, false
	}
	gross, ok := muldiv.Ceil(amount, oneInRate, oneInRate-rate)
	sum, carry := bits.Add64(sum, gross, 0)
	return sum, ok && carry == 0
}

// volatility is what the dynamic fee follows. The program takes the fee from the accumulator that it stored, and brings that up to date after the
// swap, where only a failure matters to a quote.
type volatility struct {
	tracked bool
	// filter is in seconds, updated in Unix seconds.
	filter, updated uint64
	reference       clmath.Uint128
}

// follows says whether the program can measure a move of the price at a time.
func (v *volatility) follows(from, to clmath.Uint128, now int64) bool {
	if !v.tracked {
		return true
	}
	reference := v.reference
	elapsed := uint64(now) - v.updated
	if uint64(now) < v.updated {
		elapsed = 0
	}
	if elapsed >= v.filter {
		reference = from
	}
	return measurable(from, to) && measurable(reference, to)
}

// measurable says whether the quotient of two prices in Q64.64 fits 128 bits.
func measurable(p, q clmath.Uint128) bool {
	if p.Less(q) {
		p, q = q, p
	}
	return q.Hi != 0 || p.Hi < q.Lo
}

// dynamicRate is ceil((accumulator*step)^2 * control / 10^11), and whether the program can compute it in 128 bits and use it.
func dynamicRate(accumulator uint64, step uint16, control uint32) (uint64, bool) {
	hi, lo := bits.Mul64(accumulator, uint64(step))
	if hi != 0 {
		return 0, false
	}
	hi, lo = bits.Mul64(lo, lo)
	over, hi2 := bits.Mul64(hi, uint64(control))
	carry, lo := bits.Mul64(lo, uint64(control))
	hi, c := bits.Add64(hi2, carry, 0)
	const unit = 100_000_000_000
	lo, d := bits.Add64(lo, unit-1, 0)
	hi, d = bits.Add64(hi, 0, d)
	if over|c|d != 0 || hi >= unit {
		return 0, false
	}
	rate, _ := bits.Div64(hi, lo, unit)
	return rate, true
}
