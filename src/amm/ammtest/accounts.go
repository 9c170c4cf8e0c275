package ammtest

import (
	"encoding/binary"
	"fmt"
	"maps"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
)

// Key is a key that differs for every n, for made-up accounts.
func Key(n uint64) solana.PublicKey {
	var key solana.PublicKey
	key[0] = 0xAA
	binary.LittleEndian.PutUint64(key[8:], n)
	return key
}

// Mint is an SPL Token mint.
func Mint(decimals uint8) *amm.Account {
	data := make([]byte, 82)
	data[44], data[45] = decimals, 1
	return &amm.Account{Owner: solana.TokenProgramID, Data: data}
}

// MintWithFee is a Token-2022 mint with one transfer fee for all epochs.
func MintWithFee(decimals uint8, bps uint16, maximum uint64) *amm.Account {
	data := make([]byte, 166, 166+112)
	copy(data, Mint(decimals).Data)
	data[165] = 1
	data = append(data, 1, 0, 108, 0)
	data = append(data, make([]byte, 72)...)
	for range 2 {
		data = binary.LittleEndian.AppendUint64(data, 0)
		data = binary.LittleEndian.AppendUint64(data, maximum)
		data = binary.LittleEndian.AppendUint16(data, bps)
	}
	return &amm.Account{Owner: solana.Token2022ProgramID, Data: data}
}

// TokenAccount holds amount of a mint, under the mint's token program.
func TokenAccount(program, mint, owner solana.PublicKey, amount uint64) *amm.Account {
	data := make([]byte, 165)
	copy(data, mint[:])
	copy(data[32:], owner[:])
	binary.LittleEndian.PutUint64(data[64:], amount)
	data[108] = 1
	return &amm.Account{Owner: program, Data: data}
}

// Move is accounts after a swap of which nothing but the two vaults' balances remains: in is added and out taken away. It fits
// pools of SPL Token mints that keep no accrued fees.
func Move(accounts amm.Accounts, info *amm.Info, quote amm.Quote) amm.Accounts {
	in, out := info.Vaults[0], info.Vaults[1]
	if !quote.AToB {
		in, out = out, in
	}
	after := maps.Clone(accounts)
	add(after, in, quote.In)
	add(after, out, -quote.Out)
	return after
}

func add(accounts amm.Accounts, vault solana.PublicKey, amount uint64) {
	account := *accounts[vault]
	account.Data = append([]byte(nil), account.Data...)
	balance := account.Data[64:72]
	binary.LittleEndian.PutUint64(balance, binary.LittleEndian.Uint64(balance)+amount)
	accounts[vault] = &account
}

// load gives what program watches for pool, out of all, as a loader would find it: what all lacks is known not to exist.
func load(program amm.Program, pool solana.PublicKey, all amm.Accounts) (amm.Accounts, error) {
	const rounds = 4
	loaded := amm.Accounts{}
	for range rounds {
		keys, err := program.Watch(pool, loaded)
		if err != nil {
			return nil, fmt.Errorf("watch: %w", err)
		}
		before := len(loaded)
		for _, key := range keys {
			loaded[key] = all[key]
		}
		if len(loaded) == before {
			return loaded, nil
		}
	}
	return nil, fmt.Errorf("watch still names new accounts after %d rounds", rounds)
}

// Decode loads what program watches out of all, and decodes the pool.
func Decode(program amm.Program, pool solana.PublicKey, all amm.Accounts) (amm.Pool, error) {
	accounts, err := load(program, pool, all)
	if err != nil {
		return nil, err
	}
	return program.Decode(pool, accounts)
}

// associatedTokenAddress derives a user's token account for either token program.
func associatedTokenAddress(user, program, mint solana.PublicKey) (solana.PublicKey, error) {
	address, _, err := solana.FindProgramAddress([][]byte{user[:], program[:], mint[:]}, solana.SPLAssociatedTokenAccountProgramID)
	return address, err
}
