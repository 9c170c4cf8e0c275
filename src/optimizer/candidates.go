package optimizer

import (
	"context"
	"encoding/json"
	"errors"
	"math/bits"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"jupiter-dex-integration/src/jupiter"
)

const (
	// worthAsking is the price impact, as a ratio, from which variants of a request are worth Jupiter's quota: below it, no other route is
	// better by more.
	worthAsking = .0002
	// maxAhead is how many slots Jupiter's answer may be ahead of the state that an own route is quoted on: about 2 s.
	maxAhead = 5
)

// candidate is one answer to a request that was considered.
type candidate struct {
	// Name is "jupiter" for its answer to the request as it is, "own", or the variant that Jupiter was asked for.
	Name string `json:"name"`
	// Outcome is "won" for one, and for the others "lost", or why there was nothing to compare.
	Outcome   string `json:"outcome"`
	InAmount  string `json:"inAmount,omitempty"`
	OutAmount string `json:"outAmount,omitempty"`
	Legs      int    `json:"legs,omitempty"`
	// GainBps is how much better than Jupiter's answer to the request as it is, costs aside.
	GainBps float64 `json:"gainBps"`

	offer offer
	body  []byte
}

// candidates are what was tried for one request.
type candidates struct {
	All            []*candidate `json:"candidates"`
	ImprovementBps float64      `json:"improvementBps"`
	UpstreamCalls  int          `json:"upstreamCalls"`
	// LegCost is what each leg was reckoned to cost, in units of the output, or for ExactOut of the input.
	LegCost string `json:"legCost"`

	status int // of the winner's body
	winner *candidate
}

// offer is what a candidate takes and gives.
type offer struct {
	in, out uint64
	legs    int
}

func offerOf(q *jupiter.Quote) offer { return offer{q.InAmount, q.OutAmount, len(q.RoutePlan)} }

// gross is how many bps better than b an offer is.
func (a offer) gross(b offer, exactOut bool) float64 {
	if exactOut {
		return (1 - float64(a.in)/float64(b.in)) * bps
	}
	return (float64(a.out)/float64(b.out) - 1) * bps
}

// better reports whether an offer is better than b net of what its legs cost.
func (a offer) better(b offer, exactOut bool, legCost uint64) bool {
	left, right := a.out, b.out
	if exactOut { // a.in + cost of a < b.in + cost of b
		left, right = b.in, a.in
	}
	hi1, lo1 := bits.Mul64(legCost, uint64(b.legs))
	hi2, lo2 := bits.Mul64(legCost, uint64(a.legs))
	lo1, carry := bits.Add64(lo1, left, 0)
	hi1 += carry
	lo2, carry = bits.Add64(lo2, right, 0)
	hi2 += carry
	return hi1 > hi2 || hi1 == hi2 && lo1 > lo2
}

// optimize finds the best answer to a quote request: Jupiter's, its answers to variants of the request as far as the quota has room for
// them, or an own route. The winner never gives less, or for ExactOut takes more, than Jupiter's answer to the request as it is. The error
// is an answer for the caller.
func (s *service) optimize(ctx context.Context, rawQuery string) (*candidates, error) {
	if s.jupiter == nil {
		return nil, jupiter.Errorf(http.StatusServiceUnavailable, jupiter.CodeUpstreamUnavailable, "there is no Jupiter to optimise: JUPITER_API_URL is not set")
	}
	query, err := url.ParseQuery(rawQuery)
	if err != nil {
		return nil, invalid("The query cannot be parsed: %v", err)
	}
	req, err := jupiter.ParseQuoteRequest(query)
	if err != nil {
		return nil, err
	}
	var own *quoted
	var ownErr error
	var working sync.WaitGroup
	working.Go(func() { own, ownErr = s.guardedQuote(query, true) })
	first := &candidate{Name: "jupiter"}
	base, firstErr := s.jupiter.quote(ctx, rawQuery, true)
	working.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}

	c := &candidates{status: http.StatusOK, All: []*candidate{first}}
	var legCost uint64
	if own != nil {
		legCost = own.request.LegCost
	}
	c.LegCost = strconv.FormatUint(legCost, 10)
	if firstErr == nil || !errors.Is(firstErr, errNotAsked) {
		c.UpstreamCalls++
	}
	if firstErr != nil {
		first.Outcome = outcomeOf(firstErr)
	} else {
		first.set(base.quote, base.body)
		c.winner = first
		c.ask(ctx, s.jupiter, variants(query, req, base.quote))
	}
	mine := &candidate{Name: "own"}
	c.All = append(c.All, mine)
	switch {
	case ownErr != nil:
		mine.Outcome = outcomeOf(ownErr)
	case firstErr == nil && own.answer.ContextSlot+maxAhead < base.quote.ContextSlot:
		mine.Outcome = "of an old slot"
	default:
		if firstErr == nil && req.SlippageBps == nil { // Jupiter's default
			own.answer.SlippageBps = base.quote.SlippageBps
			own.answer.OtherAmountThreshold, _ = threshold(own.answer.InAmount, own.answer.OutAmount, own.answer.SlippageBps, req.ExactOut)
		}
		body, err := json.Marshal(struct {
			ServedBy string `json:"servedBy"` // by which /swap knows whose quote it is
			*jupiter.Quote
		}{"route-optimizer", own.answer})
		if err != nil {
			return nil, err
		}
		mine.set(own.answer, body)
	}
	c.choose(req.ExactOut, legCost)
	s.metrics.optimized(c)
	switch {
	case c.winner != nil:
		return c, nil
	case base != nil: // Jupiter's refusal says more than an own one
		c.status, c.winner = base.status, &candidate{body: base.body}
		return c, nil
	}
	return nil, firstErr // which another upstream may make good
}

