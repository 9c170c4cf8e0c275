package alerts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/rules"
	"go.yaml.in/yaml/v3"
)

const repository = "../../.."

// alertTests is a file of testdata, named after its alert.
type alertTests struct {
	Fires, Silent []scenario
}

// scenario is a course of events: what Prometheus scrapes, a sample per step, in its own notation for series (0+10x60 is a
// counter that grows by ten, sixty times). Every series, written with braces, gets the namespace as a label.
type scenario struct {
	Name   string
	Step   model.Duration // 1m unless given
	Series map[string]string
	// Of a scenario that fires: when it does for the first time, counted from the first sample, with which labels besides
	// alertname and namespace, and what its summary then says.
	After   model.Duration
	Labels  map[string]string
	Summary string
}

func TestAlerts(t *testing.T) {
	groups := render(t, "mainnet")
	file := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(file, groups, 0o644); err != nil {
		t.Fatal(err)
	}
	parsed, errs := rulefmt.Parse(groups, false, model.LegacyValidation, parser.NewParser(parser.Options{}))
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range parsed.Groups {
		for _, rule := range group.Rules {
			if rule.Alert == "" {
				continue
			}
			files = slices.DeleteFunc(files, func(file string) bool { return filepath.Base(file) == rule.Alert+".yaml" })
			tests := read(t, rule.Alert)
			if len(tests.Fires) == 0 || len(tests.Silent) == 0 {
				t.Errorf("%s has %d scenarios that fire and %d that do not, and wants both", rule.Alert, len(tests.Fires), len(tests.Silent))
			}
			for _, s := range tests.Fires {
				t.Run(rule.Alert+"/fires/"+s.Name, func(t *testing.T) {
					t.Parallel()
					want := firing{time.Duration(s.After), s.Labels, s.Summary}
					if diff := cmp.Diff(&want, play(t, file, rule.Alert, s)); diff != "" {
						t.Errorf("-want +got\n%s", diff)
					}
				})
			}
			for _, s := range tests.Silent {
				t.Run(rule.Alert+"/silent/"+s.Name, func(t *testing.T) {
					t.Parallel()
					if got := play(t, file, rule.Alert, s); got != nil {
						t.Errorf("fires: %+v", got)
					}
				})
			}
		}
	}
	if len(files) > 0 {
		t.Errorf("no alert belongs to %s", files)
	}
}

// TestNetworksAlertAlike allows the alerts of two networks to differ in the namespace alone, so that the tests above hold
// for all of them.
func TestNetworksAlertAlike(t *testing.T) {
	mainnet := render(t, "mainnet")
	testnet := bytes.ReplaceAll(render(t, "testnet"), []byte("jupiter-dex-testnet"), []byte("jupiter-dex-mainnet"))
	if diff := cmp.Diff(string(mainnet), string(testnet)); diff != "" {
		t.Errorf("-mainnet +testnet\n%s", diff)
	}
}

// TestUserRules puts an operator's own rule into a group beside ours, which Prometheus accepts.
func TestUserRules(t *testing.T) {
	groups := prometheusRule(t, "build/bin/helm4", "template", "dex", "charts/jupiter-dex-integration", "--set=monitoring.enabled=true",
		`--set-json=monitoring.alerts.rules=[{"alert":"QuotesStopped","expr":"sum(rate(jupiter_api_requests_total[5m])) == 0","for":"10m","labels":{"severity":"warning"}}]`)
	parsed, errs := rulefmt.Parse(groups, false, model.LegacyValidation, parser.NewParser(parser.Options{}))
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	group := parsed.Groups[len(parsed.Groups)-1]
	if len(group.Rules) != 1 || group.Rules[0].Alert != "QuotesStopped" || time.Duration(group.Rules[0].For) != 10*time.Minute {
		t.Errorf("the last group is %+v", group)
	}
}

// firing is an alert when it fires for the first time.
type firing struct {
	After   time.Duration
	Labels  map[string]string
	Summary string
}

