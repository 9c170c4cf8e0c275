//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"jupiter-dex-integration/src/e2e/load"
)

const (
	argoNamespace = "argocd"
	application   = "jupiter-dex-devnet" // and the project, and the namespace
	branch        = "e2e"
)

var (
	applications = schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "applications"}
	projects     = schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "appprojects"}
)

// From a commit to running pods. The repository's own project and Application are used as they are, but that the Application's
// path is src/e2e/simulated, environments/devnet with a simulator beside it: a cluster for tests reaches neither Jupiter nor Solana.
// Times are from the push, of which Argo CD is told at once, as by a webhook.
func TestFromCommitToRunningPods(t *testing.T) {
	t.Parallel() // mostly waits
	c := connect(t)
	if c.GitURL == "" || c.GitPushURL == "" {
		t.Skip("set E2E_GIT_URL and E2E_GIT_PUSH_URL to a repository that Argo CD can read")
	}
	l := &loop{cluster: c, t: t}
	for _, resource := range []schema.GroupVersionResource{applications, projects} {
		if _, err := c.dynamic.Resource(resource).Namespace(argoNamespace).Get(t.Context(), application, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			t.Fatalf("the cluster has a %s %s, or cannot say (%v): this test would take it away", resource.Resource, application, err)
		}
	}
	l.clone()
	t.Cleanup(l.remove)

	l.step("first sync", func(t *testing.T) {
		l.commit("as it is", nil)
		for _, object := range decode(t, output(t, l.dir, "kustomize", "build", "argocd")) {
			if object.GetName() != application {
				continue
			}
			if object.GetKind() == "Application" {
				check(t, unstructured.SetNestedField(object.Object, "src/e2e/simulated", "spec", "source", "path"))
				annotations := object.GetAnnotations()
				annotations["argocd.argoproj.io/manifest-generate-paths"] += ";/src/e2e/simulated;/src/e2e/simulator"
				object.SetAnnotations(annotations)
			}
			c.apply(t, argoNamespace, object)
		}
		l.healthy("first commit")
		n := 0
		for _, resource := range l.status("resources").([]any) {
			object := resource.(map[string]any)
			if object["status"] != "Synced" {
				t.Errorf("%v %v is %v", object["kind"], object["name"], object["status"])
			}
			n++
		}
		figure(t, "objects synced", "%d", n)
		c.settled(t, application)
	})

	var p *client
	l.step("trades through the Service", func(t *testing.T) {
		p = c.client(t, application)
		// Everything starts at once: the oracle's first update may come before the optimizer, and misses what that alone knows.
		began := time.Now()
		eventually(t, 30*time.Second, "the first trade", func(ctx context.Context) error { return p.trade(ctx, t.Logf) })
		figure(t, "first trade after the first sync", "%s", seconds(began))
	})
	few := load.Load{Requests: p.mixture(t), Rate: 10} // devnet's limit for one client is 1000 in a minute

	l.step("a changed value goes live", func(t *testing.T) {
		before := c.identities(t, application)
		report := p.under(t, few, func() {
			l.commit("devnet: a shorter pause of the breaker", func() {
				l.edit("environments/devnet/values.yaml", "  upstreamMode: optimizer\n", "  upstreamMode: optimizer\n  circuitBreaker:\n    resetTimeout: 21s\n")
			})
			l.healthy("a changed value")
			c.settled(t, application)
		})
		config := must(c.CoreV1().ConfigMaps(application).Get(t.Context(), gateway, metav1.GetOptions{}))(t)
		if got := config.Data["CIRCUIT_BREAKER_RESET_TIMEOUT"]; got != "21s" {
			t.Errorf("the gateway's configuration says %q", got)
		}
		l.replaced(before, gateway)
		unharmed(t, "a changed value, one replica", report)
	})

	l.step("a hand edit is healed", func(t *testing.T) {
		began := time.Now()
		patch := []byte(`{"data":{"CIRCUIT_BREAKER_RESET_TIMEOUT":"99s"}}`)
		must(c.CoreV1().ConfigMaps(application).Patch(t.Context(), gateway, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: "by-hand"}))(t)
		eventually(t, 5*time.Minute, "healing of the ConfigMap", func(ctx context.Context) error {
			config, err := c.CoreV1().ConfigMaps(application).Get(ctx, gateway, metav1.GetOptions{})
			if err == nil && config.Data["CIRCUIT_BREAKER_RESET_TIMEOUT"] != "21s" {
				err = fmt.Errorf("it says %s", config.Data["CIRCUIT_BREAKER_RESET_TIMEOUT"])
			}
			return err
		})
		figure(t, "edited ConfigMap healed after", "%s", seconds(began))
		began = time.Now()
		if err := c.CoreV1().Services(application).Delete(t.Context(), router, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		eventually(t, 5*time.Minute, "the Service's return", func(ctx context.Context) error {
			_, err := c.CoreV1().Services(application).Get(ctx, router, metav1.GetOptions{})
			return err
		})
		figure(t, "deleted Service back after", "%s", seconds(began))
	})

	l.step("what leaves Git is pruned", func(t *testing.T) {
		note := filepath.Join(l.dir, "src/e2e/simulated/note.yaml")
		l.commit("an object more", func() {
			check(t, os.WriteFile(note, []byte("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: note\ndata:\n  text: here\n"), 0o644))
			l.edit("src/e2e/simulated/kustomization.yaml", "  - policy.yaml\n", "  - policy.yaml\n  - note.yaml\n")
		})
		l.healthy("an object more")
		must(c.CoreV1().ConfigMaps(application).Get(t.Context(), "note", metav1.GetOptions{}))(t)
		l.commit("an object less", func() {
			check(t, os.Remove(note))
			l.edit("src/e2e/simulated/kustomization.yaml", "  - note.yaml\n", "")
		})
		l.healthy("an object less")
		// Argo CD prunes last, when all else is healthy.
		eventually(t, time.Minute, "the end of what left Git", func(ctx context.Context) error {
			_, err := c.CoreV1().ConfigMaps(application).Get(ctx, "note", metav1.GetOptions{})
			if err == nil {
				err = fmt.Errorf("it is still there")
			}
			return ignoreNotFound(err)
		})
		figure(t, "an object less: pruned after", "%s", seconds(l.pushed))
	})

	l.step("a commit that does not render changes nothing", func(t *testing.T) {
		before := c.identities(t, application)
		report := p.under(t, few, func() {
			l.commit("a misspelt key", func() {
				l.edit("environments/devnet/values.yaml", "  upstreamMode: optimizer\n", "  upstreamMood: optimizer\n")
			})
			began := time.Now()
			eventually(t, 5*time.Minute, "Argo CD's complaint", func(context.Context) error {
				message := fmt.Sprint(l.status("conditions"))
				if !strings.Contains(message, "ComparisonError") || !strings.Contains(message, "upstreamMood") {
					return fmt.Errorf("conditions %.200s", message)
				}
				return nil
			})
			figure(t, "misspelt key reported after", "%s, %s", seconds(began), "by its name")
			p.wait(t, 10*time.Second)
		})
		l.replaced(before)
		unharmed(t, "a commit that does not render", report)
		l.revert("a misspelt key")
	})

	l.step("a commit that cannot run leaves the old pods", func(t *testing.T) {
		before := c.identities(t, application)
		report := p.under(t, few, func() {
			// Pools that do not exist: the new optimizer has none, so it never gets ready.
			l.commit("pools that are none", func() {
				l.edit("src/e2e/simulated/kustomization.yaml", "5xFjKk9ca4K82RgiExkLGHZisPtGkLpWRQoSw3xfLazW,3a4hugcnhzGVqJBeCqzLg7EqWhS3NCBXck8wQ7SWGjHt,J85Dg9ioqaHVMG7tWRWKEvYciJQantUFLXQjy5UQkoZ8,FxXRGrjYWMudAvbmLfQpDrkMCPrT7DDkwgSwCDsjbh7a,J824c3TL6GcW6Hp2mLiPfgbeR76JsJ2QMwHcQg2c7pEz",
					solMint)
				l.edit("environments/devnet/values.yaml", "  pools:\n", "  podAnnotations:\n    e2e: broken\n  pools:\n")
			})
			eventually(t, 5*time.Minute, "a new pod that waits", func(context.Context) error {
				for _, pod := range c.pods(t, application, "route-optimizer") {
					if _, old := before[pod.Name]; !old {
						return nil
					}
				}
				return fmt.Errorf("health is %v", l.status("health", "status"))
			})
			p.wait(t, 15*time.Second)
			if health := l.status("health", "status"); health != "Progressing" && health != "Degraded" {
				t.Errorf("health is %v while the new pod is not ready", health)
			}
			serving := 0
			for _, pod := range c.pods(t, application, "route-optimizer") {
				if ready(&pod) {
					serving++
					if _, old := before[pod.Name]; !old {
						t.Errorf("%s got ready without pools", pod.Name)
					}
				}
			}
			if serving != 1 {
				t.Errorf("%d optimizers serve, want the old one", serving)
			}
		})
		unharmed(t, "a commit that cannot run", report)
		began := time.Now()
		l.revert("pools that are none")
		figure(t, "rolled back after", "%s", seconds(began))
		c.settled(t, application)
		p.trades(t)
		l.replaced(before)
	})
}

