package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/simulator/market"
)

// maxBodyBytes is the node's default.
const maxBodyBytes = 50 << 10

// Handler is a node over a market: POST for JSON-RPC, GET with an upgrade for the websocket, GET /health for balancers.
type Handler struct {
	market      *market.Market
	genesisHash solana.Hash

	mu      sync.Mutex
	drop    context.CancelFunc // ends the connections of generation
	present context.Context
}

// New returns a node of the cluster with that genesis hash.
func New(m *market.Market, genesisHash solana.Hash) *Handler {
	h := &Handler{market: m, genesisHash: genesisHash}
	h.present, h.drop = context.WithCancel(context.Background())
	return h
}

// DropWebsockets breaks every websocket that is open. New ones are welcome.
func (h *Handler) DropWebsockets() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.drop()
	h.present, h.drop = context.WithCancel(context.Background())
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case upgrades(r):
		h.serveWebsocket(w, r)
	case r.Method == http.MethodGet && r.URL.Path == "/health":
		io.WriteString(w, "ok")
	case r.Method != http.MethodPost:
		http.Error(w, "Used HTTP Method is not allowed. POST or OPTIONS is required", http.StatusMethodNotAllowed)
	default:
		h.servePost(w, r)
	}
}

// Endpoints names the calls in a request: rpc/getSlot and so on, or ws for a websocket.
func Endpoints(r *http.Request, body []byte) []string {
	if upgrades(r) {
		return []string{"ws"}
	}
	requests, _, err := parse(body)
	if err != nil {
		return []string{"rpc/other"}
	}
	endpoints := make([]string, len(requests))
	for i, r := range requests {
		endpoints[i] = "rpc/other"
		if _, known := methods[r.Method]; known {
			endpoints[i] = "rpc/" + r.Method
		}
	}
	return endpoints
}

// Refuse answers as a provider in front of a node does: with the status as the error's code too.
func Refuse(w http.ResponseWriter, _ *http.Request, status int) {
	message := http.StatusText(status)
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	if status == http.StatusTooManyRequests {
		message = "Too many requests for a specific RPC call"
		w.Header().Set("Retry-After", "1")
	}
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(&response{Version: "2.0", Error: &Error{Code: status, Message: message}, ID: null})
}

func upgrades(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
}

func (h *Handler) servePost(w http.ResponseWriter, r *http.Request) {
	if media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); media != "application/json" {
		http.Error(w, "Supplied content type is not allowed. Content-Type: application/json is required", http.StatusUnsupportedMediaType)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBodyBytes))
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		http.Error(w, "The request body is too large", http.StatusRequestEntityTooLarge)
		return
	} else if err != nil {
		http.Error(w, "The request body could not be read", http.StatusBadRequest)
		return
	}
	answer, err := json.Marshal(h.answer(body))
	if err != nil {
		http.Error(w, "The answer could not be encoded", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Write(append(answer, '\n'))
}

// answer is the response, or for a batch the responses, to a body.
func (h *Handler) answer(body []byte) any {
	requests, batch, invalid := parse(body)
	if invalid != nil {
		return &response{Version: "2.0", Error: invalid, ID: null}
	}
	responses := []*response{}
	for _, r := range requests {
		if response := r.respond(h.call(r)); response != nil {
			responses = append(responses, response)
		}
	}
	if !batch && len(responses) == 1 {
		return responses[0]
	}
	return responses
}

func (h *Handler) call(r request) (any, error) {
	method, known := methods[r.Method]
	if !known {
		return nil, &Error{Code: codeNoMethod, Message: "Method not found"}
	}
	a, err := parseArgs(r.Params)
	if err != nil {
		return nil, err
	}
	return method(h, a)
}
