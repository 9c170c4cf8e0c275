package optimizer

import (
	"math/bits"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/routing"
)

// maxCached bounds the cache's memory to some 20 MB.
const maxCached = 10_000

// pathCache remembers which paths plans were made of, never amounts: a plan that begins with them is quoted on the present slot and bettered
// like any other, and is found with fewer searches. It is local to the process: looking into another one's would take longer than the
// search that it saves.
type pathCache struct {
	ttl time.Duration
	now func() time.Time

	mu      sync.Mutex
	entries map[cacheKey]cacheEntry
}

// cacheKey is what decides which paths are good: the pair, the size to a factor of two, and the request's rules.
type cacheKey struct {
	input, output     solana.PublicKey
	exactOut          bool
	size              int
	hops, accounts    int
	restricted        bool
	dexes, notThrough string
}

type cacheEntry struct {
	paths   []routing.Path
	expires time.Time
}

func newPathCache(ttl time.Duration) *pathCache {
	return &pathCache{ttl: ttl, now: time.Now, entries: map[cacheKey]cacheEntry{}}
}

func keyOf(r routing.Request, lim routing.Limits) cacheKey {
	join := func(list []string) string {
		return strings.Join(slices.Sorted(slices.Values(list)), ",")
	}
	return cacheKey{r.Input, r.Output, r.ExactOut, bits.Len64(r.Amount), lim.MaxHops, lim.MaxAccounts, r.Intermediates != nil, join(r.Dexes), join(r.ExcludeDexes)}
}

func (c *pathCache) get(key cacheKey) ([]routing.Path, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[key]
	if !ok || c.now().After(e.expires) {
		return nil, false
	}
	return e.paths, true
}

func (c *pathCache) put(key cacheKey, paths []routing.Path) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.entries[key]; !ok && len(c.entries) >= maxCached {
		for old := range c.entries { // any will do: what matters is soon put back
			delete(c.entries, old)
			break
		}
	}
	c.entries[key] = cacheEntry{paths, c.now().Add(c.ttl)}
}
