package pyth

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gagliardetto/solana-go"
)

// Programs own price accounts: the pull oracle's receiver (before and since August 2026) on all networks, and the push
// oracle on mainnet and devnet.
var Programs = []solana.PublicKey{
	solana.MustPublicKeyFromBase58("rec5EKMGg6MxZYaMdyBfgwp4d5rB9T1VQH5pJv5LtFJ"),
	solana.MustPublicKeyFromBase58("rec2HHDDnjLfj4kE7VyEtFA1HPGQLK33259532cRyHp"),
	solana.MustPublicKeyFromBase58("FsJ3A3u2vn5cTVofAjvy6y5kwABJAqYWpe4975bi2epH"),
	solana.MustPublicKeyFromBase58("gSbePebfvPy7tRqimPoVecS2UsBvYv46ynrzWocc92s"),
}

// Price is the latest price in an account: Mantissa·10^Exponent ± Conf·10^Exponent US dollars.
type Price struct {
	// FeedID names the feed; it is zero for accounts of the push oracle, which have none.
	FeedID      [32]byte
	Mantissa    int64
	Conf        uint64
	Exponent    int32
	PublishTime time.Time
	// Slot is when the price was written.
	Slot uint64
}

// Errors of Decode.
var (
	ErrNotAPrice = errors.New("not a Pyth price account")
	// ErrUnverified: a price update that not all guardians needed have signed.
	ErrUnverified = errors.New("the price update is only partially verified")
	// ErrNotTrading: the push oracle's status of the price is not "trading".
	ErrNotTrading = errors.New("the price has no status of trading")
	// ErrImplausible: no token costs this.
	ErrImplausible = errors.New("the price is not positive or its exponent is out of range")
)

// pullDiscriminator is the first 8 bytes of a PriceUpdateV2 account: Anchor's sha256("account:PriceUpdateV2").
var pullDiscriminator = []byte{0x22, 0xf1, 0x23, 0x63, 0x9d, 0x7e, 0xf4, 0xcd}

// The header of a push oracle's price account: magic, version 2, account type 3.
var pushHeader = []byte{0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 0, 0, 3, 0, 0, 0}

const (
	pullSize = 134
	pushSize = 240 // up to and with the aggregate price; the publishers' components follow

	statusTrading   = 1
	maxExponent     = 18
	verifiedFully   = 1
	verifiedPartial = 0
)

// Decode reads an account's data, of whichever kind it is.
func Decode(data []byte) (Price, error) {
	switch {
	case bytes.HasPrefix(data, pullDiscriminator) && len(data) >= pullSize:
		return decodePull(data)
	case bytes.HasPrefix(data, pushHeader) && len(data) >= pushSize:
		return decodePush(data)
	}
	return Price{}, ErrNotAPrice
}

// decodePull reads a PriceUpdateV2: discriminator 8, write authority 32, verification level (Borsh enum: Full is one byte,
// Partial carries a count of signatures), feed id 32, price i64, conf u64, exponent i32, publish time i64, previous
// publish time i64, EMA i64 and u64, posted slot u64, little endian.
// Source: pyth-crosschain, pyth_solana_receiver_sdk/src/price_update.rs and pythnet_sdk/src/messages.rs.
func decodePull(data []byte) (Price, error) {
	switch data[40] {
	case verifiedFully:
	case verifiedPartial:
		return Price{}, ErrUnverified
	default:
		return Price{}, ErrNotAPrice
	}
	le := binary.LittleEndian
	p := Price{
		FeedID:      [32]byte(data[41:73]),
		Mantissa:    int64(le.Uint64(data[73:])),
		Conf:        le.Uint64(data[81:]),
		Exponent:    int32(le.Uint32(data[89:])),
		PublishTime: time.Unix(int64(le.Uint64(data[93:])), 0).UTC(),
		Slot:        le.Uint64(data[125:]),
	}
	return p, p.check()
}

// decodePush reads a price account of the push oracle: exponent i32 at 20, time i64 at 96, and the aggregate from 208 on:
// price i64, conf u64, status u32, corporate action u32, slot u64.
// Source: pyth-sdk-rs, pyth-sdk-solana/src/state.rs.
func decodePush(data []byte) (Price, error) {
	le := binary.LittleEndian
	if status := le.Uint32(data[224:]); status != statusTrading {
		return Price{}, fmt.Errorf("%w (%d)", ErrNotTrading, status)
	}
	p := Price{
		Exponent:    int32(le.Uint32(data[20:])),
		PublishTime: time.Unix(int64(le.Uint64(data[96:])), 0).UTC(),
		Mantissa:    int64(le.Uint64(data[208:])),
		Conf:        le.Uint64(data[216:]),
		Slot:        le.Uint64(data[232:]),
	}
	return p, p.check()
}

func (p Price) check() error {
	if p.Mantissa <= 0 || p.Exponent > maxExponent || p.Exponent < -maxExponent {
		return ErrImplausible
	}
	return nil
}

// Decimal is the price as an exact decimal number.
func (p Price) Decimal() string { return decimal(uint64(p.Mantissa), p.Exponent) }

// ConfDecimal is the confidence as an exact decimal number.
func (p Price) ConfDecimal() string { return decimal(p.Conf, p.Exponent) }

// decimal writes v·10^exponent without an exponent and without needless zeros.
func decimal(v uint64, exponent int32) string {
	digits := fmt.Sprint(v)
	if exponent >= 0 {
		if v == 0 {
			return digits
		}
		return digits + strings.Repeat("0", int(exponent))
	}
	places := int(-exponent)
	if missing := places + 1 - len(digits); missing > 0 {
		digits = strings.Repeat("0", missing) + digits
	}
	whole, fraction := digits[:len(digits)-places], strings.TrimRight(digits[len(digits)-places:], "0")
	if fraction == "" {
		return whole
	}
	return whole + "." + fraction
}
