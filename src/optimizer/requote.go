package optimizer

import (
	"encoding/json"
	"math/bits"
	"net/http"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/chain"
	"jupiter-dex-integration/src/jupiter"
)

// maxSteps is more than a transaction can hold.
const maxSteps = 20

// quotedRoute is a quote as a client brought it back, checked for what can be checked without pools. Nothing in it is trusted: typed
// clients drop fields, and anyone can write one.
type quotedRoute struct {
	input, output solana.PublicKey
	exactOut      bool
	// in and gross are what the steps take and give; gross is the output before the platform fee.
	in, gross, fee uint64
	slippageBps    uint16
	// threshold is the least gross output, or the greatest input, that the user accepts.
	threshold uint64
	steps     []quotedStep
}

type quotedStep struct {
	pool          solana.PublicKey
	input, output solana.PublicKey
	in, out       uint64
}

func parseQuote(raw json.RawMessage) (*quotedRoute, error) {
	var q jupiter.Quote
	if !present(raw) {
		return nil, invalid("quoteResponse is missing")
	}
	if err := json.Unmarshal(raw, &q); err != nil {
		return nil, invalid("quoteResponse is not a quote: %v", err)
	}
	var err error
	key := func(name, text string) (key solana.PublicKey) {
		if err != nil {
			return key
		}
		if key, err = solana.PublicKeyFromBase58(text); err != nil {
			err = invalid("quoteResponse: %s is not a base58 public key", name)
		}
		return key
	}
	r := &quotedRoute{input: key("inputMint", q.InputMint), output: key("outputMint", q.OutputMint), exactOut: q.SwapMode == jupiter.ExactOut}
	for _, s := range q.RoutePlan {
		r.steps = append(r.steps, quotedStep{
			pool: key("ammKey", s.SwapInfo.AmmKey), input: key("swapInfo.inputMint", s.SwapInfo.InputMint), output: key("swapInfo.outputMint", s.SwapInfo.OutputMint),
			in: s.SwapInfo.InAmount, out: s.SwapInfo.OutAmount,
		})
	}
	switch {
	case err != nil:
		return nil, err
	case q.SwapMode != jupiter.ExactIn && q.SwapMode != jupiter.ExactOut:
		return nil, invalid("quoteResponse: swapMode must be ExactIn or ExactOut")
	case q.SlippageBps > bps:
		return nil, invalid("quoteResponse: slippageBps must be from 0 to %d", bps)
	case len(r.steps) == 0 || len(r.steps) > maxSteps:
		return nil, invalid("quoteResponse: routePlan must have from 1 to %d steps", maxSteps)
	}
	if q.PlatformFee != nil {
		r.fee = q.PlatformFee.Amount
	}
	var carry uint64
	r.in = q.InAmount
	if r.gross, carry = bits.Add64(q.OutAmount, r.fee, 0); carry != 0 || q.InAmount == 0 || q.OutAmount == 0 {
		return nil, invalid("quoteResponse: inAmount, outAmount and the platform fee do not fit")
	}
	if err := r.limit(q.SlippageBps); err != nil {
		return nil, err
	}
	return r, r.check()
}

// limit makes the threshold from a slippage: as Jupiter does, anew, whatever the quote says.
func (r *quotedRoute) limit(slippageBps uint16) error {
	limit, ok := threshold(r.in, r.gross-r.fee, slippageBps, r.exactOut)
	if !ok {
		return jupiter.Errorf(http.StatusBadRequest, codeThreshold, "the input with %d bps of slippage does not fit 64 bits", slippageBps)
	}
	r.slippageBps, r.threshold = slippageBps, limit
	if !r.exactOut {
		r.threshold += r.fee // below gross
	}
	return nil
}

// check verifies that the steps lead from the input to the output, each taking what earlier ones gave, and that the sums are the quote's.
func (r *quotedRoute) check() error {
	given, taken := map[solana.PublicKey]uint64{}, map[solana.PublicKey]uint64{}
	used := map[solana.PublicKey]bool{}
	for i, s := range r.steps {
		switch {
		case used[s.pool]:
			return invalid("quoteResponse: step %d uses a pool for the second time", i)
		case s.in == 0 || s.out == 0 || s.input == s.output:
			return invalid("quoteResponse: step %d swaps nothing", i)
		case s.input == r.output || s.output == r.input || taken[s.output] > 0:
			return invalid("quoteResponse: step %d leads back", i)
		case s.input != r.input && given[s.input] == 0:
			return invalid("quoteResponse: step %d takes a token that no earlier step gives", i)
		}
		used[s.pool] = true
		var carry1, carry2 uint64
		taken[s.input], carry1 = bits.Add64(taken[s.input], s.in, 0)
		given[s.output], carry2 = bits.Add64(given[s.output], s.out, 0)
		if carry1+carry2 > 0 {
			return invalid("quoteResponse: amounts overflow at step %d", i)
		}
	}
	if taken[r.input] != r.in || given[r.output] != r.gross {
		return invalid("quoteResponse: the steps take %d and give %d, the quote says %d and %d", taken[r.input], given[r.output], r.in, r.gross)
	}
	for mint := range given {
		if mint != r.output && taken[mint] == 0 {
			return invalid("quoteResponse: no step takes the %s that an earlier one gives", mint)
		}
	}
	return nil
}

