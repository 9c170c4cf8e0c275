package gateway

import (
	"net/http"

	"jupiter-dex-integration/src/jupiter"
	"jupiter-dex-integration/src/ratelimit"
)

// labels serves GET /program-id-to-label.
func (g *gateway) labels(w http.ResponseWriter, r *http.Request) {
	a, err := g.fetchSwap(r.Context(), &call{
		endpoint: endpointLabels, method: http.MethodGet, path: endpointLabels, query: r.URL.RawQuery, header: upstreamHeader(r), priority: ratelimit.Price,
	})
	respond(w, a, err)
}

// passThrough serves what only Jupiter has, at the path that it has there.
func (g *gateway) passThrough(endpoint string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if g.jupiter == nil {
			jupiter.WriteError(w, jupiter.Errorf(http.StatusBadRequest, jupiter.CodeNotSupported,
				"%s is Jupiter's alone, and Jupiter does not serve %s", r.URL.Path, g.cfg.Network))
			return
		}
		c := &call{endpoint: endpoint, method: http.MethodGet, path: r.URL.Path, query: r.URL.RawQuery, priority: ratelimit.Quote}
		if endpoint == endpointTokens {
			c.priority = ratelimit.Price
		}
		if r.Method == http.MethodPost {
			c.method, c.priority = http.MethodPost, ratelimit.Swap
			c.unmetered = c.path == "/swap/v2/execute" // has a bucket of its own
			var err error
			if c.body, err = readBody(w, r); err != nil {
				jupiter.WriteError(w, err)
				return
			}
			c.header = jsonHeader(r)
		} else {
			c.header = upstreamHeader(r)
		}
		a, err := g.jupiter.fetch(r.Context(), c)
		respond(w, a, err)
	}
}
