package harness

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/template/parse"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/pod-security-admission/api"
	"sigs.k8s.io/yaml"
)

// noSymlinks and noRemote also decide whether anything gets rendered.
var noSymlinks = Rule{
	Name:   "no-symlinks",
	Reason: "Helm follows a link out of the chart and prints what it finds there; Argo CD refuses the whole repository",
	Fix:    "replace the link by the file, or by a path that kustomize may read",
	Check: func(r *Render) []Finding {
		var all []Finding
		for _, link := range r.Links {
			all = append(all, Finding{Object: link, Problem: "is a symbolic link"})
		}
		return all
	},
}

var noRemote = Rule{
	Name:   "no-remote",
	Reason: "a render must not depend on a server, nor on who controls it; Argo CD's repository allow-list does not cover remote bases",
	Fix:    "correct the path, or vendor what is needed into the repository and name it by a relative path",
	Check: func(r *Render) []Finding {
		var all []Finding
		for file := range r.Kustomizations {
			all = append(all, remoteReferences(r.Source, file)...)
		}
		for _, chart := range r.Charts {
			for i, dep := range chart.Dependencies {
				if dep.Repository != "" {
					all = append(all, Finding{Object: chart.Dir + "/Chart.yaml", Field: fmt.Sprintf("dependencies[%d].repository", i), Problem: fmt.Sprintf("is %q, a dependency is vendored under charts/ with an empty repository", dep.Repository)})
				}
			}
		}
		for _, file := range r.Files {
			if path.Base(file) == "values.schema.json" {
				all = append(all, remoteSchemas(r.Source, file)...)
			}
		}
		slices.SortFunc(all, func(a, b Finding) int { return strings.Compare(a.String(), b.String()) })
		return all
	},
}

// sourceRules judge the files.
var sourceRules = []Rule{noSymlinks, noRemote, {
	Name:   "files-parse",
	Reason: "a file that cannot be read is a file that is not judged",
	Fix:    "correct the file; unknown fields are mistakes too",
	Check:  func(r *Render) []Finding { return r.faults },
}, {
	Name:   "subcharts-declared",
	Reason: "Helm renders every folder in charts/, also one that no dependency names and no condition can switch off, and never compares versions",
	Fix:    "declare the folder in Chart.yaml's dependencies with its own version, or delete it",
	Check:  checkSubcharts,
}, {
	Name:   "pure-templates",
	Reason: "the output would depend on the cluster, the clock or chance, so the reviewed render is not the synced one",
	Fix:    "use a value instead",
	Check:  checkTemplates,
}, {
	Name:   "versions-once",
	Reason: "an overlay rendered for another Kubernetes than it is checked against, or than runs, is not checked",
	Fix:    "state the version in versions.yaml and use the same one here",
	Check:  checkVersions,
}, {
	Name:   "values-in-step",
	Reason: "people who install the chart without the overlay get other settings than the network runs with",
	Fix:    "run `make generate`",
	Check:  checkValues,
}}

// unsafe returns what forbids to render the tree at all.
func unsafe(src *Source) []Finding {
	r := &Render{Source: src}
	return slices.Concat(noSymlinks.Check(r), noRemote.Check(r))
}

// opened are the kustomization fields whose strings kustomize opens: files, folders or, given a URL, something remote.
var opened = []string{
	"resources", "components", "bases", "crds", "configurations", "generators", "transformers", "validators",
	"patchesStrategicMerge", "path", "files", "env", "envs", "chartHome", "valuesFile", "additionalValuesFiles",
}

// plugins are the kustomization fields that make it run something other than itself: a generator may inflate a chart from
// anywhere, and Helm's home may hold programs.
var plugins = []string{"generators", "transformers", "validators", "helmChartInflationGenerator", "configHome"}

// remoteReferences returns what a kustomization names outside of the repository. A relative path to an existing file or
// folder is local; kustomize tries everything else as an address.
func remoteReferences(src *Source, file string) []Finding {
	data, err := src.Read(file)
	if err != nil {
		return nil // files-parse says so
	}
	var tree any
	if yaml.Unmarshal(data, &tree) != nil {
		return nil
	}
	var all []Finding
	if src.Kustomizations[file].OpenAPI != nil {
		all = append(all, Finding{Object: file, Field: "openapi", Problem: "changes how kustomize merges in every other overlay of the same process", Fix: "leave it out; custom lists merge by patches"})
	}
	walk(tree, "", func(field, key, value string) {
		if key == "repo" || key == "chartRepoUrl" || key == "chartRepoName" {
			all = append(all, Finding{Object: file, Field: field, Problem: fmt.Sprintf("names the chart repository %q", value)})
			return
		}
		if root, _, _ := strings.Cut(strings.TrimPrefix(field, "helmGlobals."), "["); slices.Contains(plugins, root) {
			all = append(all, Finding{Object: file, Field: field, Problem: "may fetch or run something that is not in this repository", Fix: "use kustomize's own fields: configMapGenerator, patches, replacements, helmCharts"})
			return
		}
		if !slices.Contains(opened, key) || strings.Contains(value, "\n") { // an inline patch
			return
		}
		if key == "files" {
			if _, source, renamed := strings.Cut(value, "="); renamed {
				value = source
			}
		}
		local := path.Join(path.Dir(file), value)
		_, err := os.Lstat(filepath.Join(src.Root, filepath.FromSlash(local)))
		inside := slices.Contains(deployed, strings.Split(local, "/")[0])
		if strings.Contains(value, "://") || path.IsAbs(value) || err != nil || !inside {
			all = append(all, Finding{Object: file, Field: field, Problem: fmt.Sprintf("%q is no file or folder of this repository's %s", value, strings.Join(deployed, ", "))})
		}
	})
	return all
}

