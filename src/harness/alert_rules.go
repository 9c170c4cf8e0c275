package harness

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	promql "github.com/prometheus/prometheus/promql/parser"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// alertRules judge what is to warn people when the rest did not help.
var alertRules = []Rule{{
	Name:   "alert-metrics",
	Reason: "an expression over a metric that nobody exports is always empty: the alert never fires, the panel stays blank",
	Fix:    "use the name under which a binary registers the metric",
	Check:  checkMetrics,
}, {
	Name:   "alert-form",
	Reason: "whoever is woken must see at a glance how bad it is and what to do",
	Fix:    "give every alert a severity label, and a summary, a description and a runbook_url in its annotations",
	Check:  checkAlertForm,
}, {
	Name:   "dashboard-form",
	Reason: "a panel without a unit or thresholds is misread in a hurry, and one that does not say which network mixes them all",
	Fix:    "give every panel a unit and thresholds, every dashboard a uid of its own and the variables namespace and pod, and every query namespace=\"$namespace\"",
	Check:  inEachOverlay(checkDashboards),
}}

// prometheusRule is the part of a PrometheusRule that is judged.
type prometheusRule struct {
	Spec struct {
		Groups []struct {
			Name  string `json:"name"`
			Rules []struct {
				Alert       string            `json:"alert"`
				Record      string            `json:"record"`
				Expr        any               `json:"expr"` // a number is allowed
				Labels      map[string]string `json:"labels"`
				Annotations map[string]string `json:"annotations"`
			} `json:"rules"`
		} `json:"groups"`
	} `json:"spec"`
}

var prometheusRuleKind = schema.GroupKind{Group: "monitoring.coreos.com", Kind: "PrometheusRule"}

// foreign are the metrics that others export: Prometheus itself, the Go client, the kubelet and cluster, the Redis exporter.
var foreign = regexp.MustCompile(`^(up|ALERTS|scrape_.*|go_.*|process_.*|container_.*|kube_.*|kubelet_.*|redis_.*)$`)

// windows are Grafana's variables for a duration, which Prometheus never sees.
var windows = strings.NewReplacer("$__rate_interval", "5m", "$__interval", "1m", "$__range", "1h")

func checkMetrics(r *Render) []Finding {
	exported, err := registeredMetrics(filepath.Join(r.Root, "src"))
	if err != nil {
		return []Finding{{Object: "src", Problem: err.Error()}}
	}
	return inEachOverlay(func(o *Overlay) []Finding {
		var all []Finding
		recorded := map[string]bool{}
		for _, rule := range custom[prometheusRule](o, prometheusRuleKind) {
			for _, group := range rule.Spec.Groups {
				for _, rule := range group.Rules {
					recorded[rule.Record] = true
				}
			}
		}
		for _, expression := range expressions(o) {
			report := func(format string, args ...any) {
				all = append(all, Finding{Object: expression.object.ID(), Field: expression.field, Problem: fmt.Sprintf(format, args...)})
			}
			names, err := metricNames(expression.text)
			if err != nil {
				report("%v", err)
				continue
			}
			for _, name := range names {
				if !recorded[name] && !foreign.MatchString(name) && !exported[name] && !exported[histogram.ReplaceAllString(name, "")] {
					report("nobody exports %s%s", name, suggestion(name, slices.Sorted(maps.Keys(exported))))
				}
			}
		}
		return all
	})(r)
}

// histogram is what a histogram's series add to its name.
var histogram = regexp.MustCompile(`_(bucket|sum|count)$`)

// An expression is PromQL in an object.
type expression struct {
	object      Object
	field, text string
}

// expressions returns the PromQL of an overlay's rules and of the dashboards in its ConfigMaps.
func expressions(o *Overlay) []expression {
	var all []expression
	for object, rule := range custom[prometheusRule](o, prometheusRuleKind) {
		for _, group := range rule.Spec.Groups {
			for _, rule := range group.Rules {
				all = append(all, expression{object, "spec.groups[" + group.Name + "].rules[" + rule.Alert + rule.Record + "].expr", fmt.Sprint(rule.Expr)})
			}
		}
	}
	for object, cm := range objects[*corev1.ConfigMap](o) {
		for _, file := range slices.Sorted(maps.Keys(cm.Data)) {
			var dashboard any
			if filepath.Ext(file) != ".json" || json.Unmarshal([]byte(cm.Data[file]), &dashboard) != nil {
				continue
			}
			var found []expression
			walk(dashboard, "", func(field, key, value string) {
				if key == "query" { // of a variable, which is no PromQL but holds some
					if values := labelValues.FindStringSubmatch(value); values != nil {
						key, value = "expr", values[1]
					}
				}
				if key == "expr" {
					found = append(found, expression{object, "data[" + file + "]." + field, value})
				}
			})
			slices.SortFunc(found, func(a, b expression) int { return strings.Compare(a.field, b.field) })
			all = append(all, found...)
		}
	}
	return all
}

// labelValues is Grafana's query for the values of a label.
var labelValues = regexp.MustCompile(`^label_values\((.+), *\w+\)$`)

