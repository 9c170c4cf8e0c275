// Package routing finds the best executable way to swap one token for another through many pools. It is a pure function of a graph
// (the pools of one snapshot), a request and limits; it does no I/O and knows no wire format.
//
// A plan is a directed acyclic graph of tokens whose edges are pools, each used once: routes that share a pool are merged
// there, and the pool is quoted for their sum. Since a pool's output for a sum does not depend on how the sum came about, using up
// a shared pool in order and quoting it once for all are the same, and every amount of a plan is exactly what the programs do.
package routing
