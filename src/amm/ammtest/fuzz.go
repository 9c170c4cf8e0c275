package ammtest

import (
	"bytes"
	"slices"
	"testing"

	"github.com/gagliardetto/solana-go"

	"jupiter-dex-integration/src/amm"
)

// FuzzDecode replaces the data of any one account of a case: nothing may panic, errors must have their types, and what decodes
// must quote without a panic.
func FuzzDecode(f *testing.F, cases ...Case) {
	keys := make([][]solana.PublicKey, len(cases))
	for i, c := range cases {
		loaded, err := load(c.Program, c.Pool, c.Accounts)
		if err != nil {
			f.Fatal(err)
		}
		for key, account := range loaded {
			if account != nil {
				keys[i] = append(keys[i], key)
			}
		}
		slices.SortFunc(keys[i], func(a, b solana.PublicKey) int { return bytes.Compare(a[:], b[:]) })
		for j, key := range keys[i] {
			f.Add(uint8(i), uint8(j), loaded[key].Data, uint64(1_000_000))
		}
	}
	f.Fuzz(func(t *testing.T, i, j uint8, data []byte, amount uint64) {
		n := int(i) % len(cases)
		c, key := cases[n], keys[n][int(j)%len(keys[n])]
		pool, err := c.decodeWith(t, key, &amm.Account{Owner: c.Accounts[key].Owner, Data: data})
		if err == nil {
			probe(t, pool, c.Clock, amount)
		}
	})
}

// FuzzQuote quotes pools that state makes of three free numbers; it returns nil where they make no pool. Every exact-in quote must
// buy no less than one of a unit less, and every exact-out quote must be an input that buys the amount, the smallest where minimal says so.
func FuzzQuote(f *testing.F, clock amm.Clock, state func(t testing.TB, a, b, c uint64) (pool amm.Pool, minimal bool)) {
	f.Add(uint64(1_000_000), uint64(2_000_000), uint64(0), uint64(1000), true, false)
	f.Add(uint64(1)<<60, uint64(3), uint64(12_345_678), uint64(1)<<40, false, true)
	f.Add(uint64(1)<<63, uint64(1)<<63, uint64(1)<<63, uint64(1)<<62, true, true)
	f.Fuzz(func(t *testing.T, a, b, c, amount uint64, aToB, exactOut bool) {
		pool, minimal := state(t, a, b, c)
		if pool == nil {
			return
		}
		request := amm.Request{AToB: aToB, ExactOut: exactOut, Amount: amount}
		quote, err := pool.Quote(clock, request)
		checkQuote(t, request, quote, err)
		if err != nil {
			return
		}
		if exactOut {
			checkInverse(t, pool, clock, quote, 0, minimal)
			return
		}
		request.Amount--
		if less, err := pool.Quote(clock, request); err == nil && less.Out > quote.Out {
			t.Errorf("%+v, but one unit less buys %d", quote, less.Out)
		}
	})
}
