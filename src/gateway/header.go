package gateway

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"jupiter-dex-integration/src/jupiter"
	"jupiter-dex-integration/src/platform"
)

// sentUpstream are the caller's header fields that an upstream sees. It is a list of what passes, not of what does not:
// keys, cookies, addresses and whatever else a caller's own infrastructure adds stay here.
var sentUpstream = []string{"Accept", "Accept-Language", "Content-Type", "User-Agent"}

// upstreamHeader returns the header to send upstream for r.
func upstreamHeader(r *http.Request) http.Header {
	h := make(http.Header, len(sentUpstream)+2)
	for _, name := range sentUpstream {
		if v, ok := r.Header[name]; ok {
			h[name] = v
		}
	}
	if _, ok := h["User-Agent"]; !ok {
		h["User-Agent"] = nil // else net/http adds its own
	}
	h[platform.RequestIDHeader] = []string{platform.RequestID(r.Context())}
	return h
}

// keptHere are answer fields about the connection to the upstream, about its host, or about its own callers; the gateway
// speaks for itself in all of these. X-Request-Id is the caller's id, which the answer has already.
var keptHere = []string{
	"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer",
	"Transfer-Encoding", "Upgrade", "Content-Length",
	"Alt-Svc", "Set-Cookie", "Strict-Transport-Security",
	"Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Access-Control-Allow-Headers",
	"Access-Control-Allow-Methods", "Access-Control-Expose-Headers", "Access-Control-Max-Age",
	platform.RequestIDHeader,
}

// callerHeader removes from an upstream's header what callers must not see. It says when to come back where a 429 does
// not: Jupiter's have no Retry-After.
func callerHeader(status int, h http.Header) http.Header {
	for _, field := range h["Connection"] {
		for name := range strings.SplitSeq(field, ",") {
			h.Del(strings.TrimSpace(name))
		}
	}
	for _, name := range keptHere {
		delete(h, name)
	}
	if status == http.StatusTooManyRequests && h.Get("Retry-After") == "" {
		wait := max(time.Second, jupiter.RetryAfter(h, time.Now()))
		h.Set("Retry-After", strconv.FormatInt(int64((wait+time.Second-1)/time.Second), 10))
	}
	return h
}
