package dlmm

import (
	"math"
	"math/bits"

	"jupiter-dex-integration/src/amm/clmath"
)

// The program's bounds of bin ids, and how bins are grouped into accounts.
const (
	minBin    = -443636
	maxBin    = 443636
	arrayBins = 70
)

// binPrice is (1 + step/10000)^id in units of 2^-64, or false where it does not fit: square and multiply on the inverse of the base, rounded
// down at every product, as in commons/src/math/u64x64_math.rs.
func binPrice(id int32, step uint16) (clmath.Uint128, bool) {
	if id == 0 {
		return clmath.Uint128{Hi: 1}, true
	}
	if id < minBin || id > maxBin {
		return clmath.Uint128{}, false
	}
	most := clmath.Uint128{Hi: math.MaxUint64, Lo: math.MaxUint64}
	fraction, _ := bits.Div64(uint64(step), 0, oneInBps) // a step is below 10000
	inverse, _ := most.Quo(clmath.Uint128{Hi: 1, Lo: fraction})
	square, power := inverse.Lo, uint64(0)
	left := uint32(max(id, -id))
	for first := true; left != 0; left >>= 1 {
		if left&1 != 0 {
			if power, _ = bits.Mul64(power, square); first {
				power, first = square, false
			}
		}
		square, _ = bits.Mul64(square, square)
	}
	if power == 0 {
		return clmath.Uint128{}, false
	}
	if id < 0 {
		return clmath.Uint128{Lo: power}, true
	}
	price, _ := most.Quo(clmath.Uint128{Lo: power})
	return price, true
}

// times is amount * price, and whether it fits.
func times(amount uint64, price clmath.Uint128, up bool) (uint64, bool) {
	carry, rest := bits.Mul64(amount, price.Lo)
	over, product := bits.Mul64(amount, price.Hi)
	product, c := bits.Add64(product, carry, 0)
	if up && rest != 0 {
		var d uint64
		product, d = bits.Add64(product, 1, 0)
		c += d
	}
	return product, over+c == 0
}

// over is amount / price, and whether it fits. The price must not be zero.
func over(amount uint64, price clmath.Uint128, up bool) (uint64, bool) {
	q, inexact := clmath.Uint128{Hi: amount}.Quo(price)
	if up && inexact {
		var ok bool
		if q, ok = q.Add(clmath.Uint128{Lo: 1}); !ok {
			return 0, false
		}
	}
	return q.Lo, q.Hi == 0
}