// A loop is the way from a clone to the cluster.
type loop struct {
	*cluster
	t        *testing.T // of the step
	dir      string     // the clone
	revision string     // the last commit
	pushed   time.Time
}

// step stops the whole test when it fails: the next ones build on it.
func (l *loop) step(name string, do func(t *testing.T)) {
	whole := l.t
	whole.Helper()
	ok := whole.Run(name, func(t *testing.T) {
		l.t = t
		do(t)
	})
	l.t = whole
	if !ok {
		whole.FailNow()
	}
}

// clone makes a repository of the files as they are, with this cluster's images and Git server put in where the documentation
// says.
func (l *loop) clone() {
	l.dir = l.t.TempDir()
	archive := exec.CommandContext(l.t.Context(), "bash", "-c", `git ls-files -z --cached --others --exclude-standard | xargs -0 -n 500 sh -c 'for f; do [ -f "$f" ] && printf "%s\0" "$f"; done' sh | tar --null -T - -c | tar -x -C "$0"`, l.dir)
	archive.Dir = root
	if out, err := archive.CombinedOutput(); err != nil {
		l.t.Fatalf("copying the repository: %v: %s", err, out)
	}
	l.git("init", "-q", "-b", branch)
	l.edit("charts/jupiter-dex-integration/values.yaml", registry, l.Registry)
	l.edit("src/e2e/simulator/simulator.yaml", registry, l.Registry)
	if l.Images != "" {
		images := must(os.ReadFile(l.Images))(l.t)
		check(l.t, os.WriteFile(filepath.Join(l.dir, "environments/devnet/images.yaml"), images, 0o644))
	}
	l.edit("argocd/repository.yaml", "url: https://git.example.com/jupiter-dex/jupiter-dex-integration.git", "url: "+l.GitURL)
	l.edit("argocd/repository.yaml", "revision: main", "revision: "+branch)
}

