// Package stableswap is the geometry of the two-token stable-swap invariant, which several programs approximate in integers, each with
// its own rounding. It serves ranking and display only.
package stableswap
