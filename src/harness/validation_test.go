package harness

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"sigs.k8s.io/yaml"
)

const chart = repository + "/charts/jupiter-dex-integration"

// refusal is a rule of the charts' validate.yaml: values that it refuses, and what makes them good again.
type refusal struct {
	Says  string         `json:"says"` // part of the message
	Fails map[string]any `json:"fails"`
	Fix   map[string]any `json:"fix"`
}

// TestValuesThatCannotWorkAreRefused breaks every rule of validate.yaml once, and then does what the message says.
func TestValuesThatCannotWorkAreRefused(t *testing.T) {
	var refusals []refusal
	if err := yaml.UnmarshalStrict([]byte(read(t, "testdata/validation.yaml")), &refusals); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var said []string
	t.Run("rules", func(t *testing.T) {
		for _, r := range refusals {
			t.Run(r.Says, func(t *testing.T) {
				t.Parallel()
				output, err := template(t, r.Fails)
				if err == nil || !strings.Contains(output, r.Says) {
					t.Errorf("is not refused so: %v\n%s", err, output)
				}
				if n := strings.Count(output, "\n  - "); n != 1 {
					t.Errorf("breaks %d rules, want one\n%s", n, output)
				}
				if output, err := template(t, r.Fails, r.Fix); err != nil {
					t.Errorf("is not mended by the fix: %v\n%s", err, output)
				}
				mu.Lock()
				said = append(said, output)
				mu.Unlock()
			})
		}
	})
	for _, file := range []string{chart + "/templates/validate.yaml", chart + "/charts/redis/templates/validate.yaml"} {
		for _, match := range regexp.MustCompile(`append \$errors \(?(?:printf )?"((?:[^"\\]|\\.)*)"`).FindAllStringSubmatch(read(t, file), -1) {
			var pattern strings.Builder
			for i, literal := range regexp.MustCompile(`%[a-z]`).Split(strings.ReplaceAll(match[1], `\"`, `"`), -1) {
				if i > 0 {
					pattern.WriteString(".*")
				}
				pattern.WriteString(regexp.QuoteMeta(literal))
			}
			rule := regexp.MustCompile(pattern.String())
			if !slices.ContainsFunc(said, rule.MatchString) {
				t.Errorf("testdata/validation.yaml does not break this rule: %s", match[1])
			}
		}
	}
}

// TestTyposAreRefusedAtEveryDepth breaks the schema: in our own keys, in the sub-chart's and in Kubernetes' own.
func TestTyposAreRefusedAtEveryDepth(t *testing.T) {
	for path, value := range map[string]any{
		"replicaCuont":                                "1",
		"apiGateway.replicaCuont":                     1,
		"apiGateway.autoscaling.keda.enabledd":        true,
		"apiGateway.resources.limitss":                map[string]any{},
		"apiGateway.resources.limits.memroy":          "1Gi",
		"apiGateway.affinity.nodeAfinity":             map[string]any{},
		"apiGateway.autoscaling.behavior.scaleUp.pol": "Max",
		"priceOracle.image.digets":                    "",
		"routeOptimizer.tolerations":                  []any{map[string]any{"kye": "spot"}},
		"networkPolicy.clients":                       []any{map[string]any{"podSelectr": map[string]any{}}},
		"networkPolicy.external":                      []any{map[string]any{"cidr": "0.0.0.0/0", "exept": []any{}}},
		"monitoring.alerts.rules":                     []any{map[string]any{"alert": "A", "expr": "1", "fro": "5m"}},
		"backup.recovery.comand":                      "verify",
		"redis.master.persistence.szie":               "1Gi",
		"redis.master.resources.limits.memroy":        "1Gi",
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			values := value
			steps := strings.Split(path, ".")
			for _, step := range slices.Backward(steps) {
				values = map[string]any{step: values}
			}
			if output, err := template(t, values.(map[string]any)); err == nil || !strings.Contains(output, "additional propert") {
				t.Errorf("is not refused as unknown: %v\n%.300s", err, output)
			}
		})
	}
}

// template renders the chart with values on top of its own, and returns what Helm says.
func template(t *testing.T, values ...map[string]any) (string, error) {
	t.Helper()
	args := []string{"template", "dex", chart, "--namespace", "dex"}
	for _, v := range values {
		text, err := yaml.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		file, err := os.CreateTemp(t.TempDir(), "*.yaml")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.Write(text); err != nil {
			t.Fatal(err)
		}
		file.Close()
		args = append(args, "--values", file.Name())
	}
	output, err := exec.CommandContext(t.Context(), filepath.Join(repository, "build/bin/helm4"), args...).CombinedOutput()
	return string(output), err
}
