package gateway

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"jupiter-dex-integration/src/jupiter"
)

// quoteBody is as long as a common quote.
var quoteBody = []byte(`{"inputMint":"` + wsol + `","pad":"` + strings.Repeat("x", 1100) + `"}`)

// hammer sends GET target over 16 connections per processor, one request at a time on each, with as little work as can be: the
// client shares the processors with the server.
func hammer(b *testing.B, base, target string) {
	b.Helper()
	u, err := url.Parse(base)
	if err != nil {
		b.Fatal(err)
	}
	request := []byte("GET " + target + " HTTP/1.1\r\nHost: " + u.Host + "\r\nAccept: */*\r\n\r\n")
	cpu := cpuTime()
	b.SetParallelism(16)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		conn, err := net.Dial("tcp", u.Host)
		if err != nil {
			b.Error(err)
			return
		}
		defer conn.Close()
		in := bufio.NewReaderSize(conn, 8<<10)
		for pb.Next() {
			if _, err := conn.Write(request); err != nil {
				b.Error(err)
				return
			}
			if err := readAnswer(in); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
	b.ReportMetric(float64(cpuTime()-cpu)/float64(b.N), "cpu-ns/op")
}

// cpuTime is what this process, client and servers together, has used of processors: what other processes do to a busy machine
// does not show in it as it does in the wall clock.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func readAnswer(in *bufio.Reader) error {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(line, []byte("HTTP/1.1 200")) {
		return fmt.Errorf("answer %q", line)
	}
	length := -1
	for {
		if line, err = in.ReadSlice('\n'); err != nil {
			return err
		}
		if len(line) <= 2 {
			break
		}
		if rest, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(rest))); err != nil {
				return err
			}
		}
	}
	if length < 0 {
		return fmt.Errorf("an answer without Content-Length")
	}
	_, err = in.Discard(length)
	return err
}

func bareServer(b *testing.B) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(quoteBody)))
		w.Write(quoteBody)
	}))
	b.Cleanup(s.Close)
	return s.URL
}

var unlimited = []string{"RATE_LIMIT_REQUESTS_PER_MINUTE=60000000", "RATE_LIMIT_BURST_SIZE=60000000"}

// BenchmarkHit compares with a handler that writes the same body, and with one that writes the same header fields too.
func BenchmarkHit(b *testing.B) {
	b.Run("bare", func(b *testing.B) { hammer(b, bareServer(b), goodQuote) })
	b.Run("bare-with-fields", func(b *testing.B) {
		gw := start(b, append(unlimited, "JUPITER_API_URL="+bareServer(b), "QUOTE_CACHE_TTL=1m", "QUOTE_CACHE_MAX_AGE=1m")...)
		get(b, gw.api+goodQuote)
		fields := get(b, gw.api+goodQuote).header
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			maps.Copy(w.Header(), fields)
			w.Write(quoteBody)
		}))
		b.Cleanup(s.Close)
		hammer(b, s.URL, goodQuote)
	})
	b.Run("gateway", func(b *testing.B) {
		gw := start(b, append(unlimited, "JUPITER_API_URL="+bareServer(b), "QUOTE_CACHE_TTL=1m", "QUOTE_CACHE_MAX_AGE=1m")...)
		hammer(b, gw.api, goodQuote)
	})
}

func BenchmarkMiss(b *testing.B) {
	b.Run("reverseproxy", func(b *testing.B) {
		target, err := url.Parse(bareServer(b))
		if err != nil {
			b.Fatal(err)
		}
		proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }, Transport: jupiter.NewTransport()}
		s := httptest.NewServer(proxy)
		b.Cleanup(s.Close)
		hammer(b, s.URL, goodQuote)
	})
	b.Run("gateway", func(b *testing.B) { // labels are forwarded and never cached nor coalesced
		gw := start(b, append(unlimited, "JUPITER_API_URL="+bareServer(b))...)
		hammer(b, gw.api, "/program-id-to-label")
	})
}

// BenchmarkMissLatency sends 1,000 requests a second by plan, whatever becomes of those before (an open loop), and measures from
// the planned time. Gateway and upstream are processes of their own. What the gateway adds is its percentiles less those of
// "direct", on a machine with processors to spare.
func BenchmarkMissLatency(b *testing.B) {
	g := startGatewayProcess(b, "upstream", "QUOTE_CACHE_TTL=0s")
	b.Run("direct", func(b *testing.B) { openLoop(b, "http://"+g.upstream+goodQuote) })
	b.Run("gateway", func(b *testing.B) { openLoop(b, g.api+"/program-id-to-label") }) // never cached nor coalesced
}

func openLoop(b *testing.B, url string) {
	client := http.Client{Transport: jupiter.NewTransport(), Timeout: 10 * time.Second}
	latencies := make([]time.Duration, 0, 1<<20)
	var mu sync.Mutex
	var wg sync.WaitGroup
	planned := time.Now()
	for b.Loop() {
		planned = planned.Add(time.Millisecond)
		time.Sleep(time.Until(planned))
		due := planned
		wg.Go(func() {
			resp, err := client.Get(url)
			if err != nil {
				b.Error(err)
				return
			}
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			took := time.Since(due)
			mu.Lock()
			latencies = append(latencies, took)
			mu.Unlock()
		})
	}
	wg.Wait()
	if len(latencies) == 0 {
		return
	}
	slices.Sort(latencies)
	for _, p := range []int{50, 99} {
		b.ReportMetric(float64(latencies[len(latencies)*p/100].Microseconds())/1000, fmt.Sprintf("p%d-ms", p))
	}
}
