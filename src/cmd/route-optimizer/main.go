// Command route-optimizer quotes swaps over on-chain pools through a Jupiter-shaped API.
package main

import (
	"jupiter-dex-integration/src/optimizer"
	"jupiter-dex-integration/src/platform"
)

func main() {
	platform.Main("route-optimizer",
		platform.NewCommand("serve", "follow pools and quote swaps (default)", optimizer.Serve),
		platform.NewCommand("discover", "list the pools between DISCOVER_TOKENS, for MARKET_FILE", optimizer.Discover),
		platform.NewCommand("replay", "quote REPLAY_QUERY from the state saved in REPLAY_FILE", optimizer.Replay))
}