// dashboard is the part of a Grafana dashboard that is judged.
type dashboard struct {
	UID        string `json:"uid"`
	Templating struct {
		List []variable `json:"list"`
	} `json:"templating"`
	Panels []struct {
		Title   string `json:"title"`
		Targets []struct {
			Expr string `json:"expr"`
		} `json:"targets"`
		FieldConfig struct {
			Defaults struct {
				Unit       string `json:"unit"`
				Thresholds struct {
					Steps []json.RawMessage `json:"steps"`
				} `json:"thresholds"`
			} `json:"defaults"`
		} `json:"fieldConfig"`
	} `json:"panels"`
}

type variable struct {
	Name string `json:"name"`
}

func checkDashboards(o *Overlay) []Finding {
	var all []Finding
	uids := map[string]string{}
	for object, cm := range objects[*corev1.ConfigMap](o) {
		for _, file := range slices.Sorted(maps.Keys(cm.Data)) {
			var d dashboard
			if filepath.Ext(file) != ".json" || json.Unmarshal([]byte(cm.Data[file]), &d) != nil || d.Panels == nil {
				continue
			}
			report := func(field, format string, args ...any) {
				all = append(all, Finding{Object: object.ID(), Field: "data[" + file + "]" + field, Problem: fmt.Sprintf(format, args...)})
			}
			if other, taken := uids[d.UID]; taken {
				report(".uid", "%q is that of %s", d.UID, other)
			}
			uids[d.UID] = file
			for _, name := range []string{"namespace", "pod"} {
				if !slices.Contains(d.Templating.List, variable{name}) {
					report(".templating", "lacks the variable %s", name)
				}
			}
			for _, panel := range d.Panels {
				field := ".panels[" + panel.Title + "]"
				if panel.FieldConfig.Defaults.Unit == "" {
					report(field, "lacks a unit")
				}
				if len(panel.FieldConfig.Defaults.Thresholds.Steps) == 0 {
					report(field, "lacks thresholds")
				}
				for _, target := range panel.Targets {
					if !strings.Contains(target.Expr, `namespace="$namespace"`) {
						report(field, "asks for every network: %s", target.Expr)
					}
				}
			}
		}
	}
	return all
}

// metricNames parses PromQL and returns the metrics it reads.
func metricNames(text string) ([]string, error) {
	parsed, err := promql.NewParser(promql.Options{}).ParseExpr(windows.Replace(text))
	if err != nil {
		return nil, err
	}
	var names []string
	promql.Inspect(parsed, func(node promql.Node, _ []promql.Node) error {
		if selector, ok := node.(*promql.VectorSelector); ok {
			for _, matcher := range selector.LabelMatchers {
				if matcher.Name == model.MetricNameLabel && matcher.Type == labels.MatchEqual {
					names = append(names, matcher.Value)
				}
			}
		}
		return nil
	})
	slices.Sort(names)
	return slices.Compact(names), nil
}

// metricName is a name that a Prometheus metric of ours can have: of several words, to tell it from any other string.
var metricName = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)+$`)

// registeredMetrics returns the string literals of the Go code that can be names of metrics. Which of them reach a registry
// is not looked at: a name that the code does not even contain is the mistake that happens.
func registeredMetrics(dir string) (map[string]bool, error) {
	found := map[string]bool{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (entry.Name() == "testdata" || entry.Name() == "harness") {
			return filepath.SkipDir
		}
		if filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(node ast.Node) bool {
			if literal, ok := node.(*ast.BasicLit); ok && literal.Kind == token.STRING {
				if text, err := strconv.Unquote(literal.Value); err == nil && metricName.MatchString(text) {
					found[text] = true
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("looking for metrics in the Go code: %w", err)
	}
	return found, nil
}

func checkAlertForm(r *Render) []Finding {
	return inEachOverlay(func(o *Overlay) []Finding { return alertForm(r.Root, o) })(r)
}

// runbookFolder is where the runbooks of this repository's own alerts are, at whatever URL people read them.
const runbookFolder = "docs/runbooks"

func alertForm(root string, o *Overlay) []Finding {
	var all []Finding
	for object, rule := range custom[prometheusRule](o, prometheusRuleKind) {
		for _, group := range rule.Spec.Groups {
			for _, rule := range group.Rules {
				if rule.Alert == "" {
					continue
				}
				need := func(field string, set map[string]string, name string) {
					if set[name] == "" {
						all = append(all, Finding{Object: object.ID(), Field: "spec.groups[" + group.Name + "].rules[" + rule.Alert + "]." + field, Problem: "lacks " + name})
					}
				}
				need("labels", rule.Labels, "severity")
				need("annotations", rule.Annotations, "summary")
				need("annotations", rule.Annotations, "description")
				need("annotations", rule.Annotations, "runbook_url")
				_, runbook, ours := strings.Cut(rule.Annotations["runbook_url"], runbookFolder+"/")
				if !ours {
					continue
				}
				if _, err := os.Stat(filepath.Join(root, runbookFolder, runbook)); err != nil {
					all = append(all, Finding{Object: object.ID(), Field: "spec.groups[" + group.Name + "].rules[" + rule.Alert + "].annotations.runbook_url",
						Problem: "there is no " + runbookFolder + "/" + runbook, Fix: "write it: what the alert means, how to find the cause, what to do"})
				}
			}
		}
	}
	return all
}
