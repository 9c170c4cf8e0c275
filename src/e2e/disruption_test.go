//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"jupiter-dex-integration/src/e2e/load"
)

// perSecond is the load under which things are done to the tier: enough that a moment's outage is seen.
const perSecond = 40

// What is planned costs nobody a request: rollouts of every Deployment, and evictions as far as the budgets allow. What is not,
// the loss of a pod or of Redis, costs at most what was in flight, and is over in seconds.
func TestDisruptionUnderLoad(t *testing.T) {
	c := connect(t)
	namespace := c.replicated(t, "disruption")
	p := c.client(t, namespace)
	p.trades(t)
	mixture := load.Load{Requests: p.mixture(t), Rate: perSecond}

	for _, name := range []string{gateway, oracle, router} {
		t.Run("rolling restart of "+name, func(t *testing.T) {
			var took string
			report := p.under(t, mixture, func() {
				began := time.Now()
				patch := fmt.Sprintf(`{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":%q}}}}}`, began.Format(time.RFC3339))
				must(c.AppsV1().Deployments(namespace).Patch(t.Context(), name, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}))(t)
				c.settled(t, namespace)
				took = seconds(began)
				c.gone(t, namespace)
			})
			figure(t, "rolling restart of "+name+" took", "%s", took)
			unharmed(t, "rolling restart of "+name, report)
		})
	}

	for _, component := range []string{"api-gateway", "price-oracle", "route-optimizer"} {
		t.Run("eviction of "+component, func(t *testing.T) {
			refused := 0
			report := p.under(t, mixture, func() {
				pods := c.pods(t, namespace, component)
				if err := c.evict(t.Context(), &pods[0]); err != nil {
					t.Fatalf("the first of %d: %v", len(pods), err)
				}
				if err := c.evict(t.Context(), &pods[1]); !apierrors.IsTooManyRequests(err) {
					t.Errorf("the second at once: %v, want a refusal by the budget", err)
				}
				refused++
				eventually(t, 2*time.Minute, "the second eviction", func(ctx context.Context) error {
					err := c.evict(ctx, &pods[1])
					if apierrors.IsTooManyRequests(err) {
						refused++
					}
					return err
				})
				c.settled(t, namespace)
				c.gone(t, namespace)
			})
			unharmed(t, "eviction of both pods of "+component, report)
			t.Logf("the budget refused %d times until the first was replaced", refused)
		})
	}

	t.Run("restart of the node's kubelet", func(t *testing.T) {
		if c.RestartKubelet == "" {
			t.Skip("set E2E_RESTART_KUBELET to a command that restarts the kubelet of the node $NODE")
		}
		before := c.identities(t, namespace)
		report := p.under(t, mixture, func() {
			c.restartKubelet(t, c.pods(t, namespace, "api-gateway")[0].Spec.NodeName)
			p.wait(t, 15*time.Second) // one that forgot its pods would do so with its first probes of them
			c.settled(t, namespace)
		})
		if diff := cmp.Diff(before, c.identities(t, namespace)); diff != "" {
			t.Errorf("pods are others, or have restarted:\n%s", diff)
		}
		unharmed(t, "restart of the node's kubelet", report)
	})

	for _, component := range []string{"api-gateway", "price-oracle", "route-optimizer"} {
		t.Run("death of a pod of "+component, func(t *testing.T) {
			report := p.under(t, mixture, func() {
				c.kill(t, &c.pods(t, namespace, component)[0])
				p.wait(t, 2*time.Second) // until the Deployment knows
				c.settled(t, namespace)
			})
			bounded(t, "death of one pod of "+component, report)
		})
	}
	t.Run("death of Redis", func(t *testing.T) {
		report := p.under(t, mixture, func() {
			c.kill(t, must(c.CoreV1().Pods(namespace).Get(t.Context(), release+"-redis-master-0", metav1.GetOptions{}))(t))
			c.settled(t, namespace)
			p.wait(t, 3*time.Second)
		})
		unharmed(t, "death of Redis", report)
	})
	t.Run("death of every pod", func(t *testing.T) {
		began := time.Now()
		report := p.under(t, mixture, func() {
			for _, component := range []string{"api-gateway", "price-oracle", "route-optimizer"} {
				for _, pod := range c.pods(t, namespace, component) {
					c.kill(t, &pod)
				}
			}
			eventually(t, 2*time.Minute, "trade", func(ctx context.Context) error { return p.trade(ctx, t.Logf) })
			t.Logf("trades again after %s", seconds(began))
			c.settled(t, namespace)
		})
		figure(t, "death of every pod at once", "%s", summary(report))
		p.trades(t)
	})
}

