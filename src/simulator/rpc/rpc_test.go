package rpc_test

import (
	"bytes"
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
	"github.com/gagliardetto/solana-go/rpc/jsonrpc"
	"github.com/gagliardetto/solana-go/rpc/ws"
	"github.com/google/go-cmp/cmp"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/raydiumcpmm"
	"jupiter-dex-integration/src/simulator/market"
	"jupiter-dex-integration/src/simulator/rpc"
)

var (
	cpmm    = solana.MustPublicKeyFromBase58("CPMMoo8L3F4NbTegBCKVNunggL7H1ZpdTHKxQB5qKP1C")
	usdc    = solana.MustPublicKeyFromBase58("EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v")
	genesis = solana.MustHashFromBase58("5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d")
)

// node is a simulated node on a real socket, with solana-go's client of it.
type node struct {
	*client.Client
	market  *market.Market
	handler *rpc.Handler
	url     string
}

func newNode(t *testing.T) node {
	t.Helper()
	m, err := market.New(market.Config{Seed: 1, Start: time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC), CPMM: raydiumcpmm.New(cpmm)})
	if err != nil {
		t.Fatal(err)
	}
	h := rpc.New(m, genesis)
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	t.Cleanup(h.DropWebsockets)
	return node{client.New(server.URL), m, h, server.URL}
}

func (n node) step(t *testing.T, slots int) {
	t.Helper()
	if err := n.market.Step(slots); err != nil {
		t.Fatal(err)
	}
}

