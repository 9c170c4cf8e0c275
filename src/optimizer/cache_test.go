package optimizer

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/gagliardetto/solana-go"
	"github.com/redis/go-redis/v9"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/chain"
	"jupiter-dex-integration/src/jupiter"
	"jupiter-dex-integration/src/routing"
)

// coin is a pool of two mints at a price, of which nothing but the price is of interest.
type coin struct {
	info  amm.Info
	price float64
}

func (c *coin) Info() *amm.Info                               { return &c.info }
func (*coin) Quote(amm.Clock, amm.Request) (amm.Quote, error) { return amm.Quote{}, amm.ErrNotOpen }
func (c *coin) SpotPrice(aToB bool) float64 {
	if aToB {
		return c.price
	}
	return 1 / c.price
}
func (*coin) SwapInstruction(amm.Quote, amm.Swap) (solana.Instruction, error) { return nil, nil }
func (*coin) SwapAccounts(amm.Quote) int                                      { return 1 }

func newCoin(i byte, price float64) *coin {
	return &coin{amm.Info{Address: solana.PublicKey{9, i}, Mints: [2]solana.PublicKey{{i}, {i + 1}}}, price}
}

// chainOf is a state of n pools, each from one mint to the next.
func chainOf(n int) *state {
	st := &state{Snapshot: &chain.Snapshot{Slot: 100}, byAddress: map[solana.PublicKey]int{}}
	for i := range n {
		c := newCoin(byte(i+1), 2)
		st.Pools, st.Infos = append(st.Pools, c), append(st.Infos, &c.info)
		st.byAddress[c.info.Address] = i
	}
	st.graph = routing.NewGraph(st.Infos, st.Pools, st.Clock)
	return st
}

func pathOf(t *testing.T, st *state, req routing.Request, pools ...int) []routing.Path {
	t.Helper()
	p, ok := st.graph.PathOf(&req, pools)
	if !ok {
		t.Fatal("no such path")
	}
	return []routing.Path{p}
}

func TestCachedPathsExpireAndDependOnTheRequest(t *testing.T) {
	now := time.Unix(0, 0)
	st := chainOf(2)
	c := newPathCache(time.Minute)
	c.now = func() time.Time { return now }
	request := routing.Request{Input: solana.PublicKey{1}, Output: solana.PublicKey{3}, Amount: 1000, Dexes: []string{"A", "B"}}
	lim := routing.Limits{MaxHops: 4, MaxAccounts: 64}
	c.put(keyOf(&request, lim), st, pathOf(t, st, request, 0, 1))
	same := request
	same.Amount, same.Dexes = 1023, []string{"B", "A"}
	if paths, ok := c.get(keyOf(&same, lim), st, &same); !ok || len(paths) != 1 {
		t.Error("a like request misses")
	}
	for name, change := range map[string]func(*routing.Request, *routing.Limits){
		"size":     func(r *routing.Request, _ *routing.Limits) { r.Amount = 1024 },
		"mode":     func(r *routing.Request, _ *routing.Limits) { r.ExactOut = true },
		"pair":     func(r *routing.Request, _ *routing.Limits) { r.Input, r.Output = r.Output, r.Input },
		"dexes":    func(r *routing.Request, _ *routing.Limits) { r.Dexes = nil },
		"excluded": func(r *routing.Request, _ *routing.Limits) { r.ExcludeDexes = []string{"C"} },
		"hops":     func(_ *routing.Request, l *routing.Limits) { l.MaxHops = 1 },
		"accounts": func(_ *routing.Request, l *routing.Limits) { l.MaxAccounts = 20 },
	} {
		r, l := request, lim
		change(&r, &l)
		if _, ok := c.get(keyOf(&r, l), st, &r); ok {
			t.Errorf("a request of another %s hits", name)
		}
	}
	now = now.Add(61 * time.Second)
	if _, ok := c.get(keyOf(&request, lim), st, &request); ok {
		t.Error("paths outlive their time")
	}
}

