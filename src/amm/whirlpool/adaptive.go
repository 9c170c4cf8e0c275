package whirlpool

import (
	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/clmath"
	"jupiter-dex-integration/src/amm/muldiv"
)

const (
	// maxFeeRate bounds the sum of static and adaptive fee, in millionths.
	maxFeeRate = 100_000
	// volatilityScale is the volatility of one tick group.
	volatilityScale = 10_000
	reductionUnit   = 10_000
	// controlUnit scales the square of a volatility times a group size to a fee rate.
	controlUnit = 100_000 * volatilityScale * volatilityScale
	// maxReferenceAge is after how many seconds the reference is forgotten.
	maxReferenceAge = 3600
)

// oracle is the state of a pool's adaptive fee: a fee that grows with the square of how many tick groups the price has lately moved.
type oracle struct {
	tradeEnable uint64 // Unix seconds, as all timestamps

	filterPeriod, decayPeriod, reduction uint64
	control, maxVolatility               uint64
	groupSize                            int32

	lastReference, lastMajorSwap uint64
	reference, volatility        uint64
	groupReference               int32
}

// fees is how the fee develops during one swap.
type fees struct {
	*oracle
	aToB      bool
	static    uint32
	group     int32
	reference uint64
	origin    int32
	// lower and upper are the core: the groups in which the volatility is not yet at its maximum. Beyond them the fee is constant.
	lower, upper int32
}

// begin ages the reference to now and finds where the fee starts. It fails where the clock is behind the pool's.
func (o *oracle) begin(static uint32, aToB bool, tick int32, now uint64) (fees, error) {
	f := fees{oracle: o, aToB: aToB, static: static, group: floorDiv(tick, o.groupSize), reference: o.reference, origin: o.groupReference}
	last := max(o.lastReference, o.lastMajorSwap)
	if now < last {
		return f, amm.ErrNotOpen
	}
	switch elapsed := now - last; {
	case now-o.lastReference > maxReferenceAge:
		f.origin, f.reference = f.group, 0
	case elapsed < o.filterPeriod:
	case elapsed < o.decayPeriod:
		f.origin, f.reference = f.group, o.volatility*o.reduction/reductionUnit
	default:
		f.origin, f.reference = f.group, 0
	}
	reach := int32((o.maxVolatility - f.reference + volatilityScale - 1) / volatilityScale)
	f.lower, f.upper = f.origin-reach, f.origin+reach
	return f, nil
}

// rate is the fee in the present group, in millionths.
func (f *fees) rate() uint32 {
	distance := int64(f.origin) - int64(f.group)
	if distance < 0 {
		distance = -distance
	}
	volatility := min(f.reference+uint64(distance)*volatilityScale, f.maxVolatility)
	crossed := volatility * uint64(f.groupSize) // below 2^32
	adaptive, _ := muldiv.Ceil(crossed*crossed, f.control, controlUnit)
	return uint32(min(uint64(f.static)+adaptive, maxFeeRate))
}

// bound is up to where the present rate holds on the way to t: the price and the tick. skips says that this is more than the present group.
func (f *fees) bound(t *clmath.Tick, liquidity clmath.Uint128) (price clmath.Uint128, tick int32, skips bool) {
	tick = t.Index
	switch {
	case f.control == 0 || liquidity.IsZero():
		return t.Price, tick, true
	case f.group < f.lower && f.lowerEdge() > minTick:
		skips = true
		if !f.aToB {
			tick = f.lowerEdge()
		}
	case f.group > f.upper && f.upperEdge() < maxTick:
		skips = true
		if f.aToB {
			tick = f.upperEdge()
		}
	case f.aToB:
		tick = f.group * f.groupSize
	default:
		tick = (f.group + 1) * f.groupSize
	}
	if f.aToB && tick <= t.Index || !f.aToB && tick >= t.Index {
		return t.Price, t.Index, skips
	}
	return sqrtPrice(tick), tick, skips
}

// lowerEdge and upperEdge are the ticks at the outer ends of the core.
func (f *fees) lowerEdge() int32 { return f.lower * f.groupSize }
func (f *fees) upperEdge() int32 { return (f.upper + 1) * f.groupSize }

// advance goes on to the next group. After a skip that is the one beyond the tick where the price stands now.
func (f *fees) advance(skipped bool, tick int32) {
	step := int32(1)
	if f.aToB {
		step = -1
	}
	if skipped {
		group := floorDiv(tick, f.groupSize)
		if !f.aToB && tick%f.groupSize == 0 {
			group--
		}
		if (group-f.group)*step > 0 {
			f.group = group
		}
	}
	f.group += step
}
