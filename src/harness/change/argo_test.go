package change

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"jupiter-dex-integration/src/harness"
)

func TestWhatArgoCDDoes(t *testing.T) {
	argocd := file(t, "testdata/argocd.yaml")
	object := func(kind, name, annotations, data string) string {
		return "apiVersion: v1\nkind: " + kind + "\nmetadata: {name: " + name + ", annotations: {" + annotations + "}}\ndata: {key: " + data + "}\n---\n"
	}
	const keep, confirm = "argocd.argoproj.io/sync-options: Prune=false", `argocd.argoproj.io/sync-options: "Replace=true, Prune=confirm"`
	for _, tt := range []struct {
		name                  string
		before, after, argocd string
		want                  []string
		sync                  string
	}{
		{"server-side apply", object("ConfigMap", "a", "", "one"), object("ConfigMap", "a", "", "two"), argocd, []string{"ConfigMap/a patches it (server-side apply)"}, "but only when the project's windows let it"},
		{"client-side apply", object("ConfigMap", "a", "", "one"), object("ConfigMap", "a", "", "two"), strings.Replace(argocd, "- ServerSideApply=true", "- Validate=false", 1), []string{"ConfigMap/a patches it"}, ""},
		{"replaced as asked", object("ConfigMap", "a", "", "one"), object("ConfigMap", "a", confirm, "one"), argocd, []string{"ConfigMap/a replaces it in place"}, ""},
		{"deleted last", object("ConfigMap", "a", "", "one"), "", argocd, []string{"ConfigMap/a deletes it, after the rest is healthy"}, ""},
		{"deleted", object("ConfigMap", "a", "", "one"), "", strings.Replace(argocd, "- PruneLast=true", "- Validate=false", 1), []string{"ConfigMap/a deletes it"}, ""},
		{"kept by what the live object says", object("ConfigMap", "a", keep, "one"), "", argocd, []string{"ConfigMap/a leaves it in the cluster (Prune=false) and shows the Application out of sync"}, ""},
		{"deleted when a person agrees", object("ConfigMap", "a", confirm, "one"), "", argocd, []string{"ConfigMap/a waits for a person to confirm, then deletes it"}, ""},
		{"pruning is off", object("ConfigMap", "a", "", "one"), "", strings.Replace(argocd, "prune: true", "prune: false", 1), []string{"ConfigMap/a leaves it in the cluster, as pruning is off"}, ""},
		{"a namespace takes all with it", object("Namespace", "a", "", "one"), "", argocd, []string{"Namespace/a deletes it, after the rest is healthy: deletes everything in the namespace, volumes included"}, ""},
		{"hooks and waves, in order", "", object("Job", "after", "argocd.argoproj.io/hook: PostSync", "x") + object("ConfigMap", "late", `argocd.argoproj.io/sync-wave: "2"`, "x") + object("ConfigMap", "early", `argocd.argoproj.io/sync-wave: "-1"`, "x") + object("ConfigMap", "plain", "", "x") + object("Job", "before", "helm.sh/hook: pre-upgrade", "x") + object("Pod", "test", "helm.sh/hook: test", "x"), argocd, []string{
			"Job/before runs it as a PreSync hook at the next sync",
			"ConfigMap/early creates it",
			"ConfigMap/plain creates it",
			"Pod/test nothing: it is a Helm test",
			"ConfigMap/late creates it",
			"Job/after runs it as a PostSync hook at the next sync",
		}, ""},
		{"nobody syncs it", "", object("ConfigMap", "a", "", "one"), "", []string{"ConfigMap/a nothing: no Application syncs it"}, "No Application syncs this network."},
		{"somebody has to start it", "", object("ConfigMap", "a", "", "one"), strings.Replace(argocd, "    automated:\n      prune: true\n", "", 1), []string{"ConfigMap/a creates it"}, "it is not automated"},
		{"at once", "", object("ConfigMap", "a", "", "one"), strings.Split(argocd, "---\n")[0], []string{"ConfigMap/a creates it"}, "as soon as it is merged"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := Between(render(map[string]string{"mainnet": tt.before}, tt.argocd), render(map[string]string{"mainnet": tt.after}, tt.argocd), Facts{}).Networks[0]
			var got []string
			for _, o := range n.Objects {
				line := o.ID + " " + o.Argo
				if o.Warning != "" {
					line += ": " + o.Warning
				}
				got = append(got, line)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if !strings.Contains(n.Sync, tt.sync) {
				t.Errorf("%q does not say %q", n.Sync, tt.sync)
			}
		})
	}
}

func TestWaysWithinWiderOnes(t *testing.T) {
	for _, tt := range []struct {
		wide, narrow string
		want         bool
	}{
		{"0.0.0.0/0", "203.0.113.0/24", true},
		{"0.0.0.0/0 except 10.0.0.0/8", "203.0.113.0/24", true},
		{"0.0.0.0/0 except 10.0.0.0/8", "10.1.0.0/16", false},
		{"0.0.0.0/0 except 10.1.0.0/16", "10.0.0.0/8", false}, // part of it is not
		{"203.0.113.0/24", "0.0.0.0/0", false},
		{"::/0", "203.0.113.0/24", false},
		{"every pod of this namespace", "203.0.113.0/24", false},
		{"0.0.0.0/0", "host api.example.com", false},
	} {
		if got := contains(tt.wide, tt.narrow); got != tt.want {
			t.Errorf("%s within %s: %v, want %v", tt.narrow, tt.wide, got, tt.want)
		}
	}
}

func TestWhatAHookMayNotChangeIsCreatedAnew(t *testing.T) {
	job := func(annotations string) string {
		return "apiVersion: batch/v1\nkind: Job\nmetadata: {name: a, annotations: {" + annotations + "}}\n"
	}
	for annotations, want := range map[string][]string{
		"":                                 {"spec.template: Invalid value: field is immutable"},
		"argocd.argoproj.io/hook: Sync":    nil,
		"helm.sh/hook: test":               nil,
		"argocd.argoproj.io/hook: unknown": {"spec.template: Invalid value: field is immutable"},
	} {
		base, head := render(map[string]string{"mainnet": job("")}, ""), render(map[string]string{"mainnet": job(strings.TrimPrefix(annotations+", b: c", ", "))}, "")
		head.Overlays[0].Objects[0].Fixed = []harness.Finding{{Field: "spec.template", Problem: "Invalid value: field is immutable\nand so on"}}
		if diff := cmp.Diff(want, Between(base, head, Facts{}).Networks[0].Objects[0].Refused); diff != "" {
			t.Errorf("%q (-want +got):\n%s", annotations, diff)
		}
	}
}
