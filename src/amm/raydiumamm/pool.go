package raydiumamm

import (
	"math/bits"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/muldiv"
)

// AmmStatus; the others, 2 to 5, allow no swaps.
const (
	statusInitialized  = 1
	statusSwapOnly     = 6
	statusWaitingTrade = 7 // becomes SwapOnly with the first swap at the open time
)

// pool has the coin as side 0, the pc as side 1.
type pool struct {
	info       amm.Info
	openOrders solana.PublicKey
	nonce      uint8
	status     uint64
	openTime   uint64 // Unix seconds

	feeNum, feeDen uint64
	// owed is the part of the vaults' balances that is profit for Raydium to take, and reserves the rest.
	balances, owed, reserves [2]uint64
}

func (p *pool) Info() *amm.Info { return &p.info }

// sides are the indices of the input and of the output.
func sides(aToB bool) (in, out int) {
	if aToB {
		return 0, 1
	}
	return 1, 0
}

func (p *pool) SpotPrice(aToB bool) float64 {
	a, b := sides(aToB)
	if p.reserves[a] == 0 {
		return 0
	}
	return float64(p.reserves[b]) / float64(p.reserves[a])
}

func (p *pool) Quote(clock amm.Clock, req amm.Request) (amm.Quote, error) {
	switch p.status {
	case statusInitialized, statusSwapOnly:
	case statusWaitingTrade:
		if uint64(clock.UnixTimestamp) < p.openTime { // the program casts, too
			return amm.Quote{}, amm.ErrNotOpen
		}
	default:
		return amm.Quote{}, amm.ErrSwapDisabled
	}
	if req.Amount == 0 {
		return amm.Quote{}, amm.ErrZeroAmount
	}
	a, b := sides(req.AToB)
	x, y := p.reserves[a], p.reserves[b]
	if x == 0 || y == 0 {
		return amm.Quote{}, amm.ErrInsufficientLiquidity
	}
	quote := amm.Quote{Request: req}
	if req.ExactOut {
		if req.Amount >= y {
			return amm.Quote{}, amm.ErrInsufficientLiquidity
		}
		net, ok := muldiv.Ceil(x, req.Amount, y-req.Amount)
		if !ok {
			return amm.Quote{}, amm.ErrOverflow
		}
		if quote.In, ok = muldiv.Ceil(net, p.feeDen, p.feeDen-p.feeNum); !ok {
			return amm.Quote{}, amm.ErrOverflow
		}
		quote.Out, quote.FeeIn = req.Amount, quote.In-net
	} else {
		quote.In = req.Amount
		quote.FeeIn, _ = muldiv.Ceil(req.Amount, p.feeNum, p.feeDen) // at most the amount
	}
	if _, carry := bits.Add64(p.balances[a], quote.In, 0); carry != 0 {
		return amm.Quote{}, amm.ErrOverflow
	}
	if !req.ExactOut {
		net := quote.In - quote.FeeIn
		quote.Out, _ = muldiv.Floor(net, y, x+net) // below the reserve
		if quote.Out == 0 {
			return amm.Quote{}, amm.ErrZeroOutput
		}
	}
	return quote, nil
}
