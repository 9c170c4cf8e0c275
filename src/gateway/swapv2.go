package gateway

import (
	"encoding/json"
	"net/http"
	"net/url"

	"jupiter-dex-integration/src/jupiter"
)

// toSwapV2 makes a call of the swap API v1 one of Jupiter's quote-and-swap pair of v2, for an upstream whose URL ends with
// /swap/v2. The pair has no ExactOut, knows the user as the taker, and takes a priority level or a tip, but no fee in
// lamports: what cannot be said there is refused rather than left out.
func toSwapV2(c *call) (*call, error) {
	adapted := *c
	switch c.endpoint {
	case endpointQuote:
		query, err := url.ParseQuery(c.query)
		if err == nil && query.Get("swapMode") == jupiter.ExactOut {
			return nil, jupiter.Errorf(http.StatusBadRequest, jupiter.CodeNotSupported, "swapMode ExactOut is not available: the upstream is Jupiter's swap API v2")
		}
	case endpointSwap, endpointSwapInstructions:
		var req object
		if err := json.Unmarshal(c.body, &req); err != nil {
			return nil, jupiter.Errorf(http.StatusBadRequest, jupiter.CodeInvalidRequest, "The body is not a JSON object: %v", err)
		}
		if isNull(req["taker"]) {
			req["taker"] = req["userPublicKey"]
		}
		delete(req, "userPublicKey")
		if err := adaptFee(req); err != nil {
			return nil, err
		}
		body, err := json.Marshal(req)
		if err != nil {
			return nil, err
		}
		adapted.body = body
	}
	return &adapted, nil
}

// adaptFee replaces v1's two ways to pay for priority.
func adaptFee(req object) error {
	unsupported := func(field string) error {
		return jupiter.Errorf(http.StatusBadRequest, jupiter.CodeNotSupported,
			"Field %s: the upstream is Jupiter's swap API v2, which takes priorityLevelWithMaxLamports, jitoTipLamports or \"auto\"", field)
	}
	if !isNull(req["computeUnitPriceMicroLamports"]) && string(req["computeUnitPriceMicroLamports"]) != `"auto"` {
		return unsupported("computeUnitPriceMicroLamports")
	}
	delete(req, "computeUnitPriceMicroLamports")
	fee := req["prioritizationFeeLamports"]
	delete(req, "prioritizationFeeLamports")
	if isNull(fee) || string(fee) == `"auto"` || string(fee) == "{}" { // some typed clients make {} of "auto"
		return nil
	}
	var choice struct {
		Level *struct {
			Priority json.RawMessage `json:"priorityLevel"`
		} `json:"priorityLevelWithMaxLamports"`
		Tip json.RawMessage `json:"jitoTipLamports"`
	}
	if json.Unmarshal(fee, &choice) != nil {
		return unsupported("prioritizationFeeLamports")
	}
	switch {
	case choice.Level != nil && !isNull(choice.Level.Priority):
		req["computeUnitPricePercentile"] = choice.Level.Priority
	case !isNull(choice.Tip):
		req["tipAmount"] = choice.Tip
	default:
		return unsupported("prioritizationFeeLamports")
	}
	return nil
}
