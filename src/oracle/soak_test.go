package oracle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestAnHourOfFaultsLeavesNothingBehind runs two servers, with readers and subscribers, through an hour in which Jupiter and
// Redis come and go, lie, hang and forget, and servers are replaced. The hour passes in seconds; memory is the process's.
func TestAnHourOfFaultsLeavesNothingBehind(t *testing.T) {
	const interval = 10 * time.Second
	piped := newPipedRedis(t)
	tokens := manyTokens(60)
	synctest.Test(t, func(t *testing.T) {
		source := &fakeJupiter{}
		begin := func() *soaking {
			rdb := piped.client(t)
			return startSoaking(t, testUpdater(source, rdb, interval, tokens...), rdb.Close)
		}
		servers := []*soaking{begin(), begin()}
		r := rand.New(rand.NewPCG(1, 2))
		faults := map[string]int{}
		var measured [7]footprint
		for minute := range 61 {
			if minute%10 == 0 {
				measured[minute/10] = measure()
				t.Logf("minute %d: %v", minute, measured[minute/10])
			}
			prices := map[string]string{}
			for i, mint := range tokens {
				prices[mint] = string(formatPrice(float64(i+1) * (1 + 0.001*r.Float64())))
			}
			source.set(prices)
			source.setFail(nil)
			source.setDelay(0)
			piped.setDown(false)
			if minute < 55 { // time to recover
				fault := []string{"none", "connections reset", "Jupiter hangs", "nonsense prices", "Redis away", "Redis empty", "server replaced", "Redis away, Jupiter gone"}[r.IntN(8)]
				faults[fault]++
				switch fault {
				case "connections reset":
					source.setFail(func(call int, _ []string) error {
						if call%3 != 0 {
							return errors.New("connection reset")
						}
						return nil
					})
				case "Jupiter hangs":
					source.setDelay(time.Hour)
				case "nonsense prices":
					for _, mint := range tokens {
						prices[mint] = "-1"
					}
					source.set(prices)
				case "Redis away":
					piped.setDown(true)
				case "Redis empty":
					piped.FlushAll()
				case "server replaced":
					servers[0].stop()
					servers[0] = begin()
				case "Redis away, Jupiter gone":
					piped.setDown(true)
					source.setFail(func(int, []string) error { return errors.New("no route to host") })
				}
			}
			for _, s := range servers {
				s.use(tokens)
			}
			advance(time.Minute)
			source.forgetCalls() // what the test itself has piled up
		}
		for i, s := range servers {
			if problem, redisErr := s.u.status(); redisErr != nil || problem != "" {
				t.Errorf("server %d: %s, %v", i, problem, redisErr)
			}
			for _, mint := range tokens {
				e := s.u.book.snapshot()[mint]
				if s.u.rules.ages.state(e.record, s.u.clock.now()) == stale {
					t.Errorf("server %d: the price of %s is %v old", i, mint, s.u.clock.since(e.ObservedAt))
				}
			}
			if s.events.Load() == 0 {
				t.Errorf("server %d: no subscriber heard anything", i)
			}
			s.stop()
		}
		t.Logf("faults, a minute each: %v", faults)
		// History grows until it is a day long, 12 bytes a minute and token: 50 minutes are 108 kB in Redis and in two servers.
		early, late := measured[1], measured[6]
		if late.heap > early.heap+4<<20 {
			t.Errorf("the heap grew from %d kB to %d kB", early.heap>>10, late.heap>>10)
		}
		if late.rss > early.rss*5/4 { // the race detector has its own memory in it
			t.Errorf("the resident memory grew from %d kB to %d kB", early.rss>>10, late.rss>>10)
		}
		if late.goroutines > early.goroutines+20 {
			t.Errorf("goroutines went from %d to %d", early.goroutines, late.goroutines)
		}
	})
}

// footprint is what a process holds.
type footprint struct{ heap, rss, goroutines uint64 }

func (f footprint) String() string {
	return fmt.Sprintf("heap %d kB, resident %d kB, %d goroutines", f.heap>>10, f.rss>>10, f.goroutines)
}

// measure collects the garbage first, twice: pools keep theirs once.
func measure() footprint {
	runtime.GC()
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return footprint{m.HeapAlloc, resident(), uint64(runtime.NumGoroutine())}
}

// resident is what the process has in memory, in bytes, as /proc says; 0 where there is none.
func resident() (bytes uint64) {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, pages uint64
	fmt.Sscan(string(text), &size, &pages)
	return pages * uint64(os.Getpagesize())
}

// soaking is a server in a bubble: its connections are pipes.
type soaking struct {
	u      *updater
	client *http.Client
	events atomic.Int64
	stop   func()

	hangUp context.CancelFunc // of the present subscribers
}

func startSoaking(t *testing.T, u *updater, disconnect func() error) *soaking {
	l := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: newAPI(u)}
	go server.Serve(l)
	s := &soaking{u: u, hangUp: func() {}, client: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return l.dial(ctx) }}}}
	stopUpdating := start(t, u)
	s.stop = func() {
		s.hangUp()
		stopUpdating()
		close(u.streams.closing)
		s.client.CloseIdleConnections()
		server.Close()
		disconnect()
	}
	return s
}

// use asks everything there is, and replaces the subscribers by others.
func (s *soaking) use(tokens []string) {
	s.hangUp()
	var ctx context.Context
	ctx, s.hangUp = context.WithCancel(context.Background())
	for i := range 5 {
		go func() {
			if n := s.read(ctx, "/v1/stream?ids="+strings.Join(tokens[i*10:i*10+10], ",")); n > 1000 {
				s.events.Add(1)
			}
		}()
		synctest.Wait()
	}
	for i := range 10 {
		for _, path := range []string{"/price/v3?ids=" + strings.Join(tokens[i:i+50], ","), "/v1/prices/" + tokens[i], "/v1/prices/" + tokens[i] + "/history", "/v1/sources", "/nothing"} {
			s.read(ctx, path)
		}
	}
}

// read returns how many bytes an answer had.
func (s *soaking) read(ctx context.Context, path string) int64 {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://oracle"+path, nil)
	if err != nil {
		panic(err)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	n, _ := io.Copy(io.Discard, resp.Body)
	return n
}

// pipeListener accepts the other ends of the pipes that it dials.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l *pipeListener) dial(ctx context.Context) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case l.conns <- theirs:
		return ours, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { close(l.closed); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }
