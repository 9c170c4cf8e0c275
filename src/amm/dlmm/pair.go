package dlmm

import (
	"math"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/clmath"
	"jupiter-dex-integration/src/amm/token"
)

const (
	minBin = -443636
	maxBin = 443636
)

// What a swap costs in compute units, fitted to recorded swaps of the program of 2026 and right within some 5%. A transaction can have budget.
const (
	budget            = 1_400_000
	unitsPerSwap      = 50_000
	unitsPerBinSold   = 3_850 // in exact-in swaps
	unitsPerBinBought = 4_850 // in exact-out swaps
	unitsPerFee       = 575   // for a bin's variable fee
	unitsPerLayer     = 940   // for each of a bin's liquidity and orders
)

type pair struct {
	info                  amm.Info
	mints                 [2]token.Mint
	reserves              [2]uint64
	oracle, extension     solana.PublicKey
	hasExtension          bool
	disabled, activates   bool
	activatesAtTime       bool   // else at a slot
	activation            uint64 // a slot or Unix seconds
	active                int32
	binStep               uint16
	baseFee               uint64
	feeOnlyY, takesOrders bool
	volatility            volatility
	// bins are those with anything in them, sorted; next is the first above the active one.
	bins []bin
	next int
	// falling and rising are where a swap of X for Y and of Y for X may go.
	falling, rising path
}

// bin is liquidity at one price, in Y per X.
type bin struct {
	id    int32
	price clmath.Uint128
	x, y  uint64
	// processed and open are limit orders that sell X, where ask is set, or Y.
	processed, open uint64
	ask             bool
}

// path is the bin arrays with liquidity in a direction, the present one included, as far as they are known.
type path struct {
	arrays []array
	// end is what stops a swap beyond the last one.
	end error
}

type array struct {
	index int32
	key   solana.PublicKey
}

func (p *pair) Info() *amm.Info { return &p.info }

func (p *pair) path(aToB bool) *path {
	if aToB {
		return &p.falling
	}
	return &p.rising
}

func (p *pair) SpotPrice(aToB bool) float64 {
	s := swap{pair: p, aToB: aToB}
	for i, move := s.start(); i >= 0 && i < len(p.bins); i += move {
		if b := &p.bins[i]; s.offer(b).total() > 0 {
			if price := b.price.Float() / (1 << 64); aToB {
				return price
			} else {
				return 1 / price
			}
		}
	}
	return 0
}

func (p *pair) Quote(clock amm.Clock, req amm.Request) (amm.Quote, error) {
	if p.disabled {
		return amm.Quote{}, amm.ErrSwapDisabled
	}
	point := clock.Slot
	if p.activatesAtTime {
		point = uint64(clock.UnixTimestamp)
	}
	if p.activates && point < p.activation {
		return amm.Quote{}, amm.ErrNotOpen
	}
	in, out := 0, 1
	if !req.AToB {
		in, out = 1, 0
	}
	feeIn, feeOut := p.mints[in].TransferFee(clock.Epoch), p.mints[out].TransferFee(clock.Epoch)
	s := swap{pair: p, aToB: req.AToB, exactOut: req.ExactOut, feeOnOutput: p.feeOnlyY && req.AToB}
	var err error
	if s.fees, err = p.begin(clock.UnixTimestamp); err != nil {
		return amm.Quote{}, err
	}
	s.rest = feeIn.Net(req.Amount)
	if req.ExactOut {
		if s.rest, err = feeOut.Gross(req.Amount); err != nil {
			return amm.Quote{}, err
		}
	}
	gross := s.rest
	if err := s.run(); err != nil {
		return amm.Quote{}, err
	}
	quote := amm.Quote{Request: req, In: req.Amount, Out: req.Amount, Steps: s.filled, Arrays: p.arraysTo(req.AToB, s.last)}
	if s.feeOnOutput {
		quote.FeeOut = s.fee
	} else {
		quote.FeeIn = s.fee
	}
	if req.ExactOut {
		if quote.In, err = feeIn.Gross(s.other); err != nil {
			return amm.Quote{}, err
		}
	} else {
		gross = s.other
		quote.Out = feeOut.Net(gross)
		if quote.Out == 0 {
			return amm.Quote{}, amm.ErrZeroOutput
		}
	}
	if gross > p.reserves[out] {
		return amm.Quote{}, amm.ErrInsufficientLiquidity
	}
	return quote, nil
}

// arraysTo counts the arrays of a path up to the one with the bin.
func (p *pair) arraysTo(aToB bool, id int32) uint8 {
	index := floorDiv(id, arrayBins)
	arrays := p.path(aToB).arrays
	for i := range arrays {
		if arrays[i].index == index {
			return uint8(i + 1)
		}
	}
	return uint8(len(arrays))
}

// swap is one swap under way. rest is what is left of the amount asked for and other the other side's amount so far, fees included on the
// input and not on the output.
type swap struct {
	*pair
	fees
	aToB, exactOut, feeOnOutput bool
	rest, other, fee            uint64
	last                        int32
	filled                      uint16
	// units are what the program has used so far, and perBin what it adds for a bin.
	units, perBin int
}

