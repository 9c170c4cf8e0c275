// Command jupiter-dex is the whole tier in one process, for a laptop: api-gateway, price-oracle and route-optimizer over an
// embedded Redis and a simulated Jupiter and Solana, offline. JUPITER_API_URL, SOLANA_RPC_URL and REDIS_URL switch each
// part to the real thing.
package main

import "jupiter-dex-integration/src/platform"

func main() {
	platform.Main("jupiter-dex",
		platform.NewCommand("run", "start the tier and say what to try; Ctrl-C stops it", run),
		platform.NewCommand("smoke", "start the tier on free ports, check a quote, a price and a swap, stop", smoke),
		platform.NewCommand("simulator", "serve only the simulated Jupiter and Solana, for a cluster that has neither", simulate))
}
