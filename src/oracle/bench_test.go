package oracle

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
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

// BenchmarkReadTenPricesOverTCP is a whole request over a loopback connection, client included.
func BenchmarkReadTenPricesOverTCP(b *testing.B) {
	tokens := manyTokens(5000)
	s := httptest.NewServer(newAPI(benchAPI(b, tokens, time.Now())))
	defer s.Close()
	request := []byte("GET /price/v3?ids=" + strings.Join(tokens[100:110], ",") + " HTTP/1.1\r\nHost: x\r\n\r\n")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		conn, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			b.Error(err)
			return
		}
		defer conn.Close()
		r := bufio.NewReader(conn)
		for pb.Next() {
			if _, err := conn.Write(request); err != nil {
				b.Error(err)
				return
			}
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				b.Error(err)
				return
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				b.Error(err)
				return
			}
			resp.Body.Close()
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "reads/s")
}

// BenchmarkStreamTo5000Subscribers is the time from an update of 200 tokens until a subscriber has all of it, over loopback
// connections whose other ends are read by this process too.
func BenchmarkStreamTo5000Subscribers(b *testing.B) {
	const subscribers = 5000
	tokens := manyTokens(200)
	at := time.Now().Add(-time.Hour)
	u := benchAPI(b, tokens, at)
	s := httptest.NewServer(newAPI(u))
	defer s.Close()
	request := []byte("GET /v1/stream?ids=" + strings.Join(tokens, ",") + " HTTP/1.1\r\nHost: x\r\n\r\n")
	arrived := make(chan time.Time, subscribers)
	var wg sync.WaitGroup
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			c.Close()
		}
		wg.Wait()
	}()
	for range subscribers {
		conn, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			b.Skipf("this machine does not allow %d connections: %v", subscribers, err)
		}
		conns = append(conns, conn)
		if _, err := conn.Write(request); err != nil {
			b.Fatal(err)
		}
		wg.Go(func() {
			end := []byte("}}\n\n\r\n") // of an event and of its chunk
			buffer, kept := make([]byte, 32<<10), 0
			for {
				n, err := conn.Read(buffer[kept:])
				if err != nil {
					return
				}
				got := buffer[:kept+n]
				if bytes.HasSuffix(got, end) {
					arrived <- time.Now()
				}
				kept = copy(buffer, got[max(0, len(got)-len(end)):])
			}
		})
	}
	for range subscribers {
		<-arrived
	}
	var delays []time.Duration
	for b.Loop() {
		at = at.Add(time.Second)
		begin := time.Now()
		publishAll(b, u, tokens, at)
		for range subscribers {
			delays = append(delays, (<-arrived).Sub(begin))
		}
	}
	slices.Sort(delays)
	b.ReportMetric(float64(delays[len(delays)/2].Microseconds())/1000, "ms-p50")
	b.ReportMetric(float64(delays[len(delays)*99/100].Microseconds())/1000, "ms-p99")
}

// BenchmarkMemoryOfADay is the heap that 5,000 tokens take with a day of prices, one a minute.
func BenchmarkMemoryOfADay(b *testing.B) {
	tokens := manyTokens(5000)
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
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
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapInuse-before.HeapInuse)/(1<<20), "MiB")
		runtime.KeepAlive(u)
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
