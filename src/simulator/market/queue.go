package market

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/simulator/svm"
)

// queued is what the next slot does before the traders trade.
type queued func(s *Snapshot, accounts *svm.Accounts)

// Status is what became of a transaction that was sent.
type Status struct {
	// Slot is the slot that processed it.
	Slot    uint64
	Outcome svm.Outcome
}

// Send queues tx for the next slot. Its caller has checked signatures and blockhash. A transaction that is sent
// twice is processed once.
func (m *Market) Send(tx *solana.Transaction) error {
	signature := tx.Signatures[0]
	return m.enqueue(func(s *Snapshot, accounts *svm.Accounts) {
		if _, done := m.statuses[signature]; done || !m.BlockhashValid(s, tx.Message.RecentBlockhash) {
			return
		}
		if outcome := m.runtime.Execute(tx, accounts, s.Clock()); outcome.Err == nil || svm.Failed(outcome.Err) {
			m.statuses[signature] = Status{s.Slot, outcome}
		}
	})
}

// Simulate is what tx would do on top of s, and the accounts after it.
func (m *Market) Simulate(s *Snapshot, tx *solana.Transaction) (svm.Outcome, *svm.Accounts) {
	accounts := svm.NewAccounts(s.Account)
	return m.runtime.Execute(tx, accounts, s.Clock()), accounts
}

// Status is what became of a transaction of the last 150 blocks; false if none of that signature was processed.
func (m *Market) Status(signature solana.Signature) (Status, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	status, ok := m.statuses[signature]
	return status, ok
}

// FundSOL gives a wallet lamports in the next slot, out of the traders' wallet.
func (m *Market) FundSOL(wallet solana.PublicKey, lamports uint64) error {
	return m.enqueue(func(_ *Snapshot, accounts *svm.Accounts) {
		from := accounts.Edit(m.trader)
		lamports := min(lamports, from.Lamports/2)
		from.Lamports -= lamports
		if to := accounts.Edit(wallet); to != nil {
			to.Lamports += lamports
		} else {
			accounts.Put(wallet, &amm.Account{Owner: solana.SystemProgramID, Lamports: lamports})
		}
	})
}

// Fund gives a wallet amount base units of a token in the next slot, out of the traders' wallet, in an associated account that is
// made if there is none.
func (m *Market) Fund(wallet, mint solana.PublicKey, amount uint64) error {
	t := m.byMint[mint]
	if t == nil {
		return fmt.Errorf("no token with mint %s", mint)
	}
	return m.enqueue(func(s *Snapshot, accounts *svm.Accounts) {
		from := accounts.Edit(svm.AssociatedAddress(m.trader, mint, t.Program))
		amount := min(amount, svm.Balance(from)/2)
		key := svm.AssociatedAddress(wallet, mint, t.Program)
		if accounts.Get(key) == nil {
			made := svm.TokenAccount(mint, accounts.Get(mint), wallet, 0, true)
			accounts.Edit(m.trader).Lamports -= made.Lamports
			accounts.Put(key, made)
		}
		to := accounts.Edit(key)
		binary.LittleEndian.PutUint64(from.Data[64:], svm.Balance(from)-amount)
		binary.LittleEndian.PutUint64(to.Data[64:], svm.Balance(to)+amount)
		if mint == solana.WrappedSol {
			from.Lamports -= amount
			to.Lamports += amount
		}
	})
}

// maxQueue bounds what a market that does not move keeps for later.
const maxQueue = 10_000

// ErrBusy: too much is queued for the next slot.
var ErrBusy = errors.New("the next slot is full")

func (m *Market) enqueue(q queued) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.queue) >= maxQueue {
		return ErrBusy
	}
	m.queue = append(m.queue, q)
	return nil
}

// runQueue does what was queued, and forgets transactions that nobody can send again.
func (m *Market) runQueue(s *Snapshot, accounts *svm.Accounts) {
	for signature, status := range m.statuses {
		if status.Slot+blockhashBlocks < s.Slot {
			delete(m.statuses, signature)
		}
	}
	for _, q := range m.queue {
		q(s, accounts)
	}
	m.queue = nil
}
