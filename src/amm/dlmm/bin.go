package dlmm

import (
	"math"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/clmath"
)

// bin is what a swap in one direction finds at one price.
type bin struct {
	price clmath.Uint128
	// out is all that can be bought, and in what that costs without a fee: each layer's rounded up.
	out, in uint64
	id      int32
	// layered is 1 + the position of the layers of a bin that has others than the market makers'.
	layered uint16
	// way is the compute units of coming here from the bin before, and units what using it up costs more than others.
	way   uint32
	units int16
	// array is the position of the bin's array, from 1.
	array uint8
}

// layer is liquidity of a bin that is used up before the next: the market makers' first, then limit orders in process, then open ones.
// in is beyond where it does not fit, which the program refuses as soon as it comes to the layer.
type layer struct{ out, in uint64 }

const beyond = math.MaxUint64

// side is a pair as a swap in one direction sees it: bins in its order, those without liquidity left out.
type side struct {
	xToY, feeOnOutput bool
	bins              []bin
	layers            [][3]layer
	// arrays are the addresses of those that exist, and end is why a swap cannot go on after the last bin.
	arrays []solana.PublicKey
	end    error
}

// cost is the input for out, rounded up, or beyond. Whoever puts something into a bin stores its price; the program fails without one.
func (s *side) cost(out uint64, price clmath.Uint128) uint64 {
	in, ok := uint64(0), false
	switch {
	case price.IsZero():
	case s.xToY:
		in, ok = clmath.OverPrice(out, price, true)
	default:
		in, ok = clmath.TimesPrice(out, price, true)
	}
	if !ok {
		return beyond
	}
	return in
}

// buys is the output for in, rounded down.
func (s *side) buys(in uint64, price clmath.Uint128) (uint64, bool) {
	if s.xToY {
		return clmath.TimesPrice(in, price, false)
	}
	return clmath.OverPrice(in, price, false)
}

// fill buys from a bin with at most net, without fees.
func (s *side) fill(b *bin, net uint64) (in, out uint64, err error) {
	if b.in != beyond && net >= b.in {
		return b.in, b.out, nil
	}
	if b.layered == 0 {
		if b.in == beyond {
			return 0, 0, amm.ErrOverflow
		}
		out, ok := s.buys(net, b.price)
		if !ok {
			return 0, 0, amm.ErrOverflow
		}
		return net, out, nil
	}
	for _, l := range s.layers[b.layered-1] {
		left := net - in
		switch {
		case left == 0:
			return in, out, nil
		case l.in == beyond:
			return 0, 0, amm.ErrOverflow
		case left < l.in:
			more, ok := s.buys(left, b.price)
			if out += more; !ok || out < more {
				return 0, 0, amm.ErrOverflow
			}
			return net, out, nil
		}
		in += l.in
		if out += l.out; out < l.out {
			return 0, 0, amm.ErrOverflow
		}
	}
	return in, out, nil
}

// trade is what a swap did in one bin, or in all so far; in and out include the fee.
type trade struct{ in, out, fee uint64 }

// sell spends at most amount on a bin.
func (s *side) sell(b *bin, amount, rate uint64) (trade, error) {
	t := trade{in: amount}
	net := amount
	if !s.feeOnOutput {
		t.fee = feeOf(amount, rate)
		net -= t.fee
	}
	used, out, err := s.fill(b, net)
	if err != nil {
		return t, err
	}
	t.out = out
	if used < net { // the bin is empty now
		t.in = used
		if !s.feeOnOutput {
			var ok bool
			if t.in, t.fee, ok = withFee(used, rate); !ok {
				return t, amm.ErrOverflow
			}
		}
	}
	if s.feeOnOutput {
		t.fee = feeOf(out, rate)
		t.out -= t.fee
	}
	return t, nil
}

// buy gets amount of a bin, or all of it.
func (s *side) buy(b *bin, amount, rate uint64) (trade, error) {
	gross, ok := amount, true
	if s.feeOnOutput {
		if gross, _, ok = withFee(amount, rate); !ok {
			return trade{}, amm.ErrOverflow
		}
	}
	if gross >= b.out {
		return s.sell(b, math.MaxUint64, rate)
	}
	in := s.cost(gross, b.price)
	if !s.feeOnOutput {
		in, _, ok = withFee(in, rate)
	}
	if in == beyond || !ok {
		return trade{}, amm.ErrOverflow
	}
	t, err := s.sell(b, in, rate)
	if err == nil && t.out < amount {
		// The input is rounded up once, but the output down in every layer. The program does not try a larger input.
		err = amm.ErrInsufficientLiquidity
	}
	t.out = amount
	return t, err
}
