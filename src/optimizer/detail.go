package optimizer

import (
	"bytes"
	"cmp"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/jupiter"
)

// detailedQuote is the answer of GET /v1/quote: the quote, and how good it is.
type detailedQuote struct {
	Quote *jupiter.Quote `json:"quote"`
	// StateHash names the state of the pools at the quote's contextSlot: the same state gives the same quote.
	StateHash string `json:"stateHash"`
	Routes    int    `json:"routes"`
	Accounts  int    `json:"accounts"`
	// LegCost is what each leg was reckoned to cost for fees, in units of the output, or for ExactOut of the input.
	LegCost string `json:"legCost"`
	// PriceGuard compares the quote with the price-oracle's prices.
	PriceGuard *verdict `json:"priceGuard,omitempty"`
	// Bound is null where none could be established.
	Bound *qualityBound `json:"bound"`
}

// qualityBound says what no routing of the request over its pools and hops can better, however many routes and accounts it has.
type qualityBound struct {
	// Side is what Amount bounds, before a platform fee: "output" from above, or for ExactOut "input" from below.
	Side   string  `json:"side"`
	Amount string  `json:"amount"`
	GapBps float64 `json:"gapBps"`
	// Seconds is how long it took to establish; quotes do not wait for that.
	Seconds float64 `json:"seconds"`
}

func (s *service) serveDetailedQuote(w http.ResponseWriter, r *http.Request) {
	answer, err := s.detailedQuote(r.URL.Query())
	if err != nil {
		s.writeError(w, r, err)
		return
	}
	jupiter.WriteJSON(w, http.StatusOK, answer)
}

func (s *service) detailedQuote(query url.Values) (*detailedQuote, error) {
	start := time.Now()
	q, err := s.guardedQuote(query, false)
	if err != nil {
		return nil, err
	}
	q.answer.TimeTaken = time.Since(start).Seconds()
	answer := &detailedQuote{Quote: q.answer, StateHash: q.state.hash(), Routes: q.plan.Routes, Accounts: q.plan.Accounts, PriceGuard: q.guard, LegCost: strconv.FormatUint(q.request.LegCost, 10)}
	start = time.Now()
	if bound, err := q.state.graph.Bound(q.request, q.hops, q.plan); err == nil {
		b := &qualityBound{Side: "output", Amount: strconv.FormatFloat(math.Floor(bound), 'f', 0, 64), GapBps: (1 - float64(q.plan.Out)/bound) * bps}
		if q.request.ExactOut {
			b.Side, b.Amount, b.GapBps = "input", strconv.FormatFloat(math.Ceil(bound), 'f', 0, 64), (float64(q.plan.In)/bound-1)*bps
		}
		if b.GapBps = max(0, b.GapBps); !math.IsInf(b.GapBps, 0) {
			b.Seconds = time.Since(start).Seconds()
			answer.Bound = b
			s.metrics.gap.Observe(b.GapBps)
		}
	}
	return answer, nil
}

// token is one mint in GET /v1/tokens.
type token struct {
	Mint     solana.PublicKey `json:"mint"`
	Decimals uint8            `json:"decimals"`
	// Pools is how many pools that can be quoted now trade it.
	Pools int `json:"pools"`
}

func (s *service) serveTokens(w http.ResponseWriter, r *http.Request) {
	st, err := s.current()
	if err != nil {
		s.writeError(w, r, err)
		return
	}
	byMint := map[solana.PublicKey]*token{}
	for _, pool := range st.Pools {
		if pool == nil {
			continue
		}
		info := pool.Info()
		for side, mint := range info.Mints {
			if byMint[mint] == nil {
				byMint[mint] = &token{Mint: mint, Decimals: info.Decimals[side]}
			}
			byMint[mint].Pools++
		}
	}
	tokens := slices.AppendSeq([]*token{}, maps.Values(byMint)) // no tokens are [], not null
	slices.SortFunc(tokens, func(a, b *token) int {
		return cmp.Or(cmp.Compare(b.Pools, a.Pools), bytes.Compare(a.Mint[:], b.Mint[:]))
	})
	jupiter.WriteJSON(w, http.StatusOK, tokens)
}

// poolStatus is one configured pool in GET /v1/pools.
type poolStatus struct {
	Address string             `json:"address"`
	Label   string             `json:"label,omitempty"`
	Mints   []solana.PublicKey `json:"mints,omitempty"`
	Usable  bool               `json:"usable"`
	Slot    uint64             `json:"slot,omitempty"`
	// Reason and Detail say why a pool is not usable.
	Reason string `json:"reason,omitempty"`
	Detail string `json:"detail,omitempty"`
}

func (s *service) servePools(w http.ResponseWriter, _ *http.Request) {
	pools := []poolStatus{}
	for _, p := range s.statuses() {
		status := poolStatus{Address: p.Address.String(), Usable: p.Pool != nil, Slot: p.Slot, Reason: p.Reason}
		if p.Pool != nil {
			status.Label = p.Pool.Info().Label
		}
		if !p.Mints[0].IsZero() {
			status.Mints = p.Mints[:]
		}
		if p.Err != nil {
			status.Detail = p.Err.Error()
		}
		pools = append(pools, status)
	}
	jupiter.WriteJSON(w, http.StatusOK, pools)
}
