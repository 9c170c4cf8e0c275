package pda

import (
	"encoding/binary"
	"sync"
	"testing"

	"github.com/gagliardetto/solana-go"
)

// Recorded on mainnet: the SOL/USDC Whirlpool of tick spacing 4 and its oracle.
func TestFindDerivesAndRemembers(t *testing.T) {
	program := solana.MustPublicKeyFromBase58("whirLbMiicVdio4qvUfM5KAg6Ct8VwpYzGff3uctyCc")
	pool := solana.MustPublicKeyFromBase58("Czfq3xZZDmsdGdUyrNLtRhGc47cXcZtLG4crryfu44zE")
	cache := New(program)
	for range 2 {
		if got := cache.Find("oracle", pool, nil); got.String() != "FoKYKtRpD25TKzBMndysKpgPqbj8AdLXjfpYHXn9PGTX" {
			t.Errorf("oracle %s", got)
		}
		want, _, err := solana.FindProgramAddress([][]byte{[]byte("tick_array"), pool[:], []byte("-352")}, program)
		if got := cache.Find("tick_array", pool, []byte("-352")); err != nil || got != want {
			t.Errorf("tick array %s, %v, want %s", got, err, want)
		}
	}
	if n := len(cache.known); n != 2 {
		t.Errorf("%d addresses remembered, want 2", n)
	}
}

func TestCacheStaysBounded(t *testing.T) {
	cache := New(solana.SystemProgramID)
	for i := range remembered {
		cache.known[seeds{suffix: string(binary.LittleEndian.AppendUint32(nil, uint32(i)))}] = solana.PublicKey{}
	}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() { cache.Find("any", solana.PublicKey{byte(i)}, nil) })
	}
	all.Wait()
	if n := len(cache.known); n == 0 || n > 8 {
		t.Errorf("%d addresses remembered after the cache was full", n)
	}
}

func BenchmarkFind(b *testing.B) {
	cache := New(solana.TokenProgramID)
	b.ReportAllocs()
	for b.Loop() {
		cache.Find("tick_array", solana.PublicKey{1}, []byte("-352"))
	}
}
