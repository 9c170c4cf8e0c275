// Command api-gateway is the public front of the tier: Jupiter's HTTP API, served from Jupiter or the route-optimizer.
package main

import (
	"jupiter-dex-integration/src/gateway"
	"jupiter-dex-integration/src/platform"
)

func main() {
	platform.Main("api-gateway", platform.NewCommand("serve", "serve Jupiter's HTTP API", gateway.Serve))
}
