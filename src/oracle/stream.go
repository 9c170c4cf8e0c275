package oracle

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"jupiter-dex-integration/src/jupiter"
	"jupiter-dex-integration/src/platform"
)

const (
	// maxStreamIDs and maxStreams bound what streams cost.
	maxStreamIDs = 500
	maxStreams   = 10000
	keepAlive    = 15 * time.Second
	// streamWriteTimeout is how long a subscriber may take to read what it is sent. A slower one is dropped; it can come back
	// with Last-Event-ID. One that is a little slow misses nothing but prices that newer ones have overtaken.
	streamWriteTimeout = 10 * time.Second
)

// streams is what all subscribers share.
type streams struct {
	open, sent atomic.Int64
	// closing ends every stream: a server that drains waits for no client to hang up.
	closing chan struct{}

	mu     sync.Mutex
	topics map[string]*topic // by their ids, joined
}

func newStreams() *streams {
	return &streams{closing: make(chan struct{}), topics: map[string]*topic{}}
}

// topic is a list of tokens that somebody has subscribed to. All who ask for the same share its events: each is encoded
// once, by the first who needs it.
type topic struct {
	ids         []string
	subscribers int // of streams, under its lock

	mu     sync.Mutex
	of     *map[string]entry // the snapshot that frames are of
	frames map[int64]*frame  // by what their readers had seen before
}

// frame is one event, packed if some reader takes it so.
type frame struct {
	text, packed []byte
	last         int64
}

// subscribe returns the topic of ids; leave must be called when the subscriber does.
func (s *streams) subscribe(ids []string) (t *topic, leave func()) {
	key := strings.Join(ids, ",")
	s.mu.Lock()
	defer s.mu.Unlock()
	t = s.topics[key]
	if t == nil {
		t = &topic{ids: ids}
		s.topics[key] = t
	}
	t.subscribers++
	return t, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if t.subscribers--; t.subscribers == 0 {
			delete(s.topics, key)
		}
	}
}

// frame returns the event that brings a subscriber who has seen everything up to the time since up to date, and the time
// that it then has seen. The event is empty if there is nothing new.
func (t *topic) frame(snapshot *map[string]entry, since int64, packed bool) (text []byte, last int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.of != snapshot {
		t.of, t.frames = snapshot, map[int64]*frame{}
	}
	f := t.frames[since]
	if f == nil {
		f = &frame{}
		f.text, f.last = encodeFrame(*snapshot, t.ids, since)
		t.frames[since] = f
	}
	if !packed || f.text == nil {
		return f.text, f.last
	}
	if f.packed == nil {
		f.packed = pack(f.text)
	}
	return f.packed, f.last
}

// gzipHead begins a gzip stream without a name or a time (RFC 1952, section 2.3).
var gzipHead = []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff}

// packers are flate.Writers, which are a megabyte each.
var packers = sync.Pool{New: func() any {
	w, err := flate.NewWriter(nil, flate.BestSpeed)
	if err != nil {
		panic(err) // there is no such level
	}
	return w
}}

// pack makes text blocks of a gzip stream that refer to nothing before them: any stream can go on with them, so that an
// event is compressed once and not once per subscriber.
func pack(text []byte) []byte {
	w := packers.Get().(*flate.Writer)
	defer packers.Put(w)
	var out bytes.Buffer
	w.Reset(&out)
	w.Write(text) // a buffer takes everything
	w.Flush()
	return out.Bytes()
}

var (
	retryLine, idleLine     = []byte("retry: 1000\n\n"), []byte(": nothing new\n\n")
	packedRetry, packedIdle = append(slices.Clone(gzipHead), pack(retryLine)...), pack(idleLine)
)

// encodeFrame writes a server-sent event: its id is the time, in Unix milliseconds, at which the newest of its prices was
// checked; its data is an object of mints.
func encodeFrame(entries map[string]entry, ids []string, since int64) ([]byte, int64) {
	last := since
	var data []byte
	for _, id := range ids {
		e, ok := entries[id]
		if !ok || e.event == nil {
			continue
		}
		checked := e.CheckedAt.UnixMilli()
		if checked <= since {
			continue
		}
		last = max(last, checked)
		separator := byte(',')
		if data == nil {
			separator = '{'
		}
		data = append(data, separator, '"')
		data = append(data, id...)
		data = append(data, `":`...)
		data = append(data, e.event...)
	}
	if data == nil {
		return nil, since
	}
	text := fmt.Appendf(make([]byte, 0, len(data)+64), "id: %d\nevent: prices\ndata: ", last)
	text = append(text, data...)
	return append(text, "}\n\n"...), last
}

