package oracle

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"jupiter-dex-integration/src/oracle/aggregate"
	"jupiter-dex-integration/src/platform"
	"jupiter-dex-integration/src/platform/redistest"
)

// onEachRedis runs a test against the embedded Redis, a real one and a cluster.
func onEachRedis(t *testing.T, test func(t *testing.T, s *store)) {
	t.Parallel()
	t.Run("miniredis", func(t *testing.T) {
		rdb := redis.NewClient(&redis.Options{Addr: miniredis.RunT(t).Addr()})
		t.Cleanup(func() { rdb.Close() })
		test(t, newStore(rdb, "mainnet"))
	})
	t.Run("redis-server", func(t *testing.T) { test(t, newStore(realRedis(t), "mainnet")) })
	t.Run("cluster", func(t *testing.T) { test(t, newStore(connect(t, redistest.StartCluster(t).URL), "mainnet")) })
}

// connect is what the service makes of REDIS_URL.
func connect(t *testing.T, url string) redis.UniversalClient {
	t.Helper()
	rdb, err := platform.RedisConfig{RedisURL: url}.Client()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rdb.Close() })
	return rdb
}

func someRecord(usd string, at time.Time) record {
	at = at.UTC().Truncate(time.Millisecond)
	change, liquidity, decimals, confidence := json.Number("1.6657517647060245"), json.Number("655459748.2044258"), uint8(9), 0.25
	price, _ := json.Number(usd).Float64()
	return record{Price: json.Number(usd), Confidence: &confidence, ObservedAt: at, CheckedAt: at, Slot: 435318986, Decimals: &decimals,
		Degraded: []string{"1 of at least 2 sources"}, Sources: []sourceQuote{{Name: "jupiter", Price: json.Number(usd), ObservedAt: at, Used: true}},
		Track: aggregate.Track{Price: price, At: at, EMA: price}, PriceChange24h: &change, Liquidity: &liquidity, CreatedAt: "2024-06-05T08:55:25.527Z"}
}

func TestStoreGivesBackWhatWasCommitted(t *testing.T) {
	onEachRedis(t, func(t *testing.T, s *store) {
		lease := mustBegin(t, s, time.Minute)
		want := map[string]record{wsol: someRecord("75.06634976056819", time.Now()), usdc: someRecord("1e-7", time.Now())}
		sources := []sourceHealth{{Name: "jupiter", Priced: 2, TookMs: 12, CheckedAt: time.Now().UTC().Truncate(time.Millisecond)}}
		version, err := s.commit(t.Context(), lease.Fence, outcome{records: want, problem: "50 tokens were not answered", sources: sources}, 0, 1200)
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.load(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got.records); diff != "" {
			t.Error(diff)
		}
		if got.version != version || got.problem != "50 tokens were not answered" {
			t.Errorf("got version %d, problem %q", got.version, got.problem)
		}
		if diff := cmp.Diff(sources, got.sources); diff != "" {
			t.Error(diff)
		}
	})
}

func TestStoreRemovesExpiredPrices(t *testing.T) {
	onEachRedis(t, func(t *testing.T, s *store) {
		both := map[string]record{wsol: someRecord("75", time.Now()), usdc: someRecord("1", time.Now())}
		if _, err := s.commit(t.Context(), mustBegin(t, s, 0).Fence, outcome{records: both}, 0, 1200); err != nil {
			t.Fatal(err)
		}
		if _, err := s.commit(t.Context(), mustBegin(t, s, 0).Fence, outcome{expired: []string{usdc}}, 0, 1200); err != nil {
			t.Fatal(err)
		}
		got, err := s.load(t.Context())
		if _, kept := got.records[wsol]; err != nil || !kept || len(got.records) != 1 {
			t.Errorf("got %v, %v", got.records, err)
		}
	})
}

func TestOnlyOneOfManyLeads(t *testing.T) {
	onEachRedis(t, func(t *testing.T, s *store) {
		var mu sync.Mutex
		var leaders []turn
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				got, err := s.begin(t.Context(), time.Minute)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Error(err)
				} else if got.Fence > 0 {
					leaders = append(leaders, got)
				} else if !got.Busy {
					t.Errorf("a follower was told that prices are fresh: %+v", got)
				}
			})
		}
		wg.Wait()
		if len(leaders) != 1 {
			t.Fatalf("%d leaders", len(leaders))
		}
		if _, err := s.commit(t.Context(), leaders[0].Fence, outcome{}, 0, 1200); err != nil {
			t.Fatal(err)
		}
		if got := mustBegin(t, s, time.Minute); got.Fence != 0 || got.Busy {
			t.Errorf("after an update another was allowed within its interval: %+v", got)
		}
		if got := mustBegin(t, s, 0); got.Fence <= leaders[0].Fence {
			t.Errorf("fence %d after %d", got.Fence, leaders[0].Fence)
		}
	})
}

