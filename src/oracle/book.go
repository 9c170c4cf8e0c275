package oracle

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"strconv"
	"sync/atomic"
	"time"

	"jupiter-dex-integration/src/jupiter"
)

// record is the last good price of one token.
type record struct {
	jupiter.Price
	// ObservedAt is when the answer with this price arrived; Jupiter itself gives no time.
	ObservedAt time.Time `json:"observedAt"`
}

// check refuses what no token can cost, so that a broken source cannot displace a good price.
func (r record) check() error {
	usd, err := strconv.ParseFloat(string(r.USDPrice), 64)
	if err != nil || math.IsNaN(usd) || math.IsInf(usd, 0) || usd <= 0 {
		return fmt.Errorf("usdPrice %q is not a positive number", r.USDPrice)
	}
	return nil
}

// entry is a record and its JSON in Jupiter's shape, encoded once per update and not once per request.
type entry struct {
	record
	v3 []byte
}

// book holds the last good prices in memory. One goroutine merges; any number read, without locks.
type book struct {
	entries atomic.Pointer[map[string]entry]
}

func newBook() *book {
	b := &book{}
	b.entries.Store(&map[string]entry{})
	return b
}

func (b *book) snapshot() map[string]entry { return *b.entries.Load() }

// retention is how long a price is kept that no update confirms: Jupiter's own limit for a token without trades.
const retention = 7 * 24 * time.Hour

// expired lists the mints whose prices nothing has confirmed for the time of retention.
func (b *book) expired() []string {
	var mints []string
	for mint, e := range b.snapshot() {
		if time.Since(e.ObservedAt) > retention {
			mints = append(mints, mint)
		}
	}
	return mints
}

// merge takes every record that was observed later than the one at hand, and forgets what has expired.
func (b *book) merge(records map[string]record) error {
	next := maps.Clone(b.snapshot())
	for _, mint := range b.expired() {
		delete(next, mint)
	}
	for mint, r := range records {
		if have, ok := next[mint]; ok && !r.ObservedAt.After(have.ObservedAt) || time.Since(r.ObservedAt) > retention {
			continue
		}
		v3, err := json.Marshal(r.Price)
		if err != nil {
			return fmt.Errorf("encoding the price of %s: %w", mint, err)
		}
		next[mint] = entry{r, v3}
	}
	b.entries.Store(&next)
	return nil
}

// newerThan returns the records that others lack, or have an older observation of.
func (b *book) newerThan(others map[string]record) map[string]record {
	newer := map[string]record{}
	for mint, e := range b.snapshot() {
		if other, ok := others[mint]; !ok || e.ObservedAt.After(other.ObservedAt) {
			newer[mint] = e.record
		}
	}
	return newer
}
