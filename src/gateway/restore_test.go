package gateway

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"jupiter-dex-integration/src/platform/processtest"
)

// dynamicQuote is a quote with a step of Dynamic Swap. Its numbers do not survive a float.
const dynamicQuote = `{"inputMint":"` + wsol + `","inAmount":"18446744073709551615","outAmount":"9","slippageBps":50,"swapUsdValue":"1.0000000000000000000000000001",` +
	`"platformFee":null,"routePlan":[{"percent":null,"bps":10000,"swapInfo":{"ammKey":"` + dynamicSwap + `","inputMint":"` + wsol + `","outputMint":"` + usdc + `",` +
	`"inAmount":"18446744073709551615","outAmount":"9","updateContextSlot":"7","details":{"dynamicSwapV2":{"candidates":[1,{"k":0.1234567890123456789}]}}}}],"contextSlot":7}`

// What clients make of it: a typed one drops what it does not know, one writes 0 for null, and a user may change the slippage.
const (
	stripped = `{"inputMint":"` + wsol + `","inAmount":"18446744073709551615","outAmount":"9","slippageBps":75,` +
		`"routePlan":[{"percent":0,"swapInfo":{"ammKey":"` + dynamicSwap + `","inputMint":"` + wsol + `","outputMint":"` + usdc + `","inAmount":"18446744073709551615","outAmount":"9"}}],"contextSlot":7}`
)

func swapOf(quote string) string {
	return `{"userPublicKey":"` + wsol + `","quoteResponse":` + quote + `}`
}

func TestAStrippedQuoteOfDynamicSwapIsRestoredByAnyReplica(t *testing.T) {
	jup, redis := newFake(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			says(200, dynamicQuote)(w, r)
		} else {
			says(200, `{}`)(w, r)
		}
	}), miniredis.RunT(t)
	settings := []string{"JUPITER_API_URL=" + jup.URL + "/swap/v1", "REDIS_URL=redis://" + redis.Addr()}
	one, other := start(t, settings...), start(t, settings...)
	if r := get(t, one.api+goodQuote); r.body != dynamicQuote {
		t.Fatalf("the quote came as %s", r.body)
	}
	processtest.Eventually(t, "Redis knows the quote", func() bool {
		return len(redis.Keys()) > 0 && strings.Contains(strings.Join(redis.Keys(), " "), originalPrefix)
	})
	want := strings.Replace(dynamicQuote, `"slippageBps":50`, `"slippageBps":75`, 1)
	for name, gw := range map[string]*running{"the replica that gave it": one, "another": other} {
		for _, path := range []string{"/swap", "/swap-instructions"} {
			if r := do(t, "POST", gw.api+path, swapOf(stripped)); r.status != 200 {
				t.Fatalf("%s: %d %s", name, r.status, r.body)
			}
			same(t, name, []byte(jup.last(t).Body), []byte(swapOf(want)))
		}
		if do(t, "POST", gw.api+"/swap", swapOf(dynamicQuote)); jup.last(t).Body != swapOf(dynamicQuote) {
			t.Errorf("%s changed a whole quote to %s", name, jup.last(t).Body)
		}
	}
}

func TestOnlyWhatIsKnownAndLacksIsFilledIn(t *testing.T) {
	o := newOriginals(nil, nil)
	now := time.Now()
	o.remember([]byte(dynamicQuote), now)
	for name, swap := range map[string]string{
		"another amount":     swapOf(strings.ReplaceAll(stripped, `"outAmount":"9"`, `"outAmount":"8"`)),
		"no dynamic swap":    swapOf(strings.ReplaceAll(stripped, dynamicSwap, usdc)),
		"no quote":           `{"quoteResponse":["` + dynamicSwap + `"]}`,
		"no JSON":            dynamicSwap,
		"a quote of no step": swapOf(`{"routePlan":[],"x":"` + dynamicSwap + `"}`),
	} {
		if got := o.restore(t.Context(), []byte(swap), now); string(got) != swap {
			t.Errorf("%s: became %s", name, got)
		}
	}
	if got := o.restore(t.Context(), []byte(swapOf(stripped)), now.Add(originalLife)); string(got) != swapOf(stripped) {
		t.Errorf("a quote that is too old came back as %s", got)
	}
	for i := range 2 * maxOriginals {
		quote := strings.ReplaceAll(dynamicQuote, `"outAmount":"9"`, `"outAmount":"`+itoa(i+10)+`"`)
		o.remember([]byte(quote), now)
	}
	if len(o.known) != maxOriginals || len(o.order) != maxOriginals {
		t.Errorf("%d quotes are kept in an order of %d, want %d", len(o.known), len(o.order), maxOriginals)
	}
}

// Whatever a client sends: JSON stays JSON, and what it says stays.
func FuzzFill(f *testing.F) {
	f.Add(stripped, dynamicQuote)
	f.Add(`{"a":[1,0,null]}`, `{"a":[null,null,{}],"b":2.50}`)
	f.Add(`[[[]]]`, `[[[1]]]`)
	f.Fuzz(func(t *testing.T, part, whole string) {
		if !json.Valid([]byte(part)) || !json.Valid([]byte(whole)) || depth([]byte(part)) > maxDepth {
			t.Skip()
		}
		filled := fill(json.RawMessage(part), json.RawMessage(whole))
		if !json.Valid(filled) {
			t.Fatalf("%s and %s became %s", part, whole, filled)
		}
		var before, after map[string]json.RawMessage
		if json.Unmarshal([]byte(part), &before) != nil || json.Unmarshal(filled, &after) != nil {
			return
		}
		for name, value := range before {
			if value[0] == '"' && string(after[name]) != string(value) {
				t.Fatalf("%s said %s and became %s", name, value, after[name])
			}
		}
	})
}
