package oracle

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"jupiter-dex-integration/src/platform"
	"jupiter-dex-integration/src/platform/processtest"
)

func benchAPI(tb testing.TB, tokens []string, at time.Time) *updater {
	u := testUpdater(&fakeJupiter{}, nil, time.Minute, tokens...)
	publishAll(tb, u, tokens, at)
	return u
}

func publishAll(tb testing.TB, u *updater, tokens []string, at time.Time) {
	records := make(map[string]record, len(tokens))
	for i, mint := range tokens {
		records[mint] = someRecord(fmt.Sprintf("%d.06634976056819", i+1), at)
	}
	if err := u.book.merge(records); err != nil {
		tb.Fatal(err)
	}
}

// discard is a response that is not kept.
type discard struct {
	header http.Header
	n      int
}

func (d *discard) Header() http.Header { return d.header }
func (d *discard) WriteHeader(int)     {}
func (d *discard) Write(b []byte) (int, error) {
	d.n += len(b)
	return len(b), nil
}

// BenchmarkReadTenPrices is the handler alone, without a socket.
func BenchmarkReadTenPrices(b *testing.B) {
	tokens := manyTokens(5000)
	api := newAPI(benchAPI(b, tokens, time.Now()))
	r := httptest.NewRequest(http.MethodGet, "/price/v3?ids="+strings.Join(tokens[100:110], ","), nil)
	w := &discard{header: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		w.n = 0
		api.ServeHTTP(w, r)
	}
	if w.n < 2000 {
		b.Fatalf("only %d bytes", w.n)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "reads/s")
}

// BenchmarkReadTenPricesOverTCP is the whole server, access log and metrics included, on one core; its clients are another
// process. Where others use the machine too, the core's time is what counts: reads/core-s.
func BenchmarkReadTenPricesOverTCP(b *testing.B) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	tokens := manyTokens(5000)
	p := platform.NewProcess("price-oracle", slog.New(slog.NewJSONHandler(io.Discard, nil)))
	addresses := make(chan string, 2)
	p.Listen = func(address string) (net.Listener, error) {
		l, err := net.Listen("tcp", address)
		if err == nil {
			addresses <- l.Addr().String()
		}
		return l, err
	}
	ctx, cancel := context.WithTimeout(b.Context(), 2*time.Minute)
	var server sync.WaitGroup
	defer server.Wait()
	defer cancel()
	server.Go(func() {
		p.Serve(ctx, platform.ServerConfig{ListenAddress: "127.0.0.1:0", MetricsAddress: "127.0.0.1:0"}, platform.Service{Handler: newAPI(benchAPI(b, tokens, time.Now()))})
	})
	clients := exec.CommandContext(ctx, os.Args[0])
	clients.Env = append(os.Environ(), fmt.Sprintf("BE_READERS=%d %s %s", b.N, <-addresses, strings.Join(tokens[100:110], ",")))
	used := cpuTime(b)
	b.ResetTimer()
	if out, err := clients.CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "reads/s")
	b.ReportMetric(float64(b.N)/(cpuTime(b)-used).Seconds(), "reads/core-s")
}

// beReaders is the other process of BenchmarkReadTenPricesOverTCP.
func beReaders(order string) error {
	var n int64
	var address, ids string
	if _, err := fmt.Sscan(order, &n, &address, &ids); err != nil {
		return err
	}
	request := []byte("GET /price/v3?ids=" + ids + " HTTP/1.1\r\nHost: x\r\n\r\n")
	var left atomic.Int64
	left.Store(n)
	var readers errgroup.Group
	for range 32 {
		readers.Go(func() error {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				return err
			}
			defer conn.Close()
			r := bufio.NewReader(conn)
			for left.Add(-1) >= 0 {
				if _, err := conn.Write(request); err != nil {
					return err
				}
				resp, err := http.ReadResponse(r, nil)
				if err != nil {
					return err
				}
				if n, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != 200 || n < 2000 {
					return fmt.Errorf("HTTP %d, %d bytes: %v", resp.StatusCode, n, err)
				}
			}
			return nil
		})
	}
	return readers.Wait()
}

// BenchmarkStreamTo5000Subscribers is an update of 200 tokens over loopback connections to another process: the mean time
// until it is written to the last subscriber (ms-written), and until half and 99 % of them have read it. On a machine
// that others use too, the CPU times say more than the delays do: the last delay can be no less than their sum divided by
// the number of cores.
func BenchmarkStreamTo5000Subscribers(b *testing.B) {
	for _, encoding := range []string{"identity", "gzip"} {
		b.Run(encoding, func(b *testing.B) { benchmarkStream(b, 5000, encoding) })
	}
}

