package optimizer

import (
	"context"
	"encoding/json"
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/chain"
)

const (
	// volatilityInterval is how often prices are looked at, volatilitySamples how many of the last looks count about half.
	volatilityInterval = time.Second
	volatilitySamples  = 60
	// volatilityNeeded is how many looks it takes to say anything.
	volatilityNeeded = 10
	// landing is how long a transaction may take to land; a price shall stay within so many deviations of that time.
	landing    = 20 * time.Second
	deviations = 3
	// minSlippageBps and maxSlippageBps bound dynamic slippage where the request does not.
	minSlippageBps, maxSlippageBps = 5, 300
)

// volatility is how much the pools' prices have moved lately.
type volatility struct {
	mu         sync.Mutex
	generation uint64
	samples    int
	pools      []amm.Pool
	prices     []float64
	variances  []float64 // of the logarithm, per look
}

// run looks at the market's prices until ctx ends.
func (v *volatility) run(ctx context.Context, market snapshots) error {
	ticker := time.NewTicker(volatilityInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
			if s := market.Snapshot(); s != nil {
				v.look(s)
			}
		}
	}
}

func (v *volatility) look(s *chain.Snapshot) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.generation != s.Generation || len(v.pools) != len(s.Pools) {
		n := len(s.Pools)
		v.generation, v.samples, v.pools, v.prices, v.variances = s.Generation, 0, make([]amm.Pool, n), make([]float64, n), make([]float64, n)
	}
	const weight = 1. / volatilitySamples
	for i, pool := range s.Pools {
		change := 0.0
		if pool != nil && pool != v.pools[i] {
			price := pool.SpotPrice(true)
			if v.prices[i] > 0 && price > 0 {
				change = math.Log(price / v.prices[i])
			}
			v.prices[i] = price
		}
		v.pools[i] = pool
		v.variances[i] += weight * (change*change - v.variances[i])
	}
	v.samples++
}

// of is the deviation, as a ratio, of what a route's legs make together over the time that a transaction takes to land; not ok before enough
// was seen. Legs that share an input count by their shares, as if all moved against the user at once.
func (v *volatility) of(st *state, hops []chain.Hop) (deviation float64, ok bool) {
	taken := map[solana.PublicKey]float64{}
	for _, h := range hops {
		taken[h.InputMint()] += float64(h.Quote.In)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.samples < volatilityNeeded || v.generation != st.Generation {
		return 0, false
	}
	// The mean so far is over fewer looks than it will be.
	seen := 1 - math.Pow(1-1./volatilitySamples, float64(v.samples))
	variance := 0.0
	for _, h := range hops {
		variance += float64(h.Quote.In) / taken[h.InputMint()] * v.variances[st.byAddress[h.Pool.Info().Address]] / seen
	}
	return math.Sqrt(variance * float64(landing/volatilityInterval)), true
}

// slippageRequest is a swap request's wish for a slippage that fits the market.
type slippageRequest struct {
	asked          bool
	minBps, maxBps uint16
}

func parseSlippageRequest(raw json.RawMessage) (slippageRequest, error) {
	r := slippageRequest{minBps: minSlippageBps, maxBps: maxSlippageBps}
	if !present(raw) {
		return r, nil
	}
	if json.Unmarshal(raw, &r.asked) == nil {
		return r, nil
	}
	bounds := struct{ MinBps, MaxBps *uint16 }{&r.minBps, &r.maxBps}
	if json.Unmarshal(raw, &bounds) != nil || r.minBps > r.maxBps || r.maxBps > bps {
		return r, invalid("dynamicSlippage must be true, false or {minBps, maxBps} with minBps <= maxBps <= %d", bps)
	}
	r.asked = true
	return r, nil
}

// slippageReport is Jupiter's shape of what was made of such a wish.
type slippageReport struct {
	SlippageBps uint16 `json:"slippageBps"`
	OtherAmount uint64 `json:"otherAmount"`
	// SimulatedIncurredSlippageBps is how much worse than quoted the route is already.
	SimulatedIncurredSlippageBps int    `json:"simulatedIncurredSlippageBps"`
	AmplificationRatio           string `json:"amplificationRatio"`
	// CategoryName is "measured", or "unmeasured" where not enough was seen yet and the quote's slippage stays.
	CategoryName            string `json:"categoryName"`
	HeuristicMaxSlippageBps uint16 `json:"heuristicMaxSlippageBps"`
}

// fitSlippage sets a route's threshold by how much its price has moved since the quote, and by how much the prices of its pools move in
// the time that a transaction takes to land.
func (s *service) fitSlippage(st *state, r *quotedRoute, wish slippageRequest) (*slippageReport, error) {
	any := *r
	if any.threshold = 0; r.exactOut {
		any.threshold = math.MaxUint64
	}
	var now chain.Swap
	if err := st.fill(&now, &any); err != nil {
		return nil, err
	}
	var takes, gives uint64
	for _, h := range now.Hops {
		if h.InputMint() == r.input {
			takes += h.Quote.In
		}
		if h.OutputMint() == r.output {
			gives += h.Quote.Out
		}
	}
	moved := math.Ceil((1 - float64(gives)/float64(r.gross)) * bps)
	if r.exactOut {
		moved = math.Ceil((float64(takes)/float64(r.in) - 1) * bps)
	}
	report := &slippageReport{SlippageBps: r.slippageBps, SimulatedIncurredSlippageBps: int(moved), AmplificationRatio: strconv.Itoa(deviations),
		CategoryName: "unmeasured", HeuristicMaxSlippageBps: wish.maxBps}
	if deviation, ok := s.volatility.of(st, now.Hops); ok {
		fit := max(0, moved) + math.Ceil(deviations*deviation*bps)
		report.CategoryName, report.SlippageBps = "measured", uint16(min(max(fit, float64(wish.minBps)), float64(wish.maxBps)))
	}
	if err := r.limit(report.SlippageBps); err != nil {
		return nil, err
	}
	report.OtherAmount = r.threshold
	if !r.exactOut {
		report.OtherAmount -= r.fee
	}
	return report, nil
}
