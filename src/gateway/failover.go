package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"jupiter-dex-integration/src/jupiter"
	"jupiter-dex-integration/src/platform"
)

// upstreamHeaderName names who answered, where that is not the first choice.
const upstreamHeaderName = "X-Upstream"

// ownQuoteMark begins a quote of the route-optimizer that was given in Jupiter's place, so that /swap knows it again.
var ownQuoteMark = []byte(`{"servedBy":"` + optimizerName + `",`)

// What the gateway calls the upstreams that are no item of UPSTREAMS.
const (
	jupiterName   = "jupiter"
	optimizerName = "route-optimizer"
	optimizedName = "optimized"
	oracleName    = "price-oracle"
)

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

// failsOver says whether another upstream may do better: nobody answered, the quota is used up, the answer is a failure that is
// not the caller's, or this upstream is one that cannot know.
func (u *upstream) failsOver(a *answer, err error) bool {
	status := statusOf(a, err)
	if err != nil {
		return errors.As(err, &cannotServe{}) || status >= 500 || status == http.StatusTooManyRequests
	}
	if u.kind == kindMetis && a.status == http.StatusBadRequest {
		// A router of one's own learns tokens and markets after its start, and some only at the next one.
		return jupiter.DecodeError(a.status, a.body).Code == jupiter.CodeTokenNotTradable
	}
	return status >= 500 && !callersFault(a) || status == http.StatusTooManyRequests
}

// statusOf is the status that a caller would see.
func statusOf(a *answer, err error) int {
	if a != nil {
		return a.status
	}
	var e *jupiter.Error
	if errors.As(err, &e) {
		return e.Status
	}
	return 0
}

// upstreamsFor are those to ask for c, in their order. The first for a quote is the route-optimizer in the mode in which it betters Jupiter's. The last for a quote, and the only one for a swap of such a quote, is
// the route-optimizer, if the operator allows it. A swap goes first to those whose kind gave its quote.
func (g *gateway) upstreamsFor(c *call) []*upstream {
	switch {
	case g.optimized != nil && c.endpoint == endpointQuote:
		all := append([]*upstream{g.optimized}, g.swaps...)
		if g.cfg.OptimizerFallback {
			all = append(all, g.optimizer)
		}
		return all
	case g.optimizer != nil && c.endpoint == endpointQuote:
		return append(g.swaps[:len(g.swaps):len(g.swaps)], g.optimizer)
	case g.optimizer != nil && isOwnQuote(c.body):
		return []*upstream{g.optimizer}
	case c.body == nil || len(g.swaps) == 1:
		return g.swaps
	}
	fromV2 := isV2Quote(c.body)
	var same, others []*upstream
	for _, u := range g.swaps {
		if (u.kind == kindSwapV2) == fromV2 {
			same = append(same, u)
		} else {
			others = append(others, u)
		}
	}
	return append(same, others...)
}

// fetchSwap asks the upstreams of the four swap operations in their order until one does not fail. All four are safe to
// repeat: none sends a transaction.
func (g *gateway) fetchSwap(ctx context.Context, c *call) (*answer, error) {
	upstreams := g.upstreamsFor(c)
	deadline := time.Now().Add(g.cfg.Breaker.Timeout)
	var a *answer
	var err error
	limited := map[*budget]bool{} // quotas that are used up
	for i, u := range upstreams {
		// The route-optimizer stands in for those who fail; a limit is no failure.
		if len(limited) > 0 && (u == g.optimizer || u.budget != nil && limited[u.budget]) {
			continue
		}
		attempt := c
		if len(upstreams) > 1 {
			left := time.Until(deadline)
			if left <= 0 {
				break
			}
			shared := *c
			shared.timeout = left / time.Duration(len(upstreams)-i)
			attempt = &shared
		}
		next, nextErr := u.fetch(ctx, attempt)
		if statusOf(next, nextErr) == http.StatusTooManyRequests {
			limited[u.budget] = true
		}
		if status := statusOf(a, err); (status >= 500 || status == http.StatusTooManyRequests) && u.failsOver(next, nextErr) {
			if next != nil {
				next.close()
			}
			continue // the first failure says more
		}
		if a != nil {
			a.close()
		}
		a, err = next, nextErr
		if !u.failsOver(a, err) {
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
