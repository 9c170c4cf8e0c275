package chain

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
)

const never = time.Hour

func TestPoolsLoadInWholeBatchesWithoutAStream(t *testing.T) {
	n := newFakeNode(t)
	var pools []solana.PublicKey
	config := key('c', 0) // shared by all
	for i := range 120 {
		pools = append(pools, n.addPool(i, i, config))
	}
	m := start(t, &fakeProgram{}, []string{n.server.URL}, FollowConfig{Pools: pools})
	eventually(t, "all pools load", func() bool {
		return m.Snapshot() != nil && !slices.Contains(m.Snapshot().Pools, nil)
	})
	for i := range pools {
		if got := value(m, i); got != i {
			t.Errorf("pool %d has %d", i, got)
		}
	}
	n.set(func() {
		if most := slices.Max(n.batches); most > 100 {
			t.Errorf("a read of %d accounts", most)
		}
	})
	s := m.Snapshot()
	if s.Slot != 100 || s.Clock != (amm.Clock{Slot: 100, Epoch: 0, UnixTimestamp: 1_700_000_100}) {
		t.Errorf("slot %d, clock %+v", s.Slot, s.Clock)
	}
	n.advance(key('a', 7), vault(77), key('b', 7), vault(77))
	eventually(t, "a poll sees the change", func() bool { return value(m, 7) == 77 && m.Snapshot().Slot == 101 })
}

func TestStreamedChangesNeverMixSlots(t *testing.T) {
	n := newFakeNode(t)
	var pools []solana.PublicKey
	for i := range 5 {
		pools = append(pools, n.addPool(i, 0))
	}
	program := &fakeProgram{}
	m := start(t, program, []string{n.server.URL}, FollowConfig{Pools: pools, StreamURLs: []string{n.streamURL()}, PollInterval: never, AuditInterval: never})
	eventually(t, "pools load", func() bool { return value(m, 4) == 0 })
	eventually(t, "subscriptions", func() bool { return n.count("accountSubscribe") == 16 })
	for v := 1; v <= 400; v++ {
		var changes []any
		for i := range pools {
			if v%(i+1) == 0 {
				changes = append(changes, key('a', i), vault(v), key('b', i), vault(v))
			}
		}
		n.advance(changes...)
		s := m.Snapshot()
		for i, p := range s.Pools {
			if p == nil {
				continue
			}
			if f := p.(*fakePool); f.vaults[0] != f.vaults[1] {
				t.Fatalf("pool %d mixes slots: %v", i, f.vaults)
			}
		}
	}
	n.advance()
	eventually(t, "the last change", func() bool { return value(m, 0) == 400 && value(m, 4) == 400 })
	if mixed := program.mixed.Load(); mixed != 0 {
		t.Errorf("%d pools were decoded from two slots", mixed)
	}
}

func TestANotificationWaitsForItsSlotToBeWhole(t *testing.T) {
	m, p := offline(t, 1)
	feed := func(slot uint64, k solana.PublicKey, v int) {
		m.handle(notified{m.session, slot, k, vault(v)})
	}
	feed(10, key('a', 0), 5)
	if m.Snapshot().Pools[0] == nil || value(m, 0) != 0 {
		t.Fatalf("half of a slot is visible: %d", value(m, 0))
	}
	feed(10, key('b', 0), 5)
	if value(m, 0) != 0 {
		t.Fatal("a slot is visible before it is known to be whole")
	}
	feed(11, key('a', 0), 6)
	if value(m, 0) != 5 || m.Snapshot().Slot != 10 {
		t.Errorf("value %d at slot %d, want 5 at 10", value(m, 0), m.Snapshot().Slot)
	}
	if p.mixed.Load() != 0 {
		t.Error("slots were mixed")
	}
}

// offline is a market of pools that are live at slot 9, driven by hand.
func offline(t testing.TB, pools int) (*Market, *fakeProgram) {
	t.Helper()
	p := &fakeProgram{}
	var addresses []solana.PublicKey
	for i := range pools {
		addresses = append(addresses, key('p', i))
	}
	m := newOffline(p, addresses)
	m.handle(connected{&session{wake: make(chan struct{}, 1)}})
	read := func() {
		var all []*pool
		for _, p := range m.pools {
			if p.mustRead {
				all = append(all, p)
			}
		}
		answers := m.batches(all)
		for i := range answers {
			a := &answers[i]
			a.slot = 9
			for _, k := range a.keys {
				switch k[0] {
				case 'p':
					v := k
					v[0] = 'a'
					w := k
					w[0] = 'b'
					a.accounts = append(a.accounts, poolAccount(v, w))
				case 'a', 'b':
					a.accounts = append(a.accounts, vault(0))
				default:
					a.accounts = append(a.accounts, &amm.Account{Lamports: 1, Data: append([]byte{9}, make([]byte, 39)...)})
				}
			}
		}
		m.install(answers)
	}
	read()
	for k := range m.watched {
		m.handle(acknowledged{m.session, k, nil})
	}
	m.handle(notified{m.session, 9, solana.SysVarClockPubkey, &amm.Account{Lamports: 1, Data: append([]byte{9}, make([]byte, 39)...)}})
	read()
	for i, p := range m.pools {
		if !p.live || p.state == nil {
			t.Fatalf("pool %d is not live: %+v", i, p)
		}
	}
	return m, p
}

