// Package amm is the small interface behind which every AMM quotes exactly as its on-chain program does. Each program has a
// sub-package that decodes account bytes into immutable state, quotes in integers, and builds the swap instruction. Nothing
// here does I/O or knows where accounts come from.
package amm
