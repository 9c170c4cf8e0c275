package optimizer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/chain"
	"jupiter-dex-integration/src/jupiter"
	"jupiter-dex-integration/src/platform"
	"jupiter-dex-integration/src/ratelimit"
	"jupiter-dex-integration/src/routing"
)

const (
	// staleAfter is how long a market may stand still and still be quoted: a healthy cluster makes a slot in 0.4 s.
	staleAfter = 30 * time.Second
	// degradedLag is the slot lag from which readiness says that the RPC lags: about 10 s.
	degradedLag = 25
	// codeStateTooOld is the code of answers while the market stands still.
	codeStateTooOld = "STATE_TOO_OLD"
)

// Serve runs the service until ctx ends.
func Serve(ctx context.Context, cfg Config, p *platform.Process) error {
	endpoints, err := chain.NewEndpoints(cfg.RPCURLs, cfg.RPCAuth.Value)
	if err != nil {
		return fmt.Errorf("SOLANA_RPC_URL: %w", err)
	}
	pools, err := cfg.pools()
	if err != nil {
		return err
	}
	programs, err := cfg.programs()
	if err != nil {
		return fmt.Errorf("NETWORK: %w", err)
	}
	market := chain.NewMarket(endpoints, chain.FollowConfig{
		Pools: pools, Programs: programs, StreamURLs: cfg.streams(), Authorization: cfg.RPCAuth.Value,
	}, p.Log, p.Registry)
	labels := map[string]string{}
	for _, program := range programs {
		labels[program.ID().String()] = program.Label()
	}
	s := &service{
		market: market, rpc: endpoints, labels: labels, slippageBps: cfg.slippageBps(), maxRoutes: cfg.MaxRoutes, feeMultiplier: cfg.PriorityFeeMultiplier,
		liquidity: newLiquidity(cfg.LiquidityTestSOL, p.Log, p.Registry), metrics: newMetrics(p.Registry), log: p.Log,
	}
	if cfg.CacheEnabled && cfg.CacheTTL > 0 {
		s.paths = newPathCache(cfg.CacheTTL)
	}
	tables, err := cfg.tables()
	if err != nil {
		return err
	}
	background := []func(context.Context) error{market.Run, s.followFees,
		func(ctx context.Context) error { return s.followTables(ctx, tables) },
		func(ctx context.Context) error { return s.volatility.run(ctx, market) },
	}
	redis, err := cfg.RedisConfig.Client()
	if err != nil {
		return err
	}
	shared := ratelimit.NewShared(nil, 1, 0, p.Log)
	if redis != nil {
		defer redis.Close()
		shared = ratelimit.NewShared(redis, 1, quotaPatience, p.Log)
	}
	if s.guard, err = cfg.guard(s.metrics); err != nil {
		return err
	}
	if s.liquidity.lamports > 0 {
		background = append(background, func(ctx context.Context) error { return s.liquidity.run(ctx, market) })
	}
	if s.guard != nil {
		background = append(background, s.guard.run)
	}
	if s.paths != nil && redis != nil {
		s.paths.share(redis, string(cfg.Network), p.Log)
		background = append(background, s.paths.run)
	}
	if cfg.JupiterAPIURL != "" {
		if s.jupiter, err = newUpstream(cfg.UpstreamConfig, shared); err != nil {
			return err
		}
		background = append(background, shared.Run, s.jupiter.quota.Run, s.jupiter.spare.Run)
	}
	return p.Serve(ctx, cfg.ServerConfig, platform.Service{Handler: s.handler(), Checks: s.checks(), Background: background})
}

// snapshots gives the present market, nil before there is one.
type snapshots interface {
	Snapshot() *chain.Snapshot
	Status() []chain.PoolStatus
	Lag() uint64
}

type service struct {
	market        snapshots
	rpc           *chain.Endpoints
	labels        map[string]string // DEX by program id
	slippageBps   uint16
	maxRoutes     int
	feeMultiplier float64
	paths         *pathCache    // nil without a cache
	jupiter       *upstream     // nil without a Jupiter
	unitPrice     atomic.Uint64 // micro-lamports that a compute unit costs, 0 before it is known
	volatility    volatility
	guard         *guard // nil without prices to compare with
	liquidity     *liquidity
	metrics       *metrics
	log           *slog.Logger

	state   atomic.Pointer[state]
	dumping sync.Mutex
	tables  atomic.Pointer[map[solana.PublicKey]solana.PublicKeySlice]
}

