package jupiterapi

import (
	"crypto/rand"
	"net/http"
	"time"

	"jupiter-dex-integration/src/jupiter"
	"jupiter-dex-integration/src/simulator/market"
)

// Config is what the API's gateway enforces.
type Config struct {
	// Keys are the known API keys and their organisations. With nil every key is good, for one organisation.
	Keys map[string]string
	// Plan is each organisation's limit over all endpoints, Keyless that of each address that calls without a key.
	Plan, Keyless Plan
}

// Handler is the API over a market.
type Handler struct {
	market  *market.Market
	cfg     Config
	limiter limiter
	routes  map[string]endpoint // by method and path
}

type endpoint func(*http.Request) (any, error)

// New returns the API of that market.
func New(m *market.Market, cfg Config) *Handler {
	h := &Handler{market: m, cfg: cfg, limiter: limiter{taken: make(map[string][]time.Time)}}
	h.routes = map[string]endpoint{
		"GET /swap/v1/quote":               h.quote,
		"POST /swap/v1/swap":               h.swap,
		"POST /swap/v1/swap-instructions":  h.swapInstructions,
		"GET /swap/v1/program-id-to-label": h.labels,
		"GET /price/v3":                    h.prices,
		"GET /tokens/v2/search":            h.tokens,
	}
	return h
}

// Endpoints names the call in a request by its path, for those that there are.
func (h *Handler) Endpoints(r *http.Request, _ []byte) []string {
	if _, known := h.routes[r.Method+" "+r.URL.Path]; known {
		return []string{r.URL.Path}
	}
	return []string{"/other"}
}

// ServeHTTP answers exact paths only: as at Jupiter, a trailing slash is another path.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	setCommonHeaders(w)
	serve, known := h.routes[r.Method+" "+r.URL.Path]
	if !known {
		writeGatewayError(w, http.StatusNotFound, "Not Found")
		return
	}
	if !h.admit(w, r) {
		return
	}
	answer, err := serve(r)
	if err != nil {
		jupiter.WriteError(w, err)
		return
	}
	jupiter.WriteJSON(w, http.StatusOK, answer)
}

// Refuse answers as the API's gateway does, with a full rate limit window for 429.
func (h *Handler) Refuse(w http.ResponseWriter, _ *http.Request, status int) {
	setCommonHeaders(w)
	message := http.StatusText(status)
	if status == http.StatusTooManyRequests {
		message = tooManyRequests
		setLimitHeaders(w, 0, max(h.cfg.Plan.Requests, 1), time.Now().Unix()+1)
	}
	writeGatewayError(w, status, message)
}

func setCommonHeaders(w http.ResponseWriter) {
	w.Header().Set("x-api-gateway-request-id", rand.Text())
	w.Header().Set("access-control-allow-origin", "*")
}

// writeGatewayError has the shape of Jupiter's API gateway, which is not that of its applications.
func writeGatewayError(w http.ResponseWriter, status int, message string) {
	jupiter.WriteJSON(w, status, struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}{status, message})
}

func (h *Handler) labels(*http.Request) (any, error) {
	program := h.market.Program()
	return map[string]string{program.ID().String(): program.Label()}, nil
}
