package raydiumclmm

import "jupiter-dex-integration/src/amm/clmath"

const (
	minTick = -443636
	maxTick = 443636
)

// Prices of minTick and maxTick.
var (
	minPrice = clmath.Uint128{Hi: 0, Lo: 4295048016}
	maxPrice = clmath.Uint128{Hi: 4294886577, Lo: 9537527425331189659}
)

// factors[i] is the program's 1.0001^(-2^i / 2) in units of 2^-64, from libraries/tick_math.rs. They were computed in double precision: the last bits are
// not those of the power, which is why Raydium's prices differ from Orca's.
var factors = [19]uint64{
	0xfffcb933bd6fb800,
	0xfff97272373d4000,
	0xfff2e50f5f657000,
	0xffe5caca7e10f000,
	0xffcb9843d60f7000,
	0xff973b41fa98e800,
	0xff2ea16466c9b000,
	0xfe5dee046a9a3800,
	0xfcbe86c7900bb000,
	0xf987a7253ac65800,
	0xf3392b0822bb6000,
	0xe7159475a2caf000,
	0xd097f3bdfd2f2000,
	0xa9f746462d9f8000,
	0x70d869a156f31c00,
	0x31be135f97ed3200,
	0x09aa508b5b85a500,
	0x005d6af8dedc582c,
	0x00002216e584f5fa,
}

// sqrtPrice is 1.0001^(tick/2) as the program computes it: a product of one factor for each bit of the tick, each step rounded down, and for ticks above
// zero 2^128-1 divided by that.
func sqrtPrice(tick int32) clmath.Uint128 {
	ratio := clmath.Uint128{Hi: 1}
	for i, left := 0, uint32(max(tick, -tick)); left != 0; i, left = i+1, left>>1 {
		if left&1 != 0 {
			ratio = ratio.MulShift64(clmath.Uint128{Lo: factors[i]})
		}
	}
	if tick > 0 {
		ratio, _ = clmath.Uint128{Hi: ^uint64(0), Lo: ^uint64(0)}.Quo(ratio)
	}
	return ratio
}

// floorDiv rounds down, also below zero. d must be positive.
func floorDiv(n, d int32) int32 {
	q := n / d
	if n%d < 0 {
		q--
	}
	return q
}