func TestPathsAreForgottenWhenPricesMove(t *testing.T) {
	const pools = 150
	st := chainOf(pools)
	c := newPathCache(time.Minute)
	request := routing.Request{Input: solana.PublicKey{1}, Output: solana.PublicKey{2}, Amount: 1000}
	key := keyOf(&request, routing.Limits{})
	c.put(key, st, pathOf(t, st, request, 0))
	move := func(i int, price float64) {
		later := slices.Clone(st.Pools)
		later[i] = newCoin(byte(i+1), price)
		next := *st.Snapshot
		next.Pools = later
		st = &state{Snapshot: &next, graph: st.graph.Update(later, next.Clock), byAddress: st.byAddress}
	}
	for range 20 {
		move(5, 2*(1+5e-5)) // half a basis point away
	}
	move(7, 2.1)
	if _, ok := c.get(key, st, &request); !ok {
		t.Error("one move of 150 pools, and the paths are forgotten")
	}
	move(7, 2)
	if _, ok := c.get(key, st, &request); ok {
		t.Error("two moves of 150 pools, and the paths are not forgotten")
	}
}

func TestReplicasSharePaths(t *testing.T) {
	server := miniredis.RunT(t)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	replica := func() *pathCache {
		c := newPathCache(time.Minute)
		client := redis.NewClient(&redis.Options{Addr: server.Addr()})
		t.Cleanup(func() { client.Close() })
		c.share(client, "devnet", quiet)
		running.Go(func() { _ = c.run(ctx) }) // it ends with ctx
		return c
	}
	one, other := replica(), replica()
	st := chainOf(3)
	request := routing.Request{Input: solana.PublicKey{1}, Output: solana.PublicKey{4}, Amount: 1000, ExactOut: true}
	key := keyOf(&request, routing.Limits{})
	one.put(key, st, pathOf(t, st, request, 2, 1, 0))
	eventually(t, "the other replica has the paths", func() bool {
		paths, ok := other.get(key, chainOf(3), &request)
		return ok && slices.Equal(paths[0].Pools(), []int{2, 1, 0})
	})
	late := chainOf(3)
	late.Slot += shareSlots + 1
	third := replica()
	third.get(key, late, &request)
	stranger := request
	stranger.Amount = 1 << 40 // whose entry comes after the first
	one.put(keyOf(&stranger, routing.Limits{}), late, pathOf(t, late, stranger, 2, 1, 0))
	eventually(t, "the third replica has the newer paths", func() bool {
		_, ok := third.get(keyOf(&stranger, routing.Limits{}), late, &stranger)
		return ok
	})
	if _, ok := third.get(key, late, &request); ok {
		t.Error("paths of an old slot were taken over")
	}
	server.Close()
	one.put(key, st, pathOf(t, st, request, 2, 1, 0))
	if _, ok := one.get(key, st, &request); !ok {
		t.Error("without Redis nothing is remembered")
	}
}

func TestCacheIsBounded(t *testing.T) {
	c := newPathCache(time.Minute)
	for i := range uint64(2 * maxCached) {
		c.keep(cacheKey{input: solana.PublicKey{byte(i), byte(i >> 8), byte(i >> 16)}}, cacheEntry{})
	}
	if len(c.entries) > maxCached {
		t.Errorf("%d entries", len(c.entries))
	}
}

func TestACacheHitIsQuotedOnThePresentState(t *testing.T) {
	c := newCluster(t)
	base := c.optimizer(t)
	waitReady(t, base)
	const query = "?inputMint=" + wsol + "&outputMint=" + usdc + "&amount=700000000000"
	detailed := func() (q detailedQuote) { // which uses no cache
		eventually(t, "a quote", func() bool { // not all pools are there at first
			code, body := get(t, base+"/v1/quote"+query)
			if code == http.StatusOK {
				q = decode[detailedQuote](t, body)
			}
			return code == http.StatusOK
		})
		return q
	}
	seen := map[string]bool{}
	for range 5 {
		if err := c.Step(3); err != nil {
			t.Fatal(err)
		}
		eventually(t, "another state that stays for two quotes", func() bool {
			before := detailed()
			_, body := get(t, base+"/quote"+query)
			cached := decode[jupiter.Quote](t, body)
			if detailed().StateHash != before.StateHash || seen[before.StateHash] {
				return false
			}
			seen[before.StateHash] = true
			if cached.ContextSlot != before.Quote.ContextSlot || float64(cached.OutAmount) < .9999*float64(before.Quote.OutAmount) {
				t.Errorf("%d with the cache, %d without", cached.OutAmount, before.Quote.OutAmount)
			}
			return true
		})
	}
}
