package raydiumclmm

import (
	"encoding/binary"
	"math/bits"

	"jupiter-dex-integration/src/amm"
)

const (
	// The pool has a bit for each of the 512 tick arrays on either side of tick 0, and the extension one for the 14*512 beyond.
	poolArrays    = 512
	extraBitmaps  = 14
	bitmapArrays  = 512
	bitmapBytes   = bitmapArrays / 8
	allArrays     = poolArrays + extraBitmaps*bitmapArrays
	bitmapWords   = 2 * allArrays / 64
	poolWordsAt   = extraBitmaps * bitmapArrays / 64
	risingWordsAt = poolWordsAt + 2*poolArrays/64
)

// bitmap says of each tick array, by its number counted from tick 0, whether it has an initialised tick. Bit 0 is array -allArrays.
type bitmap [bitmapWords]uint64

// readPool takes over the pool's own bitmap.
func (b *bitmap) readPool(r *amm.Reader, at int) {
	b.read(poolWordsAt, r.Bytes(at, 2*poolArrays/8, "tick_array_bitmap"))
}

// readExtension takes over the extension's bitmaps, of which the negative ones are numbered downwards.
func (b *bitmap) readExtension(r *amm.Reader, at int) {
	b.read(risingWordsAt, r.Bytes(at, extraBitmaps*bitmapBytes, "positive_tick_array_bitmap"))
	at += extraBitmaps * bitmapBytes
	for i := range extraBitmaps {
		b.read(poolWordsAt-(i+1)*bitmapArrays/64, r.Bytes(at+i*bitmapBytes, bitmapBytes, "negative_tick_array_bitmap"))
	}
}

func (b *bitmap) read(word int, data []byte) {
	for i := 0; i < len(data); i += 8 {
		b[word+i/8] = binary.LittleEndian.Uint64(data[i:])
	}
}

// next is the first array with an initialised tick from number on, upwards or downwards, and whether there is one.
func (b *bitmap) next(number int32, up bool) (int32, bool) {
	bit := int(number) + allArrays
	if bit < 0 || bit >= 2*allArrays {
		return 0, false
	}
	word := bit / 64
	if up {
		left := b[word] >> (bit % 64) << (bit % 64)
		for left == 0 {
			if word++; word == bitmapWords {
				return 0, false
			}
			left = b[word]
		}
		return int32(word*64 + bits.TrailingZeros64(left) - allArrays), true
	}
	left := b[word] << (63 - bit%64) >> (63 - bit%64)
	for left == 0 {
		if word--; word < 0 {
			return 0, false
		}
		left = b[word]
	}
	return int32(word*64 + 63 - bits.LeadingZeros64(left) - allArrays), true
}
