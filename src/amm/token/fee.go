package token

import (
	"math/bits"

	"jupiter-dex-integration/src/amm"
)

const oneInBps = 10_000

// TransferFee is what Token-2022 withholds from a transfer. The zero value is no fee.
type TransferFee struct {
	// Epoch is the first in which this fee applies.
	Epoch uint64
	// Maximum is the most that one transfer pays, in base units.
	Maximum uint64
	Bps     uint16
}

// transferFee reads the fee at offset of a TransferFeeConfig.
func transferFee(r *amm.Reader, offset int, field string) TransferFee {
	f := TransferFee{
		Epoch:   r.Uint64(offset, field+".epoch"),
		Maximum: r.Uint64(offset+8, field+".maximum_fee"),
		Bps:     r.Uint16(offset+16, field+".transfer_fee_basis_points"),
	}
	if f.Bps > oneInBps {
		r.Fail(field+".transfer_fee_basis_points", "%d is more than 10000", f.Bps)
	}
	return f
}

// Fee is what is withheld when amount is sent: min(ceil(amount * Bps / 10000), Maximum).
func (f TransferFee) Fee(amount uint64) uint64 {
	if f.Bps == 0 || amount == 0 {
		return 0
	}
	hi, lo := bits.Mul64(amount, uint64(f.Bps))
	lo, carry := bits.Add64(lo, oneInBps-1, 0)
	fee, _ := bits.Div64(hi+carry, lo, oneInBps) // at most amount, so it fits
	return min(fee, f.Maximum)
}

// Net is what arrives when amount is sent.
func (f TransferFee) Net(amount uint64) uint64 { return amount - f.Fee(amount) }

// PreFee is what the token program says to send so that net arrives, or ErrOverflow. Net(PreFee(net)) is net or, by rounding, more.
func (f TransferFee) PreFee(net uint64) (uint64, error) {
	if f.Bps == 0 || net == 0 {
		return net, nil
	}
	capped, overflow := bits.Add64(net, f.Maximum, 0)
	if f.Bps < oneInBps {
		rest := uint64(oneInBps - f.Bps)
		hi, lo := bits.Mul64(net, oneInBps)
		lo, carry := bits.Add64(lo, rest-1, 0)
		hi += carry
		if hi < rest { // else the quotient is beyond 64 bits, so beyond capped or an overflow with it
			raw, _ := bits.Div64(hi, lo, rest)
			if raw-net < f.Maximum {
				return raw, nil
			}
		}
	}
	if overflow != 0 {
		return 0, amm.ErrOverflow
	}
	return capped, nil
}

// InverseFee is the fee of PreFee(net), as the token program computes it. It can be less than PreFee(net) - net.
func (f TransferFee) InverseFee(net uint64) (uint64, error) {
	gross, err := f.PreFee(net)
	if err != nil {
		return 0, err
	}
	return f.Fee(gross), nil
}

// Gross is what must be sent so that net arrives, by the rule that the Raydium, Orca and Meteora programs share: net plus its inverse
// fee (plus Maximum at 100%), and ErrTransferFee unless sending just that pays just that fee.
func (f TransferFee) Gross(net uint64) (uint64, error) {
	if f.Bps == 0 || net == 0 {
		return net, nil
	}
	fee := f.Maximum
	if f.Bps < oneInBps {
		var err error
		if fee, err = f.InverseFee(net); err != nil {
			return 0, err
		}
	}
	gross, overflow := bits.Add64(net, fee, 0)
	if overflow != 0 {
		return 0, amm.ErrOverflow
	}
	if f.Bps < oneInBps && f.Fee(gross) != fee {
		return 0, amm.ErrTransferFee
	}
	return gross, nil
}
