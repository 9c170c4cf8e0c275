// Package saber is Saber's stable-swap program: it decodes pools, quotes as the program does and builds its swap instructions. It does
// not know where accounts come from, nor routes.
//
// Layouts, arithmetic and rounding follow saber-hq/stable-swap (stable-swap-client/src/state.rs, stable-swap-math/src/curve.rs and
// stable-swap-program/program/src/processor/swap.rs), version 1.8.
package saber
