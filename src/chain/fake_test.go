package chain

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/gagliardetto/solana-go"
	"github.com/prometheus/client_golang/prometheus"

	"jupiter-dex-integration/src/amm"
)

// node is a Solana RPC node, HTTP and websocket on one port, over a few accounts.
type fakeNode struct {
	server *httptest.Server

	mu       sync.Mutex
	slot     uint64
	accounts map[solana.PublicKey]*amm.Account
	conns    map[*fakeConn]bool
	nextSub  uint64
	calls    map[string]int
	batches  []int
	auth     []string
	refuse   func(method string) (status int, header http.Header) // 0 answers
	deaf     bool                                                 // changes are not notified
	noStream bool
}

type fakeConn struct {
	conn *websocket.Conn
	subs map[solana.PublicKey]uint64
}

func newFakeNode(t *testing.T) *fakeNode {
	n := &fakeNode{slot: 100, accounts: map[solana.PublicKey]*amm.Account{}, conns: map[*fakeConn]bool{}, calls: map[string]int{}}
	n.setClock()
	n.server = httptest.NewServer(n)
	t.Cleanup(func() {
		n.dropConnections()
		n.server.Close()
	})
	return n
}

func (n *fakeNode) streamURL() string { return strings.Replace(n.server.URL, "http", "ws", 1) }

func (n *fakeNode) setClock() {
	data := make([]byte, 40)
	binary.LittleEndian.PutUint64(data, n.slot)
	binary.LittleEndian.PutUint64(data[16:], n.slot/1000)
	binary.LittleEndian.PutUint64(data[32:], 1_700_000_000+n.slot)
	n.accounts[solana.SysVarClockPubkey] = &amm.Account{Lamports: 1, Data: data}
}

// advance begins the next slot, in which the accounts of changes change, and notifies of them one after the other.
func (n *fakeNode) advance(changes ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.slot++
	n.setClock()
	keys := []solana.PublicKey{solana.SysVarClockPubkey}
	for i := 0; i < len(changes); i += 2 {
		key := changes[i].(solana.PublicKey)
		n.accounts[key], _ = changes[i+1].(*amm.Account)
		keys = append(keys, key)
	}
	if n.deaf {
		return
	}
	for c := range n.conns {
		for _, key := range keys {
			if id, ok := c.subs[key]; ok {
				c.send(map[string]any{"jsonrpc": "2.0", "method": "accountNotification", "params": map[string]any{
					"subscription": id, "result": map[string]any{"context": map[string]any{"slot": n.slot}, "value": wire(n.accounts[key])}}})
			}
		}
	}
}

func (c *fakeConn) send(v any) {
	data, _ := json.Marshal(v)
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = c.conn.Write(ctx, websocket.MessageText, data)
}

func wire(a *amm.Account) any {
	if a == nil {
		return nil
	}
	return map[string]any{"owner": a.Owner, "lamports": a.Lamports, "executable": false, "rentEpoch": uint64(18446744073709551615),
		"space": len(a.Data), "data": []string{base64.StdEncoding.EncodeToString(a.Data), "base64"}}
}

func (n *fakeNode) dropConnections() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.conns {
		_ = c.conn.CloseNow()
	}
}

func (n *fakeNode) count(method string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.calls[method]
}

func (n *fakeNode) set(change func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	change()
}

func (n *fakeNode) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") != "" {
		n.serveStream(w, r)
		return
	}
	var req struct {
		ID     any               `json:"id"`
		Method string            `json:"method"`
		Params []json.RawMessage `json:"params"`
	}
	_ = json.NewDecoder(r.Body).Decode(&req)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.calls[req.Method]++
	n.auth = append(n.auth, r.Header.Get("Authorization"))
	if n.refuse != nil {
		if status, header := n.refuse(req.Method); status != 0 {
			for name, values := range header {
				w.Header()[name] = values
			}
			w.WriteHeader(status)
			return
		}
	}
	answer := map[string]any{"jsonrpc": "2.0", "id": req.ID}
	switch req.Method {
	case "getSlot":
		answer["result"] = n.slot
	case "getMultipleAccounts":
		var keys []solana.PublicKey
		var opts struct{ MinContextSlot uint64 }
		_ = json.Unmarshal(req.Params[0], &keys)
		_ = json.Unmarshal(req.Params[1], &opts)
		n.batches = append(n.batches, len(keys))
		if opts.MinContextSlot > n.slot {
			answer["error"] = map[string]any{"code": codeMinContextSlot, "message": "Minimum context slot has not been reached"}
			break
		}
		values := make([]any, len(keys))
		for i, key := range keys {
			values[i] = wire(n.accounts[key])
		}
		answer["result"] = map[string]any{"context": map[string]any{"slot": n.slot}, "value": values}
	default:
		answer["error"] = map[string]any{"code": -32601, "message": "Method not found"}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}

