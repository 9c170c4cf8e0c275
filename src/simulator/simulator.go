package simulator

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm/raydiumcpmm"
	"jupiter-dex-integration/src/simulator/faults"
	"jupiter-dex-integration/src/simulator/jupiterapi"
	"jupiter-dex-integration/src/simulator/market"
	"jupiter-dex-integration/src/simulator/rpc"
)

// Plan is an organisation's rate limit.
type Plan = jupiterapi.Plan

// Config says what to simulate. Its zero value is a mainnet that starts now and limits nobody.
type Config struct {
	// Seed decides everything that is random.
	Seed uint64
	// Start is the chain's time at first; now if zero.
	Start time.Time
	// Network is mainnet (or empty), devnet or testnet: it decides the genesis hash and the pools' program.
	Network string
	// Keys are Jupiter's known API keys and their organisations. With nil every key is good, for one organisation.
	Keys map[string]string
	// Plan is each organisation's limit at Jupiter, Keyless that of each address that calls without a key.
	Plan, Keyless Plan
}

// networks have the genesis hashes of the real clusters. Raydium CPMM has no deployment on testnet: its pools are mainnet's there.
var networks = map[string]struct{ genesisHash, cpmm string }{
	"":        {"5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d", "CPMMoo8L3F4NbTegBCKVNunggL7H1ZpdTHKxQB5qKP1C"},
	"mainnet": {"5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d", "CPMMoo8L3F4NbTegBCKVNunggL7H1ZpdTHKxQB5qKP1C"},
	"devnet":  {"EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG", "DRaycpLY18LhpbydsBWbVJtxpNv9oXPgjRSfpF2bWpYb"},
	"testnet": {"4uhcVJyU9pJkvQyS88uRDiswHXSCkY3zQawwpjk2NsNY", "CPMMoo8L3F4NbTegBCKVNunggL7H1ZpdTHKxQB5qKP1C"},
}

// Simulator is a market and what shows it. Its clock stands still unless Run or Market.Step moves it.
type Simulator struct {
	Market *market.Market
	// Faults are shared by both handlers: "/..." are Jupiter's endpoints, "rpc/..." the node's methods, "ws" its websocket.
	Faults *faults.Faults

	jupiter *jupiterapi.Handler
	rpc     *rpc.Handler
}

// New makes a simulator.
func New(cfg Config) (*Simulator, error) {
	network, known := networks[cfg.Network]
	if !known {
		return nil, fmt.Errorf("network %q is none of mainnet, testnet, devnet", cfg.Network)
	}
	if cfg.Start.IsZero() {
		cfg.Start = time.Now()
	}
	m, err := market.New(market.Config{
		Seed: cfg.Seed, Start: cfg.Start, CPMM: raydiumcpmm.New(solana.MustPublicKeyFromBase58(network.cpmm)),
	})
	if err != nil {
		return nil, err
	}
	return &Simulator{
		Market:  m,
		Faults:  faults.New(cfg.Seed),
		jupiter: jupiterapi.New(m, jupiterapi.Config{Keys: cfg.Keys, Plan: cfg.Plan, Keyless: cfg.Keyless}),
		rpc:     rpc.New(m, solana.MustHashFromBase58(network.genesisHash)),
	}, nil
}

// Run moves the market, a slot every 400 ms, until ctx ends; then it closes the simulator.
func (s *Simulator) Run(ctx context.Context) error {
	defer s.Close()
	return s.Market.Run(ctx)
}

// Step moves the market by n slots at once, for tests that do not wait.
func (s *Simulator) Step(n int) error { return s.Market.Step(n) }

// Close lets go of calls that hang and breaks websockets, so that servers can shut down. New calls are still answered.
func (s *Simulator) Close() {
	s.Faults.Close()
	s.rpc.DropWebsockets()
}

// Pools are the addresses of the market's pools.
func (s *Simulator) Pools() []string {
	var pools []string
	for _, key := range s.Market.Pools() {
		pools = append(pools, key.String())
	}
	return pools
}

// Mints are the addresses of the market's tokens.
func (s *Simulator) Mints() []string {
	var mints []string
	for _, t := range s.Market.Tokens() {
		mints = append(mints, t.Mint.String())
	}
	return mints
}

// JupiterHandler serves Jupiter's API below "/" (so the base URL of the swap API is <address>/swap/v1) and the admin endpoints.
func (s *Simulator) JupiterHandler() http.Handler {
	return s.withAdmin(s.Faults.Wrap(faults.API{Endpoints: s.jupiter.Endpoints, Refuse: s.jupiter.Refuse}, s.jupiter))
}

// RPCHandler serves the node's JSON-RPC, its websocket on the same path, and the admin endpoints. Clients that expect the
// websocket on the next port up get it where this handler is served there too.
func (s *Simulator) RPCHandler() http.Handler {
	return s.withAdmin(s.Faults.Wrap(faults.API{Endpoints: rpc.Endpoints, Refuse: rpc.Refuse}, s.rpc))
}

// withAdmin puts the admin endpoints in front of next: those of faults.Admin, POST /admin/fund, which gives a wallet tokens in the
// next slot, and DELETE /admin/websockets, which breaks them all.
func (s *Simulator) withAdmin(next http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/admin/", s.Faults.Admin())
	mux.HandleFunc("POST /admin/fund", s.fund)
	mux.HandleFunc("DELETE /admin/websockets", func(http.ResponseWriter, *http.Request) { s.rpc.DropWebsockets() })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/admin/") {
			mux.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r) // past the mux, which would redirect paths that it finds untidy
	})
}

// fund takes {"wallet", "mint", "amount"}: base units of the token, or lamports without a mint.
func (s *Simulator) fund(w http.ResponseWriter, r *http.Request) {
	var req struct {
		Wallet solana.PublicKey  `json:"wallet"`
		Mint   *solana.PublicKey `json:"mint"`
		Amount uint64            `json:"amount,string"`
	}
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4096)).Decode(&req)
	switch {
	case err != nil:
	case req.Wallet.IsZero():
		err = fmt.Errorf("wallet is missing")
	case req.Mint == nil:
		err = s.Market.FundSOL(req.Wallet, req.Amount)
	default:
		err = s.Market.Fund(req.Wallet, *req.Mint, req.Amount)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
}
