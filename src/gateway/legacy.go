package gateway

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// Clients whose types were made before 2026 cannot decode today's quotes: they want feeAmount and feeMint in every step, which
// Jupiter no longer sends, and a percent that is not null. In legacy mode quotes get these on their way out and lose them on
// their way back. Such clients also drop fields that they do not know, which Dynamic Swap needs: it is left out unless asked for.

type object = map[string]json.RawMessage

// editSteps applies edit to each step of a quote's route. What is no quote stays as it is.
func editSteps(quote []byte, edit func(step, swapInfo object)) ([]byte, bool) {
	var top object
	var plan []object
	if json.Unmarshal(quote, &top) != nil || json.Unmarshal(top["routePlan"], &plan) != nil {
		return quote, false
	}
	for _, step := range plan {
		var swapInfo object
		if json.Unmarshal(step["swapInfo"], &swapInfo) != nil || swapInfo == nil {
			return quote, false
		}
		edit(step, swapInfo)
		step["swapInfo"], _ = json.Marshal(swapInfo) // its values were JSON a moment ago
	}
	top["routePlan"], _ = json.Marshal(plan)
	edited, err := json.Marshal(top)
	return edited, err == nil
}

func isNull(v json.RawMessage) bool { return len(v) == 0 || string(v) == "null" }

// toLegacy fills the fields in an answer of /quote.
func toLegacy(a *answer) {
	if a.status != http.StatusOK || a.rest != nil {
		return
	}
	a.body, _ = editSteps(a.body, func(step, swapInfo object) {
		if isNull(swapInfo["feeAmount"]) || isNull(swapInfo["feeMint"]) {
			swapInfo["feeAmount"], swapInfo["feeMint"] = json.RawMessage(`"0"`), swapInfo["inputMint"]
		}
		if bps, err := strconv.ParseUint(string(step["bps"]), 10, 16); err == nil && isNull(step["percent"]) {
			step["percent"] = json.RawMessage(strconv.FormatUint(bps/100, 10))
		}
	})
}

// fromLegacy takes out of a swap request what toLegacy put into its quote.
func fromLegacy(swap []byte) []byte {
	var top object
	if json.Unmarshal(swap, &top) != nil {
		return swap
	}
	quote, ok := editSteps(top["quoteResponse"], func(step, swapInfo object) {
		if string(swapInfo["feeAmount"]) == `"0"` && string(swapInfo["feeMint"]) == string(swapInfo["inputMint"]) {
			delete(swapInfo, "feeAmount")
			delete(swapInfo, "feeMint")
		}
		if !isNull(step["bps"]) {
			step["percent"] = json.RawMessage("null")
		}
	})
	if !ok {
		return swap
	}
	top["quoteResponse"] = quote
	if edited, err := json.Marshal(top); err == nil {
		return edited
	}
	return swap
}
