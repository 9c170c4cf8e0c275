package amm

// SmallestInput is the smallest input from 1 to limit that buys enough, for a program without exact-out: buys must hold for every
// input above one for which it holds. guess only saves steps, of which there are at most 128. It is false where no input buys enough.
func SmallestInput(guess, limit uint64, buys func(in uint64) bool) (uint64, bool) {
	if limit == 0 {
		return 0, false
	}
	guess = min(max(guess, 1), limit)
	// low buys too little and high enough; they are found in growing steps from the guess.
	var low, high uint64
	if buys(guess) {
		high = guess
		for step := uint64(1); ; step *= 2 {
			if high-low <= step {
				break
			}
			if !buys(high - step) {
				low = high - step
				break
			}
			high -= step
		}
	} else {
		low = guess
		for step := uint64(1); ; step *= 2 {
			if limit-low <= step {
				if !buys(limit) {
					return 0, false
				}
				high = limit
				break
			}
			if buys(low + step) {
				high = low + step
				break
			}
			low += step
		}
	}
	for high-low > 1 {
		middle := low + (high-low)/2
		if buys(middle) {
			high = middle
		} else {
			low = middle
		}
	}
	return high, true
}
