package jupiterapi

import (
	"math"
	"math/big"
	"math/bits"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/jupiter"
	"jupiter-dex-integration/src/simulator/market"
)

const oneInBps = 10_000

// quoteResponse has what a quote of 2026 has beyond its documented fields.
type quoteResponse struct {
	jupiter.Quote
	RoutePlan                     []routeStep `json:"routePlan"`
	SwapUsdValue                  string      `json:"swapUsdValue"`
	MostReliableAmmsQuoteReport   any         `json:"mostReliableAmmsQuoteReport"`
	LongtailMarketQuoteReport     any         `json:"longtailMarketQuoteReport"`
	UseIncurredSlippageForQuoting any         `json:"useIncurredSlippageForQuoting"`
	UseRewards                    any         `json:"useRewards"`
	OtherRoutePlans               any         `json:"otherRoutePlans"`
	LoadedLongtailToken           bool        `json:"loadedLongtailToken"`
	InstructionVersion            *string     `json:"instructionVersion"`
	TransactionVersion            int         `json:"transactionVersion"`
}

type routeStep struct {
	SwapInfo struct {
		jupiter.SwapInfo
		UpdateContextSlot uint64 `json:"updateContextSlot,string"`
	} `json:"swapInfo"`
	Percent *uint8  `json:"percent"`
	Bps     *uint16 `json:"bps"`
}

// route is one or two swaps, each through one pool.
type route []leg

type leg struct {
	pool  amm.Pool
	quote amm.Quote
}

func (l leg) mint(in bool) solana.PublicKey {
	if in == l.quote.AToB {
		return l.pool.Info().Mints[0]
	}
	return l.pool.Info().Mints[1]
}

func (r route) in() uint64  { return r[0].quote.In }
func (r route) out() uint64 { return r[len(r)-1].quote.Out }

func (h *Handler) quote(r *http.Request) (any, error) {
	began := time.Now()
	query := r.URL.Query()
	req, err := jupiter.ParseQuoteRequest(query)
	if err != nil {
		return nil, err
	}
	if req.MaxAccounts > 64 {
		return nil, jupiter.Errorf(http.StatusBadRequest, "MAX_ACCOUNT_GREATER_THAN_MAX", "maxAccounts is greater than 64")
	}
	for _, mint := range []solana.PublicKey{req.InputMint, req.OutputMint} {
		if h.market.Token(mint) == nil {
			return nil, jupiter.Errorf(http.StatusBadRequest, jupiter.CodeTokenNotTradable, "The token %s is not tradable", mint)
		}
	}
	s := h.market.At(market.Processed)
	amount := req.Amount
	if req.ExactOut && req.PlatformFeeBps > 0 { // the fee comes off what the route gives
		if amount, err = grossOf(amount, req.PlatformFeeBps); err != nil {
			return nil, err
		}
	}
	best := h.best(s, req, amount)
	if best == nil {
		return nil, jupiter.Errorf(http.StatusBadRequest, jupiter.CodeNoRoutesFound, "No routes found")
	}

	slippage := uint16(jupiter.DefaultSlippageBps)
	if req.SlippageBps != nil {
		slippage = *req.SlippageBps
	}
	out := quoteResponse{Quote: jupiter.Quote{
		InputMint: req.InputMint.String(), InAmount: best.in(), OutputMint: req.OutputMint.String(), OutAmount: best.out(),
		SwapMode: jupiter.ExactIn, SlippageBps: slippage, PriceImpactPct: best.impact(), ContextSlot: s.Slot,
	}}
	if req.PlatformFeeBps > 0 {
		fee := shareOf(best.out(), req.PlatformFeeBps)
		out.PlatformFee = &jupiter.PlatformFee{Amount: fee, FeeBps: req.PlatformFeeBps}
		out.OutAmount -= fee
	}
	if req.ExactOut {
		out.SwapMode = jupiter.ExactOut
		out.OtherAmountThreshold = atMost(out.InAmount, slippage)
	} else {
		out.OtherAmountThreshold = atLeast(out.OutAmount, slippage)
	}
	percent, bps := new(uint8(100)), (*uint16)(nil)
	if query.Get("instructionVersion") == "V2" {
		percent, bps = nil, new(uint16(oneInBps))
		out.InstructionVersion = new("V2")
	}
	for _, l := range best {
		step := routeStep{Percent: percent, Bps: bps}
		step.SwapInfo.SwapInfo = jupiter.SwapInfo{
			AmmKey: l.pool.Info().Address.String(), Label: l.pool.Info().Label,
			InputMint: l.mint(true).String(), OutputMint: l.mint(false).String(), InAmount: l.quote.In, OutAmount: l.quote.Out,
		}
		step.SwapInfo.UpdateContextSlot = s.Slot
		out.RoutePlan = append(out.RoutePlan, step)
	}
	out.SwapUsdValue = h.worth(s, req.InputMint, out.InAmount)
	out.TimeTaken = time.Since(began).Seconds()
	return out, nil
}

