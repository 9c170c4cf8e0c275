package chain

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/gagliardetto/solana-go"
)

// ParsePools reads a list of pool addresses.
func ParsePools(list []string) ([]solana.PublicKey, error) {
	pools := make([]solana.PublicKey, 0, len(list))
	seen := make(map[solana.PublicKey]bool, len(list))
	for _, text := range list {
		key, err := solana.PublicKeyFromBase58(text)
		if err != nil {
			return nil, fmt.Errorf("%q is not a pool address: base58 of 32 bytes is wanted", text)
		}
		if !seen[key] {
			seen[key] = true
			pools = append(pools, key)
		}
	}
	return pools, nil
}

// ReadMarketFile reads pool addresses from a JSON file: an array whose elements are addresses, or objects with a "pubkey" as in
// Jupiter's market cache. Other fields are ignored: what a pool is, its accounts tell.
func ReadMarketFile(path string) ([]solana.PublicKey, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var entries []marketEntry
	if err := json.Unmarshal(data, &entries); err != nil {
		return nil, fmt.Errorf("%s: a JSON array of pool addresses, or of objects with a pubkey, is wanted: %w", path, err)
	}
	list := make([]string, len(entries))
	for i, e := range entries {
		list[i] = e.Pubkey
	}
	pools, err := ParsePools(list)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(pools) == 0 {
		return nil, fmt.Errorf("%s: %w", path, errors.New("no pools"))
	}
	return pools, nil
}

type marketEntry struct{ Pubkey string }

func (e *marketEntry) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		return json.Unmarshal(data, &e.Pubkey)
	}
	type object marketEntry
	return json.Unmarshal(data, (*object)(e))
}
