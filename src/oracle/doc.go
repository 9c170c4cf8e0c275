// Package oracle is the price-oracle service: it observes token prices at their sources, shares them between replicas
// through Redis and answers from memory. It never waits for a source while it answers, and knows nothing of pools or routes.
package oracle
