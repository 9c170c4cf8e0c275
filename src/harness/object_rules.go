package harness

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// objectRules judge objects one by one.
var objectRules = []Rule{{
	Name:   "known-kind",
	Reason: "an object of a kind that is not checked can hold any mistake",
	Fix:    "correct apiVersion and kind, or add the operator that defines the kind to crds/go.mod and the definitions of the harness",
	Check: eachObject(func(o Object) []Finding {
		if !o.Unknown {
			return nil
		}
		return []Finding{{Problem: fmt.Sprintf("no schema is known for %s %s", o.GetAPIVersion(), o.GetKind())}}
	}),
}, {
	Name:   "served-api",
	Reason: "the API server of the pinned Kubernetes version does not serve the object's API version, or will stop soon",
	Fix:    "use the API version that replaces it",
	Check:  checkServed,
}, {
	Name:   "accepted-object",
	Reason: "the API server refuses the object: the sync fails and nothing after it is applied",
	Fix:    "write the field as the API defines it",
	Check:  eachObject(func(o Object) []Finding { return o.Faults }),
}, {
	Name:   "no-warnings",
	Reason: "the API server takes the object but warns: part of it does not do what it says, or soon will not",
	Fix:    "change what the warning names",
	Check: eachObject(func(o Object) []Finding {
		var all []Finding
		for _, warning := range o.Warnings {
			all = append(all, Finding{Problem: warning})
		}
		return all
	}),
}, {
	Name:   "namespace",
	Reason: "kustomize does not add a namespace to what a chart prints: such an object lands wherever the syncing tool points",
	Fix:    "print metadata.namespace in the template, and state the same namespace for the overlay and its helmCharts entries",
	Check: inEachOverlay(func(o *Overlay) []Finding {
		want := o.Kustomization.Namespace
		if want == "" {
			return []Finding{{Object: o.File, Field: "namespace", Problem: "is not set"}}
		}
		var all []Finding
		for i, chart := range o.Kustomization.HelmCharts {
			if chart.Namespace != want {
				all = append(all, Finding{Object: o.File, Field: fmt.Sprintf("helmCharts[%d].namespace", i), Problem: fmt.Sprintf("is %q, but the overlay's namespace is %q", chart.Namespace, want)})
			}
		}
		for _, object := range o.Objects {
			if !object.Namespaced || object.GetNamespace() == want {
				continue
			}
			problem := "is missing"
			if got := object.GetNamespace(); got != "" {
				problem = fmt.Sprintf("is %q, but the overlay's namespace is %q", got, want)
			}
			all = append(all, Finding{Object: object.ID(), Field: "metadata.namespace", Problem: problem})
		}
		return all
	}),
}}

// eachObject makes a Check out of a function that judges one object.
func eachObject(check func(Object) []Finding) func(*Render) []Finding {
	return inEachRender(func(o *Overlay) []Finding {
		var all []Finding
		for _, object := range o.Objects {
			for _, f := range check(object) {
				f.Object = object.ID()
				all = append(all, f)
			}
		}
		return all
	})
}

func checkServed(r *Render) []Finding {
	major, minor, err := kubernetesVersion(r.Versions["kubernetes"])
	if err != nil {
		return []Finding{{Object: "versions.yaml", Field: "kubernetes", Problem: err.Error()}}
	}
	// reached reports whether the pinned version is at least the one that a life cycle method names.
	reached := func(m, n int) bool { return major > m || major == m && minor >= n }
	return eachObject(func(o Object) []Finding {
		problem := ""
		removed, hasEnd := o.Typed.(interface{ APILifecycleRemoved() (int, int) })
		deprecated, ages := o.Typed.(interface{ APILifecycleDeprecated() (int, int) })
		switch {
		case hasEnd && reached(removed.APILifecycleRemoved()):
			m, n := removed.APILifecycleRemoved()
			problem = fmt.Sprintf("is gone since Kubernetes %d.%d", m, n)
		case ages && reached(deprecated.APILifecycleDeprecated()):
			m, n := deprecated.APILifecycleDeprecated()
			problem = fmt.Sprintf("is deprecated since Kubernetes %d.%d", m, n)
		case strings.Contains(o.GroupVersionKind().Version, "alpha") && o.Typed != nil:
			problem = "is an alpha API, which clusters do not serve unless asked to"
		default:
			return nil
		}
		f := Finding{Field: "apiVersion", Problem: fmt.Sprintf("%s %s", o.GetAPIVersion(), problem)}
		if replaced, ok := o.Typed.(interface {
			APILifecycleReplacement() schema.GroupVersionKind
		}); ok {
			f.Fix = "use " + replaced.APILifecycleReplacement().GroupVersion().String()
		}
		return []Finding{f}
	})(r)
}

// kubernetesVersion splits a version such as "1.37.2".
func kubernetesVersion(version string) (major, minor int, err error) {
	if _, err := fmt.Sscanf(version, "%d.%d.", &major, &minor); err != nil {
		return 0, 0, fmt.Errorf("%q is no Kubernetes version such as 1.37.2", version)
	}
	return major, minor, nil
}
