package tokenswap

import (
	"math"
	"math/bits"

	"github.com/gagliardetto/solana-go"
	"github.com/holiman/uint256"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/muldiv"
	"jupiter-dex-integration/src/amm/stableswap"
)

type pool struct {
	info               amm.Info
	bump               uint8
	lpMint, feeAccount solana.PublicKey

	// Both fees are taken from the whole input, each with its own rounding. The owner's is paid in pool tokens, and so it never leaves.
	tradeFee, ownerFee fee
	curve              uint8
	reserves           [2]uint64

	// leverage is twice the amplification of the stable curve, and invariants its D for a swap of A and one of B, which round differently.
	leverage   uint64
	invariants [2]invariant
}

// fee is a fraction below 1; without a numerator there is no fee, whatever the denominator.
type fee struct{ num, den uint64 }

// of is rounded down, but at least one unit.
func (f fee) of(amount uint64) uint64 {
	if f.num == 0 || amount == 0 {
		return 0
	}
	q, _ := muldiv.Floor(amount, f.num, f.den) // below the amount
	return max(q, 1)
}

func (p *pool) Info() *amm.Info { return &p.info }

// sides are the indices of the input and of the output.
func sides(aToB bool) (in, out int) {
	if aToB {
		return 0, 1
	}
	return 1, 0
}

func (p *pool) SpotPrice(aToB bool) float64 {
	a, b := sides(aToB)
	x, y := float64(p.reserves[a]), float64(p.reserves[b])
	switch {
	case p.curve == curveStable && p.invariants[a].ok:
		return stableswap.SpotPrice(float64(p.leverage), p.invariants[a].d.Float64(), x, y)
	case p.curve == curveStable || x == 0:
		return 0
	default:
		return y / x
	}
}

func (p *pool) Quote(_ amm.Clock, req amm.Request) (amm.Quote, error) {
	if req.Amount == 0 {
		return amm.Quote{}, amm.ErrZeroAmount
	}
	amount := req.Amount
	if req.ExactOut {
		var err error
		if amount, err = p.smallestInput(req); err != nil {
			return amm.Quote{}, err
		}
	}
	in, out, fees, err := p.swap(req.AToB, amount)
	if err != nil {
		return amm.Quote{}, err
	}
	return amm.Quote{Request: req, In: in, Out: out, FeeIn: fees}, nil
}

// swap is what the program does with an input of amount.
func (p *pool) swap(aToB bool, amount uint64) (in, out, fees uint64, err error) {
	fees, carry := bits.Add64(p.tradeFee.of(amount), p.ownerFee.of(amount), 0)
	if carry != 0 || fees > amount {
		return 0, 0, 0, amm.ErrZeroAmount
	}
	a, b := sides(aToB)
	taken := amount - fees
	switch {
	case p.curve == curveProduct:
		taken, out, err = product(p.reserves[a], p.reserves[b], taken)
	case taken > 0: // the stable curve gives nothing for nothing, and accepts that
		out, err = p.stable(a, taken)
	}
	if err != nil {
		return 0, 0, 0, err
	}
	if _, carry := bits.Add64(p.reserves[a], taken+fees, 0); carry != 0 {
		return 0, 0, 0, amm.ErrOverflow
	}
	return taken + fees, out, fees, nil
}

// product swaps on the constant product: the output reserve is rounded up, and then of the input no more taken than that needs.
func product(x, y, amount uint64) (taken, out uint64, err error) {
	khi, klo := bits.Mul64(x, y)
	sum, carry := bits.Add64(x, amount, 0)
	var q, r uint64
	switch {
	case sum == 0 && carry == 0:
		return 0, 0, amm.ErrZeroAmount
	case carry == 0:
		q, r = bits.Div64(khi, klo, sum) // khi < x <= sum
	default:
		// A divisor of 65 bits; of the remainder only matters whether there is one.
		k, d := &uint256.Int{klo, khi}, &uint256.Int{sum, 1}
		var quotient, remainder uint256.Int
		quotient.DivMod(k, d, &remainder)
		q = quotient.Uint64()
		if !remainder.IsZero() {
			r = 1
		}
	}
	if q == 0 {
		return 0, 0, amm.ErrInsufficientLiquidity
	}
	if r == 0 {
		if carry != 0 {
			return 0, 0, amm.ErrOverflow
		}
		if q == y {
			return 0, 0, amm.ErrZeroOutput
		}
		return amount, y - q, nil
	}
	q++
	newX, ok := ceil128(khi, klo, q)
	if !ok {
		return 0, 0, amm.ErrOverflow
	}
	if q >= y {
		return 0, 0, amm.ErrZeroOutput
	}
	return newX - x, y - q, nil
}

// ceil128 divides a product of 128 bits, rounding up. It is false for a quotient beyond 64 bits and for d = 0.
func ceil128(hi, lo, d uint64) (uint64, bool) {
	if hi >= d {
		return 0, false
	}
	q, r := bits.Div64(hi, lo, d)
	if r == 0 {
		return q, true
	}
	return q + 1, q+1 != 0
}

// stable swaps amount of side a on the stable curve.
func (p *pool) stable(a int, amount uint64) (uint64, error) {
	sum, carry := bits.Add64(p.reserves[a], amount, 0)
	if carry != 0 {
		return 0, amm.ErrOverflow
	}
	y, ok := p.invariants[a].destination(p.leverage, sum)
	if !ok {
		return 0, amm.ErrInsufficientLiquidity
	}
	if y > p.reserves[1-a] {
		return 0, amm.ErrInsufficientLiquidity
	}
	return p.reserves[1-a] - y, nil
}

// smallestInput is the least amount that buys an exact-out request, which the program does not know.
func (p *pool) smallestInput(req amm.Request) (uint64, error) {
	a, b := sides(req.AToB)
	x, y := p.reserves[a], p.reserves[b]
	if req.Amount >= y {
		return 0, amm.ErrInsufficientLiquidity
	}
	left := y - req.Amount
	if p.curve == curveProduct {
		khi, klo := bits.Mul64(x, y)
		newX, ok := ceil128(khi, klo, left)
		if !ok {
			return 0, amm.ErrOverflow
		}
		return p.beforeFees(newX - x)
	}
	guess := uint64(0)
	if newX, ok := p.invariants[b].destination(p.leverage, left); ok && newX > x {
		guess = newX - x
	}
	net, ok := amm.SmallestInput(guess, math.MaxUint64-x, func(in uint64) bool {
		out, err := p.stable(a, in)
		return err != nil || out >= req.Amount // what fails is too much, and fails again when it is quoted
	})
	if !ok {
		return 0, amm.ErrInsufficientLiquidity
	}
	return p.beforeFees(net)
}

// beforeFees is the smallest amount of which net or more is left after both fees. What is left grows by at most one unit with every
// unit of the amount, so the amount is short by no less than what is left is.
func (p *pool) beforeFees(net uint64) (uint64, error) {
	const rounds = 2000 // a fee of 98% still has its answer within them
	if net == 0 {
		return 0, amm.ErrInsufficientLiquidity // an empty reserve: nothing is ever enough
	}
	amount := net
	for range rounds {
		left := amount - p.tradeFee.of(amount) - p.ownerFee.of(amount)
		if left > amount { // the fees exceed it
			left = 0
		}
		if left >= net {
			return amount, nil
		}
		var carry uint64
		if amount, carry = bits.Add64(amount, net-left, 0); carry != 0 {
			return 0, amm.ErrOverflow
		}
	}
	return 0, amm.ErrExactOutUnsupported
}
