package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"jupiter-dex-integration/src/jupiter"
)

func TestUnknownDEXLabelsAreRefusedOnceTheListIsKnown(t *testing.T) {
	var lists atomic.Int64
	jup := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/program-id-to-label") {
			lists.Add(1)
			says(200, `{"a":"Raydium","b":"Raydium CLMM","c":"Whirlpool"}`)(w, r)
			return
		}
		says(200, `{}`)(w, r)
	}))
	defer jup.Close()
	gw := start(t, "JUPITER_API_URL="+jup.URL+"/swap/v1", "QUOTE_CACHE_TTL=0s")
	if r := get(t, gw.api+goodQuote+"&dexes=Whirlpol"); r.status != 200 {
		t.Fatalf("refused by a list that nobody has: %d %s", r.status, r.body)
	}
	for deadline := time.Now().Add(10 * time.Second); get(t, gw.api+goodQuote+"&dexes=Whirlpol").status == 200; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the list was never fetched")
		}
	}
	for query, want := range map[string]string{
		"&dexes=Whirlpol":                    `dexes: there is no DEX \"Whirlpol\"; the nearest label in /program-id-to-label is \"Whirlpool\"`,
		"&excludeDexes=Raydium,raydium+clmm": `excludeDexes: there is no DEX \"raydium clmm\"; the nearest label in /program-id-to-label is \"Raydium CLMM\"`,
	} {
		r := get(t, gw.api+goodQuote+query)
		wantError(t, r, 400, jupiter.CodeInvalidRequest)
		if !strings.Contains(r.body, want) {
			t.Errorf("%s: %s does not say %s", query, r.body, want)
		}
	}
	for _, query := range []string{"", "&dexes=Whirlpool,Raydium%20CLMM", "&excludeDexes=Raydium+CLMM&excludeDexes=Raydium", "&dexes="} {
		if r := get(t, gw.api+goodQuote+query); r.status != 200 {
			t.Errorf("%s: %d %s", query, r.status, r.body)
		}
	}
	if n := lists.Load(); n != 1 {
		t.Errorf("the list was fetched %d times", n)
	}
}

func TestAListOfDEXesThatIsOldRefusesNothingAndIsFetchedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDexes()
		var fetched atomic.Int64
		var works atomic.Bool
		ctx, cancel := context.WithCancel(t.Context())
		go d.run(ctx, func(context.Context) (map[string]bool, error) {
			fetched.Add(1)
			if !works.Load() {
				return nil, errors.New("down")
			}
			return map[string]bool{"Old": true}, nil
		}, slog.New(slog.DiscardHandler))
		ask := func(label string) error {
			err := d.check(jupiter.QuoteRequest{Dexes: []string{label}}, time.Now())
			synctest.Wait()
			return err
		}
		expect := func(when string, refused bool, err error, calls int64) {
			t.Helper()
			if (err != nil) != refused || fetched.Load() != calls {
				t.Errorf("%s: refused %v (%v), fetched %d times, want %v and %d", when, err != nil, err, fetched.Load(), refused, calls)
			}
		}
		expect("no list", false, ask("New"), 1)
		expect("soon after a failure", false, ask("New"), 1)
		works.Store(true)
		time.Sleep(dexesPause)
		synctest.Wait()
		expect("the list that was wanted before the pause", true, ask("New"), 2)
		expect("a known label", false, ask("Old"), 2)
		time.Sleep(dexesTrusted)
		expect("an old list and a label in it", false, ask("Old"), 2)
		expect("an old list", false, ask("New"), 3)
		expect("a new list", true, ask("New"), 3)
		cancel()
	})
}

func TestEditDistance(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"kitten", "sitting", 3}, {"orca", "orca", 0}, {"flaw", "lawn", 2}} {
		if got := editDistance(tt.a, tt.b); got != tt.want {
			t.Errorf("from %q to %q: %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}