func (n *fakeNode) serveStream(w http.ResponseWriter, r *http.Request) {
	n.mu.Lock()
	refused := n.noStream
	n.mu.Unlock()
	if refused {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	c := &fakeConn{conn, map[solana.PublicKey]uint64{}}
	n.set(func() { n.conns[c] = true })
	defer n.set(func() { delete(n.conns, c) })
	defer conn.CloseNow()
	for {
		_, data, err := conn.Read(context.Background())
		if err != nil {
			return
		}
		var req struct {
			ID     uint64
			Method string
			Params []json.RawMessage
		}
		if json.Unmarshal(data, &req) != nil || len(req.Params) == 0 {
			return
		}
		n.set(func() {
			n.calls[req.Method]++
			n.nextSub++
			var key solana.PublicKey
			if json.Unmarshal(req.Params[0], &key) == nil && req.Method == "accountSubscribe" {
				c.subs[key] = n.nextSub
				c.send(map[string]any{"jsonrpc": "2.0", "id": req.ID, "result": n.nextSub})
				return
			}
			c.send(map[string]any{"jsonrpc": "2.0", "id": req.ID, "result": true})
		})
	}
}

// fakeProgram's pools name two vaults and further accounts, 32 bytes each; a vault's data is a number. The tests give both
// vaults of a pool the same number in each slot, so that a pool with two numbers is made of two slots.
type fakeProgram struct{ mixed atomic.Int64 }

var fakeProgramID = solana.MustPublicKeyFromBase58("CPMMoo8L3F4NbTegBCKVNunggL7H1ZpdTHKxQB5qKP1C")

func (*fakeProgram) ID() solana.PublicKey { return fakeProgramID }
func (*fakeProgram) Label() string        { return "Fake" }

// The two vaults are as good as mints here.
func (*fakeProgram) Layout() amm.Layout { return amm.Layout{Mints: [2]uint64{0, 32}} }

func (*fakeProgram) Watch(pool solana.PublicKey, accounts amm.Accounts) ([]solana.PublicKey, error) {
	keys := []solana.PublicKey{pool}
	data := accounts[pool].Data
	if len(data)%32 != 0 {
		return nil, &amm.DecodeError{Account: pool, Field: "data", Reason: "length"}
	}
	for ; len(data) > 0; data = data[32:] {
		keys = append(keys, solana.PublicKeyFromBytes(data[:32]))
	}
	return keys, nil
}

func (p *fakeProgram) Decode(pool solana.PublicKey, accounts amm.Accounts) (amm.Pool, error) {
	keys, err := p.Watch(pool, accounts)
	if err != nil {
		return nil, err
	}
	state := &fakePool{info: amm.Info{Address: pool}}
	for i, key := range keys[1:] {
		account, loaded := accounts[key]
		if !loaded {
			return nil, &amm.DecodeError{Account: key, Field: "account", Reason: "not loaded"}
		}
		if account == nil || len(account.Data) != 8 {
			return nil, &amm.DecodeError{Account: key, Field: "amount", Reason: "truncated"}
		}
		if i < 2 {
			state.vaults[i] = binary.LittleEndian.Uint64(account.Data)
		}
	}
	if state.vaults[0] != state.vaults[1] {
		p.mixed.Add(1)
	}
	return state, nil
}

type fakePool struct {
	info   amm.Info
	vaults [2]uint64
}

func (p *fakePool) Info() *amm.Info { return &p.info }
func (*fakePool) Quote(amm.Clock, amm.Request) (amm.Quote, error) {
	return amm.Quote{}, amm.ErrZeroAmount
}
func (*fakePool) SpotPrice(bool) float64 { return 0 }
func (*fakePool) SwapInstruction(amm.Quote, amm.Swap) (solana.Instruction, error) {
	return nil, nil
}
func (*fakePool) SwapAccounts(amm.Quote) int { return 0 }

func key(kind byte, i int) (k solana.PublicKey) {
	k[0] = kind
	binary.BigEndian.PutUint32(k[1:], uint32(i))
	return k
}

func vault(value int) *amm.Account {
	return &amm.Account{Lamports: 1, Data: binary.LittleEndian.AppendUint64(nil, uint64(value))}
}

// addPool makes pool i with vaults of value and further accounts.
func (n *fakeNode) addPool(i, value int, more ...solana.PublicKey) solana.PublicKey {
	n.mu.Lock()
	defer n.mu.Unlock()
	address, a, b := key('p', i), key('a', i), key('b', i)
	n.accounts[a], n.accounts[b] = vault(value), vault(value)
	n.accounts[address] = poolAccount(append([]solana.PublicKey{a, b}, more...)...)
	for _, k := range more {
		if n.accounts[k] == nil {
			n.accounts[k] = vault(0)
		}
	}
	return address
}

func poolAccount(keys ...solana.PublicKey) *amm.Account {
	a := &amm.Account{Owner: fakeProgramID, Lamports: 1}
	for _, k := range keys {
		a.Data = append(a.Data, k[:]...)
	}
	return a
}

// start runs a market until the test ends.
func start(t *testing.T, program *fakeProgram, urls []string, cfg FollowConfig) *Market {
	t.Helper()
	endpoints, err := NewEndpoints(urls, cfg.Authorization)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Programs = []amm.Program{program}
	if cfg.PollInterval == 0 {
		cfg.PollInterval = 50 * time.Millisecond
	}
	m := NewMarket(endpoints, cfg, slog.New(slog.NewTextHandler(io.Discard, nil)), prometheus.NewRegistry())
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = m.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	return m
}

// eventually fails the test unless ok holds within a time that only a hang exceeds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never happened: %s", what)
		}
	}
}

func value(m *Market, i int) int {
	s := m.Snapshot()
	if s == nil || s.Pools[i] == nil {
		return -1
	}
	return int(s.Pools[i].(*fakePool).vaults[0])
}

func newOffline(p *fakeProgram, pools []solana.PublicKey) *Market {
	return NewMarket(&Endpoints{}, FollowConfig{Pools: pools, Programs: []amm.Program{p}}, slog.New(slog.NewTextHandler(io.Discard, nil)), prometheus.NewRegistry())
}

func containsAny(s string, parts ...string) bool {
	for _, p := range parts {
		if strings.Contains(s, p) {
			return true
		}
	}
	return false
}
