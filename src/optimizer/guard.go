package optimizer

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/jupiter"
)

const (
	// guardInterval is how often new mints are asked for, guardRefresh how often those in use, guardIdle how long one counts as that.
	guardInterval = time.Second
	guardRefresh  = 10 * time.Second
	guardIdle     = 10 * time.Minute
	// guardTimeout bounds one question; a price from before guardStale is none.
	guardTimeout = 3 * time.Second
	guardStale   = time.Minute
	// guardMints bounds what is remembered.
	guardMints = 10_000
	// codePriceDeviates is the code of answers that are refused for their price.
	codePriceDeviates = "PRICE_DEVIATES"
	// guardHeader says what the guard found of a quote.
	guardHeader = "X-Price-Guard"
	// guardOff in a request is the price-oracle's: were it refused what the pools say, because that is not what it last heard, its price
	// would never follow. The gateway passes no such field on.
	guardOff = "off"
)

// GuardConfig says what to do about quotes far from the price-oracle's price.
type GuardConfig struct {
	// PriceOracleURL is the price-oracle's, or of any server of Jupiter's price API v3. Empty: no guard.
	PriceOracleURL string `env:"PRICE_ORACLE_URL"`
	// PriceGuard is flag or refuse.
	PriceGuard string `env:"PRICE_GUARD" envDefault:"flag"`
	// PriceGuardBps is how far is far.
	PriceGuardBps float64 `env:"PRICE_GUARD_BPS" envDefault:"500"`
}

func (c GuardConfig) validate() []error {
	var errs []error
	if c.PriceOracleURL != "" {
		if _, err := jupiter.NewClient(c.PriceOracleURL, nil, nil); err != nil {
			errs = append(errs, fmt.Errorf("PRICE_ORACLE_URL: %w", err))
		}
	}
	if c.PriceGuard != "flag" && c.PriceGuard != "refuse" {
		errs = append(errs, fmt.Errorf("PRICE_GUARD: %q is neither flag nor refuse", c.PriceGuard))
	}
	if !(c.PriceGuardBps > 0 && c.PriceGuardBps <= bps) {
		errs = append(errs, fmt.Errorf("PRICE_GUARD_BPS: %v is not above 0 and at most %d", c.PriceGuardBps, bps))
	}
	return errs
}

func (c GuardConfig) guard(m *metrics) (*guard, error) {
	if c.PriceOracleURL == "" {
		return nil, nil
	}
	client, err := jupiter.NewClient(c.PriceOracleURL, nil, jupiter.NewTransport())
	if err != nil {
		return nil, fmt.Errorf("PRICE_ORACLE_URL: %w", err)
	}
	return &guard{prices: client, refuses: c.PriceGuard == "refuse", limit: c.PriceGuardBps, metrics: m, now: time.Now, known: map[solana.PublicKey]*guardPrice{}}, nil
}

// guard compares quotes with prices from elsewhere. It keeps prices of the mints in use, so that no quote waits for one; the first quote
// of a mint goes without.
type guard struct {
	prices interface {
		Prices(ctx context.Context, mints []string) (map[string]jupiter.Price, error)
	}
	refuses bool
	limit   float64 // bps
	metrics *metrics
	now     func() time.Time

	mu    sync.Mutex
	known map[solana.PublicKey]*guardPrice
}

type guardPrice struct {
	perUnit         float64 // US dollars per base unit, 0 if there is none
	asked, read, of time.Time
}

// verdict is what the guard thinks of a quote: "ok", "deviates" or, where a price is missing, "unknown".
type verdict struct {
	Status string `json:"status"`
	// DeviationBps is how much more than the input's the output is worth.
	DeviationBps float64 `json:"deviationBps"`
}

func (v verdict) String() string {
	if v.Status == "unknown" {
		return v.Status
	}
	return v.Status + " " + strconv.FormatFloat(v.DeviationBps, 'f', 1, 64)
}

// check judges a swap of in for out.
func (g *guard) check(input, output solana.PublicKey, in, out uint64) verdict {
	v := verdict{Status: "unknown"}
	if a, b := g.price(input), g.price(output); a > 0 && b > 0 && in > 0 {
		v.DeviationBps = (float64(out)*b/(float64(in)*a) - 1) * bps
		if v.Status = "ok"; !(math.Abs(v.DeviationBps) <= g.limit) {
			v.Status = "deviates"
		}
	}
	g.metrics.guard.WithLabelValues(v.Status).Inc()
	return v
}

// price is what is known of a mint, which from now on is in use.
func (g *guard) price(mint solana.PublicKey) float64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	p, ok := g.known[mint]
	if !ok {
		if len(g.known) >= guardMints {
			return 0
		}
		p = &guardPrice{}
		g.known[mint] = p
	}
	p.asked = g.now()
	if p.asked.Sub(p.of) > guardStale {
		return 0
	}
	return p.perUnit
}

// run keeps prices until ctx ends.
func (g *guard) run(ctx context.Context) error {
	ticker := time.NewTicker(guardInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
			g.refresh(ctx)
		}
	}
}

// refresh asks for the prices that are due. A price that does not come grows old.
func (g *guard) refresh(ctx context.Context) {
	due := g.due()
	for len(due) > 0 {
		part := due[:min(len(due), jupiter.MaxPriceIDs)]
		due = due[len(part):]
		if err := g.ask(ctx, part); err != nil {
			return // the metric says unknown
		}
	}
}

// ask keeps the prices of mints, but for those that the price-oracle calls stale: it is found out which they are.
func (g *guard) ask(ctx context.Context, mints []string) error {
	timed, cancel := context.WithTimeout(ctx, guardTimeout)
	prices, err := g.prices.Prices(timed, mints)
	cancel()
	switch half := len(mints) / 2; {
	case errors.Is(err, jupiter.ErrStalePrices) && half > 0:
		return errors.Join(g.ask(ctx, mints[:half]), g.ask(ctx, mints[half:]))
	case errors.Is(err, jupiter.ErrStalePrices):
		return nil
	case err != nil:
		return err
	}
	g.keep(prices)
	return nil
}

func (g *guard) due() (mints []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	for mint, p := range g.known {
		switch {
		case now.Sub(p.asked) > guardIdle:
			delete(g.known, mint)
		case now.Sub(p.read) >= guardRefresh:
			p.read = now
			mints = append(mints, mint.String())
		}
	}
	return mints
}

func (g *guard) keep(prices map[string]jupiter.Price) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for text, price := range prices {
		mint, err := solana.PublicKeyFromBase58(text)
		usd, err2 := price.USDPrice.Float64()
		if p := g.known[mint]; errors.Join(err, err2) == nil && p != nil {
			p.perUnit, p.of = usd/math.Pow10(int(price.Decimals)), g.now()
		}
	}
}

// guardedQuote is quote, judged, and refused if that shall be.
func (s *service) guardedQuote(query url.Values, haste bool) (*quoted, error) {
	q, err := s.quote(query, haste)
	if err != nil || s.guard == nil {
		return q, err
	}
	v := s.guard.check(q.request.Input, q.request.Output, q.plan.In, q.plan.Out)
	if q.guard = &v; v.Status == "deviates" && s.guard.refuses {
		return nil, jupiter.Errorf(http.StatusBadRequest, codePriceDeviates,
			"the best route's price is %.0f bps from the price oracle's, and more than %.0f bps are refused", v.DeviationBps, s.guard.limit)
	}
	return q, nil
}
