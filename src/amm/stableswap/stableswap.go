package stableswap

// SpotPrice is the marginal output per input, in base units, of a pool with reserves x and y, the input's first. ann is the
// amplification as the programs use it, A*n, and d their invariant, which satisfies ann*(x+y) + d = ann*d + d^3/(4xy) (Egorov,
// "StableSwap", 2019). It is 0 where a reserve is empty.
func SpotPrice(ann, d, x, y float64) float64 {
	if x == 0 || y == 0 {
		return 0
	}
	curve := d / x * d / y * d / 4
	return (ann + curve/x) / (ann + curve/y)
}
