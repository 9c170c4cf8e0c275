package whirlpool

import "jupiter-dex-integration/src/amm/clmath"

const (
	minTick = -443636
	maxTick = 443636
)

// Prices of minTick and maxTick.
var (
	minPrice = clmath.Uint128{Hi: 0, Lo: 4295048016}
	maxPrice = clmath.Uint128{Hi: 4294886577, Lo: 3871828160200520623}
)

// rising[i] is 1.0001^(2^i / 2) in units of 2^-96 and falling[i] its inverse in units of 2^-64, both rounded down: the numbers of the program's
// math/tick_math.rs, which a test derives again.
var rising = [19]clmath.Uint128{
	{Hi: 0x1000346d6, Lo: 0xff11672ae55ad00f},
	{Hi: 0x100068db8, Lo: 0xbac710cb295e9e1b},
	{Hi: 0x1000d1b9c, Lo: 0x68abe5f76b30fb75},
	{Hi: 0x1001a37e4, Lo: 0xa234cb0830516e51},
	{Hi: 0x100347278, Lo: 0xab0e92ada25ab460},
	{Hi: 0x10068efb0, Lo: 0x0a525480a5d7fdc2},
	{Hi: 0x100d20a63, Lo: 0xb4173839df9daaa5},
	{Hi: 0x101a4c11c, Lo: 0x742dd7729738df5e},
	{Hi: 0x1034c35c3, Lo: 0x1f64cfa6dc0d6de4},
	{Hi: 0x106a34b78, Lo: 0xc8aaffbf81bed5a3},
	{Hi: 0x10d72a6a4, Lo: 0x6ccd8bce9ae771b1},
	{Hi: 0x11b9a258e, Lo: 0x63928596dc757faa},
	{Hi: 0x13a2e2bda, Lo: 0x04f8379f3cd17be5},
	{Hi: 0x181954be6, Lo: 0x9e0da8fe77f2ab42},
	{Hi: 0x244c2655d, Lo: 0x185a029080252877},
	{Hi: 0x525816eeb, Lo: 0x9f935b1c616779e8},
	{Hi: 0x1a7c8d00b5, Lo: 0x51684ff4d31ae065},
	{Hi: 0x2bd893d0b2d, Lo: 0xf7c97884590c66cd},
	{Hi: 0x78278e1e19e44, Lo: 0x8cf8b95d2152dccf},
}

var falling = [19]uint64{
	0xfffcb933bd6fad37,
	0xfff97272373d4132,
	0xfff2e50f5f656932,
	0xffe5caca7e10e4e6,
	0xffcb9843d60f6159,
	0xff973b41fa98c081,
	0xff2ea16466c96a38,
	0xfe5dee046a99a2a8,
	0xfcbe86c7900a88ae,
	0xf987a7253ac41317,
	0xf3392b0822b70005,
	0xe7159475a2c29b74,
	0xd097f3bdfd2022b8,
	0xa9f746462d870fdf,
	0x70d869a156d2a1b8,
	0x31be135f97d08fd9,
	0x9aa508b5b7a84e1,
	0x5d6af8dedb8119,
	0x2216e584f5fa,
}

// sqrtPrice is 1.0001^(tick/2) as the program computes it: a product of one factor for each bit of the tick, each step rounded down.
func sqrtPrice(tick int32) clmath.Uint128 {
	if tick < 0 {
		ratio := clmath.Uint128{Hi: 1}
		for i, left := 0, uint32(-tick); left != 0; i, left = i+1, left>>1 {
			if left&1 != 0 {
				ratio = ratio.MulShift64(clmath.Uint128{Lo: falling[i]})
			}
		}
		return ratio
	}
	ratio := clmath.Uint128{Hi: 1 << 32}
	for i, left := 0, uint32(tick); left != 0; i, left = i+1, left>>1 {
		if left&1 != 0 {
			ratio = ratio.MulShift96(rising[i])
		}
	}
	return clmath.Uint128{Hi: ratio.Hi >> 32, Lo: ratio.Hi<<32 | ratio.Lo>>32}
}

// floorDiv rounds down, also below zero. d must be positive.
func floorDiv[T int32 | int64](n, d T) T {
	q := n / d
	if n%d < 0 {
		q--
	}
	return q
}
