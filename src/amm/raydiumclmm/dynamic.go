package raydiumclmm

import "jupiter-dex-integration/src/amm/muldiv"

const (
	// maxFeeRate bounds the sum of base and dynamic fee, in millionths.
	maxFeeRate = 100_000
	// volatilityScale is the volatility of one tick spacing.
	volatilityScale = 10_000
	reductionUnit   = 10_000
	// controlUnit scales the square of a volatility times the tick spacing to a fee rate.
	controlUnit = 100_000 * volatilityScale * volatilityScale
)

// volatility is the state of a pool's dynamic fee, which grows with the square of how many tick spacings the price has lately moved.
type volatility struct {
	filterPeriod, decayPeriod, reduction uint64
	control, maximum                     uint64
	lastUpdate                           uint64 // Unix seconds
	reference, accumulator               uint64
	origin                               int32
}

// fees is how the dynamic fee develops during one swap. group is the tick spacing that the price is in.
type fees struct {
	*volatility
	base, spacing uint32
	reference     uint64
	origin, group int32
	move          int32
}

// begin ages the reference to now.
func (v *volatility) begin(base uint32, spacing, tick int32, aToB bool, now uint64) fees {
	f := fees{volatility: v, base: base, spacing: uint32(spacing), reference: v.reference, origin: v.origin, group: floorDiv(tick, spacing), move: 1}
	if aToB {
		f.move = -1
	}
	elapsed := uint64(0)
	if now > v.lastUpdate {
		elapsed = now - v.lastUpdate
	}
	switch {
	case elapsed < v.filterPeriod:
	case elapsed < v.decayPeriod:
		f.origin, f.reference = f.group, v.accumulator*v.reduction/reductionUnit
	default:
		f.origin, f.reference = f.group, 0
	}
	return f
}

// rate is the fee in the present group, in millionths, and whether it is at its maximum volatility.
func (f *fees) rate() (rate uint32, highest bool) {
	distance := int64(f.origin) - int64(f.group)
	if distance < 0 {
		distance = -distance
	}
	now := min(f.reference+uint64(distance)*volatilityScale, f.maximum)
	crossed := now * uint64(f.spacing) // below 2^32
	dynamic, _ := muldiv.Ceil(crossed*crossed, f.control, controlUnit)
	return uint32(min(uint64(f.base)+dynamic, maxFeeRate)), now == f.maximum
}

// edge is the tick at the far end of the present group.
func (f *fees) edge() int32 {
	if f.move < 0 {
		return f.group * int32(f.spacing)
	}
	return (f.group + 1) * int32(f.spacing)
}

// leap goes to the group that ends at an initialised tick.
func (f *fees) leap(tick int32) {
	f.group = tick / int32(f.spacing) // exact, as such ticks are multiples
	if f.move > 0 {
		f.group--
	}
}
