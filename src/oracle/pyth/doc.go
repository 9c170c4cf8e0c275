// Package pyth decodes Pyth's price accounts on Solana, of both kinds: PriceUpdateV2 accounts of the pull oracle's receiver
// program, and the price accounts of the older push oracle. It reads bytes; which account to believe is its caller's affair.
package pyth
