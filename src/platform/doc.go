// Package platform is what every service shares: typed configuration from the environment, secrets that may be
// files, structured logging, health, metrics, and the life cycle of an HTTP server from start to drained exit.
// It knows nothing of Jupiter, Solana or prices.
package platform
