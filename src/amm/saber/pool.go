package saber

import (
	"math/bits"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/muldiv"
	"jupiter-dex-integration/src/amm/stableswap"
)

type pool struct {
	info      amm.Info
	paused    bool
	nonce     uint8
	adminFees [2]solana.PublicKey
	reserves  [2]uint64

	// The amplification moves in a straight line between two moments, in Unix seconds.
	initialAmp, targetAmp uint64
	rampStart, rampStop   int64
	// settled are the curves at targetAmp, for a swap of A and one of B, which round differently.
	settled [2]curve

	// tradeFee is taken from the output, and adminShare of it leaves the pool.
	tradeFee, adminShare fraction
}

// fraction is at most 1.
type fraction struct{ num, den uint64 }

func (f fraction) of(amount uint64) uint64 {
	part, _ := muldiv.Floor(amount, f.num, f.den) // at most amount
	return part
}

func (p *pool) Info() *amm.Info { return &p.info }

// sides are the indices of the input and of the output.
func sides(aToB bool) (in, out int) {
	if aToB {
		return 0, 1
	}
	return 1, 0
}

// SpotPrice is that at the amplification which a ramp ends at.
func (p *pool) SpotPrice(aToB bool) float64 {
	a, b := sides(aToB)
	if p.settled[a].err != nil {
		return 0
	}
	return stableswap.SpotPrice(float64(2*p.targetAmp), p.settled[a].d.Float64(), float64(p.reserves[a]), float64(p.reserves[b]))
}

// amp is the amplification at now, in Unix seconds. It is false while a ramp lies in the future, which the program cannot compute.
func (p *pool) amp(now int64) (uint64, bool) {
	if now >= p.rampStop {
		return p.targetAmp, true
	}
	elapsed, whole := now-p.rampStart, p.rampStop-p.rampStart
	if elapsed < 0 || whole < 0 { // or beyond 64 bits
		return 0, false
	}
	if p.targetAmp > p.initialAmp {
		moved, _ := muldiv.Floor(p.targetAmp-p.initialAmp, uint64(elapsed), uint64(whole)) // below the range
		return p.initialAmp + moved, true
	}
	moved, _ := muldiv.Floor(p.initialAmp-p.targetAmp, uint64(elapsed), uint64(whole))
	return p.initialAmp - moved, true
}

// curveAt is the curve for a swap of side a at now, in Unix seconds. While a ramp moves it, every quote computes it anew.
func (p *pool) curveAt(now int64, a int) (curve, error) {
	amp, ok := p.amp(now)
	if !ok {
		return curve{}, amm.ErrOverflow
	}
	c := p.settled[a]
	if amp != p.targetAmp {
		c = newCurve(amp, p.reserves[a], p.reserves[1-a])
	}
	return c, c.err
}

func (p *pool) Quote(clock amm.Clock, req amm.Request) (amm.Quote, error) {
	if p.paused {
		return amm.Quote{}, amm.ErrSwapDisabled
	}
	if req.Amount == 0 {
		return amm.Quote{}, amm.ErrZeroAmount
	}
	a, _ := sides(req.AToB)
	c, err := p.curveAt(clock.UnixTimestamp, a)
	if err != nil {
		return amm.Quote{}, err
	}
	in := req.Amount
	if req.ExactOut {
		if in, err = p.smallestInput(&c, a, req.Amount); err != nil {
			return amm.Quote{}, err
		}
	}
	out, fee, err := p.swap(&c, a, in)
	if err != nil {
		return amm.Quote{}, err
	}
	return amm.Quote{Request: req, In: in, Out: out, FeeOut: fee}, nil
}

// swap is what the program gives for an amount of side a.
func (p *pool) swap(c *curve, a int, amount uint64) (out, fee uint64, err error) {
	x, y := p.reserves[a], p.reserves[1-a]
	sum, carry := bits.Add64(x, amount, 0)
	if carry != 0 {
		return 0, 0, amm.ErrOverflow
	}
	left, ok := c.destination(sum)
	if !ok {
		return 0, 0, amm.ErrOverflow
	}
	if left >= y { // one unit more stays in the pool, against rounding
		return 0, 0, amm.ErrInsufficientLiquidity
	}
	gross := y - left - 1
	fee = p.tradeFee.of(gross)
	out = gross - fee
	return out, fee, nil
}

// smallestInput is the least amount of side a that buys want, which the program does not know.
func (p *pool) smallestInput(c *curve, a int, want uint64) (uint64, error) {
	x, y := p.reserves[a], p.reserves[1-a]
	if want >= y {
		return 0, amm.ErrInsufficientLiquidity
	}
	guess := uint64(0)
	if gross, ok := muldiv.Floor(want, p.tradeFee.den, p.tradeFee.den-p.tradeFee.num); ok && gross < y {
		if sum, ok := c.destination(y - gross); ok && sum > x {
			guess = sum - x
		}
	}
	in, ok := amm.SmallestInput(guess, maxReserve-x, func(in uint64) bool {
		out, _, err := p.swap(c, a, in)
		return err == nil && out >= want
	})
	if !ok {
		return 0, amm.ErrInsufficientLiquidity
	}
	return in, nil
}
