package svm

import (
	"encoding/binary"
	"slices"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
)

// Errors of the token programs.
const (
	tokInsufficientFunds = Custom(1)
	tokMintMismatch      = Custom(3)
	tokOwnerMismatch     = Custom(4)
	tokAlreadyInUse      = Custom(6)
	tokHasBalance        = Custom(11)
	tokOverflow          = Custom(14)
	tokDecimalsMismatch  = Custom(18)
	tokFrozen            = Custom(17)
	tokNotNative         = Custom(19)
	tokFeeNeedsChecked   = Custom(31) // a mint with a transfer fee refuses plain Transfer
)

// token is Transfer, TransferChecked, InitializeAccount3, CloseAccount and SyncNative. Owners sign for themselves: delegates
// and multisignatures are not known.
func (c *call) token(program solana.PublicKey) error {
	if len(c.data) == 0 {
		return errInvalidData
	}
	data := c.data[1:]
	switch tag := c.data[0]; {
	case tag == 3 && len(data) == 8: // Transfer: source, destination, owner
		c.units += 4_645
		if err := c.need(3); err != nil {
			return err
		}
		return c.transferTokens(program, 0, 1, 2, -1, le64(data))
	case tag == 12 && len(data) == 9: // TransferChecked: source, mint, destination, owner
		c.units += 6_200
		if err := c.need(4); err != nil {
			return err
		}
		m, err := c.mint(c.keys[1])
		if err != nil {
			return err
		}
		if m.Decimals != data[8] {
			return tokDecimalsMismatch
		}
		return c.transferTokens(program, 0, 2, 3, 1, le64(data))
	case tag == 18 && len(data) == 32: // InitializeAccount3: account, mint
		c.units += 4_200
		if err := c.need(2); err != nil {
			return err
		}
		return c.initialize(program, c.keys[0], c.keys[1], solana.PublicKey(data))
	case tag == 9: // CloseAccount: account, destination, owner
		c.units += 2_915
		return c.closeAccount(program)
	case tag == 17: // SyncNative
		c.units += 3_045
		if err := c.need(1); err != nil {
			return err
		}
		return c.syncNative(program)
	}
	return errInvalidData
}

// transferTokens checks what the program checks and moves amount; mint is -1 for a plain Transfer.
func (c *call) transferTokens(program solana.PublicKey, source, destination, owner, mint int, amount uint64) error {
	if err := c.mutable(source, destination); err != nil {
		return err
	}
	from, err := c.tokenAccount(c.keys[source], program)
	if err != nil {
		return err
	}
	if from.Owner != c.keys[owner] {
		return tokOwnerMismatch
	}
	if !c.signer[owner] {
		return errMissingSignature
	}
	if mint >= 0 && c.keys[mint] != from.Mint {
		return tokMintMismatch
	}
	m, err := c.mint(from.Mint)
	if err != nil {
		return err
	}
	fee := m.TransferFee(c.clock.Epoch).Fee(amount)
	if mint < 0 && fee > 0 {
		return tokFeeNeedsChecked
	}
	return c.moveTokens(program, c.keys[source], c.keys[destination], amount, fee)
}

// moveTokens takes amount from one token account and gives it to another of the same mint, less the withheld fee.
func (x *execution) moveTokens(program, from, to solana.PublicKey, amount, fee uint64) error {
	source, err := x.tokenAccount(from, program)
	if err != nil {
		return err
	}
	destination, err := x.tokenAccount(to, program)
	if err != nil {
		return err
	}
	if source.Mint != destination.Mint {
		return tokMintMismatch
	}
	if source.Amount < amount {
		x.log("Program log: Error: insufficient funds")
		return tokInsufficientFunds
	}
	if from == to {
		return nil
	}
	if destination.Amount+(amount-fee) < destination.Amount {
		return tokOverflow
	}
	a, b := x.accounts.Edit(from), x.accounts.Edit(to)
	binary.LittleEndian.PutUint64(a.Data[amountAt:], source.Amount-amount)
	binary.LittleEndian.PutUint64(b.Data[amountAt:], destination.Amount+(amount-fee))
	if field := withheld(b); field != nil {
		binary.LittleEndian.PutUint64(field, le64(field)+fee)
	}
	if source.Mint == solana.WrappedSol {
		a.Lamports -= amount
		b.Lamports += amount
	}
	return nil
}

