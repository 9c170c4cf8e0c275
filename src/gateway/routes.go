package gateway

import (
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/gorilla/mux"

	"jupiter-dex-integration/src/jupiter"
	"jupiter-dex-integration/src/platform"
)

type route struct {
	pattern, method string
	name            string // for limits and metrics
	serve           http.HandlerFunc
}

// routes is the whole API. Clients have been told three places for the four swap operations over the years: the root
// (self-hosted routers), /v6 and /swap/v1.
func (g *gateway) routes() []route {
	var routes []route
	add := func(pattern, method, name string, serve http.HandlerFunc) {
		routes = append(routes, route{pattern, method, name, serve})
	}
	for _, prefix := range []string{"", "/swap/v1", "/v6"} {
		add(prefix+"/quote", http.MethodGet, endpointQuote, g.quote)
		add(prefix+"/swap", http.MethodPost, endpointSwap, g.swap(endpointSwap))
		add(prefix+"/swap-instructions", http.MethodPost, endpointSwapInstructions, g.swap(endpointSwapInstructions))
		add(prefix+"/program-id-to-label", http.MethodGet, endpointLabels, g.labels)
	}
	add("/price/v3", http.MethodGet, endpointPrice, g.price)
	for _, op := range []string{"order", "build", "quote", "program-id-to-label"} {
		add("/swap/v2/"+op, http.MethodGet, "v2-"+op, g.passThrough(endpointSwapV2))
	}
	for _, op := range []string{"execute", "swap", "swap-instructions"} {
		add("/swap/v2/"+op, http.MethodPost, "v2-"+op, g.passThrough(endpointSwapV2))
	}
	add("/tokens/v2/{path:.+}", http.MethodGet, endpointTokens, g.passThrough(endpointTokens))
	add("/openapi.json", http.MethodGet, "openapi", describe)
	return routes
}

// handler serves the routes.
func (g *gateway) handler() http.Handler {
	exact := map[string]http.Handler{}        // most paths need no matching
	router := mux.NewRouter().SkipClean(true) // canonicalPath has done it
	for _, r := range g.routes() {
		h := platform.Route(r.name, g.admit(r.name, allow(r.method, compress(r.serve))))
		if strings.Contains(r.pattern, "{") {
			router.Handle(r.pattern, h)
		} else {
			exact[r.pattern] = h
		}
	}
	router.NotFoundHandler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		jupiter.WriteError(w, jupiter.Errorf(http.StatusNotFound, jupiter.CodeNotFound, "no route matches %s", r.URL.Path))
	})
	return cors(g.cfg.CORSAllowOrigin, canonicalPath(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h, ok := exact[r.URL.Path]; ok {
			h.ServeHTTP(w, r)
			return
		}
		router.ServeHTTP(w, r)
	})))
}

// admit lets in whom the operator knows, within their limits.
func (g *gateway) admit(route string, next http.Handler) http.Handler {
	if g.limits != nil {
		return g.limits.limit(route, g.who, next)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := g.who.of(r); err != nil {
			jupiter.WriteError(w, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// allow refuses every method but one, and HEAD where that is GET.
func allow(method string, h http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == method || r.Method == http.MethodHead && method == http.MethodGet {
			h(w, r)
			return
		}
		w.Header().Set("Allow", method)
		jupiter.WriteError(w, jupiter.Errorf(http.StatusMethodNotAllowed, jupiter.CodeMethodNotAllowed, "%s takes %s, not %s", r.URL.Path, method, r.Method))
	})
}

// canonicalPath forgives what base URLs with and without a trailing slash lead to ("//quote", "/quote/"), without a
// redirect: clients would repeat a POST as a GET. Jupiter answers 404 to either.
func canonicalPath(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p := path.Clean(r.URL.Path); p != r.URL.Path {
			copied := *r
			copied.URL = &url.URL{Path: p, RawQuery: r.URL.RawQuery}
			r = &copied
		}
		next.ServeHTTP(w, r)
	})
}

// cors lets browsers use the API from any page of origin, as Jupiter does with "*".
func cors(origin string, next http.Handler) http.Handler {
	if origin == "none" {
		return next
	}
	preflight := platform.Route("preflight", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Access-Control-Allow-Methods", "GET, HEAD, POST, OPTIONS")
		h.Set("Access-Control-Allow-Headers", strings.Join(allowedHeaders, ", "))
		h.Set("Access-Control-Max-Age", "86400")
		w.WriteHeader(http.StatusNoContent)
	}))
	allowOrigin := []string{origin}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h["Access-Control-Allow-Origin"] = allowOrigin
		if _, browser := r.Header["Origin"]; browser {
			h["Access-Control-Expose-Headers"] = exposeAll
		}
		if r.Method == http.MethodOptions {
			preflight.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

var (
	exposeAll      = []string{"*"}
	allowedHeaders = []string{"*", "Content-Type", "X-Api-Key", platform.RequestIDHeader} // "*" is no wildcard to old browsers
)
