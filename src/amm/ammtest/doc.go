// Package ammtest holds the tests that every AMM package shares: the recorded swaps of the real programs, the contract of amm.Program
// and amm.Pool, fuzz targets for both, and builders of token accounts. It is imported by tests only and knows no AMM.
package ammtest