// state is a snapshot of the pools to route over, with the graph over it.
type state struct {
	*chain.Snapshot
	of        *chain.Snapshot // the market's
	without   *[]error        // why pools of it are not
	graph     *routing.Graph
	byAddress map[solana.PublicKey]int // place in Pools
	solWorth  sync.Map                 // what sampleLamports are worth, uint64 by mint
	// instructions are strangers' swaps, see strangersPool.
	instructions sync.Map
}

func (s *service) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /quote", platform.Route("quote", http.HandlerFunc(s.serveQuote)))
	mux.Handle("GET /optimized/quote", platform.Route("optimized-quote", http.HandlerFunc(s.serveOptimized)))
	mux.Handle("GET /v1/optimized", platform.Route("v1-optimized", http.HandlerFunc(s.serveCandidates)))
	mux.Handle("POST /swap", platform.Route("swap", http.HandlerFunc(s.serveSwap)))
	mux.Handle("POST /swap-instructions", platform.Route("swap-instructions", http.HandlerFunc(s.serveSwapInstructions)))
	mux.Handle("GET /v1/quote", platform.Route("v1-quote", http.HandlerFunc(s.serveDetailedQuote)))
	mux.Handle("GET /v1/state", platform.Route("v1-state", http.HandlerFunc(s.serveState)))
	mux.Handle("GET /v1/tokens", platform.Route("v1-tokens", http.HandlerFunc(s.serveTokens)))
	mux.Handle("GET /v1/pools", platform.Route("v1-pools", http.HandlerFunc(s.servePools)))
	mux.Handle("GET /program-id-to-label", platform.Route("program-id-to-label", http.HandlerFunc(s.serveLabels)))
	mux.Handle("/", platform.Route("not-found", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		jupiter.WriteError(w, jupiter.Errorf(http.StatusNotFound, jupiter.CodeNotFound, "no %s %s here", r.Method, r.URL.Path))
	})))
	return mux
}

func (s *service) checks() []platform.Check {
	return []platform.Check{
		{Name: "market", Required: true, Probe: func(context.Context) error {
			if s.market.Snapshot() != nil {
				return nil
			}
			reasons := map[string]int{}
			for _, p := range s.market.Status() {
				reasons[p.Reason]++
			}
			return fmt.Errorf("no pool could be loaded yet; pools by reason: %v", reasons)
		}},
		{Name: "rpc", Probe: func(context.Context) error {
			snapshot := s.market.Snapshot()
			if snapshot == nil {
				return errors.New("no state yet")
			}
			if age := time.Since(snapshot.Advanced); age > staleAfter/2 {
				return fmt.Errorf("the market stands at slot %d since %v", snapshot.Slot, age.Round(time.Second))
			}
			if lag := s.market.Lag(); lag > degradedLag {
				return fmt.Errorf("the market is %d slots behind", lag)
			}
			return nil
		}},
	}
}

// current is the present market, or the error that says why there is none to quote from.
func (s *service) current() (*state, error) {
	snapshot := s.market.Snapshot()
	if snapshot == nil {
		return nil, jupiter.Errorf(http.StatusServiceUnavailable, jupiter.CodeStateNotReady, "no pools are loaded yet: try again in some seconds")
	}
	if age := time.Since(snapshot.Advanced); age > staleAfter {
		return nil, jupiter.Errorf(http.StatusServiceUnavailable, codeStateTooOld,
			"the pools' state is of slot %d and has not advanced for %v: the Solana RPC does not answer or stands still", snapshot.Slot, age.Round(time.Second))
	}
	old, without := s.state.Load(), s.liquidity.failures()
	if old != nil && old.of == snapshot && old.without == without {
		return old, nil
	}
	next := &state{Snapshot: snapshot, of: snapshot, without: without}
	if without != nil {
		next.Snapshot = snapshot.Without(func(i int) bool { return (*without)[i] != nil })
	}
	if old != nil && old.Generation == snapshot.Generation {
		next.graph, next.byAddress = old.graph.Update(next.Pools, snapshot.Clock), old.byAddress
	} else {
		next.graph, next.byAddress = routing.NewGraph(snapshot.Infos, next.Pools, snapshot.Clock), map[solana.PublicKey]int{}
		for i, info := range snapshot.Infos {
			if info != nil {
				next.byAddress[info.Address] = i
			}
		}
	}
	s.state.Store(next) // requests that race here make equal graphs
	return next, nil
}

func (s *service) serveLabels(w http.ResponseWriter, _ *http.Request) {
	jupiter.WriteJSON(w, http.StatusOK, s.labels)
}
