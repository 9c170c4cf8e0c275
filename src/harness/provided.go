package harness

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"sigs.k8s.io/yaml"
)

// Provided is an object that an overlay uses and does not render: somebody creates it in the cluster before the first sync.
// Overlays list them in provided.yaml, beside their kustomization, where whoever sets up a cluster looks for them.
type Provided struct {
	Kind string   `json:"kind"`
	Name string   `json:"name"`
	Keys []string `json:"keys,omitempty"` // of a Secret or ConfigMap
	Why  string   `json:"why"`            // who makes it, and what for
}

const providedFile = "provided.yaml"

func readProvided(src *Source, o *Overlay) []Provided {
	file := o.Dir + "/" + providedFile
	data, err := src.Read(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var list []Provided
	if err == nil {
		err = yaml.UnmarshalStrict(data, &list)
	}
	if err != nil {
		src.faults = append(src.faults, Finding{Overlay: o.Name, Object: file, Problem: err.Error()})
		return list
	}
	for i, p := range list {
		if p.Kind == "" || p.Name == "" || p.Why == "" {
			src.faults = append(src.faults, Finding{Overlay: o.Name, Object: file, Field: fmt.Sprintf("[%d]", i), Problem: "kind, name and why must all be given"})
		}
	}
	return list
}

// given is what every cluster has in every namespace.
var given = []Provided{
	{Kind: "ServiceAccount", Name: "default"},
	{Kind: "ConfigMap", Name: "kube-root-ca.crt", Keys: []string{"ca.crt"}},
	{Kind: "PriorityClass", Name: "system-cluster-critical"},
	{Kind: "PriorityClass", Name: "system-node-critical"},
}

// find returns the declaration of an object.
func find(list []Provided, kind, name string) (Provided, bool) {
	i := slices.IndexFunc(list, func(p Provided) bool { return p.Kind == kind && p.Name == name })
	if i < 0 {
		return Provided{}, false
	}
	return list[i], true
}
