package gateway

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// Clients with typed models drop the fields of a quote that they do not know, and some they do: a null becomes nothing or 0.
// Jupiter does without, except in a step of Dynamic Swap, whose details /swap needs: such a quote is remembered, and what its
// client has left out is filled in on its way back. What the client does say stays as it is. Any other quote goes back byte
// for byte, stripped or not.

// dynamicSwap is the ammKey of such a step.
const dynamicSwap = "DynamicSwap11111111111111111111111111111112"

const (
	// originalLife is how long such a quote may be swapped: its blockhash would not live longer either.
	originalLife = time.Minute
	// maxOriginals bounds what one replica remembers by itself.
	maxOriginals = 4096
	// originalsPatience bounds what a swap waits for the quote that another replica gave.
	originalsPatience = 100 * time.Millisecond
	originalPrefix    = "gateway:quote:"
)

// originals are the quotes that clients may bring back stripped. Replicas share them through Redis.
type originals struct {
	redis redis.UniversalClient // nil: this replica's alone
	log   *slog.Logger
	fresh chan original // for Redis

	mu    sync.Mutex
	known map[string]original
	order []string // of known, the oldest first
}

type original struct {
	key   string
	quote []byte
	until time.Time
}

func newOriginals(client redis.UniversalClient, log *slog.Logger) *originals {
	return &originals{redis: client, log: log, fresh: make(chan original, 256), known: map[string]original{}}
}

// run gives Redis what is remembered, until ctx ends. No request waits for that.
func (o *originals) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case q := <-o.fresh:
			bounded, cancel := context.WithTimeout(ctx, time.Second)
			if err := o.redis.Set(bounded, originalPrefix+q.key, q.quote, originalLife).Err(); err != nil && ctx.Err() == nil {
				o.log.Debug("a quote of Dynamic Swap is known to this replica alone", "error", err)
			}
			cancel()
		}
	}
}

// remember keeps a quote that may be needed whole.
func (o *originals) remember(quote []byte, now time.Time) {
	if !bytes.Contains(quote, []byte(dynamicSwap)) {
		return
	}
	q, ok := parseRoute(quote)
	if !ok {
		return
	}
	item := original{q.key(), quote, now.Add(originalLife)}
	o.mu.Lock()
	if _, ok := o.known[item.key]; !ok {
		if len(o.order) == maxOriginals {
			delete(o.known, o.order[0])
			o.order = slices.Delete(o.order, 0, 1)
		}
		o.order = append(o.order, item.key)
	}
	o.known[item.key] = item
	o.mu.Unlock()
	if o.redis != nil {
		select {
		case o.fresh <- item:
		default: // Redis is slow; a swap that comes to this replica does without it
		}
	}
}

// restore fills in what a swap's client has left out of its quote, if it has to be there and is known.
func (o *originals) restore(ctx context.Context, swap []byte, now time.Time) []byte {
	if !bytes.Contains(swap, []byte(dynamicSwap)) {
		return swap
	}
	var top object
	if json.Unmarshal(swap, &top) != nil {
		return swap
	}
	q, ok := parseRoute(top["quoteResponse"])
	if !ok || !q.lacksDetails() {
		return swap
	}
	whole := o.find(ctx, q.key(), now)
	if whole == nil {
		return swap
	}
	top["quoteResponse"] = fill(top["quoteResponse"], whole)
	restored, err := json.Marshal(top)
	if err != nil {
		return swap
	}
	return restored
}

func (o *originals) find(ctx context.Context, key string, now time.Time) []byte {
	o.mu.Lock()
	item := o.known[key]
	o.mu.Unlock()
	if now.Before(item.until) {
		return item.quote
	}
	if o.redis == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, originalsPatience)
	defer cancel()
	quote, err := o.redis.Get(ctx, originalPrefix+key).Bytes()
	if err != nil {
		return nil
	}
	return quote
}

// quotedRoute is what every client keeps of a quote, and the details.
type quotedRoute struct {
	InAmount  string `json:"inAmount"`
	RoutePlan []struct {
		SwapInfo struct {
			AMMKey     string          `json:"ammKey"`
			InputMint  string          `json:"inputMint"`
			OutputMint string          `json:"outputMint"`
			InAmount   string          `json:"inAmount"`
			OutAmount  string          `json:"outAmount"`
			Details    json.RawMessage `json:"details"`
		} `json:"swapInfo"`
	} `json:"routePlan"`
}

func parseRoute(quote []byte) (r quotedRoute, ok bool) {
	return r, json.Unmarshal(quote, &r) == nil && len(r.RoutePlan) > 0
}

// key is the same for a quote and for what a client makes of it. The slippage is not in it: clients may change that.
func (r quotedRoute) key() string {
	words := []string{r.InAmount}
	for _, step := range r.RoutePlan {
		s := step.SwapInfo
		words = append(words, s.AMMKey, s.InputMint, s.OutputMint, s.InAmount, s.OutAmount)
	}
	sum := sha256.Sum256([]byte(strings.Join(words, "\n")))
	return hex.EncodeToString(sum[:16])
}

func (r quotedRoute) lacksDetails() bool {
	for _, step := range r.RoutePlan {
		if step.SwapInfo.AMMKey == dynamicSwap && isNull(step.SwapInfo.Details) {
			return true
		}
	}
	return false
}

// fill adds to a JSON value what it lacks of the whole: fields of objects, at any depth, and nulls that became 0.
func fill(part, whole json.RawMessage) json.RawMessage {
	if isNull(part) || string(part) == "0" && string(whole) == "null" {
		return whole
	}
	var partObject, wholeObject object
	var partList, wholeList []json.RawMessage
	filled := part
	if json.Unmarshal(part, &partObject) == nil && json.Unmarshal(whole, &wholeObject) == nil {
		for name, value := range wholeObject {
			partObject[name] = fill(partObject[name], value)
		}
		filled, _ = json.Marshal(partObject) // its values were JSON a moment ago
	} else if json.Unmarshal(part, &partList) == nil && json.Unmarshal(whole, &wholeList) == nil && len(partList) == len(wholeList) {
		for i := range partList {
			partList[i] = fill(partList[i], wholeList[i])
		}
		filled, _ = json.Marshal(partList)
	}
	return filled
}
