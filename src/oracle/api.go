package oracle

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/jupiter"
	"jupiter-dex-integration/src/oracle/aggregate"
	"jupiter-dex-integration/src/platform"
)

// newAPI answers from u's book.
func newAPI(u *updater) http.Handler {
	a := api{u}
	mux := http.NewServeMux()
	for pattern, route := range map[string]struct {
		name  string
		serve func(http.ResponseWriter, *http.Request)
	}{
		"GET /price/v3":                 {"price", a.servePrices},
		"GET /v1/prices/{mint}":         {"v1-price", a.serveDetail},
		"GET /v1/prices/{mint}/history": {"v1-history", a.serveHistory},
		"GET /v1/sources":               {"v1-sources", a.serveSources},
		"GET /v1/stream":                {"v1-stream", a.serveStream},
	} {
		mux.Handle(pattern, platform.Route(route.name, http.HandlerFunc(route.serve)))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		jupiter.WriteError(w, jupiter.Errorf(http.StatusNotFound, jupiter.CodeNotFound, "There is no %s %s here", r.Method, r.URL.Path))
	})
	return mux
}

type api struct{ *updater }

// servePrices answers GET /price/v3 as Jupiter does: an object with one entry per mint that has a price. With missing=true
// there is one more entry, "missing", a list of the others with the reason; clients of Jupiter do not expect it.
func (a api) servePrices(w http.ResponseWriter, r *http.Request) {
	entries := a.book.snapshot()
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		jupiter.WriteError(w, jupiter.Errorf(http.StatusBadRequest, jupiter.CodeInvalidRequest, "The query cannot be parsed: %v", err))
		return
	}
	ids, err := parseIDs(query["ids"], entries, jupiter.MaxPriceIDs)
	if err != nil {
		jupiter.WriteError(w, err)
		return
	}
	type absent struct {
		ID     string `json:"id"`
		Reason string `json:"reason"`
	}
	missing := []absent{}
	body := make([]byte, 1, 64+256*len(ids))
	body[0] = '{'
	worst, now := fresh, a.clock.now()
	for _, id := range ids {
		e, ok := entries[id]
		if e.v3 == nil {
			reason := "it is not in PRICE_TOKENS"
			if ok {
				reason = e.missing()
			}
			missing = append(missing, absent{id, reason})
			continue
		}
		if s := a.rules.ages.state(e.record, now); s == stale || s == degraded && worst == fresh {
			worst = s
		}
		if len(body) > 1 {
			body = append(body, ',')
		}
		body = append(body, '"')
		body = append(body, id...)
		body = append(body, `":`...)
		body = append(body, e.v3...)
	}
	if query.Get("missing") == "true" {
		list, err := json.Marshal(missing)
		if err != nil {
			jupiter.WriteError(w, err)
			return
		}
		if len(body) > 1 {
			body = append(body, ',')
		}
		body = append(body, `"missing":`...)
		body = append(body, list...)
	}
	if len(missing) < len(ids) {
		w.Header().Set(jupiter.PriceStateHeader, string(worst))
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(append(body, '}'))
}

// twapSpan is the time of the time-weighted average.
const twapSpan = time.Hour

// detail is the answer of GET /v1/prices/{mint}.
type detail struct {
	Mint string `json:"mint"`
	// Price is in US dollars per whole token, a decimal in a string: it keeps every digit in every language.
	Price string `json:"price"`
	// Confidence is a half-width in US dollars, null where it is not known.
	Confidence *string `json:"confidence"`
	State      state   `json:"state"`
	// Reasons say why the state is not fresh.
	Reasons []string `json:"reasons"`
	// EMA is the exponential moving average with a time constant of an hour, TWAP the time-weighted average of the last
	// hour, null until there is a price from that hour.
	EMA        string        `json:"ema"`
	TWAP       *string       `json:"twap"`
	ObservedAt time.Time     `json:"observedAt"`
	CheckedAt  time.Time     `json:"checkedAt"`
	AgeMs      int64         `json:"ageMs"`
	Slot       uint64        `json:"slot"`
	Sources    []sourceQuote `json:"sources"`
}

