package harness

import (
	"cmp"
	"slices"
	"strings"
)

// A Rule is one thing that must hold for a repository. Its name, reason and fix are written for whoever has just broken it.
type Rule struct {
	Name   string // kebab-case, stable: people search for it
	Reason string // what goes wrong in a cluster otherwise
	Fix    string // what to do, unless a finding knows better
	Check  func(*Render) []Finding
}

// A Finding is one breach of a rule.
type Finding struct {
	Rule    string // filled in by Judge
	Overlay string // such as "mainnet"; empty when the fault is not in one overlay
	Object  string // "Kind/name", or the path of a file in the repository
	Field   string // path inside the object, empty when the whole object is meant
	Problem string
	Reason  string // filled in by Judge
	Fix     string // filled in by Judge from the rule when empty
}

// String is the finding on one line, without rule, reason and fix.
func (f Finding) String() string {
	return strings.TrimSpace(f.place()+" "+f.Field) + ": " + f.Problem
}

// place is where the finding is, what is what it says there.
func (f Finding) place() string { return strings.TrimSpace(f.Overlay + " " + f.Object) }
func (f Finding) what() string  { return strings.TrimPrefix(f.Field+": "+f.Problem, ": ") }

// Rules returns every rule, in the order in which their findings are best read: a fault early in the list often causes
// the ones after it.
func Rules() []Rule {
	return slices.Concat(sourceRules, secretRules, renderRules, objectRules, relationRules, referenceRules, networkRules, podRules, quotaRules, configRules, accessRules, alertRules, argoRules)
}

// Judge applies the rules and returns their findings, overlay by overlay.
func Judge(r *Render, rules []Rule) []Finding {
	var all []Finding
	for _, rule := range rules {
		for _, f := range rule.Check(r) {
			f.Rule, f.Reason = rule.Name, rule.Reason
			f.Fix = cmp.Or(f.Fix, rule.Fix)
			all = append(all, f)
		}
	}
	slices.SortStableFunc(all, func(a, b Finding) int { return cmp.Compare(a.Overlay, b.Overlay) })
	return all
}

// inEachOverlay makes a Check out of a function that judges one overlay and need not know its name. Overlays that did not
// render have one finding already; what they lack because of it is none.
func inEachOverlay(check func(o *Overlay) []Finding) func(*Render) []Finding {
	return func(r *Render) []Finding {
		rendered := slices.DeleteFunc(slices.Clone(r.Overlays), func(o *Overlay) bool { return !o.Rendered() })
		return inEach(rendered, check)
	}
}

// inEachRender is inEachOverlay for rules that hold for argocd/ as well.
func inEachRender(check func(o *Overlay) []Finding) func(*Render) []Finding {
	return func(r *Render) []Finding { return inEach(r.all(), check) }
}

func inEach(overlays []*Overlay, check func(o *Overlay) []Finding) []Finding {
	var all []Finding
	for _, o := range overlays {
		for _, f := range check(o) {
			f.Overlay = o.Name
			all = append(all, f)
		}
	}
	return all
}
