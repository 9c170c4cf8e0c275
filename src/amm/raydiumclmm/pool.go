package raydiumclmm

import (
	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/clmath"
	"jupiter-dex-integration/src/amm/token"
)

// maxSteps is more than a transaction's 1.4 million compute units pay for, at 4,000 and more for a step.
const maxSteps = 350

// Which token pays the fee.
const (
	feeOnInput = iota
	feeOnToken0
	feeOnToken1
)

type pool struct {
	info                           amm.Info
	mints                          [2]token.Mint
	config, observation, extension solana.PublicKey

	noSwap           bool
	openTime         uint64 // Unix seconds
	feeOn            uint8
	feeRate          uint32 // in millionths
	tickSpacing      int32
	liquidity, price clmath.Uint128
	tick             int32
	// dynamic is nil for a pool with a constant fee.
	dynamic *volatility

	// ticks are those of the tick arrays on both paths, sorted; next is the first above the present tick.
	ticks []clmath.Tick
	next  int
	// orders are the limit orders at each of ticks, in units of the token that they sell; nil where there are none at all.
	orders []uint64
	// falling and rising are where a swap of token 0 for token 1 and the other way may go.
	falling, rising path
}

// path is the tick arrays with initialised ticks in a direction, the present one included, as far as they are known.
type path struct {
	arrays []array
	// end is what stops a swap beyond the last one.
	end error
}

type array struct {
	start int32
	key   solana.PublicKey
	// extended says that the program looks the array up in the bitmap extension.
	extended bool
}

func (p *pool) Info() *amm.Info { return &p.info }

// TransferFees are what transfers of the two mints withhold at clock.
func (p *pool) TransferFees(clock amm.Clock) [2]token.TransferFee {
	return [2]token.TransferFee{p.mints[0].TransferFee(clock.Epoch), p.mints[1].TransferFee(clock.Epoch)}
}

func (p *pool) SpotPrice(aToB bool) float64 {
	return clmath.Spot(p.price, p.liquidity, p.ticks, p.next, aToB)
}

func (p *pool) path(aToB bool) *path {
	if aToB {
		return &p.falling
	}
	return &p.rising
}

func (p *pool) Quote(clock amm.Clock, req amm.Request) (amm.Quote, error) {
	if p.noSwap {
		return amm.Quote{}, amm.ErrSwapDisabled
	}
	if uint64(clock.UnixTimestamp) <= p.openTime {
		return amm.Quote{}, amm.ErrNotOpen
	}
	in, out := &p.mints[0], &p.mints[1]
	if !req.AToB {
		in, out = out, in
	}
	feeIn, feeOut := in.TransferFee(clock.Epoch), out.TransferFee(clock.Epoch)
	s := swap{
		Direction: clmath.Direction{
			AToB: req.AToB, ExactOut: req.ExactOut, FeeOnOutput: p.feeOn == feeOnToken0 && !req.AToB || p.feeOn == feeOnToken1 && req.AToB,
		},
		price: p.price, liquidity: p.liquidity,
	}
	s.rest = feeIn.Net(req.Amount)
	if req.ExactOut {
		var err error
		if s.rest, err = feeOut.Gross(req.Amount); err != nil {
			return amm.Quote{}, err
		}
	}
	if s.rest == 0 {
		return amm.Quote{}, amm.ErrZeroAmount
	}
	if err := s.run(p, uint64(uint32(clock.UnixTimestamp))); err != nil { // the program cuts the time to 32 bits
		return amm.Quote{}, err
	}

	quote := amm.Quote{Request: req, In: req.Amount, Out: req.Amount, Steps: s.crossed, Arrays: p.arraysTo(req.AToB, s.tick)}
	if s.FeeOnOutput {
		quote.FeeOut = s.fee
	} else {
		quote.FeeIn = s.fee
	}
	if !req.ExactOut {
		if s.other == 0 {
			return amm.Quote{}, amm.ErrZeroOutput
		}
		quote.Out = feeOut.Net(s.other)
		return quote, nil
	}
	if s.other == 0 {
		return amm.Quote{}, amm.ErrZeroAmount
	}
	var err error
	if quote.In, err = feeIn.Gross(s.other); err != nil {
		return amm.Quote{}, err
	}
	return quote, nil
}

// arraysTo counts the arrays of a path up to the one with tick.
func (p *pool) arraysTo(aToB bool, tick int32) uint8 {
	span := arrayTicks * p.tickSpacing
	arrays := p.path(aToB).arrays
	for i := range arrays {
		if start := arrays[i].start; start <= tick && tick < start+span {
			return uint8(i + 1)
		}
	}
	return uint8(len(arrays))
}

// swap is one swap under way. rest is what is left of the amount asked for and other the other side's amount so far, fees included on the
// input and not on the output.
type swap struct {
	clmath.Direction
	price, liquidity clmath.Uint128
	rest, other, fee uint64
	// tick is the initialised tick that the price is at or on its way to.
	tick    int32
	crossed uint16
}

