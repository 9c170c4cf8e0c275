// Package market is a small Solana chain with one market on it: well-known tokens, Raydium CPMM pools between them, and traders who
// move the pools through their exact maths, a slot at a time. Every account has its true bytes. The same seed gives
// the same chain, byte for byte. It knows no protocol: packages rpc and jupiterapi show it to clients.
package market
