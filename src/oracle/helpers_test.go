package oracle

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"jupiter-dex-integration/src/jupiter"
	"jupiter-dex-integration/src/oracle/aggregate"
	"jupiter-dex-integration/src/platform/redistest"
	"jupiter-dex-integration/src/ratelimit"
)

const (
	wsol = "So11111111111111111111111111111111111111112"
	usdc = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
	jup  = "JUPyiwrYJFskUPiHa7hkeR8VUtAeFoSYbKedZNsDvCN"
)

// fixture returns recorded data, which lives outside the repository.
func fixture(t *testing.T, name string) []byte {
	t.Helper()
	dir := os.Getenv("FIXTURES_DIR")
	if dir == "" {
		dir = "../../../shared/fixtures"
	}
	data, err := os.ReadFile(filepath.Join(dir, "jupiter", name))
	if err != nil {
		if os.Getenv("REQUIRE_FIXTURES") == "1" {
			t.Fatal(err)
		}
		t.Skipf("recorded data not found (set FIXTURES_DIR): %v", err)
	}
	return data
}

// TestMain lets the test binary be the clients of a server in another process.
func TestMain(m *testing.M) {
	if order := os.Getenv("BE_SUBSCRIBERS"); order != "" {
		beSubscribers(order)
		return
	}
	if order := os.Getenv("BE_READERS"); order != "" {
		if err := beReaders(order); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	logging.Disable() // go-redis's own
	os.Exit(m.Run())
}

var quiet = slog.New(slog.DiscardHandler)

// fakeJupiter is a price API whose answers and failures the test sets.
type fakeJupiter struct {
	mu     sync.Mutex
	prices map[string]jupiter.Price
	fail   func(call int, mints []string) error // nil: never
	delay  time.Duration
	calls  [][]string
	at     []time.Time
}

func (f *fakeJupiter) set(usd map[string]string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.prices = map[string]jupiter.Price{}
	for mint, price := range usd {
		f.prices[mint] = jupiter.Price{USDPrice: json.Number(price), BlockID: 1, Decimals: 6}
	}
}

func (f *fakeJupiter) setFail(fail func(int, []string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = fail
}

func (f *fakeJupiter) setDelay(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.delay = d
}

func (f *fakeJupiter) forgetCalls() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls, f.at = nil, nil
}

func (f *fakeJupiter) Prices(ctx context.Context, mints []string) (map[string]jupiter.Price, error) {
	f.mu.Lock()
	f.calls, f.at = append(f.calls, mints), append(f.at, time.Now())
	call, fail, delay := len(f.calls), f.fail, f.delay
	answer := map[string]jupiter.Price{}
	for _, mint := range mints {
		if p, ok := f.prices[mint]; ok {
			answer[mint] = p
		}
	}
	f.mu.Unlock()
	if delay > 0 {
		if err := sleep(ctx, delay); err != nil {
			return nil, err
		}
	}
	if fail != nil {
		if err := fail(call, mints); err != nil {
			return nil, err
		}
	}
	return answer, nil
}

func (f *fakeJupiter) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.calls)
}

// fakeBudget refuses as often as it is told, and remembers what it was told.
type fakeBudget struct {
	refusals int
	observed []time.Duration
}

func (b *fakeBudget) Wait(_ context.Context, p ratelimit.Priority) error {
	if p != ratelimit.Price {
		return fmt.Errorf("priority %d is that of others", p)
	}
	if b.refusals > 0 {
		b.refusals--
		return &ratelimit.Exhausted{RetryAfter: 3 * time.Second}
	}
	return nil
}

func (b *fakeBudget) Observe(_ context.Context, nothingFor time.Duration) {
	b.observed = append(b.observed, nothingFor)
}

func testUpdater(client priceClient, rdb redis.UniversalClient, interval time.Duration, tokens ...string) *updater {
	m, clk := newMetrics(prometheus.NewRegistry()), &clock{}
	ru := rules{aggregate.DefaultPolicy, agesOf(interval), nil}
	ru.policy.MinSources = 1
	u := &updater{tokens: tokens, interval: interval, sources: []source{&jupiterSource{client, &fakeBudget{}, m, clk.now}}, rules: ru, clock: clk,
		book: newBook(clk, ru.ages), history: newHistory(interval), streams: newStreams(), metrics: m, log: quiet}
	u.decimals = &decimals{book: u.book, read: map[string]uint8{}}
	if rdb != nil {
		u.store = newStore(rdb, "mainnet")
	}
	return u
}

// usd is what the book says of mint, "" if nothing.
func (b *book) usd(mint string) string { return string(b.snapshot()[mint].Price) }

// pipedRedis is a Redis that lives inside a synctest bubble: connections are pipes, its clock is the bubble's.
type pipedRedis struct {
	*miniredis.Miniredis
	mu   sync.Mutex
	down bool
	open map[net.Conn]bool
}

// newPipedRedis must be called outside the bubble: miniredis itself listens on a socket.
func newPipedRedis(t *testing.T) *pipedRedis {
	return &pipedRedis{Miniredis: miniredis.RunT(t), open: map[net.Conn]bool{}}
}

func (p *pipedRedis) client(t *testing.T) *redis.Client {
	rdb := redis.NewClient(&redis.Options{
		Addr: "127.0.0.1:1", MaxRetries: -1, ContextTimeoutEnabled: true, Protocol: 2, DisableIdentity: true,
		Dialer: func(context.Context, string, string) (net.Conn, error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			if p.down {
				return nil, fmt.Errorf("connection refused")
			}
			ours, theirs := net.Pipe()
			p.open[theirs] = true
			go p.serve(theirs)
			return ours, nil
		},
	})
	t.Cleanup(func() { rdb.Close() })
	return rdb
}

// setDown cuts and refuses connections, or accepts them again.
func (p *pipedRedis) setDown(down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = down
	for conn := range p.open {
		conn.Close()
	}
	clear(p.open)
}

func (p *pipedRedis) serve(conn net.Conn) {
	defer conn.Close()
	// A pipe holds nothing: answers wait until a pipeline has been read, as they would in a socket.
	r, w := bufio.NewReader(conn), bufio.NewWriterSize(conn, 1<<20)
	peer := server.NewPeer(w)
	line := func() (int, error) {
		text, err := r.ReadString('\n')
		if err != nil {
			return 0, err
		}
		return strconv.Atoi(strings.TrimSpace(text[1:]))
	}
	for {
		n, err := line()
		if err != nil {
			return
		}
		args := make([]string, n)
		for i := range args {
			size, err := line()
			if err != nil {
				return
			}
			value := make([]byte, size+2)
			if _, err := io.ReadFull(r, value); err != nil {
				return
			}
			args[i] = string(value[:size])
		}
		p.Server().Dispatch(peer, args)
		if r.Buffered() == 0 {
			peer.Flush()
		}
	}
}

// realRedis starts a redis-server of its own for the test.
func realRedis(t *testing.T) *redis.Client {
	t.Helper()
	rdb := redis.NewClient(&redis.Options{Addr: redistest.Start(t).Address})
	t.Cleanup(func() { rdb.Close() })
	return rdb
}
