package dammv2

import (
	"math/bits"

	"github.com/holiman/uint256"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/clmath"
	"jupiter-dex-integration/src/amm/muldiv"
)

// curve trades along constant liquidity between two prices. Prices are square roots in Q64.64, liquidity is scaled by 2^64.
type curve struct {
	price, min, max, liquidity clmath.Uint128
}

// exactIn is what an input buys, and the price after it.
func (c *curve) exactIn(aToB bool, in uint64) (out uint64, next clmath.Uint128, err error) {
	var ok bool
	if aToB {
		next, ok = c.afterA(in, true)
	} else {
		next, ok = c.afterB(in, true)
	}
	if !ok || c.leaves(aToB, next) {
		return 0, next, amm.ErrInsufficientLiquidity
	}
	if aToB {
		out, ok = c.amountB(next, c.price, false)
	} else {
		out, ok = c.amountA(c.price, next, false)
	}
	if !ok {
		return 0, next, amm.ErrOverflow
	}
	return out, next, nil
}

// exactOut is what an output costs, and the price after it.
func (c *curve) exactOut(aToB bool, out uint64) (in uint64, next clmath.Uint128, err error) {
	var ok bool
	if aToB {
		next, ok = c.afterB(out, false)
	} else {
		next, ok = c.afterA(out, false)
	}
	if !ok || c.leaves(aToB, next) {
		return 0, next, amm.ErrInsufficientLiquidity
	}
	if aToB {
		in, ok = c.amountA(next, c.price, true)
	} else {
		in, ok = c.amountB(c.price, next, true)
	}
	if !ok {
		return 0, next, amm.ErrOverflow
	}
	return in, next, nil
}

// leaves says whether a price is beyond the end of the range that a swap moves to.
func (c *curve) leaves(aToB bool, next clmath.Uint128) bool {
	if aToB {
		return next.Less(c.min)
	}
	return c.max.Less(next)
}

// afterA is the price when amount of A was added or taken: L*P / (L ± amount*P), rounded up, and whether there is such a price.
func (c *curve) afterA(amount uint64, add bool) (clmath.Uint128, bool) {
	price, liquidity := wide(c.price), wide(c.liquidity)
	n, d := uint256.Int{amount}, uint256.Int{}
	d.Mul(&n, &price)
	if add {
		d.Add(&liquidity, &d)
	} else if _, negative := d.SubOverflow(&liquidity, &d); negative {
		return clmath.Uint128{}, false
	}
	n.Mul(&liquidity, &price)
	return quo(&n, &d, true)
}

// afterB is the price when amount of B was added, P + amount*2^128/L rounded down, or taken, and whether there is such a price.
func (c *curve) afterB(amount uint64, add bool) (clmath.Uint128, bool) {
	n, d := uint256.Int{0, 0, amount}, wide(c.liquidity)
	delta, ok := quo(&n, &d, !add)
	if !ok {
		return delta, false
	}
	if add {
		return c.price.Add(delta)
	}
	return c.price.Sub(delta)
}

// amountA is L*(high-low) / (low*high), and whether it is one.
func (c *curve) amountA(low, high clmath.Uint128, up bool) (uint64, bool) {
	d, ok := high.Sub(low)
	if !ok {
		return 0, false
	}
	n, liquidity := wide(d), wide(c.liquidity)
	n.Mul(&n, &liquidity)
	l, h := wide(low), wide(high)
	l.Mul(&l, &h)
	q, ok := quo(&n, &l, up)
	return q.Lo, ok && q.Hi == 0
}

// amountB is L*(high-low) / 2^128, and whether it is one.
func (c *curve) amountB(low, high clmath.Uint128, up bool) (uint64, bool) {
	d, ok := high.Sub(low)
	if !ok {
		return 0, false
	}
	n, liquidity := wide(d), wide(c.liquidity)
	n.Mul(&n, &liquidity)
	amount := n[2]
	if up && n[0]|n[1] != 0 {
		amount++
		return amount, n[3] == 0 && amount != 0
	}
	return amount, n[3] == 0
}

// product trades along a constant product of reserves, as compounding pools do.
type product struct{ in, out uint64 }

func (p product) exactIn(in uint64) (uint64, error) {
	sum, carry := bits.Add64(p.in, in, 0)
	if carry != 0 {
		return 0, amm.ErrOverflow
	}
	out, ok := muldiv.Floor(p.out, in, sum)
	if !ok { // an empty pool
		return 0, amm.ErrInsufficientLiquidity
	}
	return out, nil
}

func (p product) exactOut(out uint64) (uint64, error) {
	if out >= p.out {
		return 0, amm.ErrInsufficientLiquidity
	}
	in, ok := muldiv.Ceil(p.in, out, p.out-out)
	if !ok {
		return 0, amm.ErrOverflow
	}
	return in, nil
}

// priceOf is the square-root price of reserves, rounded down at each step; a must not be 0.
func priceOf(a, b uint64) clmath.Uint128 {
	n, d := uint256.Int{0, 0, b}, uint256.Int{a}
	n.Div(&n, &d)
	n.Sqrt(&n)
	return clmath.Uint128{Hi: n[1], Lo: n[0]}
}

func wide(x clmath.Uint128) uint256.Int { return uint256.Int{x.Lo, x.Hi} }

// quo is n/d, and whether it exists and fits 128 bits.
func quo(n, d *uint256.Int, up bool) (clmath.Uint128, bool) {
	if d.IsZero() {
		return clmath.Uint128{}, false
	}
	var q, r uint256.Int
	q.DivMod(n, d, &r)
	if up && !r.IsZero() {
		q.AddUint64(&q, 1)
	}
	return clmath.Uint128{Hi: q[1], Lo: q[0]}, q[2]|q[3] == 0
}
