package dlmm

import (
	"math/bits"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/muldiv"
)

const (
	oneInBps = 10_000
	// oneInRate is 100% in fee rates.
	oneInRate = 1_000_000_000
	// maxRate bounds the sum of base and variable fee.
	maxRate = oneInRate / 10
	// volatilityScale is the volatility of one bin.
	volatilityScale = 10_000
	// maxPower is the highest power of ten that scales a base fee within the program's 128 bits.
	maxPower = 28
	// controlUnit scales the square of volatility times bin step to a fee rate.
	controlUnit = 100_000_000_000
)

// parameters are a pair's fees: a base fee, and one that grows with the square of how many bins the price has lately moved.
type parameters struct {
	base          uint64 // of oneInRate, at most maxRate
	control       uint64
	binStep       uint64 // of oneInBps
	maximum       uint64 // volatility
	filter, decay int64  // seconds
	reduction     uint64 // of oneInBps
	active        int32

	lastUpdate         int64 // Unix seconds
	volatility, anchor uint64
	anchorID           int32
}

// fees are the parameters at the moment of a swap.
type fees struct {
	*parameters
	anchor   uint64
	anchorID int32
}

// at ages the reference of the volatility to now.
func (p *parameters) at(now int64) (fees, error) {
	f := fees{p, p.anchor, p.anchorID}
	elapsed := now - p.lastUpdate
	if elapsed < p.filter {
		return f, nil
	}
	f.anchorID, f.anchor = p.active, 0
	if elapsed < p.decay {
		f.anchor = p.volatility * p.reduction
		if f.anchor>>32 != 0 {
			return f, amm.ErrOverflow
		}
		f.anchor /= oneInBps
	}
	return f, nil
}

// rate is the fee in a bin, in parts of oneInRate, and whether the program needs more than 64 bits for it.
func (f *fees) rate(id int32) (rate uint64, great bool) {
	if f.control == 0 {
		return f.base, false
	}
	distance := int64(f.anchorID) - int64(id)
	if distance < 0 {
		distance = -distance
	}
	crossed := min(f.anchor+uint64(distance)*volatilityScale, f.maximum) * f.binStep // below 2^48
	hi, square := bits.Mul64(crossed, crossed)
	top, variable := bits.Mul64(square, f.control)
	_, low := bits.Mul64(hi, f.control) // below 2^64, as crossed is below 2^48 and control below 2^32
	top += low
	variable, carry := bits.Add64(variable, controlUnit-1, 0)
	top += carry
	if top >= controlUnit {
		return maxRate, true
	}
	great = top != 0
	variable, _ = bits.Div64(top, variable, controlUnit)
	return min(f.base+min(variable, maxRate), maxRate), great
}

// feeOf is the fee that amount includes.
func feeOf(amount, rate uint64) uint64 {
	hi, lo := bits.Mul64(amount, rate)
	lo, carry := bits.Add64(lo, oneInRate-1, 0)
	if hi+carry == 0 { // nearly always, and a division by a constant is a multiplication
		return lo / oneInRate
	}
	q, _ := bits.Div64(hi+carry, lo, oneInRate) // below amount
	return q
}

// withFee is amount and the fee on top of it, and whether their sum fits.
func withFee(amount, rate uint64) (sum, fee uint64, ok bool) {
	fee, ok = muldiv.Ceil(amount, rate, oneInRate-rate)
	sum, carry := bits.Add64(amount, fee, 0)
	return sum, fee, ok && carry == 0
}
