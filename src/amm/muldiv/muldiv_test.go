package muldiv

import (
	"math"
	"math/big"
	"testing"
)

func FuzzMulDivMatchesUnboundedIntegers(f *testing.F) {
	f.Add(uint64(7), uint64(3), uint64(2))
	f.Add(uint64(7), uint64(3), uint64(0))
	f.Add(uint64(math.MaxUint64), uint64(math.MaxUint64), uint64(math.MaxUint64))
	f.Add(uint64(math.MaxUint64), uint64(2), uint64(2))
	// The floor fits 64 bits and the ceiling does not: 2^64-1 + 1/3.
	f.Add(uint64(6148914691236517206), uint64(9), uint64(3))
	f.Add(uint64(1<<63), uint64(6), uint64(3))
	f.Fuzz(func(t *testing.T, a, b, d uint64) {
		floor, floorOK := Floor(a, b, d)
		ceil, ceilOK := Ceil(a, b, d)
		if d == 0 {
			if floorOK || ceilOK {
				t.Fatal("a division by zero succeeded")
			}
			return
		}
		product := new(big.Int).Mul(new(big.Int).SetUint64(a), new(big.Int).SetUint64(b))
		q, r := new(big.Int).QuoRem(product, new(big.Int).SetUint64(d), new(big.Int))
		if floorOK != q.IsUint64() || floorOK && floor != q.Uint64() {
			t.Fatalf("floor = %d, %t, want %s", floor, floorOK, q)
		}
		if r.Sign() > 0 {
			q.Add(q, big.NewInt(1))
		}
		if ceilOK != q.IsUint64() || ceilOK && ceil != q.Uint64() {
			t.Fatalf("ceil = %d, %t, want %s", ceil, ceilOK, q)
		}
	})
}
