package harness

import (
	"cmp"
	"fmt"
	"strings"

	"jupiter-dex-integration/src/harness/difference"
)

// renderRules compare the variants.
var renderRules = []Rule{{
	Name:   "renders",
	Reason: "an overlay that does not build cannot be synced, and hides every other fault",
	Fix:    "run `kustomize build --enable-helm` on the overlay and follow its message",
	Check: func(r *Render) []Finding {
		return inEach(r.all(), func(o *Overlay) []Finding {
			if err := o.Errors[Helm4]; err != nil {
				return []Finding{{Object: o.File, Problem: explainValues(r.Source, buildProblem(err))}}
			}
			var all []Finding
			for _, variant := range []Variant{Helm4Again, Helm3, ArgoCD, NewChart} {
				if err := o.Errors[variant]; err != nil {
					all = append(all, Finding{Object: o.File, Problem: fmt.Sprintf("renders with Helm 4 but not with %s: %s", variant, buildProblem(err))})
				}
			}
			return all
		})
	},
}, {
	Name:   "same-twice",
	Reason: "output that changes on its own restarts pods at every sync and makes a reviewed diff worthless",
	Fix:    "remove what is random or depends on the time",
	Check:  equal(Helm4Again),
}, {
	Name:   "same-under-helm-3",
	Reason: "what a laptop with the other Helm shows is not what Argo CD syncs",
	Fix:    "use only what both Helms agree on",
	Check:  equal(Helm3),
}, {
	Name:   "same-under-argocd",
	Reason: "Argo CD passes its cluster's version and API list to Helm, so the reviewed render is not the synced one",
	Fix:    "state kubeVersion and apiVersions in the overlay's helmCharts entry and do not ask for .Capabilities",
	Check:  equal(ArgoCD),
}, {
	Name:   "quiet-upgrade",
	Reason: "every pod restarts although only the chart's version changed",
	Fix:    "keep the chart's version out of pod templates, and checksums over data, not over whole objects",
	Check:  inEachOverlay(checkQuietUpgrade),
}}

// checkQuietUpgrade compares the pods with those of the same chart under another version.
func checkQuietUpgrade(o *Overlay) []Finding {
	if o.Output[NewChart] == nil {
		return nil // renders says so
	}
	var all []Finding
	after := map[string]Workload{}
	for _, w := range workloads(Decode(o.Output[NewChart])) {
		after[w.ID()] = w
	}
	for _, w := range o.workloads {
		for _, d := range difference.Between(w.template(), after[w.ID()].template(), difference.Meaning{}) {
			all = append(all, Finding{Object: w.ID(), Field: strings.TrimPrefix(w.At+"."+d.Path, "."), Problem: "changes with the chart's version"})
		}
	}
	return all
}

// equal compares a variant with the plain Helm 4 render. Output that changes by itself is compared with nothing else.
func equal(variant Variant) func(*Render) []Finding {
	return inEachRender(func(o *Overlay) []Finding {
		want, again, got := o.Output[Helm4], o.Output[Helm4Again], o.Output[variant]
		if want == nil || got == nil || string(want) == string(got) || variant != Helm4Again && string(want) != string(again) {
			return nil
		}
		object, here, there := firstDifference(string(want), string(got))
		return []Finding{{Object: object, Problem: fmt.Sprintf("%q, but %q with %s", here, there, variant)}}
	})
}

// firstDifference returns the first line that differs and the object it is in.
func firstDifference(want, got string) (object, wantLine, gotLine string) {
	wantDocs, gotDocs := strings.Split(want, "\n---\n"), strings.Split(got, "\n---\n")
	for i := range max(len(wantDocs), len(gotDocs)) {
		a, b := at(wantDocs, i), at(gotDocs, i)
		if a == b {
			continue
		}
		id := documentID(cmp.Or(a, b))
		aLines, bLines := strings.Split(a, "\n"), strings.Split(b, "\n")
		for j := range max(len(aLines), len(bLines)) {
			if at(aLines, j) != at(bLines, j) {
				return id, strings.TrimSpace(at(aLines, j)), strings.TrimSpace(at(bLines, j))
			}
		}
	}
	return "", "", ""
}

// at returns an element, or nothing past the end.
func at(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return ""
}

// buildProblem shortens a kustomize error to what its reader can act on: it tells what else it tried, and Helm's whole command line.
func buildProblem(err error) string {
	text := err.Error()
	text, _, _ = strings.Cut(text, ": unable to run: '")
	text, _, _ = strings.Cut(text, "': must build at directory: ")
	text = strings.TrimPrefix(strings.TrimPrefix(text, "Error: "), "accumulating resources: accumulation err='")
	text = strings.Join(strings.Fields(text), " ")
	return strings.TrimSuffix(text, " Use --debug flag to render out invalid YAML")
}
