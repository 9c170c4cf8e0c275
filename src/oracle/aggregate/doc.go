// Package aggregate turns what several sources say of one token into one price that says how sure it is. It is pure
// arithmetic on its arguments: no clock, no I/O, no knowledge of where a quote comes from.
//
// Prices are float64, US dollars per whole token: every source rounds more coarsely than 2^-53, and no amount of money is
// ever computed from them.
package aggregate
