package saber

import (
	"github.com/holiman/uint256"

	"jupiter-dex-integration/src/amm"
)

const (
	// maxAmp is the program's limit. With it, nothing but a y beyond any reserve leaves the program's 192 bits.
	maxAmp = 1_000_000
	// rounds bounds both of the program's Newton iterations, which stop at a step of at most 1.
	rounds = 256
	// maxReserve keeps what the program doubles within 64 bits.
	maxReserve = 1<<63 - 1
)

// curve is the invariant D at an amplification, or why the program cannot compute it.
type curve struct {
	ann uint64      // twice the amplification
	d   uint256.Int // at most 2^64
	err error
}

// newCurve is that of reserves a and b, the input's first: the order matters to the rounding.
func newCurve(amp, a, b uint64) curve {
	c := curve{ann: 2 * amp, err: amm.ErrInsufficientLiquidity}
	if a == 0 || b == 0 || a > maxReserve || b > maxReserve {
		return c
	}
	var a2, b2, annLess, annSum uint256.Int
	a2.SetUint64(2 * a)
	b2.SetUint64(2 * b)
	annLess.SetUint64(c.ann - 1)
	c.d.SetUint64(a + b)
	annSum.Mul(annSum.SetUint64(c.ann), &c.d)
	for range rounds {
		var product, numerator, denominator, t uint256.Int
		previous := c.d
		product.Div(product.Mul(&c.d, &c.d), &a2)
		product.Div(product.Mul(&product, &c.d), &b2)
		numerator.Add(&annSum, t.Lsh(&product, 1))
		numerator.Mul(&numerator, &c.d)
		denominator.Mul(&c.d, &annLess)
		denominator.Add(&denominator, t.Add(&t, &product)) // 3 products
		if denominator.IsZero() {
			return c
		}
		if c.d.Div(&numerator, &denominator); near(&c.d, &previous) {
			c.err = nil
			return c
		}
	}
	// D alternates between two values, as it does where one reserve is thousands of times the other. The program takes the last of its
	// rounds, but they cost 1.2 to more than 1.4 million compute units, which is all that a transaction can have.
	c.err = amm.ErrComputeBudget
	return c
}

// destination is the output reserve that balances an input reserve of x. It is false where the program overflows, and beyond 64 bits.
func (c *curve) destination(x uint64) (uint64, bool) {
	if x == 0 || x > maxReserve {
		return 0, false
	}
	d := &c.d
	var k, b, t uint256.Int
	k.Div(k.Mul(d, d), t.SetUint64(2*x))
	k.Div(k.Mul(&k, d), t.SetUint64(2*c.ann))
	b.AddUint64(b.Div(d, t.SetUint64(c.ann)), x)

	y := *d
	for range rounds {
		var numerator, denominator uint256.Int
		previous := y
		if y.BitLen() > 128 {
			return 0, false
		}
		numerator.Mul(&y, &y)
		if numerator.Add(&numerator, &k).BitLen() > 192 {
			return 0, false
		}
		denominator.Add(denominator.Lsh(&y, 1), &b)
		if _, underflow := denominator.SubOverflow(&denominator, d); underflow || denominator.IsZero() {
			return 0, false
		}
		if y.Div(&numerator, &denominator); near(&y, &previous) {
			break
		}
	}
	return y.Uint64(), y.IsUint64()
}

// near says whether the two differ by at most 1.
func near(x, y *uint256.Int) bool {
	var difference uint256.Int
	if x.Lt(y) {
		difference.Sub(y, x)
	} else {
		difference.Sub(x, y)
	}
	return difference.IsUint64() && difference.Uint64() <= 1
}
