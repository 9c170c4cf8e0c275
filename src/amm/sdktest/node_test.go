package sdktest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// node is a script of scripts/sdk, which answers each line of JSON with one.
type node struct {
	t       testing.TB
	stdin   *json.Encoder
	answers *bufio.Scanner
	stderr  bytes.Buffer
}

// start runs a script in build/sdk, where `make sdk` installs the packages. Without them the test is skipped, unless REQUIRE_NODE is set.
func start(t testing.TB, script string, args ...string) *node {
	t.Helper()
	dir, err := filepath.Abs("../../../build/sdk")
	if err != nil {
		t.Fatal(err)
	}
	_, err = os.Stat(filepath.Join(dir, "node_modules"))
	if err == nil {
		_, err = exec.LookPath("node")
	}
	if err != nil {
		if os.Getenv("REQUIRE_NODE") == "1" {
			t.Fatalf("node or the SDKs are missing, run `make sdk`: %v", err)
		}
		t.Skip("skipped: node or the AMMs' SDKs are not installed; `make sdk` installs them")
	}
	// The test's own context ends before its cleanup, which waits for the process.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 5*time.Minute)
	n := &node{t: t}
	cmd := exec.CommandContext(ctx, "node", append([]string{script}, args...)...)
	cmd.Dir, cmd.Stderr = dir, &n.stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		defer cancel()
		stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("node %s: %v\n%s", script, err, &n.stderr)
		}
	})
	n.stdin, n.answers = json.NewEncoder(stdin), bufio.NewScanner(stdout)
	n.answers.Buffer(nil, 16<<20)
	return n
}

// ask sends one question and reads its answer.
func (n *node) ask(question, answer any) {
	n.t.Helper()
	err := n.stdin.Encode(question)
	if err == nil && !n.answers.Scan() {
		err = n.answers.Err()
	}
	if err == nil {
		err = json.Unmarshal(n.answers.Bytes(), answer)
	}
	if err != nil {
		n.t.Fatalf("asking node: %v", err) // what it wrote about it follows when it has ended
	}
}
