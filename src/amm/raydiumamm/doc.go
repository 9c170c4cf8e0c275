// Package raydiumamm is Raydium's first constant-product program, AMM v4: it decodes pools, quotes as the program does and builds its
// swap instructions. It does not know where accounts come from, nor routes.
//
// Layouts, arithmetic and rounding follow raydium-io/raydium-amm (program/src: state.rs, math.rs, processor.rs, instruction.rs) as of
// July 2026, when the order book went: a pool's reserves are what its vaults hold, whatever its open orders account says.
package raydiumamm