// serveStream answers GET /v1/stream?ids= with server-sent events: all prices at first, or, after Last-Event-ID, those that
// are newer, and then each update's.
func (a api) serveStream(w http.ResponseWriter, r *http.Request) {
	ids, err := parseIDs(r.URL.Query()["ids"], a.book.snapshot(), maxStreamIDs)
	if err != nil {
		jupiter.WriteError(w, err)
		return
	}
	since := int64(0)
	if text := r.Header.Get("Last-Event-ID"); text != "" {
		if since, err = strconv.ParseInt(text, 10, 64); err != nil || since < 0 {
			jupiter.WriteError(w, jupiter.Errorf(http.StatusBadRequest, jupiter.CodeInvalidRequest, "Last-Event-ID %.40q is not the id of an event of this stream", text))
			return
		}
		if since > a.clock.now().Add(time.Minute).UnixMilli() {
			since = 0 // of another time: everything is news
		}
	}
	defer a.streams.open.Add(-1)
	if a.streams.open.Add(1) > maxStreams {
		e := jupiter.Errorf(http.StatusServiceUnavailable, jupiter.CodeUpstreamUnavailable, "This server has %d streams open, as many as it serves", maxStreams)
		e.RetryAfter = 10 * time.Second
		jupiter.WriteError(w, e)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no")
	w.Header().Set("Vary", "Accept-Encoding")
	packed := platform.AcceptsGzip(r.Header.Values("Accept-Encoding"))
	retry, nothingNew := retryLine, idleLine
	if packed {
		retry, nothingNew = packedRetry, packedIdle
		w.Header().Set("Content-Encoding", "gzip")
	}
	out, err := beginStream(w)
	if err != nil {
		return
	}
	defer out.close()
	topic, leave := a.streams.subscribe(ids)
	defer leave()
	if !out.send(retry) {
		return
	}
	idle := time.NewTicker(keepAlive)
	defer idle.Stop()
	for {
		changed := a.book.changed() // before the snapshot: what comes in between is not missed
		text, last := topic.frame(a.book.entries.Load(), since, packed)
		if text != nil {
			if !out.send(text) {
				return
			}
			a.streams.sent.Add(1)
		}
		since = last
		select {
		case <-changed:
		case <-idle.C:
			if !out.send(nothingNew) {
				return
			}
		case <-r.Context().Done():
			return
		case <-a.streams.closing:
			return
		}
	}
}

// stream is the way to one subscriber. An HTTP/1 connection is taken over from the server, whose chunks would cost three
// writes per event instead of one: the answer ends with the connection. On HTTP/2 conn is nil.
type stream struct {
	conn net.Conn
	http http.ResponseWriter
}

// beginStream sends the header of the answer.
func beginStream(w http.ResponseWriter) (stream, error) {
	header := w.Header().Clone()
	conn, _, err := http.NewResponseController(w).Hijack()
	if errors.Is(err, http.ErrNotSupported) {
		return stream{http: w}, nil
	}
	if err != nil {
		return stream{}, err
	}
	header.Set("Connection", "close")
	head := bytes.NewBufferString("HTTP/1.1 200 OK\r\n")
	header.Write(head)
	head.WriteString("\r\n")
	s := stream{conn: conn}
	if !s.send(head.Bytes()) {
		conn.Close()
		return s, net.ErrClosed
	}
	return s, nil
}

// send says whether all of text went out in time.
func (s stream) send(text []byte) bool {
	deadline := time.Now().Add(streamWriteTimeout)
	if s.conn != nil {
		if s.conn.SetWriteDeadline(deadline) != nil {
			return false
		}
		_, err := s.conn.Write(text)
		return err == nil
	}
	out := http.NewResponseController(s.http)
	if out.SetWriteDeadline(deadline) != nil {
		return false
	}
	if _, err := s.http.Write(text); err != nil {
		return false
	}
	return out.Flush() == nil
}

func (s stream) close() {
	if s.conn != nil {
		s.conn.Close()
	}
}
