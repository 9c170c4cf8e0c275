package gateway

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"jupiter-dex-integration/src/jupiter"
	"jupiter-dex-integration/src/ratelimit"
)

// quote serves GET /quote. Only what no upstream can answer is refused here; unknown parameters go on.
func (g *gateway) quote(w http.ResponseWriter, r *http.Request) {
	bypass := bypasses(r)
	if !bypass {
		if a, age := g.quotes.fresh(r.URL.RawQuery, time.Now()); a != nil {
			g.quotes.respond(w, a, age, cacheHit, nil)
			return
		}
	}
	query, err := parseQuery(r)
	if err == nil {
		var q jupiter.QuoteRequest
		if q, err = jupiter.ParseQuoteRequest(query); err == nil {
			err = g.dexes.check(q, time.Now())
		}
	}
	if err != nil {
		jupiter.WriteError(w, err)
		return
	}
	if g.cfg.LegacyQuotes && !query.Has("allowDynamicSwap") {
		query.Set("allowDynamicSwap", "false")
	}
	c := &call{
		endpoint: endpointQuote, method: http.MethodGet, path: endpointQuote,
		query: normaliseQuote(query).Encode(), header: upstreamHeader(r), priority: ratelimit.Quote,
	}
	send := func(ctx context.Context) (*answer, error) {
		a, err := g.fetchSwap(ctx, c)
		if err == nil && a.status == http.StatusOK {
			g.originals.remember(a.body, time.Now())
		}
		if err == nil && g.cfg.LegacyQuotes {
			toLegacy(a)
		}
		return a, err
	}
	if bypass {
		a, err := send(r.Context())
		g.quotes.respond(w, a, 0, cacheBypass, err)
		return
	}
	a, age, result, err := g.quotes.get(r.Context(), c.query, r.URL.RawQuery, send)
	g.quotes.respond(w, a, age, result, err)
}

// parseQuery is strict where r.URL.Query is silent: a parameter that does not parse must not be dropped.
func parseQuery(r *http.Request) (url.Values, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, jupiter.Errorf(http.StatusBadRequest, jupiter.CodeInvalidRequest, "The query cannot be parsed: %v", err)
	}
	return query, nil
}

// normaliseQuote gives the many spellings of a request the one that Jupiter documents: a list is one parameter with
// commas, and is called excludeDexes. The order of a list means nothing, so it is sorted. It changes query.
func normaliseQuote(query url.Values) url.Values {
	if misspelt, ok := query["excludedDexes"]; ok { // what the Rust client sends
		query["excludeDexes"] = append(query["excludeDexes"], misspelt...)
		delete(query, "excludedDexes")
	}
	for _, name := range []string{"dexes", "excludeDexes"} {
		values, ok := query[name]
		if !ok {
			continue
		}
		items := splitList(values)
		slices.Sort(items)
		if items = slices.Compact(items); len(items) == 0 {
			delete(query, name)
		} else {
			query[name] = []string{strings.Join(items, ",")}
		}
	}
	return query
}

// splitList takes repeated parameters, comma lists and both.
func splitList(values []string) []string {
	var items []string
	for _, value := range values {
		for item := range strings.SplitSeq(value, ",") {
			if item = strings.TrimSpace(item); item != "" {
				items = append(items, item)
			}
		}
	}
	return items
}
