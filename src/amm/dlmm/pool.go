package dlmm

import (
	"math/bits"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/token"
)

type pool struct {
	info  amm.Info
	mints [2]token.Mint
	// reserves are the vaults' balances, which must suffice for what the bins promise.
	reserves       [2]uint64
	oracle         solana.PublicKey
	extension      solana.PublicKey // the program's id if there is none
	eventAuthority solana.PublicKey

	parameters
	minID, maxID  int32
	disabled      bool
	limitOrders   bool
	gated, byTime bool
	activation    uint64 // a slot or Unix seconds
	// perBin is the compute units that the pair's features add for each bin.
	perBin int

	// sides are the pair as a swap of X and one of Y sees it.
	sides [2]side
}

func (p *pool) Info() *amm.Info { return &p.info }

func (p *pool) side(xToY bool) *side {
	if xToY {
		return &p.sides[0]
	}
	return &p.sides[1]
}

// TransferFees are what transfers of the two mints withhold at clock.
func (p *pool) TransferFees(clock amm.Clock) [2]token.TransferFee {
	return [2]token.TransferFee{p.mints[0].TransferFee(clock.Epoch), p.mints[1].TransferFee(clock.Epoch)}
}

func (p *pool) SpotPrice(aToB bool) float64 {
	s := p.side(aToB)
	if len(s.bins) == 0 {
		return 0
	}
	price := s.bins[0].price.Float() / (1 << 64)
	if aToB {
		return price
	}
	return 1 / price
}

func (p *pool) Quote(clock amm.Clock, req amm.Request) (amm.Quote, error) {
	var s swap
	if err := s.begin(p, clock, req); err != nil {
		return amm.Quote{}, err
	}
	if err := s.run(); err != nil {
		return amm.Quote{}, err
	}
	in, out := 0, 1
	if !req.AToB {
		in, out = 1, 0
	}
	if s.out > p.reserves[out] {
		return amm.Quote{}, amm.ErrInsufficientLiquidity
	}
	quote := amm.Quote{Request: req, In: req.Amount, Out: s.feeOut.Net(s.out), Steps: s.crossed, Arrays: s.array}
	if quote.Out == 0 {
		return amm.Quote{}, amm.ErrZeroOutput
	}
	if req.ExactOut {
		var err error
		if quote.In, err = s.feeIn.Gross(s.in); err != nil {
			return amm.Quote{}, err
		}
	}
	if _, carry := bits.Add64(p.reserves[in], s.feeIn.Net(quote.In), 0); carry != 0 {
		return amm.Quote{}, amm.ErrOverflow
	}
	if s.feeOnOutput {
		quote.FeeOut = s.fee
	} else {
		quote.FeeIn = s.fee
	}
	return quote, nil
}

// swap is one swap under way. left is what is left of the amount asked for.
type swap struct {
	*side
	fees
	feeIn, feeOut token.TransferFee
	exactOut      bool
	left          uint64
	trade
	units
	crossed uint16
	array   uint8
}

// begin is the swap before its first bin, if the pair allows it.
func (s *swap) begin(p *pool, clock amm.Clock, req amm.Request) (err error) {
	if p.disabled {
		return amm.ErrSwapDisabled
	}
	if p.gated {
		now := clock.Slot
		if p.byTime {
			now = uint64(clock.UnixTimestamp)
		}
		if now < p.activation {
			return amm.ErrNotOpen
		}
	}
	s.exactOut = req.ExactOut
	s.feeIn, s.feeOut = p.mints[0].TransferFee(clock.Epoch), p.mints[1].TransferFee(clock.Epoch)
	s.side = &p.sides[0]
	if !req.AToB {
		s.feeIn, s.feeOut = s.feeOut, s.feeIn
		s.side = &p.sides[1]
	}
	s.left = s.feeIn.Net(req.Amount)
	if req.ExactOut {
		if s.left, err = s.feeOut.Gross(req.Amount); err != nil {
			return err
		}
	}
	if s.left == 0 {
		return amm.ErrZeroAmount
	}
	s.units = p.units(req.ExactOut, s.feeOnOutput)
	s.fees, err = p.at(clock.UnixTimestamp)
	return err
}

func (s *swap) run() error {
	for i := range s.bins {
		b := &s.bins[i]
		if s.spent += int(b.way); s.spent > budget {
			return amm.ErrComputeBudget
		}
		rate, great := s.rate(b.id)
		s.array = b.array
		var t trade
		var err error
		if s.exactOut {
			t, err = s.buy(b, s.left, rate)
			s.left -= t.out
		} else {
			t, err = s.sell(b, s.left, rate)
			s.left -= t.in
		}
		if err != nil {
			return err
		}
		s.in += t.in
		s.out += t.out
		if s.in < t.in || s.out < t.out {
			return amm.ErrOverflow
		}
		s.fee += t.fee
		if s.left == 0 {
			return nil
		}
		s.usedUp(b, t, great)
		s.crossed++
	}
	return s.end
}
