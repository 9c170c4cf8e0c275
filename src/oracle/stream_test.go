package oracle

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// event is one server-sent event.
type event struct {
	id, name string
	prices   map[string]struct{ Price, State string }
}

// subscription reads a stream.
type subscription struct {
	t    *testing.T
	resp *http.Response
	r    *bufio.Reader
}

func subscribe(t *testing.T, base, ids, lastID string) *subscription {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // no read waits longer
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/v1/stream?ids="+ids, nil)
	if err != nil {
		t.Fatal(err)
	}
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("HTTP %d, %s", resp.StatusCode, resp.Header.Get("Content-Type"))
	}
	return &subscription{t, resp, bufio.NewReader(resp.Body)}
}

// next returns the next event, or false at the end of the stream.
func (s *subscription) next() (event, bool) {
	s.t.Helper()
	var e event
	for {
		line, err := s.r.ReadString('\n')
		if err != nil {
			return e, false
		}
		field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch field {
		case "id":
			e.id = value
		case "event":
			e.name = value
		case "data":
			if err := json.Unmarshal([]byte(value), &e.prices); err != nil {
				s.t.Fatalf("%s: %v", value, err)
			}
		case "":
			if e.name != "" {
				return e, true
			}
		}
	}
}

func (e event) usd() map[string]string {
	usd := map[string]string{}
	for mint, p := range e.prices {
		usd[mint] = p.Price
	}
	return usd
}

func publish(t *testing.T, u *updater, at time.Time, usd map[string]string) {
	t.Helper()
	records := map[string]record{}
	for mint, price := range usd {
		records[mint] = someRecord(price, at)
	}
	if err := u.book.merge(records); err != nil {
		t.Fatal(err)
	}
}

func TestStreamSendsAllThenWhatIsNew(t *testing.T) {
	u := testAPI(t, nil)
	s := httptest.NewServer(newAPI(u))
	t.Cleanup(s.Close)
	begin := time.Now().Add(-time.Minute)
	publish(t, u, begin, map[string]string{wsol: "75", usdc: "1", jup: "0.5"})
	sub := subscribe(t, s.URL, wsol+","+usdc, "")
	first, _ := sub.next()
	if diff := cmp.Diff(map[string]string{wsol: "75", usdc: "1"}, first.usd()); diff != "" || first.name != "prices" || first.prices[wsol].State != "degraded" {
		t.Errorf("%+v: %s", first, diff)
	}
	publish(t, u, begin.Add(time.Second), map[string]string{jup: "0.6"}) // nobody here asked for it
	publish(t, u, begin.Add(2*time.Second), map[string]string{wsol: "76"})
	second, _ := sub.next()
	if diff := cmp.Diff(map[string]string{wsol: "76"}, second.usd()); diff != "" || second.id <= first.id {
		t.Errorf("%+v: %s", second, diff)
	}
	// Whoever comes back gets what it has missed, from whichever replica.
	publish(t, u, begin.Add(3*time.Second), map[string]string{usdc: "1.01"})
	for lastID, want := range map[string]map[string]string{
		first.id:        {wsol: "76", usdc: "1.01"},
		second.id:       {usdc: "1.01"},
		"0":             {wsol: "76", usdc: "1.01"},
		"9999999999999": {wsol: "76", usdc: "1.01"}, // of a time that has not come
	} {
		got, _ := subscribe(t, s.URL, wsol+","+usdc, lastID).next()
		if diff := cmp.Diff(want, got.usd()); diff != "" {
			t.Errorf("after %s: %s", lastID, diff)
		}
	}
}

