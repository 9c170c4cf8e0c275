package optimizer

import (
	"testing"
	"time"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/jupiter"
	"jupiter-dex-integration/src/routing"
)

func TestCachedPathsExpireAndDependOnTheRequest(t *testing.T) {
	now := time.Unix(0, 0)
	c := newPathCache(time.Minute)
	c.now = func() time.Time { return now }
	request := routing.Request{Input: solana.PublicKey{1}, Output: solana.PublicKey{2}, Amount: 1000, Dexes: []string{"A", "B"}}
	lim := routing.Limits{MaxHops: 4, MaxAccounts: 64}
	c.put(keyOf(request, lim), make([]routing.Path, 3))
	same := request
	same.Amount, same.Dexes = 1023, []string{"B", "A"}
	if paths, ok := c.get(keyOf(same, lim)); !ok || len(paths) != 3 {
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
		if _, ok := c.get(keyOf(r, l)); ok {
			t.Errorf("a request of another %s hits", name)
		}
	}
	now = now.Add(61 * time.Second)
	if _, ok := c.get(keyOf(request, lim)); ok {
		t.Error("paths outlive their time")
	}
}

func TestCacheIsBounded(t *testing.T) {
	c := newPathCache(time.Minute)
	for i := range uint64(2 * maxCached) {
		c.put(cacheKey{input: solana.PublicKey{byte(i), byte(i >> 8), byte(i >> 16)}}, nil)
	}
	if len(c.entries) > maxCached {
		t.Errorf("%d entries", len(c.entries))
	}
}

func TestACacheHitIsQuotedOnThePresentSlot(t *testing.T) {
	c := newCluster(t)
	base, without := c.optimizer(t), c.optimizer(t, "CACHE_ENABLED=false")
	waitReady(t, base)
	waitReady(t, without)
	ask := func(base string) jupiter.Quote {
		_, body := get(t, base+"/quote?inputMint="+wsol+"&outputMint="+usdc+"&amount=700000000000")
		return decode[jupiter.Quote](t, body)
	}
	for range 5 {
		if err := c.Step(3); err != nil {
			t.Fatal(err)
		}
		slot := ask(base).ContextSlot
		eventually(t, "both at the new slot", func() bool {
			a, b := ask(base), ask(without)
			if a.ContextSlot != b.ContextSlot || a.ContextSlot <= slot-3 {
				return false
			}
			if float64(a.OutAmount) < .9999*float64(b.OutAmount) {
				t.Errorf("%d with the cache, %d without", a.OutAmount, b.OutAmount)
			}
			return true
		})
	}
}
