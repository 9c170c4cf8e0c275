package harness

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"

	"jupiter-dex-integration/src/backup"
)

// accessRules judge who may ask the API server what.
var accessRules = []Rule{{
	Name:   "least-access",
	Reason: "a right that is lacking fails in the night; one too many is for whoever gets into the pod",
	Fix:    "let the Role name exactly what the binary asks for (its configuration says what that is), and mount a token only where something does",
	Check:  inEachOverlay(checkAccess),
}, {
	Name:   "saved-objects",
	Reason: "an object that the backup does not name is not in it when it is needed",
	Fix:    "list every ConfigMap and Secret of the release, and no other, in BACKUP_OBJECTS",
	Check:  inEachOverlay(checkSaved),
}}

// checkAccess compares, for each ServiceAccount, what its pods ask for with what its Roles grant.
func checkAccess(o *Overlay) []Finding {
	var all []Finding
	asked := map[string]map[backup.Access]bool{}
	granted, unknown := grants(o), map[string]bool{}
	for _, w := range o.workloads {
		account := cmp.Or(w.Pods.Spec.ServiceAccountName, "default")
		needs, known := access(o, w)
		if !known { // accepted-config says why
			unknown[account] = true
			continue
		}
		if asked[account] == nil {
			asked[account] = map[backup.Access]bool{}
		}
		maps.Copy(asked[account], needs)
		switch token := mountsToken(w); {
		case token && len(needs) == 0:
			all = append(all, Finding{Object: w.ID(), Field: w.Field("volumes"), Problem: "mounts a token for the API server, which nothing in the pod calls"})
		case !token && len(needs) > 0:
			all = append(all, Finding{Object: w.ID(), Field: w.Field("volumes"), Problem: "mounts no token for the API server, which the pod calls"})
		}
	}
	for _, account := range slices.Sorted(maps.Keys(granted)) {
		for _, a := range sortedAccess(granted[account]) {
			if !asked[account][a] && !unknown[account] {
				all = append(all, Finding{Object: "ServiceAccount/" + account, Problem: "may " + describe(a) + ", which none of its pods does"})
			}
		}
	}
	for _, account := range slices.Sorted(maps.Keys(asked)) {
		for _, a := range sortedAccess(asked[account]) {
			if !granted[account][a] && !unknown[account] {
				all = append(all, Finding{Object: "ServiceAccount/" + account, Problem: "may not " + describe(a) + ", which one of its pods does"})
			}
		}
	}
	return all
}

func sortedAccess(set map[backup.Access]bool) []backup.Access {
	return slices.SortedFunc(maps.Keys(set), func(a, b backup.Access) int {
		return cmp.Or(strings.Compare(a.Resource, b.Resource), strings.Compare(a.Name, b.Name), strings.Compare(a.Verb, b.Verb))
	})
}

func describe(a backup.Access) string {
	if a.Name == "" {
		return a.Verb + " any of " + a.Resource
	}
	return a.Verb + " " + a.Resource + "/" + a.Name
}

// access returns what our binaries in a workload ask the API server for, unless they refuse their configuration.
func access(o *Overlay, w Workload) (needs map[backup.Access]bool, known bool) {
	needs = map[backup.Access]bool{}
	for _, c := range w.Containers() {
		chosen, found := chosenCommand(c)
		if !found {
			continue
		}
		lines, complete := environ(o, c, chosen)
		if !complete {
			return nil, false
		}
		list, err := chosen.access(lines)
		if err != nil {
			return nil, false
		}
		for _, a := range list {
			needs[a] = true
		}
	}
	return needs, true
}

// mountsToken reports whether a workload's pods ask for a token of their ServiceAccount. That none gets one unasked is
// hardened-pods' to say.
func mountsToken(w Workload) bool {
	return slices.ContainsFunc(w.Pods.Spec.Volumes, func(v corev1.Volume) bool {
		return v.Projected != nil && slices.ContainsFunc(v.Projected.Sources, func(s corev1.VolumeProjection) bool { return s.ServiceAccountToken != nil })
	})
}

