package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/alicebob/miniredis/v2"
	"golang.org/x/sync/errgroup"

	"jupiter-dex-integration/src/gateway"
	"jupiter-dex-integration/src/optimizer"
	"jupiter-dex-integration/src/oracle"
	"jupiter-dex-integration/src/platform"
	"jupiter-dex-integration/src/simulator"
)

// config says where everything listens and which parts are real: a URL that is empty runs inside this process. The other
// variables of the three services are honoured too, but for their addresses, which are given here.
type config struct {
	Host          string `env:"HOST" envDefault:"127.0.0.1"`
	GatewayPort   uint16 `env:"GATEWAY_PORT" envDefault:"8080"`
	OraclePort    uint16 `env:"ORACLE_PORT" envDefault:"8081"`
	OptimizerPort uint16 `env:"OPTIMIZER_PORT" envDefault:"8082"`

	GatewayMetricsPort   uint16 `env:"GATEWAY_METRICS_PORT" envDefault:"9090"`
	OracleMetricsPort    uint16 `env:"ORACLE_METRICS_PORT" envDefault:"9091"`
	OptimizerMetricsPort uint16 `env:"OPTIMIZER_METRICS_PORT" envDefault:"9092"`

	RedisPort            uint16 `env:"EMBEDDED_REDIS_PORT" envDefault:"6380"`
	SimulatorPort        uint16 `env:"SIMULATOR_PORT" envDefault:"8899"`
	SimulatorMetricsPort uint16 `env:"SIMULATOR_METRICS_PORT" envDefault:"9093"`

	Market marketConfig

	JupiterAPIURL string     `env:"JUPITER_API_URL"`
	SolanaRPCURL  string     `env:"SOLANA_RPC_URL"`
	RedisURL      string     `env:"REDIS_URL"`
	Pools         string     `env:"POOLS"`
	MarketFile    string     `env:"MARKET_FILE"`
	PriceTokens   string     `env:"PRICE_TOKENS"`
	LogLevel      slog.Level `env:"LOG_LEVEL" envDefault:"warn"`
	// ReadyTimeout bounds the wait for the tier to be ready: a second with the simulator, more with a real node.
	ReadyTimeout time.Duration `env:"READY_TIMEOUT" envDefault:"30s"`
}

// Validate asks for the pools of a real node: the simulated ones do not exist there.
func (c config) Validate() error {
	if c.SolanaRPCURL != "" && c.Pools == "" && c.MarketFile == "" {
		return errors.New("SOLANA_RPC_URL is set: say which pools to follow there with POOLS (addresses) or MARKET_FILE")
	}
	return nil
}

// freePorts has the system choose every port.
func (c config) freePorts() config {
	c.GatewayPort, c.OraclePort, c.OptimizerPort = 0, 0, 0
	c.GatewayMetricsPort, c.OracleMetricsPort, c.OptimizerMetricsPort = 0, 0, 0
	c.RedisPort, c.SimulatorPort, c.SimulatorMetricsPort = 0, 0, 0
	return c
}

// stack is a running tier.
type stack struct {
	cfg       config
	log       *slog.Logger
	listeners map[string]net.Listener // by variable name
	market    *simulator.Simulator
}

