package optimizer

import (
	"cmp"
	"errors"
	"math"
	"math/bits"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/jupiter"
	"jupiter-dex-integration/src/platform"
	"jupiter-dex-integration/src/routing"
)

const (
	maxHops = 4
	// maxAccounts is what one transaction can lock.
	maxAccounts = 64
	// restrictedIntermediates is how many of the most traded mints a route may pass through where the request does not say that
	// any will do.
	restrictedIntermediates = 48
	// searchTime bounds the search for a better split.
	searchTime = 50 * time.Millisecond
	bps        = 10000
)

// Jupiter's codes for a slippage that leads beyond 64 bits, and for more than the pools can swap.
const (
	codeThreshold = "CANNOT_COMPUTE_OTHER_AMOUNT_THRESHOLD"
	codeTooLarge  = "ROUTE_PLAN_DOES_NOT_CONSUME_ALL_THE_AMOUNT"
)

func (s *service) serveQuote(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	quote := s.guardedQuote
	if r.Header.Get(guardHeader) == guardOff {
		quote = s.quote
	}
	q, err := quote(r.URL.Query(), true)
	s.metrics.observe(time.Since(start), q, err)
	if err != nil {
		s.writeError(w, r, err)
		return
	}
	q.answer.TimeTaken = time.Since(start).Seconds()
	if q.guard != nil {
		w.Header().Set(guardHeader, q.guard.String())
	}
	jupiter.WriteJSON(w, http.StatusOK, q.answer)
}

// quoted is an answer with what it was made from.
type quoted struct {
	answer  *jupiter.Quote
	state   *state
	request routing.Request
	hops    int
	plan    routing.Plan
	guard   *verdict // nil where there is no guard
}

func (s *service) writeError(w http.ResponseWriter, r *http.Request, err error) {
	if _, ok := errors.AsType[*jupiter.Error](err); !ok {
		s.log.Error("request failed", "request_id", platform.RequestID(r.Context()), "error", err)
	}
	jupiter.WriteError(w, err)
}

// quote answers a query. One in haste uses the path cache and has a deadline; any other depends on nothing but the state.
func (s *service) quote(query url.Values, haste bool) (*quoted, error) {
	req, err := jupiter.ParseQuoteRequest(query)
	if err != nil {
		return nil, err
	}
	version := query["instructionVersion"]
	inBps := slices.Contains(version, "V2")
	if len(version) > 0 && !inBps && !slices.Contains(version, "V1") {
		return nil, jupiter.Errorf(http.StatusBadRequest, jupiter.CodeInvalidRequest, "Query parameter instructionVersion must be V1 or V2")
	}
	st, err := s.current()
	if err != nil {
		return nil, err
	}
	q := &quoted{state: st, hops: hopsOf(req)}
	if q.request, q.plan, err = s.plan(st, req, haste); err != nil {
		return nil, err
	}
	if q.answer, err = s.answer(st, req, q.plan, inBps); err != nil {
		return nil, err
	}
	return q, nil
}

func hopsOf(req jupiter.QuoteRequest) int {
	if req.OnlyDirectRoutes {
		return 1
	}
	return maxHops
}

