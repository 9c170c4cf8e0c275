package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"jupiter-dex-integration/src/platform"
)

const (
	solMint  = "So11111111111111111111111111111111111111112"
	usdcMint = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
)

func run(ctx context.Context, cfg config, _ *platform.Process) error {
	start := time.Now()
	return withStack(ctx, cfg, func(ctx context.Context, s *stack) error {
		real := func(url, local string) string {
			if url != "" {
				return url
			}
			return local
		}
		fmt.Printf(`The tier is up, ready in %v.

  api-gateway      %s   metrics %s/metrics
  price-oracle     %s   metrics %s/metrics
  route-optimizer  %s   metrics %s/metrics
  Jupiter          %s
  Solana RPC       %s
  Redis            %s

Try a quote, a price, how sure it is, how good a large quote is, and the metrics:

  curl '%s/swap/v1/quote?inputMint=%s&outputMint=%s&amount=1000000000'
  curl '%s/price/v3?ids=%s'
  curl '%s/v1/prices/%s'
  curl '%s/v1/quote?inputMint=%s&outputMint=%s&amount=1000000000000'
  curl -s %s/metrics | grep ^jupiter_

Ctrl-C stops it.
`, time.Since(start).Round(10*time.Millisecond),
			s.url("GATEWAY_PORT"), s.url("GATEWAY_METRICS_PORT"),
			s.url("ORACLE_PORT"), s.url("ORACLE_METRICS_PORT"),
			s.url("OPTIMIZER_PORT"), s.url("OPTIMIZER_METRICS_PORT"),
			real(s.cfg.JupiterAPIURL, s.url("SIMULATOR_PORT")+"/swap/v1  (simulated)"),
			real(s.cfg.SolanaRPCURL, s.url("SIMULATOR_PORT")+"  (simulated)"),
			real(s.cfg.RedisURL, "redis://"+s.address("EMBEDDED_REDIS_PORT")+"  (embedded)"),
			s.url("GATEWAY_PORT"), solMint, usdcMint,
			s.url("GATEWAY_PORT"), solMint,
			s.url("ORACLE_PORT"), solMint,
			s.url("OPTIMIZER_PORT"), solMint, usdcMint,
			s.url("GATEWAY_METRICS_PORT"))
		<-ctx.Done()
		fmt.Fprintln(os.Stderr, "\nDraining.")
		return nil
	})
}
