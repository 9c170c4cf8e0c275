package oracle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"jupiter-dex-integration/src/jupiter"
	"jupiter-dex-integration/src/oracle/aggregate"
)

// source is where prices come from.
type source interface {
	name() string
	// observe returns what the source says of each mint. A mint that is not in the answer is one that it has never heard
	// of. The error says what it could not ask for; the answer is valid as far as it goes.
	observe(ctx context.Context, mints []string) (map[string]observation, error)
}

// observation is a price, or the reason why there is none.
type observation struct {
	// Price is in US dollars per whole token.
	Price json.Number
	// Confidence is the source's own half-width in US dollars; 0 if it gives none.
	Confidence float64
	// Weight is relative to that of other sources.
	Weight float64
	At     time.Time
	Slot   uint64
	// Fallback marks a price that is assumed rather than observed: it counts only where there is no other.
	Fallback bool
	Reason   string

	// Decimals are the token's, nil where the source does not know them.
	Decimals *uint8
	// Jupiter is the entry of Jupiter's answer that this comes from, if it does.
	Jupiter *jupiter.Price
}

// sourceHealth is how a source fared in the last update.
type sourceHealth struct {
	Name string `json:"name"`
	// Priced is how many tokens it had a price for.
	Priced int   `json:"priced"`
	TookMs int64 `json:"tookMs"`
	// Error is what it could not ask for.
	Error       string    `json:"error,omitempty"`
	CheckedAt   time.Time `json:"checkedAt"`
	LastSuccess time.Time `json:"lastSuccess,omitzero"`
}

// survey is one round of all sources.
type survey struct {
	observed []map[string]observation // by source, in the order of the sources
	health   []sourceHealth
	err      error
}

// ask asks all sources at once.
func ask(ctx context.Context, sources []source, tokens []string, now func() time.Time) survey {
	s := survey{make([]map[string]observation, len(sources)), make([]sourceHealth, len(sources)), nil}
	errs := make([]error, len(sources))
	var wg sync.WaitGroup
	for i, src := range sources {
		wg.Go(func() {
			begin := time.Now()
			observed, err := src.observe(ctx, tokens)
			h := sourceHealth{Name: src.name(), TookMs: time.Since(begin).Milliseconds(), CheckedAt: now()}
			for _, o := range observed {
				if o.Price != "" {
					h.Priced++
				}
			}
			if err != nil {
				errs[i] = fmt.Errorf("%s: %w", src.name(), err)
				h.Error = err.Error()
			} else {
				h.LastSuccess = h.CheckedAt
			}
			s.observed[i], s.health[i] = observed, h
		})
	}
	wg.Wait()
	s.err = errors.Join(errs...)
	return s
}

// rules are what turns quotes into a record.
type rules struct {
	policy aggregate.Policy
	ages   ages
	// pegs are the targets in US dollars of tokens that should not move.
	pegs map[string]float64
}

// next makes the record of mint from what the sources said and the record before.
func (ru rules) next(mint string, sources []source, observed []map[string]observation, last record, now time.Time) record {
	if now.Sub(last.ObservedAt) > retention {
		last = record{Decimals: last.Decimals}
	}
	r := last
	r.CheckedAt, r.Degraded = now, nil
	r.Sources = make([]sourceQuote, len(sources))
	var quotes, fallbacks []aggregate.Quote
	index := make(map[string]int, len(sources))
	for i, src := range sources {
		o, ok := observed[i][mint]
		if !ok {
			o.Reason = "it has no price for this token"
		}
		q := &r.Sources[i]
		*q = sourceQuote{Name: src.name(), Price: o.Price, Confidence: o.Confidence, ObservedAt: o.At, Slot: o.Slot, Reason: o.Reason}
		index[q.Name] = i
		if o.Decimals != nil {
			r.Decimals = o.Decimals
		}
		if j := o.Jupiter; j != nil {
			r.PriceChange24h, r.Liquidity, r.CreatedAt = j.PriceChange24h, j.Liquidity, j.CreatedAt
		}
		if o.Price == "" {
			continue
		}
		usd, err := parsePrice(o.Price)
		if err != nil {
			q.Price, q.Reason = "", err.Error()
			continue
		}
		quote := aggregate.Quote{Source: q.Name, Price: usd, Confidence: o.Confidence, Weight: o.Weight}
		if o.Fallback {
			fallbacks = append(fallbacks, quote)
			q.Reason = "only counts where no other source has a price"
		} else {
			quotes = append(quotes, quote)
		}
	}
	if len(quotes) == 0 {
		quotes = fallbacks
	}
	known := last.Track.Price
	if now.Sub(last.ObservedAt) > ru.ages.degraded {
		known = 0 // too old to judge by
	}
	agreed, err := aggregate.Combine(quotes, known, ru.policy)
	for name, reason := range agreed.Rejected {
		r.Sources[index[name]].Reason = reason
	}
	if err != nil {
		r.Degraded = []string{err.Error()}
		return r
	}
	at, slot, text := time.Time{}, uint64(0), formatPrice(agreed.Price)
	for _, name := range agreed.Used {
		q := &r.Sources[index[name]]
		q.Used, q.Reason = true, ""
		slot = max(slot, q.Slot)
		if q.ObservedAt.After(at) {
			at = q.ObservedAt
		}
		if usd, _ := parsePrice(q.Price); usd == agreed.Price {
			text = q.Price
		}
	}
	r.Degraded = agreed.Degraded
	var held bool
	r.Track, held = last.Track.Advance(agreed.Price, len(agreed.Used), now, ru.ages.degraded, ru.policy)
	if held {
		r.Degraded = append(r.Degraded, fmt.Sprintf("a jump to %s waits to be confirmed", text))
		return r
	}
	r.Price, r.ObservedAt, r.Slot = text, at, slot
	r.Confidence = nil
	if !math.IsNaN(agreed.Confidence) {
		r.Confidence = &agreed.Confidence
	}
	if target := ru.pegs[mint]; target > 0 && aggregate.CheckPeg(agreed.Price, target) != aggregate.PegHolds {
		r.Degraded = append(r.Degraded, fmt.Sprintf("%.2f %% off its peg of %v", 100*math.Abs(agreed.Price-target)/target, target))
	}
	return r
}

// pegSource assumes that a pegged token is worth its peg.
type pegSource struct {
	pegs map[string]float64
	now  func() time.Time
}

func (pegSource) name() string { return "peg" }

func (s pegSource) observe(_ context.Context, mints []string) (map[string]observation, error) {
	observed := map[string]observation{}
	for _, mint := range mints {
		if target, ok := s.pegs[mint]; ok {
			observed[mint] = observation{Price: formatPrice(target), Weight: 1, At: s.now(), Fallback: true}
		}
	}
	return observed, nil
}
