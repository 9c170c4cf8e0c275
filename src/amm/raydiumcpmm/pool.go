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
	mints               [2]token.Mint

	noSwap       bool
	openTime     uint64 // Unix seconds
	creatorFeeOn uint8
	creatorFee   bool

	// Rates are in millionths. creatorRate is 0 unless the pool has a creator fee.
	tradeRate, creatorRate uint64
	// balances are the vaults', owed the part of them that is fees to collect, and reserves the rest, on which the curve works.
	balances, owed, reserves [2]uint64
}

func (p *pool) Info() *amm.Info { return &p.info }

func (p *pool) SpotPrice(aToB bool) float64 {
	if p.reserves[0] == 0 || p.reserves[1] == 0 {
		return 0
	}
	price := float64(p.reserves[1]) / float64(p.reserves[0])
	if !aToB {
		price = 1 / price
	}
	return price
}

func (p *pool) Quote(clock amm.Clock, req amm.Request) (amm.Quote, error) {
	if p.noSwap {
		return amm.Quote{}, amm.ErrSwapDisabled
	}
	if uint64(clock.UnixTimestamp) < p.openTime { // the program casts, too
		return amm.Quote{}, amm.ErrNotOpen
	}
	a, b := 0, 1
	if !req.AToB {
		a, b = 1, 0
	}
	creatorOnInput := p.creatorFeeOn == creatorFeeOnInput ||
		p.creatorFeeOn == creatorFeeOnToken0 && req.AToB || p.creatorFeeOn == creatorFeeOnToken1 && !req.AToB
	s := side{
		in: p.reserves[a], out: p.reserves[b],
		inBalance: p.balances[a],
		inFee:     p.mints[a].TransferFee(clock.Epoch), outFee: p.mints[b].TransferFee(clock.Epoch),
		inRate: p.tradeRate, outRate: p.creatorRate,
	}
	if creatorOnInput {
		s.inRate, s.outRate = p.tradeRate+p.creatorRate, 0
		if s.inRate == 0 {
			// The program splits the fee between creator and pool by a division that fails when neither has a rate.
			return amm.Quote{}, amm.ErrSwapDisabled
		}
	}
	if s.in == 0 || s.out == 0 {
		return amm.Quote{}, amm.ErrInsufficientLiquidity
	}
	if req.ExactOut {
		return s.exactOut(req)
	}
	return s.exactIn(req)
}

// side is the pool as one direction sees it.
type side struct {
	in, out uint64 // reserves
	// inBalance is the input vault's, which must hold what comes in.
	inBalance     uint64
	inFee, outFee token.TransferFee
	// inRate is taken from the input, in millionths: trade fee and creator fee under one rounding. outRate is the creator's from the output.
	inRate, outRate uint64
}

func (s *side) exactIn(req amm.Request) (amm.Quote, error) {
	arrives := s.inFee.Net(req.Amount)
	if arrives == 0 {
		return amm.Quote{}, amm.ErrZeroAmount
	}
	if _, carry := bits.Add64(s.inBalance, arrives, 0); carry != 0 {
		return amm.Quote{}, amm.ErrOverflow
	}
	feeIn, _ := muldiv.Ceil(arrives, s.inRate, oneInRate) // at most arrives
	net := arrives - feeIn
	gross, _ := muldiv.Floor(net, s.out, s.in+net) // below the reserve
	feeOut, _ := muldiv.Ceil(gross, s.outRate, oneInRate)
	out := s.outFee.Net(gross - feeOut)
	if out == 0 {
		return amm.Quote{}, amm.ErrZeroOutput
	}
	return amm.Quote{Request: req, In: req.Amount, Out: out, FeeIn: feeIn, FeeOut: feeOut}, nil
}

func (s *side) exactOut(req amm.Request) (amm.Quote, error) {
	if req.Amount == 0 {
		return amm.Quote{}, amm.ErrZeroAmount
	}
	sent, err := s.outFee.Gross(req.Amount)
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
	in, err := s.inFee.Gross(arrives)
	if err != nil {
		return amm.Quote{}, err
	}
	return amm.Quote{Request: req, In: in, Out: req.Amount, FeeIn: arrives - net, FeeOut: gross - sent}, nil
}
