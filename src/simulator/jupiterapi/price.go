package jupiterapi

import (
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/jupiter"
	"jupiter-dex-integration/src/simulator/market"
	"jupiter-dex-integration/src/simulator/svm"
)

// tokensCreated is the made-up birthday of all tokens; the API gives a token's, not a price's.
var tokensCreated = time.Date(2024, 3, 14, 9, 30, 0, 0, time.UTC)

// prices leaves out what it does not know, as Jupiter does.
func (h *Handler) prices(r *http.Request) (any, error) {
	ids := strings.Split(r.URL.Query().Get("ids"), ",")
	if len(ids) > jupiter.MaxPriceIDs {
		return nil, jupiter.Errorf(http.StatusBadRequest, "", "Too many ids: at most %d are allowed", jupiter.MaxPriceIDs)
	}
	s := h.market.At(market.Processed)
	out := make(map[string]jupiter.Price)
	for _, id := range ids {
		mint, err := solana.PublicKeyFromBase58(strings.TrimSpace(id))
		if err != nil {
			continue
		}
		t := h.market.Token(mint)
		price, ok := s.Price(mint)
		if t == nil || !ok {
			continue
		}
		change, liquidity := number(price.ChangePercent), number(h.liquidity(s, mint))
		out[mint.String()] = jupiter.Price{
			USDPrice: number(price.USD), BlockID: price.Slot, Decimals: t.Decimals,
			PriceChange24h: &change, Liquidity: &liquidity, CreatedAt: tokensCreated.Format("2006-01-02T15:04:05.000Z"),
		}
	}
	return out, nil
}

func number(v float64) json.Number { return json.Number(strconv.FormatFloat(v, 'f', -1, 64)) }

// liquidity is what lies in the token's pools, in US dollars, both sides together.
func (h *Handler) liquidity(s *market.Snapshot, mint solana.PublicKey) (sum float64) {
	for _, pool := range s.Pools {
		info := pool.Info()
		if !slices.Contains(info.Mints[:], mint) {
			continue
		}
		for side, vault := range info.Vaults {
			price, _ := s.Price(info.Mints[side])
			sum += float64(svm.Balance(s.Account(vault))) / math.Pow10(int(info.Decimals[side])) * price.USD
		}
	}
	return sum
}

// token is an item of tokens v2, as far as the market knows tokens.
type token struct {
	ID           string   `json:"id"`
	Name         string   `json:"name"`
	Symbol       string   `json:"symbol"`
	Decimals     uint8    `json:"decimals"`
	TokenProgram string   `json:"tokenProgram"`
	CreatedAt    string   `json:"createdAt"`
	TotalSupply  float64  `json:"totalSupply"`
	IsVerified   bool     `json:"isVerified"`
	Tags         []string `json:"tags"`
	USDPrice     float64  `json:"usdPrice"`
	PriceBlockID uint64   `json:"priceBlockId"`
	Liquidity    float64  `json:"liquidity"`
	UpdatedAt    string   `json:"updatedAt"`
}

const maxTokenQuery, maxTokenResults = 100, 20

// tokens searches by mints, or by symbol and name.
func (h *Handler) tokens(r *http.Request) (any, error) {
	query := strings.TrimSpace(r.URL.Query().Get("query"))
	if query == "" {
		return nil, jupiter.Errorf(http.StatusBadRequest, "", "Query parameter query is missing")
	}
	words := strings.Split(query, ",")
	if len(words) > maxTokenQuery {
		return nil, jupiter.Errorf(http.StatusBadRequest, "", "Too many mints: at most %d are allowed", maxTokenQuery)
	}
	s := h.market.At(market.Processed)
	found := []token{}
	for _, t := range h.market.Tokens() {
		named := strings.Contains(strings.ToLower(t.Symbol+" "+t.Name), strings.ToLower(query))
		if !named && !slices.Contains(words, t.Mint.String()) {
			continue
		}
		price, _ := s.Price(t.Mint)
		found = append(found, token{
			ID: t.Mint.String(), Name: t.Name, Symbol: t.Symbol, Decimals: t.Decimals, TokenProgram: t.Program.String(),
			CreatedAt:   tokensCreated.Format(time.RFC3339),
			TotalSupply: float64(svm.Supply(s.Account(t.Mint))) / math.Pow10(int(t.Decimals)),
			IsVerified:  slices.Contains(t.Tags, "verified"), Tags: t.Tags,
			USDPrice: price.USD, PriceBlockID: price.Slot, Liquidity: h.liquidity(s, t.Mint), UpdatedAt: s.Time.UTC().Format(time.RFC3339),
		})
	}
	return found[:min(len(found), maxTokenResults)], nil
}
