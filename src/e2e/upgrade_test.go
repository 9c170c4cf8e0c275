//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"jupiter-dex-integration/src/e2e/load"
)

// A new version of the chart with the same images is a change of labels: no pod starts again, nobody notices.
func TestChartUpgradeRestartsNothing(t *testing.T) {
	c := connect(t)
	namespace := c.replicated(t, "upgrade")
	p := c.client(t, namespace)
	p.trades(t)
	newer := filepath.Join(t.TempDir(), "chart")
	check(t, os.CopyFS(newer, os.DirFS(chart)))
	bump(t, newer, "Chart.yaml", `(?m)^version: .*`, "version: 99.0.0")
	bump(t, newer, "Chart.yaml", `(?m)^appVersion: .*`, `appVersion: "99.0.0"`)

	before := c.identities(t, namespace)
	// The tags are stated as an overlay's images.yaml states them: the chart's own version decides only where nothing else does.
	args := c.values(t, "--set", "apiGateway.image.tag=0.1.0,priceOracle.image.tag=0.1.0,routeOptimizer.image.tag=0.1.0")
	report := p.under(t, load.Load{Requests: p.mixture(t), Rate: perSecond}, func() {
		c.apply(t, namespace, c.helm(t, namespace, newer, args...)...)
		p.wait(t, 5*time.Second)
		c.settled(t, namespace)
	})
	after := c.identities(t, namespace)
	restarted := 0
	for pod, identity := range before {
		if after[pod] != identity {
			restarted++
			t.Errorf("%s was %q and is %q", pod, identity, after[pod])
		}
	}
	figure(t, "pods restarted by a new chart version", "%d of %d", restarted, len(before))
	unharmed(t, "upgrade of the chart", report)
}

func bump(t *testing.T, dir, file, pattern, text string) {
	t.Helper()
	path := filepath.Join(dir, file)
	old := must(os.ReadFile(path))(t)
	next := regexp.MustCompile(pattern).ReplaceAll(old, []byte(text))
	if string(old) == string(next) {
		t.Fatalf("%s has nothing like %s", file, pattern)
	}
	check(t, os.WriteFile(path, next, fs.FileMode(0o644)))
}

// The key in the Secret changes under load: every replica takes the new one by itself, and none asks with the old one afterwards.
func TestJupiterKeyRotation(t *testing.T) {
	t.Parallel() // mostly waits
	c := connect(t)
	namespace := c.namespace(t, "rotation")
	c.secret(t, namespace, "jupiter", map[string]string{"jupiter-api-key": "first-key"})
	c.apply(t, namespace, c.simulator(t)...)
	// Jupiter behind something that sees the keys.
	c.run(t, namespace, "jupiter", nil, "relay", simulatorURL)
	c.apply(t, namespace, c.helm(t, namespace, chart, c.values(t, "--set", "global.jupiterApiUrl=http://jupiter:8080/swap/v1")...)...)
	c.settled(t, namespace)
	p := c.client(t, namespace)
	p.trades(t)

	type use struct {
		First, Last time.Time
		Calls       int
	}
	var uses map[string]use
	keys := func(ctx context.Context) (map[string]use, error) {
		uses = nil
		_, err := p.get(ctx, "http://jupiter:8080/keys", &uses)
		return uses, err
	}
	var changed time.Time
	report := p.under(t, load.Load{Requests: p.mixture(t), Rate: 20}, func() {
		c.secret(t, namespace, "jupiter", map[string]string{"jupiter-api-key": "second-key"})
		changed = time.Now()
		// The kubelet looks within a minute or so. Quiet for 15 s: all four pods that hold the key have the new one.
		eventually(t, 4*time.Minute, "the end of the first key", func(ctx context.Context) error {
			uses, err := keys(ctx)
			if err == nil && (uses["second-key"].Calls == 0 || time.Since(uses["first-key"].Last) < 15*time.Second) {
				err = fmt.Errorf("the first key was used %s ago, the second %d times", time.Since(uses["first-key"].Last).Round(time.Second), uses["second-key"].Calls)
			}
			return err
		})
	})
	must(keys(t.Context()))(t)
	figure(t, "key rotation: new key first used, old key last used", "%.1f s and %.1f s after the Secret changed; %d and %d calls",
		uses["second-key"].First.Sub(changed).Seconds(), uses["first-key"].Last.Sub(changed).Seconds(), uses["second-key"].Calls, uses["first-key"].Calls)
	if len(uses) != 2 {
		t.Errorf("Jupiter saw keys %v", uses)
	}
	unharmed(t, "key rotation", report)
}
