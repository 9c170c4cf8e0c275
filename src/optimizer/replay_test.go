package optimizer

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"jupiter-dex-integration/src/jupiter"
	"jupiter-dex-integration/src/platform"
)

func TestAReplayedQuoteIsTheSame(t *testing.T) {
	c := newCluster(t)
	base := c.optimizer(t, "LIQUIDITY_TEST_SOL=5000") // which some pools bear
	waitReady(t, base)
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		_, pools := get(t, base+"/v1/pools")
		if strings.Contains(string(pools), `"usable":true`) && strings.Contains(string(pools), reasonIlliquid) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s", pools)
		}
	}
	for _, query := range []string{
		"inputMint=" + wsol + "&outputMint=" + usdc + "&amount=3000000000000",
		"inputMint=" + wsol + "&outputMint=" + usdc + "&amount=70000000000&swapMode=ExactOut&slippageBps=7",
	} {
		code, state := get(t, base+"/v1/state")
		if code != http.StatusOK {
			t.Fatalf("%d %s", code, state)
		}
		code, body := get(t, base+"/v1/quote?"+query)
		if code != http.StatusOK {
			t.Fatalf("%d %s", code, body)
		}
		want := decode[detailedQuote](t, body)
		file := filepath.Join(t.TempDir(), "state.json.gz")
		if err := os.WriteFile(file, state, 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := platform.Load[ReplayConfig]([]string{"REPLAY_FILE=" + file, "REPLAY_QUERY=" + query})
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := replay(cfg, platform.NewProcess("route-optimizer", quiet), &out); err != nil {
			t.Fatal(err)
		}
		got := decode[detailedQuote](t, out.Bytes())
		if len(want.StateHash) != 64 || want.Quote.ContextSlot == 0 {
			t.Errorf("state %q of slot %d", want.StateHash, want.Quote.ContextSlot)
		}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(jupiter.Quote{}, "TimeTaken"), cmpopts.IgnoreFields(qualityBound{}, "Seconds")); diff != "" {
			t.Error(diff)
		}
	}
}

func TestAStateThatWasChangedIsNotReplayed(t *testing.T) {
	c := newCluster(t)
	base := c.optimizer(t)
	waitReady(t, base)
	_, state := get(t, base+"/v1/state")
	z, err := gzip.NewReader(bytes.NewReader(state))
	if err != nil {
		t.Fatal(err)
	}
	var s saved
	if err := json.NewDecoder(z).Decode(&s); err != nil {
		t.Fatal(err)
	}
	s.State.Pools[0][0].Account.Lamports++
	file := filepath.Join(t.TempDir(), "state.json.gz")
	var changed bytes.Buffer
	w := gzip.NewWriter(&changed)
	if err := json.NewEncoder(w).Encode(s); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	cfg := ReplayConfig{ProgramsConfig: ProgramsConfig{Network: "mainnet"}, File: file, Query: "inputMint=" + wsol + "&outputMint=" + usdc + "&amount=1000000000"}
	for want, data := range map[string][]byte{"was changed": changed.Bytes(), "/v1/state": []byte("{}")} {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := replay(cfg, platform.NewProcess("route-optimizer", quiet), &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
}

func TestTheStateHashChangesWithTheState(t *testing.T) {
	c := newCluster(t)
	base := c.optimizer(t)
	waitReady(t, base)
	ask := func() detailedQuote {
		_, body := get(t, base+"/v1/quote?inputMint="+wsol+"&outputMint="+usdc+"&amount=1000000000")
		return decode[detailedQuote](t, body)
	}
	first, again := ask(), ask()
	if first.StateHash != again.StateHash {
		t.Errorf("slots %d and %d hash to %s and %s", first.Quote.ContextSlot, again.Quote.ContextSlot, first.StateHash, again.StateHash)
	}
	if err := c.Step(3); err != nil {
		t.Fatal(err)
	}
	eventually(t, "another state has another hash", func() bool { return ask().StateHash != first.StateHash })
}

func TestTokensAreListedByTheirPools(t *testing.T) {
	c := newCluster(t)
	base := c.optimizer(t)
	waitReady(t, base)
	code, body := get(t, base+"/v1/tokens")
	tokens := decode[[]token](t, body)
	if code != http.StatusOK || len(tokens) < 2 {
		t.Fatalf("%d %s", code, body)
	}
	sides := 0
	decimals := map[string]uint8{}
	for i, token := range tokens {
		if sides += token.Pools; i > 0 && token.Pools > tokens[i-1].Pools {
			t.Errorf("%s with %d pools comes after one with %d", token.Mint, token.Pools, tokens[i-1].Pools)
		}
		decimals[token.Mint.String()] = token.Decimals
	}
	if sides != 2*len(c.Pools()) || decimals[wsol] != 9 || decimals[usdc] != 6 {
		t.Errorf("%s", body)
	}
}
