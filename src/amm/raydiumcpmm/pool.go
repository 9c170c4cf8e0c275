package raydiumcpmm

import (
	"math/bits"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/muldiv"
	"jupiter-dex-integration/src/amm/token"
)

const (
	// oneInRate is 100% in the config's fee rates.
	oneInRate = 1_000_000

	statusNoSwap = 1 << 2

	creatorFeeOnInput  = 0 // whichever token comes in
	creatorFeeOnToken0 = 1
	creatorFeeOnToken1 = 2
)

type pool struct {
	info                amm.Info
	config, observation solana.PublicKey

	noSwap       bool
	openTime     uint64 // Unix seconds
	creatorFeeOn uint8
	creatorFee   bool
	// owed is the part of the vaults' balances that is fees to collect.
	owed [2]uint64

	// sides are the pool as a swap of token 0 and one of token 1 sees it.
	sides [2]side
}

type side struct {
	// in and out are the reserves: what the vaults hold beyond the fees owed.
	in, out uint64
	// inBalance is the input vault's, which must be able to hold what comes in.
	inBalance       uint64
	inMint, outMint token.Mint
	creatorOnInput  bool
	// inRate is taken from the input, in millionths: trade fee and creator fee under one rounding. outRate is the creator's from the output.
	inRate, outRate uint64
}

// setSides takes the decoded rates, in millionths, mints and vault balances.
func (p *pool) setSides(tradeRate, creatorRate uint64, mints [2]token.Mint, balances [2]uint64) {
	if !p.creatorFee {
		creatorRate = 0
	}
	for a := range p.sides {
		b := 1 - a
		s := &p.sides[a]
		*s = side{
			in: balances[a] - p.owed[a], out: balances[b] - p.owed[b], inBalance: balances[a],
			inMint: mints[a], outMint: mints[b],
			inRate: tradeRate, outRate: creatorRate,
		}
		if p.creatorFeeOn == creatorFeeOnInput || (p.creatorFeeOn == creatorFeeOnToken0) == (a == 0) {
			s.creatorOnInput = true
			s.inRate, s.outRate = tradeRate+creatorRate, 0
		}
	}
}

func (p *pool) side(aToB bool) *side {
	if aToB {
		return &p.sides[0]
	}
	return &p.sides[1]
}

func (p *pool) Info() *amm.Info { return &p.info }

// TransferFees are what transfers of the two mints withhold at clock.
func (p *pool) TransferFees(clock amm.Clock) [2]token.TransferFee {
	return [2]token.TransferFee{p.sides[0].inMint.TransferFee(clock.Epoch), p.sides[0].outMint.TransferFee(clock.Epoch)}
}

func (p *pool) SpotPrice(aToB bool) float64 {
	s := p.side(aToB)
	if s.in == 0 {
		return 0
	}
	return float64(s.out) / float64(s.in)
}

func (p *pool) Quote(clock amm.Clock, req amm.Request) (amm.Quote, error) {
	if p.noSwap {
		return amm.Quote{}, amm.ErrSwapDisabled
	}
	if uint64(clock.UnixTimestamp) < p.openTime { // the program casts, too
		return amm.Quote{}, amm.ErrNotOpen
	}
	s := p.side(req.AToB)
	if s.in == 0 || s.out == 0 {
		return amm.Quote{}, amm.ErrInsufficientLiquidity
	}
	if s.inRate == 0 && s.creatorOnInput {
		// The program splits the fee between creator and pool by a division that fails when neither has a rate.
		return amm.Quote{}, amm.ErrSwapDisabled
	}
	if req.ExactOut {
		return s.exactOut(clock.Epoch, req)
	}
	return s.exactIn(clock.Epoch, req)
}

func (s *side) exactIn(epoch uint64, req amm.Request) (amm.Quote, error) {
	arrives := s.inMint.TransferFee(epoch).Net(req.Amount)
	if arrives == 0 {
		return amm.Quote{}, amm.ErrZeroAmount
	}
	if _, carry := bits.Add64(s.inBalance, arrives, 0); carry != 0 {
		return amm.Quote{}, amm.ErrOverflow
	}
	feeIn := fee(arrives, s.inRate)
	net := arrives - feeIn
	gross, _ := muldiv.Floor(net, s.out, s.in+net) // below the reserve
	feeOut := fee(gross, s.outRate)
	out := s.outMint.TransferFee(epoch).Net(gross - feeOut)
	if out == 0 {
		return amm.Quote{}, amm.ErrZeroOutput
	}
	return amm.Quote{Request: req, In: req.Amount, Out: out, FeeIn: feeIn, FeeOut: feeOut}, nil
}

func (s *side) exactOut(epoch uint64, req amm.Request) (amm.Quote, error) {
	if req.Amount == 0 {
		return amm.Quote{}, amm.ErrZeroAmount
	}
	sent, err := s.outMint.TransferFee(epoch).Gross(req.Amount)
	if err != nil {
		return amm.Quote{}, err
	}
	gross, ok := muldiv.Ceil(sent, oneInRate, oneInRate-s.outRate)
	if !ok || gross >= s.out {
		return amm.Quote{}, amm.ErrInsufficientLiquidity
	}
	net, ok := muldiv.Ceil(s.in, gross, s.out-gross)
	if !ok {
		return amm.Quote{}, amm.ErrOverflow
	}
	arrives, ok := muldiv.Ceil(net, oneInRate, oneInRate-s.inRate)
	if !ok {
		return amm.Quote{}, amm.ErrOverflow
	}
	if _, carry := bits.Add64(s.inBalance, arrives, 0); carry != 0 {
		return amm.Quote{}, amm.ErrOverflow
	}
	in, err := s.inMint.TransferFee(epoch).Gross(arrives)
	if err != nil {
		return amm.Quote{}, err
	}
	return amm.Quote{Request: req, In: in, Out: req.Amount, FeeIn: arrives - net, FeeOut: gross - sent}, nil
}

// fee is ceil(amount * rate / 1000000), for a rate of at most 1000000.
func fee(amount, rate uint64) uint64 {
	hi, lo := bits.Mul64(amount, rate)
	lo, carry := bits.Add64(lo, oneInRate-1, 0)
	if hi+carry == 0 { // nearly always, and a division by a constant is a multiplication
		return lo / oneInRate
	}
	q, _ := bits.Div64(hi+carry, lo, oneInRate)
	return q
}
