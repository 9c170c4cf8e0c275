package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"jupiter-dex-integration/src/platform"
)

// The test binary is the program itself when asked: signals and exit codes need a real process.
func TestMain(m *testing.M) {
	if os.Getenv("JUPITER_DEX_TEST_MAIN") == "1" {
		main()
	}
	os.Exit(m.Run())
}

// process starts the program on free ports.
func process(t *testing.T, env []string, args ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), "JUPITER_DEX_TEST_MAIN=1",
		"GATEWAY_PORT=0", "ORACLE_PORT=0", "OPTIMIZER_PORT=0", "GATEWAY_METRICS_PORT=0", "ORACLE_METRICS_PORT=0",
		"OPTIMIZER_METRICS_PORT=0", "EMBEDDED_REDIS_PORT=0", "SIMULATOR_PORT=0", "SIMULATOR_METRICS_PORT=0")
	cmd.Env = append(cmd.Env, env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	return cmd, &stderr
}

func TestSmokePasses(t *testing.T) {
	cmd, stderr := process(t, nil, "smoke")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("smoke: %v\n%s%s", err, out, stderr)
	}
	for _, line := range []string{"quote  1 SOL gives", "price  SOL is", "swap   a transaction"} {
		if !strings.Contains(string(out), line) {
			t.Errorf("no %q in:\n%s", line, out)
		}
	}
}

func TestSmokeFailsWhenTheUpstreamIsGone(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	// The oracle has never had a price then, and says so.
	cmd, stderr := process(t, []string{"JUPITER_API_URL=http://" + closed.Addr().String() + "/swap/v1", "READY_TIMEOUT=2s"}, "smoke")
	if out, err := cmd.Output(); err == nil {
		t.Fatalf("smoke passed without Jupiter:\n%s", out)
	}
	if !strings.Contains(stderr.String(), "not ready") {
		t.Errorf("the error does not say what is not ready: %s", stderr)
	}
}

func TestRunAnswersWhatItSaysToTryThenDrainsAndExitsZero(t *testing.T) {
	cmd, stderr := process(t, nil, "run")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var printed bytes.Buffer
	for buf := make([]byte, 4096); !strings.Contains(printed.String(), "Ctrl-C"); {
		n, err := out.Read(buf)
		printed.Write(buf[:n])
		if err != nil {
			t.Fatalf("ended early: %v\n%s%s", err, &printed, stderr)
		}
	}
	tries := regexp.MustCompile(`(?m)^  curl .*?(http://[^' ]+)`).FindAllStringSubmatch(printed.String(), -1)
	if len(tries) != 5 {
		t.Fatalf("want five commands to try in:\n%s", &printed)
	}
	for _, try := range tries {
		status, body, err := get(t.Context(), try[1])
		if err != nil || status != http.StatusOK {
			t.Errorf("%s: status %d, %v: %s", try[1], status, err, body)
		}
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after Ctrl-C: %v\n%s", err, stderr)
	}
}

func TestABusyPortIsOneClearLine(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	port := busy.Addr().(*net.TCPAddr).Port
	cmd, stderr := process(t, []string{fmt.Sprintf("GATEWAY_PORT=%d", port)}, "run")
	if err := cmd.Run(); err == nil {
		t.Fatal("started on a busy port")
	}
	line := strings.TrimSpace(stderr.String())
	if strings.Contains(line, "\n") || !strings.Contains(line, "GATEWAY_PORT") || !strings.Contains(line, "address already in use") {
		t.Errorf("want one line that names GATEWAY_PORT and the reason, got:\n%s", line)
	}
}

func TestAWrongVariableIsOneClearLine(t *testing.T) {
	for variable, value := range map[string]string{
		"GATEWAY_PORT":            "eighty",             // of the stack itself
		"CIRCUIT_BREAKER_TIMEOUT": "thirty",             // of the gateway
		"SOLANA_RPC_URL":          "http://rpc.example", // needs POOLS
		"PRICE_TOKENS":            "not-a-mint",         // of the oracle
	} {
		t.Run(variable, func(t *testing.T) {
			cmd, stderr := process(t, []string{variable + "=" + value}, "run")
			if err := cmd.Run(); err == nil {
				t.Fatalf("started with %s=%s", variable, value)
			}
			line := strings.TrimSpace(stderr.String())
			if strings.Contains(line, "\n") || !strings.Contains(line, variable) {
				t.Errorf("want one line that names %s, got:\n%s", variable, line)
			}
		})
	}
}

// The official client of Jupiter, unchanged, must get a quote and a swap transaction through the gateway, from Jupiter and,
// where there is no Jupiter, from the route-optimizer. `make client`
// installs it; without it the test says that it was skipped, unless REQUIRE_NODE is set.
func TestOfficialClientQuotesAndSwaps(t *testing.T) {
	dir, err := filepath.Abs("../../../build/client")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "@jup-ag", "api")); err != nil {
		if os.Getenv("REQUIRE_NODE") == "1" {
			t.Fatalf("the official client is not installed, run `make client`: %v", err)
		}
		t.Skip("skipped: the official client is not installed; `make client` installs it")
	}
	cfg, err := platform.Load[config](nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, mode := range []string{"jupiter", "optimizer"} {
		t.Run(mode, func(t *testing.T) {
			t.Setenv("UPSTREAM_MODE", mode)
			err := withStack(t.Context(), cfg.freePorts(), func(ctx context.Context, s *stack) error {
				cmd := exec.CommandContext(ctx, "node", "check.mjs", s.url("GATEWAY_PORT"))
				cmd.Dir = dir
				out, err := cmd.CombinedOutput()
				t.Logf("%s", out)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}