// plan routes a request. What it asks of the pools includes the platform fee, which is taken from what they give.
func (s *service) plan(st *state, req jupiter.QuoteRequest, haste bool) (routing.Request, routing.Plan, error) {
	rr := routing.Request{Input: req.InputMint, Output: req.OutputMint, Amount: req.Amount, ExactOut: req.ExactOut, Dexes: req.Dexes, ExcludeDexes: req.ExcludeDexes}
	if req.ExactOut {
		gross, ok := grossOf(req.Amount, req.PlatformFeeBps)
		if !ok {
			return rr, routing.Plan{}, jupiter.Errorf(http.StatusBadRequest, jupiter.CodeInvalidRequest, "no output is left after a platform fee of %d bps", req.PlatformFeeBps)
		}
		rr.Amount = gross
	}
	judged := req.OutputMint
	if req.ExactOut {
		judged = req.InputMint
	}
	rr.LegCost = st.legCost(s.legLamports(), judged)
	if req.RestrictIntermediateTokens {
		rr.Intermediates = st.graph.Hubs(restrictedIntermediates)
	}
	lim := routing.Limits{MaxRoutes: s.maxRoutes, MaxHops: hopsOf(req), MaxAccounts: int(min(req.MaxAccounts, maxAccounts)),
		Fits: func(p *routing.Plan) bool { return s.fits(st, req, p) }}
	if haste {
		lim.Deadline = time.Now().Add(searchTime)
	}
	key := keyOf(&rr, lim)
	cached := haste && s.paths != nil
	if cached {
		var hit bool
		rr.Hints, hit = s.paths.get(key, st, &rr)
		s.metrics.lookedUp(hit)
	}
	plan, err := st.graph.Plan(rr, lim)
	if err == nil && cached && rr.Hints == nil {
		s.paths.put(key, st, plan.Paths)
	}
	if unknown, ok := errors.AsType[*routing.UnknownMintError](err); ok {
		if err := s.setAside(unknown.Mint); err != nil {
			return rr, plan, err
		}
		return rr, plan, jupiter.Errorf(http.StatusBadRequest, jupiter.CodeTokenNotTradable, "The token %s is not tradable: no pool known here trades it", unknown.Mint)
	}
	if errors.Is(err, routing.ErrNoRoute) {
		for _, mint := range []solana.PublicKey{req.InputMint, req.OutputMint} {
			if err := s.setAside(mint); err != nil {
				return rr, plan, err
			}
		}
		return rr, plan, noRoute(st, rr, lim)
	}
	return rr, plan, err
}

// noRoute says why a request has no route: other amounts of it have one, or none has. Jupiter has one code for the latter and for dust.
func noRoute(st *state, req routing.Request, lim routing.Limits) error {
	const step = 1000
	req.Hints, lim.MaxRoutes, lim.Deadline = nil, 1, time.Time{}
	routable := func(amount uint64) bool {
		req.Amount = amount
		_, err := st.graph.Plan(req, lim)
		return err == nil
	}
	amount := req.Amount
	for less := amount / step; less > 0; less /= step {
		if routable(less) {
			return jupiter.Errorf(http.StatusBadRequest, codeTooLarge, "The amount is larger than the pools can swap: %d has a route, %d has none", less, amount)
		}
	}
	for more := amount; more <= math.MaxUint64/step; {
		if more *= step; routable(more) {
			return jupiter.Errorf(http.StatusBadRequest, jupiter.CodeNoRoutesFound, "No routes found: the amount %d is too small to swap, %d is not", amount, more)
		}
	}
	return jupiter.Errorf(http.StatusBadRequest, jupiter.CodeNoRoutesFound, "No routes found: within the limits and filters of the request, no pools that can be quoted now lead from the input to the output")
}

