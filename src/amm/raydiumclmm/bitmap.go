package raydiumclmm

import (
	"jupiter-dex-integration/src/amm"
	"jupiter-dex-integration/src/amm/clmath"
)

const (
	// The pool has a bit for each of the 512 tick arrays on either side of tick 0, and the extension one for the 14*512 beyond.
	poolArrays   = 512
	extraBitmaps = 14
	bitmapArrays = 512
	allArrays    = poolArrays + extraBitmaps*bitmapArrays
)

// newBitmap has a bit for each tick array, numbered from the one that begins at tick 0. The pool's own are set.
func newBitmap(r *amm.Reader, at int) clmath.Bitmap {
	b := clmath.Bitmap{First: -allArrays, Words: make([]uint64, 2*allArrays/64)}
	b.Set(-poolArrays, r.Bytes(at, 2*poolArrays/8, "tick_array_bitmap"))
	return b
}

// readExtension sets the extension's bits. Its bitmaps of negative numbers follow each other downwards, with the bits inside upwards.
func readExtension(b clmath.Bitmap, r *amm.Reader, at int) {
	b.Set(poolArrays, r.Bytes(at, extraBitmaps*bitmapArrays/8, "positive_tick_array_bitmap"))
	at += extraBitmaps * bitmapArrays / 8
	for i := range extraBitmaps {
		b.Set(-poolArrays-int32(i+1)*bitmapArrays, r.Bytes(at+i*bitmapArrays/8, bitmapArrays/8, "negative_tick_array_bitmap"))
	}
}
