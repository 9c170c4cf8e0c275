// Package faults makes an HTTP handler misbehave on demand, by rules that are seeded and can be changed while it serves, and counts
// the calls it gets. It knows neither of the APIs that it breaks.
package faults
