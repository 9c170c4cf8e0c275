package oracle

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/jupiter"
	"jupiter-dex-integration/src/platform"
)

// newAPI answers from the book.
func newAPI(b *book) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /price/v3", platform.Route("price", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		servePrices(w, r, b.snapshot())
	})))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		jupiter.WriteError(w, jupiter.Errorf(http.StatusNotFound, jupiter.CodeNotFound, "There is no %s %s here", r.Method, r.URL.Path))
	})
	return mux
}

// servePrices answers GET /price/v3 as Jupiter does: an object with one entry per mint that has a price.
func servePrices(w http.ResponseWriter, r *http.Request, entries map[string]entry) {
	ids, err := parseIDs(r.URL.RawQuery, entries)
	if err != nil {
		jupiter.WriteError(w, err)
		return
	}
	body := make([]byte, 1, 64+256*len(ids))
	body[0] = '{'
	for _, id := range ids {
		e, ok := entries[id]
		if !ok {
			continue
		}
		if len(body) > 1 {
			body = append(body, ',')
		}
		body = append(body, '"')
		body = append(body, id...)
		body = append(body, `":`...)
		body = append(body, e.v3...)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(append(body, '}'))
}

// parseIDs reads ids, comma-separated or repeated, without duplicates. Only what is not a known mint has to be decoded.
func parseIDs(rawQuery string, known map[string]entry) ([]string, error) {
	query, err := url.ParseQuery(rawQuery)
	if err != nil {
		return nil, jupiter.Errorf(http.StatusBadRequest, jupiter.CodeInvalidRequest, "The query cannot be parsed: %v", err)
	}
	var ids []string
	seen := make(map[string]bool, jupiter.MaxPriceIDs)
	for _, value := range query["ids"] {
		for id := range strings.SplitSeq(value, ",") {
			id = strings.TrimSpace(id)
			if id == "" || seen[id] {
				continue
			}
			if _, ok := known[id]; !ok {
				if _, err := solana.PublicKeyFromBase58(id); err != nil {
					return nil, jupiter.Errorf(http.StatusBadRequest, jupiter.CodeInvalidRequest, "Query parameter ids: %.64q is not a base58 public key of 32 bytes", id)
				}
			}
			if len(ids) == jupiter.MaxPriceIDs {
				return nil, jupiter.Errorf(http.StatusBadRequest, jupiter.CodeInvalidRequest, "Query parameter ids has more than %d mints", jupiter.MaxPriceIDs)
			}
			seen[id] = true
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return nil, jupiter.Errorf(http.StatusBadRequest, jupiter.CodeInvalidRequest, "Query parameter ids is missing: list up to %d mints, separated by commas", jupiter.MaxPriceIDs)
	}
	return ids, nil
}
