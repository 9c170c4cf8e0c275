// Package sdktest judges the quotes of every AMM package by others' work on random pools: by the official SDKs, which quote the same accounts, and
// by the real programs, which execute the transactions that we build. It holds tests only; scripts/sdk has their other half.
package sdktest
