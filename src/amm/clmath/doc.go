// Package clmath is the arithmetic that concentrated-liquidity programs share. For those with square-root prices: the amounts between two
// Q64.64 prices, the price that an amount leads to, one step of a swap. For those with bins: what an amount is worth at a price. For both: the
// bitmap in which a pool notes its arrays. It knows no account layout and no program: price tables and the order of steps belong to the
// programs' own packages.
//
// Everything is exact, allocates nothing and is written for two 64-bit words, as prices are below 2^128, their square roots below 2^96 and
// liquidity below 2^128.
package clmath
