package simulator_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gagliardetto/solana-go"
	client "github.com/gagliardetto/solana-go/rpc"
	"github.com/gagliardetto/solana-go/rpc/ws"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/raydiumcpmm"
	"jupiter-dex-integration/src/jupiter"
	"jupiter-dex-integration/src/simulator"
	"jupiter-dex-integration/src/simulator/faults"
	"jupiter-dex-integration/src/simulator/market"
)

const (
	sol       = "So11111111111111111111111111111111111111112"
	usdc      = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
	quotePath = "/swap/v1/quote?inputMint=" + sol + "&outputMint=" + usdc + "&amount=1000000000&onlyDirectRoutes=true"
)

// running is a simulator on two real sockets.
type running struct {
	*simulator.Simulator
	jupiter, rpc string
}

func start(t *testing.T, cfg simulator.Config) running {
	t.Helper()
	s, err := simulator.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	api, node := httptest.NewServer(s.JupiterHandler()), httptest.NewServer(s.RPCHandler())
	t.Cleanup(api.Close)
	t.Cleanup(node.Close)
	t.Cleanup(s.Close)
	return running{s, api.URL, node.URL}
}

// do sends a request and gives status and body.
func do(t *testing.T, method, url, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(got))
}

// Both APIs show one market: what Jupiter quotes is what the accounts of the node give.
func TestJupiterAndTheNodeAgree(t *testing.T) {
	s := start(t, simulator.Config{Seed: 3})
	if err := s.Step(7); err != nil {
		t.Fatal(err)
	}
	_, body := do(t, "GET", s.jupiter+quotePath, "")
	var quote jupiter.Quote
	if err := json.Unmarshal([]byte(body), &quote); err != nil {
		t.Fatal(err)
	}
	program := raydiumcpmm.New(s.Market.Program().ID())
	pool := solana.MustPublicKeyFromBase58(quote.RoutePlan[0].SwapInfo.AmmKey)
	node, accounts := client.New(s.rpc), amm.Accounts{}
	for range 4 {
		keys, err := program.Watch(pool, accounts)
		if err != nil {
			t.Fatal(err)
		}
		out, err := node.GetMultipleAccountsWithOpts(t.Context(), keys, &client.GetMultipleAccountsOpts{Commitment: client.CommitmentProcessed})
		if err != nil {
			t.Fatal(err)
		}
		if out.Context.Slot != quote.ContextSlot {
			t.Errorf("accounts of slot %d, quote of %d", out.Context.Slot, quote.ContextSlot)
		}
		for i, a := range out.Value {
			accounts[keys[i]] = &amm.Account{Owner: a.Owner, Lamports: a.Lamports, Data: a.Data.GetBinary()}
		}
	}
	decoded, err := program.Decode(pool, accounts)
	if err != nil {
		t.Fatal(err)
	}
	s0 := s.Market.At(market.Processed)
	got, err := decoded.Quote(s0.Clock(), amm.Request{AToB: decoded.Info().Mints[0].String() == sol, Amount: 1_000_000_000})
	if err != nil || got.Out != quote.OutAmount {
		t.Errorf("the accounts give %d, %v, Jupiter %d", got.Out, err, quote.OutAmount)
	}
}

func TestFaultsStrikeTheEndpointTheyName(t *testing.T) {
	s := start(t, simulator.Config{})
	node := client.New(s.rpc)
	for _, test := range []struct {
		endpoint           string
		quote, slot, other bool // whether they still work
	}{
		{"/swap/v1/quote", false, true, true},
		{"/swap/", false, true, true},
		{"/price/", true, true, true},
		{"rpc/getSlot", true, false, true},
		{"rpc/", true, false, false},
		{"", false, false, false},
	} {
		if err := s.Faults.Set(faults.Fault{Endpoint: test.endpoint, Kind: faults.Status, Status: 503}); err != nil {
			t.Fatal(err)
		}
		status, body := do(t, "GET", s.jupiter+quotePath, "")
		if (status == 200) != test.quote || !test.quote && body != `{"code":503,"message":"Service Unavailable"}` {
			t.Errorf("%q: quote %d %s", test.endpoint, status, body)
		}
		if _, err := node.GetSlot(t.Context(), client.CommitmentProcessed); (err == nil) != test.slot {
			t.Errorf("%q: getSlot %v", test.endpoint, err)
		}
		if _, err := node.GetBlockHeight(t.Context(), client.CommitmentProcessed); (err == nil) != test.other {
			t.Errorf("%q: getBlockHeight %v", test.endpoint, err)
		}
	}
}

