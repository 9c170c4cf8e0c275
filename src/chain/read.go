package chain

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/gagliardetto/solana-go"
	"github.com/gagliardetto/solana-go/rpc"
	"golang.org/x/sync/errgroup"

	"jupiter-dex-integration/src/amm"
)

// due starts what is due: reads of pools that need one, unless a round of reads is under way.
func (m *Market) due(ctx context.Context, now time.Time, wg *sync.WaitGroup) {
	poll, audit := now.After(m.pollAt), now.After(m.auditAt)
	if m.reading || now.Before(m.retryAt) {
		return
	}
	var must []*pool
	for _, p := range m.pools {
		switch {
		case now.Before(p.retryAt): // set aside
		case p.mustRead || p.reason != "" || audit || poll && !p.live:
			must = append(must, p)
		}
	}
	if poll {
		m.pollAt = now.Add(m.cfg.PollInterval)
	}
	if audit {
		m.auditAt = now.Add(m.cfg.AuditInterval)
	}
	if now.After(m.statusAt) {
		m.statusAt = now.Add(time.Second)
		m.publishStatus()
	}
	batches := m.batches(must)
	if len(batches) == 0 {
		return
	}
	m.reading = true
	wg.Go(func() { m.reads <- m.readAll(ctx, batches) })
}

// batches packs whole pools into reads of up to 100 accounts, shared ones once, the clock with each.
func (m *Market) batches(pools []*pool) []answer {
	var batches []answer
	in := map[solana.PublicKey]bool{}
	for _, p := range pools {
		missing := 0
		for _, key := range p.keys {
			if !in[key] {
				missing++
			}
		}
		if len(batches) == 0 || len(batches[len(batches)-1].keys)+missing > maxBatch {
			batches = append(batches, answer{keys: []solana.PublicKey{solana.SysVarClockPubkey}})
			clear(in)
		}
		b := &batches[len(batches)-1]
		b.pools = append(b.pools, p)
		b.slot = max(b.slot, p.minSlot)
		for _, key := range p.keys {
			if !in[key] {
				in[key] = true
				b.keys = append(b.keys, key)
			}
		}
	}
	return batches
}

// readAll fills in the batches, whose slots say what the answers must have reached.
func (m *Market) readAll(ctx context.Context, batches []answer) []answer {
	var g errgroup.Group
	g.SetLimit(readConcurrency)
	for i := range batches {
		b := &batches[i]
		g.Go(func() error {
			opts := &rpc.GetMultipleAccountsOpts{Encoding: solana.EncodingBase64, Commitment: Commitment}
			if b.slot > 0 {
				opts.MinContextSlot = &b.slot
			}
			b.err = m.rpc.do(ctx, "getMultipleAccounts", func(ctx context.Context, c *rpc.Client) (uint64, error) {
				res, err := c.GetMultipleAccountsWithOpts(ctx, b.keys, opts)
				if err != nil {
					return 0, err
				}
				if len(res.Value) != len(b.keys) {
					return 0, fmt.Errorf("%d accounts were asked for, %d came", len(b.keys), len(res.Value))
				}
				if res.Context.Slot < b.slot {
					return res.Context.Slot, fmt.Errorf("answer of slot %d where at least %d was asked for", res.Context.Slot, b.slot)
				}
				b.accounts = make([]*amm.Account, len(res.Value))
				for i, a := range res.Value {
					b.accounts[i] = fromRPC(a)
				}
				b.slot = res.Context.Slot
				return b.slot, nil
			})
			return nil
		})
	}
	_ = g.Wait() // errors are in the batches
	return batches
}

// install takes the answers of a round of reads.
func (m *Market) install(answers []answer) {
	var errs []error
	for i := range answers {
		if a := &answers[i]; a.err != nil {
			errs = append(errs, a.err)
		} else {
			m.readAccounts.Add(float64(len(a.keys)))
			m.installOne(a)
		}
	}
	if len(errs) == 0 {
		m.readFail = 0
	} else {
		wait := min(maxReadRetry, 100*time.Millisecond<<min(m.readFail, 10))
		m.readFail++
		m.retryAt = time.Now().Add(wait)
		m.log.Warn("pools could not be read", "batches", len(answers), "failed", len(errs), "error", errs[0], "retry_in", wait)
	}
	m.readClock()
	m.publish()
}

func (m *Market) installOne(a *answer) {
	index := make(map[solana.PublicKey]int, len(a.keys))
	for i, key := range a.keys {
		index[key] = i
	}
	fits := func(key solana.PublicKey) bool {
		i, ok := index[key]
		w := m.watched[key]
		return ok && w != nil && (w.slot <= a.slot || equal(m.accounts[key], a.accounts[i]))
	}
	var fit []*pool
	for _, p := range a.pools {
		// A pool whose keys changed since, or of which something newer is known, must be read again.
		if a.slot >= p.minSlot && !slices.ContainsFunc(p.keys, func(key solana.PublicKey) bool { return !fits(key) }) {
			fit = append(fit, p)
			p.mustRead = false
		} else if !p.live {
			p.mustRead = true
		}
	}
	keys := []solana.PublicKey{solana.SysVarClockPubkey}
	for _, p := range fit {
		keys = append(keys, p.keys...)
	}
	for _, key := range keys {
		w, account := m.watched[key], a.accounts[index[key]]
		if w.slot > a.slot {
			continue
		}
		old, loaded := m.accounts[key]
		m.accounts[key], w.slot = account, a.slot
		if loaded && !equal(old, account) {
			for _, p := range w.pools { // a shared account changed: who was not read with it must be
				if !slices.Contains(fit, p) {
					m.requirePool(p, a.slot)
				}
			}
		}
	}
	for _, p := range fit {
		m.refresh(p, a.slot)
		p.live = m.session != nil && m.heard > 0 && !p.mustRead && !slices.ContainsFunc(p.keys, func(key solana.PublicKey) bool { return !m.watched[key].live })
	}
}

func equal(a, b *amm.Account) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Owner == b.Owner && a.Lamports == b.Lamports && bytes.Equal(a.Data, b.Data)
}
