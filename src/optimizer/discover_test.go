package optimizer

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm/programs"
	"jupiter-dex-integration/src/chain"
	"jupiter-dex-integration/src/platform"
	"jupiter-dex-integration/src/simulator/market"
)

func TestDiscoverFindsExactlyThePoolsBetweenTheTokens(t *testing.T) {
	c := newCluster(t)
	all, err := programs.On(programs.Mainnet, nil)
	if err != nil {
		t.Fatal(err)
	}
	endpoints, err := chain.NewEndpoints([]string{c.url}, nil)
	if err != nil {
		t.Fatal(err)
	}
	mints := []solana.PublicKey{solana.MustPublicKeyFromBase58(wsol), solana.MustPublicKeyFromBase58(usdc)}
	found, err := endpoints.Discover(t.Context(), all, mints)
	if err != nil {
		t.Fatal(err)
	}
	var want []solana.PublicKey
	for _, key := range c.Pools() {
		data := c.At(market.Confirmed).Account(key).Data
		if slices.ContainsFunc(mints, func(m solana.PublicKey) bool { return bytes.Equal(data[168:200], m[:]) }) &&
			slices.ContainsFunc(mints, func(m solana.PublicKey) bool { return bytes.Equal(data[200:232], m[:]) }) {
			want = append(want, key)
		}
	}
	byKey := func(a, b solana.PublicKey) int { return bytes.Compare(a[:], b[:]) }
	slices.SortFunc(found, byKey)
	slices.SortFunc(want, byKey)
	if len(want) == 0 || !slices.Equal(found, want) {
		t.Errorf("found %v, want %v", found, want)
	}
}

// A node that refuses to scan one program must not hide the pools of the others, nor be silent about it.
func TestDiscoverNamesTheProgramThatANodeRefusesToScan(t *testing.T) {
	c := newCluster(t)
	const refused = "whirLbMiicVdio4qvUfM5KAg6Ct8VwpYzGff3uctyCc"
	target, err := url.Parse(c.url)
	if err != nil {
		t.Fatal(err)
	}
	node := httputil.NewSingleHostReverseProxy(target)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), refused) {
			var call struct{ ID json.RawMessage }
			json.Unmarshal(body, &call)
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, `{"jsonrpc":"2.0","id":`+string(call.ID)+`,"error":{"code":-32010,"message":"excluded from account secondary indexes"}}`)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		node.ServeHTTP(w, r)
	}))
	defer server.Close()
	all, err := programs.On(programs.Mainnet, nil)
	if err != nil {
		t.Fatal(err)
	}
	endpoints, err := chain.NewEndpoints([]string{server.URL}, nil)
	if err != nil {
		t.Fatal(err)
	}
	found, err := endpoints.Discover(t.Context(), all, []solana.PublicKey{solana.MustPublicKeyFromBase58(wsol), solana.MustPublicKeyFromBase58(usdc)})
	if len(found) == 0 {
		t.Error("the pools of the other programs are missing")
	}
	if err == nil || !strings.Contains(err.Error(), refused) || !strings.Contains(err.Error(), "secondary indexes") {
		t.Errorf("the error does not name the program and the reason: %v", err)
	}
}

func TestDiscoverConfigNamesTheVariable(t *testing.T) {
	for tokens, want := range map[string]string{"": "DISCOVER_TOKENS", wsol: "2 to 16", wsol + ",nonsense": `"nonsense" is not a mint`} {
		_, err := platform.Load[DiscoverConfig]([]string{"DISCOVER_TOKENS=" + tokens})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "DISCOVER_TOKENS") {
			t.Errorf("DISCOVER_TOKENS=%q: %v", tokens, err)
		}
	}
}
