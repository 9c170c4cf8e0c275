package chain

import (
	"maps"
	"slices"

	"github.com/gagliardetto/solana-go"
)

// hear takes one notification: it is held until its slot is known to be whole.
func (m *Market) hear(n notified) {
	if m.watched[n.key] == nil {
		return
	}
	if n.slot < m.heard { // out of order: what was concluded from the later one was wrong
		m.require(n.key, m.heard)
		return
	}
	m.pending[n.slot] = append(m.pending[n.slot], n)
	if n.slot == m.heard {
		return
	}
	if m.heard == 0 { // only now is it known what a read must have reached to be later than the subscriptions
		for _, p := range m.pools {
			m.requirePool(p, n.slot)
		}
	}
	m.heard = n.slot
	m.seal()
}

// seal applies what is pending of slots before the newest heard of.
func (m *Market) seal() {
	m.seals++
	var touched []*pool
	for _, slot := range slices.Sorted(maps.Keys(m.pending)) {
		if slot >= m.heard {
			break
		}
		for _, n := range m.pending[slot] {
			w := m.watched[n.key]
			if w == nil || w.slot >= slot {
				continue
			}
			m.accounts[n.key], w.slot = n.account, slot
			for _, p := range w.pools {
				if p.sealed != m.seals {
					p.sealed = m.seals
					touched = append(touched, p)
				}
			}
		}
		delete(m.pending, slot)
	}
	m.readClock()
	for _, p := range touched {
		switch {
		case !p.live: // another part of it may have changed unheard
			m.requirePool(p, m.heard-1)
		case !p.mustRead:
			m.refresh(p, m.heard-1)
		}
		if p.mustRead { // it is known to have changed, not into what
			p.state = nil
		}
	}
	m.publish()
}

// sealed is the newest slot of which everything has been heard.
func (m *Market) sealed() uint64 { return max(m.heard, 1) - 1 }

// require has the pools that depend on key read at minSlot or later.
func (m *Market) require(key solana.PublicKey, minSlot uint64) {
	if w := m.watched[key]; w != nil {
		for _, p := range w.pools {
			m.requirePool(p, minSlot)
		}
	}
}

func (m *Market) requirePool(p *pool, minSlot uint64) {
	p.slot = m.slotOf(p)
	p.mustRead, p.minSlot = true, max(p.minSlot, minSlot)
}

func (m *Market) unlive(p *pool) {
	p.slot = m.slotOf(p)
	p.live = false
}

// slotOf is the newest slot at which p's state is known to have been the present one.
func (m *Market) slotOf(p *pool) uint64 {
	if p.live && !p.mustRead {
		return max(p.slot, m.sealed())
	}
	return p.slot
}
