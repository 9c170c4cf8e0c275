package dammv2

import (
	"math/bits"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/clmath"
	"jupiter-dex-integration/src/amm/muldiv"
	"jupiter-dex-integration/src/amm/token"
)

const (
	activationByTime = 1

	collectOnOutput    = 0
	collectOnlyB       = 1
	collectCompounding = 2
)

type pool struct {
	info                      amm.Info
	authority, eventAuthority solana.PublicKey

	mints [2]token.Mint

	disabled       bool
	activationType uint8
	activation     uint64 // a slot or Unix seconds
	collect        uint8

	curve curve
	// reserves are the balances that the program keeps account of, without fees.
	reserves [2]uint64

	base       baseFee
	dynamic    uint64
	maxRate    uint64
	volatility volatility
	// protocolPercent is taken off the fee, and compoundingBps of what is left goes back to the reserve of B.
	protocolPercent, compoundingBps uint64
	// protocolRoom is how much more protocol fee the program's counters can hold.
	protocolRoom [2]uint64
}

func (p *pool) Info() *amm.Info { return &p.info }

// TransferFees are what transfers of the two mints withhold at clock.
func (p *pool) TransferFees(clock amm.Clock) [2]token.TransferFee {
	return [2]token.TransferFee{p.mints[0].TransferFee(clock.Epoch), p.mints[1].TransferFee(clock.Epoch)}
}

func (p *pool) SpotPrice(aToB bool) float64 {
	from, to := 0, 1
	if !aToB {
		from, to = 1, 0
	}
	switch {
	case p.curve.liquidity.IsZero():
		return 0
	case p.collect == collectCompounding:
		if p.reserves[from] == 0 {
			return 0
		}
		return float64(p.reserves[to]) / float64(p.reserves[from])
	case aToB && !p.curve.min.Less(p.curve.price), !aToB && !p.curve.price.Less(p.curve.max):
		return 0
	}
	root := p.curve.price.Float() / (1 << 64)
	if !aToB {
		root = 1 / root
	}
	return root * root
}

// trade is a swap between the two transfers: what reaches the pool and what leaves it.
type trade struct {
	aToB bool
	// elapsed is the points since the pool's activation.
	elapsed uint64
	// in and out are what the curve trades, in without and out with the fee.
	in, out, fee uint64
	next         clmath.Uint128
}

func (p *pool) feeOnInput(aToB bool) bool { return p.collect != collectOnOutput && !aToB }

func (p *pool) Quote(clock amm.Clock, req amm.Request) (amm.Quote, error) {
	if p.disabled {
		return amm.Quote{}, amm.ErrSwapDisabled
	}
	point := clock.Slot
	if p.activationType == activationByTime {
		point = uint64(clock.UnixTimestamp) // the program casts, too
	}
	if point < p.activation {
		return amm.Quote{}, amm.ErrNotOpen
	}
	if req.Amount == 0 {
		return amm.Quote{}, amm.ErrZeroAmount
	}
	if p.curve.liquidity.IsZero() || p.curve.price.IsZero() {
		return amm.Quote{}, amm.ErrInsufficientLiquidity
	}
	inMint, outMint := &p.mints[0], &p.mints[1]
	if !req.AToB {
		inMint, outMint = outMint, inMint
	}
	t := trade{aToB: req.AToB, elapsed: point - p.activation}
	inFee, outFee := inMint.TransferFee(clock.Epoch), outMint.TransferFee(clock.Epoch)
	quote := amm.Quote{Request: req, In: req.Amount, Out: req.Amount}
	if req.ExactOut {
		sent, err := outFee.Gross(req.Amount)
		if err != nil {
			return amm.Quote{}, err
		}
		arrives, err := p.exactOut(&t, sent)
		if err != nil {
			return amm.Quote{}, err
		}
		if quote.In, err = inFee.Gross(arrives); err != nil {
			return amm.Quote{}, err
		}
	} else {
		arrives := inFee.Net(req.Amount)
		if arrives == 0 {
			return amm.Quote{}, amm.ErrZeroAmount
		}
		sent, err := p.exactIn(&t, arrives)
		if err != nil {
			return amm.Quote{}, err
		}
		quote.Out = outFee.Net(sent)
	}
	if err := p.settle(&t, clock.UnixTimestamp); err != nil {
		return amm.Quote{}, err
	}
	if p.feeOnInput(req.AToB) {
		quote.FeeIn = t.fee
	} else {
		quote.FeeOut = t.fee
	}
	return quote, nil
}

