package gateway

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// same compares JSON by value, numbers by their text.
func same(t *testing.T, name string, got, want []byte) {
	t.Helper()
	var values [2]any
	for i, text := range [][]byte{got, want} {
		d := json.NewDecoder(strings.NewReader(string(text)))
		d.UseNumber()
		if err := d.Decode(&values[i]); err != nil {
			t.Fatalf("%s: %v in %s", name, err, text)
		}
	}
	if diff := cmp.Diff(values[1], values[0]); diff != "" {
		t.Errorf("%s: %s", name, diff)
	}
}

func TestLegacyFieldsComeAndGo(t *testing.T) {
	for name, quote := range fixtures(t, "quotes/*.json") {
		a := &answer{status: 200, body: quote}
		toLegacy(a)
		// What the Rust client 0.2.0 and typed clients of 2025 insist on.
		var typed struct {
			RoutePlan []struct {
				Percent  *uint8
				SwapInfo struct{ Label, FeeAmount, FeeMint *string }
			}
		}
		if err := json.Unmarshal(a.body, &typed); err != nil || len(typed.RoutePlan) == 0 {
			t.Fatalf("%s: %v", name, err)
		}
		for _, step := range typed.RoutePlan {
			if step.Percent == nil || *step.Percent == 0 || step.SwapInfo.FeeAmount == nil || step.SwapInfo.FeeMint == nil || *step.SwapInfo.FeeMint == "" {
				t.Errorf("%s: a step lacks legacy fields: %+v", name, step)
			}
		}
		swap := `{"userPublicKey":"` + wsol + `","quoteResponse":` + string(a.body) + `,"x":1.10}`
		if strings.HasPrefix(name, "v6-") || strings.Contains(name, "2024") || strings.Contains(name, "2025") {
			continue // these had the fields from the start, some with "0", which are not told apart
		}
		same(t, name, fromLegacy([]byte(swap)), []byte(`{"userPublicKey":"`+wsol+`","quoteResponse":`+string(quote)+`,"x":1.10}`))
	}
}

func TestLegacyModeLeavesAloneWhatIsNoQuote(t *testing.T) {
	for _, body := range []string{``, `null`, `[]`, `{}`, `{"routePlan":null}`, `{"routePlan":{}}`, `{"routePlan":[1]}`, `{"routePlan":[{}]}`, `{"routePlan":[{"swapInfo":null}]}`, `{"`} {
		a := &answer{status: 200, body: []byte(body)}
		toLegacy(a)
		if got := string(fromLegacy([]byte(body))); got != body {
			t.Errorf("swap %s became %s", body, got)
		}
		if body != `{"routePlan":null}` && string(a.body) != body {
			t.Errorf("quote %s became %s", body, a.body)
		}
	}
	refused := &answer{status: 400, body: []byte(`{"routePlan":[{"swapInfo":{}}]}`)}
	if toLegacy(refused); string(refused.body) != `{"routePlan":[{"swapInfo":{}}]}` {
		t.Errorf("an error became %s", refused.body)
	}
}

func TestLegacyModeIsOffUnlessAskedFor(t *testing.T) {
	quote := `{"routePlan":[{"swapInfo":{"inputMint":"` + wsol + `"},"percent":null,"bps":2550}]}`
	legacy := `{"routePlan":[{"bps":2550,"percent":25,"swapInfo":{"feeAmount":"0","feeMint":"` + wsol + `","inputMint":"` + wsol + `"}}]}`
	jup := newFake(t, says(200, quote))
	off, on := start(t, "JUPITER_API_URL="+jup.URL), start(t, "JUPITER_API_URL="+jup.URL, "LEGACY_QUOTES=true")
	if r := get(t, off.api+goodQuote); r.body != quote || strings.Contains(jup.last(t).Query, "allowDynamicSwap") {
		t.Errorf("off: %s, asked %s", r.body, jup.last(t).Query)
	}
	for _, result := range []string{cacheMiss, cacheHit} {
		if r := get(t, on.api+goodQuote); r.body != legacy || r.header.Get("X-Cache") != result || !strings.Contains(jup.last(t).Query, "allowDynamicSwap=false") {
			t.Errorf("on, %s: %s, asked %s", r.header.Get("X-Cache"), r.body, jup.last(t).Query)
		}
	}
	if get(t, on.api+goodQuote+"&allowDynamicSwap=true"); !strings.Contains(jup.last(t).Query, "allowDynamicSwap=true") {
		t.Errorf("the caller's word was overruled: %s", jup.last(t).Query)
	}
	do(t, "POST", on.api+"/swap", `{"userPublicKey":"`+wsol+`","quoteResponse":`+legacy+`}`)
	same(t, "swap", []byte(jup.last(t).Body), []byte(`{"userPublicKey":"`+wsol+`","quoteResponse":`+quote+`}`))
}

func FuzzLegacy(f *testing.F) {
	f.Add([]byte(`{"routePlan":[{"swapInfo":{"inputMint":"a"},"percent":null,"bps":10000}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		a := &answer{status: 200, body: body}
		toLegacy(a)
		if json.Valid(body) != json.Valid(a.body) {
			t.Errorf("%s became %s", body, a.body)
		}
		fromLegacy(body)
	})
}
