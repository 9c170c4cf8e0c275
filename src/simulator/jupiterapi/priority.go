package jupiterapi

import (
	"encoding/json"
	"math/bits"
	"net/http"
	"slices"
	"strconv"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/jupiter"
	"jupiter-dex-integration/src/simulator/market"
)

// priority is what a swap pays to be taken early: a price per compute unit, or a total, or a tip.
type priority struct {
	priceMicroLamports uint64 // per unit, if it is fixed or estimated
	totalLamports      uint64 // if that is fixed
	tipLamports        uint64
	auto               bool
	percentile         int    // of recent fees, for auto
	multiplier         uint64 // of that
	maxLamports        uint64
}

var percentiles = map[string]int{"medium": 50, "high": 75, "veryHigh": 90}

// parsePriority reads the two fields, of which one may be given: a number, "auto", "disabled", or one of the objects.
func parsePriority(unitPrice, fee json.RawMessage) (priority, error) {
	auto := priority{auto: true, percentile: percentiles["medium"], multiplier: 1, maxLamports: autoMaxLamports}
	switch {
	case given(unitPrice) && given(fee):
		return priority{}, jupiter.Errorf(http.StatusBadRequest, "INVALID_COMPUTE_UNIT_PRICE_AND_PRIORITIZATION_FEE",
			"computeUnitPriceMicroLamports and prioritizationFeeLamports cannot both be given")
	case given(unitPrice):
		if string(unitPrice) == `"auto"` {
			return auto, nil
		}
		price, err := strconv.ParseUint(string(unitPrice), 10, 64)
		if err != nil {
			return priority{}, badSwap("computeUnitPriceMicroLamports must be an integer or \"auto\"")
		}
		return priority{priceMicroLamports: price}, nil
	case !given(fee) || string(fee) == `"auto"`:
		return auto, nil
	case string(fee) == `"disabled"`:
		return priority{}, nil
	}
	if total, err := strconv.ParseUint(string(fee), 10, 64); err == nil {
		return priority{totalLamports: total}, nil
	}
	var object struct {
		PriorityLevelWithMaxLamports *struct {
			PriorityLevel string `json:"priorityLevel"`
			MaxLamports   uint64 `json:"maxLamports"`
		} `json:"priorityLevelWithMaxLamports"`
		JitoTipLamports          *uint64 `json:"jitoTipLamports"`
		JitoTipLamportsWithPayer *struct {
			Lamports uint64 `json:"lamports"`
		} `json:"jitoTipLamportsWithPayer"`
		AutoMultiplier *uint64 `json:"autoMultiplier"`
	}
	if err := json.Unmarshal(fee, &object); err != nil {
		return priority{}, badSwap("prioritizationFeeLamports must be an integer, \"auto\", \"disabled\" or one of the documented objects")
	}
	switch {
	case object.PriorityLevelWithMaxLamports != nil:
		level := *object.PriorityLevelWithMaxLamports
		percentile, known := percentiles[level.PriorityLevel]
		if !known {
			return priority{}, badSwap("priorityLevel must be medium, high or veryHigh, not %q", level.PriorityLevel)
		}
		auto.percentile, auto.maxLamports = percentile, level.MaxLamports
	case object.JitoTipLamports != nil:
		return priority{tipLamports: *object.JitoTipLamports}, nil
	case object.JitoTipLamportsWithPayer != nil:
		return priority{tipLamports: object.JitoTipLamportsWithPayer.Lamports}, nil
	case object.AutoMultiplier != nil:
		auto.multiplier = *object.AutoMultiplier
	}
	return auto, nil // {} too, which some clients make of "auto"
}

// estimate sets an automatic price from what recent slots took for writing to the route's pools.
func (p *priority) estimate(m *market.Market, s *market.Snapshot, q jupiter.Quote) {
	if !p.auto {
		return
	}
	var pools []solana.PublicKey
	for _, step := range q.RoutePlan {
		if key, err := solana.PublicKeyFromBase58(step.SwapInfo.AmmKey); err == nil {
			pools = append(pools, key)
		}
	}
	fees := make([]uint64, 100)
	for i := range fees {
		fees[i] = m.PriorityFee(s.Slot-uint64(i), pools)
	}
	slices.Sort(fees)
	hi, lo := bits.Mul64(fees[len(fees)*p.percentile/100], p.multiplier)
	if p.priceMicroLamports = lo; hi > 0 {
		p.priceMicroLamports = 1<<63 - 1
	}
}

// microLamports is the price per unit under a limit.
func (p priority) microLamports(limit uint32) uint64 {
	if p.totalLamports > 0 {
		return perUnit(p.totalLamports, limit)
	}
	if p.auto {
		return min(p.priceMicroLamports, perUnit(p.maxLamports, limit))
	}
	return p.priceMicroLamports
}

// perUnit is floor(lamports * 10^6 / limit).
func perUnit(lamports uint64, limit uint32) uint64 {
	hi, lo := bits.Mul64(lamports, 1_000_000)
	if hi >= uint64(limit) {
		return 1<<63 - 1
	}
	q, _ := bits.Div64(hi, lo, uint64(limit))
	return q
}

// describe is the answer's prioritizationType.
func (p priority) describe(limit uint32) any {
	if p.tipLamports > 0 {
		return map[string]any{"jito": map[string]uint64{"lamports": p.tipLamports}}
	}
	return map[string]any{"computeBudget": map[string]any{"microLamports": p.microLamports(limit), "estimatedMicroLamports": p.priceMicroLamports}}
}
