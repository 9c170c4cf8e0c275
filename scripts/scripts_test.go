// Package scripts holds the tests of the operator's scripts beside it.
package scripts

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// clone is a repository of one's own with what the scripts work on.
type clone struct {
	t    *testing.T
	root string
}

func newClone(t *testing.T) *clone {
	t.Helper()
	c := &clone{t, t.TempDir()}
	for _, file := range []string{"scripts/promote", "scripts/configure", "argocd/repository.yaml", "charts/jupiter-dex-integration/values.yaml"} {
		data, err := os.ReadFile(filepath.Join("..", file))
		if err != nil {
			t.Fatal(err)
		}
		c.write(file, string(data))
		if strings.HasPrefix(file, "scripts/") {
			if err := os.Chmod(filepath.Join(c.root, file), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	c.write("Makefile", "generate:\n\t@:\n")
	c.git("init", "-q")
	for _, network := range []string{"devnet", "testnet", "mainnet"} {
		c.write(images(network), pinned("0"))
	}
	c.commit("the first release")
	return c
}

func images(network string) string { return "environments/" + network + "/images.yaml" }

// pinned is an images.yaml whose digests are of one digit.
func pinned(digit string) string {
	digest := "sha256:" + strings.Repeat(digit, 64)
	return "# The images.\napiGateway:\n  image:\n    tag: 1." + digit + "\n    digest: " + digest + "\nredis:\n  image:\n    tag: 8\n    digest: " + digest + "\n"
}

func (c *clone) write(file, text string) {
	c.t.Helper()
	path := filepath.Join(c.root, file)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		c.t.Fatal(err)
	}
}

func (c *clone) read(file string) string {
	c.t.Helper()
	data, err := os.ReadFile(filepath.Join(c.root, file))
	if err != nil {
		c.t.Fatal(err)
	}
	return string(data)
}

func (c *clone) run(command string, args ...string) (string, error) {
	cmd := exec.CommandContext(c.t.Context(), command, args...)
	cmd.Dir = c.root
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=t", "GIT_AUTHOR_EMAIL=t@example.com", "GIT_COMMITTER_NAME=t", "GIT_COMMITTER_EMAIL=t@example.com")
	output, err := cmd.CombinedOutput()
	return string(output), err
}

func (c *clone) git(args ...string) string {
	c.t.Helper()
	output, err := c.run("git", args...)
	if err != nil {
		c.t.Fatalf("git %v: %v\n%s", args, err, output)
	}
	return strings.TrimSpace(output)
}

func (c *clone) commit(message string) string {
	c.t.Helper()
	c.git("add", "-A")
	c.git("commit", "-q", "--no-verify", "-m", message)
	return c.git("rev-parse", "HEAD")
}

// changed lists the files that differ from the last commit.
func (c *clone) changed() []string {
	c.t.Helper()
	return strings.Fields(c.git("diff", "--name-only", "HEAD"))
}

func (c *clone) promote(args ...string) {
	c.t.Helper()
	if output, err := c.run("scripts/promote", args...); err != nil {
		c.t.Fatalf("promote %v: %v\n%s", args, err, output)
	}
}

func (c *clone) refused(why string, args ...string) {
	c.t.Helper()
	before := c.git("diff", "HEAD")
	output, err := c.run("scripts/promote", args...)
	if err == nil || !strings.Contains(output, why) {
		c.t.Errorf("promote %v does not refuse with %q: %v\n%s", args, why, err, output)
	}
	if after := c.git("diff", "HEAD"); after != before {
		c.t.Errorf("promote %v refused, and changed\n%s", args, after)
	}
}

func TestPromotionChangesTheTargetsImagesAlone(t *testing.T) {
	c := newClone(t)
	c.write(images("devnet"), pinned("1"))
	c.commit("devnet: 1")
	c.promote("devnet", "testnet")
	if got := c.changed(); !slices.Equal(got, []string{images("testnet")}) || c.read(images("testnet")) != pinned("1") {
		t.Errorf("changed %v to\n%s", got, c.read(images("testnet")))
	}
	c.commit("testnet: 1")
	c.promote("--check")
	c.promote("testnet", "mainnet")
	c.commit("mainnet: 1")
	c.promote("--check")
}

func TestPromotionOfAnEarlierCommit(t *testing.T) {
	c := newClone(t)
	c.write(images("devnet"), pinned("1"))
	proven := c.commit("devnet: 1")
	c.write(images("devnet"), pinned("2"))
	c.commit("devnet: 2")
	c.promote("devnet", "testnet", proven)
	if c.read(images("testnet")) != pinned("1") {
		t.Errorf("testnet has\n%s", c.read(images("testnet")))
	}
	c.commit("testnet: 1")
	c.promote("--check") // devnet has moved on since, but had it
}

func TestPromotionRefuses(t *testing.T) {
	c := newClone(t)
	c.refused("is no step of", "devnet", "mainnet")
	c.refused("is no step of", "mainnet", "testnet")
	c.refused("is no step of", "devnet", "moon")
	c.refused("usage", "devnet")

	c.write(images("devnet"), pinned("1"))
	c.refused("is not committed", "devnet", "testnet")
	c.commit("devnet: 1")
	c.write(images("testnet"), pinned("3"))
	c.refused("has changes of its own", "devnet", "testnet")
	c.git("checkout", "-q", "--", images("testnet"))

	c.write(images("devnet"), strings.Replace(pinned("1"), "sha256:"+strings.Repeat("1", 64), `""`, 1))
	c.commit("devnet: a tag")
	c.refused("devnet has no digest for apiGateway:", "devnet", "testnet")

	main := c.git("rev-parse", "--abbrev-ref", "HEAD")
	c.git("checkout", "-q", "-b", "aside")
	c.write(images("devnet"), pinned("4"))
	aside := c.commit("devnet: 4, never merged")
	c.git("checkout", "-q", main)
	c.refused("is not in the history", "devnet", "testnet", aside)
}

func TestCheckFindsWhatTheNetworkBeforeNeverHad(t *testing.T) {
	c := newClone(t)
	c.write(images("devnet"), pinned("1"))
	c.commit("devnet: 1")
	c.write(images("mainnet"), pinned("1"))
	c.commit("mainnet: 1, past testnet")
	c.refused("mainnet has what testnet has never had: sha256:1111", "--check")
	shallow := &clone{t, t.TempDir()}
	shallow.git("clone", "-q", "--depth", "1", "file://"+c.root, ".")
	shallow.refused("git fetch --unshallow", "--check")
}

// TestNetworksHaveWhatThoseBeforeHad is the check of this repository itself.
func TestNetworksHaveWhatThoseBeforeHad(t *testing.T) {
	if output, err := exec.CommandContext(t.Context(), "git", "rev-parse", "--is-shallow-repository").CombinedOutput(); err != nil || strings.TrimSpace(string(output)) != "false" {
		t.Skipf("no history to look at: %v %s", err, output)
	}
	if output, err := exec.CommandContext(t.Context(), "./promote", "--check").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, output)
	}
}

func TestConfigureStatesEachOnce(t *testing.T) {
	c := newClone(t)
	if output, err := c.run("scripts/configure", "https://github.com/acme/dex.git", "ghcr.io/acme/dex"); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	if got := c.changed(); !slices.Equal(got, []string{"argocd/repository.yaml", "charts/jupiter-dex-integration/values.yaml"}) {
		t.Errorf("changed %v", got)
	}
	diff := c.git("diff", "-U0", "HEAD")
	for _, line := range []string{"\n+  url: https://github.com/acme/dex.git", "\n+  imageRegistry: ghcr.io/acme/dex"} {
		if !strings.Contains(diff, line) {
			t.Errorf("lacks %q\n%s", line, diff)
		}
	}
	if n := strings.Count(diff, "\n+ "); n != 2 {
		t.Errorf("%d lines changed\n%s", n, diff)
	}
	for _, args := range [][]string{{"https://github.com/acme/dex.git"}, {"not a url", "ghcr.io/acme"}, {"https://github.com/acme/dex.git", "https://ghcr.io/acme"}} {
		if output, err := c.run("scripts/configure", args...); err == nil || !strings.Contains(output, "configure: ") {
			t.Errorf("configure %v: %v\n%s", args, err, output)
		}
	}
}
