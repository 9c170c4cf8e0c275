package jupiterapi

import (
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Plan is how many requests an organisation may make in any window; no limit if Requests is 0.
type Plan struct {
	Requests int
	Window   time.Duration
}

// limiter is Jupiter's: a sliding window per organisation, in which refused requests do not count.
type limiter struct {
	mu    sync.Mutex
	taken map[string][]time.Time // oldest first
}

// maxIdle is how many organisations are remembered before those without requests in their window are forgotten.
const maxIdle = 1_000

// take counts a request if there is room for it. Current is how many are in the window then, and reset is when the oldest leaves it.
func (l *limiter) take(organisation string, plan Plan) (ok bool, current int, reset time.Time) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.taken) > maxIdle {
		for name, taken := range l.taken {
			if len(taken) == 0 || now.Sub(taken[len(taken)-1]) >= plan.Window {
				delete(l.taken, name)
			}
		}
	}
	taken := l.taken[organisation]
	for len(taken) > 0 && now.Sub(taken[0]) >= plan.Window {
		taken = taken[1:]
	}
	if ok = len(taken) < plan.Requests; ok {
		taken = append(taken, now)
	}
	l.taken[organisation] = taken
	return ok, len(taken), taken[0].Add(plan.Window)
}

// admit answers a request that its key or its organisation's limit forbids, and sets the headers that tell of the limit.
func (h *Handler) admit(w http.ResponseWriter, r *http.Request) bool {
	plan := h.cfg.Plan
	organisation, known := "", true
	if key := r.Header.Get("x-api-key"); key == "" {
		plan = h.cfg.Keyless
		organisation, _, _ = net.SplitHostPort(r.RemoteAddr)
	} else if h.cfg.Keys != nil {
		organisation, known = h.cfg.Keys[key]
		organisation = "organisation " + organisation
	} else {
		organisation = "organisation"
	}
	if !known {
		writeGatewayError(w, http.StatusUnauthorized, "Unauthorized")
		return false
	}
	if plan.Requests == 0 {
		return true
	}
	ok, current, reset := h.limiter.take(organisation, plan)
	seconds := reset.Unix()
	if reset.Nanosecond() > 0 {
		seconds++ // a client that waits until then finds room
	}
	setLimitHeaders(w, plan.Requests-current, current, seconds)
	if !ok {
		writeGatewayError(w, http.StatusTooManyRequests, tooManyRequests)
	}
	return ok
}

const tooManyRequests = "[API Gateway] Too many requests"

func setLimitHeaders(w http.ResponseWriter, remaining, current int, resetUnix int64) {
	w.Header().Set("x-ratelimit-remaining", strconv.Itoa(remaining))
	w.Header().Set("x-ratelimit-current", strconv.Itoa(current))
	w.Header().Set("x-ratelimit-reset", strconv.FormatInt(resetUnix, 10))
}
