package platform

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// ServerConfig is the part of the configuration that every service has.
type ServerConfig struct {
	TraceConfig
	ListenAddress  string `env:"LISTEN_ADDRESS" envDefault:":8080"`
	MetricsAddress string `env:"METRICS_ADDRESS" envDefault:":9090"`
	// ShutdownDelay is how long a terminated process goes on accepting while it already says that it is not ready,
	// for load balancers that learn of it by probing. Kubernetes does the same with a preStop sleep.
	ShutdownDelay time.Duration `env:"SHUTDOWN_DELAY" envDefault:"0s"`
	// DrainTimeout bounds the wait for requests in flight.
	DrainTimeout time.Duration `env:"DRAIN_TIMEOUT" envDefault:"35s"`
	// TLSCert and TLSKey, in PEM, make the API speak TLS alone, probes included; given as files they may be renewed at any
	// time. Metrics stay in the clear.
	TLSCert Secret `env:"TLS_CERT"`
	TLSKey  Secret `env:"TLS_KEY"`
}

// Service is what a process serves.
type Service struct {
	Handler http.Handler
	Checks  []Check
	// Background is work that lives as long as the process: started before the first request, told to stop after the
	// last one. A return before that, with or without an error, stops the process.
	Background []func(context.Context) error
}

// Serve runs s until ctx ends, then drains: not ready, ShutdownDelay, no new connections, DrainTimeout for requests in
// flight, background work stopped. It returns nil after a clean drain.
func (p *Process) Serve(ctx context.Context, cfg ServerConfig, s Service) error {
	secure, err := newTLSConfig(cfg.TLSCert, cfg.TLSKey, p.Log)
	if err != nil {
		return err
	}
	tracer, flush, err := p.newTracer(ctx, cfg.TraceConfig)
	if err != nil {
		return err
	}
	defer flush()
	api, err := p.Listen(cfg.ListenAddress)
	if err != nil {
		return fmt.Errorf("LISTEN_ADDRESS: %w", err)
	}
	defer api.Close()
	apiListener := api
	if secure != nil {
		apiListener = tls.NewListener(api, secure)
	}
	metrics, err := p.Listen(cfg.MetricsAddress)
	if err != nil {
		return fmt.Errorf("METRICS_ADDRESS: %w", err)
	}
	defer metrics.Close()

	ready := &readiness{checks: s.Checks}
	instrumented := instrument(s.Handler, p.Log, newAPIMetrics(p.Registry, p.Log.Handler()), tracer)
	root := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path { // probes stay out of the access log and of the request metrics
		case "/health":
			serveHealth(w, r)
		case "/ready":
			ready.serveReady(w, r)
		default:
			instrumented.ServeHTTP(w, r)
		}
	})
	metricsMux := http.NewServeMux()
	metricsMux.Handle("GET /metrics", promhttp.HandlerFor(p.Registry, promhttp.HandlerOpts{EnableOpenMetrics: true}))

	// Background work and the metrics listener outlive ctx: they serve the drain.
	bg, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var wg sync.WaitGroup
	failed := make(chan error, len(s.Background)+2)
	for _, run := range s.Background {
		wg.Go(func() {
			if err := run(bg); bg.Err() == nil {
				failed <- fmt.Errorf("background work ended: %w", errors.Join(errUnexpected, err))
			}
		})
	}
	apiServer, metricsServer := p.httpServer(root), p.httpServer(metricsMux)
	for server, listener := range map[*http.Server]net.Listener{apiServer: apiListener, metricsServer: metrics} {
		wg.Go(func() {
			if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				failed <- err
			}
		})
	}
	p.Log.Info("serving", "address", api.Addr().String(), "metrics", metrics.Addr().String())

	var cause error
	select {
	case <-ctx.Done():
	case cause = <-failed:
	}
	ready.draining.Store(true)
	if cause == nil && cfg.ShutdownDelay > 0 {
		p.Log.Info("not ready; still accepting", "delay", cfg.ShutdownDelay)
		time.Sleep(cfg.ShutdownDelay)
	}
	p.Log.Info("draining", "timeout", cfg.DrainTimeout)
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), cfg.DrainTimeout)
	defer cancel()
	if err := apiServer.Shutdown(drain); err != nil {
		cause = errors.Join(cause, fmt.Errorf("requests still in flight after DRAIN_TIMEOUT %v were cut off: %w", cfg.DrainTimeout, err))
		apiServer.Close()
	}
	stop()
	metricsServer.Close()
	wg.Wait()
	if cause == nil {
		p.Log.Info("drained")
	}
	return cause
}

// writeTimeout bounds a request from its header to the end of its answer: a client that does not read holds on to nothing for
// longer. A handler that streams lifts it with http.ResponseController.SetWriteDeadline.
const writeTimeout = 2 * time.Minute

var errUnexpected = errors.New("it should run as long as the process")

func (p *Process) httpServer(h http.Handler) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:           h,
		Protocols:         protocols,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(p.Log.Handler(), slog.LevelWarn),
	}
}
