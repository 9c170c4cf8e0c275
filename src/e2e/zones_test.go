//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
)

// The large overlays as they are, on simulated nodes (KWOK, label type=kwok) of three zones: their pods need room that a cluster for
// tests lacks, and here run nothing. The scheduler, the controllers and the disruption budgets are real.
func TestLargeOverlaysOverZones(t *testing.T) {
	t.Parallel() // mostly waits
	c := connect(t)
	simulated := must(c.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{LabelSelector: "type=kwok"}))(t)
	zones := map[string][]string{}
	tolerations := []any{}
	for _, node := range simulated.Items {
		zone := node.Labels[corev1.LabelTopologyZone]
		zones[zone] = append(zones[zone], node.Name)
		for _, taint := range node.Spec.Taints {
			tolerations = append(tolerations, map[string]any{"key": taint.Key, "operator": "Exists"})
		}
	}
	if len(zones) < 3 {
		t.Skipf("the cluster has simulated nodes (label type=kwok) in %d zones, three are needed", len(zones))
	}
	for _, network := range []string{"mainnet", "testnet"} {
		t.Run(network, func(t *testing.T) {
			namespace := c.namespace(t, network)
			c.applyOverlay(t, network, namespace, tolerations)
			began := time.Now()
			c.settled(t, namespace)
			spread := func() string {
				var text []string
				for _, component := range []string{"api-gateway", "price-oracle", "route-optimizer"} {
					count := map[string]int{}
					pods := c.pods(t, namespace, component)
					for _, pod := range pods {
						for zone, nodes := range zones {
							for _, node := range nodes {
								if pod.Spec.NodeName == node {
									count[zone]++
								}
							}
						}
					}
					if want := min(len(pods), len(zones)); len(count) < want {
						t.Errorf("%d pods of %s are in %d zones: %v", len(pods), component, len(count), count)
					}
					text = append(text, fmt.Sprintf("%s %v", component, count))
				}
				return strings.Join(text, ", ")
			}
			figure(t, network+": scheduled over zones", "%s, in %s", spread(), seconds(began))

			began = time.Now()
			least := c.watchReady(t, namespace, func() {
				for _, name := range []string{gateway, oracle, router} {
					patch := fmt.Sprintf(`{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":%q}}}}}`, began.Format(time.RFC3339))
					must(c.AppsV1().Deployments(namespace).Patch(t.Context(), name, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}))(t)
				}
				c.settled(t, namespace)
			})
			figure(t, network+": rollout of everything", "%s; ready of wanted at the least: %s", seconds(began), least)

			for zone, nodes := range zones {
				began := time.Now()
				refusals := 0
				least := c.watchReady(t, namespace, func() { refusals = c.drain(t, namespace, nodes) })
				figure(t, network+": drain of "+zone, "%s, %d evictions refused by the budgets; ready of wanted at the least: %s", seconds(began), refusals, least)
				break
			}
		})
	}
}

// applyOverlay puts an overlay into a namespace, on the simulated nodes. Kinds that the cluster does not know are left out.
func (c *cluster) applyOverlay(t *testing.T, network, namespace string, tolerations []any) {
	t.Helper()
	manifest := output(t, root, "kustomize", "build", "--enable-helm", "--helm-command", must(absolute("build/bin/helm4"))(t), "environments/"+network)
	manifest = []byte(strings.ReplaceAll(string(manifest), "jupiter-dex-"+network, namespace))
	left := map[string]int{}
	for _, object := range decode(t, manifest) {
		gvk := object.GroupVersionKind()
		if _, err := c.mapper.RESTMapping(gvk.GroupKind(), gvk.Version); meta.IsNoMatchError(err) {
			left[object.GetKind()]++
			continue
		}
		if object.GetKind() == "Namespace" {
			continue
		}
		if kind := object.GetKind(); kind == "Deployment" || kind == "StatefulSet" {
			pod, _, err := unstructured.NestedMap(object.Object, "spec", "template", "spec")
			check(t, err)
			pod["tolerations"] = tolerations
			pod["nodeSelector"] = map[string]any{"type": "kwok"}
			// Nobody provides volumes on nodes that are none.
			claims, _, err := unstructured.NestedSlice(object.Object, "spec", "volumeClaimTemplates")
			check(t, err)
			volumes, _ := pod["volumes"].([]any)
			for _, claim := range claims {
				name, _, err := unstructured.NestedString(claim.(map[string]any), "metadata", "name")
				check(t, err)
				volumes = append(volumes, map[string]any{"name": name, "emptyDir": map[string]any{}})
			}
			if len(claims) > 0 {
				pod["volumes"] = volumes
				unstructured.RemoveNestedField(object.Object, "spec", "volumeClaimTemplates")
			}
			check(t, unstructured.SetNestedMap(object.Object, pod, "spec", "template", "spec"))
		}
		c.apply(t, namespace, object)
	}
	if len(left) > 0 {
		t.Logf("left out, the cluster has no such kinds: %v", left)
	}
}

// watchReady does something and returns, for each Deployment, the fewest pods that were ready meanwhile. Fewer than a budget allows
// fail the test.
func (c *cluster) watchReady(t *testing.T, namespace string, do func()) string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	type count struct{ least, wanted int32 }
	done := make(chan map[string]count)
	go func() {
		seen := map[string]count{}
		for ctx.Err() == nil {
			list, err := c.AppsV1().Deployments(namespace).List(ctx, metav1.ListOptions{})
			if err == nil {
				for _, d := range list.Items {
					n, known := seen[d.Name]
					if !known || d.Status.ReadyReplicas < n.least {
						n = count{d.Status.ReadyReplicas, *d.Spec.Replicas}
					}
					seen[d.Name] = n
				}
			}
			time.Sleep(50 * time.Millisecond)
		}
		done <- seen
	}()
	do()
	cancel()
	var text []string
	for name, n := range <-done {
		text = append(text, fmt.Sprintf("%s %d/%d", strings.TrimPrefix(name, release+"-"), n.least, n.wanted))
		if n.least < n.wanted-1 {
			t.Errorf("%s had %d of %d pods ready", name, n.least, n.wanted)
		}
	}
	return strings.Join(text, ", ")
}

// drain empties nodes of a namespace's pods as an operator does: no new ones, and each old one evicted when its budget allows.
func (c *cluster) drain(t *testing.T, namespace string, nodes []string) (refusals int) {
	t.Helper()
	cordon := func(ctx context.Context, unschedulable bool) error {
		var errs []error
		for _, node := range nodes {
			_, err := c.CoreV1().Nodes().Patch(ctx, node, types.StrategicMergePatchType, fmt.Appendf(nil, `{"spec":{"unschedulable":%t}}`, unschedulable), metav1.PatchOptions{})
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	}
	check(t, cordon(t.Context(), true))
	defer func() {
		if err := cordon(context.Background(), false); err != nil {
			t.Error(err)
		}
	}()
	eventually(t, 3*time.Minute, "drain", func(ctx context.Context) error {
		left := 0
		for _, node := range nodes {
			pods, err := c.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=" + node})
			if err != nil {
				return err
			}
			for _, pod := range pods.Items {
				left++
				if pod.DeletionTimestamp != nil || labels.Set(pod.Labels).Has("job-name") {
					continue
				}
				if err := c.evict(ctx, &pod); apierrors.IsTooManyRequests(err) {
					refusals++
				} else if ignoreNotFound(err) != nil {
					return err
				}
			}
		}
		if left > 0 {
			return fmt.Errorf("%d pods are left", left)
		}
		return nil
	})
	c.settled(t, namespace)
	return refusals
}
