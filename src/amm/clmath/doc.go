// Package clmath is the arithmetic that concentrated-liquidity programs with square-root prices share: Q64.64 prices, the amounts between two
// of them, the price that an amount leads to, one step of a swap, and the addresses and ticks of tick arrays. It knows no account
// layout and no program: tick tables and the order of steps belong to Orca Whirlpool's and Raydium CLMM's own packages.
//
// Everything is exact, allocates nothing and is written for two 64-bit words, as prices are below 2^96 and liquidity below 2^128.
package clmath