// offer is what a bin sells in the direction of a swap, in the order in which that is taken: the market makers' liquidity, limit orders that
// are already being filled, and the others.
type offer [3]uint64

func (s *swap) offer(b *bin) offer {
	var o offer
	if s.aToB {
		o[0] = b.y
	} else {
		o[0] = b.x
	}
	if s.takesOrders && b.ask != s.aToB {
		o[1], o[2] = b.processed, b.open
	}
	return o
}

// total saturates, as the program's does.
func (o offer) total() uint64 {
	sum := o[0] + o[1]
	if sum < o[0] || sum+o[2] < sum {
		return math.MaxUint64
	}
	return sum + o[2]
}

// start is the position of the first bin in the direction, the active one included, and the step to the next.
func (s *swap) start() (i, move int) {
	if s.aToB {
		return s.next - 1, -1
	}
	if s.next > 0 && s.bins[s.next-1].id == s.active {
		return s.next - 1, 1
	}
	return s.next, 1
}

func (s *swap) run() error {
	if s.rest == 0 {
		return amm.ErrZeroAmount
	}
	s.units, s.perBin = unitsPerSwap, unitsPerBinSold
	if s.exactOut {
		s.perBin = unitsPerBinBought
	}
	if s.control != 0 {
		s.perBin += unitsPerFee
	}
	for i, move := s.start(); s.rest > 0; i += move {
		if i < 0 || i >= len(s.bins) {
			return s.path(s.aToB).end
		}
		b := &s.bins[i]
		o := s.offer(b)
		available := o.total()
		if available == 0 {
			continue
		}
		s.last = b.id
		s.filled++
		if s.units += s.perBin; s.units > budget {
			return amm.ErrComputeBudget
		}
		rate := s.rate(b.id)
		var f fill
		var err error
		if s.exactOut {
			f, err = s.buy(b, o, available, rate)
		} else {
			f, err = s.sell(b, o, s.rest, rate)
		}
		if err != nil {
			return err
		}
		done, other := f.in, f.out
		if s.exactOut {
			done, other = f.out, f.in
		}
		if done == 0 {
			continue // what a bin of one unit gives can be all fee
		}
		if done > s.rest || s.other+other < other {
			return amm.ErrOverflow
		}
		s.rest -= done
		s.other += other
		s.fee += f.fee
	}
	return nil
}

// fill is what one bin takes and gives, with a fee on the input inside in and a fee on the output off out.
type fill struct{ in, out, fee uint64 }

// sell spends up to amount in a bin.
func (s *swap) sell(b *bin, o offer, amount, rate uint64) (fill, error) {
	f := fill{in: amount}
	net := amount
	if !s.feeOnOutput {
		f.fee = feeOf(amount, rate)
		net -= f.fee
	}
	left := net
	for _, available := range o {
		if available == 0 {
			continue
		}
		s.units += unitsPerLayer
		cost, ok := s.cost(b, available)
		if !ok {
			return fill{}, amm.ErrOverflow
		}
		out := available
		if left >= cost {
			left -= cost
		} else if out, ok = s.worth(b, left); ok {
			left = 0
		}
		if f.out += out; !ok || f.out < out {
			return fill{}, amm.ErrOverflow
		}
		if left == 0 {
			break
		}
	}
	if left > 0 {
		f.in = net - left
		if !s.feeOnOutput {
			f.fee = feeOnTop(f.in, rate)
			f.in += f.fee
		}
	}
	if s.feeOnOutput {
		f.fee = feeOf(f.out, rate)
		f.out -= f.fee
	}
	return f, nil
}

// buy gets up to the rest from a bin.
func (s *swap) buy(b *bin, o offer, available, rate uint64) (fill, error) {
	gross := s.rest
	if s.feeOnOutput {
		if gross += feeOnTop(gross, rate); gross < s.rest {
			return fill{}, amm.ErrOverflow
		}
	}
	if gross >= available {
		return s.sell(b, o, math.MaxUint64, rate)
	}
	in, ok := s.cost(b, gross)
	if !ok {
		return fill{}, amm.ErrOverflow
	}
	if !s.feeOnOutput {
		fee := feeOnTop(in, rate)
		if in+fee < in {
			return fill{}, amm.ErrOverflow
		}
		in += fee
	}
	f, err := s.sell(b, o, in, rate)
	if err != nil {
		return fill{}, err
	}
	if f.out < s.rest { // layer by layer the same input buys less, on which the program fails
		return fill{}, amm.ErrInsufficientLiquidity
	}
	f.out = s.rest
	return f, nil
}

// cost is what amount of a bin's output costs, and worth what amount of input buys, both rounded in the bin's favour.
func (s *swap) cost(b *bin, amount uint64) (uint64, bool) {
	if s.aToB {
		return clmath.OverPrice(amount, b.price, true)
	}
	return clmath.TimesPrice(amount, b.price, true)
}

func (s *swap) worth(b *bin, amount uint64) (uint64, bool) {
	if s.aToB {
		return clmath.TimesPrice(amount, b.price, false)
	}
	return clmath.OverPrice(amount, b.price, false)
}
