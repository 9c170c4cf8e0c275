package svm

import (
	"encoding/binary"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/token"
)

// Sizes and offsets of token-program accounts, as in the programs' state.rs.
const (
	tokenAccountLen = 165
	mintLen         = 82

	amountAt, stateAt, nativeAt, closeAuthorityAt = 64, 108, 109, 129
	extensionsAt                                  = 166

	extTransferFeeConfig, extTransferFeeAmount, extImmutableOwner = 1, 2, 7
)

// TransferFee is the fee of a Token-2022 mint.
type TransferFee struct {
	Authority solana.PublicKey
	// MaximumUnits is the most that one transfer pays, in base units.
	MaximumUnits uint64
	Bps          uint16
}

// Mint is what a mint account says.
type Mint struct {
	// Authority and FreezeAuthority are zero for none.
	Authority, FreezeAuthority solana.PublicKey
	Supply                     uint64
	Decimals                   uint8
	// Fee makes it a Token-2022 mint with a transfer fee.
	Fee *TransferFee
}

// Account is m in its true bytes, rent-exempt, owned by Token-2022 if it has a fee and by SPL Token otherwise.
func (m Mint) Account() *amm.Account {
	data := make([]byte, mintLen)
	putOption(data, m.Authority)
	binary.LittleEndian.PutUint64(data[36:], m.Supply)
	data[44], data[45] = m.Decimals, 1
	putOption(data[46:], m.FreezeAuthority)
	owner := solana.TokenProgramID
	if m.Fee != nil {
		owner = solana.Token2022ProgramID
		data = append(data, make([]byte, tokenAccountLen-mintLen)...)
		data = append(data, 1) // a mint
		value := make([]byte, 108)
		copy(value, m.Fee.Authority[:])
		copy(value[32:], m.Fee.Authority[:])
		for _, at := range []int{72, 90} { // older and newer: the same since epoch 0
			binary.LittleEndian.PutUint64(value[at+8:], m.Fee.MaximumUnits)
			binary.LittleEndian.PutUint16(value[at+16:], m.Fee.Bps)
		}
		data = appendExtension(data, extTransferFeeConfig, value)
	}
	return &amm.Account{Owner: owner, Lamports: RentExemptLamports(len(data)), Data: data}
}

// TokenAccount makes the account that owner holds amount of the mint in, funded: rent, and for wrapped SOL the amount itself.
// An associated one of Token-2022 has its owner marked as immutable, a vault has not.
func TokenAccount(mint solana.PublicKey, mintAccount *amm.Account, owner solana.PublicKey, amount uint64, associated bool) *amm.Account {
	data := make([]byte, tokenAccountLen)
	copy(data, mint[:])
	copy(data[32:], owner[:])
	binary.LittleEndian.PutUint64(data[amountAt:], amount)
	data[stateAt] = 1
	if mintAccount.Owner == solana.Token2022ProgramID {
		extensions := []byte{2} // a token account
		if associated {
			extensions = appendExtension(extensions, extImmutableOwner, nil)
		}
		if len(mintAccount.Data) > mintLen {
			extensions = appendExtension(extensions, extTransferFeeAmount, make([]byte, 8))
		}
		if len(extensions) > 1 {
			data = append(data, extensions...)
		}
	}
	lamports := RentExemptLamports(len(data))
	if mint == solana.WrappedSol {
		binary.LittleEndian.PutUint32(data[nativeAt:], 1)
		binary.LittleEndian.PutUint64(data[nativeAt+4:], lamports)
		lamports += amount
	}
	return &amm.Account{Owner: mintAccount.Owner, Lamports: lamports, Data: data}
}

func appendExtension(data []byte, kind uint16, value []byte) []byte {
	data = binary.LittleEndian.AppendUint16(data, kind)
	data = binary.LittleEndian.AppendUint16(data, uint16(len(value)))
	return append(data, value...)
}

func putOption(data []byte, key solana.PublicKey) {
	if !key.IsZero() {
		binary.LittleEndian.PutUint32(data, 1)
		copy(data[4:], key[:])
	}
}

// Balance is the amount in a token account's data.
func Balance(account *amm.Account) uint64 { return le64(account.Data[amountAt:]) }

// Supply is the supply in a mint's data.
func Supply(mint *amm.Account) uint64 { return le64(mint.Data[36:]) }

// withheld is the field of a token account that collects transfer fees, or nil.
func withheld(account *amm.Account) []byte {
	for at := extensionsAt; at+4 <= len(account.Data); {
		kind, n := binary.LittleEndian.Uint16(account.Data[at:]), int(binary.LittleEndian.Uint16(account.Data[at+2:]))
		if kind == extTransferFeeAmount && n == 8 && at+12 <= len(account.Data) {
			return account.Data[at+4 : at+12]
		}
		at += 4 + n
	}
	return nil
}

// tokenAccount decodes the account at key, with the token program's errors.
func (x *execution) tokenAccount(key, program solana.PublicKey) (token.Account, error) {
	account := x.accounts.Get(key)
	if account == nil || account.Owner != program {
		return token.Account{}, errWrongProgram
	}
	if len(account.Data) <= stateAt || account.Data[stateAt] == 0 {
		return token.Account{}, errUninitialized
	}
	if account.Data[stateAt] == 2 {
		return token.Account{}, tokFrozen
	}
	decoded, err := token.DecodeAccount(amm.Accounts{key: account}, key)
	if err != nil {
		return token.Account{}, errInvalidAccount
	}
	return decoded, nil
}

func (x *execution) mint(key solana.PublicKey) (token.Mint, error) {
	m, err := token.DecodeMint(amm.Accounts{key: x.accounts.Get(key)}, key)
	if err != nil {
		return token.Mint{}, errInvalidAccount
	}
	return m, nil
}