func (s *service) answer(st *state, req jupiter.QuoteRequest, plan routing.Plan, inBps bool) (*jupiter.Quote, error) {
	q := &jupiter.Quote{
		InputMint: req.InputMint.String(), OutputMint: req.OutputMint.String(), SwapMode: jupiter.ExactIn,
		InAmount: plan.In, OutAmount: plan.Out, SlippageBps: s.slippageBps,
		PriceImpactPct: impact(plan), ContextSlot: st.Slot,
	}
	if req.SlippageBps != nil {
		q.SlippageBps = *req.SlippageBps
	}
	if req.PlatformFeeBps > 0 {
		fee := mulDiv(plan.Out, uint64(req.PlatformFeeBps), bps)
		q.PlatformFee = &jupiter.PlatformFee{Amount: fee, FeeBps: req.PlatformFeeBps}
		q.OutAmount -= fee
		if q.OutAmount == 0 {
			return nil, jupiter.Errorf(http.StatusBadRequest, jupiter.CodeInvalidRequest, "no output is left after a platform fee of %d bps", req.PlatformFeeBps)
		}
	}
	threshold, ok := threshold(q.InAmount, q.OutAmount, q.SlippageBps, req.ExactOut)
	if !ok {
		return nil, jupiter.Errorf(http.StatusBadRequest, codeThreshold, "the input with %d bps of slippage does not fit 64 bits", q.SlippageBps)
	}
	q.OtherAmountThreshold = threshold
	if req.ExactOut {
		q.SwapMode = jupiter.ExactOut
	}
	for i, l := range plan.Legs {
		info := l.Pool.Info()
		q.RoutePlan = append(q.RoutePlan, jupiter.RoutePlanStep{SwapInfo: jupiter.SwapInfo{
			AmmKey: info.Address.String(), Label: info.Label, InputMint: l.Input.String(), OutputMint: l.Output.String(),
			InAmount: l.Quote.In, OutAmount: l.Quote.Out,
		}})
		if inBps {
			q.RoutePlan[i].Bps = &plan.Legs[i].ShareBps
		}
	}
	if !inBps {
		setPercents(q.RoutePlan, plan.Legs)
	}
	return q, nil
}

// setPercents gives steps with one input mint whole percents that sum to 100 and are at least 1.
func setPercents(steps []jupiter.RoutePlanStep, legs []routing.Leg) {
	for i := 0; i < len(legs); {
		j := i
		for j < len(legs) && legs[j].Input == legs[i].Input {
			j++
		}
		order := make([]int, 0, j-i)
		left := 100
		for k := i; k < j; k++ {
			percent := max(1, uint8(legs[k].ShareBps/100))
			steps[k].Percent = &percent
			left -= int(percent)
			order = append(order, k)
		}
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(legs[b].ShareBps%100, legs[a].ShareBps%100) })
		for n := 0; left > 0; n, left = n+1, left-1 {
			*steps[order[n%len(order)]].Percent++
		}
		for ; left < 0; left++ { // many small steps were raised to 1
			largest := slices.MaxFunc(order, func(a, b int) int { return cmp.Compare(*steps[a].Percent, *steps[b].Percent) })
			*steps[largest].Percent--
		}
		i = j
	}
}

// impact is how much worse the plan is than its pools' marginal prices before fees, as a ratio.
func impact(p routing.Plan) string {
	ideal := float64(p.In) * p.Spot
	if !(ideal > 0) || math.IsInf(ideal, 0) {
		return "0"
	}
	return strconv.FormatFloat(max(0, 1-float64(p.Out)/ideal), 'f', -1, 64)
}

// threshold is the least output, or for ExactOut the greatest input, that slippage may lead to; both round up, as Jupiter's do.
func threshold(in, out uint64, slippageBps uint16, exactOut bool) (uint64, bool) {
	if exactOut {
		return mulDivUp(in, bps+uint64(slippageBps), bps)
	}
	return mulDivUp(out, bps-uint64(slippageBps), bps)
}

// grossOf is the least amount of which net is left after floor(gross*feeBps/10000).
func grossOf(net uint64, feeBps uint16) (uint64, bool) {
	if feeBps >= bps {
		return 0, false
	}
	gross, ok := mulDivUp(net, bps, bps-uint64(feeBps))
	for ok && gross > net && gross-1-mulDiv(gross-1, uint64(feeBps), bps) >= net {
		gross--
	}
	return gross, ok
}

// mulDiv is floor(a*b/c) for b <= c.
func mulDiv(a, b, c uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	q, _ := bits.Div64(hi, lo, c)
	return q
}

func mulDivUp(a, b, c uint64) (uint64, bool) {
	hi, lo := bits.Mul64(a, b)
	if hi >= c {
		return 0, false
	}
	q, r := bits.Div64(hi, lo, c)
	if r > 0 {
		q++
	}
	return q, q > 0 || r == 0
}