// fill quotes a route's steps anew on the present pools, each intermediate token shared out in the proportions of the quote, and makes them
// the hops of a swap whose thresholds add up to the route's.
func (st *state) fill(swap *chain.Swap, r *quotedRoute) error {
	swap.InputMint, swap.OutputMint = r.input, r.output
	hops := make([]chain.Hop, len(r.steps))
	for i, s := range r.steps {
		place, ok := st.byAddress[s.pool]
		if !ok {
			return jupiter.Errorf(http.StatusBadRequest, codeMarketNotFound, "pool %s is not known here", s.pool)
		}
		pool := st.Pools[place]
		if pool == nil {
			return moved("pool %s cannot be quoted now", s.pool)
		}
		mints := pool.Info().Mints
		aToB := mints[0] == s.input
		if !aToB && mints[1] != s.input || mints[0] != s.output && mints[1] != s.output {
			return invalid("quoteResponse: pool %s does not swap %s for %s", s.pool, s.input, s.output)
		}
		hops[i] = chain.Hop{Pool: pool, Quote: amm.Quote{Request: amm.Request{AToB: aToB, ExactOut: r.exactOut}}}
	}
	if r.exactOut {
		return st.fillBackwards(swap, r, hops)
	}
	have := map[solana.PublicKey]uint64{r.input: r.in}
	weight := map[solana.PublicKey]uint64{}
	for _, s := range r.steps {
		weight[s.input] += s.in // checked to fit
	}
	for i, s := range r.steps {
		amount := mulDiv(have[s.input], s.in, weight[s.input])
		if err := st.quoteHop(&hops[i], amount); err != nil {
			return err
		}
		have[s.input] -= amount
		weight[s.input] -= s.in
		have[s.output] += hops[i].Quote.Out
	}
	if have[r.output] < r.threshold {
		return moved("the route now gives %d, less than the %d that slippage allows", have[r.output], r.threshold)
	}
	for i, s := range r.steps {
		hops[i].Threshold = hops[i].Quote.Out
		if s.output == r.output {
			hops[i].Threshold, _ = mulDivUp(r.threshold, hops[i].Quote.Out, have[r.output]) // at most the hop's output
		}
	}
	swap.Hops, swap.Input = hops, r.in
	return nil
}

func (st *state) fillBackwards(swap *chain.Swap, r *quotedRoute, hops []chain.Hop) error {
	need := map[solana.PublicKey]uint64{r.output: r.gross}
	weight := map[solana.PublicKey]uint64{}
	for _, s := range r.steps {
		weight[s.output] += s.out
	}
	for i := len(r.steps) - 1; i >= 0; i-- {
		s := r.steps[i]
		amount := mulDiv(need[s.output], s.out, weight[s.output])
		if err := st.quoteHop(&hops[i], amount); err != nil {
			return err
		}
		need[s.output] -= amount
		weight[s.output] -= s.out
		sum, carry := bits.Add64(need[s.input], hops[i].Quote.In, 0)
		if carry != 0 {
			return moved("the route now takes more than 64 bits can count")
		}
		need[s.input] = sum
	}
	if need[r.input] > r.threshold {
		return moved("the route now takes %d, more than the %d that slippage allows", need[r.input], r.threshold)
	}
	for i, s := range r.steps {
		hops[i].Threshold = hops[i].Quote.In
		if s.input == r.input {
			hi, lo := bits.Mul64(r.threshold, hops[i].Quote.In)
			hops[i].Threshold, _ = bits.Div64(hi, lo, need[r.input]) // the hop's input is at most all of it
		}
	}
	swap.Hops, swap.Input = hops, r.threshold
	return nil
}

func (st *state) quoteHop(h *chain.Hop, amount uint64) error {
	h.Quote.Amount = amount
	q, err := h.Pool.Quote(st.Clock, h.Quote.Request)
	if err != nil {
		return moved("pool %s no longer swaps this amount: %v", h.Pool.Info().Address, err)
	}
	h.Quote = q
	return nil
}

// moved says that the quote is out of date.
func moved(format string, args ...any) error {
	return jupiter.Errorf(http.StatusBadRequest, codeSwapMetas, format+": quote again", args...)
}