// withStack starts the tier, calls use when all of it is ready, and stops it in the order of its arrows: the gateway drains
// first, then what it asks, then what those ask. ctx's end, use's return and a part's failure all lead there.
func withStack(ctx context.Context, cfg config, use func(context.Context, *stack) error) (err error) {
	s := &stack{cfg: cfg, log: platform.NewLogger(os.Stderr, cfg.LogLevel), listeners: map[string]net.Listener{}}
	if err := s.listen(); err != nil {
		return err
	}
	if s.market, err = cfg.Market.simulator(); err != nil {
		return err
	}
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)

	backends := newLayer(ctx, fail)
	backends.run("simulator", serve(s, "simulator", "SIMULATOR", serveMarket(s.market)))
	backends.run("embedded Redis", s.redis)

	services := newLayer(ctx, fail)
	services.run("price-oracle", serve(s, "price-oracle", "ORACLE", oracle.Serve))
	services.run("route-optimizer", serve(s, "route-optimizer", "OPTIMIZER", optimizer.Serve))

	front := newLayer(ctx, fail)
	front.run("api-gateway", serve(s, "api-gateway", "GATEWAY", gateway.Serve))

	err = s.waitReady(ctx)
	if err == nil {
		err = use(ctx, s)
	}
	for _, l := range []*layer{front, services, backends} {
		l.stop()
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

// listen opens every port before anything starts, so that a busy one is the only thing that the user reads.
func (s *stack) listen() error {
	for name, port := range map[string]uint16{
		"GATEWAY_PORT": s.cfg.GatewayPort, "ORACLE_PORT": s.cfg.OraclePort, "OPTIMIZER_PORT": s.cfg.OptimizerPort,
		"GATEWAY_METRICS_PORT": s.cfg.GatewayMetricsPort, "ORACLE_METRICS_PORT": s.cfg.OracleMetricsPort, "OPTIMIZER_METRICS_PORT": s.cfg.OptimizerMetricsPort,
		"EMBEDDED_REDIS_PORT": s.cfg.RedisPort, "SIMULATOR_PORT": s.cfg.SimulatorPort, "SIMULATOR_METRICS_PORT": s.cfg.SimulatorMetricsPort,
	} {
		l, err := net.Listen("tcp", net.JoinHostPort(s.cfg.Host, strconv.Itoa(int(port))))
		if err != nil {
			for _, open := range s.listeners {
				open.Close()
			}
			return fmt.Errorf("%w: stop what is there, or set %s to another port", err, name)
		}
		s.listeners[name] = l
	}
	return nil
}

func (s *stack) address(name string) string { return s.listeners[name].Addr().String() }

func (s *stack) url(name string) string { return "http://" + s.address(name) }

// environ is what a service would find in its container, the user's own variables included.
func (s *stack) environ() []string {
	env := os.Environ()
	set := func(name, value string) { env = append(env, name+"="+value) }
	set("PRICE_ORACLE_URL", s.url("ORACLE_PORT"))
	set("ROUTE_OPTIMIZER_URL", s.url("OPTIMIZER_PORT"))
	if s.cfg.JupiterAPIURL == "" {
		set("JUPITER_API_URL", s.url("SIMULATOR_PORT")+"/swap/v1")
	}
	if s.cfg.RedisURL == "" {
		set("REDIS_URL", "redis://"+s.address("EMBEDDED_REDIS_PORT"))
	}
	if s.cfg.SolanaRPCURL == "" {
		set("SOLANA_RPC_URL", s.url("SIMULATOR_PORT"))
		set("SOLANA_WS_URL", "ws://"+s.address("SIMULATOR_PORT"))
		if s.cfg.Pools == "" && s.cfg.MarketFile == "" {
			set("POOLS", strings.Join(s.market.Pools(), ","))
		}
	}
	if s.cfg.PriceTokens == "" {
		set("PRICE_TOKENS", strings.Join(s.market.Mints(), ","))
		// Two sources, so that prices have a confidence, and updates that see the market move.
		for name, value := range map[string]string{"PRICE_SOURCES": "jupiter,optimizer", "UPDATE_INTERVAL": "10s"} {
			if os.Getenv(name) == "" {
				set(name, value)
			}
		}
	}
	return env
}

// serve runs one of the three services as its own binary would, on the listeners that are already open.
func serve[C any](s *stack, name, prefix string, run func(context.Context, C, *platform.Process) error) func(context.Context) error {
	return func(ctx context.Context) error {
		api, metrics := s.listeners[prefix+"_PORT"], s.listeners[prefix+"_METRICS_PORT"]
		cfg, err := platform.Load[C](append(s.environ(), "LISTEN_ADDRESS="+api.Addr().String(), "METRICS_ADDRESS="+metrics.Addr().String()))
		if err != nil {
			return err
		}
		p := platform.NewProcess(name, s.log)
		p.Listen = func(address string) (net.Listener, error) {
			if address == api.Addr().String() {
				return api, nil
			}
			return metrics, nil
		}
		return run(ctx, cfg, p)
	}
}

func (s *stack) redis(ctx context.Context) error {
	// miniredis opens its own port: hand over the one that was held for it.
	l := s.listeners["EMBEDDED_REDIS_PORT"]
	l.Close()
	m := miniredis.NewMiniRedis()
	if err := m.StartAddr(l.Addr().String()); err != nil {
		return err
	}
	defer m.Close()
	// miniredis' clock stands still by itself: keys would never expire.
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for last := time.Now(); ; {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			m.FastForward(now.Sub(last))
			last = now
		}
	}
}

// waitReady asks every service's /ready until all say yes.
func (s *stack) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, s.cfg.ReadyTimeout, errors.New("the tier is not ready"))
	defer cancel()
	for _, port := range []string{"OPTIMIZER_PORT", "ORACLE_PORT", "GATEWAY_PORT"} {
		for last := ""; ; {
			status, body, err := get(ctx, s.url(port)+"/ready")
			if err == nil && status == http.StatusOK {
				break
			}
			if err == nil {
				last = strings.TrimSpace(string(body))
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("%w; %s/ready said: %s", context.Cause(ctx), s.url(port), last)
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	return nil
}

func get(ctx context.Context, url string) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return resp.StatusCode, body, err
}

// layer is a set of parts that stop together.
type layer struct {
	ctx    context.Context
	cancel context.CancelFunc
	group  errgroup.Group
	fail   context.CancelCauseFunc
}

// newLayer makes a layer that outlives ctx until it is stopped, and whose first failure ends the whole stack.
func newLayer(ctx context.Context, fail context.CancelCauseFunc) *layer {
	l := &layer{fail: fail}
	l.ctx, l.cancel = context.WithCancel(context.WithoutCancel(ctx))
	return l
}

func (l *layer) run(name string, f func(context.Context) error) {
	l.group.Go(func() error {
		if err := f(l.ctx); err != nil {
			l.fail(fmt.Errorf("%s: %w", name, err))
		}
		return nil
	})
}

func (l *layer) stop() {
	l.cancel()
	l.group.Wait()
}
