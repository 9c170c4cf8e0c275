package gateway

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"

	"jupiter-dex-integration/src/jupiter"
)

// onlyInV1 are parameters of a quote and fields of a swap that change what v1 answers and that v2 does not know, by the value
// that says nothing.
var onlyInV1 = map[string]string{"onlyDirectRoutes": "false", "asLegacyTransaction": "false", "forJitoBundle": "false"}

// toSwapV2 makes a call of the swap API v1 one of Jupiter's quote-and-swap pair of v2. The pair has no ExactOut, knows the user
// as the taker, and takes a priority level or a tip, but no fee in lamports: what cannot be said there is refused rather than
// left out.
func toSwapV2(c *call) (*call, error) {
	const refusal = "%s is not available: the upstream is Jupiter's swap API v2"
	adapted := *c
	switch c.endpoint {
	case endpointQuote:
		query, err := url.ParseQuery(c.query)
		if err != nil {
			return nil, err
		}
		if query.Get("swapMode") == jupiter.ExactOut {
			return nil, notSupported(refusal, "swapMode ExactOut")
		}
		for name, nothing := range onlyInV1 {
			if v := query.Get(name); v != "" && v != nothing {
				return nil, notSupported(refusal, name)
			}
		}
		if query.Has("allowDynamicSwap") {
			query["dynamicSwap"] = query["allowDynamicSwap"]
			delete(query, "allowDynamicSwap")
			adapted.query = query.Encode()
		}
	case endpointSwap, endpointSwapInstructions:
		var req object
		if err := json.Unmarshal(c.body, &req); err != nil {
			return nil, jupiter.Errorf(http.StatusBadRequest, jupiter.CodeInvalidRequest, "The body is not a JSON object: %v", err)
		}
		for name, nothing := range onlyInV1 {
			if v := req[name]; !isNull(v) && string(v) != nothing {
				return nil, notSupported(refusal, name)
			}
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
		return notSupported("Field %s: the upstream is Jupiter's swap API v2, which takes priorityLevelWithMaxLamports, jitoTipLamports or \"auto\"", field)
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

// fromSwapV2 adds to an answer of /swap-instructions what v1 calls the lookup tables.
func fromSwapV2(c *call, a *answer) {
	if c.endpoint != endpointSwapInstructions || a == nil || a.status != http.StatusOK || a.rest != nil {
		return
	}
	var answer, tables object
	if json.Unmarshal(a.body, &answer) != nil || !isNull(answer["addressLookupTableAddresses"]) ||
		json.Unmarshal(answer["addressesByLookupTableAddress"], &tables) != nil || tables == nil {
		return
	}
	names, err := json.Marshal(slices.Sorted(maps.Keys(tables)))
	if err != nil {
		return
	}
	answer["addressLookupTableAddresses"] = names
	if body, err := json.Marshal(answer); err == nil {
		a.body = body
	}
}

// isV2Quote says whether the quote in a swap request is v2's: v1 states the parts of a route in percent, but for V2
// instructions, and v2 in basis points.
func isV2Quote(swap []byte) bool {
	var req struct {
		QuoteResponse struct {
			InstructionVersion string `json:"instructionVersion"`
			RoutePlan          []struct {
				Percent, Bps *json.Number
			} `json:"routePlan"`
		} `json:"quoteResponse"`
	}
	if json.Unmarshal(swap, &req) != nil || req.QuoteResponse.InstructionVersion != "" {
		return false
	}
	for _, step := range req.QuoteResponse.RoutePlan {
		if step.Percent != nil || step.Bps == nil {
			return false
		}
	}
	return len(req.QuoteResponse.RoutePlan) > 0
}
