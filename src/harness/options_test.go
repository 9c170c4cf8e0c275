package harness

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// TestOptions renders what no overlay of this repository switches on. Each file of testdata/options is an overlay of the chart
// with one feature, or several that meet, and what somebody else must provide for it; it keeps every rule.
func TestOptions(t *testing.T) {
	files, err := filepath.Glob("testdata/options/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no options found: %v", err)
	}
	options := map[string]option{}
	for _, file := range files {
		var o option
		if err := yaml.UnmarshalStrict([]byte(read(t, file)), &o); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		options[strings.TrimSuffix(filepath.Base(file), ".yaml")] = o
	}
	// There is no Argo CD here, no copy of the values, and no Go code to look for metrics in.
	rules := slices.DeleteFunc(Rules(), func(r Rule) bool {
		return slices.Contains([]string{"applications", "project-kinds", "build-options", "values-in-step", "alert-metrics"}, r.Name)
	})
	r := renderOptions(t, options)
	for _, f := range Judge(r, rules) {
		t.Errorf("%s\n\trule %s: %s\n\tfix: %s", f, f.Rule, f.Reason, f.Fix)
	}
}

// option is an overlay of the chart: its values, and what somebody else provides for it.
type option struct {
	Values   map[string]any `json:"values"`
	Provided []Provided     `json:"provided"`
}

// renderOptions makes each option devnet's overlay under another name, with values of its own, and renders them.
func renderOptions(t *testing.T, options map[string]option) *Render {
	t.Helper()
	root := t.TempDir()
	write := func(file, text string) {
		t.Helper()
		path := filepath.Join(root, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{"charts", runbookFolder} {
		if err := os.CopyFS(filepath.Join(root, dir), os.DirFS(filepath.Join(repository, dir))); err != nil {
			t.Fatal(err)
		}
	}
	write("versions.yaml", read(t, repository+"/versions.yaml"))
	write("argocd/kustomization.yaml", "resources: [argocd-cm-patch.yaml]")
	write("argocd/argocd-cm-patch.yaml", "{apiVersion: v1, kind: ConfigMap, metadata: {name: argocd-cm, namespace: argocd}}")
	base := read(t, repository+"/environments/devnet/kustomization.yaml")
	namespace := read(t, repository+"/environments/devnet/namespace.yaml")
	for name, o := range options {
		for file, content := range map[string]any{"values.yaml": o.Values, providedFile: o.Provided} {
			text, err := yaml.Marshal(content)
			if err != nil {
				t.Fatal(err)
			}
			write("environments/"+name+"/"+file, string(text))
		}
		renamed := strings.NewReplacer("jupiter-dex-devnet", "option-"+name, "    additionalValuesFiles:\n      - images.yaml\n", "")
		write("environments/"+name+"/kustomization.yaml", renamed.Replace(base))
		write("environments/"+name+"/namespace.yaml", renamed.Replace(namespace))
	}
	r, err := Load(t.Context(), Options{Root: root, Tools: repository})
	if err != nil {
		t.Fatal(err)
	}
	return r
}
