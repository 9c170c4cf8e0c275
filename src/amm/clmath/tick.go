package clmath

import (
	"cmp"
	"slices"
)

// Tick is an initialised tick.
type Tick struct {
	Index int32
	// Price is the square-root price at Index by the program's own table.
	Price Uint128
	// Net is the liquidity that a rising price gains here, in two's complement.
	Net Uint128
}

// Cross is the liquidity on the other side of the tick, with a falling price if leftwards. It reports whether the liquidity stays in range.
func (t *Tick) Cross(liquidity Uint128, leftwards bool) (Uint128, bool) {
	change := t.Net
	shrinks := change.Hi>>63 != 0
	if shrinks {
		change, _ = Uint128{}.Sub(change)
	}
	if shrinks != leftwards {
		return liquidity.Sub(change)
	}
	return liquidity.Add(change)
}

// After is the position in ticks, which are sorted, of the first above index.
func After(ticks []Tick, index int32) int {
	at, found := slices.BinarySearchFunc(ticks, index, func(t Tick, index int32) int { return cmp.Compare(t.Index, index) })
	if found {
		at++
	}
	return at
}

// Spot is the marginal output per input without fees at price, or where the liquidity in the direction begins, and 0 if there is none. next is what
// After gives for the current tick.
func Spot(price, liquidity Uint128, ticks []Tick, next int, aToB bool) float64 {
	for liquidity.IsZero() {
		if aToB {
			next--
		}
		if next < 0 || next >= len(ticks) {
			return 0
		}
		ok := false
		if liquidity, ok = ticks[next].Cross(liquidity, aToB); !ok {
			return 0
		}
		price = ticks[next].Price
		if !aToB {
			next++
		}
	}
	root := price.Float() / (1 << 64)
	if aToB {
		return root * root
	}
	return 1 / (root * root)
}
