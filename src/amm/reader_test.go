package amm

import (
	"errors"
	"math"
	"testing"

	"github.com/gagliardetto/solana-go"
)

func TestReaderKeepsTheFirstFailure(t *testing.T) {
	key, owner := solana.PublicKey{1}, solana.PublicKey{2}
	accounts := Accounts{key: {Owner: owner, Data: []byte{1, 2, 0, 0, 0, 0, 0, 0, 0xff}}, {9}: nil}
	tests := []struct {
		name, field string
		read        func() error
	}{
		{"good reads", "", func() error {
			r := accounts.Reader(key, solana.PublicKey{3}, owner)
			r.Discriminator([]byte{1, 2})
			if r.Uint64(0, "a") != 0x201 || r.Int64(1, "b") != math.MinInt64>>7|2 || r.Uint16(0, "c") != 0x201 || !r.Bool(0, "d") {
				t.Error("wrong values")
			}
			return r.Err()
		}},
		{"beyond the end", "second", func() error {
			r := accounts.Reader(key, owner)
			r.Uint64(0, "first")
			if r.Uint64(2, "second") != 0 || r.Uint8(0, "third") != 0 || r.Len() != 0 {
				t.Error("reads after a failure give values")
			}
			r.Fail("fourth", "too late")
			return r.Err()
		}},
		{"offsets that overflow", "far", func() error {
			r := accounts.Reader(key, owner)
			r.Bytes(math.MaxInt, 2, "far")
			return r.Err()
		}},
		{"lengths that overflow", "long", func() error {
			r := accounts.Reader(key, owner)
			r.Bytes(2, math.MaxInt, "long")
			return r.Err()
		}},
		{"negative offsets", "before", func() error {
			r := accounts.Reader(key, owner)
			r.Bytes(-1, 1, "before")
			return r.Err()
		}},
		{"inside a part", "inner", func() error {
			r := accounts.Reader(key, owner).Sub(1, 3, "part")
			r.Uint8(2, "last")
			r.Uint8(3, "inner")
			return r.Err()
		}},
		{"a part beyond the end", "part", func() error {
			r := accounts.Reader(key, owner).Sub(8, 2, "part")
			r.Uint8(0, "inner")
			return r.Err()
		}},
		{"not a boolean", "flag", func() error {
			r := accounts.Reader(key, owner)
			r.Bool(1, "flag")
			return r.Err()
		}},
		{"discriminator", "discriminator", func() error {
			r := accounts.Reader(key, owner)
			r.Discriminator([]byte{1, 3})
			return r.Err()
		}},
		{"owner", "owner", func() error { return accounts.Reader(key, solana.PublicKey{3}).Err() }},
		{"known not to exist", "account", func() error { return accounts.Reader(solana.PublicKey{9}, owner).Err() }},
		{"not loaded", "account", func() error { return accounts.Reader(solana.PublicKey{8}, owner).Err() }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.read()
			if tt.field == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			var malformed *DecodeError
			if !errors.As(err, &malformed) || malformed.Field != tt.field {
				t.Errorf("error %v, want one about %s", err, tt.field)
			}
		})
	}
}