func TestReconnectReadsWhatWasMissed(t *testing.T) {
	n := newFakeNode(t)
	pools := []solana.PublicKey{n.addPool(0, 1)}
	m := start(t, &fakeProgram{}, []string{n.server.URL}, FollowConfig{Pools: pools, StreamURLs: []string{n.streamURL()}, PollInterval: never, AuditInterval: never})
	eventually(t, "stream", func() bool { return n.count("accountSubscribe") == 4 })
	n.advance(key('a', 0), vault(2), key('b', 0), vault(2))
	n.advance()
	eventually(t, "streamed change", func() bool { return value(m, 0) == 2 })
	n.set(func() { n.deaf = true })
	n.advance(key('a', 0), vault(3), key('b', 0), vault(3))
	n.dropConnections()
	n.set(func() { n.deaf = false })
	eventually(t, "the change that no notification told of", func() bool { return value(m, 0) == 3 })
	eventually(t, "streaming goes on", func() bool {
		n.advance(key('a', 0), vault(4), key('b', 0), vault(4))
		return value(m, 0) == 4
	})
}

func TestPollingCarriesOnWhileThereIsNoStream(t *testing.T) {
	n := newFakeNode(t)
	n.noStream = true
	m := start(t, &fakeProgram{}, []string{n.server.URL}, FollowConfig{Pools: []solana.PublicKey{n.addPool(0, 1)}, StreamURLs: []string{n.streamURL()}})
	eventually(t, "load", func() bool { return value(m, 0) == 1 })
	n.advance(key('a', 0), vault(2), key('b', 0), vault(2))
	eventually(t, "poll", func() bool { return value(m, 0) == 2 })
}

func TestAuditFindsDroppedNotifications(t *testing.T) {
	n := newFakeNode(t)
	m := start(t, &fakeProgram{}, []string{n.server.URL}, FollowConfig{Pools: []solana.PublicKey{n.addPool(0, 1)}, StreamURLs: []string{n.streamURL()},
		PollInterval: never, AuditInterval: 100 * time.Millisecond})
	eventually(t, "stream", func() bool { return n.count("accountSubscribe") == 4 && value(m, 0) == 1 })
	n.set(func() { n.deaf = true })
	n.advance(key('a', 0), vault(2), key('b', 0), vault(2))
	eventually(t, "audit", func() bool { return value(m, 0) == 2 })
}

func TestNewlyNamedAccountsAreLoadedBeforeThePoolIsQuotedAgain(t *testing.T) {
	n := newFakeNode(t)
	address := n.addPool(0, 1, key('t', 1))
	m := start(t, &fakeProgram{}, []string{n.server.URL}, FollowConfig{Pools: []solana.PublicKey{address}, StreamURLs: []string{n.streamURL()},
		PollInterval: never, AuditInterval: never})
	eventually(t, "stream", func() bool { return n.count("accountSubscribe") == 5 && value(m, 0) == 1 })
	n.set(func() { n.accounts[key('t', 2)] = vault(0) })
	n.advance(address, poolAccount(key('a', 0), key('b', 0), key('t', 2)), key('a', 0), vault(2), key('b', 0), vault(2))
	n.advance()
	eventually(t, "pool with its new array", func() bool { return value(m, 0) == 2 })
	eventually(t, "the old array is no longer watched", func() bool { return n.count("accountUnsubscribe") == 1 })
	n.advance(key('t', 2), vault(1), key('a', 0), vault(3), key('b', 0), vault(3))
	n.advance()
	eventually(t, "streaming goes on", func() bool { return value(m, 0) == 3 })
}

