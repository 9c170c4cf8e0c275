package harness

import (
	"fmt"
	"os"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
)

// TestMeasures takes the measures of docs/chart.md of the chart with its default values, and finds them in the table's column
// "ours".
func TestMeasures(t *testing.T) {
	r := renderOptions(t, map[string]option{"default": {Values: map[string]any{}}})
	o := r.Overlays[0]
	if !o.Rendered() {
		t.Fatal(o.Errors)
	}
	var containers, workloads, servers, restricted, namespaced int
	lacks := map[string]int{}
	for _, w := range o.workloads {
		workloads++
		if w.PodSecurity == "" {
			restricted++
		}
		if !w.Finite {
			servers++
		}
		for _, c := range w.Containers() {
			containers++
			missing := func(what string, is bool) {
				if is {
					lacks[what]++
				}
			}
			missing("requests", len(c.Resources.Requests) < 2)
			missing("memory limit", c.Resources.Limits.Memory().IsZero())
			missing("read-only root", c.SecurityContext == nil || c.SecurityContext.ReadOnlyRootFilesystem == nil || !*c.SecurityContext.ReadOnlyRootFilesystem)
			missing("digest", !strings.Contains(c.Image, "@sha256:"))
			missing("readiness", !w.Finite && c.ReadinessProbe == nil)
			missing("startup", !w.Finite && c.StartupProbe == nil)
		}
		if token := w.Pods.Spec.AutomountServiceAccountToken; token == nil || *token || mountsToken(w) {
			lacks["token"]++
		}
	}
	for _, object := range o.Objects {
		if object.Namespaced {
			namespaced++
			if object.GetNamespace() == "" {
				lacks["namespace"]++
			}
		}
	}
	policies, budgets := 0, 0
	for range objects[*networkingv1.NetworkPolicy](o) {
		policies++
	}
	for range objects[*policyv1.PodDisruptionBudget](o) {
		budgets++
	}
	changed := map[string]bool{}
	for _, f := range checkQuietUpgrade(o) {
		changed[f.Object] = true
	}
	same := "no"
	if string(o.Output[Helm4]) == string(o.Output[Helm4Again]) && string(o.Output[Helm4]) == string(o.Output[Helm3]) {
		same = "yes, and under both Helms"
	}
	of := func(n, all int) string { return fmt.Sprintf("%d/%d", n, all) }
	want := []struct{ measure, ours string }{
		{"workloads that pass Pod Security restricted", of(restricted, workloads)},
		{"containers without requests", of(lacks["requests"], containers)},
		{"containers without a memory limit", of(lacks["memory limit"], containers)},
		{"containers without a read-only root", of(lacks["read-only root"], containers)},
		{"servers without a readiness probe", of(lacks["readiness"], servers)},
		{"servers without a startup probe", of(lacks["startup"], servers)},
		{"images without a digest", of(lacks["digest"], containers)},
		{"pods with an API token", of(lacks["token"], workloads)},
		{"NetworkPolicies", fmt.Sprint(policies)},
		{"PodDisruptionBudgets", fmt.Sprint(budgets)},
		{"the same output twice", same},
		{"pod templates that a chart bump changes", of(len(changed), workloads)},
		{"namespaced objects without a namespace", of(lacks["namespace"], namespaced)},
	}
	text, err := os.ReadFile(repository + "/docs/chart.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range want {
		if row := fmt.Sprintf("| %s | **%s** |", m.measure, m.ours); !strings.Contains(string(text), row) {
			t.Errorf("docs/chart.md lacks %s", row)
		}
	}
}
