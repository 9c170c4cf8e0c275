package harness

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

var corpus = flag.Bool("corpus", false, "compare the harness with other tools over testdata/faults and write the result into docs/harness.md")

// A judgement is what one fault meets.
type judgement struct {
	fault
	name, layer string
	caught      map[string]bool // by tool
}

// otherTools are what repositories like this one usually check with, in the order of the table.
var otherTools = []string{"kustomize build", "helm lint --strict", "kubeconform -strict", "kubectl-validate"}

// TestCorpus shows each fault to the usual tools as well. `make corpus` runs it.
func TestCorpus(t *testing.T) {
	if !*corpus {
		t.Skip("run by make corpus: needs kubeconform and kubectl-validate")
	}
	renders := t.TempDir()
	good := judged(t, renders, "good", fault{overlay: "plain"})
	chart := judged(t, renders, "good-chart", fault{overlay: "chart"})
	all := []*judgement{good, chart}
	files, err := filepath.Glob("testdata/faults/*.diff")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	t.Run("render", func(t *testing.T) {
		for _, file := range files {
			t.Run(filepath.Base(file), func(t *testing.T) {
				t.Parallel()
				j := judged(t, renders, strings.TrimSuffix(filepath.Base(file), ".diff"), readFault(t, file))
				mu.Lock()
				defer mu.Unlock()
				all = append(all, j)
			})
		}
	})
	schemas := writeSchemas(t)
	refused := map[string]map[string]bool{"kubeconform -strict": kubeconform(t, schemas, renders), "kubectl-validate": kubectlValidate(t, schemas, renders)}
	for _, j := range all {
		for tool, names := range refused {
			j.caught[tool] = names[j.name]
		}
	}
	for _, j := range []*judgement{good, chart} {
		for tool, caught := range j.caught {
			if caught {
				t.Errorf("%s refuses the good repository: its column would mean nothing", tool)
			}
		}
	}
	if t.Failed() {
		return
	}
	all = all[2:]
	slices.SortFunc(all, func(a, b *judgement) int { return strings.Compare(a.name, b.name) })
	writeTable(t, repository+"/docs/harness.md", all)
}

// judged applies a fault to the good repository, renders it for the tools that look at renders, and lints its chart.
func judged(t *testing.T, renders, name string, f fault) *judgement {
	root := t.TempDir()
	if err := os.CopyFS(root, os.DirFS("testdata/good")); err != nil {
		t.Fatal(err)
	}
	for _, edit := range f.edits {
		if err := edit.apply(root); err != nil {
			t.Fatal(err)
		}
	}
	j := &judgement{fault: f, name: name, caught: map[string]bool{}}
	r, err := Load(t.Context(), Options{Root: root, Tools: repository, Overlays: []string{f.overlay}, Plain: true})
	if err != nil {
		t.Fatal(err)
	}
	var output []byte
	for _, o := range []*Overlay{r.Overlays[0], r.Argo} {
		j.caught["kustomize build"] = j.caught["kustomize build"] || o.Errors[Helm4] != nil
		output = append(append(output, o.Output[Helm4]...), "\n---\n"...)
	}
	if err := os.WriteFile(filepath.Join(renders, name+".yaml"), output, 0o644); err != nil {
		t.Fatal(err)
	}
	lint := exec.CommandContext(t.Context(), repository+"/build/bin/helm4", "lint", "--strict", "--quiet", root+"/charts/shop", "--values", root+"/environments/chart/values.yaml")
	j.caught["helm lint --strict"] = lint.Run() != nil
	if len(f.findings) > 0 {
		j.layer = layer(f.findings[0])
	}
	return j
}

// layers are where a fault shows first, in the order in which a change meets them.
var layers = []string{"source tree", "values schema", "kustomize and Helm", "API schema", "API server's validation", "Pod Security",
	"custom resources", "objects together", "pods and their configuration", "alerts and dashboards", "Argo CD"}

