package platform

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

func TestLogWriterKeepsLinesWholeAndInOrder(t *testing.T) {
	var out bytes.Buffer
	w := NewLogWriter(&out)
	var want strings.Builder
	for i := range 10_000 {
		line := fmt.Sprintln("line", i)
		want.WriteString(line)
		w.Write([]byte(line))
	}
	w.Close()
	if out.String() != want.String() {
		t.Errorf("%d bytes written, want %d", out.Len(), want.Len())
	}
}

// stuck is a log that nobody reads until it is released.
type stuck struct {
	release chan struct{}
	out     bytes.Buffer
}

func (s *stuck) Write(p []byte) (int, error) {
	<-s.release
	return s.out.Write(p)
}

func TestLogThatNobodyReadsHoldsUpNobodyAndSaysWhatIsLost(t *testing.T) {
	s := &stuck{release: make(chan struct{})}
	w := NewLogWriter(s)
	line := []byte(strings.Repeat("x", 1023) + "\n")
	const lines = 10 * maxLogBacklog / 1024
	for range lines {
		w.Write(line)
	}
	close(s.release)
	w.Close()
	kept := strings.Count(s.out.String(), "x\n")
	if kept == 0 || kept > 2*maxLogBacklog/1024 || !strings.Contains(s.out.String(), fmt.Sprintf(`"lines":%d}`, lines-kept)) {
		t.Errorf("%d of %d lines kept, and the rest is not reported", kept, lines)
	}
}
