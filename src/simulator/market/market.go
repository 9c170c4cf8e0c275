package market

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/simulator/svm"
)

// The chain's pace and its numbers at the start.
const (
	SlotDuration  = 400 * time.Millisecond
	SlotsPerEpoch = 432_000

	firstSlot = 452_000_000
	// skippedSlots have no block: heights lag behind slots by them.
	skippedSlots = 21_900_000

	// A blockhash is good for the transactions of the next 150 blocks.
	blockhashBlocks = 150

	confirmedLag = 2
	finalizedLag = 31
)

// Commitment says how settled a state must be.
type Commitment int

// The three commitments that Solana's RPC knows.
const (
	Processed Commitment = iota
	Confirmed
	Finalized
)

// Config is what a market starts from.
type Config struct {
	Seed uint64
	// Start is the chain's time when New returns.
	Start time.Time
	// CPMM is the Raydium CPMM deployment whose pools these are.
	CPMM amm.Program
}

// Market is the chain. Reading is free of locks; one step at a time moves it.
type Market struct {
	seed    uint64
	start   time.Time
	runtime *svm.Runtime
	tokens  []*Token
	byMint  map[solana.PublicKey]*Token
	pools   []solana.PublicKey
	bands   []uint64         // the fees of each pool, in millionths, within which it may stray
	trader  solana.PublicKey // a wallet for all of them
	starts  []picoUSD        // what tokens were worth at the start
	tip     atomic.Pointer[heads]

	mu       sync.Mutex // held for a step
	rng      *rand.Rand
	history  []*Snapshot // oldest first
	queue    []queued
	statuses map[solana.Signature]Status
}

// Heads are the newest states, by commitment.
type Heads [3]*Snapshot

// heads is one element of the list of all heads: whoever holds one can wait for the next.
type heads struct {
	at   Heads
	done chan struct{}
	next *heads // readable once done is closed
}

// Snapshot is the whole state at the end of one slot. It never changes.
type Snapshot struct {
	Slot uint64
	Time time.Time
	// Blockhash is that of the slot's own block.
	Blockhash solana.Hash
	// Pools are the decoded pools, in the order of Market.Pools.
	Pools []amm.Pool
	// Changed are the accounts that the slot wrote.
	Changed []solana.PublicKey

	accounts map[solana.PublicKey]*amm.Account
	prices   map[solana.PublicKey]Price
	worth    []picoUSD // of one whole token, in the order of Market.tokens: what traders believe
}

// Price is what one whole token was worth when it was last traded.
type Price struct {
	USD float64
	// Slot is that of the last trade.
	Slot uint64
	// ChangePercent is against the chain's start.
	ChangePercent float64
}

// New makes a market and lets it trade for long enough that every commitment has a state of its own.
func New(cfg Config) (*Market, error) {
	m := &Market{
		seed:     cfg.Seed,
		start:    cfg.Start,
		runtime:  &svm.Runtime{CPMM: cfg.CPMM},
		byMint:   make(map[solana.PublicKey]*Token),
		rng:      rand.New(rand.NewPCG(cfg.Seed, 0x6d61726b6574)),
		statuses: make(map[solana.Signature]Status),
	}
	genesis, err := m.genesis()
	if err != nil {
		return nil, fmt.Errorf("making the market: %w", err)
	}
	m.publish(genesis)
	for range finalizedLag {
		if err := m.step(); err != nil {
			return nil, fmt.Errorf("making the market: %w", err)
		}
	}
	return m, nil
}

// Tokens are the market's tokens.
func (m *Market) Tokens() []*Token { return m.tokens }

// Token is the token with that mint, or nil.
func (m *Market) Token(mint solana.PublicKey) *Token { return m.byMint[mint] }

// Pools are the addresses of the pools.
func (m *Market) Pools() []solana.PublicKey { return m.pools }

// Program is the AMM that the pools belong to.
func (m *Market) Program() amm.Program { return m.runtime.CPMM }

// At is the newest state of that commitment.
func (m *Market) At(c Commitment) *Snapshot { return m.tip.Load().at[c] }

// Run moves the market a slot at a time, as the clock does, until ctx ends.
func (m *Market) Run(ctx context.Context) error {
	ticker := time.NewTicker(SlotDuration)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			if err := m.Step(1); err != nil {
				return err
			}
		}
	}
}

// Step moves the market by n slots at once. An error means that its own state no longer decodes.
func (m *Market) Step(n int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for range n {
		if err := m.step(); err != nil {
			return err
		}
	}
	return nil
}

func (m *Market) step() error {
	parent := m.tip.Load().at[Processed]
	accounts := svm.NewAccounts(parent.Account)
	s := m.newSnapshot(parent.Slot + 1)
	s.worth = m.walk(parent.worth)
	accounts.Put(solana.SysVarClockPubkey, clockAccount(s))
	m.runQueue(s, accounts)
	if err := m.trade(s, parent, accounts); err != nil {
		return err
	}
	s.accounts = maps.Clone(parent.accounts)
	for key, account := range accounts.Written() {
		s.Changed = append(s.Changed, key)
		if account.Lamports == 0 {
			delete(s.accounts, key)
		} else {
			s.accounts[key] = account
		}
	}
	slices.SortFunc(s.Changed, comparePublicKeys)
	s.Pools = slices.Clone(parent.Pools)
	if err := m.decodePools(s); err != nil {
		return err
	}
	m.publish(s)
	return nil
}