// post sends a raw body and returns status and answer.
func (n node) post(t *testing.T, body string) (int, string) {
	t.Helper()
	resp, err := http.Post(n.url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(answer))
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestAPoolLoadsAndDecodesThroughTheClient(t *testing.T) {
	n, ctx := newNode(t), t.Context()
	program := raydiumcpmm.New(cpmm)
	accounts := amm.Accounts{}
	pool := n.market.Pools()[0]
	for range 4 {
		keys, err := program.Watch(pool, accounts)
		if err != nil {
			t.Fatal(err)
		}
		out, err := n.GetMultipleAccountsWithOpts(ctx, keys, &client.GetMultipleAccountsOpts{Commitment: client.CommitmentProcessed})
		if err != nil {
			t.Fatal(err)
		}
		for i, a := range out.Value {
			if a == nil {
				t.Fatalf("account %s does not exist", keys[i])
			}
			accounts[keys[i]] = &amm.Account{Owner: a.Owner, Lamports: a.Lamports, Data: a.Data.GetBinary()}
		}
	}
	decoded, err := program.Decode(pool, accounts)
	if err != nil {
		t.Fatal(err)
	}
	req := amm.Request{AToB: true, Amount: 1_000_000_000}
	s := n.market.At(market.Processed)
	got, err := decoded.Quote(s.Clock(), req)
	if err != nil {
		t.Fatal(err)
	}
	want, err := s.Pools[0].Quote(s.Clock(), req)
	if err != nil || got != want {
		t.Errorf("quote over the wire is %+v, in the market %+v, %v", got, want, err)
	}
}

func TestAccountEncodingsCarryTheSameBytes(t *testing.T) {
	n, ctx := newNode(t), t.Context()
	pool := n.market.Pools()[0]
	want := n.market.At(market.Finalized).Account(pool)
	for _, encoding := range []solana.EncodingType{solana.EncodingBase64, solana.EncodingBase64Zstd} {
		out, err := n.GetAccountInfoWithOpts(ctx, pool, &client.GetAccountInfoOpts{Encoding: encoding})
		if err != nil {
			t.Errorf("%s: %v", encoding, err)
			continue
		}
		if !bytes.Equal(out.Value.Data.GetBinary(), want.Data) || out.Value.Owner != cpmm || out.Value.Lamports != want.Lamports || out.Value.Executable {
			t.Errorf("%s: another account than the market's: %+v", encoding, out.Value)
		}
	}
	offset, length := uint64(100), uint64(50)
	for _, encoding := range []solana.EncodingType{solana.EncodingBase58, solana.EncodingBase64} {
		out, err := n.GetAccountInfoWithOpts(ctx, pool, &client.GetAccountInfoOpts{Encoding: encoding, DataSlice: &client.DataSlice{Offset: &offset, Length: &length}})
		if err != nil || !bytes.Equal(out.Value.Data.GetBinary(), want.Data[100:150]) {
			t.Errorf("slice as %s: %v", encoding, err)
		}
	}
	offset, length = 630, 1<<63
	out, err := n.GetAccountInfoWithOpts(ctx, pool, &client.GetAccountInfoOpts{DataSlice: &client.DataSlice{Offset: &offset, Length: &length}})
	if err != nil || !bytes.Equal(out.Value.Data.GetBinary(), want.Data[630:]) {
		t.Errorf("slice beyond the end: %v", err)
	}
	if _, err := n.GetAccountInfo(ctx, solana.NewWallet().PublicKey()); !errors.Is(err, client.ErrNotFound) {
		t.Errorf("an account that does not exist: %v", err)
	}
}

func TestContextSlotIsThatOfTheCommitment(t *testing.T) {
	n, ctx := newNode(t), t.Context()
	tip := n.market.At(market.Processed).Slot
	for level, lag := range map[client.CommitmentType]uint64{client.CommitmentProcessed: 0, client.CommitmentConfirmed: 2, client.CommitmentFinalized: 31, "": 31} {
		out, err := n.GetAccountInfoWithOpts(ctx, usdc, &client.GetAccountInfoOpts{Commitment: level})
		if err != nil || out.Context.Slot != tip-lag {
			t.Errorf("%q: slot %d, %v, want %d", level, out.Context.Slot, err, tip-lag)
		}
		if slot, err := n.GetSlot(ctx, level); err != nil || slot != tip-lag {
			t.Errorf("getSlot %q: %d, %v", level, slot, err)
		}
	}
	ahead := tip + 1
	_, err := n.GetAccountInfoWithOpts(ctx, usdc, &client.GetAccountInfoOpts{Commitment: client.CommitmentProcessed, MinContextSlot: &ahead})
	var rpcErr *jsonrpc.RPCError
	if !errors.As(err, &rpcErr) || rpcErr.Code != -32016 {
		t.Errorf("minContextSlot ahead of the node: %v", err)
	}
	n.step(t, 1)
	if _, err := n.GetAccountInfoWithOpts(ctx, usdc, &client.GetAccountInfoOpts{Commitment: client.CommitmentProcessed, MinContextSlot: &ahead}); err != nil {
		t.Errorf("minContextSlot reached: %v", err)
	}
}

func TestProgramAccountsAreFoundByFilter(t *testing.T) {
	n, ctx := newNode(t), t.Context()
	layout := raydiumcpmm.New(cpmm).Layout()
	out, err := n.GetProgramAccountsWithOpts(ctx, cpmm, &client.GetProgramAccountsOpts{Filters: []client.RPCFilter{
		{DataSize: layout.Size},
		{Memcmp: &client.RPCFilterMemcmp{Offset: 0, Bytes: layout.Discriminator}},
		{Memcmp: &client.RPCFilterMemcmp{Offset: layout.Mints[1], Bytes: usdc[:]}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := 0
	for _, pool := range n.market.At(market.Finalized).Pools {
		if pool.Info().Mints[1] == usdc {
			want++
		}
	}
	if len(out) != want || want == 0 {
		t.Errorf("found %d pools with USDC second, the market has %d", len(out), want)
	}
	for _, found := range out {
		if len(found.Account.Data.GetBinary()) != 637 || found.Account.Owner != cpmm {
			t.Errorf("%s is no pool", found.Pubkey)
		}
	}
}

func TestChainFacts(t *testing.T) {
	n, ctx := newNode(t), t.Context()
	s := n.market.At(market.Confirmed)
	hash := must[*client.GetLatestBlockhashResult](t)(n.GetLatestBlockhash(ctx, client.CommitmentConfirmed))
	if hash.Value.Blockhash != s.Blockhash || hash.Value.LastValidBlockHeight != s.Height()+150 {
		t.Errorf("blockhash %+v, want %s until %d", hash.Value, s.Blockhash, s.Height()+150)
	}
	if height := must[uint64](t)(n.GetBlockHeight(ctx, client.CommitmentConfirmed)); height != s.Height() {
		t.Errorf("height %d, want %d", height, s.Height())
	}
	if valid := must[*client.IsValidBlockhashResult](t)(n.IsBlockhashValid(ctx, s.Blockhash, client.CommitmentConfirmed)); !valid.Value {
		t.Error("the newest blockhash is not valid")
	}
	if hash := must[solana.Hash](t)(n.GetGenesisHash(ctx)); hash != genesis {
		t.Errorf("genesis hash %s", hash)
	}
	if health := must[string](t)(n.GetHealth(ctx)); health != "ok" {
		t.Errorf("health %q", health)
	}
	if version := must[*client.GetVersionResult](t)(n.GetVersion(ctx)); version.SolanaCore == "" {
		t.Error("no version")
	}
	if rent := must[uint64](t)(n.GetMinimumBalanceForRentExemption(ctx, 165, "")); rent != 2_039_280 {
		t.Errorf("rent of a token account is %d", rent)
	}
	epoch := must[*client.GetEpochInfoResult](t)(n.GetEpochInfo(ctx, client.CommitmentConfirmed))
	if epoch.AbsoluteSlot != s.Slot || epoch.Epoch*epoch.SlotsInEpoch+epoch.SlotIndex != s.Slot {
		t.Errorf("epoch %+v", epoch)
	}
	if balance := must[*client.GetBalanceResult](t)(n.GetBalance(ctx, solana.SysVarClockPubkey, "")); balance.Value != 1_169_280 {
		t.Errorf("the clock holds %d lamports", balance.Value)
	}
	fees := must[[]client.PriorizationFeeResult](t)(n.GetRecentPrioritizationFees(ctx, n.market.Pools()[:2]))
	paid := 0
	for _, fee := range fees {
		if fee.PrioritizationFee > 0 {
			paid++
		}
	}
	if len(fees) != 150 || fees[149].Slot != n.market.At(market.Processed).Slot || paid < 75 {
		t.Errorf("%d fees until slot %d, %d of them paid", len(fees), fees[len(fees)-1].Slot, paid)
	}
}

func TestErrorsHaveTheNodesCodes(t *testing.T) {
	n := newNode(t)
	for name, test := range map[string]struct {
		body string
		code int
	}{
		"no JSON":             {`{"jsonrpc":`, -32700},
		"empty body":          {``, -32700},
		"no request":          {`{"foo":1}`, -32600},
		"empty batch":         {`[]`, -32600},
		"unknown method":      {`{"jsonrpc":"2.0","id":1,"method":"getEverything"}`, -32601},
		"missing key":         {`{"jsonrpc":"2.0","id":1,"method":"getAccountInfo","params":[]}`, -32602},
		"short key":           {`{"jsonrpc":"2.0","id":1,"method":"getAccountInfo","params":["abc"]}`, -32602},
		"named parameters":    {`{"jsonrpc":"2.0","id":1,"method":"getSlot","params":{"commitment":"confirmed"}}`, -32602},
		"unknown commitment":  {`{"jsonrpc":"2.0","id":1,"method":"getSlot","params":[{"commitment":"single"}]}`, -32602},
		"jsonParsed":          {`{"jsonrpc":"2.0","id":1,"method":"getAccountInfo","params":["` + usdc.String() + `",{"encoding":"jsonParsed"}]}`, -32602},
		"big data as base58":  {`{"jsonrpc":"2.0","id":1,"method":"getAccountInfo","params":["` + n.market.Pools()[0].String() + `"]}`, -32600},
		"101 keys":            {`{"jsonrpc":"2.0","id":1,"method":"getMultipleAccounts","params":[["` + strings.Repeat(usdc.String()+`","`, 100) + usdc.String() + `"]]}`, -32602},
		"wrong type":          {`{"jsonrpc":"2.0","id":1,"method":"getMultipleAccounts","params":["x"]}`, -32602},
		"bad memcmp":          {`{"jsonrpc":"2.0","id":1,"method":"getProgramAccounts","params":["` + cpmm.String() + `",{"filters":[{"memcmp":{"offset":0,"bytes":"0OIl"}}]}]}`, -32602},
		"no transaction":      {`{"jsonrpc":"2.0","id":1,"method":"simulateTransaction","params":["AQ==",{"encoding":"base64"}]}`, -32602},
		"negative length":     {`{"jsonrpc":"2.0","id":1,"method":"getMinimumBalanceForRentExemption","params":[-5]}`, -32602},
		"subscribe over HTTP": {`{"jsonrpc":"2.0","id":1,"method":"accountSubscribe","params":["` + usdc.String() + `"]}`, -32601},
	} {
		status, answer := n.post(t, test.body)
		var got struct {
			Version string `json:"jsonrpc"`
			Error   struct {
				Code    int
				Message string
			}
		}
		if err := json.Unmarshal([]byte(answer), &got); err != nil || status != 200 || got.Version != "2.0" || got.Error.Code != test.code || got.Error.Message == "" {
			t.Errorf("%s: HTTP %d %s, want code %d", name, status, answer, test.code)
		}
	}
}

func TestBatchesAnswerInOrderAndKeepIDs(t *testing.T) {
	n := newNode(t)
	_, answer := n.post(t, `[{"jsonrpc":"2.0","id":"a","method":"getHealth"},{"jsonrpc":"2.0","method":"getHealth"},{"jsonrpc":"2.0","id":18446744073709551615,"method":"nope"}]`)
	want := `[{"jsonrpc":"2.0","result":"ok","id":"a"},{"jsonrpc":"2.0","error":{"code":-32601,"message":"Method not found"},"id":18446744073709551615}]`
	if diff := cmp.Diff(want, answer); diff != "" {
		t.Error(diff)
	}
}

func TestHTTPRefusals(t *testing.T) {
	n := newNode(t)
	if resp := must[*http.Response](t)(http.Get(n.url)); resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET: %s", resp.Status)
	}
	if resp := must[*http.Response](t)(http.Post(n.url, "text/plain", strings.NewReader("{}"))); resp.StatusCode != http.StatusUnsupportedMediaType {
		t.Errorf("text: %s", resp.Status)
	}
	if status, _ := n.post(t, strings.Repeat(" ", 60<<10)); status != http.StatusRequestEntityTooLarge {
		t.Errorf("60 KiB: %d", status)
	}
}

func (n node) dial(t *testing.T) *ws.Client {
	t.Helper()
	c := must[*ws.Client](t)(ws.Connect(t.Context(), "ws"+strings.TrimPrefix(n.url, "http")))
	t.Cleanup(c.Close)
	return c
}

// receive steps the market until a notification arrives.
func receive[T any](t *testing.T, n node, recv func(context.Context) (T, error)) T {
	t.Helper()
	for range 200 {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		got, err := recv(ctx)
		cancel()
		if err == nil {
			return got
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		n.step(t, 1)
	}
	t.Fatal("no notification in 200 slots")
	panic("unreachable")
}

func TestAccountSubscriptionSeesEachChange(t *testing.T) {
	n := newNode(t)
	sub := must[*ws.AccountSubscription](t)(n.dial(t).AccountSubscribe(solana.SysVarClockPubkey, client.CommitmentProcessed))
	first := receive(t, n, sub.Recv)
	slot := first.Context.Slot
	n.step(t, 5)
	for range 5 {
		got := must[*ws.AccountResult](t)(sub.Recv(t.Context()))
		if slot++; got.Context.Slot != slot {
			t.Errorf("slot %d follows %d", got.Context.Slot, slot-1)
		}
		if data := got.Value.Data.GetBinary(); len(data) != 40 || data[0] != byte(slot) {
			t.Errorf("the clock of slot %d says %x", slot, data)
		}
	}
}

func TestProgramSubscriptionSeesPoolsOnly(t *testing.T) {
	n := newNode(t)
	sub := must[*ws.ProgramSubscription](t)(n.dial(t).ProgramSubscribeWithOpts(cpmm, client.CommitmentConfirmed, solana.EncodingBase64, []client.RPCFilter{{DataSize: 637}}))
	got := receive(t, n, sub.Recv)
	want := n.market.At(market.Confirmed)
	if data := got.Value.Account.Data.GetBinary(); len(data) != 637 || got.Context.Slot > want.Slot {
		t.Errorf("%s with %d bytes at slot %d", got.Value.Pubkey, len(data), got.Context.Slot)
	}
}

func TestSlotSubscriptionAndUnsubscription(t *testing.T) {
	n := newNode(t)
	c := n.dial(t)
	sub := must[*ws.SlotSubscription](t)(c.SlotSubscribe())
	got := receive(t, n, sub.Recv)
	if got.Parent != got.Slot-1 || got.Root != got.Slot-31 {
		t.Errorf("slot %+v", got)
	}
	sub.Unsubscribe()
	root := must[*ws.RootSubscription](t)(c.RootSubscribe())
	if got := receive(t, n, root.Recv); uint64(*got) > n.market.At(market.Finalized).Slot {
		t.Errorf("root %d is ahead of the market", *got)
	}
}

func TestDroppedWebsocketsEndAndNewOnesWork(t *testing.T) {
	n := newNode(t)
	sub := must[*ws.SlotSubscription](t)(n.dial(t).SlotSubscribe())
	receive(t, n, sub.Recv)
	n.handler.DropWebsockets()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for {
		if _, err := sub.Recv(ctx); errors.Is(err, context.DeadlineExceeded) {
			t.Fatal("the subscription goes on")
		} else if err != nil {
			break
		}
	}
	again := must[*ws.SlotSubscription](t)(n.dial(t).SlotSubscribe())
	receive(t, n, again.Recv)
}

func TestTransferIsSimulatedSentAndConfirmed(t *testing.T) {
	n, ctx := newNode(t), t.Context()
	from, to := solana.NewWallet(), solana.NewWallet().PublicKey()
	if err := n.market.FundSOL(from.PublicKey(), 2_000_000_000); err != nil {
		t.Fatal(err)
	}
	n.step(t, 1)
	tx := signed(t, n, from, transfer(from.PublicKey(), to, 1_000_000_000))
	opts := &client.SimulateTransactionOpts{SigVerify: true, Commitment: client.CommitmentProcessed,
		Accounts: &client.SimulateTransactionAccountsOpts{Encoding: solana.EncodingBase64, Addresses: []solana.PublicKey{to}}}
	out := must[*client.SimulateTransactionResponse](t)(n.SimulateTransactionWithOpts(ctx, tx, opts))
	if out.Value.Err != nil || *out.Value.UnitsConsumed != 150 || out.Value.Accounts[0].Lamports != 1_000_000_000 {
		t.Errorf("simulated: %+v", out.Value)
	}
	if n.market.At(market.Processed).Account(to) != nil {
		t.Error("simulating moved money")
	}

	c := n.dial(t)
	sub := must[*ws.SignatureSubscription](t)(c.SignatureSubscribe(tx.Signatures[0], client.CommitmentConfirmed))
	send := client.TransactionOpts{PreflightCommitment: client.CommitmentProcessed}
	signature := must[solana.Signature](t)(n.SendTransactionWithOpts(ctx, tx, send))
	if again := must[solana.Signature](t)(n.SendTransactionWithOpts(ctx, tx, send)); again != signature {
		t.Errorf("sent twice: %s and %s", signature, again)
	}
	if got := receive(t, n, sub.Recv); got.Value.Err != nil {
		t.Errorf("confirmed with %v", got.Value.Err)
	}
	status := must[*client.GetSignatureStatusesResult](t)(n.GetSignatureStatuses(ctx, false, signature, solana.Signature{1}))
	if status.Value[0] == nil || status.Value[0].ConfirmationStatus != client.ConfirmationStatusConfirmed || status.Value[1] != nil {
		t.Errorf("statuses %+v", status.Value)
	}
	s := n.market.At(market.Processed)
	if got := s.Account(to).Lamports; got != 1_000_000_000 {
		t.Errorf("%d lamports arrived", got)
	}
	if got := s.Account(from.PublicKey()).Lamports; got != 1_000_000_000-5_000 {
		t.Errorf("%d lamports are left", got)
	}
}

func TestSimulationSaysWhatIsWrong(t *testing.T) {
	n, ctx := newNode(t), t.Context()
	poor, rich := solana.NewWallet(), solana.NewWallet()
	if err := n.market.FundSOL(rich.PublicKey(), 1_000_000_000); err != nil {
		t.Fatal(err)
	}
	n.step(t, 1)
	stale := signed(t, n, rich, transfer(rich.PublicKey(), poor.PublicKey(), 5))
	stale.Message.RecentBlockhash = solana.Hash{1}
	forged := signed(t, n, rich, transfer(rich.PublicKey(), poor.PublicKey(), 5))
	forged.Signatures[0] = solana.Signature{}

	for name, test := range map[string]struct {
		tx   *solana.Transaction
		want any
	}{
		"payer does not exist": {signed(t, n, poor, transfer(poor.PublicKey(), rich.PublicKey(), 5)), "AccountNotFound"},
		"unknown blockhash":    {stale, "BlockhashNotFound"},
		"not enough lamports":  {signed(t, n, rich, transfer(rich.PublicKey(), poor.PublicKey(), 5_000_000_000)), map[string]any{"InstructionError": []any{float64(0), map[string]any{"Custom": float64(1)}}}},
		"leaves dust":          {signed(t, n, rich, transfer(rich.PublicKey(), poor.PublicKey(), 5)), map[string]any{"InsufficientFundsForRent": map[string]any{"account_index": float64(1)}}},
		"unknown program":      {signed(t, n, rich, solana.NewInstruction(poor.PublicKey(), nil, nil)), "ProgramAccountNotFound"},
	} {
		out, err := n.SimulateTransactionWithOpts(ctx, test.tx, &client.SimulateTransactionOpts{Commitment: client.CommitmentProcessed})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(test.want, out.Value.Err); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	var rpcErr *jsonrpc.RPCError
	if _, err := n.SendTransactionWithOpts(ctx, forged, client.TransactionOpts{PreflightCommitment: client.CommitmentProcessed}); !errors.As(err, &rpcErr) || rpcErr.Code != -32003 {
		t.Errorf("forged signature: %v", err)
	}
	if _, err := n.SendTransactionWithOpts(ctx, stale, client.TransactionOpts{PreflightCommitment: client.CommitmentProcessed}); !errors.As(err, &rpcErr) || rpcErr.Code != -32003 {
		t.Errorf("changed after signing: %v", err)
	}
}

func transfer(from, to solana.PublicKey, lamports uint64) solana.Instruction {
	data := []byte{2, 0, 0, 0, byte(lamports), byte(lamports >> 8), byte(lamports >> 16), byte(lamports >> 24), byte(lamports >> 32), 0, 0, 0}
	return solana.NewInstruction(solana.SystemProgramID, solana.AccountMetaSlice{solana.Meta(from).SIGNER().WRITE(), solana.Meta(to).WRITE()}, data)
}

func signed(t *testing.T, n node, payer *solana.Wallet, instructions ...solana.Instruction) *solana.Transaction {
	t.Helper()
	tx := must[*solana.Transaction](t)(solana.NewTransaction(instructions, n.market.At(market.Processed).Blockhash, solana.TransactionPayer(payer.PublicKey())))
	if _, err := tx.Sign(func(solana.PublicKey) *solana.PrivateKey { return &payer.PrivateKey }); err != nil {
		t.Fatal(err)
	}
	return tx
}

func FuzzAnyBodyIsAnswered(f *testing.F) {
	m, err := market.New(market.Config{CPMM: raydiumcpmm.New(cpmm)})
	if err != nil {
		f.Fatal(err)
	}
	h := rpc.New(m, genesis)
	f.Add([]byte(`{"jsonrpc":"2.0","id":1,"method":"getAccountInfo","params":["` + usdc.String() + `",{"encoding":"base64","dataSlice":{"offset":1,"length":9}}]}`))
	f.Add([]byte(`[{"jsonrpc":"2.0","id":1,"method":"getProgramAccounts","params":["` + cpmm.String() + `",{"filters":[{"memcmp":{"offset":900,"bytes":"3"}},{"dataSize":1}]}]}]`))
	f.Add([]byte(`{"jsonrpc":"2.0","id":1,"method":"getRecentPrioritizationFees","params":[["` + usdc.String() + `"]]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != 200 && w.Code != http.StatusRequestEntityTooLarge || w.Code == 200 && !json.Valid(w.Body.Bytes()) {
			t.Errorf("HTTP %d: %q", w.Code, w.Body)
		}
	})
}

func FuzzAnyTransactionIsSimulated(f *testing.F) {
	m, err := market.New(market.Config{CPMM: raydiumcpmm.New(cpmm)})
	if err != nil {
		f.Fatal(err)
	}
	h := rpc.New(m, genesis)
	wallet := solana.NewWallet()
	tx, err := solana.NewTransaction([]solana.Instruction{transfer(wallet.PublicKey(), usdc, 7)}, m.At(market.Finalized).Blockhash, solana.TransactionPayer(wallet.PublicKey()))
	if err != nil {
		f.Fatal(err)
	}
	raw, err := tx.MarshalBinary()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add(raw[:100])
	f.Fuzz(func(t *testing.T, raw []byte) {
		body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": "simulateTransaction",
			"params": []any{raw, map[string]any{"encoding": "base64", "replaceRecentBlockhash": true}}})
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		h.ServeHTTP(httptest.NewRecorder(), r)
	})
}
