package gateway

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"jupiter-dex-integration/src/jupiter"
	"jupiter-dex-integration/src/platform"
	"jupiter-dex-integration/src/ratelimit"
)

// degradedHeader names what an answer had to do without.
const degradedHeader = "X-Degraded"

// price serves GET /price/v3 from the price-oracle, and from Jupiter what the oracle does not have.
func (g *gateway) price(w http.ResponseWriter, r *http.Request) {
	query, err := parseQuery(r)
	if err != nil {
		jupiter.WriteError(w, err)
		return
	}
	ids := splitList(query["ids"])
	switch {
	case len(ids) == 0:
		err = jupiter.Errorf(http.StatusBadRequest, jupiter.CodeInvalidRequest, "Query parameter ids is missing")
	case len(ids) > jupiter.MaxPriceIDs:
		err = jupiter.Errorf(http.StatusBadRequest, jupiter.CodeInvalidRequest, "Query parameter ids has %d mints: at most %d", len(ids), jupiter.MaxPriceIDs)
	}
	if err != nil {
		jupiter.WriteError(w, err)
		return
	}
	ask := func(u *upstream, ids []string) (*answer, error) {
		query["ids"] = []string{strings.Join(ids, ",")}
		return u.fetch(r.Context(), &call{
			endpoint: endpointPrice, method: http.MethodGet, path: "/price/v3", query: query.Encode(), header: upstreamHeader(r), priority: ratelimit.Price,
		})
	}
	a, err := g.prices(r.Context(), ids, ask)
	respond(w, a, err)
}

func (g *gateway) prices(ctx context.Context, ids []string, ask func(*upstream, []string) (*answer, error)) (*answer, error) {
	switch {
	case g.oracle == nil && g.jupiter == nil:
		return nil, jupiter.Errorf(http.StatusBadRequest, jupiter.CodeNotSupported, "no source of prices is configured")
	case g.oracle == nil:
		return ask(g.jupiter, ids)
	}
	own, err := ask(g.oracle, ids)
	if g.jupiter == nil || ctx.Err() != nil {
		return own, err
	}
	var prices map[string]json.RawMessage
	if err == nil && (own.status != http.StatusOK || json.Unmarshal(own.body, &prices) != nil) {
		own.close()
		prices = nil
	}
	if prices == nil {
		return ask(g.jupiter, ids)
	}
	missing := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return prices[id] != nil })
	if len(missing) == 0 {
		return own, nil
	}
	rest, err := ask(g.jupiter, missing)
	if err == nil && rest.status == http.StatusOK && json.Unmarshal(rest.body, &prices) == nil {
		return mergedPrices(prices)
	}
	if err == nil {
		rest.close()
	}
	if len(prices) == 0 { // nothing is known of any: the caller must not take that for "no price"
		return rest, err
	}
	g.log.Warn("prices that the oracle does not have are left out", "request_id", platform.RequestID(ctx), "mints", len(missing), "error", err)
	own.header.Set(degradedHeader, g.jupiter.name)
	return own, nil
}

// mergedPrices writes prices as they came, number for number.
func mergedPrices(prices map[string]json.RawMessage) (*answer, error) {
	body, err := json.Marshal(prices)
	if err != nil {
		return nil, err
	}
	return &answer{status: http.StatusOK, header: http.Header{"Content-Type": {"application/json"}}, body: body}, nil
}