// knownDraft are the versions of JSON Schema that Helm carries; it fetches any other.
var knownDraft = regexp.MustCompile(`^https?://json-schema\.org/(draft-0[467]|draft/2019-09|draft/2020-12)/schema#?$`)

// remoteSchemas returns the references of a values schema that Helm would fetch.
func remoteSchemas(src *Source, file string) []Finding {
	data, err := src.Read(file)
	if err != nil {
		return nil
	}
	var tree any
	if err := json.Unmarshal(data, &tree); err != nil {
		return []Finding{{Object: file, Problem: err.Error()}}
	}
	var all []Finding
	walk(tree, "", func(field, key, value string) {
		switch {
		case slices.Contains([]string{"$ref", "$dynamicRef", "$recursiveRef"}, key) && !strings.HasPrefix(value, "#"),
			key == "$schema" && !knownDraft.MatchString(value):
			all = append(all, Finding{Object: file, Field: field, Problem: fmt.Sprintf("%q is outside of the schema; Helm would fetch it", value)})
		}
	})
	return all
}

// walk visits every string in decoded YAML or JSON with its path and the nearest key above it.
func walk(node any, at string, visit func(field, key, value string)) {
	var step func(node any, at, key string)
	step = func(node any, at, key string) {
		switch node := node.(type) {
		case map[string]any:
			for k, child := range node {
				step(child, strings.TrimPrefix(at+"."+k, "."), k)
			}
		case []any:
			for i, child := range node {
				step(child, fmt.Sprintf("%s[%d]", at, i), key)
			}
		case string:
			visit(at, key, node)
		}
	}
	step(node, at, "")
}

func checkSubcharts(r *Render) []Finding {
	charts := map[string]Chart{} // by folder
	for _, chart := range r.Charts {
		charts[chart.Dir] = chart
	}
	var all []Finding
	for _, chart := range r.Charts {
		if parent, found := charts[path.Dir(path.Dir(chart.Dir))]; found && path.Base(path.Dir(chart.Dir)) == "charts" {
			if !slices.ContainsFunc(parent.Dependencies, func(d Dependency) bool { return d.Name == chart.Name }) {
				all = append(all, Finding{Object: chart.Dir, Problem: fmt.Sprintf("%s/Chart.yaml does not declare it", parent.Dir)})
			}
		}
		for i, dep := range chart.Dependencies {
			field := fmt.Sprintf("dependencies[%d]", i)
			vendored, found := charts[chart.Dir+"/charts/"+dep.Name]
			if !found {
				all = append(all, Finding{Object: chart.Dir + "/Chart.yaml", Field: field, Problem: fmt.Sprintf("%s/charts/%s does not exist", chart.Dir, dep.Name)})
			} else if vendored.Version != dep.Version {
				all = append(all, Finding{Object: chart.Dir + "/Chart.yaml", Field: field + ".version", Problem: fmt.Sprintf("is %q, but the vendored chart is %q", dep.Version, vendored.Version)})
			}
		}
	}
	for _, file := range r.Files {
		if strings.HasPrefix(file, "charts/") && strings.HasSuffix(file, ".tgz") {
			all = append(all, Finding{Object: file, Problem: "is packed, so its templates are not judged", Fix: "unpack the chart into a folder"})
		}
	}
	return all
}

// impure are the template functions whose result is not decided by their arguments.
var impure = []string{
	"lookup", "now", "date", "dateInZone", "ago", "htmlDate", "htmlDateInZone", "env", "expandenv", "getHostByName", "uuidv4", "shuffle",
	"randAlpha", "randAlphaNum", "randAscii", "randBytes", "randInt", "randNumeric", "bcrypt", "htpasswd", "encryptAES",
	"genCA", "genCAWithKey", "genPrivateKey", "genSelfSignedCert", "genSelfSignedCertWithKey", "genSignedCert", "genSignedCertWithKey",
}

