package tokenswap

import "github.com/holiman/uint256"

// rounds bounds both of the program's Newton iterations.
const rounds = 32

// invariant is the D of the stable curve, or not ok where the program cannot compute it.
type invariant struct {
	d  uint256.Int // below 2^128
	ok bool
}

// newInvariant is the D of reserves a and b, the input's first: the order matters to the rounding. With 64-bit reserves D stays
// below 2^65 and nothing here reaches 256 bits.
func newInvariant(leverage, a, b uint64) invariant {
	var sum, a2, b2 uint256.Int
	sum.AddUint64(sum.SetUint64(a), b)
	if sum.IsZero() {
		return invariant{ok: true}
	}
	// One more than twice the reserve, so that an empty one divides.
	a2.AddUint64(a2.Lsh(a2.SetUint64(a), 1), 1)
	b2.AddUint64(b2.Lsh(b2.SetUint64(b), 1), 1)
	var ann, annLess, annSum uint256.Int
	ann.SetUint64(leverage)
	annLess.SetUint64(leverage - 1)
	annSum.Mul(&ann, &sum)

	d := sum
	for range rounds {
		var product, previous, numerator, denominator, t uint256.Int
		product.Div(product.Mul(&d, &d), &a2)
		product.Div(product.Mul(&product, &d), &b2)
		previous = d
		numerator.Add(&annSum, t.Lsh(&product, 1))
		numerator.Mul(&numerator, &d)
		denominator.Mul(&d, &annLess)
		denominator.Add(&denominator, t.Add(&t, &product)) // 3 products
		if denominator.IsZero() {
			return invariant{}
		}
		if d.Div(&numerator, &denominator); d.Eq(&previous) {
			break
		}
	}
	return invariant{d: d, ok: d.BitLen() <= 128}
}

// destination is the output reserve that balances an input reserve of x, rounded up at every step. It is false where the program
// fails, and beyond 64 bits, which is more than any reserve.
func (i *invariant) destination(leverage, x uint64) (uint64, bool) {
	if !i.ok || x == 0 {
		return 0, false
	}
	d := &i.d
	var ann, c, b, t uint256.Int
	ann.SetUint64(leverage)
	c.Mul(c.Mul(d, d), d) // below 2^195
	t.Mul(t.Lsh(t.SetUint64(x), 2), &ann)
	c.Div(&c, &t)
	b.AddUint64(b.Div(d, &ann), x)

	y := *d
	for range rounds {
		var numerator, denominator, next, rest uint256.Int
		if _, overflow := numerator.MulOverflow(&y, &y); overflow {
			return 0, false
		}
		if _, overflow := numerator.AddOverflow(&numerator, &c); overflow {
			return 0, false
		}
		denominator.Add(denominator.Lsh(&y, 1), &b)
		if _, underflow := denominator.SubOverflow(&denominator, d); underflow {
			return 0, false
		}
		// The program refuses a quotient below one, and so to drain a reserve.
		if next.DivMod(&numerator, &denominator, &rest); next.IsZero() {
			return 0, false
		}
		if !rest.IsZero() {
			next.AddUint64(&next, 1)
		}
		if next.Eq(&y) {
			break
		}
		y = next
	}
	return y.Uint64(), y.IsUint64()
}
