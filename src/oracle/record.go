package oracle

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"jupiter-dex-integration/src/jupiter"
	"jupiter-dex-integration/src/oracle/aggregate"
)

// record is what is published of one token, and what the next update needs to know of the past.
type record struct {
	// Price is in US dollars per whole token, as its source wrote it where one source's price was chosen. It is empty until
	// a source has had a price.
	Price json.Number `json:"price,omitempty"`
	// Confidence is a half-width in US dollars; nil if it is not known.
	Confidence *float64 `json:"confidence,omitempty"`
	// ObservedAt is when the newest quote behind Price was observed at its source.
	ObservedAt time.Time `json:"observedAt,omitzero"`
	Slot       uint64    `json:"slot,omitempty"`
	// CheckedAt is when the sources were last asked, whether or not they had a price. It orders the versions of a record.
	CheckedAt time.Time `json:"checkedAt"`
	// Degraded says why Price is less than sure.
	Degraded []string        `json:"degraded,omitempty"`
	Sources  []sourceQuote   `json:"sources,omitempty"`
	Track    aggregate.Track `json:"track"`
	// Decimals is nil until some source knows it.
	Decimals *uint8 `json:"decimals,omitempty"`
	// PriceChange24h, Liquidity and CreatedAt are Jupiter's, for whoever reads prices in Jupiter's shape.
	PriceChange24h *json.Number `json:"priceChange24h,omitempty"`
	Liquidity      *json.Number `json:"liquidity,omitempty"`
	CreatedAt      string       `json:"createdAt,omitempty"`
}

// sourceQuote is what one source said, and what became of it.
type sourceQuote struct {
	Name       string      `json:"name"`
	Price      json.Number `json:"price,omitempty"`
	Confidence float64     `json:"confidence,omitempty"`
	ObservedAt time.Time   `json:"observedAt,omitzero"`
	Slot       uint64      `json:"slot,omitempty"`
	Used       bool        `json:"used"`
	// Reason is why it has no price, or why its price was not used.
	Reason string `json:"reason,omitempty"`
}

// check refuses what no token can cost, so that a broken store cannot displace a good price.
func (r record) check() error {
	if r.CheckedAt.IsZero() {
		return errors.New("it has no time")
	}
	if r.Price == "" {
		return nil
	}
	_, err := parsePrice(r.Price)
	return err
}

func parsePrice(text json.Number) (float64, error) {
	usd, err := strconv.ParseFloat(string(text), 64)
	if err != nil || math.IsNaN(usd) || math.IsInf(usd, 0) || usd <= 0 {
		return 0, fmt.Errorf("the price %.32q is not a positive number", string(text))
	}
	return usd, nil
}

// formatPrice writes the shortest decimal that reads as usd again, without an exponent.
func formatPrice(usd float64) json.Number {
	return json.Number(strconv.FormatFloat(usd, 'f', -1, 64))
}

// supersedes says whether r is a later version than have. A version from the future, which a clock that was set back
// leaves behind, is no version to keep.
func (r record) supersedes(have record, now time.Time) bool {
	return r.CheckedAt.After(have.CheckedAt) || have.CheckedAt.After(now.Add(time.Minute))
}

// v3 is the record in Jupiter's shape; nil if that cannot be: without a price, or without decimals.
func (r record) v3() ([]byte, error) {
	if r.Price == "" || r.Decimals == nil {
		return nil, nil
	}
	return json.Marshal(jupiter.Price{USDPrice: r.Price, BlockID: r.Slot, Decimals: *r.Decimals, PriceChange24h: r.PriceChange24h,
		Liquidity: r.Liquidity, CreatedAt: r.CreatedAt})
}

// event is what a stream says of the record; nil without a price.
func (r record) event(s state) ([]byte, error) {
	if r.Price == "" {
		return nil, nil
	}
	return json.Marshal(struct {
		Price      string    `json:"price"`
		Confidence *string   `json:"confidence"`
		State      state     `json:"state"`
		ObservedAt time.Time `json:"observedAt"`
	}{string(r.Price), r.confidence(), s, r.ObservedAt})
}

// confidence is Confidence as a decimal in a string.
func (r record) confidence() *string {
	if r.Confidence == nil {
		return nil
	}
	return new(string(formatPrice(*r.Confidence)))
}

// missing is why there is no price in Jupiter's shape.
func (r record) missing() string {
	if r.Price != "" {
		return "the token's decimals are not known"
	}
	reason := aggregate.ErrNoQuotes.Error()
	for i, s := range r.Sources {
		separator := "; "
		if i == 0 {
			separator = ": "
		}
		reason += separator + s.Name + ": " + s.Reason
	}
	return reason
}

// state is how much a price can be relied on.
type state string

const (
	fresh    state = "fresh"
	degraded state = "degraded"
	stale    state = "stale"
)

// ages are the limits of the states, from the update interval.
type ages struct{ fresh, degraded time.Duration }

func agesOf(interval time.Duration) ages { return ages{interval * 3 / 2, interval * 3} }

// state judges a record at the time now.
func (a ages) state(r record, now time.Time) state {
	switch age := now.Sub(r.ObservedAt); {
	case age > a.degraded:
		return stale
	case age > a.fresh || len(r.Degraded) > 0:
		return degraded
	}
	return fresh
}
