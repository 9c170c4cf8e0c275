package token

import (
	"slices"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
)

const (
	mintLen     = 82
	accountLen  = 165
	multisigLen = 355

	// A Token-2022 mint or account with extensions has its kind at accountLen, then type-length-value entries.
	kindMint    = 1
	kindAccount = 2
	entries     = accountLen + 1
)

// Mint is the part of a mint that swaps depend on.
type Mint struct {
	// Program is SPL Token or Token-2022.
	Program  solana.PublicKey
	Supply   uint64
	Decimals uint8
	// older and newer are zero for a mint without transfer fees.
	older, newer TransferFee
}

// TransferFee is the fee in force at an epoch; its zero value, no fee, for most mints.
func (m *Mint) TransferFee(epoch uint64) TransferFee {
	if epoch >= m.newer.Epoch {
		return m.newer
	}
	return m.older
}

// HasTransferFee says whether any epoch's transfers pay a fee.
func (m *Mint) HasTransferFee() bool { return m.older.Bps != 0 || m.newer.Bps != 0 }

// Account is the part of a token account that swaps depend on.
type Account struct {
	Mint, Owner solana.PublicKey
	// Amount is in base units, and without what Token-2022 withholds for the mint's fee authority.
	Amount uint64
}

// DecodeMint decodes the mint at key. A Token-2022 extension that makes plain transfers need more accounts, fail, or move amounts
// that are not known here is an *amm.UnsupportedError that names it.
func DecodeMint(accounts amm.Accounts, key solana.PublicKey) (Mint, error) {
	r := accounts.Reader(key, solana.TokenProgramID, solana.Token2022ProgramID)
	option(r, 0, "mint_authority")
	m := Mint{Supply: r.Uint64(36, "supply"), Decimals: r.Uint8(44, "decimals")}
	if !r.Bool(45, "is_initialized") {
		r.Fail("is_initialized", "the mint is not initialised")
	}
	option(r, 46, "freeze_authority")
	r.Bytes(50, solana.PublicKeyLength, "freeze_authority")
	if err := r.Err(); err != nil {
		return Mint{}, err
	}
	m.Program = accounts[key].Owner
	if r.Len() == mintLen {
		return m, nil
	}
	if slices.ContainsFunc(r.Bytes(mintLen, accountLen-mintLen, "padding"), func(b byte) bool { return b != 0 }) {
		r.Fail("padding", "not zero")
	}
	extended(r, m.Program, kindMint)
	err := eachExtension(r, func(extension uint16, value *amm.Reader) error {
		return m.apply(key, extension, value)
	})
	if err != nil {
		return Mint{}, err
	}
	return m, nil
}

// DecodeAccount decodes the token account at key, which must be able to send and receive: a frozen one is an *amm.UnsupportedError.
func DecodeAccount(accounts amm.Accounts, key solana.PublicKey) (Account, error) {
	r := accounts.Reader(key, solana.TokenProgramID, solana.Token2022ProgramID)
	a := Account{Mint: r.Key(0, "mint"), Owner: r.Key(32, "owner"), Amount: r.Uint64(64, "amount")}
	option(r, 72, "delegate")
	state := r.Uint8(108, "state")
	if state != 1 && state != 2 {
		r.Fail("state", "%d is not that of a token account in use", state)
	}
	option(r, 109, "is_native")
	option(r, 129, "close_authority")
	r.Bytes(133, solana.PublicKeyLength, "close_authority")
	if r.Len() > accountLen {
		extended(r, accounts[key].Owner, kindAccount)
	}
	if err := r.Err(); err != nil {
		return Account{}, err
	}
	if state == 2 {
		return Account{}, &amm.UnsupportedError{Account: key, Feature: amm.FrozenAccount, Reason: "its tokens cannot move"}
	}
	return a, nil
}

// Vault is the balance of a pool's token account, which must be one of mint.
func Vault(accounts amm.Accounts, key, mint solana.PublicKey) (uint64, error) {
	account, err := DecodeAccount(accounts, key)
	if err == nil && account.Mint != mint {
		err = &amm.DecodeError{Account: key, Field: "mint", Reason: "is not " + mint.String()}
	}
	return account.Amount, err
}

// Balances are those of the vaults of a pool whose program takes SPL Token mints only. It notes the mints' decimals in info.
func Balances(accounts amm.Accounts, info *amm.Info) (balances [2]uint64, err error) {
	for i, key := range info.Mints {
		mint, err := DecodeMint(accounts, key)
		if err != nil {
			return balances, err
		}
		if mint.Program != solana.TokenProgramID {
			return balances, &amm.DecodeError{Account: key, Field: "owner", Reason: "the program takes SPL Token mints only"}
		}
		info.Decimals[i] = mint.Decimals
		if balances[i], err = Vault(accounts, info.Vaults[i], key); err != nil {
			return balances, err
		}
	}
	return balances, nil
}

// option checks the tag of an optional field.
func option(r *amm.Reader, offset int, field string) {
	if tag := r.Uint32(offset, field); tag > 1 {
		r.Fail(field, "option tag %d", tag)
	}
}

// extended checks what follows the base state of a Token-2022 mint or account with extensions.
func extended(r *amm.Reader, program solana.PublicKey, want uint8) {
	if program != solana.Token2022ProgramID || r.Len() == multisigLen {
		r.Fail("length", "%d bytes", r.Len())
	}
	if kind := r.Uint8(accountLen, "account_type"); kind != want {
		r.Fail("account_type", "%d, want %d", kind, want)
	}
}

// eachExtension calls visit for each type-length-value entry, with a reader of the value alone.
func eachExtension(r *amm.Reader, visit func(extension uint16, value *amm.Reader) error) error {
	for at := entries; at+2 <= r.Len(); {
		extension := r.Uint16(at, "extension type")
		if extension == 0 { // the rest is padding
			break
		}
		length := int(r.Uint16(at+2, "extension length"))
		value := r.Sub(at+4, length, extensionName(extension))
		if err := r.Err(); err != nil {
			return err
		}
		if err := visit(extension, value); err != nil {
			return err
		}
		at += 4 + length
	}
	return r.Err()
}