func TestLeaderWhoWasReplacedCannotWrite(t *testing.T) {
	onEachRedis(t, func(t *testing.T, s *store) {
		slow := mustBegin(t, s, time.Minute)
		if err := s.renew(t.Context(), slow.Fence); err != nil {
			t.Fatal(err)
		}
		if err := s.rdb.HSet(t.Context(), s.state, "lease", 1).Err(); err != nil { // long past
			t.Fatal(err)
		}
		next := mustBegin(t, s, time.Minute)
		if next.Fence <= slow.Fence {
			t.Fatalf("fence %d after %d", next.Fence, slow.Fence)
		}
		if err := s.renew(t.Context(), slow.Fence); !errors.Is(err, errFenced) {
			t.Errorf("renewing: %v", err)
		}
		if err := s.release(t.Context(), slow.Fence); err != nil {
			t.Error(err)
		}
		late := map[string]record{wsol: someRecord("1", time.Now())}
		if _, err := s.commit(t.Context(), slow.Fence, outcome{records: late}, 0, 1200); !errors.Is(err, errFenced) {
			t.Errorf("committing: %v", err)
		}
		if got := mustBegin(t, s, 0); !got.Busy {
			t.Errorf("the replaced leader ended its successor's lease: %+v", got)
		}
		if got, err := s.load(t.Context()); err != nil || len(got.records) != 0 {
			t.Errorf("the replaced leader wrote %v (%v)", got.records, err)
		}
	})
}

func TestClockSetBackDoesNotStopUpdates(t *testing.T) {
	onEachRedis(t, func(t *testing.T, s *store) {
		future := fmt.Sprint(time.Now().Add(24 * time.Hour).UnixMilli())
		if err := s.rdb.HSet(t.Context(), s.state, "completed", future, "lease", future).Err(); err != nil {
			t.Fatal(err)
		}
		if got := mustBegin(t, s, time.Minute); got.Fence == 0 {
			t.Errorf("nobody may update until tomorrow: %+v", got)
		}
	})
}

func TestPrimaryThatMissedTheLastWritesGivesOutNothingTwice(t *testing.T) {
	onEachRedis(t, func(t *testing.T, s *store) {
		replicated := s.rdb.HGetAll(t.Context(), s.state).Val() // what a replica has when it takes over: nothing yet
		old := mustBegin(t, s, 0)
		before, err := s.commit(t.Context(), old.Fence, outcome{}, 0, 1200)
		if err != nil {
			t.Fatal(err)
		}
		old = mustBegin(t, s, 0)
		s.rdb.Del(t.Context(), s.state)
		for field, value := range replicated {
			s.rdb.HSet(t.Context(), s.state, field, value)
		}
		time.Sleep(2 * time.Millisecond) // no primary takes over within the millisecond
		next := mustBegin(t, s, 0)
		if next.Fence <= old.Fence {
			t.Errorf("fence %d was given out after %d", next.Fence, old.Fence)
		}
		if _, err := s.commit(t.Context(), old.Fence, outcome{}, 0, 1200); !errors.Is(err, errFenced) {
			t.Errorf("the leader of the old primary: %v", err)
		}
		after, err := s.commit(t.Context(), next.Fence, outcome{}, 0, 1200)
		if err != nil || after <= before {
			t.Errorf("version %d after %d (%v): replicas would not notice", after, before, err)
		}
	})
}

func TestReleaseLetsTheNextBeginAtOnce(t *testing.T) {
	onEachRedis(t, func(t *testing.T, s *store) {
		if err := s.release(t.Context(), mustBegin(t, s, time.Minute).Fence); err != nil {
			t.Fatal(err)
		}
		if got := mustBegin(t, s, time.Minute); got.Fence == 0 {
			t.Errorf("%+v", got)
		}
	})
}

func TestWriteBackDoesNotMakePricesOlderOrYounger(t *testing.T) {
	onEachRedis(t, func(t *testing.T, s *store) {
		commit := func(ago time.Duration) {
			t.Helper()
			if _, err := s.commit(t.Context(), mustBegin(t, s, 0).Fence, outcome{}, ago, 1200); err != nil {
				t.Fatal(err)
			}
		}
		commit(time.Hour)
		if got := mustBegin(t, s, 30*time.Minute); got.Fence == 0 {
			t.Error("prices written back an hour after their update count as fresh")
		} else if err := s.release(t.Context(), got.Fence); err != nil {
			t.Fatal(err)
		}
		commit(0)
		commit(time.Hour)
		if got := mustBegin(t, s, 30*time.Minute); got.Fence != 0 {
			t.Error("writing back old prices made another replica's update count as old")
		}
	})
}

func TestUnreadablePriceIsReportedAndOthersAreRead(t *testing.T) {
	onEachRedis(t, func(t *testing.T, s *store) {
		records := map[string]record{wsol: someRecord("75", time.Now())}
		if _, err := s.commit(t.Context(), mustBegin(t, s, 0).Fence, outcome{records: records}, 0, 1200); err != nil {
			t.Fatal(err)
		}
		s.rdb.HSet(t.Context(), s.prices, usdc, "{", jup, `{"price":-1,"checkedAt":"2026-01-02T03:04:05Z"}`)
		got, err := s.load(t.Context())
		if err == nil || !strings.Contains(err.Error(), usdc) || !strings.Contains(err.Error(), jup) {
			t.Errorf("error %v", err)
		}
		if diff := cmp.Diff(records, got.records); diff != "" {
			t.Error(diff)
		}
	})
}

func mustBegin(t *testing.T, s *store, age time.Duration) turn {
	t.Helper()
	got, err := s.begin(t.Context(), age)
	if err != nil {
		t.Fatal(err)
	}
	return got
}
