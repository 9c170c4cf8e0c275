package jupiter

import (
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/gagliardetto/solana-go"
)

// DefaultSlippageBps is what Jupiter applies to a quote request that says nothing.
const DefaultSlippageBps = 50

// QuoteRequest is the query of GET /quote, parsed and checked.
type QuoteRequest struct {
	InputMint, OutputMint solana.PublicKey
	// Amount is in base units: of the input for ExactIn, of the output for ExactOut.
	Amount   uint64
	ExactOut bool
	// SlippageBps is nil where the request says nothing.
	SlippageBps                *uint16
	Dexes, ExcludeDexes        []string
	OnlyDirectRoutes           bool
	RestrictIntermediateTokens bool
	PlatformFeeBps             uint16
	// MaxAccounts limits the accounts of the swap; 64 is what a transaction can lock.
	MaxAccounts uint64
}

// ParseQuoteRequest reads and checks the query of GET /quote. The error is an *Error with status 400 that names the
// parameter. Unknown parameters are ignored: clients send many that Jupiter does not document.
func ParseQuoteRequest(q url.Values) (QuoteRequest, error) {
	p := parser{query: q}
	r := QuoteRequest{
		InputMint:                  p.mint("inputMint"),
		OutputMint:                 p.mint("outputMint"),
		Amount:                     p.amount(),
		Dexes:                      p.list("dexes"),
		ExcludeDexes:               append(p.list("excludeDexes"), p.list("excludedDexes")...),
		OnlyDirectRoutes:           p.bool("onlyDirectRoutes", false),
		RestrictIntermediateTokens: p.bool("restrictIntermediateTokens", true),
		PlatformFeeBps:             uint16(p.uint("platformFeeBps", 0, 10000)),
		MaxAccounts:                p.uint("maxAccounts", 64, math.MaxUint64),
	}
	switch mode := q.Get("swapMode"); mode {
	case "", ExactIn:
	case ExactOut:
		r.ExactOut = true
	default:
		p.failf("Query parameter swapMode must be %s or %s, not %q", ExactIn, ExactOut, mode)
	}
	if q.Get("slippageBps") != "" {
		bps := uint16(p.uint("slippageBps", 0, 10000))
		r.SlippageBps = &bps
	}
	if p.err == nil && len(r.Dexes) > 0 && len(r.ExcludeDexes) > 0 {
		p.err = Errorf(http.StatusBadRequest, "", "Cannot set dexes and exclude dexes at the same time")
	}
	if p.err == nil && r.InputMint == r.OutputMint {
		p.err = Errorf(http.StatusBadRequest, CodeCircularArbitrage, "inputMint and outputMint are the same: circular arbitrage is disabled")
	}
	if p.err != nil {
		return QuoteRequest{}, p.err
	}
	return r, nil
}

// parser keeps the first error, so that the fields read in a row.
type parser struct {
	query url.Values
	err   error
}

func (p *parser) failf(format string, args ...any) {
	if p.err == nil {
		p.err = Errorf(http.StatusBadRequest, CodeInvalidRequest, format, args...)
	}
}

func (p *parser) mint(name string) solana.PublicKey {
	text := p.query.Get(name)
	if text == "" {
		p.failf("Query parameter %s is missing", name)
		return solana.PublicKey{}
	}
	key, err := solana.PublicKeyFromBase58(text)
	if err != nil {
		p.failf("Query parameter %s is not a base58 public key of 32 bytes", name)
	}
	return key
}

func (p *parser) amount() uint64 {
	text := p.query.Get("amount")
	if text == "" {
		p.failf("Query parameter amount is missing")
		return 0
	}
	amount, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		p.failf("Query parameter amount cannot be parsed: an integer from 1 to %d in base units is wanted", uint64(math.MaxUint64))
	} else if amount == 0 {
		p.failf("Query parameter amount must be greater than 0")
	}
	return amount
}

func (p *parser) uint(name string, unset, most uint64) uint64 {
	text := p.query.Get(name)
	if text == "" {
		return unset
	}
	v, err := strconv.ParseUint(text, 10, 64)
	if err != nil || v > most {
		p.failf("Query parameter %s must be an integer from 0 to %d", name, most)
	}
	return v
}

func (p *parser) bool(name string, unset bool) bool {
	switch p.query.Get(name) {
	case "":
		return unset
	case "true":
		return true
	case "false":
		return false
	}
	p.failf("Query parameter %s must be true or false", name)
	return unset
}

// list accepts what clients send: repeated parameters, comma-separated ones, and both.
func (p *parser) list(name string) []string {
	var items []string
	for _, value := range p.query[name] {
		for item := range strings.SplitSeq(value, ",") {
			if item = strings.TrimSpace(item); item != "" {
				items = append(items, item)
			}
		}
	}
	return items
}