func benchmarkStream(b *testing.B, subscribers int64, encoding string) {
	tokens := manyTokens(200)
	at := time.Now().Add(-time.Hour)
	u := benchAPI(b, tokens, at)
	s := httptest.NewServer(newAPI(u))
	defer s.Close()
	defer processtest.Eventually(b, "the end of all streams", func() bool { return u.streams.open.Load() == 0 })
	defer close(u.streams.closing)
	ctx, cancel := context.WithTimeout(b.Context(), 2*time.Minute)
	defer cancel()
	clients := exec.CommandContext(ctx, os.Args[0])
	clients.Env = append(os.Environ(), fmt.Sprintf("BE_SUBSCRIBERS=%d %s %s %s", subscribers, s.Listener.Addr(), strings.Join(tokens, ","), encoding))
	clients.Stderr = os.Stderr
	out, err := clients.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := clients.Start(); err != nil {
		b.Fatal(err)
	}
	defer clients.Wait()
	defer clients.Process.Kill()
	var last received
	next := func() received {
		var r received
		if _, err := fmt.Fscan(out, &r.p50, &r.p99, &r.cpu, &r.bytes); err != nil {
			b.Fatalf("the subscribers have ended: %v", err)
		}
		return r
	}
	last = next() // the first event
	var p50, p99, written, clientCPU, serverCPU time.Duration
	for b.Loop() {
		at = at.Add(time.Second)
		begin, used, all := time.Now(), cpuTime(b), u.streams.sent.Load()+subscribers
		publishAll(b, u, tokens, at)
		for u.streams.sent.Load() < all {
			time.Sleep(time.Millisecond)
		}
		written += time.Since(begin)
		r := next()
		serverCPU += cpuTime(b) - used
		clientCPU += time.Duration(r.cpu - last.cpu)
		p50, p99 = p50+time.Unix(0, r.p50).Sub(begin), p99+time.Unix(0, r.p99).Sub(begin)
		last = r
	}
	report := func(d time.Duration, unit string) { b.ReportMetric(float64(d.Microseconds())/1000/float64(b.N), unit) }
	report(written, "ms-written")
	report(p50, "ms-p50")
	report(p99, "ms-p99")
	report(serverCPU, "server-cpu-ms")
	report(clientCPU, "client-cpu-ms")
	b.ReportMetric(float64(last.bytes), "bytes/subscriber")
}

// received is what the subscribers say of an event once all have it: when half and 99 % of them had it, in Unix
// nanoseconds, the CPU time that they have used so far, and the size of the event.
type received struct{ p50, p99, cpu, bytes int64 }

// beSubscribers is the other process of BenchmarkStreamTo5000Subscribers.
func beSubscribers(order string) {
	var n int
	var address, ids, encoding string
	if _, err := fmt.Sscan(order, &n, &address, &ids, &encoding); err != nil {
		panic(err)
	}
	request := []byte("GET /v1/stream?ids=" + ids + " HTTP/1.1\r\nHost: x\r\nAccept-Encoding: " + encoding + "\r\n\r\n")
	var mu sync.Mutex
	var arrived []int64
	arrive := func(size int) {
		now := time.Now().UnixNano()
		mu.Lock()
		defer mu.Unlock()
		if arrived = append(arrived, now); len(arrived) < n {
			return
		}
		slices.Sort(arrived)
		var used syscall.Rusage
		syscall.Getrusage(syscall.RUSAGE_SELF, &used)
		fmt.Println(arrived[n/2], arrived[n*99/100], used.Utime.Nano()+used.Stime.Nano(), size)
		arrived = arrived[:0]
	}
	end := []byte("}}\n\n")
	if encoding == "gzip" {
		end = []byte{0, 0, 0xff, 0xff}
	}
	var wg sync.WaitGroup
	for range n {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			panic(err)
		}
		if _, err := conn.Write(request); err != nil {
			panic(err)
		}
		wg.Go(func() {
			buffer, kept, size := make([]byte, 64<<10), 0, 0
			for {
				k, err := conn.Read(buffer[kept:])
				if err != nil {
					return
				}
				size += k
				got := buffer[:kept+k]
				if bytes.HasSuffix(got, end) && size > 2000 { // what comes before the first event is small
					arrive(size)
					size = 0
				}
				kept = copy(buffer, got[max(0, len(got)-len(end)+1):])
			}
		})
	}
	wg.Wait()
}

func cpuTime(b *testing.B) time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// BenchmarkMemoryOfADay is what 5,000 tokens take with a day of prices, one a minute: the heap, and the most that the whole
// process had resident during updates from three sources.
func BenchmarkMemoryOfADay(b *testing.B) {
	defer debug.SetGCPercent(debug.SetGCPercent(gcPercent))
	tokens := manyTokens(5000)
	for b.Loop() {
		before := measure()
		begin := time.Now().Add(-25 * time.Hour)
		u := benchAPI(b, tokens, begin)
		usd := make(map[string]float64, len(tokens))
		for minute := range 25 * 60 {
			for i, mint := range tokens {
				usd[mint] = float64(i + minute)
			}
			u.history.append(u.history.bucket(begin.Add(time.Duration(minute)*time.Minute)), usd)
		}
		publishAll(b, u, tokens, time.Now())
		after, most := measure(), uint64(0)
		u.sources = []source{says("a", "100", 0), says("b", "100.1", 0), says("c", "100.2", 0)}
		for range 20 {
			if err := u.lead(b.Context(), 0); err != nil {
				b.Fatal(err)
			}
			most = max(most, resident())
		}
		b.ReportMetric(float64(after.heap-before.heap)/(1<<20), "heap-MiB")
		b.ReportMetric(float64(most)/(1<<20), "resident-MiB")
	}
}

// BenchmarkUpdate is the work of one update of 5,000 tokens from three sources, without the calls.
func BenchmarkUpdate(b *testing.B) {
	tokens := manyTokens(5000)
	u := benchAPI(b, tokens, time.Now())
	u.sources = []source{says("a", "100", 0), says("b", "100.1", 0), says("c", "100.2", 0)}
	b.ReportAllocs()
	for b.Loop() {
		if err := u.lead(b.Context(), 0); err != nil {
			b.Fatal(err)
		}
	}
}
