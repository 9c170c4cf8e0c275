package change

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"jupiter-dex-integration/src/harness"
)

// Config is a ConfigMap or Secret whose keys change, or an ExternalSecret that fills a Secret. Values are never told.
type Config struct {
	Object  string   `json:"object"`
	Added   []string `json:"added,omitempty"`
	Changed []string `json:"changed,omitempty"`
	Removed []string `json:"removed,omitempty"`
	Readers []Reader `json:"readers,omitempty"`
}

// Reader is a workload that reads one of the keys.
type Reader struct {
	Workload string `json:"workload"`
	Effect   string `json:"effect"` // when it gets to see the change
}

func (c Config) keys() []string { return slices.Concat(c.Added, c.Changed, c.Removed) }

func countKeys(list []Config) int {
	n := 0
	for _, c := range list {
		n += len(c.keys())
	}
	return n
}

// A configChange is a Config and the name under which pods read it.
type configChange struct {
	Config
	kind, name string // of the ConfigMap or Secret
}

// configChanges returns the keys that change between two renders, object by object.
func configChanges(pairs []twin) []configChange {
	var all []configChange
	for _, t := range pairs {
		o := *t.either()
		c := configChange{Config: Config{Object: o.ID()}, kind: o.GetKind(), name: o.GetName()}
		switch o.GetKind() {
		case "ConfigMap", "Secret":
		case "ExternalSecret":
			target, _, _ := nestedString(o, "spec.target.name")
			c.kind, c.name = "Secret", cmp.Or(target, o.GetName())
		default:
			continue
		}
		before, after := configKeys(t.base), configKeys(t.head)
		for _, key := range sorted(before, after) {
			was, had := before[key]
			is, has := after[key]
			switch {
			case !had:
				c.Added = append(c.Added, key)
			case !has:
				c.Removed = append(c.Removed, key)
			case was != is:
				c.Changed = append(c.Changed, key)
			}
		}
		if len(c.keys()) > 0 {
			all = append(all, c)
		}
	}
	return all
}

// configKeys returns what to compare of each key: its value, or where an ExternalSecret gets it from.
func configKeys(o *harness.Object) map[string]string {
	keys := map[string]string{}
	if o == nil {
		return keys
	}
	if o.GetKind() == "ExternalSecret" {
		list, _, _ := nestedSlice(*o, "spec.data")
		for _, item := range list {
			entry, _ := item.(map[string]any)
			key, _ := entry["secretKey"].(string)
			keys[key] = shown(entry)
		}
		return keys
	}
	for _, field := range []string{"binaryData", "data", "stringData"} {
		texts, _, _ := unstructured.NestedStringMap(o.Object, field)
		for key, text := range texts {
			keys[key] = field + " " + text
		}
	}
	return keys
}

// A read is what a pod reads of a ConfigMap or Secret.
type read struct {
	kind, name string
	keys       []string // nil means all
	live       bool     // as files, which follow a change while the pod runs
}

func (c configChange) readBy(r read) bool {
	return r.kind == c.kind && r.name == c.name &&
		(r.keys == nil || slices.ContainsFunc(c.keys(), func(key string) bool { return slices.Contains(r.keys, key) }))
}

// reads lists what a workload's pods read.
func reads(w harness.Workload) []read {
	var all []read
	for _, c := range w.Containers() {
		for _, from := range c.EnvFrom {
			if from.ConfigMapRef != nil {
				all = append(all, read{kind: "ConfigMap", name: from.ConfigMapRef.Name})
			}
			if from.SecretRef != nil {
				all = append(all, read{kind: "Secret", name: from.SecretRef.Name})
			}
		}
		for _, env := range c.Env {
			if env.ValueFrom == nil {
				continue
			}
			if ref := env.ValueFrom.ConfigMapKeyRef; ref != nil {
				all = append(all, read{kind: "ConfigMap", name: ref.Name, keys: []string{ref.Key}})
			}
			if ref := env.ValueFrom.SecretKeyRef; ref != nil {
				all = append(all, read{kind: "Secret", name: ref.Name, keys: []string{ref.Key}})
			}
		}
	}
	mounted := func(kind, name string, items []corev1.KeyToPath) {
		r := read{kind: kind, name: name, live: true}
		for _, item := range items {
			r.keys = append(r.keys, item.Key)
		}
		all = append(all, r)
	}
	for _, volume := range w.Pods.Spec.Volumes {
		if v := volume.ConfigMap; v != nil {
			mounted("ConfigMap", v.Name, v.Items)
		}
		if v := volume.Secret; v != nil {
			mounted("Secret", v.SecretName, v.Items)
		}
		if volume.Projected == nil {
			continue
		}
		for _, source := range volume.Projected.Sources {
			if v := source.ConfigMap; v != nil {
				mounted("ConfigMap", v.Name, v.Items)
			}
			if v := source.Secret; v != nil {
				mounted("Secret", v.Name, v.Items)
			}
		}
	}
	return all
}

// needs returns what the overlay begins to expect of others.
func (s *sides) needs() []harness.Provided {
	var all []harness.Provided
	for _, p := range s.head.Provided {
		if !slices.ContainsFunc(s.base.Provided, func(before harness.Provided) bool {
			return before.Kind == p.Kind && before.Name == p.Name && slices.Equal(before.Keys, p.Keys)
		}) {
			all = append(all, p)
		}
	}
	return all
}

// config returns the keys that change and who gets to see it when. restarts has run before.
func (s *sides) config(pairs []twin) []Config {
	var all []Config
	before := workloads(s.base)
	for _, c := range configChanges(pairs) {
		for _, w := range s.head.Workloads() {
			var seen []read
			for _, r := range reads(w) {
				if c.readBy(r) {
					seen = append(seen, r)
				}
			}
			if len(seen) > 0 {
				c.Readers = append(c.Readers, Reader{w.ID(), s.effect(w, seen, before)})
			}
		}
		all = append(all, c.Config)
	}
	return all
}

// effect says when a workload sees a change of what it reads.
func (s *sides) effect(w harness.Workload, seen []read, before map[string]harness.Workload) string {
	_, existed := before[w.ID()]
	switch {
	case !existed:
		return "starts with it"
	case s.restarting[w.ID()]:
		return "restarts with it"
	case w.GetKind() == "CronJob":
		return "at its next run"
	case slices.ContainsFunc(seen, func(r read) bool { return !r.live }):
		return "old value until something restarts it"
	}
	return "from its files, without a restart"
}