func TestA429FaultLooksLikeTheAPIs(t *testing.T) {
	s := start(t, simulator.Config{Plan: simulator.Plan{Requests: 60, Window: time.Minute}})
	if err := s.Faults.Set(faults.Fault{Kind: faults.Status, Status: 429}); err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get(s.jupiter + quotePath)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if string(body) != `{"code":429,"message":"[API Gateway] Too many requests"}` || resp.Header.Get("x-ratelimit-remaining") != "0" ||
		resp.Header.Get("x-ratelimit-current") != "60" || resp.Header.Get("x-ratelimit-reset") == "" || resp.Header.Get("Retry-After") != "" {
		t.Errorf("Jupiter: %s %v", body, resp.Header)
	}
	status, answer := do(t, "POST", s.rpc, `{"jsonrpc":"2.0","id":1,"method":"getSlot"}`)
	if status != 429 || answer != `{"jsonrpc":"2.0","error":{"code":429,"message":"Too many requests for a specific RPC call"},"id":null}` {
		t.Errorf("node: %d %s", status, answer)
	}
}

func TestEveryFaultBreaksTheNodesClient(t *testing.T) {
	s := start(t, simulator.Config{})
	node := client.New(s.rpc)
	key := solana.MustPublicKeyFromBase58(usdc)
	for _, fault := range []faults.Fault{
		{Kind: faults.Status, Status: 500}, {Kind: faults.Hang}, {Kind: faults.Reset}, {Kind: faults.Truncate}, {Kind: faults.Malformed}, {Kind: faults.ContentType},
	} {
		fault.Endpoint = "rpc/getAccountInfo"
		if err := s.Faults.Set(fault); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		if fault.Kind == faults.Hang {
			go func() {
				for s.Faults.List()[0].Struck == 0 {
					time.Sleep(time.Millisecond)
				}
				cancel()
			}()
		}
		_, err := node.GetAccountInfo(ctx, key)
		cancel()
		if err == nil || errors.Is(err, context.DeadlineExceeded) || fault.Kind == faults.Hang && !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", fault.Kind, err)
		}
		s.Faults.Clear()
		if _, err := node.GetAccountInfo(t.Context(), key); err != nil {
			t.Errorf("after %s: %v", fault.Kind, err)
		}
	}
	if err := s.Faults.Set(faults.Fault{Endpoint: "ws", Kind: faults.Status, Status: 503}); err != nil {
		t.Fatal(err)
	}
	if c, err := ws.Connect(t.Context(), "ws"+strings.TrimPrefix(s.rpc, "http")); err == nil {
		c.Close()
		t.Error("the websocket opens in spite of a fault")
	}
}

