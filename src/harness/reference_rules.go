package harness

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// referenceRules judge names: each must lead to an object that this render or the cluster's owner makes.
var referenceRules = []Rule{{
	Name:   "references",
	Reason: "a pod whose ConfigMap, Secret, key, claim or ServiceAccount is missing never starts",
	Fix:    "correct the name, render the object, or declare it in the overlay's provided.yaml if somebody else makes it",
	Check:  inEachOverlay(checkReferences),
}, {
	Name:   "provided",
	Reason: "provided.yaml tells an operator what to create first; an entry that is not needed, or is rendered anyway, misleads",
	Fix:    "remove the entry",
	Check:  inEachOverlay(checkProvided),
}}

// A reference is a name in one object that must be the name of another.
type reference struct {
	from        Object
	field       string
	kind, name  string
	key         string // of a ConfigMap or Secret, or empty
	missingIsOK bool
}

func checkReferences(o *Overlay) []Finding {
	contents := contents(o)
	var all []Finding
	for _, ref := range references(o) {
		keys, found := contents[ref.kind+"/"+ref.name]
		switch {
		case !found && !ref.missingIsOK:
			all = append(all, Finding{Object: ref.from.ID(), Field: ref.field, Problem: fmt.Sprintf("there is no %s %q", ref.kind, ref.name)})
		case found && ref.key != "" && !slices.Contains(keys, ref.key):
			all = append(all, Finding{Object: ref.from.ID(), Field: ref.field, Problem: fmt.Sprintf("%s %q has no key %q, only %s", ref.kind, ref.name, ref.key, strings.Join(keys, ", "))})
		}
	}
	return all
}

func checkProvided(o *Overlay) []Finding {
	used := map[string]bool{}
	for _, ref := range references(o) {
		used[ref.kind+"/"+ref.name] = true
	}
	connections(o, func(_ Workload, _ string, a address) {
		if name, _, ok := a.inCluster(o.Kustomization.Namespace); ok {
			used["Service/"+name] = true
		}
	})
	rendered := map[string]bool{}
	for _, object := range o.Objects {
		rendered[object.ID()] = true
	}
	var all []Finding
	for _, p := range o.Provided {
		id := p.Kind + "/" + p.Name
		switch {
		case rendered[id]:
			all = append(all, Finding{Object: o.Dir + "/" + providedFile, Field: id, Problem: "is rendered by the overlay itself"})
		case !used[id]:
			all = append(all, Finding{Object: o.Dir + "/" + providedFile, Field: id, Problem: "nothing in the overlay uses it"})
		}
	}
	return all
}

// externalSecret is the part of an ExternalSecret that decides which Secret it makes.
type externalSecret struct {
	Spec struct {
		SecretStoreRef struct {
			Kind string `json:"kind"`
			Name string `json:"name"`
		} `json:"secretStoreRef"`
		Target struct {
			Name     string `json:"name"`
			Template struct {
				Data map[string]string `json:"data"`
			} `json:"template"`
		} `json:"target"`
		Data []struct {
			SecretKey string `json:"secretKey"`
		} `json:"data"`
	} `json:"spec"`
}

var externalSecretKind = schema.GroupKind{Group: "external-secrets.io", Kind: "ExternalSecret"}

// contents returns what can be referred to: "Kind/name" to the keys of a ConfigMap or Secret.
func contents(o *Overlay) map[string][]string {
	found := map[string][]string{}
	for _, p := range slices.Concat(given, o.Provided) {
		found[p.Kind+"/"+p.Name] = p.Keys
	}
	for _, object := range o.Objects {
		var keys []string
		switch typed := object.Typed.(type) {
		case *corev1.ConfigMap:
			keys = slices.Concat(slices.Collect(maps.Keys(typed.Data)), slices.Collect(maps.Keys(typed.BinaryData)))
		case *corev1.Secret:
			keys = slices.Concat(slices.Collect(maps.Keys(typed.Data)), slices.Collect(maps.Keys(typed.StringData)))
		}
		slices.Sort(keys)
		found[object.ID()] = keys
	}
	for object, external := range custom[externalSecret](o, externalSecretKind) {
		name, keys := external.Spec.Target.Name, slices.Collect(maps.Keys(external.Spec.Target.Template.Data))
		if name == "" {
			name = object.GetName()
		}
		if len(keys) == 0 { // a template replaces what was fetched
			for _, data := range external.Spec.Data {
				keys = append(keys, data.SecretKey)
			}
		}
		slices.Sort(keys)
		found["Secret/"+name] = keys
	}
	return found
}

