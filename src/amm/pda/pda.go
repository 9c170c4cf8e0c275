// Package pda derives addresses, and remembers those of pools. Deriving one takes some 10 microseconds of hashing and curve arithmetic, and decoding a pool after
// each of its updates needs the same few again.
package pda

import (
	"sync"

	"github.com/gagliardetto/solana-go"
)

// Of is the address that program derives from seeds, of which there are at most 15, of at most 32 bytes each.
func Of(program solana.PublicKey, seeds ...[]byte) solana.PublicKey {
	// An error would mean that all 256 bumps of these seeds lie on the curve, which has a chance of 2^-256.
	key, _, _ := solana.FindProgramAddress(seeds, program)
	return key
}

// remembered bounds the cache's memory to some 10 MB; a market needs a few addresses per pool.
const remembered = 1 << 16

// Cache gives the addresses that one program derives from a name, one of its pools, and a suffix. It is safe for concurrent use.
type Cache struct {
	program solana.PublicKey
	mu      sync.RWMutex
	known   map[seeds]solana.PublicKey
}

type seeds struct {
	name   string
	pool   solana.PublicKey
	suffix string
}

func New(program solana.PublicKey) *Cache {
	return &Cache{program: program, known: map[seeds]solana.PublicKey{}}
}

// Find is the address of the seeds name, pool and, where there is one, suffix.
func (c *Cache) Find(name string, pool solana.PublicKey, suffix []byte) solana.PublicKey {
	c.mu.RLock()
	key, ok := c.known[seeds{name, pool, string(suffix)}]
	c.mu.RUnlock()
	if ok {
		return key
	}
	parts := [][]byte{[]byte(name), pool[:]}
	if len(suffix) > 0 {
		parts = append(parts, suffix)
	}
	key = Of(c.program, parts...)
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.known) >= remembered {
		clear(c.known)
	}
	c.known[seeds{name, pool, string(suffix)}] = key
	return key
}
