// Package svm executes transactions over account bytes, as far as swaps through this project need it: the system, compute budget,
// token, associated token, memo and Raydium CPMM programs. It is no virtual machine: each program's instructions are written
// out in Go, and a program that is not among them is refused. It knows no slots, no blockhashes and no network.
package svm
