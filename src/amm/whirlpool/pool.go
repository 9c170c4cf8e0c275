package whirlpool

import (
	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/clmath"
	"jupiter-dex-integration/src/amm/token"
)

// maxSteps is more than a transaction's 1.4 million compute units pay for: the builds of 2024 and 2026 use 5,000 and more for a step.
const maxSteps = 350

type pool struct {
	info   amm.Info
	mints  [2]token.Mint
	oracle solana.PublicKey

	liquidity, price clmath.Uint128
	tick             int32
	tickSpacing      int32
	feeRate          uint32 // static, in millionths
	rewardsUpdated   uint64 // Unix seconds

	// adaptive is nil for a pool with a static fee only.
	adaptive *oracle
	// ticks are those of the present tick array and the two or three on either side, sorted; next is the first above the present tick.
	ticks []clmath.Tick
	next  int
	// falling and rising are where a swap of A for B and of B for A may go.
	falling, rising window
}

// window is the sequence of up to three tick arrays that the program reads.
type window struct {
	arrays [3]solana.PublicKey
	n      int
	// end is where the sequence ends: not an initialised tick, unless by chance, and crossed without effect.
	end clmath.Tick
	// last is the tick from which on, in the window's direction, nothing more can be found.
	last int32
}

func (p *pool) Info() *amm.Info { return &p.info }

// TransferFees are what transfers of the two mints withhold at clock.
func (p *pool) TransferFees(clock amm.Clock) [2]token.TransferFee {
	return [2]token.TransferFee{p.mints[0].TransferFee(clock.Epoch), p.mints[1].TransferFee(clock.Epoch)}
}

func (p *pool) SpotPrice(aToB bool) float64 {
	return clmath.Spot(p.price, p.liquidity, p.ticks, p.next, aToB)
}

func (p *pool) Quote(clock amm.Clock, req amm.Request) (amm.Quote, error) {
	now := uint64(clock.UnixTimestamp)
	if clock.UnixTimestamp < 0 || now < p.rewardsUpdated || p.adaptive != nil && now < p.adaptive.tradeEnable {
		return amm.Quote{}, amm.ErrNotOpen
	}
	in, out := &p.mints[0], &p.mints[1]
	if !req.AToB {
		in, out = out, in
	}
	feeIn, feeOut := in.TransferFee(clock.Epoch), out.TransferFee(clock.Epoch)

	s := swap{Direction: clmath.Direction{AToB: req.AToB, ExactOut: req.ExactOut}, price: p.price, liquidity: p.liquidity}
	quote := amm.Quote{Request: req}
	if req.ExactOut {
		var err error
		if s.rest, err = feeOut.Gross(req.Amount); err != nil {
			return amm.Quote{}, err
		}
		if err := s.run(p, now); err != nil {
			return amm.Quote{}, err
		}
		if s.rest > 0 {
			return amm.Quote{}, amm.ErrInsufficientLiquidity
		}
		if quote.In, err = feeIn.Gross(s.other); err != nil {
			return amm.Quote{}, err
		}
		quote.Out = req.Amount
	} else {
		arrives := feeIn.Net(req.Amount)
		s.rest = arrives
		if err := s.run(p, now); err != nil {
			return amm.Quote{}, err
		}
		quote.In = req.Amount
		if s.rest > 0 { // the range of prices ends, and the program takes less
			var err error
			if quote.In, err = feeIn.Gross(arrives - s.rest); err != nil {
				return amm.Quote{}, err
			}
		}
		quote.Out = feeOut.Net(s.other)
	}
	quote.FeeIn = s.fee
	quote.Steps = s.crossed
	quote.Arrays = uint8(p.window(req.AToB).n)
	return quote, nil
}

func (p *pool) window(aToB bool) *window {
	if aToB {
		return &p.falling
	}
	return &p.rising
}

// swap is one swap under way. rest is what is left of the amount asked for and other the other side's amount so far, fee included.
type swap struct {
	clmath.Direction
	price, liquidity clmath.Uint128
	rest, other, fee uint64
	crossed          uint16
}

func (s *swap) run(p *pool, now uint64) error {
	if s.rest == 0 {
		return amm.ErrZeroAmount
	}
	w, next, move, limit := &p.rising, p.next, 1, maxPrice
	if s.AToB {
		w, next, move, limit = &p.falling, p.next-1, -1, minPrice
	}
	if s.price == limit {
		return amm.ErrInsufficientLiquidity
	}
	if w.n == 0 {
		return amm.ErrArraysMissing
	}
	var f fees
	if p.adaptive != nil {
		var err error
		if f, err = p.adaptive.begin(p.feeRate, s.AToB, p.tick, now); err != nil {
			return err
		}
	}
	for steps := 0; s.rest > 0 && s.price != limit; next += move {
		t, initialised := &w.end, next >= 0 && next < len(p.ticks)
		if initialised {
			t = &p.ticks[next]
		}
		for {
			if steps++; steps > maxSteps {
				return amm.ErrComputeBudget
			}
			rate, target, tick, skips := p.feeRate, t.Price, t.Index, false
			if p.adaptive != nil {
				rate = f.rate()
				target, tick, skips = f.bound(t, s.liquidity)
			}
			if err := s.step(target, rate); err != nil {
				return err
			}
			if p.adaptive != nil {
				f.advance(skips, tick)
			}
			if s.rest == 0 || s.price == t.Price {
				break
			}
		}
		if s.price != t.Price {
			return nil // the amount is used up
		}
		if initialised {
			var ok bool
			if s.liquidity, ok = t.Cross(s.liquidity, s.AToB); !ok {
				return amm.ErrOverflow
			}
			s.crossed++
		}
		if s.rest > 0 && s.price != limit && (s.AToB && t.Index <= w.last || !s.AToB && t.Index >= w.last) {
			return amm.ErrArraysMissing
		}
	}
	return nil
}

// step swaps as far as target, a tick's price or the edge of a fee's group.
func (s *swap) step(target clmath.Uint128, rate uint32) error {
	step, err := s.Direction.Step(s.price, target, s.liquidity, s.rest, rate)
	if err != nil {
		return err
	}
	if s.liquidity.Hi>>32 != 0 && s.beyondProgram(target, step) {
		return amm.ErrOverflow
	}
	done, other := step.In+step.Fee, step.Out
	if s.ExactOut {
		done, other = step.Out, step.In+step.Fee
	}
	if step.In+step.Fee < step.In || done > s.rest || s.other+other < other {
		return amm.ErrOverflow
	}
	s.rest -= done
	s.other += other
	s.fee += step.Fee
	s.price = step.Price
	return nil
}

// beyondProgram says whether the program refuses a step because liquidity times a price, or times the distance of two, needs more than 192
// bits when it computes amounts of A. That takes liquidity of 2^96 and more.
func (s *swap) beyondProgram(target clmath.Uint128, step clmath.Step) bool {
	distance := func(to clmath.Uint128) clmath.Uint128 {
		if d, ok := s.price.Sub(to); ok {
			return d
		}
		d, _ := to.Sub(s.price)
		return d
	}
	if !s.FixedA() {
		return !s.liquidity.ProductFits192(distance(step.Price))
	}
	return !s.liquidity.ProductFits192(distance(target)) || !step.Filled && !s.liquidity.ProductFits192(s.price)
}