// best is the route with the greatest output, or for ExactOut the least input; nil if there is none.
func (h *Handler) best(s *market.Snapshot, req jupiter.QuoteRequest, amount uint64) route {
	var best route
	consider := func(r route, ok bool) {
		if !ok || r.accounts() > req.MaxAccounts {
			return
		}
		if best == nil || req.ExactOut && r.in() < best.in() || !req.ExactOut && r.out() > best.out() {
			best = r
		}
	}
	clock := s.Clock()
	for _, first := range s.Pools {
		if !allowed(req, first.Info().Label) {
			continue
		}
		middle, ok := across(first, req.InputMint)
		if !ok {
			continue
		}
		if middle == req.OutputMint {
			consider(walk(clock, req, amount, first))
			continue
		}
		if req.OnlyDirectRoutes || req.RestrictIntermediateTokens && !h.market.Token(middle).Intermediate {
			continue
		}
		for _, second := range s.Pools {
			if end, ok := across(second, middle); ok && end == req.OutputMint && allowed(req, second.Info().Label) {
				consider(walk(clock, req, amount, first, second))
			}
		}
	}
	return best
}

func allowed(req jupiter.QuoteRequest, label string) bool {
	return (len(req.Dexes) == 0 || slices.Contains(req.Dexes, label)) && !slices.Contains(req.ExcludeDexes, label)
}

// across is the pool's other mint.
func across(pool amm.Pool, mint solana.PublicKey) (solana.PublicKey, bool) {
	switch mints := pool.Info().Mints; mint {
	case mints[0]:
		return mints[1], true
	case mints[1]:
		return mints[0], true
	}
	return solana.PublicKey{}, false
}

// walk quotes the pools one after the other: from the input on, or for ExactOut from the output back.
func walk(clock amm.Clock, req jupiter.QuoteRequest, amount uint64, pools ...amm.Pool) (route, bool) {
	r := make(route, len(pools))
	mint := req.InputMint
	for i, pool := range pools {
		r[i] = leg{pool: pool}
		r[i].quote.AToB = pool.Info().Mints[0] == mint
		mint, _ = across(pool, mint)
	}
	for i := range r {
		if req.ExactOut {
			i = len(r) - 1 - i
		}
		quote, err := r[i].pool.Quote(clock, amm.Request{AToB: r[i].quote.AToB, ExactOut: req.ExactOut, Amount: amount})
		if err != nil {
			return nil, false
		}
		r[i].quote = quote
		if amount = quote.Out; req.ExactOut {
			amount = quote.In
		}
	}
	return r, true
}

func (r route) accounts() (sum uint64) {
	for _, l := range r {
		sum += uint64(l.pool.SwapAccounts(l.quote))
	}
	return sum
}

// impact is how much worse the route's price is than for an infinitely small trade, pool fees left out: a decimal ratio.
func (r route) impact() string {
	kept := 1.0
	for _, l := range r {
		kept *= float64(l.quote.Out) / (float64(l.quote.In-l.quote.FeeIn) * l.pool.SpotPrice(l.quote.AToB))
	}
	if kept >= 1 || math.IsNaN(kept) {
		return "0"
	}
	return strconv.FormatFloat(1-kept, 'f', -1, 64)
}

// worth is what amount is worth in US dollars.
func (h *Handler) worth(s *market.Snapshot, mint solana.PublicKey, amount uint64) string {
	price, _ := s.Price(mint)
	return strconv.FormatFloat(float64(amount)/math.Pow10(int(h.market.Token(mint).Decimals))*price.USD, 'f', -1, 64)
}

// atLeast is the least output that slippage allows: ceil(amount * (10000 - bps) / 10000).
func atLeast(amount uint64, bps uint16) uint64 { return ceilShare(amount, oneInBps-uint64(bps)) }

// atMost is the greatest input that slippage allows: ceil(amount * (10000 + bps) / 10000), or all there is.
func atMost(amount uint64, bps uint16) uint64 { return ceilShare(amount, oneInBps+uint64(bps)) }

func ceilShare(amount, bps uint64) uint64 {
	hi, lo := bits.Mul64(amount, bps)
	lo, carry := bits.Add64(lo, oneInBps-1, 0)
	if hi += carry; hi >= oneInBps {
		return math.MaxUint64
	}
	q, _ := bits.Div64(hi, lo, oneInBps)
	return q
}

// shareOf is floor(amount * bps / 10000).
func shareOf(amount uint64, bps uint16) uint64 {
	hi, lo := bits.Mul64(amount, uint64(bps))
	q, _ := bits.Div64(hi, lo, oneInBps)
	return q
}

// grossOf is the least amount that still is net after a fee of bps.
func grossOf(net uint64, bps uint16) (uint64, error) {
	if bps >= oneInBps {
		return 0, jupiter.Errorf(http.StatusBadRequest, jupiter.CodeInvalidRequest, "platformFeeBps %d leaves nothing of an ExactOut amount", bps)
	}
	// net = gross - floor(gross*bps/10000) = ceil(gross*(10000-bps)/10000): the least such gross is floor((net-1)*10000/(10000-bps)) + 1.
	gross := new(big.Int).SetUint64(net - 1)
	gross.Mul(gross, big.NewInt(oneInBps))
	gross.Div(gross, big.NewInt(oneInBps-int64(bps)))
	gross.Add(gross, big.NewInt(1))
	if !gross.IsUint64() {
		return 0, jupiter.Errorf(http.StatusBadRequest, jupiter.CodeNoRoutesFound, "No routes found")
	}
	return gross.Uint64(), nil
}
