package dlmm

import (
	"math/bits"

	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/clmath"
)

// Arrays of bins that hold liquidity are marked in a bitmap of the pair, those farther out in one of its extension account.
const (
	nearArrays = 512 // of the pair, on either side of zero
	farWords   = 12 * 512 / 64
	minArray   = -nearArrays - 64*farWords
)

// markPair reads the part in the pair's account.
func markPair(r *amm.Reader) clmath.Bitmap {
	m := clmath.Bitmap{First: minArray, Words: make([]uint64, 2*-minArray/64)}
	m.Set(-nearArrays, r.Bytes(584, 2*nearArrays/8, "bin_array_bitmap"))
	return m
}

// markExtension reads the parts in the extension's account, of which the one for negative indices counts downwards.
func markExtension(m clmath.Bitmap, r *amm.Reader) {
	m.Set(nearArrays, r.Bytes(40, 8*farWords, "positive_bin_array_bitmap"))
	for i := range farWords {
		m.Words[farWords-1-i] = bits.Reverse64(r.Uint64(40+8*(farWords+i), "negative_bin_array_bitmap"))
	}
}
