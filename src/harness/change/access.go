package change

import (
	"cmp"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/component-helpers/auth/rbac/validation"

	"jupiter-dex-integration/src/harness"
)

// Access is a permission at the API server that somebody gains or loses.
type Access struct {
	Subject  string   `json:"subject"` // "ServiceAccount/name"
	Where    string   `json:"where"`   // a namespace, or "the whole cluster"
	Gains    bool     `json:"gains"`
	What     string   `json:"what"`
	Severity Severity `json:"severity"`
}

const everywhere = "the whole cluster"

// grants are the rules that bindings give to each subject in each place. A rule that refers to a role that is not rendered
// stands for it under the made-up group roleGroup.
type grants map[grantee][]rbacv1.PolicyRule

type grantee struct{ subject, where string }

const roleGroup = "role"

func granted(o *harness.Overlay) grants {
	rules := map[string][]rbacv1.PolicyRule{}
	for _, object := range o.Objects {
		switch role := object.Typed.(type) {
		case *rbacv1.Role:
			rules["Role/"+object.GetNamespace()+"/"+object.GetName()] = role.Rules
		case *rbacv1.ClusterRole:
			rules["ClusterRole//"+object.GetName()] = role.Rules
		}
	}
	all := grants{}
	bind := func(where string, ref rbacv1.RoleRef, subjects []rbacv1.Subject) {
		namespace := ""
		if ref.Kind == "Role" {
			namespace = where
		}
		given, known := rules[ref.Kind+"/"+namespace+"/"+ref.Name]
		if !known {
			given = []rbacv1.PolicyRule{{APIGroups: []string{roleGroup}, Resources: []string{ref.Kind}, ResourceNames: []string{ref.Name}, Verbs: []string{"all"}}}
		}
		for _, subject := range subjects {
			name := subject.Kind + "/" + subject.Name
			if subject.Kind == rbacv1.ServiceAccountKind && where != everywhere && subject.Namespace != "" && subject.Namespace != where {
				name += " of " + subject.Namespace
			}
			who := grantee{name, where}
			all[who] = append(all[who], given...)
		}
	}
	for _, object := range o.Objects {
		switch binding := object.Typed.(type) {
		case *rbacv1.RoleBinding:
			bind(object.GetNamespace(), binding.RoleRef, binding.Subjects)
		case *rbacv1.ClusterRoleBinding:
			bind(everywhere, binding.RoleRef, binding.Subjects)
		}
	}
	return all
}

// access compares what each subject may do.
func (s *sides) access() []Access {
	before, after := granted(s.base), granted(s.head)
	var all []Access
	more := func(have, want grants, gains bool) {
		for who, rules := range want {
			owned := append(slices.Clone(have[who]), have[grantee{who.subject, everywhere}]...)
			_, missing := validation.Covers(owned, rules)
			for _, what := range permissions(missing) {
				a := Access{Subject: who.subject, Where: who.where, Gains: gains, What: what, Severity: Notice}
				if gains {
					a.Severity = Warning
					if strings.Contains(what, "*") || strings.Contains(what, "secrets") || who.where == everywhere {
						a.Severity = Danger
					}
				}
				all = append(all, a)
			}
		}
	}
	more(before, after, true)
	more(after, before, false)
	all = append(all, s.tokens()...)
	slices.SortFunc(all, func(a, b Access) int {
		return cmp.Or(cmp.Compare(a.Subject, b.Subject), cmp.Compare(a.Where, b.Where), cmp.Compare(a.What, b.What))
	})
	return all
}

// permissions puts rules of one verb and resource each into words, verbs together.
func permissions(rules []rbacv1.PolicyRule) []string {
	verbs := map[string][]string{}
	for _, rule := range rules {
		on := strings.Join(rule.NonResourceURLs, ", ")
		if len(rule.Resources) > 0 {
			on = rule.Resources[0]
			if group := rule.APIGroups[0]; group == roleGroup {
				on = "that " + on + " " + rule.ResourceNames[0] + " allows (it is not rendered)"
			} else if group != "" {
				on += "." + group
			}
			if len(rule.ResourceNames) > 0 && rule.APIGroups[0] != roleGroup {
				on += " " + rule.ResourceNames[0]
			}
		}
		verbs[on] = append(verbs[on], rule.Verbs...)
	}
	var all []string
	for _, on := range sorted(verbs) {
		list := verbs[on]
		slices.Sort(list)
		all = append(all, strings.Join(slices.Compact(list), ", ")+" "+on)
	}
	return all
}

// tokens returns the workloads whose pods begin or cease to hold a token of the API server.
func (s *sides) tokens() []Access {
	before := map[string]bool{}
	for _, w := range s.base.Workloads() {
		before[w.ID()] = holdsToken(s.base, w)
	}
	var all []Access
	for _, w := range s.head.Workloads() {
		had, existed := before[w.ID()]
		has := holdsToken(s.head, w)
		if existed && had != has || !existed && has {
			a := Access{Subject: w.ID(), Where: cmp.Or(w.GetNamespace(), everywhere), Gains: has, What: "its pods' token for the API server", Severity: Notice}
			if has {
				a.Severity = Warning
			}
			all = append(all, a)
		}
	}
	return all
}

// holdsToken reports whether Kubernetes mounts a token into the pods; it does unless they or their account say no.
func holdsToken(o *harness.Overlay, w harness.Workload) bool {
	if mount := w.Pods.Spec.AutomountServiceAccountToken; mount != nil {
		return *mount
	}
	for _, object := range o.Objects {
		if object.GetKind() == "ServiceAccount" && object.GetName() == cmp.Or(w.Pods.Spec.ServiceAccountName, "default") {
			if mount, found, _ := nestedBool(object, "automountServiceAccountToken"); found {
				return mount
			}
		}
	}
	return true
}
