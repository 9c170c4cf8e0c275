package change

import (
	"fmt"
	"strings"

	"jupiter-dex-integration/src/harness"
	"jupiter-dex-integration/src/harness/difference"
)

// Alert is an alert or recording rule that changes.
type Alert struct {
	Object   string   `json:"object"`
	Name     string   `json:"name"`
	Action   Action   `json:"action"`
	Fields   []Field  `json:"fields,omitempty"`
	Severity Severity `json:"severity"`
}

// alerts compares the rules one by one, wherever in the PrometheusRules they are.
func (s *sides) alerts(pairs []twin) []Alert {
	var all []Alert
	for _, t := range pairs {
		if t.either().GetKind() != "PrometheusRule" {
			continue
		}
		before, after := rules(t.base), rules(t.head)
		for _, name := range sorted(before, after) {
			was, had := before[name]
			is, has := after[name]
			a := Alert{Object: t.either().ID(), Name: name, Severity: Notice}
			switch {
			case !had:
				a.Action, a.Fields = Created, ruleFields(nil, is)
			case !has:
				a.Action, a.Severity, a.Fields = Deleted, Warning, ruleFields(was, nil)
			default:
				changes := difference.Between(was, is, difference.Meaning{Durations: true})
				if len(changes) == 0 {
					continue
				}
				a.Action = Changed
				for _, d := range changes {
					a.Fields = append(a.Fields, field(d))
					if !strings.HasPrefix(d.Path, "annotations") {
						a.Severity = Warning
					}
				}
			}
			all = append(all, a)
		}
	}
	return all
}

// rules returns a PrometheusRule's rules by name; those that share one are told apart by severity, then by number.
func rules(o *harness.Object) map[string]map[string]any {
	all := map[string]map[string]any{}
	if o == nil {
		return all
	}
	groups, _, _ := nestedSlice(*o, "spec.groups")
	for _, group := range groups {
		g, _ := group.(map[string]any)
		list, _ := g["rules"].([]any)
		for _, item := range list {
			rule, _ := item.(map[string]any)
			name, _ := rule["alert"].(string)
			if name == "" {
				name, _ = rule["record"].(string)
			}
			labels, _ := rule["labels"].(map[string]any)
			key := name
			if _, taken := all[key]; taken {
				key = fmt.Sprintf("%s (%v)", name, labels["severity"])
			}
			for n := 2; all[key] != nil; n++ {
				key = fmt.Sprintf("%s (%d)", name, n)
			}
			all[key] = rule
		}
	}
	return all
}

// ruleFields is what a person wants to know of a rule that comes or goes.
func ruleFields(before, after map[string]any) []Field {
	severity := func(rule map[string]any) any {
		labels, _ := rule["labels"].(map[string]any)
		return labels["severity"]
	}
	var fields []Field
	for _, d := range []difference.Field{
		{Path: "expr", Before: before["expr"], After: after["expr"]},
		{Path: "for", Before: before["for"], After: after["for"]},
		{Path: "severity", Before: severity(before), After: severity(after)},
	} {
		if d.Before != nil || d.After != nil {
			fields = append(fields, field(d))
		}
	}
	return fields
}