// grants returns what the overlay's Roles let each ServiceAccount do. A rule that grants in another way than by verb,
// resource and name is found as a right that nothing uses.
func grants(o *Overlay) map[string]map[backup.Access]bool {
	rules := map[string][]rbacv1.PolicyRule{}
	for _, role := range objects[*rbacv1.Role](o) {
		rules["Role/"+role.Name] = role.Rules
	}
	for _, role := range objects[*rbacv1.ClusterRole](o) {
		rules["ClusterRole/"+role.Name] = role.Rules
	}
	granted := map[string]map[backup.Access]bool{}
	bind := func(ref rbacv1.RoleRef, subjects []rbacv1.Subject) {
		list, rendered := rules[ref.Kind+"/"+ref.Name]
		for _, subject := range subjects {
			if subject.Kind != rbacv1.ServiceAccountKind {
				continue
			}
			if granted[subject.Name] == nil {
				granted[subject.Name] = map[backup.Access]bool{}
			}
			if !rendered {
				granted[subject.Name][backup.Access{Verb: "do all that is granted by", Resource: ref.Kind, Name: ref.Name}] = true
			}
			for _, rule := range list {
				for _, verb := range rule.Verbs {
					for _, resource := range slices.Concat(rule.Resources, rule.NonResourceURLs) {
						if len(rule.APIGroups) != 1 || rule.APIGroups[0] != "" {
							resource = strings.Join(rule.APIGroups, ",") + " " + resource
						}
						for _, name := range orEmpty(rule.ResourceNames) {
							granted[subject.Name][backup.Access{Verb: verb, Resource: resource, Name: name}] = true
						}
					}
				}
			}
		}
	}
	for _, binding := range objects[*rbacv1.RoleBinding](o) {
		bind(binding.RoleRef, binding.Subjects)
	}
	for _, binding := range objects[*rbacv1.ClusterRoleBinding](o) {
		bind(binding.RoleRef, binding.Subjects)
	}
	return granted
}

func orEmpty(names []string) []string {
	if len(names) == 0 {
		return []string{""}
	}
	return names
}

// checkSaved compares what a backup names with the ConfigMaps and Secrets that the overlay renders or its pods use.
func checkSaved(o *Overlay) []Finding {
	var all []Finding
	release := map[string]bool{}
	for object := range objects[*corev1.ConfigMap](o) {
		release["configmaps/"+object.GetName()] = true
	}
	for object := range objects[*corev1.Secret](o) {
		release["secrets/"+object.GetName()] = true
	}
	recovers := map[string]bool{} // what a Job that restores brings along is not the release's
	for _, w := range o.workloads {
		for _, c := range w.Containers() {
			name, _ := imageName(c.Image)
			if chosen, found := chosenCommand(c); found && name == "backup" && chosen.name != "run" {
				recovers[w.ID()] = true
			}
		}
	}
	for _, ref := range references(o) {
		if ref.kind == "Secret" && !recovers[ref.from.ID()] {
			release["secrets/"+ref.name] = true
		}
	}
	for _, w := range o.workloads {
		for at, c := range w.Containers() {
			values := effective(o, c)
			if values["BACKUP_OBJECTS"] == "" {
				continue
			}
			named := map[string]bool{}
			for name := range strings.SplitSeq(values["BACKUP_OBJECTS"], ",") {
				named[name] = true
			}
			report := func(object, problem string) {
				all = append(all, Finding{Object: w.ID(), Field: at + ".env[BACKUP_OBJECTS]", Problem: object + " " + problem})
			}
			for _, object := range slices.Sorted(maps.Keys(release)) {
				if !named[object] {
					report(object, "is the release's and not listed")
				}
			}
			for _, object := range slices.Sorted(maps.Keys(named)) {
				if !release[object] {
					report(object, "is listed and not the release's")
				}
			}
		}
	}
	return all
}

// accessOf is what a configuration says that it asks the API server for.
func accessOf(cfg any) []backup.Access {
	if caller, ok := cfg.(interface{ Access() []backup.Access }); ok {
		return caller.Access()
	}
	return nil
}