func TestCallsAreCountedAcrossBothHandlers(t *testing.T) {
	s := start(t, simulator.Config{})
	do(t, "GET", s.jupiter+quotePath, "")
	do(t, "GET", s.jupiter+"/nonsense", "")
	do(t, "POST", s.rpc, `[{"jsonrpc":"2.0","id":1,"method":"getSlot"},{"jsonrpc":"2.0","id":2,"method":"getSlot"},{"jsonrpc":"2.0","id":3,"method":"nope"}]`)
	c, err := ws.Connect(t.Context(), "ws"+strings.TrimPrefix(s.rpc, "http"))
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	for s.Faults.Calls().Total("ws") == 0 { // counted when it has ended
		time.Sleep(time.Millisecond)
	}
	_, got := do(t, "GET", s.rpc+"/admin/calls", "")
	if want := `{"/other":{"404":1},"/swap/v1/quote":{"200":1},"rpc/getSlot":{"200":2},"rpc/other":{"200":1},"ws":{"101":1}}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestFundingAndDroppingThroughTheAdminEndpoints(t *testing.T) {
	s := start(t, simulator.Config{})
	wallet := solana.NewWallet().PublicKey()
	for _, body := range []string{`{"wallet":"` + wallet.String() + `","amount":"5000000000"}`, `{"wallet":"` + wallet.String() + `","mint":"` + usdc + `","amount":"7"}`} {
		if status, answer := do(t, "POST", s.jupiter+"/admin/fund", body); status != 200 {
			t.Errorf("%s: %d %s", body, status, answer)
		}
	}
	for _, body := range []string{`{}`, `nonsense`, `{"wallet":"` + wallet.String() + `","mint":"` + wallet.String() + `","amount":"7"}`} {
		if status, _ := do(t, "POST", s.jupiter+"/admin/fund", body); status != 400 {
			t.Errorf("%s: %d, want 400", body, status)
		}
	}
	if err := s.Step(1); err != nil {
		t.Fatal(err)
	}
	balance, err := client.New(s.rpc).GetBalance(t.Context(), wallet, client.CommitmentProcessed)
	if err != nil || balance.Value != 5_000_000_000 {
		t.Errorf("balance %+v, %v", balance, err)
	}
	if status, _ := do(t, "DELETE", s.rpc+"/admin/websockets", ""); status != 200 {
		t.Errorf("dropping websockets: %d", status)
	}
	if status, _ := do(t, "GET", s.rpc+"/admin/nonsense", ""); status != 404 {
		t.Errorf("unknown admin path: %d", status)
	}
}

func TestRunMovesTheMarketAndItsEndLetsGoOfWhatHangs(t *testing.T) {
	s := start(t, simulator.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	first := s.Market.At(market.Processed).Slot
	for s.Market.At(market.Processed).Slot < first+2 {
		time.Sleep(10 * time.Millisecond)
	}
	if err := s.Faults.Set(faults.Fault{Kind: faults.Hang}); err != nil {
		t.Fatal(err)
	}
	broken := make(chan error, 1)
	go func() {
		_, err := http.Get(s.jupiter + quotePath)
		broken <- err
	}()
	for s.Faults.List()[0].Struck == 0 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := <-broken; err == nil {
		t.Error("the hanging call was answered")
	}
}

func TestNetworks(t *testing.T) {
	for network, want := range map[string][2]string{
		"":       {"5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d", "CPMMoo8L3F4NbTegBCKVNunggL7H1ZpdTHKxQB5qKP1C"},
		"devnet": {"EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG", "DRaycpLY18LhpbydsBWbVJtxpNv9oXPgjRSfpF2bWpYb"},
	} {
		s := start(t, simulator.Config{Network: network})
		hash, err := client.New(s.rpc).GetGenesisHash(t.Context())
		if err != nil || hash.String() != want[0] {
			t.Errorf("%q: genesis %s, %v", network, hash, err)
		}
		account, err := client.New(s.rpc).GetAccountInfo(t.Context(), solana.MustPublicKeyFromBase58(s.Pools()[0]))
		if err != nil || account.Value.Owner.String() != want[1] {
			t.Errorf("%q: pools belong to %+v, %v", network, account, err)
		}
	}
	if _, err := simulator.New(simulator.Config{Network: "moonnet"}); err == nil {
		t.Error("an unknown network was accepted")
	}
}

func TestPoolsAndMintsAreListed(t *testing.T) {
	s := start(t, simulator.Config{})
	if len(s.Pools()) < 12 || len(s.Mints()) < 7 || s.Mints()[0] != sol {
		t.Errorf("%d pools, mints %v", len(s.Pools()), s.Mints())
	}
}

func BenchmarkQuote(b *testing.B) {
	s, err := simulator.New(simulator.Config{})
	if err != nil {
		b.Fatal(err)
	}
	h := s.JupiterHandler()
	b.ReportAllocs()
	for b.Loop() {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", quotePath, nil))
		if w.Code != 200 {
			b.Fatal(w.Body)
		}
	}
}