// initialize makes the account at key, which the system program has allocated, a token account.
func (x *execution) initialize(program, key, mint, owner solana.PublicKey) error {
	account, mintAccount := x.accounts.Edit(key), x.accounts.Get(mint)
	if account == nil || account.Owner != program || mintAccount == nil || mintAccount.Owner != program {
		return errWrongProgram
	}
	if len(account.Data) > stateAt && account.Data[stateAt] != 0 {
		return tokAlreadyInUse
	}
	if _, err := x.mint(mint); err != nil {
		return Custom(2) // invalid mint
	}
	template := TokenAccount(mint, mintAccount, owner, 0, false)
	if len(account.Data) < len(template.Data) {
		return errInvalidAccount
	}
	reserve := RentExemptLamports(len(account.Data))
	if account.Lamports < reserve {
		return Custom(0) // not rent-exempt
	}
	copy(account.Data, template.Data)
	if mint == solana.WrappedSol {
		binary.LittleEndian.PutUint64(account.Data[nativeAt+4:], reserve)
		binary.LittleEndian.PutUint64(account.Data[amountAt:], account.Lamports-reserve)
	}
	return nil
}

func (c *call) closeAccount(program solana.PublicKey) error {
	if err := c.need(3); err != nil {
		return err
	}
	if err := c.mutable(0, 1); err != nil {
		return err
	}
	if c.keys[0] == c.keys[1] {
		return errInvalidAccount
	}
	decoded, err := c.tokenAccount(c.keys[0], program)
	if err != nil {
		return err
	}
	account := c.accounts.Edit(c.keys[0])
	native := le32(account.Data[nativeAt:]) == 1
	if !native && decoded.Amount != 0 {
		return tokHasBalance
	}
	authority := decoded.Owner
	if le32(account.Data[closeAuthorityAt:]) == 1 {
		authority = solana.PublicKey(account.Data[closeAuthorityAt+4 : closeAuthorityAt+36])
	}
	if authority != c.keys[2] {
		return tokOwnerMismatch
	}
	if !c.signer[2] {
		return errMissingSignature
	}
	if destination := c.accounts.Edit(c.keys[1]); destination != nil {
		destination.Lamports += account.Lamports
	} else {
		c.accounts.Put(c.keys[1], &amm.Account{Owner: solana.SystemProgramID, Lamports: account.Lamports})
	}
	account.Lamports, account.Data, account.Owner = 0, nil, solana.SystemProgramID
	return nil
}

// syncNative makes the amount of a wrapped SOL account what its lamports say.
func (c *call) syncNative(program solana.PublicKey) error {
	if err := c.mutable(0); err != nil {
		return err
	}
	if _, err := c.tokenAccount(c.keys[0], program); err != nil {
		return err
	}
	account := c.accounts.Edit(c.keys[0])
	if le32(account.Data[nativeAt:]) != 1 {
		return tokNotNative
	}
	reserve := le64(account.Data[nativeAt+4:])
	if account.Lamports < reserve || account.Lamports-reserve < Balance(account) {
		return errInvalidAccount
	}
	binary.LittleEndian.PutUint64(account.Data[amountAt:], account.Lamports-reserve)
	return nil
}

// AssociatedAddress is the wallet's account for the mint under the token program.
func AssociatedAddress(wallet, mint, program solana.PublicKey) solana.PublicKey {
	address, _, err := solana.FindProgramAddress([][]byte{wallet[:], program[:], mint[:]}, solana.SPLAssociatedTokenAccountProgramID)
	if err != nil {
		panic(err) // one key in 2^256 has no bump
	}
	return address
}

// associatedToken is Create and CreateIdempotent: payer, account, wallet, mint, system program, token program.
func (c *call) associatedToken() error {
	idempotent := slices.Equal(c.data, []byte{1})
	if !idempotent && len(c.data) > 0 && !slices.Equal(c.data, []byte{0}) {
		return errInvalidData
	}
	if err := c.need(6); err != nil {
		return err
	}
	payer, key, wallet, mint, program := c.keys[0], c.keys[1], c.keys[2], c.keys[3], c.keys[5]
	if AssociatedAddress(wallet, mint, program) != key {
		return errInvalidSeeds
	}
	c.units += 7_500
	if account := c.accounts.Get(key); account != nil && account.Owner == program && idempotent {
		held, err := c.tokenAccount(key, program)
		switch {
		case err != nil:
			return err
		case held.Owner != wallet:
			return Custom(0)
		case held.Mint != mint:
			return errInvalidAccount
		}
		return nil
	}
	if account := c.accounts.Get(key); account != nil && account.Owner != solana.SystemProgramID {
		return errIllegalOwner
	}
	if !c.signer[0] {
		return errMissingSignature
	}
	if err := c.mutable(0, 1); err != nil {
		return err
	}
	mintAccount := c.accounts.Get(mint)
	if mintAccount == nil || mintAccount.Owner != program {
		return errWrongProgram
	}
	if _, err := c.mint(mint); err != nil {
		return err
	}
	c.units += 14_000
	template := TokenAccount(mint, mintAccount, wallet, 0, true)
	if err := c.allocate(payer, key, template.Lamports, template.Data, program); err != nil {
		return err
	}
	if mint == solana.WrappedSol { // lamports that were already there count
		account := c.accounts.Edit(key)
		binary.LittleEndian.PutUint64(account.Data[amountAt:], account.Lamports-template.Lamports)
	}
	return nil
}
