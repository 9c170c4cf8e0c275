package oracle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gagliardetto/solana-go"
	"github.com/prometheus/client_golang/prometheus"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/oracle/pyth"
)

// TestFailuresAloneAndInPairs runs three sources through every failure and every pair of them: the price is never that of
// the source that lies, and it is only called fresh while two honest sources agree. What the API says is the table in
// docs/api.md.
func TestFailuresAloneAndInPairs(t *testing.T) {
	failures := []string{"Jupiter wrong", "Jupiter gone", "RPC lagging", "Redis gone", "clock skew"}
	// What is left of the sources decides, and neither Redis nor the clock does.
	want := map[string]state{"": fresh, "Jupiter wrong": degraded, "Jupiter gone": fresh, "RPC lagging": fresh, "Redis gone": fresh, "clock skew": fresh,
		"Jupiter wrong+RPC lagging": degraded, "Jupiter gone+RPC lagging": degraded, "Jupiter wrong+Redis gone": degraded, "Jupiter wrong+clock skew": degraded,
		"Jupiter gone+Redis gone": fresh, "Jupiter gone+clock skew": fresh, "RPC lagging+Redis gone": fresh, "RPC lagging+clock skew": fresh, "Redis gone+clock skew": fresh}
	var table strings.Builder
	cases := []string{""}
	for i, a := range failures {
		cases = append(cases, a)
		for _, b := range failures[i+1:] {
			if a == "Jupiter wrong" && b == "Jupiter gone" {
				continue
			}
			cases = append(cases, a+"+"+b)
		}
	}
	for _, failing := range cases {
		piped := newPipedRedis(t)
		synctest.Test(t, func(t *testing.T) {
			const truth, interval = 75.0, time.Minute
			has := func(failure string) bool { return strings.Contains(failing, failure) }
			jup := &fakeJupiter{}
			jup.set(map[string]string{wsol: "75.02"})
			chain := &fakeChain{accounts: map[solana.PublicKey]*amm.Account{solana.MustPublicKeyFromBase58(wsol): mintAccount(9)}}
			u := testUpdater(jup, piped.client(t), interval, wsol)
			m := newMetrics(prometheus.NewRegistry())
			live := &liveSource{now: u.clock.now, price: "74.98"}
			u.sources = append(u.sources, live, &pythSource{map[string]feed{wsol: {account: key(1)}}, pyth.Programs, chain, m, u.clock.now})
			u.rules.policy.MinSources = 2

			skew := time.Duration(0)
			if has("clock skew") { // the world is ten minutes ahead of this machine
				skew = 10 * time.Minute
			}
			tick := func(minutes int, lag time.Duration) {
				for range minutes * 6 {
					at := time.Now().Add(skew)
					piped.SetTime(at)
					chain.set(key(1), pullAccount(1, 7501000000, 3000000, at.Add(-lag)))
					advance(10 * time.Second)
				}
			}
			piped.SetTime(time.Now().Add(skew))
			chain.set(key(1), pullAccount(1, 7501000000, 3000000, time.Now().Add(skew)))
			defer start(t, u)()
			tick(5, 0)
			if e := u.book.snapshot()[wsol]; u.rules.ages.state(e.record, u.clock.now()) != fresh {
				t.Fatalf("%s: before any failure: %+v", failing, e.record)
			}

			lag := time.Duration(0)
			if has("Jupiter wrong") {
				jup.set(map[string]string{wsol: "82.5"})
			}
			if has("Jupiter gone") {
				jup.setFail(func(int, []string) error { return errors.New("connection refused") })
			}
			if has("RPC lagging") {
				lag = 5 * time.Minute
			}
			piped.setDown(has("Redis gone"))
			tick(10, lag)

			w := httptest.NewRecorder()
			newAPI(u).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v1/prices/"+wsol, nil))
			var said detail
			if err := json.Unmarshal(w.Body.Bytes(), &said); err != nil {
				t.Fatalf("%s: %s: %v", failing, w.Body, err)
			}
			usd, err := parsePrice(json.Number(said.Price))
			if err != nil || math.Abs(usd-truth)/truth > 0.0005 {
				t.Errorf("%s: the price is %s", failing, said.Price)
			}
			if said.State != want[failing] {
				t.Errorf("%s: %s, want %s: %v", failing, said.State, want[failing], said.Reasons)
			}
			if age := u.clock.now().Sub(said.ObservedAt); age < 0 || age > 2*interval {
				t.Errorf("%s: %v old", failing, age)
			}
			_, redisErr := u.status()
			if (redisErr != nil) != has("Redis gone") {
				t.Errorf("%s: Redis is reported as %v", failing, redisErr)
			}
			var unused []string
			for _, q := range said.Sources {
				if !q.Used {
					unused = append(unused, q.Name)
				}
			}
			fmt.Fprintf(&table, "| %s | %s | %s | %s | %s |\n", orNothing(strings.ReplaceAll(failing, "+", ", ")), said.Price, said.State,
				orNothing(strings.Join(said.Reasons, "; ")), orNothing(strings.Join(unused, ", ")))
			piped.setDown(false) // nothing may be left waiting to dial
			advance(3 * time.Second)
		})
	}
	published, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(published), table.String()) {
		t.Errorf("the table in docs/api.md should be\n%s", table.String())
	}
}

func orNothing(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}

// liveSource always has a price of now.
type liveSource struct {
	now   func() time.Time
	price string
}

func (*liveSource) name() string { return "optimizer" }

func (s *liveSource) observe(_ context.Context, mints []string) (map[string]observation, error) {
	return map[string]observation{mints[0]: {Price: json.Number(s.price), Weight: 1, At: s.now()}}, nil
}
