package optimizer

import (
	"context"
	"math"
	"time"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/routing"
)

const (
	// lamportsPerSignature is the base fee of a transaction; each of as many legs as there may be routes bears its share.
	lamportsPerSignature = 5000
	// feesInterval is how often it is looked up what others pay for priority.
	feesInterval = 30 * time.Second
	// sampleLamports are swapped on paper to price SOL in another token: enough for the rounding not to matter.
	sampleLamports = 1_000_000_000
)

// legLamports is what one more leg costs the user: its share of the base fee, and its compute units at the price that swaps are
// offered at unless they ask for another.
func (s *service) legLamports() uint64 {
	price := max(minMicroLamports, s.unitPrice.Load())
	units := mulDivUpOrMax(unitsPerHop, price, 1_000_000)
	return lamportsPerSignature/uint64(s.maxRoutes) + min(units, maxAutoLamports)
}

func mulDivUpOrMax(a, b, c uint64) uint64 {
	if v, ok := mulDivUp(a, b, c); ok {
		return v
	}
	return math.MaxUint64
}

// legCost is lamports in units of mint, by what this snapshot's pools give for SOL; 0 if they give none.
func (st *state) legCost(lamports uint64, mint solana.PublicKey) uint64 {
	known, ok := st.solWorth.Load(mint)
	if !ok {
		known, _ = st.solWorth.LoadOrStore(mint, solBuys(st.graph, mint, sampleLamports))
	}
	return mulDivUpOrMax(lamports, known.(uint64), sampleLamports)
}

// solBuys is what lamports buy of mint over one short route, 0 if nothing.
func solBuys(g *routing.Graph, mint solana.PublicKey, lamports uint64) uint64 {
	if mint == solana.SolMint {
		return lamports
	}
	p, _ := g.Plan(routing.Request{Input: solana.SolMint, Output: mint, Amount: lamports}, // no plan gives 0
		routing.Limits{MaxRoutes: 1, MaxHops: 2, MaxAccounts: math.MaxInt})
	return p.Out
}

// followFees keeps the price of compute units until ctx ends.
func (s *service) followFees(ctx context.Context) error {
	for {
		paid, err := s.rpc.RecentPriorityFees(ctx, nil)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			s.log.Warn("recent priority fees are unknown; legs are priced by the last ones", "error", err)
		default:
			s.unitPrice.Store(autoFee.price(paid, s.feeMultiplier, unitsPerHop))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(feesInterval):
		}
	}
}
