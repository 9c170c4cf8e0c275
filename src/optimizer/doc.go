// Package optimizer is the route-optimizer service: a Jupiter-shaped API over the pools that package chain follows and the plans that
// package routing makes. It holds what is neither chain nor routing: request rules, slippage, fees, answers and error codes.
package optimizer
