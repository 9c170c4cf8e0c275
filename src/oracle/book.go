package oracle

import (
	"fmt"
	"maps"
	"sync/atomic"
	"time"
)

// retention is how long a record is kept that no update touches: Jupiter's own limit for a token without trades.
const retention = 7 * 24 * time.Hour

// entry is a record and its JSON, encoded once per update and not once per request.
type entry struct {
	record
	v3 []byte
	// event is what streams say of it; nil without a price.
	event []byte
}

// book holds the last good prices in memory. One goroutine merges; any number read, without locks.
type book struct {
	clock   *clock
	ages    ages
	entries atomic.Pointer[map[string]entry]
	next    atomic.Pointer[chan struct{}] // closed by the next change
}

func newBook(c *clock, a ages) *book {
	b := &book{clock: c, ages: a}
	b.entries.Store(&map[string]entry{})
	b.next.Store(new(make(chan struct{})))
	return b
}

// changed returns a channel that is closed when the snapshot of now has a successor.
func (b *book) changed() <-chan struct{} { return *b.next.Load() }

func (b *book) snapshot() map[string]entry { return *b.entries.Load() }

// priced says whether there is any price at all.
func (b *book) priced() bool {
	for _, e := range b.snapshot() {
		if e.Price != "" {
			return true
		}
	}
	return false
}

// expired lists the mints that no update has asked for during retention.
func (b *book) expired() []string {
	var mints []string
	for mint, e := range b.snapshot() {
		if b.clock.since(e.CheckedAt) > retention {
			mints = append(mints, mint)
		}
	}
	return mints
}

// merge takes every record that supersedes the one at hand, and forgets what has expired.
func (b *book) merge(records map[string]record) error {
	next := maps.Clone(b.snapshot())
	for _, mint := range b.expired() {
		delete(next, mint)
	}
	now := b.clock.now()
	taken := false
	for mint, r := range records {
		if have, ok := next[mint]; ok && !r.supersedes(have.record, now) || now.Sub(r.CheckedAt) > retention {
			continue
		}
		v3, err := r.v3()
		if err != nil {
			return fmt.Errorf("encoding the price of %s: %w", mint, err)
		}
		event, err := r.event(b.ages.state(r, now))
		if err != nil {
			return fmt.Errorf("encoding the price of %s: %w", mint, err)
		}
		next[mint] = entry{r, v3, event}
		taken = true
	}
	b.entries.Store(&next)
	if taken {
		close(*b.next.Swap(new(make(chan struct{}))))
	}
	return nil
}

// newerThan returns the records that others lack, or have an older version of.
func (b *book) newerThan(others map[string]record) map[string]record {
	newer, now := map[string]record{}, b.clock.now()
	for mint, e := range b.snapshot() {
		if other, ok := others[mint]; !ok || e.supersedes(other, now) {
			newer[mint] = e.record
		}
	}
	return newer
}
