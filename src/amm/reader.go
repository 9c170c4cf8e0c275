package amm

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/gagliardetto/solana-go"
)

// Reader reads little-endian fields at byte offsets of one account's data, the 8 bytes of an Anchor discriminator included. The first field
// that is missing or malformed stays in Err, and every later read gives zero, so that a decoder checks once, at its end.
type Reader struct {
	account solana.PublicKey
	data    []byte
	err     *DecodeError
}

// Reader opens the account at key, which must exist and belong to one of the owners.
func (a Accounts) Reader(key solana.PublicKey, owners ...solana.PublicKey) *Reader {
	r := &Reader{account: key}
	account, loaded := a[key]
	switch {
	case !loaded:
		r.Fail("account", "not loaded")
	case account == nil:
		r.Fail("account", "does not exist")
	default:
		for _, owner := range owners {
			if account.Owner == owner {
				r.data = account.Data
				return r
			}
		}
		r.Fail("owner", "%s is none of %v", account.Owner, owners)
	}
	return r
}

// Err is a *DecodeError, or nil while every read was good.
func (r *Reader) Err() error {
	if r.err == nil {
		return nil
	}
	return r.err
}

// Fail records that a field has a value that the program would not have written. The first failure stays.
func (r *Reader) Fail(field, format string, args ...any) {
	if r.err == nil {
		r.err = &DecodeError{Account: r.account, Field: field, Reason: fmt.Sprintf(format, args...)}
	}
}

// Len is the size of the account's data, 0 after a failure.
func (r *Reader) Len() int {
	if r.err != nil {
		return 0
	}
	return len(r.data)
}

// Bytes is the n bytes of a field, which share the account's memory, or nil after a failure.
func (r *Reader) Bytes(offset, n int, field string) []byte {
	if r.err != nil {
		return nil
	}
	if offset < 0 || n < 0 || n > len(r.data) || offset > len(r.data)-n {
		r.Fail(field, "%d bytes at %d are beyond the end of %d", n, offset, len(r.data))
		return nil
	}
	return r.data[offset : offset+n]
}

// Sub reads the n bytes at offset as data of their own, with offsets from 0.
func (r *Reader) Sub(offset, n int, field string) *Reader {
	data := r.Bytes(offset, n, field)
	return &Reader{account: r.account, data: data, err: r.err}
}

// Discriminator fails unless the data begins with want.
func (r *Reader) Discriminator(want []byte) {
	if got := r.Bytes(0, len(want), "discriminator"); r.err == nil && !bytes.Equal(got, want) {
		r.Fail("discriminator", "%x, want %x", got, want)
	}
}

func (r *Reader) Uint8(offset int, field string) uint8 {
	if b := r.Bytes(offset, 1, field); b != nil {
		return b[0]
	}
	return 0
}

// Bool fails on anything but 0 and 1.
func (r *Reader) Bool(offset int, field string) bool {
	v := r.Uint8(offset, field)
	if v > 1 {
		r.Fail(field, "%d is not a boolean", v)
	}
	return v == 1
}

func (r *Reader) Uint16(offset int, field string) uint16 {
	if b := r.Bytes(offset, 2, field); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (r *Reader) Uint32(offset int, field string) uint32 {
	if b := r.Bytes(offset, 4, field); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (r *Reader) Uint64(offset int, field string) uint64 {
	if b := r.Bytes(offset, 8, field); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// Int64 reads two's complement, as for Unix seconds.
func (r *Reader) Int64(offset int, field string) int64 { return int64(r.Uint64(offset, field)) }

// Uint128 reads the low and the high 64 bits.
func (r *Reader) Uint128(offset int, field string) (lo, hi uint64) {
	if b := r.Bytes(offset, 16, field); b != nil {
		return binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])
	}
	return 0, 0
}

func (r *Reader) Key(offset int, field string) solana.PublicKey {
	if b := r.Bytes(offset, solana.PublicKeyLength, field); b != nil {
		return solana.PublicKey(b)
	}
	return solana.PublicKey{}
}
