// Package dammv2 is Meteora's DAMM v2, the program cp-amm: it decodes pools, quotes as the program does and builds its swap instructions. A pool
// is one range of prices with the same liquidity throughout, or a constant product whose fees compound; its fee follows a schedule of time or
// price, or grows with the swap, and a dynamic part follows volatility. The package does not know where accounts come from, nor routes.
//
// Layouts, arithmetic and rounding follow MeteoraAg/damm-v2 (programs/cp-amm/src: state, base_fee, liquidity_handler, math,
// instructions/swap), release 0.2.1 of June 2026.
package dammv2