func (c *candidate) set(q *jupiter.Quote, body []byte) {
	c.InAmount, c.OutAmount, c.Legs = strconv.FormatUint(q.InAmount, 10), strconv.FormatUint(q.OutAmount, 10), len(q.RoutePlan)
	c.offer, c.body = offerOf(q), body
}

// ask asks Jupiter for variants, all at once.
func (c *candidates) ask(ctx context.Context, u *upstream, variants []variant) {
	var working sync.WaitGroup
	var mu sync.Mutex
	for _, v := range variants[:min(len(variants), u.maxVariants)] {
		tried := &candidate{Name: v.name}
		c.All = append(c.All, tried)
		working.Go(func() {
			a, err := u.quote(ctx, v.query, false)
			if !errors.Is(err, errNotAsked) {
				mu.Lock()
				c.UpstreamCalls++
				mu.Unlock()
			}
			if err != nil {
				tried.Outcome = outcomeOf(err)
				return
			}
			tried.set(a.quote, a.body)
		})
	}
	working.Wait()
}

// choose finds the winner.
func (c *candidates) choose(exactOut bool, legCost uint64) {
	base := c.winner
	for _, other := range c.All {
		if other.Outcome != "" || other == base {
			continue
		}
		if base != nil {
			other.GainBps = other.offer.gross(base.offer, exactOut)
		}
		if c.winner == nil || other.GainBps >= 0 && other.offer.better(c.winner.offer, exactOut, legCost) {
			c.winner = other
		}
	}
	for _, one := range c.All {
		if one.Outcome == "" {
			one.Outcome = "lost"
		}
	}
	if c.winner != nil {
		c.winner.Outcome = "won"
		c.ImprovementBps = c.winner.GainBps
	}
}

// variant is a request that may have a better answer.
type variant struct{ name, query string }

// variants are changes of a request that are worth asking for, given Jupiter's answer to it, the most promising first.
func variants(query url.Values, req jupiter.QuoteRequest, base *jupiter.Quote) (all []variant) {
	if impact, err := strconv.ParseFloat(base.PriceImpactPct, 64); err != nil || impact < worthAsking {
		return nil
	}
	with := func(name, parameter, value string) {
		changed := url.Values{}
		for k, v := range query {
			changed[k] = v
		}
		changed[parameter] = []string{value}
		all = append(all, variant{name, changed.Encode()})
	}
	if req.RestrictIntermediateTokens && !req.OnlyDirectRoutes {
		with("more intermediates", "restrictIntermediateTokens", "false")
	}
	if len(base.RoutePlan) < 2 {
		return all
	}
	if label := weakest(base.RoutePlan); len(req.Dexes) == 0 {
		delete(query, "excludedDexes")
		with("without "+label, "excludeDexes", strings.Join(append(slices.Clone(req.ExcludeDexes), label), ","))
	}
	with("fewer accounts", "maxAccounts", strconv.FormatUint(min(req.MaxAccounts, maxAccounts)/2, 10))
	if !req.OnlyDirectRoutes {
		with("direct", "onlyDirectRoutes", "true")
	}
	return all
}

// weakest is the DEX of the step with the least share of its input.
func weakest(steps []jupiter.RoutePlanStep) string {
	share := func(s jupiter.RoutePlanStep) int {
		switch {
		case s.Bps != nil:
			return int(*s.Bps)
		case s.Percent != nil:
			return int(*s.Percent) * 100
		}
		return bps
	}
	return slices.MinFunc(steps, func(a, b jupiter.RoutePlanStep) int { return share(a) - share(b) }).SwapInfo.Label
}

// outcomeOf says in a word why there is no quote.
func outcomeOf(err error) string {
	if e, ok := errors.AsType[*jupiter.Error](err); ok && e.Code != "" {
		return e.Code
	}
	return err.Error()
}

// reportHeader tells what was tried, in JSON, where the answer itself is Jupiter's.
const reportHeader = "X-Candidates"

// serveOptimized answers GET /optimized/quote with the winner as it is.
func (s *service) serveOptimized(w http.ResponseWriter, r *http.Request) {
	c, err := s.optimize(r.Context(), r.URL.RawQuery)
	if err != nil {
		s.writeError(w, r, err)
		return
	}
	if report, err := json.Marshal(c); err == nil {
		w.Header().Set(reportHeader, string(report))
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(c.status)
	w.Write(c.winner.body)
}

// serveCandidates answers GET /v1/optimized with the winner and what else was tried.
func (s *service) serveCandidates(w http.ResponseWriter, r *http.Request) {
	c, err := s.optimize(r.Context(), r.URL.RawQuery)
	if err != nil {
		s.writeError(w, r, err)
		return
	}
	jupiter.WriteJSON(w, c.status, struct {
		Quote json.RawMessage `json:"quote"`
		*candidates
	}{c.winner.body, c})
}
