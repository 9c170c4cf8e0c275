package clmath

import (
	"math/bits"

	"github.com/holiman/uint256"
)

// between is liquidity * |p - q|, from which both amounts between two prices follow.
func between(liquidity, p, q Uint128) words {
	d, ok := p.Sub(q)
	if !ok {
		d, _ = q.Sub(p)
	}
	return liquidity.mul(d)
}

// amountA is x * 2^64 / (p * q), where x is what lies between the prices p and q, rounded up if asked. It reports whether that fits 64 bits.
// Prices are below 2^96, so that their product has three words.
func (x words) amountA(p, q Uint128, up bool) (uint64, bool) {
	product := p.mul(q)
	n, d := uint192{x.w0, x.w1, x.w2}, uint192{product.w0, product.w1, product.w2}
	if x.w3 != 0 || !n.less(d) {
		return 0, false
	}
	amount, inexact := div64(n, d)
	if up && inexact {
		amount++
		return amount, amount != 0
	}
	return amount, true
}

// amountB is x / 2^64, rounded up if asked, and whether that fits 64 bits.
func (x words) amountB(up bool) (uint64, bool) {
	amount := x.w1
	if up && x.w0 != 0 {
		amount++
		return amount, x.w2|x.w3 == 0 && amount != 0
	}
	return amount, x.w2|x.w3 == 0
}

// priceFromA is the price after amount of A was added to the liquidity, or taken from it: P*L / (L ± amount*P), rounded up.
// It reports whether there is such a price.
func priceFromA(price, liquidity Uint128, amount uint64, add bool) (Uint128, bool) {
	if amount == 0 {
		return price, true
	}
	n := liquidity.mul(price)
	h0, l0 := bits.Mul64(price.Lo, amount)
	h1, l1 := bits.Mul64(price.Hi, amount)
	l1, c := bits.Add64(l1, h0, 0)
	h1 += c
	d := uint192{l0, 0, 0}
	if add {
		d.w1, c = bits.Add64(liquidity.Lo, l1, 0)
		d.w2, c = bits.Add64(liquidity.Hi, h1, c)
	} else {
		d.w0, c = bits.Sub64(0, l0, 0)
		d.w1, c = bits.Sub64(liquidity.Lo, l1, c)
		d.w2, c = bits.Sub64(liquidity.Hi, h1, c)
		if c != 0 {
			return Uint128{}, false
		}
	}
	var q Uint128
	var inexact, ok bool
	if c == 0 && n.w3 == 0 {
		q, inexact, ok = div128(uint192{n.w0, n.w1, n.w2}, d)
	} else {
		q, inexact, ok = wideDiv(n, d, c)
	}
	if ok && inexact {
		return q.Add(Uint128{0, 1})
	}
	return q, ok
}

// wideDiv is div128 where the dividend or the divisor has a fourth word, which takes liquidity near 2^96 or above.
func wideDiv(n words, d uint192, carry uint64) (q Uint128, inexact, ok bool) {
	divisor := uint256.Int{d.w0, d.w1, d.w2, carry}
	dividend, two64 := uint256.Int{n.w0, n.w1, n.w2, n.w3}, uint256.Int{0, 1}
	var quotient, rest uint256.Int
	if _, overflow := quotient.MulDivOverflow(&dividend, &two64, &divisor); overflow || divisor.IsZero() || quotient[2]|quotient[3] != 0 {
		return q, false, false
	}
	rest.MulMod(&dividend, &two64, &divisor)
	return Uint128{quotient[1], quotient[0]}, !rest.IsZero(), true
}

// priceFromB is the price after amount of B was added to the liquidity, rounded down, or taken from it: P ± amount/L.
func priceFromB(price, liquidity Uint128, amount uint64, add bool) (Uint128, bool) {
	if liquidity.IsZero() {
		return Uint128{}, false
	}
	delta, inexact := Uint128{amount, 0}.Quo(liquidity)
	if add {
		return price.Add(delta)
	}
	if inexact {
		delta, _ = delta.Add(Uint128{0, 1})
	}
	return price.Sub(delta)
}

// TimesPrice is amount * price / 2^64: what an amount is worth at a price that is no square root, rounded up if asked, and whether that fits.
func TimesPrice(amount uint64, price Uint128, up bool) (uint64, bool) {
	return price.mul(Uint128{0, amount}).amountB(up)
}

// OverPrice is amount * 2^64 / price, rounded up if asked, and whether that fits. price must not be 0.
func OverPrice(amount uint64, price Uint128, up bool) (uint64, bool) {
	q, inexact := Uint128{amount, 0}.Quo(price)
	if up && inexact {
		q, _ = q.Add(Uint128{0, 1})
	}
	return q.Lo, q.Hi == 0
}