// references returns every name that a render's objects rely on.
func references(o *Overlay) []reference {
	var all []reference
	for _, w := range o.workloads {
		all = append(all, podReferences(w)...)
	}
	add := func(from Object, field, kind, name string) {
		all = append(all, reference{from: from, field: field, kind: kind, name: name})
	}
	for object, set := range objects[*appsv1.StatefulSet](o) {
		add(object, "spec.serviceName", "Service", set.Spec.ServiceName)
	}
	for object, ingress := range objects[*networkingv1.Ingress](o) {
		for i, tls := range ingress.Spec.TLS {
			add(object, fmt.Sprintf("spec.tls[%d].secretName", i), "Secret", tls.SecretName)
		}
		for i, rule := range ingress.Spec.Rules {
			if rule.HTTP == nil {
				continue
			}
			for j, path := range rule.HTTP.Paths {
				if path.Backend.Service != nil {
					add(object, fmt.Sprintf("spec.rules[%d].http.paths[%d].backend.service.name", i, j), "Service", path.Backend.Service.Name)
				}
			}
		}
	}
	for object, binding := range objects[*rbacv1.RoleBinding](o) {
		add(object, "roleRef.name", binding.RoleRef.Kind, binding.RoleRef.Name)
		for i, subject := range binding.Subjects {
			if subject.Kind == rbacv1.ServiceAccountKind {
				add(object, fmt.Sprintf("subjects[%d].name", i), subject.Kind, subject.Name)
			}
		}
	}
	for object, external := range custom[externalSecret](o, externalSecretKind) {
		if store := external.Spec.SecretStoreRef; store.Name != "" {
			kind := store.Kind
			if kind == "" {
				kind = "SecretStore"
			}
			add(object, "spec.secretStoreRef", kind, store.Name)
		}
	}
	return all
}

func podReferences(w Workload) []reference {
	var all []reference
	add := func(field, kind, name, key string, optional *bool) {
		all = append(all, reference{w.Object, field, kind, name, key, optional != nil && *optional})
	}
	if name := w.Pods.Spec.ServiceAccountName; name != "" {
		add(w.Field("serviceAccountName"), "ServiceAccount", name, "", nil)
	}
	if name := w.Pods.Spec.PriorityClassName; name != "" {
		add(w.Field("priorityClassName"), "PriorityClass", name, "", nil)
	}
	for i, secret := range w.Pods.Spec.ImagePullSecrets {
		add(w.Field(fmt.Sprintf("imagePullSecrets[%d]", i)), "Secret", secret.Name, "", nil)
	}
	for path, c := range w.Containers() {
		for _, env := range c.Env {
			if env.ValueFrom == nil {
				continue
			}
			field := path + ".env[" + env.Name + "]"
			if ref := env.ValueFrom.ConfigMapKeyRef; ref != nil {
				add(field, "ConfigMap", ref.Name, ref.Key, ref.Optional)
			}
			if ref := env.ValueFrom.SecretKeyRef; ref != nil {
				add(field, "Secret", ref.Name, ref.Key, ref.Optional)
			}
		}
		for i, from := range c.EnvFrom {
			field := fmt.Sprintf("%s.envFrom[%d]", path, i)
			if ref := from.ConfigMapRef; ref != nil {
				add(field, "ConfigMap", ref.Name, "", ref.Optional)
			}
			if ref := from.SecretRef; ref != nil {
				add(field, "Secret", ref.Name, "", ref.Optional)
			}
		}
	}
	for _, v := range w.Pods.Spec.Volumes {
		field := w.Field("volumes[" + v.Name + "]")
		items := func(kind, name string, keys []corev1.KeyToPath, optional *bool) {
			add(field, kind, name, "", optional)
			for _, item := range keys {
				add(field, kind, name, item.Key, optional)
			}
		}
		if ref := v.ConfigMap; ref != nil {
			items("ConfigMap", ref.Name, ref.Items, ref.Optional)
		}
		if ref := v.Secret; ref != nil {
			items("Secret", ref.SecretName, ref.Items, ref.Optional)
		}
		if ref := v.PersistentVolumeClaim; ref != nil {
			add(field, "PersistentVolumeClaim", ref.ClaimName, "", nil)
		}
		if v.Projected != nil {
			for _, source := range v.Projected.Sources {
				if ref := source.ConfigMap; ref != nil {
					items("ConfigMap", ref.Name, ref.Items, ref.Optional)
				}
				if ref := source.Secret; ref != nil {
					items("Secret", ref.Name, ref.Items, ref.Optional)
				}
			}
		}
	}
	return all
}
