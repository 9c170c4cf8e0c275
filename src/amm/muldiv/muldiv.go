package muldiv

import "math/bits"

// Floor is a*b/d rounded down. It is false for a quotient beyond 64 bits and for d = 0.
func Floor(a, b, d uint64) (uint64, bool) {
	hi, lo := bits.Mul64(a, b)
	if hi >= d {
		return 0, false
	}
	q, _ := bits.Div64(hi, lo, d)
	return q, true
}

// Ceil is a*b/d rounded up. It is false for a quotient beyond 64 bits and for d = 0.
func Ceil(a, b, d uint64) (uint64, bool) {
	hi, lo := bits.Mul64(a, b)
	if hi >= d {
		return 0, false
	}
	q, r := bits.Div64(hi, lo, d)
	if r == 0 {
		return q, true
	}
	return q + 1, q+1 != 0
}
