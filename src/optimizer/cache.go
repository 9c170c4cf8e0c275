package optimizer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/bits"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gagliardetto/solana-go"
	"github.com/redis/go-redis/v9"

	"jupiter-dex-integration/src/routing"
)

const (
	// maxCached bounds the cache's memory to some 20 MB.
	maxCached = 10_000
	// movedPart is which part of the pools may have moved since a search for its paths to be used still.
	movedPart = 100
	// shareSlots is how many slots before or after another replica's search its paths are good: about 10 s.
	shareSlots = 25
	// shareQueue is how many entries may wait to be written to Redis or looked up there; more are forgotten.
	shareQueue = 1000
	// shareTimeout bounds a command: an entry that comes later than that is no longer missed.
	shareTimeout = time.Second
)

// pathCache remembers which paths plans were made of, never amounts: a plan that begins with them is quoted on the present slot and bettered,
// and is found in a fraction of the time. Paths are forgotten once prices have moved, and after ttl.
//
// Replicas share what they find through Redis, in the background: no request waits for it.
type pathCache struct {
	ttl time.Duration
	now func() time.Time

	mu      sync.Mutex
	entries map[cacheKey]cacheEntry

	shared  redis.UniversalClient // nil: not shared
	network string
	queue   chan func(context.Context) error
	log     *slog.Logger
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
	paths []routing.Path
	// generation and moves are of the graph on which they were searched.
	generation, moves uint64
	expires           time.Time
}

func newPathCache(ttl time.Duration) *pathCache {
	return &pathCache{ttl: ttl, now: time.Now, entries: map[cacheKey]cacheEntry{}}
}

// share makes replicas of one network share entries while run runs.
func (c *pathCache) share(client redis.UniversalClient, network string, log *slog.Logger) {
	c.shared, c.network, c.log = client, network, log
	c.queue = make(chan func(context.Context) error, shareQueue)
}

func keyOf(r *routing.Request, lim routing.Limits) cacheKey {
	join := func(list []string) string {
		return strings.Join(slices.Sorted(slices.Values(list)), ",")
	}
	return cacheKey{r.Input, r.Output, r.ExactOut, bits.Len64(r.Amount), lim.MaxHops, lim.MaxAccounts, r.Intermediates != nil, join(r.Dexes), join(r.ExcludeDexes)}
}

// get is the paths for key, if prices in g are still about those of their search. What is not here is looked for in Redis, for the next
// one who asks.
func (c *pathCache) get(key cacheKey, st *state, req *routing.Request) ([]routing.Path, bool) {
	c.mu.Lock()
	e, ok := c.entries[key]
	c.mu.Unlock()
	if ok && e.generation == st.Generation && !c.now().After(e.expires) && st.graph.Moves()-e.moves <= uint64(st.graph.Pools()/movedPart) {
		return e.paths, true
	}
	if !ok {
		wanted := *req
		c.later(func(ctx context.Context) error { return c.load(ctx, key, st, &wanted) })
	}
	return nil, false
}

// put remembers the paths of a full search, here and for the other replicas.
func (c *pathCache) put(key cacheKey, st *state, paths []routing.Path) {
	c.keep(key, cacheEntry{paths, st.Generation, st.graph.Moves(), c.now().Add(c.ttl)})
	c.later(func(ctx context.Context) error { return c.save(ctx, key, st, paths) })
}

func (c *pathCache) keep(key cacheKey, e cacheEntry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.entries[key]; !ok && len(c.entries) >= maxCached {
		for old := range c.entries { // any will do: what matters is soon put back
			delete(c.entries, old)
			break
		}
	}
	c.entries[key] = e
}

func (c *pathCache) later(do func(context.Context) error) {
	select {
	case c.queue <- do: // never where nothing is shared
	default:
	}
}

// run talks to Redis until ctx ends.
func (c *pathCache) run(ctx context.Context) error {
	failing := false
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case do := <-c.queue:
			timed, cancel := context.WithTimeout(ctx, shareTimeout)
			err := do(timed)
			cancel()
			if err != nil && !failing {
				c.log.Warn("paths are not shared: Redis does not answer", "error", err)
			}
			failing = err != nil
		}
	}
}

func (c *pathCache) name(key cacheKey) string {
	hash := sha256.Sum256(fmt.Appendf(nil, "%v", key))
	return "jupiter:paths:" + c.network + ":" + hex.EncodeToString(hash[:16])
}

// sharedPaths are paths as lists of their pools, and when they were found.
type sharedPaths struct {
	Slot  uint64               `json:"slot"`
	Paths [][]solana.PublicKey `json:"paths"`
}

func (c *pathCache) save(ctx context.Context, key cacheKey, st *state, paths []routing.Path) error {
	out := sharedPaths{Slot: st.Slot}
	for i := range paths {
		var pools []solana.PublicKey
		for _, place := range paths[i].Pools() {
			pools = append(pools, st.Infos[place].Address)
		}
		out.Paths = append(out.Paths, pools)
	}
	data, err := json.Marshal(out)
	if err != nil {
		return err
	}
	return c.shared.Set(ctx, c.name(key), data, c.ttl).Err()
}

// load takes over what another replica found a short while ago: nobody here knows how prices have moved since.
func (c *pathCache) load(ctx context.Context, key cacheKey, st *state, req *routing.Request) error {
	data, err := c.shared.Get(ctx, c.name(key)).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil
	}
	if err != nil {
		return err
	}
	var in sharedPaths
	if err := json.Unmarshal(data, &in); err != nil {
		return fmt.Errorf("an entry of another version: %w", err)
	}
	if in.Slot+shareSlots < st.Slot || st.Slot+shareSlots < in.Slot {
		return nil
	}
	var paths []routing.Path
	for _, pools := range in.Paths {
		var places []int
		for _, pool := range pools {
			place, ok := st.byAddress[pool]
			if !ok {
				return nil
			}
			places = append(places, place)
		}
		path, ok := st.graph.PathOf(req, places)
		if !ok {
			return nil
		}
		paths = append(paths, path)
	}
	c.mu.Lock()
	_, known := c.entries[key]
	c.mu.Unlock()
	if !known {
		c.keep(key, cacheEntry{paths, st.Generation, st.graph.Moves(), c.now().Add(c.ttl)})
	}
	return nil
}
