package svm

import (
	"maps"
	"slices"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
)

// Accounts is a ledger that may be changed: what is written stays on top of the base, which is never touched. An account
// without lamports does not exist. It is not safe for concurrent use.
type Accounts struct {
	base    func(solana.PublicKey) *amm.Account
	written map[solana.PublicKey]*amm.Account
}

// NewAccounts puts an empty layer on base, which gives nil for an account that does not exist.
func NewAccounts(base func(solana.PublicKey) *amm.Account) *Accounts {
	return &Accounts{base: base, written: make(map[solana.PublicKey]*amm.Account)}
}

// Get is the account at key, to be read only, or nil.
func (a *Accounts) Get(key solana.PublicKey) *amm.Account {
	if account, ok := a.written[key]; ok {
		if account.Lamports == 0 {
			return nil
		}
		return account
	}
	return a.base(key)
}

// Edit is the account at key, to be changed in place, or nil.
func (a *Accounts) Edit(key solana.PublicKey) *amm.Account {
	if account, ok := a.written[key]; ok {
		if account.Lamports == 0 {
			return nil
		}
		return account
	}
	account := a.base(key)
	if account == nil {
		return nil
	}
	a.written[key] = &amm.Account{Owner: account.Owner, Lamports: account.Lamports, Data: slices.Clone(account.Data)}
	return a.written[key]
}

// Put stores account at key.
func (a *Accounts) Put(key solana.PublicKey, account *amm.Account) { a.written[key] = account }

// Written is every account that was opened for change; one without lamports is gone.
func (a *Accounts) Written() map[solana.PublicKey]*amm.Account { return a.written }

// fork is a layer on top of a, which merge makes permanent.
func (a *Accounts) fork() *Accounts { return NewAccounts(a.Get) }

func (a *Accounts) merge(layer *Accounts) { maps.Copy(a.written, layer.written) }
