package dlmm

import (
	"math/bits"

	"github.com/gagliardetto/solana-go"
)

// What the program of 2026 spends in compute units, measured on swaps that differ in one thing: good to 1% of long swaps. A transaction can have
// a budget of 1.4 million.
const (
	budget = 1_400_000

	// A swap within one bin, and what a Token-2022 mint costs more to move.
	unitsExactIn, unitsExactOut = 40_700, 43_100
	unitsToken2022              = 6_000
	// A bin that is used up, and what changes that.
	unitsBinIn, unitsBinOut             = 4_965, 5_650
	unitsOutputFeeIn, unitsOutputFeeOut = -355, 0
	unitsSellingY                       = 60
	unitsNoProtocolFee                  = -270
	unitsLimitOrders                    = 175  // the pair supports them
	unitsReward                         = 650  // each of two
	unitsPriceBelow1                    = -300 // for each layer, where X is sold
	unitsNoShares                       = -800 // where the fee is shared out to no liquidity
	unitsOrders, unitsMoreOrders        = 1_510, 830
	unitsOnlyOrders                     = -2_095
	// The rate of a variable fee is computed once for an input and twice for an output.
	unitsVariableFee = 365
	// Where a dividend is beyond 64 bits: that of the variable fee's rate, and the fee times the input, for the makers' part of it.
	unitsGreatRate                                      = 275
	unitsGreatPart, unitsGreaterPart, unitsGreatestPart = 300, 520, 720
	// The way to a bin.
	unitsEmptyBin, unitsArray = 260, 1_450
)

// units is what the program has spent so far in a swap.
type units struct {
	spent int
	// perBin is what a bin costs that is used up, apart from what is the bin's own.
	perBin, perGreatRate int
}

// units begins with what every swap of this kind costs.
func (p *pool) units(exactOut, feeOnOutput bool) units {
	u := units{unitsExactIn, unitsBinIn, unitsGreatRate}
	rates, outputFee := 1, unitsOutputFeeIn
	if exactOut {
		u = units{unitsExactOut, unitsBinOut, 2 * unitsGreatRate}
		rates, outputFee = 2, unitsOutputFeeOut
	}
	if feeOnOutput {
		u.perBin += outputFee
	}
	if p.control != 0 {
		u.perBin += rates * unitsVariableFee
	}
	u.perBin += p.perBin
	for _, program := range p.info.TokenPrograms {
		if program == solana.Token2022ProgramID {
			u.spent += unitsToken2022
		}
	}
	return u
}

// least is what using up the bin costs in any case, in a swap of the kind.
func (b *bin) least(kind units) int { return int(b.way) + kind.perBin + int(b.units) }

// usedUp counts a bin that a swap leaves empty.
func (u *units) usedUp(b *bin, t trade, greatRate bool) {
	u.spent += u.perBin + int(b.units)
	if greatRate {
		u.spent += u.perGreatRate
	}
	switch hi, _ := bits.Mul64(t.fee, t.in); {
	case hi == 0:
	case hi>>8 == 0:
		u.spent += unitsGreatPart
	case hi>>32 == 0:
		u.spent += unitsGreaterPart
	default:
		u.spent += unitsGreatestPart
	}
}

// unitsOf is what a bin costs more than others. shared says that its makers hold enough shares for a fee.
func (s *side) unitsOf(b *bin, parts [3]layer, shared bool) (units int16) {
	layers := int16(0)
	for _, l := range parts {
		if l.out != 0 {
			layers++
		}
	}
	orders := layers
	switch {
	case parts[0].out == 0:
		units += unitsOnlyOrders
	case !shared:
		units += unitsNoShares
		fallthrough
	default:
		orders--
	}
	if orders > 0 {
		units += unitsOrders + (orders-1)*unitsMoreOrders
	}
	if !s.xToY {
		units += unitsSellingY
	} else if b.price.Hi == 0 {
		units += layers * unitsPriceBelow1
	}
	return units
}