func (m *Market) newSnapshot(slot uint64) *Snapshot {
	return &Snapshot{
		Slot:      slot,
		Time:      m.start.Add(time.Duration(int64(slot)-firstSlot-finalizedLag) * SlotDuration),
		Blockhash: m.blockhash(slot),
	}
}

// decodePools refreshes the pools whose accounts the slot wrote.
func (m *Market) decodePools(s *Snapshot) error {
	touched := make(map[solana.PublicKey]bool, len(s.Changed))
	for _, key := range s.Changed {
		touched[key] = true
	}
	for i, key := range m.pools {
		if s.Pools[i] != nil {
			vaults := s.Pools[i].Info().Vaults
			if !touched[key] && !touched[vaults[0]] && !touched[vaults[1]] {
				continue
			}
		}
		pool, err := svm.DecodePool(m.runtime.CPMM, key, s.Account)
		if err != nil {
			return fmt.Errorf("pool %s: %w", key, err)
		}
		s.Pools[i] = pool
	}
	return nil
}

// publish makes s the newest state and wakes who waits for it.
func (m *Market) publish(s *Snapshot) {
	if len(m.history) > finalizedLag {
		m.history = slices.Delete(m.history, 0, 1)
	}
	m.history = append(m.history, s)
	back := func(lag int) *Snapshot { return m.history[max(0, len(m.history)-1-lag)] }
	next := &heads{at: Heads{s, back(confirmedLag), back(finalizedLag)}, done: make(chan struct{})}
	if last := m.tip.Swap(next); last != nil {
		last.next = next
		close(last.done)
	}
}

// blockhash is a function of seed and slot, so that nobody has to remember it.
func (m *Market) blockhash(slot uint64) solana.Hash {
	return solana.Hash(m.digest("blockhash", slot))
}

func (m *Market) digest(purpose string, slot uint64, more ...[]byte) [32]byte {
	h := sha256.New()
	binary.Write(h, binary.LittleEndian, m.seed)
	h.Write([]byte(purpose))
	binary.Write(h, binary.LittleEndian, slot)
	for _, b := range more {
		h.Write(b)
	}
	return [32]byte(h.Sum(nil))
}

// Account is the account at key, to be read only, or nil.
func (s *Snapshot) Account(key solana.PublicKey) *amm.Account { return s.accounts[key] }

// Accounts is every account, to be read only.
func (s *Snapshot) Accounts() map[solana.PublicKey]*amm.Account { return s.accounts }

// Height is the number of the slot's block.
func (s *Snapshot) Height() uint64 { return s.Slot - skippedSlots }

// Epoch is the slot's epoch.
func (s *Snapshot) Epoch() uint64 { return s.Slot / SlotsPerEpoch }

// Clock is what programs see in the slot.
func (s *Snapshot) Clock() amm.Clock {
	return amm.Clock{Slot: s.Slot, Epoch: s.Epoch(), UnixTimestamp: s.Time.Unix()}
}

// Price is that of the token with that mint; false if there is none.
func (s *Snapshot) Price(mint solana.PublicKey) (Price, bool) {
	p, ok := s.prices[mint]
	return p, ok
}

// LastValidHeight is the last block height at which the snapshot's blockhash is good.
func (s *Snapshot) LastValidHeight() uint64 { return s.Height() + blockhashBlocks }

// BlockhashValid says whether a transaction with that blockhash may still be processed on top of s.
func (m *Market) BlockhashValid(s *Snapshot, hash solana.Hash) bool {
	for age := range uint64(blockhashBlocks + 1) {
		if m.blockhash(s.Slot-age) == hash {
			return true
		}
	}
	return false
}

// PriorityFee is the price in micro-lamports per compute unit that a transaction had to offer in the slot to be
// taken while it wrote to the accounts: nothing but for pools, which are contended in three slots of four.
func (m *Market) PriorityFee(slot uint64, accounts []solana.PublicKey) uint64 {
	var fee uint64
	for _, key := range accounts {
		if !slices.Contains(m.pools, key) {
			continue
		}
		d := m.digest("priority fee", slot, key[:])
		if n := binary.LittleEndian.Uint64(d[:]); n%4 != 0 {
			fee = max(fee, 1_000+n%50_000)
		}
	}
	return fee
}

// Heads are the newest states now.
func (m *Market) Heads() Heads { return m.tip.Load().at }

// Follow calls visit with the heads of every slot from now on, each once and in order, until ctx ends or visit fails, and returns why.
func (m *Market) Follow(ctx context.Context, visit func(Heads) error) error {
	for tip := m.tip.Load(); ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tip.done:
		}
		tip = tip.next
		if err := visit(tip.at); err != nil {
			return err
		}
	}
}
