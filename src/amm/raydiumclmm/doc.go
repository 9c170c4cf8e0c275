// Package raydiumclmm quotes Raydium concentrated-liquidity pools: bitmap extension, transfer fees, and what the builds of 2026 add, which is a fee that
// follows volatility, a fee on one token only, and limit orders. It follows programs/amm of raydium-io/raydium-clmm (instructions/swap.rs,
// states, libraries) and knows nothing of where accounts come from. Pools that use nothing new are quoted alike for older builds.
package raydiumclmm
