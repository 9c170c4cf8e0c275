package harness

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// TestMainnetStandsTheLossOfAPodANodeAndAZone looks at what rules for every network leave to choice.
func TestMainnetStandsTheLossOfAPodANodeAndAZone(t *testing.T) {
	r, err := Load(t.Context(), Options{Root: repository, Overlays: []string{"mainnet"}, Plain: true})
	if err != nil {
		t.Fatal(err)
	}
	o := r.Overlays[0]
	if !o.Rendered() {
		t.Fatal(o.Errors)
	}
	deployments := 0
	for _, w := range o.Workloads() {
		deployment, ok := w.Typed.(*appsv1.Deployment)
		if !ok {
			continue
		}
		deployments++
		if pods := mostPods(o, w); pods < 3 { // two, and one of a rollout
			t.Errorf("%s has %d pods at most", w.ID(), pods)
		}
		if deployment.Spec.Replicas != nil && *deployment.Spec.Replicas < 2 {
			t.Errorf("%s has %d replicas", w.ID(), *deployment.Spec.Replicas)
		}
		spread := map[string]corev1.UnsatisfiableConstraintAction{}
		for _, c := range w.Pods.Spec.TopologySpreadConstraints {
			spread[c.TopologyKey] = c.WhenUnsatisfiable
		}
		if spread["topology.kubernetes.io/zone"] != corev1.DoNotSchedule || spread["kubernetes.io/hostname"] == "" {
			t.Errorf("%s is spread %v", w.ID(), spread)
		}
		guarded := false
		for _, budget := range objects[*policyv1.PodDisruptionBudget](o) {
			guarded = guarded || labels.SelectorFromSet(budget.Spec.Selector.MatchLabels).Matches(labels.Set(w.Pods.Labels))
		}
		if !guarded {
			t.Errorf("%s has no disruption budget", w.ID())
		}
	}
	if deployments != 3 {
		t.Errorf("%d Deployments, want 3", deployments)
	}
	denied := false
	for _, policy := range objects[*networkingv1.NetworkPolicy](o) {
		denied = denied || len(policy.Spec.PolicyTypes) == 2 && policy.Spec.Ingress == nil && policy.Spec.Egress == nil
	}
	if !denied {
		t.Error("nothing is denied by default")
	}
	for _, other := range []string{"devnet", "testnet"} {
		if output := string(o.Output[Helm4]); strings.Contains(strings.ToLower(output), other) {
			t.Errorf("mainnet's render speaks of %s", other)
		}
	}
}
