package main

import (
	"context"
	"net/http"
	"time"

	"jupiter-dex-integration/src/platform"
	"jupiter-dex-integration/src/simulator"
)

type marketConfig struct {
	Seed    uint64 `env:"SIMULATOR_SEED" envDefault:"1"`
	Network string `env:"NETWORK" envDefault:"mainnet"`
	// RequestsPerMinute is an organisation's limit at the simulated Jupiter; 0 is none.
	RequestsPerMinute int `env:"SIMULATOR_REQUESTS_PER_MINUTE" envDefault:"0"`
}

func (c marketConfig) simulator() (*simulator.Simulator, error) {
	return simulator.New(simulator.Config{Seed: c.Seed, Network: c.Network, Plan: simulator.Plan{Requests: c.RequestsPerMinute, Window: time.Minute}})
}

type simulateConfig struct {
	Server platform.ServerConfig
	Market marketConfig
}

// simulate serves the market alone, for a cluster or a test bed that reaches neither Jupiter nor Solana.
func simulate(ctx context.Context, cfg simulateConfig, p *platform.Process) error {
	market, err := cfg.Market.simulator()
	if err != nil {
		return err
	}
	return serveMarket(market)(ctx, cfg.Server, p)
}

// serveMarket serves the simulated Jupiter and, at the root path, the simulated Solana RPC and its websocket.
func serveMarket(market *simulator.Simulator) func(context.Context, platform.ServerConfig, *platform.Process) error {
	jupiter, rpc := market.JupiterHandler(), market.RPCHandler()
	return func(ctx context.Context, cfg platform.ServerConfig, p *platform.Process) error {
		stop := context.AfterFunc(ctx, market.Close) // a call that a fault makes hang must not hold up the drain
		defer stop()
		return p.Serve(ctx, cfg, platform.Service{
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/" {
					rpc.ServeHTTP(w, r)
				} else {
					jupiter.ServeHTTP(w, r)
				}
			}),
			Background: []func(context.Context) error{market.Run},
		})
	}
}
