package platform

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// crowd opens n connections that each send text and nothing more, until the test ends.
func crowd(t *testing.T, address, from string, n int, text string) {
	t.Helper()
	// A source address of their own leaves the ports of the usual one to others.
	dialer := net.Dialer{Timeout: 30 * time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range n / 8 {
				c, err := dialer.Dial("tcp", address)
				if err != nil {
					t.Error(err)
					return
				}
				t.Cleanup(func() { c.Close() })
				if _, err := io.WriteString(c, text); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestThousandsOfIdleAndSlowClientsDoNotHoldUpOthers(t *testing.T) {
	const slowHeaders, slowBodies, spare = 200, 200, 500
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	idle := min(10_000, (int(min(files.Cur, 1<<20))-spare)/2-slowHeaders-slowBodies) // both ends are this process's
	if idle < 1000 {
		t.Skipf("a limit of %d open files leaves %d idle connections: too few to matter", files.Cur, idle)
	}
	t.Logf("%d idle connections", idle)
	r := serve(t, Service{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<10))
		if err == nil {
			fmt.Fprint(w, len(body))
		}
	})})
	address := strings.TrimPrefix(r.api, "http://")
	crowd(t, address, "127.0.0.2", idle, "")
	crowd(t, address, "127.0.0.3", slowHeaders, "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
	crowd(t, address, "127.0.0.4", slowBodies, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")

	client := http.Client{Timeout: 20 * time.Second}
	for range 100 {
		resp, err := client.Post(r.api+"/x", "text/plain", strings.NewReader("hello"))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != 200 || string(answer) != "5" {
			t.Fatalf("%d %q %v", resp.StatusCode, answer, err)
		}
	}
}
