// Package simulator is a Jupiter API and a Solana RPC node that run offline over one seeded market, for development and tests, with
// faults on demand. It wires its parts together; what each does is theirs: market (the chain), svm (its programs), rpc and
// jupiterapi (what clients see), faults. No service imports it.
package simulator
