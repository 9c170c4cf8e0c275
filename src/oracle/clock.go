package oracle

import (
	"sync/atomic"
	"time"
)

// clock tells the time that the replicas share: Redis's, as last heard, and this machine's until then. A replica whose own
// clock is wrong neither writes prices from the future nor takes fresh ones for stale.
type clock struct{ offset atomic.Int64 }

func (c *clock) now() time.Time {
	return time.Now().Add(time.Duration(c.offset.Load())).UTC().Truncate(time.Millisecond)
}

func (c *clock) set(shared time.Time) { c.offset.Store(int64(time.Until(shared))) }

// since is the age of what happened at t; never negative.
func (c *clock) since(t time.Time) time.Duration { return max(0, c.now().Sub(t)) }
