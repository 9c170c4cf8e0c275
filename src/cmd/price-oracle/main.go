// Command price-oracle keeps token prices and answers for them: as a server, or once as a scheduled job.
package main

import (
	"jupiter-dex-integration/src/oracle"
	"jupiter-dex-integration/src/platform"
)

func main() {
	platform.Main("price-oracle",
		platform.NewCommand("serve", "serve prices and keep them fresh (default)", oracle.Serve),
		platform.NewCommand("update", "refresh the prices in Redis once; exit 1 if any could not be", oracle.Update))
}
