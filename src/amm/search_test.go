package amm

import (
	"math"
	"testing"
)

func FuzzSmallestInputIsTheThreshold(f *testing.F) {
	f.Add(uint64(1), uint64(1), uint64(1))
	f.Add(uint64(0), uint64(math.MaxUint64), uint64(math.MaxUint64))
	f.Add(uint64(math.MaxUint64), uint64(math.MaxUint64), uint64(1))
	f.Add(uint64(1000), uint64(5000), uint64(1001))
	f.Add(uint64(1000), uint64(5000), uint64(5001))
	f.Add(uint64(7), uint64(0), uint64(0))
	f.Fuzz(func(t *testing.T, guess, limit, threshold uint64) {
		calls := 0
		got, ok := SmallestInput(guess, limit, func(in uint64) bool {
			if in == 0 || in > limit {
				t.Fatalf("%d was tried, outside of 1 to %d", in, limit)
			}
			calls++
			return in >= threshold
		})
		want := max(threshold, 1)
		if ok != (want <= limit) || ok && got != want {
			t.Errorf("got %d, %t, want %d of %d", got, ok, want, limit)
		}
		if calls > 130 {
			t.Errorf("%d steps", calls)
		}
	})
}