func checkTemplates(r *Render) []Finding {
	var all []Finding
	for _, file := range r.Files {
		if !strings.HasPrefix(file, "charts/") || !strings.Contains(file, "/templates/") {
			continue
		}
		data, err := r.Read(file)
		if err != nil {
			return []Finding{{Object: file, Problem: err.Error()}}
		}
		tree := parse.New(file)
		tree.Mode = parse.SkipFuncCheck
		defined := map[string]*parse.Tree{}
		if _, err := tree.Parse(string(data), "", "", defined); err != nil {
			continue // Helm says so
		}
		for _, t := range defined {
			inspect(t.Root, func(node parse.Node) {
				line := 1 + bytes.Count(data[:node.Position()], []byte("\n"))
				report := func(what string) {
					all = append(all, Finding{Object: fmt.Sprintf("%s:%d", file, line), Problem: "uses " + what})
				}
				switch node := node.(type) {
				case *parse.IdentifierNode:
					if slices.Contains(impure, node.Ident) {
						report(node.Ident)
					}
				case *parse.FieldNode:
					if slices.Contains(node.Ident, "Capabilities") {
						report(".Capabilities")
					}
				case *parse.VariableNode:
					if slices.Contains(node.Ident, "Capabilities") {
						report(".Capabilities")
					}
				case *parse.ChainNode:
					if slices.Contains(node.Field, "Capabilities") {
						report(".Capabilities")
					}
				case *parse.StringNode:
					if node.Text == "Capabilities" {
						report(".Capabilities")
					}
				}
			})
		}
	}
	slices.SortFunc(all, func(a, b Finding) int { return strings.Compare(a.String(), b.String()) })
	return all
}

// inspect visits every node of a template.
func inspect(node parse.Node, visit func(parse.Node)) {
	pipe := func(p *parse.PipeNode) {
		if p != nil {
			inspect(p, visit)
		}
	}
	branch := func(b *parse.BranchNode) {
		pipe(b.Pipe)
		inspect(b.List, visit)
		if b.ElseList != nil {
			inspect(b.ElseList, visit)
		}
	}
	switch node := node.(type) {
	case *parse.ListNode:
		for _, child := range node.Nodes {
			inspect(child, visit)
		}
		return
	case *parse.ActionNode:
		pipe(node.Pipe)
		return
	case *parse.IfNode:
		branch(&node.BranchNode)
		return
	case *parse.RangeNode:
		branch(&node.BranchNode)
		return
	case *parse.WithNode:
		branch(&node.BranchNode)
		return
	case *parse.TemplateNode:
		pipe(node.Pipe)
		return
	case *parse.PipeNode:
		for _, command := range node.Cmds {
			inspect(command, visit)
		}
		return
	case *parse.CommandNode:
		for _, arg := range node.Args {
			inspect(arg, visit)
		}
		return
	case *parse.ChainNode:
		inspect(node.Node, visit)
	}
	visit(node)
}

func checkVersions(r *Render) []Finding {
	want := r.Versions["kubernetes"]
	var all []Finding
	for _, o := range r.Overlays {
		for i, chart := range o.Kustomization.HelmCharts {
			if chart.KubeVersion != want {
				all = append(all, Finding{Overlay: o.Name, Object: o.File, Field: fmt.Sprintf("helmCharts[%d].kubeVersion", i), Problem: fmt.Sprintf("is %q, but versions.yaml says %q", chart.KubeVersion, want)})
			}
		}
		for object, ns := range objects[*corev1.Namespace](o) {
			for _, label := range []string{api.EnforceVersionLabel, api.AuditVersionLabel, api.WarnVersionLabel} {
				if got, set := ns.Labels[label]; set && !strings.HasPrefix(want+".", strings.TrimPrefix(got, "v")+".") {
					all = append(all, Finding{Overlay: o.Name, Object: object.ID(), Field: "metadata.labels[" + label + "]", Problem: fmt.Sprintf("is %q, but versions.yaml says %q", got, want)})
				}
			}
		}
		for _, w := range o.workloads {
			for at, c := range w.Containers() {
				name, tag := imageName(c.Image)
				for key, version := range r.Versions {
					if tag != "" && bare(key) == bare(name) && tag != version {
						all = append(all, Finding{Overlay: o.Name, Object: w.ID(), Field: at + ".image", Problem: fmt.Sprintf("is %s %s, but versions.yaml says %s", name, tag, version)})
					}
				}
			}
		}
	}
	return all
}

// bare makes versions.yaml's redisExporter and the image's redis_exporter one name.
func bare(name string) string {
	return strings.ToLower(strings.NewReplacer("-", "", "_", "").Replace(name))
}

func checkValues(r *Render) []Finding {
	var all []Finding
	for _, o := range r.Overlays {
		for _, inflated := range o.inflated(r.Source) {
			overlays := path.Join(inflated.From, inflated.ValuesFile)
			charts := inflated.Dir + "/values-" + o.Name + ".yaml"
			a, errA := r.Read(overlays)
			b, errB := r.Read(charts)
			switch {
			case errA != nil:
				all = append(all, Finding{Overlay: o.Name, Object: overlays, Problem: errA.(*fs.PathError).Err.Error()})
			case errB != nil:
				all = append(all, Finding{Overlay: o.Name, Object: charts, Problem: "does not exist, but the overlay inflates the chart"})
			case !bytes.Equal(a, b):
				all = append(all, Finding{Overlay: o.Name, Object: charts, Problem: "differs from " + overlays})
			}
		}
	}
	return all
}
