package optimizer

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gagliardetto/solana-go"
	"github.com/prometheus/client_golang/prometheus"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/chain"
	"jupiter-dex-integration/src/routing"
)

const (
	// A pool is liquid if a trade loses no more than so much there and back, on the same state, or if twice the trade gets a price that
	// is no more than so much worse. These are Jupiter's two rules.
	maxRoundTripLoss = 0.30
	maxPriceDrop     = 0.20
	// liquidityInterval is how often all pools are judged, liquidityPoll how soon new ones are.
	liquidityInterval = 30 * time.Minute
	liquidityPoll     = time.Second
	// reasonIlliquid is for pools what chain's reasons are.
	reasonIlliquid = "illiquid"
	// liquiditySample is the part of the trade by which mints are priced.
	liquiditySample  = 100
	maxLiquidityTest = 1e6 // SOL
	lamportsPerSOL   = 1e9
)

// liquidity finds the pools that are followed but not routed over, since a modest trade moves their price too far.
type liquidity struct {
	lamports uint64 // the trade's worth; 0 judges nothing
	log      *slog.Logger
	// illiquid has each pool's failure, by its place in snapshots; nil for one that passes. It is nil before all were judged.
	illiquid atomic.Pointer[[]error]
}

func newLiquidity(sol float64, log *slog.Logger, reg prometheus.Registerer) *liquidity {
	l := &liquidity{lamports: uint64(math.Round(sol * lamportsPerSOL)), log: log}
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "optimizer_illiquid_pools",
		Help: "Pools that could be quoted and are not routed over, as a trade of LIQUIDITY_TEST_SOL's worth moves their price too far."},
		func() (n float64) {
			if failures := l.failures(); failures != nil {
				for _, err := range *failures {
					if err != nil {
						n++
					}
				}
			}
			return n
		}))
	return l
}

// failures is nil before all pools were judged, and without a filter.
func (l *liquidity) failures() *[]error {
	if l == nil {
		return nil
	}
	return l.illiquid.Load()
}

// run judges the pools, until ctx ends.
func (l *liquidity) run(ctx context.Context, market snapshots) error {
	var judged time.Time
	var generation uint64
	ticker := time.NewTicker(liquidityPoll)
	defer ticker.Stop()
	for {
		if s := market.Snapshot(); s != nil && (s.Generation != generation || time.Since(judged) >= liquidityInterval) {
			l.judge(ctx, s)
			judged, generation = time.Now(), s.Generation
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// judge judges all pools of a snapshot. A pool with neither mint priced in SOL passes: what trades are modest there is not known.
func (l *liquidity) judge(ctx context.Context, s *chain.Snapshot) {
	graph := routing.NewGraph(s.Infos, s.Pools, s.Clock)
	known := map[solana.PublicKey]uint64{}
	// A small part is priced: the whole would be worth less of just the mints that it moves.
	sample := max(1, l.lamports/liquiditySample)
	worth := func(mint solana.PublicKey) uint64 {
		amount, ok := known[mint]
		if !ok {
			amount, _ = mulDivUp(solBuys(graph, mint, sample), l.lamports, sample)
			known[mint] = amount
		}
		return amount
	}
	failures := make([]error, len(s.Pools))
	if last := l.failures(); last != nil {
		copy(failures, *last) // what cannot be quoted now comes back as what it was
	}
	usable, out := 0, 0
	for i, pool := range s.Pools {
		if ctx.Err() != nil {
			return
		}
		if pool == nil {
			continue
		}
		usable++
		failures[i] = nil
		for side, mint := range pool.Info().Mints {
			if amount := worth(mint); amount > 0 {
				if failures[i] = illiquid(pool, s.Clock, side, amount); failures[i] == nil {
					break // liquidity on one side, as of a token that is just being sold first, is liquidity
				}
			}
		}
		if failures[i] != nil {
			out++
		}
	}
	l.illiquid.Store(&failures)
	if out > 0 {
		l.log.Info("pools are left out, for they bear no modest trade; GET /v1/pools says which", "pools", usable, "illiquid", out)
	}
}

// illiquid says by how much a pool misses both rules for a trade of amount of one of its mints, nil if it keeps one.
func illiquid(pool amm.Pool, clock amm.Clock, side int, amount uint64) error {
	aToB := side == 0
	sell := func(aToB bool, amount uint64) float64 {
		q, err := pool.Quote(clock, amm.Request{AToB: aToB, Amount: amount})
		if err != nil || q.In < amount {
			return 0
		}
		return float64(q.Out)
	}
	out := sell(aToB, amount)
	loss := 1 - sell(!aToB, uint64(out))/float64(amount)
	if loss <= maxRoundTripLoss {
		return nil
	}
	drop := 1.0
	if out > 0 && amount <= math.MaxUint64/2 {
		drop = 1 - sell(aToB, 2*amount)/(2*out)
	}
	if drop <= maxPriceDrop {
		return nil
	}
	return fmt.Errorf("swapping %d of %s there and back loses %.0f %%, and twice as much gets a price that is %.0f %% worse: at most %.0f and %.0f %% are allowed",
		amount, pool.Info().Mints[side], 100*loss, 100*drop, 100*maxRoundTripLoss, 100*maxPriceDrop)
}

// statuses are the market's, with the illiquid pools among those that cannot be quoted.
func (s *service) statuses() []chain.PoolStatus {
	all := s.market.Status()
	failures := s.liquidity.failures()
	if failures == nil {
		return all
	}
	all = slices.Clone(all)
	for i, err := range *failures {
		if err != nil && all[i].Pool != nil {
			all[i].Pool, all[i].Reason, all[i].Err = nil, reasonIlliquid, err
		}
	}
	return all
}
