// Package dlmm quotes Meteora DLMM pairs: liquidity in bins of constant price, a variable fee, fees on the input or on Y only, limit orders.
// It knows nothing of where accounts come from.
//
// The program's source is not public. Layouts and arithmetic follow MeteoraAg/dlmm-sdk (idls/dlmm.json, commons/src) and, where
// the two differ, what the program of 2026 does when it is run.
package dlmm
