package dlmm

import "math/bits"

// Arrays of bins are marked in a bitmap of the pair, those farther out in one of its extension account.
const (
	pairArrays      = 512 // on either side of zero
	extensionArrays = 12 * pairArrays
)

// bitmap has a bit for each array of bins that exists and holds liquidity. below and above, of the extension, count outwards.
type bitmap struct {
	near         [2 * pairArrays / 64]uint64
	below, above [extensionArrays / 64]uint64
}

// next is the index of the first marked array from index on, upwards or downwards, and whether there is one.
func (m *bitmap) next(index int32, up bool) (int32, bool) {
	for up && index < pairArrays+extensionArrays || !up && index >= -pairArrays-extensionArrays {
		words, at, outwards, origin := m.near[:], index+pairArrays, true, int32(-pairArrays)
		switch {
		case index >= pairArrays:
			words, at, origin = m.above[:], index-pairArrays, pairArrays
		case index < -pairArrays:
			words, at, outwards = m.below[:], -pairArrays-1-index, false
		}
		found := scan(words, int(at), up == outwards)
		switch {
		case found >= 0 && outwards:
			return origin + int32(found), true
		case found >= 0:
			return -pairArrays - 1 - int32(found), true
		case up && index < -pairArrays:
			index = -pairArrays
		case up && index < pairArrays:
			index = pairArrays
		case !up && index >= pairArrays:
			index = pairArrays - 1
		case !up && index >= -pairArrays:
			index = -pairArrays - 1
		default:
			return 0, false
		}
	}
	return 0, false
}

// scan is the position of the first set bit from position at on, or -1.
func scan(words []uint64, at int, up bool) int {
	if up {
		word := words[at/64] >> (at % 64) << (at % 64)
		for i := at / 64; ; word = words[i] {
			if word != 0 {
				return 64*i + bits.TrailingZeros64(word)
			}
			if i++; i == len(words) {
				return -1
			}
		}
	}
	word := words[at/64] << (63 - at%64) >> (63 - at%64)
	for i := at / 64; ; word = words[i] {
		if word != 0 {
			return 64*i + 63 - bits.LeadingZeros64(word)
		}
		if i--; i < 0 {
			return -1
		}
	}
}
