package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"jupiter-dex-integration/src/jupiter"
	"jupiter-dex-integration/src/platform"
)

// upstreamHeaderName names who answered, where that is not the first choice.
const upstreamHeaderName = "X-Upstream"

// ownQuoteMark begins a quote of the route-optimizer that was given in Jupiter's place, so that /swap knows it again.
var ownQuoteMark = []byte(`{"servedBy":"` + optimizerName + `",`)

const optimizerName = "route-optimizer"

// isOwnQuote says whether the quote in a swap request bears the mark, wherever a client that rebuilt the quote has put it.
func isOwnQuote(swap []byte) bool {
	if !bytes.Contains(swap, []byte(`"servedBy"`)) {
		return false
	}
	var req struct {
		QuoteResponse struct {
			ServedBy string `json:"servedBy"`
		} `json:"quoteResponse"`
	}
	return json.Unmarshal(swap, &req) == nil && req.QuoteResponse.ServedBy == optimizerName
}

// failsOver says whether another upstream may do better: nobody answered, or the answer is a failure that is not the caller's.
func failsOver(a *answer, err error) bool {
	if err == nil {
		return a.status >= 500 && !callersFault(a)
	}
	var e *jupiter.Error
	return errors.As(err, &e) && e.Status >= 500
}

// fetchSwap asks the upstreams of the four swap operations in their order until one does not fail. All four are safe to
// repeat: none sends a transaction. For a quote, and for a swap of such a quote, the last of them is the route-optimizer, if
// the operator allows it.
func (g *gateway) fetchSwap(ctx context.Context, c *call) (*answer, error) {
	upstreams := g.swaps
	if c.endpoint == endpointQuote && g.optimizer != nil {
		upstreams = append(upstreams[:len(upstreams):len(upstreams)], g.optimizer)
	} else if g.optimizer != nil && isOwnQuote(c.body) {
		upstreams = []*upstream{g.optimizer}
	}
	var a *answer
	var err error
	for i, u := range upstreams {
		next, nextErr := u.fetch(ctx, c)
		if i > 0 && failsOver(next, nextErr) {
			if next != nil {
				next.close()
			}
			continue // the first choice's failure says more
		}
		if a != nil {
			a.close()
		}
		a, err = next, nextErr
		if !failsOver(a, err) {
			if err == nil && u != g.swaps[0] {
				a.header.Set(upstreamHeaderName, u.name)
				if u == g.optimizer && c.endpoint == endpointQuote && a.status == http.StatusOK {
					a.body = markOwn(a.body)
				}
			}
			return a, err
		}
		if i+1 < len(upstreams) {
			g.log.Warn("upstream fails over", "request_id", platform.RequestID(ctx), "endpoint", c.endpoint, "upstream", u.name, "next", upstreams[i+1].name)
		}
	}
	return a, err
}

// markOwn puts the mark into a quote.
func markOwn(quote []byte) []byte {
	rest, ok := bytes.CutPrefix(bytes.TrimSpace(quote), []byte("{"))
	if !ok || len(quote) < len(`{"":0}`) {
		return quote
	}
	return append(bytes.Clone(ownQuoteMark), rest...)
}
