package pumpswap

import (
	"math/bits"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/muldiv"
)

// pool has the base token as side A and the quote token as B. All fees are in the quote token.
type pool struct {
	info                           amm.Info
	config, feeConfig              solana.PublicKey
	feeRecipient, buybackRecipient solana.PublicKey
	creator, coinCreator           solana.PublicKey

	mayhem, cashback, extended, disabled bool
	creatorFeeBps                        uint64
	virtualLo, virtualHi                 uint64 // two's complement of 128 bits

	// quote is the reserve on which the curve works: the vault's balance and the virtual reserve.
	base, quote, quoteBalance uint64
	fees                      fees
}

func (p *pool) Info() *amm.Info { return &p.info }

func (p *pool) SpotPrice(aToB bool) float64 {
	switch {
	case p.empty():
		return 0
	case aToB:
		return float64(p.quote) / float64(p.base)
	default:
		return float64(p.base) / float64(p.quote)
	}
}

func (p *pool) empty() bool { return p.base == 0 || p.quoteBalance == 0 || p.quote == 0 }

func (p *pool) Quote(_ amm.Clock, req amm.Request) (amm.Quote, error) {
	switch {
	case p.disabled:
		return amm.Quote{}, amm.ErrSwapDisabled
	case req.Amount == 0:
		return amm.Quote{}, amm.ErrZeroAmount
	case p.empty():
		return amm.Quote{}, amm.ErrInsufficientLiquidity
	case req.AToB && req.ExactOut:
		in, err := p.smallestSale(req.Amount)
		if err != nil {
			return amm.Quote{}, err
		}
		return p.sell(req, in)
	case req.AToB:
		return p.sell(req, req.Amount)
	case req.ExactOut:
		return p.buy(req)
	default:
		return p.buyWith(req)
	}
}

// sell is the program's sell of in base units: the fees come off what the curve gives.
func (p *pool) sell(req amm.Request, in uint64) (amm.Quote, error) {
	sum, carry := bits.Add64(p.base, in, 0)
	if carry != 0 {
		return amm.Quote{}, amm.ErrOverflow
	}
	gross, _ := muldiv.Floor(p.quote, in, sum) // below the reserve
	lp, others, ok := p.fees.of(gross)
	if !ok || lp+others > gross {
		return amm.Quote{}, amm.ErrZeroOutput
	}
	if gross-lp > p.quoteBalance { // the virtual reserve cannot be paid out
		return amm.Quote{}, amm.ErrInsufficientLiquidity
	}
	return amm.Quote{Request: req, In: in, Out: gross - lp - others, FeeOut: lp + others}, nil
}

// buy is the program's buy of an amount of the base token: the fees go on top of what the curve takes.
func (p *pool) buy(req amm.Request) (amm.Quote, error) {
	if req.Amount >= p.base {
		return amm.Quote{}, amm.ErrInsufficientLiquidity
	}
	net, ok := muldiv.Ceil(p.quote, req.Amount, p.base-req.Amount)
	if !ok {
		return amm.Quote{}, amm.ErrOverflow
	}
	lp, others, ok := p.fees.of(net)
	in, carry := bits.Add64(net, lp+others, 0)
	_, full := bits.Add64(p.quoteBalance, net+lp, 0)
	if !ok || carry != 0 || full != 0 {
		return amm.Quote{}, amm.ErrOverflow
	}
	return amm.Quote{Request: req, In: in, Out: req.Amount, FeeIn: lp + others}, nil
}

// buyWith is the program's buy_exact_quote_in: the fees come off the amount first.
func (p *pool) buyWith(req amm.Request) (amm.Quote, error) {
	net, _ := muldiv.Floor(req.Amount, oneInBps, oneInBps+p.fees.total()) // at most the amount
	lp, others, ok := p.fees.of(net)
	in, carry := bits.Add64(net, lp+others, 0)
	if !ok || carry != 0 {
		return amm.Quote{}, amm.ErrOverflow
	}
	// Fees that are rounded up can exceed what was set aside for them.
	if in > req.Amount {
		if in-req.Amount > net {
			return amm.Quote{}, amm.ErrZeroAmount
		}
		net -= in - req.Amount
		in = req.Amount
	}
	if net == 0 {
		return amm.Quote{}, amm.ErrZeroAmount
	}
	// One unit less goes to the curve, against rounding.
	sum, carry := bits.Add64(p.quote, net-1, 0)
	if _, full := bits.Add64(p.quoteBalance, net+lp, 0); full != 0 || carry != 0 {
		return amm.Quote{}, amm.ErrOverflow
	}
	out, _ := muldiv.Floor(p.base, net-1, sum) // below the reserve
	return amm.Quote{Request: req, In: in, Out: out, FeeIn: lp + others}, nil
}

// smallestSale is the least amount of the base token of which want is paid out, which the program does not know. What is paid grows by at
// most one unit with every unit that the curve gives, so the curve must give more by no less than the payment is short.
func (p *pool) smallestSale(want uint64) (uint64, error) {
	const rounds = 2000 // fees of 98% still have their answer within them
	gross := want
	for range rounds {
		if gross >= p.quote {
			return 0, amm.ErrInsufficientLiquidity
		}
		in, ok := muldiv.Ceil(gross, p.base, p.quote-gross)
		sum, carry := bits.Add64(p.base, in, 0)
		if !ok || carry != 0 {
			return 0, amm.ErrOverflow
		}
		gross, _ = muldiv.Floor(p.quote, in, sum)
		paid := uint64(0)
		if lp, others, ok := p.fees.of(gross); ok && lp+others < gross {
			paid = gross - lp - others
		}
		if paid >= want {
			return in, nil
		}
		if gross, carry = bits.Add64(gross, want-paid, 0); carry != 0 {
			return 0, amm.ErrInsufficientLiquidity
		}
	}
	return 0, amm.ErrInsufficientLiquidity
}
