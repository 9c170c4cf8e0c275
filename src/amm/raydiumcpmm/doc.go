// Package raydiumcpmm is Raydium's constant-product program, cp-swap: it decodes pools, quotes as the program does and builds its swap
// instructions. It does not know where accounts come from, nor routes.
//
// Layouts, arithmetic and rounding follow raydium-io/raydium-cp-swap (programs/cp-swap/src: states, curve, instructions) as of
// November 2025, when the creator fee got its present rounding.
package raydiumcpmm
