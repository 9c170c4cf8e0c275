package svm

import (
	"bytes"
	"encoding/binary"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
)

// Errors of the system program.
const (
	sysAccountInUse      = Custom(0)
	sysInsufficientFunds = Custom(1)
	sysAddressMismatch   = Custom(5)
)

const maxDataBytes = 10 << 20

// system is CreateAccount, Transfer and CreateAccountWithSeed.
func (c *call) system() error {
	c.units += 150
	if len(c.data) < 4 {
		return errInvalidData
	}
	tag, data := le32(c.data), c.data[4:]
	switch {
	case tag == 0 && len(data) == 48: // CreateAccount: lamports, space, owner
		if err := c.need(2); err != nil {
			return err
		}
		if !c.signer[0] || !c.signer[1] {
			return errMissingSignature
		}
		return c.create(le64(data), le64(data[8:]), solana.PublicKey(data[16:48]))
	case tag == 2 && len(data) == 8: // Transfer
		if err := c.need(2); err != nil {
			return err
		}
		if !c.signer[0] {
			return errMissingSignature
		}
		if err := c.mutable(0, 1); err != nil {
			return err
		}
		return c.transferLamports(c.keys[0], c.keys[1], le64(data))
	case tag == 3 && len(data) >= 40: // CreateAccountWithSeed: base, seed, lamports, space, owner
		base, data := solana.PublicKey(data[:32]), data[32:]
		n := binary.LittleEndian.Uint64(data)
		if n > 32 || uint64(len(data)) != 8+n+48 {
			return errInvalidData
		}
		if err := c.need(2); err != nil {
			return err
		}
		seed, data := string(data[8:8+n]), data[8+n:]
		owner := solana.PublicKey(data[16:48])
		want, err := solana.CreateWithSeed(base, seed, owner)
		if err != nil || want != c.keys[1] {
			return sysAddressMismatch
		}
		if !c.signer[0] || !c.signed(base) {
			return errMissingSignature
		}
		return c.create(le64(data), le64(data[8:]), owner)
	}
	return errInvalidData
}

func (c *call) signed(key solana.PublicKey) bool {
	for i, k := range c.keys {
		if k == key && c.signer[i] {
			return true
		}
	}
	return false
}

// create makes account 1, paid by account 0.
func (c *call) create(lamports, space uint64, owner solana.PublicKey) error {
	if err := c.mutable(0, 1); err != nil {
		return err
	}
	if c.accounts.Get(c.keys[1]) != nil {
		return sysAccountInUse
	}
	if space > maxDataBytes {
		return Custom(3)
	}
	return c.allocate(c.keys[0], c.keys[1], lamports, make([]byte, space), owner)
}

// allocate makes the account at key with data, paid by payer. Lamports that key already has count towards the amount.
func (x *execution) allocate(payer, key solana.PublicKey, lamports uint64, data []byte, owner solana.PublicKey) error {
	var present uint64
	if account := x.accounts.Get(key); account != nil {
		if account.Owner != solana.SystemProgramID || len(account.Data) > 0 {
			return sysAccountInUse
		}
		present = account.Lamports
	}
	if lamports > present {
		if err := x.debit(payer, lamports-present); err != nil {
			return err
		}
		present = lamports
	}
	x.accounts.Put(key, &amm.Account{Owner: owner, Lamports: present, Data: bytes.Clone(data)})
	return nil
}

// debit takes lamports from a wallet.
func (x *execution) debit(from solana.PublicKey, lamports uint64) error {
	account := x.accounts.Edit(from)
	if account == nil {
		if lamports == 0 {
			return nil
		}
		return sysInsufficientFunds
	}
	if account.Owner != solana.SystemProgramID || len(account.Data) > 0 {
		return Builtin("InvalidArgument")
	}
	if account.Lamports < lamports {
		x.log("Transfer: insufficient lamports %d, need %d", account.Lamports, lamports)
		return sysInsufficientFunds
	}
	account.Lamports -= lamports
	return nil
}

func (x *execution) transferLamports(from, to solana.PublicKey, lamports uint64) error {
	if err := x.debit(from, lamports); err != nil {
		return err
	}
	account := x.accounts.Edit(to)
	switch {
	case account != nil && account.Lamports+lamports < account.Lamports:
		return Builtin("ArithmeticOverflow")
	case account != nil:
		account.Lamports += lamports
	case lamports > 0:
		x.accounts.Put(to, &amm.Account{Owner: solana.SystemProgramID, Lamports: lamports})
	}
	return nil
}

func le32(b []byte) uint32 { return binary.LittleEndian.Uint32(b) }

func le64(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }
