package optimizer

import (
	"compress/gzip"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/chain"
	"jupiter-dex-integration/src/jupiter"
	"jupiter-dex-integration/src/platform"
)

// maxReplayBytes bounds what a saved state may unpack to.
const maxReplayBytes = 2 << 30

// saved is everything that a quote depends on beside its request.
type saved struct {
	StateHash   string                                     `json:"stateHash"`
	MaxRoutes   int                                        `json:"maxRoutes"`
	SlippageBps uint16                                     `json:"slippageBps"`
	UnitPrice   uint64                                     `json:"unitPrice"` // micro-lamports per compute unit
	Tables      map[solana.PublicKey]solana.PublicKeySlice `json:"tables"`
	State       chain.Dump                                 `json:"state"`
}

// serveState answers GET /v1/state: the present state as gzipped JSON, for the replay command. It is large, and so made for one at a time.
func (s *service) serveState(w http.ResponseWriter, r *http.Request) {
	if !s.dumping.TryLock() {
		s.writeError(w, r, jupiter.Errorf(http.StatusServiceUnavailable, jupiter.CodeOverloaded, "the state is being saved for another request: try again"))
		return
	}
	defer s.dumping.Unlock()
	st, err := s.current()
	if err != nil {
		s.writeError(w, r, err)
		return
	}
	out := saved{StateHash: st.hash(), MaxRoutes: s.maxRoutes, SlippageBps: s.slippageBps, UnitPrice: s.unitPrice.Load(), State: st.Dump()}
	if t := s.tables.Load(); t != nil {
		out.Tables = *t
	}
	w.Header().Set("Content-Type", "application/gzip")
	w.Header().Set("Content-Disposition", fmt.Sprintf(`attachment; filename="state-%d.json.gz"`, st.Slot))
	z := gzip.NewWriter(w)
	if err := errors.Join(json.NewEncoder(z).Encode(out), z.Close()); err != nil { // the client has gone, most likely
		s.log.Warn("state was not sent whole", "request_id", platform.RequestID(r.Context()), "error", err)
	}
}

func (st *state) hash() string {
	hash := st.Hash()
	return hex.EncodeToString(hash[:])
}

// ReplayConfig is the configuration of the replay command.
type ReplayConfig struct {
	ProgramsConfig
	// File is what GET /v1/state answered; Query is what GET /v1/quote was asked, without the question mark.
	File  string `env:"REPLAY_FILE,required"`
	Query string `env:"REPLAY_QUERY,required"`
}

// Validate checks every variable and names all that are wrong.
func (c ReplayConfig) Validate() error {
	var errs []error
	if _, err := c.programs(); err != nil {
		errs = append(errs, fmt.Errorf("NETWORK, AMM_PROGRAM_IDS: %w", err))
	}
	if _, err := url.ParseQuery(c.Query); err != nil {
		errs = append(errs, fmt.Errorf("REPLAY_QUERY: %w", err))
	}
	return errors.Join(errs...)
}

// Replay prints the detailed quote of a saved state, the same that GET /v1/quote gave on it.
func Replay(_ context.Context, cfg ReplayConfig, p *platform.Process) error {
	return replay(cfg, p, os.Stdout)
}

func replay(cfg ReplayConfig, p *platform.Process, out io.Writer) error {
	file, err := os.Open(cfg.File)
	if err != nil {
		return fmt.Errorf("REPLAY_FILE: %w", err)
	}
	defer file.Close()
	z, err := gzip.NewReader(file)
	if err != nil {
		return fmt.Errorf("REPLAY_FILE: %s is not the gzipped answer of GET /v1/state: %w", cfg.File, err)
	}
	var in saved
	if err := json.NewDecoder(io.LimitReader(z, maxReplayBytes)).Decode(&in); err != nil {
		return fmt.Errorf("REPLAY_FILE: %s is not the answer of GET /v1/state: %w", cfg.File, err)
	}
	programs, err := cfg.programs()
	if err != nil {
		return fmt.Errorf("NETWORK, AMM_PROGRAM_IDS: %w", err)
	}
	snapshot, err := in.State.Snapshot(programs)
	if err != nil {
		return fmt.Errorf("REPLAY_FILE: %s: %w", cfg.File, err)
	}
	if in.MaxRoutes < 1 || in.MaxRoutes > maxRoutes {
		return fmt.Errorf("REPLAY_FILE: %s: maxRoutes %d is not from 1 to %d", cfg.File, in.MaxRoutes, maxRoutes)
	}
	s := &service{market: frozen{snapshot}, slippageBps: in.SlippageBps, maxRoutes: in.MaxRoutes, metrics: newMetrics(p.Registry), log: p.Log}
	s.unitPrice.Store(in.UnitPrice)
	s.tables.Store(&in.Tables)
	query, err := url.ParseQuery(cfg.Query)
	if err != nil {
		return fmt.Errorf("REPLAY_QUERY: %w", err)
	}
	q, err := s.detailedQuote(query)
	if err != nil {
		return err
	}
	if q.StateHash != in.StateHash {
		return fmt.Errorf("REPLAY_FILE: %s: the state hashes to %s, the file says %s: it was changed", cfg.File, q.StateHash, in.StateHash)
	}
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(q)
}

// frozen is a market that stays as it was.
type frozen struct{ snapshot *chain.Snapshot }

func (f frozen) Snapshot() *chain.Snapshot  { return f.snapshot }
func (f frozen) Status() []chain.PoolStatus { return nil }
func (f frozen) Lag() uint64                { return 0 }
