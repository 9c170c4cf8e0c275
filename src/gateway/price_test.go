package gateway

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sellsPrices answers /price/v3 for the mints of known.
func sellsPrices(known map[string]string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		found := map[string]json.RawMessage{}
		for id := range strings.SplitSeq(r.URL.Query().Get("ids"), ",") {
			if p, ok := known[id]; ok {
				found[id] = json.RawMessage(p)
			}
		}
		body, _ := json.Marshal(found)
		says(200, string(body))(w, r)
	}
}

func TestPricesComeFromTheOracleAndTheRestFromJupiter(t *testing.T) {
	sol, usd, exact := `{"usdPrice":75.06634976056819}`, `{"usdPrice":1}`, `{"usdPrice":0.00000000000000000012345678901234567890}`
	jupiterHas := map[string]string{wsol: `{"usdPrice":1e9}`, usdc: usd, "Exact": exact}
	for _, tt := range []struct {
		name          string
		oracle        http.HandlerFunc
		jupiter       http.HandlerFunc
		ids           []string
		status        int
		want          map[string]string
		jupiterAsked  string // the ids, "" if it must not be asked
		wantsDegraded bool
	}{
		{"all from the oracle", sellsPrices(map[string]string{wsol: sol}), sellsPrices(jupiterHas), []string{wsol}, 200, map[string]string{wsol: sol}, "", false},
		{"some", sellsPrices(map[string]string{wsol: sol}), sellsPrices(jupiterHas), []string{wsol, "Exact", usdc}, 200,
			map[string]string{wsol: sol, usdc: usd, "Exact": exact}, "Exact," + usdc, false},
		{"none known to either", sellsPrices(nil), sellsPrices(nil), []string{"bingus"}, 200, map[string]string{}, "bingus", false},
		{"oracle not ready", says(503, `{"error":"x","errorCode":"STATE_NOT_READY"}`), sellsPrices(jupiterHas), []string{usdc}, 200, map[string]string{usdc: usd}, usdc, false},
		{"oracle malformed", says(200, `{"`), sellsPrices(jupiterHas), []string{usdc}, 200, map[string]string{usdc: usd}, usdc, false},
		{"oracle answers null", says(200, `null`), sellsPrices(jupiterHas), []string{usdc}, 200, map[string]string{usdc: usd}, usdc, false},
		{"Jupiter fails for the rest", sellsPrices(map[string]string{wsol: sol}), says(500, `{}`), []string{wsol, usdc}, 200, map[string]string{wsol: sol}, usdc, true},
		{"Jupiter fails for all", sellsPrices(nil), says(429, `{"code":429,"message":"x"}`), []string{usdc}, 429, nil, usdc, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			oracle, jup := newFake(t, tt.oracle), newFake(t, tt.jupiter)
			gw := start(t, "JUPITER_API_URL="+jup.URL+"/swap/v1", "PRICE_ORACLE_URL="+oracle.URL)
			r := get(t, gw.api+"/price/v3?ids="+strings.Join(tt.ids, ","))
			if r.status != tt.status {
				t.Fatalf("status %d: %s", r.status, r.body)
			}
			if tt.want != nil {
				var raw map[string]json.RawMessage
				if err := json.Unmarshal([]byte(r.body), &raw); err != nil {
					t.Fatal(err)
				}
				got := map[string]string{}
				for id, p := range raw {
					got[id] = string(p)
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Error(diff)
				}
			}
			asked := ""
			if all := jup.requests(); len(all) > 0 {
				query, _ := url.ParseQuery(all[0].Query)
				asked = query.Get("ids")
			}
			if asked != tt.jupiterAsked {
				t.Errorf("Jupiter was asked for %q, want %q", asked, tt.jupiterAsked)
			}
			if got := r.header.Get(degradedHeader) != ""; got != tt.wantsDegraded {
				t.Errorf("degraded is %v", got)
			}
		})
	}
}

func TestOracleThatIsDownIsReplacedByJupiter(t *testing.T) {
	jup := newFake(t, sellsPrices(map[string]string{usdc: `{"usdPrice":1}`}))
	gw := start(t, "JUPITER_API_URL="+jup.URL+"/swap/v1", "PRICE_ORACLE_URL=http://127.0.0.1:1")
	for range 7 { // more than the breaker takes
		if r := get(t, gw.api+"/price/v3?ids="+usdc); r.status != 200 || r.body != `{"`+usdc+`":{"usdPrice":1}}` {
			t.Errorf("got %d %s", r.status, r.body)
		}
	}
}
