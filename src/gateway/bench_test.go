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
	"runtime"
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

// crowd is a number of clients of one server, each with a connection of its own and one request at a time on it, that do as
// little as can be: they share the processors with the server.
type crowd struct {
	request []byte
	conns   []net.Conn
	in      []*bufio.Reader
}

func newCrowd(b *testing.B, base, target string) *crowd {
	b.Helper()
	u, err := url.Parse(base)
	if err != nil {
		b.Fatal(err)
	}
	c := &crowd{request: []byte("GET " + target + " HTTP/1.1\r\nHost: " + u.Host + "\r\nAccept: */*\r\n\r\n")}
	for range 16 * runtime.GOMAXPROCS(0) {
		conn, err := net.Dial("tcp", u.Host)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { conn.Close() })
		c.conns, c.in = append(c.conns, conn), append(c.in, bufio.NewReaderSize(conn, 8<<10))
	}
	return c
}

// ask sends so many requests over each connection.
func (c *crowd) ask(b *testing.B, each int) {
	var wg sync.WaitGroup
	for i, conn := range c.conns {
		wg.Go(func() {
			for range each {
				_, err := conn.Write(c.request)
				if err == nil {
					err = readAnswer(c.in[i])
				}
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// contender is a server to compare.
type contender struct {
	name         string
	base, target string
}

// compare lets all servers work in turns, so that a busy machine troubles them alike, and reports the requests per second of
// each in its median turn, and what share of the others' the last one reaches: by the clock, and by the processor time of this
// process, clients included, in which other processes hardly show.
func compare(b *testing.B, contenders ...contender) {
	const each = 64
	crowds := make([]*crowd, len(contenders))
	wall, cpu := make([][]time.Duration, len(contenders)), make([][]time.Duration, len(contenders))
	for i, c := range contenders {
		crowds[i] = newCrowd(b, c.base, c.target)
		crowds[i].ask(b, each)
	}
	for b.Loop() {
		for i, c := range crowds {
			start, used := time.Now(), cpuTime()
			c.ask(b, each)
			wall[i], cpu[i] = append(wall[i], time.Since(start)), append(cpu[i], cpuTime()-used)
		}
	}
	median := func(all []time.Duration) float64 {
		slices.Sort(all)
		return float64(all[len(all)/2])
	}
	last := len(contenders) - 1
	for i, c := range contenders {
		requests := float64(each * len(crowds[i].conns))
		b.ReportMetric(requests/(median(wall[i])/float64(time.Second)), c.name+"-req/s")
		if i < last {
			b.ReportMetric(100*median(wall[i])/median(wall[last]), "%-of-"+c.name)
			b.ReportMetric(100*median(cpu[i])/median(cpu[last]), "cpu-%-of-"+c.name)
		}
	}
	b.ReportMetric(0, "ns/op") // a turn of all is no figure
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

// BenchmarkHit compares a cache hit, all middleware on, with a handler that writes the same body, and with one that writes the
// same header fields too. -benchtime=50x is 50 turns.
func BenchmarkHit(b *testing.B) {
	gw := start(b, append(unlimited, "JUPITER_API_URL="+bareServer(b), "QUOTE_CACHE_TTL=1m", "QUOTE_CACHE_MAX_AGE=1m")...)
	get(b, gw.api+goodQuote)
	fields := get(b, gw.api+goodQuote).header
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		maps.Copy(w.Header(), fields)
		w.Write(quoteBody)
	}))
	b.Cleanup(s.Close)
	compare(b, contender{"bare", bareServer(b), goodQuote}, contender{"bare-with-fields", s.URL, goodQuote}, contender{"gateway", gw.api, goodQuote})
}

// BenchmarkMiss compares with the standard library's proxy, which allocates a buffer of 32 KiB for each answer unless it has a
// pool.
func BenchmarkMiss(b *testing.B) {
	target, err := url.Parse(bareServer(b))
	if err != nil {
		b.Fatal(err)
	}
	proxy := func(pool httputil.BufferPool) string {
		s := httptest.NewServer(&httputil.ReverseProxy{Transport: jupiter.NewTransport(), BufferPool: pool,
			Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }})
		b.Cleanup(s.Close)
		return s.URL
	}
	gw := start(b, append(unlimited, "JUPITER_API_URL="+target.String())...)
	compare(b, contender{"proxy", proxy(nil), goodQuote}, contender{"pooled-proxy", proxy(new(buffers)), goodQuote},
		contender{"gateway", gw.api, "/program-id-to-label"}) // which is forwarded and never cached nor coalesced
}

// buffers is a pool for the proxy.
type buffers struct{ pool sync.Pool }

func (p *buffers) Get() []byte {
	if b, ok := p.pool.Get().(*[]byte); ok {
		return *b
	}
	return make([]byte, 32<<10)
}

func (p *buffers) Put(b []byte) { p.pool.Put(&b) }

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
