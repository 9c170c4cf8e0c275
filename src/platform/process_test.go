package platform

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain lets the test binary be the service that the tests below start, signal and wait for.
func TestMain(m *testing.M) {
	if os.Getenv("BE_A_SERVICE") == "" {
		os.Exit(m.Run())
	}
	Main("service", NewCommand("serve", "serve", serveTestService))
}

func serveTestService(ctx context.Context, cfg ServerConfig, p *Process) error {
	mux := http.NewServeMux()
	mux.HandleFunc("/across", func(w http.ResponseWriter, _ *http.Request) { // a request that is in flight when the signal comes
		http.NewResponseController(w).Flush()
		<-ctx.Done()
		time.Sleep(50 * time.Millisecond)
		io.WriteString(w, "whole")
	})
	mux.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	return p.Serve(ctx, cfg, Service{Handler: mux})
}

type child struct {
	cmd  *exec.Cmd
	url  string
	logs *bufio.Scanner
}

func startChild(t *testing.T, environ ...string) *child {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: exec.Command(exe)}
	c.cmd.Env = append([]string{"BE_A_SERVICE=1", "LISTEN_ADDRESS=127.0.0.1:0", "METRICS_ADDRESS=127.0.0.1:0"}, environ...)
	stderr, err := c.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.cmd.Process.Kill(); c.cmd.Wait() })
	c.logs = bufio.NewScanner(stderr)
	c.url = "http://" + c.logged(t, "serving")["address"].(string)
	return c
}

// logged reads the log up to a line with a message.
func (c *child) logged(t *testing.T, message string) map[string]any {
	t.Helper()
	for c.logs.Scan() {
		line := map[string]any{}
		if err := json.Unmarshal(c.logs.Bytes(), &line); err != nil && !strings.HasPrefix(c.logs.Text(), "service: ") {
			t.Fatalf("a log line that is not JSON: %s", c.logs.Text())
		}
		if line["msg"] == message {
			return line
		}
		if strings.Contains(c.logs.Text(), message) {
			return line
		}
	}
	t.Fatalf("the log ended without %q", message)
	return nil
}

func (c *child) signal(t *testing.T) {
	t.Helper()
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
}

// begin starts a request and returns once its header is here.
func (c *child) begin(t *testing.T, path string) *http.Response {
	t.Helper()
	resp, err := http.Get(c.url + path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func TestSIGTERMFinishesRequestsInFlightAndExitsZero(t *testing.T) {
	c := startChild(t)
	resp := c.begin(t, "/across")
	c.signal(t)
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "whole" {
		t.Errorf("the request in flight got %q, %v", body, err)
	}
	c.logged(t, "drained")
	if err := c.cmd.Wait(); err != nil {
		t.Errorf("exit: %v", err)
	}
	if _, err := net.Dial("tcp", strings.TrimPrefix(c.url, "http://")); err == nil {
		t.Error("still listening")
	}
}

func TestShutdownDelayServesWhileNotReady(t *testing.T) {
	c := startChild(t, "SHUTDOWN_DELAY=1s")
	if resp := c.begin(t, "/ready"); resp.StatusCode != 200 {
		t.Fatalf("before: %d", resp.StatusCode)
	}
	c.signal(t)
	c.logged(t, "not ready; still accepting")
	resp := c.begin(t, "/ready")
	if body, _ := io.ReadAll(resp.Body); resp.StatusCode != 503 || !strings.Contains(string(body), "draining") {
		t.Errorf("during the delay: %d %s", resp.StatusCode, body)
	}
	c.logged(t, "drained")
	if err := c.cmd.Wait(); err != nil {
		t.Errorf("exit: %v", err)
	}
}

func TestDrainTimeoutCutsOffAndExitsOne(t *testing.T) {
	c := startChild(t, "DRAIN_TIMEOUT=50ms")
	resp := c.begin(t, "/endless")
	c.signal(t)
	if _, err := io.ReadAll(resp.Body); err == nil {
		t.Error("the endless request ended cleanly")
	}
	c.logged(t, "DRAIN_TIMEOUT")
	var exit *exec.ExitError
	if err := c.cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("exit: %v", err)
	}
}

func TestSecondSignalKills(t *testing.T) {
	c := startChild(t, "DRAIN_TIMEOUT=1h")
	c.begin(t, "/endless")
	c.signal(t)
	c.logged(t, "draining")
	exited := make(chan error, 1)
	go func() { exited <- c.cmd.Wait() }()
	var err error
	for waiting := true; waiting; { // the handler of the first signal goes away a moment after the drain begins
		c.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case err = <-exited:
			waiting = false
		case <-time.After(20 * time.Millisecond):
		}
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
		t.Errorf("exit: %v", err)
	}
}

func TestCommandLine(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	fails := func(err error) Command {
		return NewCommand("fail", "fail", func(context.Context, struct{}, *Process) error { return err })
	}
	ok := NewCommand("ok", "do nothing", func(context.Context, testConfig, *Process) error { return nil })
	listen := NewCommand("listen", "listen", serveTestService)
	for _, tt := range []struct {
		name     string
		commands []Command
		args     []string
		environ  []string
		exit     int
		stdout   string
		stderr   string
	}{
		{"the first command is the default", []Command{ok, fails(errors.New("x"))}, nil, nil, 0, "", ""},
		{"another by name", []Command{ok, fails(errors.New("went wrong"))}, []string{"fail"}, nil, 1, "", "svc: went wrong"},
		{"no such command", []Command{ok}, []string{"nope"}, nil, 2, "", `no command "nope"`},
		{"no such option", []Command{ok}, []string{"ok", "--nope"}, nil, 2, "", `no option "--nope"`},
		{"help", []Command{ok}, []string{"--help"}, nil, 0, "do nothing", ""},
		{"version", []Command{ok}, []string{"--version"}, nil, 0, "svc ", ""},
		{"effective configuration", []Command{ok, fails(nil)}, []string{"--print-config"}, []string{"KEY=s3cret", "LOG_LEVEL=warn"}, 0, "KEY=********\nON=false\nLOG_LEVEL=WARN\n", ""},
		{"wrong configuration", []Command{ok}, nil, []string{"COUNT=x"}, 1, "", "COUNT"},
		{"wrong log level", []Command{ok}, nil, []string{"LOG_LEVEL=loud"}, 1, "", "LOG_LEVEL"},
		{"busy port", []Command{listen}, nil, []string{"LISTEN_ADDRESS=" + busy.Addr().String()}, 1, "", "LISTEN_ADDRESS: listen tcp"},
		{"a cancellation of its own is an error", []Command{fails(context.Canceled)}, nil, nil, 1, "", "canceled"},
	} {
		var stdout, stderr strings.Builder
		exit := run(t.Context(), "svc", tt.args, tt.environ, &stdout, &stderr, tt.commands)
		if exit != tt.exit || !strings.Contains(stdout.String(), tt.stdout) || !strings.Contains(stderr.String(), tt.stderr) {
			t.Errorf("%s: exit %d, stdout %q, stderr %q", tt.name, exit, stdout.String(), stderr.String())
		}
		if strings.Contains(stdout.String()+stderr.String(), "s3cret") {
			t.Errorf("%s: a secret was printed", tt.name)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if exit := run(ctx, "svc", nil, nil, io.Discard, io.Discard, []Command{fails(context.Canceled)}); exit != 0 {
		t.Errorf("stopped by a signal: exit %d", exit)
	}
}
