package gateway

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/jupiter"
	"jupiter-dex-integration/src/ratelimit"
)

const (
	// maxBody is some twenty times the largest quote with its instructions.
	maxBody = 1 << 20
	// maxDepth is some five times that of a swap request.
	maxDepth = 32
)

// swap serves POST /swap and POST /swap-instructions: the body goes on byte for byte, since the quote in it is only good
// as Jupiter gave it. What its client has taken out of it is restored where Jupiter insists on it.
func (g *gateway) swap(endpoint string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := readBody(w, r)
		if err == nil {
			err = checkSwap(body)
		}
		if err != nil {
			respond(w, nil, err)
			return
		}
		if g.cfg.LegacyQuotes {
			body = fromLegacy(body)
		}
		body = g.originals.restore(r.Context(), body, time.Now())
		a, err := g.fetchSwap(r.Context(), &call{
			endpoint: endpoint, method: http.MethodPost, path: endpoint, query: r.URL.RawQuery, header: jsonHeader(r), body: body, priority: ratelimit.Swap,
		})
		respond(w, a, err)
	}
}

// jsonHeader adds the content type that some clients leave out.
func jsonHeader(r *http.Request) http.Header {
	h := upstreamHeader(r)
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", "application/json")
	}
	return h
}

// readBody reads a body before anything is asked of an upstream, so that a slow or endless one costs nobody else.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, jupiter.Errorf(http.StatusRequestEntityTooLarge, jupiter.CodeInvalidRequest, "The body is larger than %d bytes", maxBody)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, jupiter.Errorf(http.StatusRequestTimeout, jupiter.CodeInvalidRequest, "The body took too long to arrive")
	case err != nil:
		return nil, jupiter.Errorf(http.StatusBadRequest, jupiter.CodeInvalidRequest, "The body did not arrive whole")
	}
	return body, nil
}

// checkSwap refuses what is certainly no swap request, and says why.
func checkSwap(body []byte) error {
	invalid := func(format string, args ...any) error {
		return jupiter.Errorf(http.StatusBadRequest, jupiter.CodeInvalidRequest, format, args...)
	}
	if depth(body) > maxDepth {
		return invalid("The body nests deeper than %d levels", maxDepth)
	}
	var req struct {
		UserPublicKey json.RawMessage `json:"userPublicKey"`
		QuoteResponse json.RawMessage `json:"quoteResponse"`
	}
	if err := json.Unmarshal(body, &req); err != nil {
		return invalid("The body is not a JSON object: %v", err)
	}
	if len(req.QuoteResponse) == 0 || req.QuoteResponse[0] != '{' {
		return invalid("Field quoteResponse must be the object that /quote gave")
	}
	var user string
	if json.Unmarshal(req.UserPublicKey, &user) != nil || user == "" {
		return invalid("Field userPublicKey is missing or not a string")
	}
	if _, err := solana.PublicKeyFromBase58(user); err != nil {
		return invalid("Field userPublicKey is not a base58 public key of 32 bytes")
	}
	return nil
}

// depth is how deep JSON text nests. Text that is no JSON gets some depth too: the decoder finds it out.
func depth(text []byte) int {
	var now, most int
	var quoted, escaped bool
	for _, c := range text {
		switch {
		case escaped:
			escaped = false
		case quoted:
			escaped = c == '\\'
			quoted = c != '"'
		case c == '"':
			quoted = true
		case c == '{' || c == '[':
			now++
			most = max(most, now)
		case c == '}' || c == ']':
			now--
		}
	}
	return most
}
