// Package muldiv is a*b/d with a 128-bit product, rounded either way: the step that constant-product and fee arithmetic is made of.
// It knows nothing of pools.
package muldiv
