package stableswap

import (
	"math"
	"testing"
)

func TestSpotPriceAtKnownPoints(t *testing.T) {
	tests := []struct {
		name               string
		ann, d, x, y, want float64
	}{
		// A balanced pool trades one for one at any amplification.
		{"balanced", 200, 2000, 1000, 1000, 1},
		{"balanced without amplification", 1e-9, 2000, 1000, 1000, 1},
		// Without amplification it is the constant product, where d = 2*sqrt(xy).
		{"constant product", 0, 2 * math.Sqrt(1000*4000), 1000, 4000, 4},
		{"empty side", 200, 1000, 0, 1000, 0},
	}
	for _, tt := range tests {
		if got := SpotPrice(tt.ann, tt.d, tt.x, tt.y); math.Abs(got-tt.want) > 1e-9 {
			t.Errorf("%s: %g, want %g", tt.name, got, tt.want)
		}
	}
}