// play evaluates all rules at every step of a scenario. It returns nil if the alert never fires.
func play(t *testing.T, file, alert string, s scenario) *firing {
	t.Helper()
	const namespace = "jupiter-dex-mainnet"
	step := time.Minute
	if s.Step > 0 {
		step = time.Duration(s.Step)
	}
	load, samples := new(strings.Builder), 0
	fmt.Fprintf(load, "load %s\n", step)
	for series, values := range s.Series {
		series = strings.Replace(series, "{", fmt.Sprintf("{namespace=%q,", namespace), 1)
		fmt.Fprintf(load, "  %s %s\n", series, values)
		_, parsed, err := parser.NewParser(parser.Options{}).ParseSeriesDesc(series + " " + values)
		if err != nil {
			t.Fatal(err)
		}
		samples = max(samples, len(parsed))
	}
	scraped, err := promqltest.NewLazyLoader(load.String(), promqltest.LazyLoaderOpts{})
	if err != nil {
		t.Fatal(err)
	}
	defer scraped.Close()
	manager := rules.NewManager(&rules.ManagerOptions{
		NameValidationScheme: model.LegacyValidation,
		QueryFunc:            rules.EngineQueryFunc(scraped.QueryEngine(), scraped.Storage()),
		Appendable:           scraped.Storage(),
		Context:              t.Context(),
		NotifyFunc:           func(context.Context, string, ...*rules.Alert) {},
		Logger:               slog.New(slog.DiscardHandler),
		Parser:               parser.NewParser(parser.Options{}),
	})
	groups, errs := manager.LoadGroups(step, labels.EmptyLabels(), "", nil, false, file)
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	var first *firing
	for i := 0; i < samples && first == nil; i++ {
		after := time.Duration(i) * step
		now := time.Unix(0, 0).Add(after)
		scraped.WithSamplesTill(now, func(err error) {
			if err != nil {
				t.Fatal(err)
			}
			for _, group := range groups {
				group.Eval(t.Context(), now)
				for _, rule := range group.Rules() {
					if err := rule.LastError(); err != nil {
						t.Fatalf("%s: %v", rule.Name(), err)
					}
					if got := active(rule, alert); got != nil {
						got.After, first = after, got
					}
				}
			}
		})
	}
	return first
}

func active(rule rules.Rule, alert string) *firing {
	alerting, ok := rule.(*rules.AlertingRule)
	if !ok || alerting.Name() != alert {
		return nil
	}
	for _, a := range alerting.ActiveAlerts() {
		if a.State == rules.StateFiring {
			got := &firing{Labels: a.Labels.Map(), Summary: a.Annotations.Get("summary")}
			delete(got.Labels, "alertname")
			delete(got.Labels, "namespace")
			return got
		}
	}
	return nil
}

func read(t *testing.T, alert string) alertTests {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", alert+".yaml"))
	if err != nil {
		t.Errorf("an alert without tests: %v", err)
		return alertTests{}
	}
	var tests alertTests
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	if err := decoder.Decode(&tests); err != nil {
		t.Fatalf("%s: %v", alert, err)
	}
	return tests
}

// render returns the alerts of an overlay.
func render(t *testing.T, overlay string) []byte {
	t.Helper()
	return prometheusRule(t, "build/bin/kustomize", "build", "--enable-helm", "--helm-command", "build/bin/helm4", "environments/"+overlay)
}

// prometheusRule returns the groups of the PrometheusRule that a command prints among other objects, as a rule file.
func prometheusRule(t *testing.T, command string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), command, args...)
	cmd.Dir, cmd.Stderr = repository, new(strings.Builder)
	output, err := cmd.Output()
	if err != nil {
		t.Fatalf("rendering (`make test` builds what it takes): %v\n%s", err, cmd.Stderr)
	}
	for decoder := yaml.NewDecoder(bytes.NewReader(output)); ; {
		var object struct {
			Kind string
			Spec yaml.Node
		}
		if err := decoder.Decode(&object); err == io.EOF {
			t.Fatalf("%v prints no PrometheusRule", cmd.Args)
		} else if err != nil {
			t.Fatal(err)
		}
		if object.Kind == "PrometheusRule" {
			text, err := yaml.Marshal(&object.Spec)
			if err != nil {
				t.Fatal(err)
			}
			return text
		}
	}
}