// rate is the whole fee rate of an amount that includes the fee, or does not.
func (p *pool) rate(t *trade, amount uint64, included bool) (uint64, error) {
	base, ok := p.base.rate(t.elapsed, t.aToB, amount, included)
	rate, carry := bits.Add64(base, p.dynamic, 0)
	if !ok || carry != 0 {
		return 0, amm.ErrOverflow
	}
	return min(rate, p.maxRate), nil
}

// exactIn fills in t and gives what the pool sends.
func (p *pool) exactIn(t *trade, arrives uint64) (sent uint64, err error) {
	// The rate limiter's rate is that of the input even where the fee is taken from the output.
	rate, err := p.rate(t, arrives, true)
	if err != nil {
		return 0, err
	}
	t.in = arrives
	onInput := p.feeOnInput(t.aToB)
	if onInput {
		t.fee = feeOf(arrives, rate)
		t.in -= t.fee
	}
	if p.collect == collectCompounding {
		t.out, err = p.product(t.aToB).exactIn(t.in)
	} else {
		t.out, t.next, err = p.curve.exactIn(t.aToB, t.in)
	}
	if err != nil || onInput {
		return t.out, err
	}
	t.fee = feeOf(t.out, rate)
	return t.out - t.fee, nil
}

// exactOut fills in t and gives what the pool wants to arrive.
func (p *pool) exactOut(t *trade, sent uint64) (arrives uint64, err error) {
	t.out = sent
	onInput := p.feeOnInput(t.aToB)
	if !onInput {
		if t.out, err = p.gross(t, sent); err != nil {
			return 0, err
		}
		t.fee = t.out - sent
	}
	if p.collect == collectCompounding {
		t.in, err = p.product(t.aToB).exactOut(t.out)
	} else {
		t.in, t.next, err = p.curve.exactOut(t.aToB, t.out)
	}
	if err != nil || !onInput {
		return t.in, err
	}
	if arrives, err = p.gross(t, t.in); err != nil {
		return 0, err
	}
	t.fee = arrives - t.in
	return arrives, nil
}

// gross is an amount with its fee on top.
func (p *pool) gross(t *trade, amount uint64) (uint64, error) {
	rate, err := p.rate(t, amount, false)
	if err != nil {
		return 0, err
	}
	sum, ok := muldiv.Ceil(amount, oneInRate, oneInRate-rate)
	if !ok {
		return 0, amm.ErrOverflow
	}
	return sum, nil
}

func (p *pool) product(aToB bool) product {
	if aToB {
		return product{p.reserves[0], p.reserves[1]}
	}
	return product{p.reserves[1], p.reserves[0]}
}

// settle fails where the program, having computed the amounts, fails to account for them.
func (p *pool) settle(t *trade, now int64) error {
	protocol := t.fee / 100 * p.protocolPercent
	protocol += t.fee % 100 * p.protocolPercent / 100
	compounding, _ := muldiv.Floor(t.fee-protocol, p.compoundingBps, oneInBps) // at most the fee
	feeSide, in, out := 1, 0, 1
	if !t.aToB {
		in, out = 1, 0
		if p.collect == collectOnOutput {
			feeSide = 0
		}
	}
	if protocol > p.protocolRoom[feeSide] {
		return amm.ErrOverflow
	}
	reserves := p.reserves
	var carry, more uint64
	reserves[in], carry = bits.Add64(reserves[in], t.in, 0)
	if t.out > reserves[out] {
		return amm.ErrInsufficientLiquidity
	}
	reserves[out] -= t.out
	reserves[1], more = bits.Add64(reserves[1], compounding, 0)
	if carry|more != 0 {
		return amm.ErrOverflow
	}
	next := t.next
	if p.collect == collectCompounding {
		if reserves[0] == 0 {
			return amm.ErrInsufficientLiquidity
		}
		if p.volatility.tracked {
			next = priceOf(reserves[0], reserves[1])
		}
	}
	if !p.volatility.follows(p.curve.price, next, now) {
		return amm.ErrOverflow
	}
	return nil
}

// feeOf is the fee that an amount includes, rounded up. The rate is at most 100%.
func feeOf(amount, rate uint64) uint64 {
	hi, lo := bits.Mul64(amount, rate)
	lo, carry := bits.Add64(lo, oneInRate-1, 0)
	if hi+carry == 0 { // nearly always, and a division by a constant is a multiplication
		return lo / oneInRate
	}
	fee, _ := bits.Div64(hi+carry, lo, oneInRate)
	return fee
}