// run swaps all of rest, or fails: the program takes no part of an amount.
func (s *swap) run(p *pool, now uint64) error {
	// A price at the end of the range is never reached.
	next, move, limit := p.next, 1, clmath.Uint128{Hi: maxPrice.Hi, Lo: maxPrice.Lo - 1}
	if s.AToB {
		next, move, limit = p.next-1, -1, clmath.Uint128{Lo: minPrice.Lo + 1}
	}
	if s.AToB && !limit.Less(s.price) || !s.AToB && !s.price.Less(limit) {
		return amm.ErrInsufficientLiquidity
	}
	var f fees
	if p.dynamic != nil {
		f = p.dynamic.begin(p.feeRate, p.tickSpacing, p.tick, s.AToB, now)
	}
	for steps := 0; s.rest > 0; next += move {
		if next < 0 || next >= len(p.ticks) {
			return p.path(s.AToB).end
		}
		t := &p.ticks[next]
		s.tick = t.Index
		target := t.Price
		if s.AToB && target.Less(limit) || !s.AToB && limit.Less(target) {
			target = limit
		}
		rate := p.feeRate
		for {
			if steps++; steps > maxSteps {
				return amm.ErrComputeBudget
			}
			bound, leaps := target, true
			if p.dynamic != nil {
				var highest bool
				rate, highest = f.rate()
				leaps = highest || s.liquidity.IsZero()
				if edge := f.edge(); !leaps && (s.AToB && t.Index < edge || !s.AToB && t.Index > edge) {
					bound = sqrtPrice(edge)
				}
			}
			if s.price != bound {
				if err := s.step(bound, rate); err != nil {
					return err
				}
			}
			if p.dynamic != nil {
				if leaps && s.price == t.Price {
					f.leap(t.Index)
				}
				f.group += f.move
			}
			if s.rest == 0 || s.price == target {
				break
			}
		}
		if s.price != t.Price {
			break // the amount is used up, or the price at its limit
		}
		orders := uint64(0)
		if p.orders != nil {
			orders = p.orders[next]
		}
		if orders > 0 && s.rest > 0 {
			var err error
			if orders, err = s.match(orders, rate); err != nil {
				return err
			}
		}
		if orders == 0 { // what is left of orders keeps the price here
			var ok bool
			if s.liquidity, ok = t.Cross(s.liquidity, s.AToB); !ok {
				return amm.ErrOverflow
			}
			s.crossed++
		}
	}
	if s.rest > 0 {
		return amm.ErrInsufficientLiquidity
	}
	return nil
}

// step swaps as far as target, a tick's price or the edge of a fee's group.
func (s *swap) step(target clmath.Uint128, rate uint32) error {
	step, err := s.Direction.Step(s.price, target, s.liquidity, s.rest, rate)
	if err != nil {
		return err
	}
	s.price = step.Price
	return s.take(step.In, step.Out, step.Fee)
}

// take books what a step moved: in without a fee on the input, out without a fee on the output.
func (s *swap) take(in, out, fee uint64) error {
	if !s.FeeOnOutput {
		if in+fee < in {
			return amm.ErrOverflow
		}
		in += fee
	}
	done, other := in, out
	if s.ExactOut {
		done, other = out, in
	}
	if done > s.rest || s.other+other < other {
		return amm.ErrOverflow
	}
	s.rest -= done
	s.other += other
	s.fee += fee
	return nil
}

// match fills limit orders at the present price, which is that of their tick, and gives what is left of them.
func (s *swap) match(orders uint64, rate uint32) (left uint64, err error) {
	// The price is rounded in the orders' favour, and so is what they take.
	price := s.price.MulShift64(s.price)
	buys, costs := clmath.TimesPrice, clmath.OverPrice
	if !s.AToB {
		buys, costs = costs, buys
		if s.price.Lo*s.price.Lo != 0 { // the low word of the square
			price, _ = price.Add(clmath.Uint128{Lo: 1})
		}
	}
	var in, out, fee uint64
	fits, all := true, false
	if s.ExactOut {
		if out = min(s.rest, orders); s.FeeOnOutput {
			out, fits = clmath.GrossOf(out, rate)
			out = min(out, orders)
		}
	} else {
		if in = s.rest; !s.FeeOnOutput {
			fee = clmath.FeeOf(in, rate)
			in -= fee
		}
		var enough bool
		if out, enough = buys(in, price, false); !enough || out > orders {
			out, all = orders, true
		}
	}
	left = orders - out
	if fits && (s.ExactOut || all) {
		if in, fits = costs(out, price, true); fits && !s.FeeOnOutput {
			fee, fits = clmath.FeeOnTop(in, rate)
		}
	}
	if !fits {
		return 0, amm.ErrOverflow
	}
	if s.FeeOnOutput {
		fee = clmath.FeeOf(out, rate)
		out -= fee
	}
	return left, s.take(in, out, fee)
}