func TestStreamIsCompressedForWhomItMayBe(t *testing.T) {
	u := testAPI(t, nil)
	s := httptest.NewServer(newAPI(u))
	t.Cleanup(s.Close)
	begin := time.Now().Add(-time.Minute)
	publish(t, u, begin, map[string]string{wsol: "74", usdc: "1"})
	for encoding, compressed := range map[string]bool{"gzip, deflate, br": true, "br;q=1, GZIP; q=0.5": true, "identity": false, "gzip;q=0": false} {
		t.Run(encoding, func(t *testing.T) {
			req, err := http.NewRequest(http.MethodGet, s.URL+"/v1/stream?ids="+wsol, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Accept-Encoding", encoding)
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			var body io.Reader = resp.Body
			if got := resp.Header.Get("Content-Encoding") == "gzip"; got != compressed {
				t.Fatalf("compressed: %v", got)
			}
			if compressed {
				if body, err = gzip.NewReader(body); err != nil {
					t.Fatal(err)
				}
			}
			sub := &subscription{t, resp, bufio.NewReader(body)}
			for range 20 { // each event arrives by itself
				if e, ok := sub.next(); !ok || e.prices[wsol].Price == "" {
					t.Fatalf("%+v", e)
				}
				begin = begin.Add(time.Second)
				publish(t, u, begin, map[string]string{wsol: "75"})
			}
		})
	}
}

func TestStreamOverHTTP2(t *testing.T) {
	u := testAPI(t, nil)
	s := httptest.NewUnstartedServer(newAPI(u))
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	begin := time.Now().Add(-time.Minute)
	publish(t, u, begin, map[string]string{wsol: "75"})
	resp, err := s.Client().Get(s.URL + "/v1/stream?ids=" + wsol)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.ProtoMajor != 2 {
		t.Fatal(resp.Proto)
	}
	sub := &subscription{t, resp, bufio.NewReader(resp.Body)}
	for i, want := range []string{"75", "76"} {
		publish(t, u, begin.Add(time.Duration(i)*time.Second), map[string]string{wsol: want})
		if e, ok := sub.next(); !ok || e.prices[wsol].Price != want {
			t.Fatalf("%+v, want %s", e, want)
		}
	}
}

func TestSubscriberWhoHangsUpIsForgotten(t *testing.T) {
	u := testAPI(t, nil)
	s := httptest.NewServer(newAPI(u))
	t.Cleanup(s.Close)
	at := time.Now().Add(-time.Minute)
	publish(t, u, at, map[string]string{wsol: "75"})
	sub := subscribe(t, s.URL, wsol, "")
	if _, ok := sub.next(); !ok {
		t.Fatal("no event")
	}
	sub.resp.Body.Close()
	eventually(t, "the end of the stream", func() bool {
		at = at.Add(time.Millisecond)
		publish(t, u, at, map[string]string{wsol: "75"})
		return u.streams.open.Load() == 0
	})
	if n := len(u.streams.topics); n != 0 {
		t.Errorf("%d topics are kept for nobody", n)
	}
}

func TestStreamRefusesBadRequests(t *testing.T) {
	u := testAPI(t, nil)
	s := httptest.NewServer(newAPI(u))
	t.Cleanup(s.Close)
	u.streams.open.Store(maxStreams)
	for name, c := range map[string]struct {
		query, lastID string
		status        int
	}{
		"no ids":                {"", "", 400},
		"not a mint":            {"ids=x", "", 400},
		"too many":              {"ids=" + strings.Join(manyTokens(maxStreamIDs+1), ","), "", 400},
		"an id of another kind": {"ids=" + wsol, "abc", 400},
		"a negative id":         {"ids=" + wsol, "-1", 400},
		"one stream too many":   {"ids=" + wsol, "", 503},
	} {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequest(http.MethodGet, s.URL+"/v1/stream?"+c.query, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Last-Event-ID", c.lastID)
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.StatusCode != c.status || resp.Header.Get("Content-Type") != "application/json" {
				t.Errorf("HTTP %d, %s", resp.StatusCode, resp.Header.Get("Content-Type"))
			}
		})
	}
	if n := u.streams.open.Load(); n != maxStreams {
		t.Errorf("%d streams are counted after all were refused", n-maxStreams)
	}
}

func TestSlowSubscriberSkipsToTheLatest(t *testing.T) {
	u := testAPI(t, nil)
	s := httptest.NewServer(newAPI(u))
	t.Cleanup(s.Close)
	begin := time.Now().Add(-time.Minute)
	publish(t, u, begin, map[string]string{wsol: "1"})
	sub := subscribe(t, s.URL, wsol, "")
	for i := range 1000 { // all of it before the first read
		publish(t, u, begin.Add(time.Duration(i+1)*time.Millisecond), map[string]string{wsol: "2"})
	}
	publish(t, u, begin.Add(2*time.Second), map[string]string{wsol: "3"})
	for seen := 0; ; seen++ {
		e, ok := sub.next()
		if !ok || seen > 1001 {
			t.Fatalf("the latest price never came; %d others did", seen)
		}
		if e.prices[wsol].Price == "3" {
			return
		}
	}
}

func TestSubscriberWhoDoesNotReadIsDropped(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for a write deadline")
	}
	t.Parallel()
	u := testAPI(t, nil)
	s := httptest.NewServer(newAPI(u))
	t.Cleanup(s.Close)
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	tokens := manyTokens(200)
	if _, err := conn.Write([]byte("GET /v1/stream?ids=" + strings.Join(tokens, ",") + " HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the subscription", func() bool { return u.streams.open.Load() == 1 })
	at := time.Now().Add(-time.Hour)
	eventually(t, "the end of a stream that nobody reads", func() bool {
		at = at.Add(time.Millisecond)
		prices := map[string]string{}
		for _, mint := range tokens {
			prices[mint] = "1.23456789"
		}
		publish(t, u, at, prices)
		return u.streams.open.Load() == 0
	})
}

func TestStreamsEndWhenTheServerDrains(t *testing.T) {
	t.Parallel()
	s := serve(t, "JUPITER_API_URL="+newUpstream(t, []byte(solPrice)).URL, "PRICE_TOKENS="+wsol, "DRAIN_TIMEOUT=50s")
	sub := subscribe(t, s.api, wsol, "")
	if e, ok := sub.next(); !ok || e.prices[wsol].Price != "75.5" {
		t.Fatalf("%+v", e)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- s.stop() }()
	if e, ok := sub.next(); ok {
		t.Errorf("another event: %+v", e)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestSubscribersOfTheSameTokensShareOneFrame(t *testing.T) {
	u := testAPI(t, map[string]string{wsol: "75", usdc: "1"})
	snapshot := u.book.entries.Load()
	sol, leave := u.streams.subscribe([]string{wsol})
	again, leaveToo := u.streams.subscribe([]string{wsol})
	a, last := sol.frame(snapshot, 0, false)
	b, _ := again.frame(snapshot, 0, false)
	if &a[0] != &b[0] || last == 0 {
		t.Error("encoded twice")
	}
	if c, _ := sol.frame(snapshot, last, true); c != nil {
		t.Errorf("nothing is new, and still: %s", c)
	}
	other, leaveOther := u.streams.subscribe([]string{usdc})
	if d, _ := other.frame(snapshot, 0, false); strings.Contains(string(d), wsol) {
		t.Errorf("others' tokens: %s", d)
	}
	leave()
	leaveToo()
	leaveOther()
	if n := len(u.streams.topics); n != 0 {
		t.Errorf("%d topics are kept for nobody", n)
	}
}
