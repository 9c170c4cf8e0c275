package optimizer

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/gagliardetto/solana-go"
	"github.com/prometheus/client_golang/prometheus"

	"jupiter-dex-integration/src/jupiter"
)

type priceList map[string]jupiter.Price

func (p priceList) Prices(context.Context, []string) (map[string]jupiter.Price, error) {
	if p == nil {
		return nil, errors.New("down")
	}
	return p, nil
}

func TestTheGuardComparesWithPricesThatAreFresh(t *testing.T) {
	now := time.Unix(1000, 0)
	a, b := solana.PublicKey{1}, solana.PublicKey{2}
	g := &guard{limit: 100, metrics: newMetrics(prometheus.NewRegistry()), now: func() time.Time { return now }, known: map[solana.PublicKey]*guardPrice{},
		prices: priceList{a.String(): {USDPrice: "150.5", Decimals: 9}, b.String(): {USDPrice: "1", Decimals: 6}}}
	if v := g.check(a, b, 2e9, 301e6); v.Status != "unknown" {
		t.Errorf("before prices came: %v", v)
	}
	g.refresh(t.Context())
	for _, tc := range []struct {
		in, out uint64
		want    string
	}{{2e9, 301e6, "ok 0.0"}, {2e9, 301e6 * 9901 / 10000, "ok -99.0"}, {2e9, 301e6 * 98 / 100, "deviates -200.0"}, {2e9, 301e6 * 2, "deviates 10000.0"}} {
		if v := g.check(a, b, tc.in, tc.out); v.String() != tc.want {
			t.Errorf("%d for %d: %v, want %s", tc.out, tc.in, v, tc.want)
		}
	}
	if v := g.check(a, solana.PublicKey{3}, 1, 1); v.Status != "unknown" {
		t.Errorf("a token without a price: %v", v)
	}
	g.prices = priceList(nil)
	now = now.Add(guardStale / 2)
	g.refresh(t.Context())
	if v := g.check(a, b, 2e9, 301e6); v.Status != "ok" {
		t.Errorf("half a minute after the oracle went: %v", v)
	}
	now = now.Add(guardStale)
	if v := g.check(a, b, 2e9, 301e6); v.Status != "unknown" {
		t.Errorf("with an old price: %v", v)
	}
	now = now.Add(2 * guardIdle)
	if g.refresh(t.Context()); len(g.known) != 0 {
		t.Errorf("%d mints are remembered that nobody asks for", len(g.known))
	}
}

func TestQuotesFarFromTheOraclesPriceAreFlaggedOrRefused(t *testing.T) {
	c := newCluster(t)
	oracle := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		jupiter.WriteJSON(w, http.StatusOK, priceList{wsol: {USDPrice: "1", Decimals: 9}, usdc: {USDPrice: "1", Decimals: 6}})
	}))
	defer oracle.Close()
	for mode, want := range map[string]int{"flag": http.StatusOK, "refuse": http.StatusBadRequest} {
		base := c.optimizer(t, "PRICE_ORACLE_URL="+oracle.URL, "PRICE_GUARD="+mode)
		waitReady(t, base)
		query := "?inputMint=" + wsol + "&outputMint=" + usdc + "&amount=1000000000"
		eventually(t, "the guard finds the deviation", func() bool {
			resp, err := http.Get(base + "/quote" + query)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			return resp.StatusCode == want && (mode == "refuse" || len(resp.Header.Get(guardHeader)) > len("deviates "))
		})
		code, body := get(t, base+"/v1/quote"+query)
		if mode == "flag" {
			if q := decode[detailedQuote](t, body); q.PriceGuard == nil || q.PriceGuard.Status != "deviates" || q.PriceGuard.DeviationBps < 10_000 {
				t.Errorf("%s", body)
			}
		} else if e := jupiter.DecodeError(code, body); e.Code != codePriceDeviates {
			t.Errorf("%d %s", code, body)
		}
		req, err := http.NewRequest(http.MethodGet, base+"/quote"+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set(guardHeader, guardOff)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%s: the oracle's own question is answered with %d: its price could never follow", mode, resp.StatusCode)
		}
	}
}

// staleAmong refuses every question that has a stale mint in it, as the client does.
type staleAmong struct {
	priceList
	stale string
}

func (p staleAmong) Prices(ctx context.Context, mints []string) (map[string]jupiter.Price, error) {
	if slices.Contains(mints, p.stale) {
		return nil, jupiter.ErrStalePrices
	}
	return p.priceList, nil
}

func TestAStalePriceGuardsNothingAndTheOthersGoOn(t *testing.T) {
	now := time.Unix(1000, 0)
	a, b, old := solana.PublicKey{1}, solana.PublicKey{2}, solana.PublicKey{3}
	g := &guard{limit: 100, metrics: newMetrics(prometheus.NewRegistry()), now: func() time.Time { return now }, known: map[solana.PublicKey]*guardPrice{},
		prices: staleAmong{priceList{a.String(): {USDPrice: "150.5", Decimals: 9}, b.String(): {USDPrice: "1", Decimals: 6}}, old.String()}}
	g.check(a, b, 1, 1)
	g.check(a, old, 1, 1)
	g.refresh(t.Context())
	if v := g.check(a, old, 2e9, 1); v.Status != "unknown" {
		t.Errorf("against a stale price: %v", v)
	}
	if v := g.check(a, b, 2e9, 301e6); v.Status != "ok" {
		t.Errorf("beside a stale price: %v", v)
	}
}
