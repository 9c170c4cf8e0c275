// Package pumpswap is pump.fun's AMM: it decodes pools, quotes as the program does and builds its swap instructions. It does not know
// where accounts come from, nor routes.
//
// The program's source is not public. Layouts, fees and rounding follow its IDL (pump-fun/pump-public-docs) and the pure functions of
// its own SDK, @pump-fun/pump-swap-sdk 1.20.0, which the program's authors keep equal to it.
package pumpswap