func (l *loop) git(args ...string) string {
	l.t.Helper()
	args = append([]string{"-c", "user.name=e2e", "-c", "user.email=e2e@example.com"}, args...)
	return strings.TrimSpace(string(output(l.t, l.dir, "git", args...)))
}

// edit replaces a text that must be there.
func (l *loop) edit(file, old, new string) {
	l.t.Helper()
	path := filepath.Join(l.dir, file)
	text := must(os.ReadFile(path))(l.t)
	if !bytes.Contains(text, []byte(old)) {
		l.t.Fatalf("%s does not hold %q", file, old)
	}
	check(l.t, os.WriteFile(path, bytes.ReplaceAll(text, []byte(old), []byte(new)), 0o644))
}

// commit pushes what change does.
func (l *loop) commit(message string, change func()) {
	l.t.Helper()
	if change != nil {
		change()
	}
	l.git("add", "-A")
	l.git("commit", "-q", "-m", message)
	l.push()
}

func (l *loop) revert(what string) {
	l.t.Helper()
	l.git("revert", "--no-edit", "HEAD")
	l.push()
	l.healthy("revert of " + what)
}

func (l *loop) push() {
	l.t.Helper()
	l.git("push", "-q", "--force", l.GitPushURL, "HEAD:refs/heads/"+branch)
	l.revision, l.pushed = l.git("rev-parse", "HEAD"), time.Now()
	// What a webhook of the Git host does. Without one Argo CD looks every few minutes.
	refresh := []byte(`{"metadata":{"annotations":{"argocd.argoproj.io/refresh":"normal"}}}`)
	_, err := l.dynamic.Resource(applications).Namespace(argoNamespace).Patch(l.t.Context(), application, types.MergePatchType, refresh, metav1.PatchOptions{})
	check(l.t, ignoreNotFound(err)) // before the first sync there is none
}