// restartKubelet restarts a node's kubelet and waits until the new one has said that the node is ready.
func (c *cluster) restartKubelet(t *testing.T, name string) {
	t.Helper()
	started := func(ctx context.Context) (string, error) {
		raw, err := c.CoreV1().RESTClient().Get().Resource("nodes").Name(name).SubResource("proxy").Suffix("metrics").DoRaw(ctx)
		if err != nil {
			return "", err
		}
		return string(regexp.MustCompile(`(?m)^process_start_time_seconds .*`).Find(raw)), nil
	}
	old := must(started(t.Context()))(t)
	began := time.Now()
	command := exec.CommandContext(t.Context(), "sh", "-c", c.RestartKubelet)
	command.Env = append(os.Environ(), "NODE="+name)
	command.WaitDelay = time.Second // a kubelet that it leaves behind may hold its output
	if out, err := command.CombinedOutput(); err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		t.Fatalf("E2E_RESTART_KUBELET: %v: %s", err, out)
	}
	eventually(t, time.Minute, "another kubelet", func(ctx context.Context) error {
		now, err := started(ctx)
		if err == nil && now == old {
			err = fmt.Errorf("it is the old one")
		}
		return err
	})
	eventually(t, 2*time.Minute, "node "+name, func(ctx context.Context) error {
		node, err := c.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, condition := range node.Status.Conditions {
			if condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue && !condition.LastHeartbeatTime.Time.Before(began.Truncate(time.Second)) {
				return nil
			}
		}
		return fmt.Errorf("it is not ready since the restart: %v", node.Status.Conditions)
	})
	figure(t, "restart of the node's kubelet: Ready again", "%s", seconds(began))
}

// bounded allows a sudden death what was on its way to the dead: 2 s of the load, and all must be well 10 s later.
func bounded(t *testing.T, what string, r load.Report) {
	t.Helper()
	figure(t, what, "%s", summary(r))
	for _, failure := range r.Failures {
		t.Logf("%s %.90s: %s", failure.At.Format("15:04:05.000"), failure.URL, failure.Reason)
	}
	if limit := 2 * perSecond; r.Failed > limit || r.GapMs > 10_000 {
		t.Errorf("%s: %d requests failed, of at most %d", what, r.Failed, limit)
	}
}

func (c *cluster) evict(ctx context.Context, pod *corev1.Pod) error {
	return c.PolicyV1().Evictions(pod.Namespace).Evict(ctx, &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: pod.Namespace}})
}

// kill lets a pod say no goodbye.
func (c *cluster) kill(t *testing.T, pod *corev1.Pod) {
	t.Helper()
	now := int64(0)
	if err := c.CoreV1().Pods(pod.Namespace).Delete(t.Context(), pod.Name, metav1.DeleteOptions{GracePeriodSeconds: &now}); err != nil {
		t.Fatal(err)
	}
	if pod.OwnerReferences[0].Kind != "StatefulSet" {
		return
	}
	eventually(t, time.Minute, "another "+pod.Name, func(ctx context.Context) error {
		next, err := c.CoreV1().Pods(pod.Namespace).Get(ctx, pod.Name, metav1.GetOptions{})
		if err == nil && next.UID == pod.UID {
			err = fmt.Errorf("it is the old one")
		}
		return err
	})
}

// gone waits for pods that are going: until then they may still lose a request.
func (c *cluster) gone(t *testing.T, namespace string) {
	t.Helper()
	eventually(t, 2*time.Minute, "the end of old pods", func(ctx context.Context) error {
		pods, err := c.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, pod := range pods.Items {
			if pod.DeletionTimestamp != nil {
				return fmt.Errorf("%s is going", pod.Name)
			}
		}
		return nil
	})
}