func layer(finding string) string {
	rule, rest, _ := strings.Cut(finding, ": ")
	in := func(groups ...[]Rule) bool {
		return slices.ContainsFunc(slices.Concat(groups...), func(r Rule) bool { return r.Name == rule })
	}
	says := func(parts ...string) bool {
		return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(rest, part) })
	}
	switch {
	case rule == "renders" && says("schema", "values don't meet"):
		return "values schema"
	case in(renderRules):
		return "kustomize and Helm"
	case in(sourceRules, secretRules):
		return "source tree"
	case rule == "pod-security" || says("pod-security.kubernetes.io"):
		return "Pod Security"
	case rule == "accepted-object" && slices.ContainsFunc(slices.Collect(maps.Keys(definitions)), func(kind schema.GroupKind) bool { return says(" " + kind.Kind + "/") }):
		return "custom resources"
	case rule == "accepted-object" && says("unknown field", "cannot be handled"), rule == "known-kind", rule == "served-api":
		return "API schema"
	case rule == "accepted-object", rule == "no-warnings":
		return "API server's validation"
	case in(podRules, configRules):
		return "pods and their configuration"
	case in(alertRules):
		return "alerts and dashboards"
	case in(argoRules):
		return "Argo CD"
	}
	return "objects together"
}

// writeSchemas prepares the pinned Kubernetes version's OpenAPI documents and the pinned definitions for both tools.
func writeSchemas(t *testing.T) string {
	dir := t.TempDir()
	write := func(name string, document any) {
		data, err := json.Marshal(document)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), data, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	list := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "k8s.io/kubernetes")
	list.Dir = "apiserver"
	kubernetes, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	// api__v1_openapi.json, apis__apps__v1_openapi.json; apis__apps_openapi.json is a list of versions.
	var documents []string
	for _, pattern := range []string{"api__*_openapi.json", "apis__*__*_openapi.json"} {
		found, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(kubernetes)), "api/openapi-spec/v3", pattern))
		if err != nil || len(found) == 0 {
			t.Fatalf("no OpenAPI documents %s: %v", pattern, err)
		}
		documents = append(documents, found...)
	}
	for _, file := range documents {
		var document map[string]any
		if err := json.Unmarshal([]byte(read(t, file)), &document); err != nil {
			t.Fatal(err)
		}
		write("openapi/"+strings.ReplaceAll(strings.TrimSuffix(filepath.Base(file), "_openapi.json"), "__", "/")+".json", document)
		components := document["components"].(map[string]any)
		strictly(components)
		for name, component := range components["schemas"].(map[string]any) {
			kinds, _ := component.(map[string]any)["x-kubernetes-group-version-kind"].([]any)
			if len(kinds) != 1 {
				continue // an option or a part
			}
			kind := kinds[0].(map[string]any)
			group := kind["group"]
			if group == "" {
				group = kind["version"] // as kubeconform calls it
			}
			write(fmt.Sprintf("json/%s_%s_%s.json", group, kind["version"], strings.ToLower(kind["kind"].(string))),
				map[string]any{"$ref": "#/components/schemas/" + name, "components": components})
		}
	}
	crds, err := definitionFiles(t.Context(), repository)
	if err != nil {
		t.Fatal(err)
	}
	for kind, file := range crds {
		var crd struct {
			Spec struct {
				Group    string
				Names    struct{ Kind string }
				Versions []struct {
					Name   string
					Schema struct{ OpenAPIV3Schema map[string]any }
				}
			}
		}
		data := read(t, file)
		if err := yaml.Unmarshal([]byte(data), &crd); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(dir+"/crds", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir+"/crds/"+kind+".yaml", []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
		for _, version := range crd.Spec.Versions {
			strictly(version.Schema.OpenAPIV3Schema)
			write(fmt.Sprintf("json/%s_%s_%s.json", crd.Spec.Group, version.Name, strings.ToLower(crd.Spec.Names.Kind)), version.Schema.OpenAPIV3Schema)
		}
	}
	return dir
}

// strictly closes every object that states its properties, and lets null be null, as the usual converters of OpenAPI do.
func strictly(node any) {
	switch node := node.(type) {
	case []any:
		for _, item := range node {
			strictly(item)
		}
	case map[string]any:
		for _, item := range node {
			strictly(item)
		}
		_, isObject := node["properties"].(map[string]any)
		if _, stated := node["additionalProperties"]; isObject && !stated && node["x-kubernetes-preserve-unknown-fields"] != true {
			node["additionalProperties"] = false
		}
		if kind, ok := node["type"].(string); ok && node["nullable"] == true {
			node["type"] = []any{kind, "null"}
		}
	}
}

