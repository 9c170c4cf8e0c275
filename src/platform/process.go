package platform

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"syscall"
	_ "time/tzdata" // images have no zone files

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	_ "golang.org/x/crypto/x509roots/fallback" // nor CA roots; a mounted bundle still wins
)

// Process is what one running service has of its own; several may share an operating-system process.
type Process struct {
	Name     string
	Log      *slog.Logger
	Registry *prometheus.Registry
	// Listen opens a TCP address.
	Listen func(address string) (net.Listener, error)
}

// NewProcess returns a Process that logs to log, listens on real addresses and has an empty registry.
func NewProcess(name string, log *slog.Logger) *Process {
	return &Process{
		Name:     name,
		Log:      log.With("service", name),
		Registry: prometheus.NewRegistry(),
		Listen:   func(address string) (net.Listener, error) { return net.Listen("tcp", address) },
	}
}

// Command is one subcommand of a binary.
type Command struct {
	name, help string
	run        func(ctx context.Context, environ []string, printOnly io.Writer, p *Process) error
}

// NewCommand makes a subcommand whose configuration is a C.
func NewCommand[C any](name, help string, run func(ctx context.Context, cfg C, p *Process) error) Command {
	return Command{name, help, func(ctx context.Context, environ []string, printOnly io.Writer, p *Process) error {
		cfg, err := Load[C](environ)
		if err != nil {
			return fmt.Errorf("configuration: %w", err)
		}
		if printOnly != nil {
			return Print(printOnly, cfg)
		}
		return run(ctx, cfg, p)
	}}
}

type logConfig struct {
	LogLevel slog.Level `env:"LOG_LEVEL" envDefault:"info"`
}

// Main runs a binary: `NAME [SUBCOMMAND] [--print-config]`, the first command being the default. SIGTERM or SIGINT ends the
// context that the command gets; a second signal kills. It exits 0 after a clean end, 1 after an error, 2 for bad usage.
func Main(name string, commands ...Command) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, name, os.Args[1:], os.Environ(), os.Stdout, os.Stderr, commands))
}

func run(ctx context.Context, name string, args, environ []string, stdout, stderr io.Writer, commands []Command) int {
	command := commands[0]
	if len(args) > 0 && args[0] != "" && args[0][0] != '-' {
		i := slices.IndexFunc(commands, func(c Command) bool { return c.name == args[0] })
		if i < 0 {
			fmt.Fprintf(stderr, "%s: no command %q\n", name, args[0])
			usage(stderr, name, commands)
			return 2
		}
		command, args = commands[i], args[1:]
	}
	var printOnly io.Writer
	for _, arg := range args {
		switch arg {
		case "--print-config":
			printOnly = stdout
		case "--version":
			fmt.Fprintln(stdout, name, Version())
			return 0
		case "-h", "--help":
			usage(stdout, name, commands)
			return 0
		default:
			fmt.Fprintf(stderr, "%s: no option %q\n", name, arg)
			usage(stderr, name, commands)
			return 2
		}
	}
	level, err := Load[logConfig](environ)
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", name, err)
		return 1
	}
	lines := NewLogWriter(stderr)
	log := NewLogger(lines, level.LogLevel)
	slog.SetDefault(log.With("service", name)) // for what has no Process at hand
	p := NewProcess(name, log)
	p.Registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewBuildInfoCollector())
	err = command.run(ctx, environ, printOnly, p)
	lines.Close()
	if err == nil && printOnly != nil {
		err = Print(printOnly, level)
	}
	if err != nil && !(errors.Is(err, context.Canceled) && ctx.Err() != nil) {
		fmt.Fprintf(stderr, "%s: %v\n", name, err)
		return 1
	}
	return 0
}

func usage(w io.Writer, name string, commands []Command) {
	fmt.Fprintf(w, "usage: %s [command] [--print-config] [--version]\n", name)
	for _, c := range commands {
		fmt.Fprintf(w, "  %-10s %s\n", c.name, c.help)
	}
	fmt.Fprintln(w, "Configuration is read from environment variables; --print-config lists them with their effective values.")
}

// Version is the commit that the binary was built from, "unknown" outside a checkout.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return "unknown"
}