// status reads a field below the Application's status, nil if it is not there.
func (l *loop) status(fields ...string) any {
	l.t.Helper()
	return below(l.wholeStatus(), fields...)
}

// wholeStatus is the Application's status. What two fields say together is read from one.
func (l *loop) wholeStatus() map[string]any {
	l.t.Helper()
	object := must(l.dynamic.Resource(applications).Namespace(argoNamespace).Get(l.t.Context(), application, metav1.GetOptions{}))(l.t)
	status, _ := object.Object["status"].(map[string]any)
	return status
}

func below(object map[string]any, fields ...string) any {
	value, _, _ := unstructured.NestedFieldNoCopy(object, fields...)
	return value
}

// healthy waits until the last commit is live, and tells how long that took.
func (l *loop) healthy(what string) {
	l.t.Helper()
	eventually(l.t, 6*time.Minute, "sync", func(context.Context) error {
		status := l.wholeStatus()
		sync, revision := below(status, "sync", "status"), below(status, "sync", "revision")
		if sync != "Synced" || revision != l.revision {
			return fmt.Errorf("%v at %v, want %s; %.500v; %.300v", sync, revision, l.revision, status["conditions"], below(status, "operationState", "message"))
		}
		return nil
	})
	synced := seconds(l.pushed)
	eventually(l.t, 6*time.Minute, "health", func(context.Context) error {
		if health := l.status("health", "status"); health != "Healthy" {
			return fmt.Errorf("it is %v: %.300v", health, l.status("operationState", "message"))
		}
		return nil
	})
	figure(l.t, what+": commit → Synced → Healthy", "%s, %s", synced, seconds(l.pushed))
}

// replaced fails unless exactly the pods of these Deployments are others than before, or started again.
func (l *loop) replaced(before map[string]string, deployments ...string) {
	l.t.Helper()
	l.gone(l.t, application)
	after := l.identities(l.t, application)
	want := func(pod string) bool {
		for _, deployment := range deployments {
			if strings.HasPrefix(pod, deployment+"-") {
				return true
			}
		}
		return false
	}
	for pod, identity := range before {
		if changed := after[pod] != identity; changed != want(pod) {
			l.t.Errorf("%s was %q and is %q", pod, identity, after[pod])
		}
	}
}

// remove takes all of it away again.
func (l *loop) remove() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if l.t.Failed() && l.Keep {
		return
	}
	for _, resource := range []schema.GroupVersionResource{applications, projects} {
		if err := l.dynamic.Resource(resource).Namespace(argoNamespace).Delete(ctx, application, metav1.DeleteOptions{}); ignoreNotFound(err) != nil {
			l.t.Error(err)
		}
	}
	l.removeNamespace(l.t, application)
	// The branch, in a repository that may hold others.
	if l.revision != "" {
		push := exec.CommandContext(ctx, "git", "push", "-q", l.GitPushURL, ":refs/heads/"+branch)
		push.Dir = l.dir
		if out, err := push.CombinedOutput(); err != nil {
			l.t.Errorf("removing the branch: %v: %s", err, out)
		}
	}
}
