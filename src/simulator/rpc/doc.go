// Package rpc speaks Solana's JSON-RPC, over HTTP and over a websocket, for a simulated market: the methods that this
// project's services and solana-go's clients need, with the node's own parameters, shapes and error codes. It keeps no state
// but subscriptions.
package rpc
