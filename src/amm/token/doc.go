// Package token decodes mints and token accounts of SPL Token and Token-2022, and computes Token-2022 transfer fees as the
// token program does. It knows no AMM: which side of a swap a fee falls on is the caller's matter.
//
// Layouts and arithmetic follow the token programs' own sources (token/program/src/state.rs and
// token/program-2022/src/extension of solana-labs/solana-program-library).
package token
