package optimizer

import (
	"encoding/json"
	"math"
	"math/bits"
	"net/http"
	"slices"

	"jupiter-dex-integration/src/jupiter"
)

const (
	// maxAutoLamports bounds a priority fee that the request does not bound itself.
	maxAutoLamports = 5_000_000
	// minMicroLamports is offered where recent blocks took less.
	minMicroLamports = 1_000
)

// feeRequest is what a swap request wants to pay for priority: a fixed price, a fixed sum, or a percentile of what others paid lately.
type feeRequest struct {
	fixedPrice    bool
	microLamports uint64
	fixedSum      bool
	lamports      uint64
	percentile    int // 0: do not ask
	factor        float64
	maxLamports   uint64
}

// autoFee is offered where the request leaves it to us.
var autoFee = feeRequest{percentile: 75, factor: 1, maxLamports: maxAutoLamports}

func parseFeeRequest(req *swapRequest) (feeRequest, error) {
	price, sum := present(req.ComputeUnitPriceMicroLamports), present(req.PrioritizationFeeLamports)
	if price && sum {
		return feeRequest{}, jupiter.Errorf(http.StatusBadRequest, codeTwoPrices, "computeUnitPriceMicroLamports and prioritizationFeeLamports are both given: give one")
	}
	auto := autoFee
	var word string
	switch {
	case price:
		if json.Unmarshal(req.ComputeUnitPriceMicroLamports, &word) == nil && word == "auto" {
			return auto, nil
		}
		f := feeRequest{fixedPrice: true}
		if json.Unmarshal(req.ComputeUnitPriceMicroLamports, &f.microLamports) != nil {
			return f, invalid(`computeUnitPriceMicroLamports must be an integer or "auto"`)
		}
		return f, nil
	case !sum:
		return auto, nil
	}
	f := feeRequest{fixedSum: true}
	if json.Unmarshal(req.PrioritizationFeeLamports, &f.lamports) == nil {
		return f, nil
	}
	if json.Unmarshal(req.PrioritizationFeeLamports, &word) == nil {
		switch word {
		case "auto":
			return auto, nil
		case "disabled":
			return f, nil
		}
	}
	var object struct {
		Level *struct {
			PriorityLevel string  `json:"priorityLevel"`
			MaxLamports   *uint64 `json:"maxLamports"`
		} `json:"priorityLevelWithMaxLamports"`
		AutoMultiplier *float64        `json:"autoMultiplier"`
		Tip            json.RawMessage `json:"jitoTipLamports"`
		TipWithPayer   json.RawMessage `json:"jitoTipLamportsWithPayer"`
	}
	if json.Unmarshal(req.PrioritizationFeeLamports, &object) != nil {
		return f, invalid(`prioritizationFeeLamports must be an integer, "auto", "disabled" or one of its objects`)
	}
	switch {
	case object.Tip != nil || object.TipWithPayer != nil:
		return f, jupiter.Errorf(http.StatusBadRequest, jupiter.CodeNotSupported, "Jito tips are not supported")
	case object.Level != nil:
		percentile, ok := map[string]int{"medium": 50, "high": 75, "veryHigh": 95}[object.Level.PriorityLevel]
		if !ok {
			return f, invalid("priorityLevel must be medium, high or veryHigh")
		}
		auto.percentile = percentile
		if object.Level.MaxLamports != nil {
			auto.maxLamports = *object.Level.MaxLamports
		}
		return auto, nil
	case object.AutoMultiplier != nil && *object.AutoMultiplier >= 0 && *object.AutoMultiplier <= 100:
		auto.factor = *object.AutoMultiplier
		return auto, nil
	}
	return f, invalid("prioritizationFeeLamports is an object of an unknown kind")
}

func present(raw json.RawMessage) bool { return len(raw) > 0 && string(raw) != "null" }

// price is the micro-lamports per compute unit to offer, given what others paid and what the transaction may use.
func (f feeRequest) price(paid []uint64, multiplier float64, unitLimit uint32) uint64 {
	switch {
	case f.fixedPrice:
		return f.microLamports
	case f.fixedSum:
		return pricePerUnit(f.lamports, unitLimit)
	}
	price := float64(0)
	if len(paid) > 0 {
		paid = slices.Sorted(slices.Values(paid))
		price = float64(paid[(len(paid)-1)*f.percentile/100]) * multiplier * f.factor
	}
	most := pricePerUnit(f.maxLamports, unitLimit)
	if price >= float64(most) {
		return most
	}
	return min(most, max(minMicroLamports, uint64(math.Ceil(price))))
}

// pricePerUnit is the greatest price at which units cost at most lamports.
func pricePerUnit(lamports uint64, units uint32) uint64 {
	hi, lo := bits.Mul64(lamports, 1_000_000)
	if hi >= uint64(units) {
		return math.MaxUint64
	}
	q, _ := bits.Div64(hi, lo, uint64(units))
	return q
}
