package platform

import (
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"
)

// NewLogger returns a JSON logger for a level of debug, info, warn or error.
func NewLogger(w io.Writer, level slog.Level) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level}))
}

// maxLogBacklog is how much log waits for a reader that is slow. Beyond it lines are dropped: a full disk or a stuck log
// collector must not hold up requests.
const maxLogBacklog = 4 << 20

// logPause is between two writes: at ten thousand lines a second, waking the writer for each costs as much as making the line.
const logPause = 5 * time.Millisecond

// LogWriter hands lines to another writer in the background, many at a time when many come.
type LogWriter struct {
	to   io.Writer
	wake chan struct{}
	done chan struct{}

	mu      sync.Mutex
	backlog []byte
	dropped int
	closed  bool
}

// NewLogWriter returns a LogWriter, which must be closed for its last lines to be written.
func NewLogWriter(to io.Writer) *LogWriter {
	w := &LogWriter{to: to, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go w.run()
	return w
}

// Write takes a line and never fails.
func (w *LogWriter) Write(line []byte) (int, error) {
	w.mu.Lock()
	if len(w.backlog)+len(line) > maxLogBacklog {
		w.dropped++
	} else {
		w.backlog = append(w.backlog, line...)
	}
	w.mu.Unlock()
	w.notify()
	return len(line), nil
}

func (w *LogWriter) notify() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *LogWriter) run() {
	defer close(w.done)
	var batch []byte
	for range w.wake {
		w.mu.Lock()
		batch, w.backlog = w.backlog, batch[:0]
		dropped, closed := w.dropped, w.closed
		w.dropped = 0
		w.mu.Unlock()
		if dropped > 0 {
			batch = fmt.Appendf(batch, `{"level":"WARN","msg":"log lines were dropped: the log is not read fast enough","lines":%d}`+"\n", dropped)
		}
		w.to.Write(batch) // there is nowhere to report an error to
		if closed {
			return
		}
		time.Sleep(logPause)
	}
}

// Close writes what is left.
func (w *LogWriter) Close() error {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.notify()
	<-w.done
	return nil
}
