package oracle

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/oracle/pyth"
)

const (
	// pythMaxAge is twice the heartbeat of Pyth's sponsored feeds.
	pythMaxAge = 2 * time.Minute
	// pythMaxConfidence is the ratio of a price within which Pyth must be sure of it.
	pythMaxConfidence = 0.02
	// maxAhead is how far a publisher's clock may be ahead of ours.
	maxAhead = 30 * time.Second
)

// feed is the account that has the price of a token.
type feed struct {
	account solana.PublicKey
	// id is the feed that the account must be of; nil does not check. The accounts of the push oracle have none.
	id *[32]byte
}

// parseFeeds reads items of the form MINT=ACCOUNT or MINT=ACCOUNT:FEEDID, the feed id in hexadecimal.
func parseFeeds(items []string) (map[string]feed, error) {
	feeds := make(map[string]feed, len(items))
	for _, item := range items {
		mint, rest, _ := strings.Cut(item, "=")
		account, id, hasID := strings.Cut(rest, ":")
		key, err := solana.PublicKeyFromBase58(account)
		if _, mintErr := solana.PublicKeyFromBase58(mint); err != nil || mintErr != nil {
			return nil, fmt.Errorf("PRICE_PYTH_FEEDS: %q is not MINT=ACCOUNT or MINT=ACCOUNT:FEEDID", item)
		}
		f := feed{account: key}
		if hasID {
			raw, err := hex.DecodeString(strings.TrimPrefix(id, "0x"))
			if err != nil || len(raw) != 32 {
				return nil, fmt.Errorf("PRICE_PYTH_FEEDS: the feed id %q is not 32 bytes in hexadecimal", id)
			}
			f.id = (*[32]byte)(raw)
		}
		feeds[mint] = f
	}
	return feeds, nil
}

// pythSource reads the price accounts that Pyth's publishers keep on chain.
type pythSource struct {
	feeds    map[string]feed
	programs []solana.PublicKey
	accounts accountReader
	metrics  *metrics
	now      func() time.Time
}

func (*pythSource) name() string { return "pyth" }

func (s *pythSource) observe(ctx context.Context, mints []string) (map[string]observation, error) {
	observed := map[string]observation{}
	var asked []string
	var keys []solana.PublicKey
	for _, mint := range mints {
		if f, ok := s.feeds[mint]; ok {
			asked, keys = append(asked, mint), append(keys, f.account)
		}
	}
	accounts, err := readAccounts(ctx, s.accounts, keys)
	s.metrics.call(s.name(), err)
	if err != nil {
		for _, mint := range asked {
			observed[mint] = observation{Reason: err.Error()}
		}
		return observed, err
	}
	for i, mint := range asked {
		observed[mint] = s.read(s.feeds[mint], accounts[i])
	}
	return observed, nil
}

// read judges one account.
func (s *pythSource) read(f feed, a *amm.Account) observation {
	refuse := func(format string, args ...any) observation {
		return observation{Reason: fmt.Sprintf("account "+f.account.String()+": "+format, args...)}
	}
	if a == nil {
		return refuse("does not exist")
	}
	if !slices.Contains(s.programs, a.Owner) {
		return refuse("belongs to %s, none of PRICE_PYTH_PROGRAMS", a.Owner)
	}
	p, err := pyth.Decode(a.Data)
	if err != nil {
		return refuse("%v", err)
	}
	if f.id != nil && p.FeedID != *f.id {
		return refuse("has the price of feed %x", p.FeedID)
	}
	switch age := s.now().Sub(p.PublishTime); {
	case age > pythMaxAge:
		return refuse("published %v ago, at most %v is current", age.Round(time.Second), pythMaxAge)
	case age < -maxAhead:
		return refuse("published %v from now: a clock is wrong", -age.Round(time.Second))
	}
	price, err := parsePrice(json.Number(p.Decimal()))
	if err != nil {
		return refuse("%v", err)
	}
	confidence, err := json.Number(p.ConfDecimal()).Float64()
	if err != nil || confidence > pythMaxConfidence*price {
		return refuse("the publishers are only sure to %.2f %%, %.2f %% is needed", 100*confidence/price, 100*pythMaxConfidence)
	}
	return observation{Price: json.Number(p.Decimal()), Confidence: confidence, Weight: 1, At: p.PublishTime, Slot: p.Slot}
}
