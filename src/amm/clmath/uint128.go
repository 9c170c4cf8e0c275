package clmath

import "math/bits"

// Uint128 is an unsigned integer: a Q64.64 square-root price, or liquidity.
type Uint128 struct{ Hi, Lo uint64 }

func (x Uint128) Less(y Uint128) bool {
	_, borrow := bits.Sub64(x.Lo, y.Lo, 0)
	_, borrow = bits.Sub64(x.Hi, y.Hi, borrow)
	return borrow != 0
}

func (x Uint128) IsZero() bool { return x.Hi|x.Lo == 0 }

// Add reports whether the sum fits.
func (x Uint128) Add(y Uint128) (Uint128, bool) {
	lo, carry := bits.Add64(x.Lo, y.Lo, 0)
	hi, carry := bits.Add64(x.Hi, y.Hi, carry)
	return Uint128{hi, lo}, carry == 0
}

// Sub reports whether the difference is not negative.
func (x Uint128) Sub(y Uint128) (Uint128, bool) {
	lo, borrow := bits.Sub64(x.Lo, y.Lo, 0)
	hi, borrow := bits.Sub64(x.Hi, y.Hi, borrow)
	return Uint128{hi, lo}, borrow == 0
}

// Float is the nearest float64 or one beside it, for display.
func (x Uint128) Float() float64 { return float64(x.Hi)*(1<<64) + float64(x.Lo) }

// MulShift64 is floor(x * y / 2^64), which must fit 128 bits: x below 2^128 and y below 2^64, or both below 2^96.
func (x Uint128) MulShift64(y Uint128) Uint128 {
	p := x.mul(y)
	return Uint128{p.w2, p.w1}
}

// MulShift96 is floor(x * y / 2^96), which must fit 128 bits.
func (x Uint128) MulShift96(y Uint128) Uint128 {
	p := x.mul(y)
	return Uint128{p.w3<<32 | p.w2>>32, p.w2<<32 | p.w1>>32}
}

// ProductFits192 says whether x * y is less than 2^192.
func (x Uint128) ProductFits192(y Uint128) bool { return x.mul(y).w3 == 0 }

// words has its words as fields, which the compiler keeps in registers, as it does not with arrays.
type words struct{ w0, w1, w2, w3 uint64 }

func (x Uint128) mul(y Uint128) words {
	var p words
	var carry uint64
	h00, l00 := bits.Mul64(x.Lo, y.Lo)
	h01, l01 := bits.Mul64(x.Lo, y.Hi)
	h10, l10 := bits.Mul64(x.Hi, y.Lo)
	h11, l11 := bits.Mul64(x.Hi, y.Hi)
	p.w0 = l00
	p.w1, carry = bits.Add64(h00, l01, 0)
	p.w2, carry = bits.Add64(h01, l11, carry)
	p.w3 = h11 + carry
	p.w1, carry = bits.Add64(p.w1, l10, 0)
	p.w2, carry = bits.Add64(p.w2, h10, carry)
	p.w3 += carry
	return p
}

// uint192 is a divisor, or what is left of a dividend.
type uint192 struct{ w0, w1, w2 uint64 }

func (x uint192) less(y uint192) bool {
	_, b := bits.Sub64(x.w0, y.w0, 0)
	_, b = bits.Sub64(x.w1, y.w1, b)
	_, b = bits.Sub64(x.w2, y.w2, b)
	return b != 0
}

// shl is x * 2^n plus the highest n bits of next, for n below 64 and without what that pushes out.
func (x uint192) shl(n uint, next uint64) uint192 {
	n &= 63 // which it is, but so the compiler knows, too
	m := 63 - n
	return uint192{x.w0<<n | next>>1>>m, x.w1<<n | x.w0>>1>>m, x.w2<<n | x.w1>>1>>m}
}

// divStep is the step of a long division: the quotient and the remainder of n * 2^64 + next by d, where n is less than d and d has
// its highest bit set (Knuth, The Art of Computer Programming 4.3.1, algorithm D).
func divStep(n uint192, next uint64, d uint192) (q uint64, r uint192) {
	q = ^uint64(0)
	if n.w2 < d.w2 {
		q, _ = bits.Div64(n.w2, n.w1, d.w2)
	}
	h0, l0 := bits.Mul64(q, d.w0)
	h1, l1 := bits.Mul64(q, d.w1)
	h2, l2 := bits.Mul64(q, d.w2)
	l1, c := bits.Add64(l1, h0, 0)
	l2, c = bits.Add64(l2, h1, c)
	h2 += c
	var b uint64
	r.w0, b = bits.Sub64(next, l0, 0)
	r.w1, b = bits.Sub64(n.w0, l1, b)
	r.w2, b = bits.Sub64(n.w1, l2, b)
	top := n.w2 - h2 - b
	for top != 0 { // the guess from the highest words is at most two too high
		q--
		r.w0, c = bits.Add64(r.w0, d.w0, 0)
		r.w1, c = bits.Add64(r.w1, d.w1, c)
		r.w2, c = bits.Add64(r.w2, d.w2, c)
		top += c
	}
	return q, r
}

// div64 is floor(n * 2^64 / d) for n less than d, and whether that leaves a remainder.
func div64(n, d uint192) (q uint64, inexact bool) {
	for d.w2 == 0 { // then n has no such word either
		n, d = uint192{0, n.w0, n.w1}, uint192{0, d.w0, d.w1}
	}
	s := uint(bits.LeadingZeros64(d.w2))
	q, r := divStep(n.shl(s, 0), 0, d.shl(s, 0))
	return q, r.w0|r.w1|r.w2 != 0
}

// div128 is floor(n * 2^64 / d), whether that leaves a remainder, and whether it fits 128 bits.
func div128(n, d uint192) (q Uint128, inexact, ok bool) {
	// Moving d's first word up to the highest leaves two words of the dividend below the remainder that the first step takes.
	r, next := uint192{n.w1, n.w2, 0}, n.w0
	for d.w2 == 0 {
		if r.w2 != 0 || d == (uint192{}) {
			return q, false, false
		}
		d = uint192{0, d.w0, d.w1}
		r, next = uint192{next, r.w0, r.w1}, 0
	}
	if !r.less(d) {
		return q, false, false
	}
	s := uint(bits.LeadingZeros64(d.w2))
	d = d.shl(s, 0)
	q.Hi, r = divStep(r.shl(s, next), next<<s, d)
	q.Lo, r = divStep(r, 0, d)
	return q, r.w0|r.w1|r.w2 != 0, true
}

// Quo is floor(x / y) and whether that leaves a remainder; y must not be 0.
func (x Uint128) Quo(y Uint128) (q Uint128, inexact bool) {
	if y.Hi == 0 {
		q.Hi = x.Hi / y.Lo
		var r uint64
		q.Lo, r = bits.Div64(x.Hi%y.Lo, x.Lo, y.Lo)
		return q, r != 0
	}
	// The highest words give a guess that is at most one too high after halving (Hacker's Delight, 9-5).
	s := uint(bits.LeadingZeros64(y.Hi))
	top := y.Hi<<s | y.Lo>>(64-s)
	guess, _ := bits.Div64(x.Hi>>1, x.Hi<<63|x.Lo>>1, top)
	guess >>= 63 - s
	if guess != 0 {
		guess--
	}
	hi, lo := bits.Mul64(guess, y.Lo)
	r, _ := x.Sub(Uint128{hi + guess*y.Hi, lo})
	if rest, ok := r.Sub(y); ok {
		r = rest
		guess++
	}
	return Uint128{0, guess}, !r.IsZero()
}
