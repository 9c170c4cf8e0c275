package clmath

import (
	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/muldiv"
)

// RateUnit is what fee rates are parts of: a rate of 3000 is 0.3%.
const RateUnit = 1_000_000

// Direction says what a swap does at every step.
type Direction struct {
	AToB, ExactOut bool
	// FeeOnOutput takes the fee from what leaves the pool, else from what enters it.
	FeeOnOutput bool
}

// FixedA says that the amount asked for is one of A.
func (d Direction) FixedA() bool { return d.AToB != d.ExactOut }

// Step is the outcome of one step.
type Step struct {
	Price Uint128
	// In is what the liquidity takes, without a fee on the input. Out is what the swapper gets, a fee on the output already off.
	In, Out, Fee uint64
	// Filled says that the amount sufficed to reach the target.
	Filled bool
}

// Step moves the price from price towards target with constant liquidity, as far as rest goes: what remains of the amount asked for, fee included
// where that is an input. rate is the fee in parts of RateUnit, less than RateUnit.
//
// The rule of both programs: the amount to the target is rounded up for an input and down for an output; if it is beyond 64 bits the target
// counts as out of reach. A step that stops short takes all that is left as input, the fee being what the amounts leave of it.
func (d Direction) Step(price, target, liquidity Uint128, rest uint64, rate uint32) (Step, error) {
	moved, ok := rest, true
	if d.ExactOut == d.FeeOnOutput {
		if d.ExactOut {
			moved, ok = GrossOf(rest, rate)
		} else {
			moved, ok = muldiv.Floor(rest, uint64(RateUnit-rate), RateUnit)
		}
		if !ok {
			return Step{}, amm.ErrOverflow
		}
	}

	fixedA := d.FixedA()
	s := Step{Price: target}
	x := between(liquidity, price, target)
	fixed, ok := x.amount(fixedA, price, target, !d.ExactOut)
	s.Filled = ok && fixed <= moved
	if !s.Filled {
		if fixedA {
			s.Price, ok = priceFromA(price, liquidity, moved, !d.ExactOut)
		} else {
			s.Price, ok = priceFromB(price, liquidity, moved, !d.ExactOut)
		}
		if !ok || d.AToB && s.Price.Less(target) || !d.AToB && target.Less(s.Price) {
			return Step{}, amm.ErrOverflow
		}
		x = between(liquidity, price, s.Price)
		if fixed, ok = x.amount(fixedA, price, s.Price, !d.ExactOut); !ok {
			return Step{}, amm.ErrOverflow
		}
	}
	other, ok := x.amount(!fixedA, price, s.Price, d.ExactOut)
	if !ok {
		return Step{}, amm.ErrOverflow
	}
	if d.ExactOut {
		s.In, s.Out = other, fixed
	} else {
		s.In, s.Out = fixed, other
	}
	return s, s.charge(d, s.Price == target, rest, rate)
}

func (s *Step) charge(d Direction, atTarget bool, rest uint64, rate uint32) error {
	if d.FeeOnOutput {
		s.Fee = FeeOf(s.Out, rate)
		s.Out -= s.Fee
		switch {
		case d.ExactOut && s.Out > rest:
			s.Fee += s.Out - rest
			s.Out = rest
		case !d.ExactOut && !atTarget:
			s.In = rest
		}
		return nil
	}
	if d.ExactOut {
		s.Out = min(s.Out, rest)
	} else if !atTarget {
		if s.In > rest {
			return amm.ErrOverflow
		}
		s.Fee = rest - s.In
		return nil
	}
	var ok bool
	if s.Fee, ok = FeeOnTop(s.In, rate); !ok {
		return amm.ErrOverflow
	}
	return nil
}

// amount is that of A or of B between the prices p and q.
func (x words) amount(a bool, p, q Uint128, up bool) (uint64, bool) {
	if a {
		return x.amountA(p, q, up)
	}
	return x.amountB(up)
}

// FeeOf is the fee that amount includes, rounded up.
func FeeOf(amount uint64, rate uint32) uint64 {
	fee, _ := muldiv.Ceil(amount, uint64(rate), RateUnit) // at most amount
	return fee
}

// FeeOnTop is the fee on an amount that does not include it, rounded up, and whether it fits.
func FeeOnTop(amount uint64, rate uint32) (uint64, bool) {
	return muldiv.Ceil(amount, uint64(rate), uint64(RateUnit-rate))
}

// GrossOf is the least amount of which amount is left when the fee is off, and whether it fits.
func GrossOf(amount uint64, rate uint32) (uint64, bool) {
	return muldiv.Ceil(amount, RateUnit, uint64(RateUnit-rate))
}
