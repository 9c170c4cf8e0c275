package chain

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
)

// refresh decodes a pool all of whose accounts are of slot.
func (m *Market) refresh(p *pool, slot uint64) {
	account := m.accounts[p.address]
	if account == nil {
		m.setAside(p, ReasonNotFound, errors.New("the account does not exist on this cluster"))
		return
	}
	program := m.programs[account.Owner]
	if program == nil {
		m.setAside(p, ReasonUnknownProgram, fmt.Errorf("its owner %s is no AMM program known for this cluster", account.Owner))
		return
	}
	p.mints = mintsOf(program.Layout(), account.Data)
	keys, err := program.Watch(p.address, m.accounts)
	if err != nil {
		m.setAside(p, reasonOf(err), err)
		return
	}
	if len(keys) >= maxBatch {
		m.setAside(p, ReasonTooManyAccounts, fmt.Errorf("it depends on %d accounts, one read takes %d", len(keys), maxBatch-1))
		return
	}
	if m.rewatch(p, keys) {
		if p.rounds++; p.rounds > maxRounds {
			m.setAside(p, ReasonMalformed, fmt.Errorf("it names further accounts after %d rounds", maxRounds))
			return
		}
		m.unlive(p)
		m.requirePool(p, slot)
		return
	}
	p.rounds = 0
	state, err := program.Decode(p.address, m.accounts)
	if err != nil {
		m.setAside(p, reasonOf(err), err)
		return
	}
	p.state, p.slot, p.reason, p.err, p.failures, p.retryAt = state, slot, "", nil, 0, time.Time{}
	p.source = newSource(p.keys, m.accounts)
	if old := m.infos[p.index]; old == nil || *old != *state.Info() {
		if m.shared {
			m.infos, m.shared = slices.Clone(m.infos), false
		}
		m.infos[p.index] = state.Info()
		m.generation++
	}
}

// mintsOf finds the mints of a pool that may not decode; zero where data is no pool of that layout.
func mintsOf(l amm.Layout, data []byte) (mints [2]solana.PublicKey) {
	if l.Size > 0 && uint64(len(data)) != l.Size || !bytes.HasPrefix(data, l.Discriminator) || uint64(len(data)) < max(l.Mints[0], l.Mints[1])+solana.PublicKeyLength {
		return mints
	}
	for i, at := range l.Mints {
		copy(mints[i][:], data[at:])
	}
	return mints
}

func reasonOf(err error) string {
	if _, ok := errors.AsType[*amm.UnsupportedError](err); ok {
		return ReasonUnsupported
	}
	return ReasonMalformed
}

// setAside takes a pool out of quoting. It is tried again after a while, and when the stream tells of a change to it.
func (m *Market) setAside(p *pool, reason string, err error) {
	if p.reason != reason {
		m.log.Warn("pool set aside", "pool", p.address, "reason", reason, "error", err)
	}
	p.state, p.reason, p.err, p.rounds = nil, reason, err, 0
	p.retryAt = time.Now().Add(min(maxSetAside, minSetAside<<min(p.failures, 10)))
	p.failures++
}

// rewatch makes keys what p depends on. It reports whether any of them has yet to be loaded.
func (m *Market) rewatch(p *pool, keys []solana.PublicKey) (more bool) {
	if slices.Equal(p.keys, keys) {
		return false
	}
	keys = slices.Clone(keys)
	for _, key := range keys {
		if !slices.Contains(p.keys, key) {
			m.watch(p, key)
			more = true
		}
	}
	for _, key := range p.keys {
		if slices.Contains(keys, key) {
			continue
		}
		w := m.watched[key]
		w.pools = slices.DeleteFunc(w.pools, func(q *pool) bool { return q == p })
		if len(w.pools) == 0 && key != solana.SysVarClockPubkey {
			delete(m.watched, key)
			delete(m.accounts, key)
			if m.session != nil {
				m.session.subscribe(false, key)
			}
		}
	}
	p.keys = keys
	return more
}

func (m *Market) watch(p *pool, key solana.PublicKey) {
	w := m.watched[key]
	if w == nil {
		w = &watched{}
		m.watched[key] = w
		if m.session != nil {
			m.session.subscribe(true, key)
		}
	}
	if !slices.Contains(w.pools, p) {
		w.pools = append(w.pools, p)
	}
}