func (a api) detail(mint string, r record) detail {
	now := a.clock.now()
	d := detail{
		Mint: mint, Price: string(r.Price), Confidence: r.confidence(), State: a.rules.ages.state(r, now), Reasons: append([]string{}, r.Degraded...),
		EMA: string(formatPrice(r.Track.EMA)), ObservedAt: r.ObservedAt, CheckedAt: r.CheckedAt,
		AgeMs: a.clock.since(r.ObservedAt).Milliseconds(), Slot: r.Slot, Sources: r.Sources,
	}
	if twap := aggregate.TWAP(a.history.points(mint, now.Add(-twapSpan)), now.Add(-twapSpan), now); !math.IsNaN(twap) {
		text := string(formatPrice(twap))
		d.TWAP = &text
	}
	if age := now.Sub(r.ObservedAt); age > a.rules.ages.fresh {
		d.Reasons = append(d.Reasons, fmt.Sprintf("observed %v ago", age.Round(time.Second)))
	}
	return d
}

func (a api) serveDetail(w http.ResponseWriter, r *http.Request) {
	mint := r.PathValue("mint")
	e, err := a.priced(mint)
	if err != nil {
		jupiter.WriteError(w, err)
		return
	}
	jupiter.WriteJSON(w, http.StatusOK, a.detail(mint, e.record))
}

// priced returns the entry of a mint that has a price, or the error that says why it has none.
func (a api) priced(mint string) (entry, error) {
	e, ok := a.book.snapshot()[mint]
	switch {
	case ok && e.Price != "":
		return e, nil
	case ok:
		return e, jupiter.Errorf(http.StatusNotFound, jupiter.CodeNotFound, "There is no price of %s: %s", mint, e.missing())
	}
	if _, err := solana.PublicKeyFromBase58(mint); err != nil {
		return e, jupiter.Errorf(http.StatusBadRequest, jupiter.CodeInvalidRequest, "%.64q is not a base58 public key of 32 bytes", mint)
	}
	return e, jupiter.Errorf(http.StatusNotFound, jupiter.CodeNotFound, "There is no price of %s: it is not in PRICE_TOKENS", mint)
}

// serveHistory answers GET /v1/prices/{mint}/history?from&to&step with candles.
func (a api) serveHistory(w http.ResponseWriter, r *http.Request) {
	mint, q := r.PathValue("mint"), r.URL.Query()
	if _, err := a.priced(mint); err != nil {
		jupiter.WriteError(w, err)
		return
	}
	from, to, step, err := parseRange(q.Get("from"), q.Get("to"), q.Get("step"), a.clock.now(), a.history.resolution)
	if err != nil {
		jupiter.WriteError(w, jupiter.Errorf(http.StatusBadRequest, jupiter.CodeInvalidRequest, "Query parameter %v", err))
		return
	}
	jupiter.WriteJSON(w, http.StatusOK, struct {
		Mint        string    `json:"mint"`
		From        time.Time `json:"from"`
		To          time.Time `json:"to"`
		StepSeconds float64   `json:"stepSeconds"`
		Candles     []candle  `json:"candles"`
	}{mint, from, to, step.Seconds(), candles(a.history.points(mint, from), from, to, step)})
}

// serveSources answers GET /v1/sources: how each source fared in the last update.
func (a api) serveSources(w http.ResponseWriter, _ *http.Request) {
	health := a.sourceHealth()
	if health == nil {
		health = []sourceHealth{}
	}
	jupiter.WriteJSON(w, http.StatusOK, struct {
		Sources []sourceHealth `json:"sources"`
	}{health})
}

// parseIDs reads the values of ids, comma-separated or repeated, without duplicates, at most most. Only what is not a known mint has to
// be decoded.
func parseIDs(values []string, known map[string]entry, most int) ([]string, error) {
	var ids []string
	for _, value := range values {
		for id := range strings.SplitSeq(value, ",") {
			id = strings.TrimSpace(id)
			if id == "" || slices.Contains(ids, id) {
				continue
			}
			if _, ok := known[id]; !ok {
				if _, err := solana.PublicKeyFromBase58(id); err != nil {
					return nil, jupiter.Errorf(http.StatusBadRequest, jupiter.CodeInvalidRequest, "Query parameter ids: %.64q is not a base58 public key of 32 bytes", id)
				}
			}
			if len(ids) == most {
				return nil, jupiter.Errorf(http.StatusBadRequest, jupiter.CodeInvalidRequest, "Query parameter ids has more than %d mints", most)
			}
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return nil, jupiter.Errorf(http.StatusBadRequest, jupiter.CodeInvalidRequest, "Query parameter ids is missing: list up to %d mints, separated by commas", most)
	}
	return ids, nil
}
