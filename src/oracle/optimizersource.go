package oracle

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"jupiter-dex-integration/src/jupiter"
	"jupiter-dex-integration/src/oracle/aggregate"
)

const (
	quoteTimeout     = 3 * time.Second
	concurrentQuotes = 8
	// quoteFailures is after how many failed calls an update gives up on the route-optimizer.
	quoteFailures = 3
	maxQuoteBytes = 1 << 20
	// maxQuotePlaces keeps the largest amount within 64 bits.
	maxQuotePlaces = 12
)

// quoter answers quotes as Jupiter does.
type quoter interface {
	NewRequest(ctx context.Context, method, path, rawQuery string, body io.Reader) (*http.Request, error)
	Do(req *http.Request) (*http.Response, error)
}

// optimizerSource measures what tokens can be traded for: it asks the route-optimizer to buy for an amount of dollars and to
// sell again what that bought, at several sizes.
type optimizerSource struct {
	client quoter
	// quoteMint is the stable coin that is traded against, sizes the amounts in US dollars.
	quoteMint string
	sizes     []float64
	book      *book
	rules     rules
	decimals  *decimals
	metrics   *metrics
	now       func() time.Time
}

func (*optimizerSource) name() string { return "optimizer" }

func (s *optimizerSource) observe(ctx context.Context, mints []string) (map[string]observation, error) {
	observed := make(map[string]observation, len(mints))
	refuseAll := func(reason string) map[string]observation {
		for _, mint := range mints {
			observed[mint] = observation{Reason: reason}
		}
		return observed
	}
	unit, err := s.quoteTokenUSD()
	if err != nil {
		return refuseAll(err.Error()), nil
	}
	places, err := s.decimals.of(ctx, append([]string{s.quoteMint}, mints...))
	quotePlaces, ok := places[s.quoteMint]
	if !ok || quotePlaces > maxQuotePlaces {
		return refuseAll("the decimals of the quote token are not known, or too many"), err
	}
	var (
		mu     sync.Mutex
		errs   = []error{err}
		failed atomic.Int64
		group  errgroup.Group
	)
	group.SetLimit(concurrentQuotes)
	if slices.Contains(mints, s.quoteMint) {
		observed[s.quoteMint] = observation{Reason: "it is the token that prices are measured in"}
	}
	for _, mint := range mints {
		if mint == s.quoteMint {
			continue
		}
		group.Go(func() error {
			o, err := observation{Reason: "the route-optimizer did not answer for other tokens"}, error(nil)
			if d, known := places[mint]; !known {
				o.Reason = "the token's decimals are not known"
			} else if failed.Load() < quoteFailures {
				if o, err = s.measure(ctx, mint, d, quotePlaces, unit); err != nil {
					failed.Add(1)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			observed[mint] = o
			if err != nil {
				errs = append(errs, err)
			}
			return nil
		})
	}
	group.Wait() // errors are in errs
	return observed, errors.Join(errs...)
}

// quoteTokenUSD is what the quote token is worth in US dollars.
func (s *optimizerSource) quoteTokenUSD() (float64, error) {
	target := s.rules.pegs[s.quoteMint]
	if e := s.book.snapshot()[s.quoteMint]; e.Price != "" && s.rules.ages.state(e.record, s.now()) != stale {
		usd := e.Track.Price
		if target > 0 && aggregate.CheckPeg(usd, target) == aggregate.PegBroken {
			return 0, errors.New("the quote token has lost its peg: nothing is converted through it")
		}
		return usd, nil
	}
	if target > 0 {
		return target, nil
	}
	return 0, errors.New("the price of the quote token is not known: list it in PRICE_TOKENS or PRICE_PEGS")
}

// measure buys and sells at each size. The price is the median of the middles, the confidence the half-spread there. An
// error means that the route-optimizer did not answer; a token that it cannot trade is an observation with the reason.
func (s *optimizerSource) measure(ctx context.Context, mint string, places, quotePlaces uint8, unit float64) (observation, error) {
	type level struct{ mid, half float64 }
	var levels []level
	var slot uint64
	var refusal error
	for _, size := range s.sizes {
		spent := uint64(math.Round(size / unit * math.Pow10(int(quotePlaces))))
		bought, err := s.quote(ctx, s.quoteMint, mint, spent)
		if err == nil {
			var back jupiter.Quote
			if back, err = s.quote(ctx, mint, s.quoteMint, bought.OutAmount); err == nil {
				tokens := float64(bought.OutAmount) / math.Pow10(int(places))
				dollar := unit / math.Pow10(int(quotePlaces))
				ask, bid := float64(spent)*dollar/tokens, float64(back.OutAmount)*dollar/tokens
				levels = append(levels, level{(ask + bid) / 2, math.Abs(ask-bid) / 2})
				slot = max(slot, back.ContextSlot)
			}
		}
		var answer *jupiter.Error
		if err != nil && (!errors.As(err, &answer) || answer.Status >= 500 || answer.Status == http.StatusTooManyRequests) {
			return observation{Reason: err.Error()}, err
		}
		if err != nil {
			refusal = fmt.Errorf("at %v dollars: %w", size, err)
		}
	}
	if len(levels) == 0 {
		return observation{Reason: refusal.Error()}, nil
	}
	slices.SortFunc(levels, func(a, b level) int { return cmp.Compare(a.mid, b.mid) })
	l := levels[(len(levels)-1)/2]
	return observation{Price: formatPrice(l.mid), Confidence: l.half, Weight: 1, At: s.now(), Slot: slot}, nil
}

// quote asks for one ExactIn quote. amount is in base units of the input mint.
func (s *optimizerSource) quote(ctx context.Context, input, output string, amount uint64) (q jupiter.Quote, err error) {
	ctx, cancel := context.WithTimeout(ctx, quoteTimeout)
	defer cancel()
	defer func() {
		var answer *jupiter.Error
		if err != nil && errors.As(err, &answer) && answer.Status < 500 && answer.Status != http.StatusTooManyRequests {
			s.metrics.call(s.name(), nil) // an answer, if not the one that was hoped for
		} else {
			s.metrics.call(s.name(), err)
		}
	}()
	query := url.Values{"inputMint": {input}, "outputMint": {output}, "amount": {strconv.FormatUint(amount, 10)}}
	req, err := s.client.NewRequest(ctx, http.MethodGet, "quote", query.Encode(), nil)
	if err != nil {
		return q, fmt.Errorf("asking for a quote: %w", err)
	}
	req.Header.Set("X-Price-Guard", "off") // what the pools say is wanted, the further from the last price the more
	resp, err := s.client.Do(req)
	if err != nil {
		return q, fmt.Errorf("asking for a quote: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxQuoteBytes))
	if err != nil {
		return q, fmt.Errorf("reading a quote: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return q, fmt.Errorf("asking for a quote: %w", jupiter.DecodeError(resp.StatusCode, body))
	}
	if err := json.Unmarshal(body, &q); err != nil {
		return q, fmt.Errorf("reading a quote: %w", err)
	}
	if q.OutAmount == 0 || q.InAmount != amount || q.InputMint != input || q.OutputMint != output {
		return q, errors.New("reading a quote: it is not the one that was asked for")
	}
	return q, nil
}
