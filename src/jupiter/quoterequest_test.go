package jupiter

import (
	"errors"
	"math"
	"net/url"
	"strings"
	"testing"

	"github.com/gagliardetto/solana-go"
	"github.com/google/go-cmp/cmp"
)

const goodQuery = "inputMint=" + wsol + "&outputMint=" + usdc + "&amount=1000000"

func parse(t *testing.T, query string) (QuoteRequest, error) {
	t.Helper()
	values, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	return ParseQuoteRequest(values)
}

func TestParseQuoteRequest(t *testing.T) {
	base := QuoteRequest{InputMint: solana.MustPublicKeyFromBase58(wsol), OutputMint: solana.MustPublicKeyFromBase58(usdc),
		Amount: 1000000, RestrictIntermediateTokens: true, MaxAccounts: 64}
	bps := func(n uint16) *uint16 { return &n }
	for query, change := range map[string]func(*QuoteRequest){
		"":                  func(*QuoteRequest) {},
		"&swapMode=ExactIn": func(*QuoteRequest) {},
		"&swapMode=ExactOut&slippageBps=0&platformFeeBps=10000": func(r *QuoteRequest) {
			r.ExactOut, r.SlippageBps, r.PlatformFeeBps = true, bps(0), 10000
		},
		"&dexes=Orca+V2&dexes=Meteora%20DLMM,Phoenix": func(r *QuoteRequest) { r.Dexes = []string{"Orca V2", "Meteora DLMM", "Phoenix"} },
		"&excludeDexes=A&excludedDexes=B,":            func(r *QuoteRequest) { r.ExcludeDexes = []string{"A", "B"} },
		"&onlyDirectRoutes=true&restrictIntermediateTokens=false&maxAccounts=20": func(r *QuoteRequest) {
			r.OnlyDirectRoutes, r.RestrictIntermediateTokens, r.MaxAccounts = true, false, 20
		},
		"&computeAutoSlippage=false&quoteType=x": func(*QuoteRequest) {}, // clients send much that is not documented
	} {
		want := base
		change(&want)
		got, err := parse(t, goodQuery+query)
		if err != nil {
			t.Errorf("%s: %v", query, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", query, diff)
		}
	}
}

func TestParseQuoteRequestNamesTheParameterAtFault(t *testing.T) {
	for query, want := range map[string]string{
		"":                                 "inputMint",
		"inputMint=" + wsol:                "outputMint",
		goodQuery + "&slippageBps=-1":      "slippageBps",
		goodQuery + "&slippageBps=50.5":    "slippageBps",
		goodQuery + "&slippageBps=10001":   "slippageBps",
		goodQuery + "&platformFeeBps=x":    "platformFeeBps",
		goodQuery + "&maxAccounts=-1":      "maxAccounts",
		goodQuery + "&onlyDirectRoutes=1":  "onlyDirectRoutes",
		goodQuery + "&swapMode=exactin":    "swapMode",
		"inputMint=" + wsol + "0&amount=1": "inputMint",
		"amount=1&inputMint=" + wsol + "&outputMint=" + strings.Repeat("1", 45): "outputMint",
		"inputMint=" + wsol + "&outputMint=" + usdc:                             "amount is missing",
		"amount=0&inputMint=" + wsol + "&outputMint=" + usdc:                    "amount must be greater",
		"amount=18446744073709551616&inputMint=" + wsol + "&outputMint=" + usdc: "amount cannot be parsed",
	} {
		_, err := parse(t, query)
		var e *Error
		if !errors.As(err, &e) || e.Status != 400 || e.Code != CodeInvalidRequest || !strings.Contains(e.Message, want) {
			t.Errorf("%s: %v, want an INVALID_REQUEST that names %q", query, err, want)
		}
	}
	for query, code := range map[string]string{
		goodQuery + "&dexes=A&excludeDexes=B":                       "", // as Jupiter: without a code
		"amount=1&inputMint=" + wsol + "&outputMint=" + wsol:        CodeCircularArbitrage,
		"amount=1&inputMint=" + wsol + "&outputMint=" + wsol + "&x": CodeCircularArbitrage,
	} {
		_, err := parse(t, query)
		var e *Error
		if !errors.As(err, &e) || e.Status != 400 || e.Code != code {
			t.Errorf("%s: %v, want the code %q", query, err, code)
		}
	}
}

func FuzzParseQuoteRequest(f *testing.F) {
	f.Add(goodQuery)
	f.Add(goodQuery + "&slippageBps=50&dexes=a,b&swapMode=ExactOut")
	f.Fuzz(func(t *testing.T, query string) {
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Skip()
		}
		r, err := ParseQuoteRequest(values)
		var e *Error
		switch {
		case err != nil && (!errors.As(err, &e) || e.Status != 400 || e.Message == ""):
			t.Errorf("refused with %v", err)
		case err == nil && (r.Amount == 0 || r.InputMint == r.OutputMint || r.SlippageBps != nil && *r.SlippageBps > 10000 ||
			r.PlatformFeeBps > 10000 || len(r.Dexes) > 0 && len(r.ExcludeDexes) > 0):
			t.Errorf("accepted %+v", r)
		}
	})
}

func TestAmountsReachTheEndOfTheirRange(t *testing.T) {
	r, err := parse(t, "amount=18446744073709551615&inputMint="+wsol+"&outputMint="+usdc)
	if err != nil || r.Amount != math.MaxUint64 {
		t.Errorf("got %d, %v", r.Amount, err)
	}
}
