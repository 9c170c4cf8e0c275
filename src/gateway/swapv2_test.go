package gateway

import (
	"strings"
	"testing"
)

func TestSwapV2UpstreamIsAskedInItsOwnTerms(t *testing.T) {
	jup := newFake(t, says(200, `{}`))
	gw := start(t, "JUPITER_API_URL="+jup.URL+"/swap/v2/")
	if r := get(t, gw.api+"/swap/v1"+goodQuote); r.status != 200 || jup.last(t).Path != "/swap/v2/quote" || !strings.Contains(jup.last(t).Query, "amount=1000000000") {
		t.Errorf("quote: %d, asked %+v", r.status, jup.last(t))
	}
	if r := get(t, gw.api+"/program-id-to-label"); r.status != 200 || jup.last(t).Path != "/swap/v2/program-id-to-label" {
		t.Errorf("labels: %d, asked %+v", r.status, jup.last(t))
	}
	if r := get(t, gw.api+"/tokens/v2/recent"); r.status != 200 || jup.last(t).Path != "/tokens/v2/recent" {
		t.Errorf("tokens: %d, asked %+v", r.status, jup.last(t))
	}
	quote := `"quoteResponse":{"b":28.10,"a":[1]}`
	for _, tt := range []struct{ name, fields, want string }{
		{"nothing said", ``, ``},
		{"auto", `,"prioritizationFeeLamports":"auto"`, ``},
		{"auto as typed clients send it", `,"prioritizationFeeLamports":{},"computeUnitPriceMicroLamports":null`, ``},
		{"a level", `,"prioritizationFeeLamports":{"priorityLevelWithMaxLamports":{"priorityLevel":"veryHigh","maxLamports":5}}`, `,"computeUnitPricePercentile":"veryHigh"`},
		{"a tip", `,"prioritizationFeeLamports":{"jitoTipLamports":1000000}`, `,"tipAmount":1000000`},
		{"the rest passes", `,"wrapAndUnwrapSol":false,"future":1.50`, `,"wrapAndUnwrapSol":false,"future":1.50`},
	} {
		r := do(t, "POST", gw.api+"/swap", `{"userPublicKey":"`+wsol+`",`+quote+tt.fields+`}`)
		if r.status != 200 || jup.last(t).Path != "/swap/v2/swap" {
			t.Errorf("%s: %d %s", tt.name, r.status, r.body)
		}
		same(t, tt.name, []byte(jup.last(t).Body), []byte(`{"taker":"`+wsol+`",`+quote+tt.want+`}`))
	}
	asked := len(jup.requests())
	wantError(t, get(t, gw.api+goodQuote+"&swapMode=ExactOut"), 400, "NOT_SUPPORTED")
	wantError(t, do(t, "POST", gw.api+"/swap", `{"userPublicKey":"`+wsol+`",`+quote+`,"prioritizationFeeLamports":5000}`), 400, "NOT_SUPPORTED")
	wantError(t, do(t, "POST", gw.api+"/swap", `{"userPublicKey":"`+wsol+`",`+quote+`,"computeUnitPriceMicroLamports":1}`), 400, "NOT_SUPPORTED")
	for _, parameter := range []string{"onlyDirectRoutes", "asLegacyTransaction", "forJitoBundle"} {
		wantError(t, get(t, gw.api+goodQuote+"&"+parameter+"=true"), 400, "NOT_SUPPORTED")
	}
	wantError(t, do(t, "POST", gw.api+"/swap", `{"userPublicKey":"`+wsol+`",`+quote+`,"asLegacyTransaction":true}`), 400, "NOT_SUPPORTED")
	if n := len(jup.requests()); n != asked {
		t.Errorf("the upstream was asked %d times for what it does not do", n-asked)
	}
}

func TestSwapV2AnswersInV1sTerms(t *testing.T) {
	jup := newFake(t, says(200, `{"swapInstruction":{"data":"x"},"addressesByLookupTableAddress":{"b":["1"],"a":["2","3"]}}`))
	gw := start(t, "JUPITER_API_URL="+jup.URL+"/swap/v2")
	r := do(t, "POST", gw.api+"/swap-instructions", goodSwap)
	same(t, "lookup tables", []byte(r.body), []byte(`{"swapInstruction":{"data":"x"},"addressesByLookupTableAddress":{"b":["1"],"a":["2","3"]},"addressLookupTableAddresses":["a","b"]}`))
	get(t, gw.api+goodQuote+"&onlyDirectRoutes=false&allowDynamicSwap=false")
	if q := jup.last(t).Query; !strings.Contains(q, "dynamicSwap=false") || strings.Contains(q, "allow") {
		t.Errorf("asked %s", q)
	}
}
