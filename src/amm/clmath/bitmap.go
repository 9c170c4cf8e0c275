package clmath

import (
	"encoding/binary"
	"math/bits"
)

// Bitmap has a bit for each number from First on: the tick or bin arrays of a pool that have anything in them.
type Bitmap struct {
	First int32
	Words []uint64
}

// Set takes over the bits of little-endian data, from number on, which must be a whole number of words from First.
func (b Bitmap) Set(number int32, data []byte) {
	words := b.Words[(number-b.First)/64:]
	for i := 0; i+8 <= len(data); i += 8 {
		words[i/8] = binary.LittleEndian.Uint64(data[i:])
	}
}

// Next is the first set bit from number on, upwards or downwards, and whether there is one.
func (b Bitmap) Next(number int32, up bool) (int32, bool) {
	bit := int(number) - int(b.First)
	if bit < 0 || bit >= 64*len(b.Words) {
		return 0, false
	}
	word := bit / 64
	if up {
		left := b.Words[word] >> (bit % 64) << (bit % 64)
		for left == 0 {
			if word++; word == len(b.Words) {
				return 0, false
			}
			left = b.Words[word]
		}
		return b.First + int32(word*64+bits.TrailingZeros64(left)), true
	}
	left := b.Words[word] << (63 - bit%64) >> (63 - bit%64)
	for left == 0 {
		if word--; word < 0 {
			return 0, false
		}
		left = b.Words[word]
	}
	return b.First + int32(word*64+63-bits.LeadingZeros64(left)), true
}