func TestUnusablePoolsAreSetAsideWithTheReason(t *testing.T) {
	n := newFakeNode(t)
	good, missing, foreign, malformed := n.addPool(0, 1), key('x', 1), key('x', 2), key('x', 3)
	crowd := make([]solana.PublicKey, 120)
	for i := range crowd {
		crowd[i] = key('y', i)
	}
	greedy := n.addPool(4, 1, crowd...)
	broken := n.addPool(5, 1)
	n.set(func() {
		n.accounts[foreign] = &amm.Account{Owner: key('z', 0), Lamports: 1}
		n.accounts[malformed] = &amm.Account{Owner: fakeProgramID, Lamports: 1, Data: make([]byte, 33)}
		n.accounts[key('b', 5)] = nil
	})
	m := start(t, &fakeProgram{}, []string{n.server.URL}, FollowConfig{Pools: []solana.PublicKey{good, missing, foreign, malformed, greedy, broken}})
	want := []string{"", ReasonNotFound, ReasonUnknownProgram, ReasonMalformed, ReasonTooManyAccounts, ReasonMalformed}
	eventually(t, "reasons", func() bool {
		for i, s := range m.Status() {
			if s.Reason != want[i] || (s.Pool == nil) != (want[i] != "") || (s.Err == nil) != (want[i] == "") {
				return false
			}
		}
		return true
	})
	if s := m.Snapshot(); s.Pools[0] == nil || s.Pools[5] != nil {
		t.Errorf("pools %v", s.Pools)
	}
	status := m.Status()
	if got, want := status[5].Mints, [2]solana.PublicKey{key('a', 5), key('b', 5)}; got != want {
		t.Errorf("a pool set aside is said to trade %v, its account says %v", got, want)
	}
	for _, i := range []int{1, 2, 3} {
		if !status[i].Mints[0].IsZero() {
			t.Errorf("pool %d, of which nothing is known, is said to trade %v", i, status[i].Mints)
		}
	}
}

func TestAFailingNodeIsLeftForAnother(t *testing.T) {
	bad, good := newFakeNode(t), newFakeNode(t)
	bad.refuse = func(string) (int, http.Header) { return http.StatusInternalServerError, nil }
	m := start(t, &fakeProgram{}, []string{bad.server.URL, good.server.URL}, FollowConfig{Pools: []solana.PublicKey{good.addPool(0, 1)}})
	eventually(t, "load", func() bool { return value(m, 0) == 1 })
	before := bad.count("getMultipleAccounts")
	reads := good.count("getMultipleAccounts")
	eventually(t, "ten more reads", func() bool { return good.count("getMultipleAccounts") > reads+10 })
	if tried := bad.count("getMultipleAccounts") - before; tried > 5 {
		t.Errorf("the failing node was tried %d times in ten reads", tried)
	}
}

func TestALaggingNodeIsLeftForAnother(t *testing.T) {
	slow, fresh := newFakeNode(t), newFakeNode(t)
	address := slow.addPool(0, 1)
	fresh.addPool(0, 2)
	fresh.slot = 500
	m := start(t, &fakeProgram{}, []string{slow.server.URL, fresh.server.URL}, FollowConfig{Pools: []solana.PublicKey{address}})
	eventually(t, "the fresh node's state", func() bool { return value(m, 0) == 2 })
	n := slow.count("getMultipleAccounts")
	reads := fresh.count("getMultipleAccounts")
	eventually(t, "ten more reads", func() bool { return fresh.count("getMultipleAccounts") > reads+10 })
	if slow.count("getMultipleAccounts") != n {
		t.Error("the lagging node is still read from")
	}
}

func TestRateLimitedNodeIsLeftAlone(t *testing.T) {
	n := newFakeNode(t)
	m := start(t, &fakeProgram{}, []string{n.server.URL}, FollowConfig{Pools: []solana.PublicKey{n.addPool(0, 1)}})
	eventually(t, "load", func() bool { return value(m, 0) == 1 })
	var calls int
	n.set(func() {
		calls = n.calls["getMultipleAccounts"]
		n.refuse = func(string) (int, http.Header) {
			return http.StatusTooManyRequests, http.Header{"Retry-After": {"20"}}
		}
	})
	eventually(t, "a refusal", func() bool { return n.count("getMultipleAccounts") > calls })
	time.Sleep(10 * beat)
	if more := n.count("getMultipleAccounts") - calls; more > 1 {
		t.Errorf("%d calls after Retry-After: 20", more)
	}
}

func TestAuthorizationIsSentAndNeverShown(t *testing.T) {
	n := newFakeNode(t)
	m := start(t, &fakeProgram{}, []string{n.server.URL + "/path?api-key=hidden"}, FollowConfig{Pools: []solana.PublicKey{n.addPool(0, 1)},
		Authorization: func() string { return "Bearer secret" }})
	eventually(t, "load", func() bool { return value(m, 0) == 1 })
	n.set(func() {
		for _, a := range n.auth {
			if a != "Bearer secret" {
				t.Errorf("Authorization %q", a)
			}
		}
	})
	n.server.CloseClientConnections()
	n.server.Close()
	e, _ := NewEndpoints([]string{"http://127.0.0.1:1/path?api-key=hidden"}, nil)
	answers := (&Market{rpc: e}).readAll(t.Context(), []answer{{}})
	if msg := fmt.Sprint(answers[0].err); answers[0].err == nil || containsAny(msg, "hidden", "secret", "path") {
		t.Errorf("error %q", msg)
	}
}

func BenchmarkUpdateVisible(b *testing.B) {
	m, _ := offline(b, 1000)
	slot := uint64(10)
	b.ReportAllocs()
	for b.Loop() {
		m.handle(notified{m.session, slot, key('a', int(slot)%1000), vault(int(slot))})
		slot++
	}
}
