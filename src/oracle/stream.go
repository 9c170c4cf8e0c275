package oracle

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"jupiter-dex-integration/src/jupiter"
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
	open atomic.Int64
	// closing ends every stream: a server that drains waits for no client to hang up.
	closing chan struct{}

	mu     sync.Mutex
	of     *map[string]entry // the snapshot that frames are of
	frames map[string]*frame
}

// frame is one event, encoded by the first subscriber who needs it.
type frame struct {
	once sync.Once
	text []byte
	last int64
}

func newStreams() *streams { return &streams{closing: make(chan struct{})} }

// frame returns the event that brings a subscriber of ids, who has seen everything up to the time since, up to date, and
// the time that it then has seen. It is empty if there is nothing new. Subscribers who ask for the same share it.
func (s *streams) frame(snapshot *map[string]entry, ids []string, key string, since int64) ([]byte, int64) {
	s.mu.Lock()
	if s.of != snapshot {
		s.of, s.frames = snapshot, map[string]*frame{}
	}
	shared := strconv.FormatInt(since, 10) + " " + key
	f := s.frames[shared]
	if f == nil {
		f = &frame{}
		s.frames[shared] = f
	}
	s.mu.Unlock()
	f.once.Do(func() { f.text, f.last = encodeFrame(*snapshot, ids, since) })
	return f.text, f.last
}

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
	out := http.NewResponseController(w)
	send := func(text []byte) bool {
		if err := out.SetWriteDeadline(time.Now().Add(streamWriteTimeout)); err != nil {
			return false
		}
		if _, err := w.Write(text); err != nil {
			return false
		}
		return out.Flush() == nil
	}
	key := strings.Join(ids, ",")
	if !send([]byte("retry: 1000\n\n")) {
		return
	}
	idle := time.NewTicker(keepAlive)
	defer idle.Stop()
	for {
		changed := a.book.changed() // before the snapshot: what comes in between is not missed
		text, last := a.streams.frame(a.book.entries.Load(), ids, key, since)
		if text != nil && !send(text) {
			return
		}
		since = last
		select {
		case <-changed:
		case <-idle.C:
			if !send([]byte(": nothing new\n\n")) {
				return
			}
		case <-r.Context().Done():
			return
		case <-a.streams.closing:
			return
		}
	}
}