// run starts a tool that make corpus has built; that it refuses something is no error.
func run(t *testing.T, name string, args ...string) []byte {
	var problems bytes.Buffer
	cmd := exec.CommandContext(t.Context(), repository+"/build/bin/"+name, args...)
	cmd.Stderr = &problems
	output, err := cmd.Output()
	var refused *exec.ExitError
	if err != nil && !errors.As(err, &refused) {
		t.Fatalf("%v; run make corpus", err)
	}
	if len(output) == 0 {
		t.Fatalf("%s: %v: %s", name, err, &problems)
	}
	return output
}

// kubeconform returns the renders that it refuses.
func kubeconform(t *testing.T, schemas, renders string) map[string]bool {
	var answer struct {
		Resources []struct{ Filename, Kind, Name, Status, Msg string }
	}
	output := run(t, "kubeconform", "-strict", "-output", "json", "-schema-location", schemas+"/json/{{.Group}}_{{.ResourceAPIVersion}}_{{.ResourceKind}}.json", renders)
	if err := json.Unmarshal(output, &answer); err != nil {
		t.Fatal(err)
	}
	refused := map[string]bool{}
	for _, r := range answer.Resources {
		name := strings.TrimSuffix(filepath.Base(r.Filename), ".yaml")
		refused[name] = true
		t.Logf("kubeconform: %s: %s/%s: %s", name, r.Kind, r.Name, r.Msg)
	}
	return refused
}

// kubectlValidate returns the renders that it refuses.
func kubectlValidate(t *testing.T, schemas, renders string) map[string]bool {
	var answer map[string][]struct{ Status, Message string }
	output := run(t, "kubectl-validate", renders, "--local-schemas", schemas+"/openapi", "--local-crds", schemas+"/crds", "--output", "json")
	if err := json.Unmarshal(output, &answer); err != nil {
		t.Fatal(err)
	}
	refused := map[string]bool{}
	for file, objects := range answer {
		for _, o := range objects {
			if o.Status != "Success" {
				name := strings.TrimSuffix(filepath.Base(file), ".yaml")
				refused[name] = true
				t.Logf("kubectl-validate: %s: %s", name, o.Message)
			}
		}
	}
	return refused
}

const tableStart, tableEnd = "<!-- corpus: make corpus -->\n", "<!-- end of corpus -->\n"

// writeTable replaces what stands between the marks of a document.
func writeTable(t *testing.T, file string, all []*judgement) {
	var b strings.Builder
	heading := func(first string) {
		fmt.Fprintf(&b, "\n| %s | faults | harness | %s |\n|---|---:|---:|%s\n", first, strings.Join(otherTools, " | "), strings.Repeat("---:|", len(otherTools)))
	}
	row := func(name string, some []*judgement) {
		fmt.Fprintf(&b, "| %s | %d | %d |", name, len(some), len(some))
		for _, tool := range otherTools {
			n := 0
			for _, j := range some {
				if j.caught[tool] {
					n++
				}
			}
			fmt.Fprintf(&b, " %d |", n)
		}
		b.WriteString("\n")
	}
	byLayer := map[string][]*judgement{}
	for _, j := range all {
		byLayer[j.layer] = append(byLayer[j.layer], j)
	}
	heading("layer")
	for _, name := range layers {
		row(name, byLayer[name])
	}
	row("**all**", all)
	for _, name := range layers {
		fmt.Fprintf(&b, "\n### %s\n\n| fault | rule | also caught by |\n|---|---|---|\n", strings.ToUpper(name[:1])+name[1:])
		for _, j := range byLayer[name] {
			rule, _, _ := strings.Cut(j.findings[0], ": ")
			var also []string
			for _, tool := range otherTools {
				if j.caught[tool] {
					also = append(also, tool)
				}
			}
			fmt.Fprintf(&b, "| [%s](../src/harness/testdata/faults/%s.diff) | %s | %s |\n", strings.TrimSpace(strings.ReplaceAll(j.story, "|", "\\|")), j.name, rule, strings.Join(also, ", "))
		}
	}
	text := read(t, file)
	before, rest, ok := strings.Cut(text, tableStart)
	_, after, ended := strings.Cut(rest, tableEnd)
	if !ok || !ended {
		t.Fatalf("%s lacks %q or %q", file, tableStart, tableEnd)
	}
	if err := os.WriteFile(file, []byte(before+tableStart+b.String()+"\n"+tableEnd+after), 0o644); err != nil {
		t.Fatal(err)
	}
}
