// Package tokenswap is the SPL token-swap program with its constant-product and stable curves: it decodes pools, quotes as the program
// does and builds its swap instructions. It does not know where accounts come from, nor routes.
//
// Layouts, arithmetic and rounding follow token-swap/program/src of solana-labs/solana-program-library as it was in 2021, the source of
// the deployment that Orca's first pools live in. Older and newer deployments round differently, number their curves differently
// or take other accounts.
package tokenswap
