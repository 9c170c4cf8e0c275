package harness

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

// argoRules judge what hands the overlays to Argo CD.
var argoRules = []Rule{{
	Name:   "applications",
	Reason: "an overlay without a matching Application is never synced, or into the wrong namespace, or not when its chart changes",
	Fix:    "give each overlay one Application whose path, namespace, project and manifest-generate-paths fit it",
	Check:  checkApplications,
}, {
	Name:   "project-kinds",
	Reason: "Argo CD refuses kinds that the AppProject does not list; every kind listed without need is one a mistake can create",
	Fix:    "list exactly the kinds that the overlay renders",
	Check:  checkProjectKinds,
}, {
	Name:   "build-options",
	Reason: "without --enable-helm Argo CD cannot render the overlays; any further flag makes its render differ from the reviewed one",
	Fix:    "give kustomize.buildOptions in the argocd-cm patch the value --enable-helm and nothing else",
	Check:  checkBuildOptions,
}}

var (
	applicationKind = schema.GroupKind{Group: "argoproj.io", Kind: "Application"}
	projectKind     = schema.GroupKind{Group: "argoproj.io", Kind: "AppProject"}
)

// application is the part of an Application that must fit its overlay and project.
type application struct {
	Spec struct {
		Project     string `json:"project"`
		Destination struct {
			Server    string `json:"server"`
			Name      string `json:"name"`
			Namespace string `json:"namespace"`
		} `json:"destination"`
		Source struct {
			RepoURL string `json:"repoURL"`
			Path    string `json:"path"`
		} `json:"source"`
		SyncPolicy struct {
			SyncOptions []string `json:"syncOptions"`
		} `json:"syncPolicy"`
		IgnoreDifferences []any `json:"ignoreDifferences"`
	} `json:"spec"`
}

// project is the part of an AppProject that must fit its Applications.
type project struct {
	Spec struct {
		SourceRepos  []string `json:"sourceRepos"`
		Destinations []struct {
			Server    string `json:"server"`
			Name      string `json:"name"`
			Namespace string `json:"namespace"`
		} `json:"destinations"`
		ClusterResourceWhitelist   []groupKind `json:"clusterResourceWhitelist"`
		NamespaceResourceWhitelist []groupKind `json:"namespaceResourceWhitelist"`
	} `json:"spec"`
}

type groupKind struct {
	Group string `json:"group"`
	Kind  string `json:"kind"`
}

func (g groupKind) String() string { return strings.TrimPrefix(g.Group+"/"+g.Kind, "/") }

// generatePaths is the annotation that tells Argo CD which files an Application depends on.
const generatePaths = "argocd.argoproj.io/manifest-generate-paths"

func checkApplications(r *Render) []Finding {
	var all []Finding
	byOverlay := map[string]string{}
	for object, app := range custom[application](r.Argo, applicationKind) {
		report := func(field, format string, args ...any) {
			all = append(all, Finding{Overlay: r.Argo.Name, Object: object.ID(), Field: field, Problem: fmt.Sprintf(format, args...)})
		}
		dir := path.Clean(app.Spec.Source.Path)
		if first, taken := byOverlay[dir]; taken {
			report("spec.source.path", "%s is already synced by %s", dir, first)
		}
		byOverlay[dir] = object.ID()

		if _, file := r.kustomization(dir); file == "" {
			report("spec.source.path", "%s holds no kustomization", dir)
			continue
		}
		overlay := r.overlay(dir)
		if overlay == nil || !overlay.Rendered() {
			continue
		}
		if want := overlay.Kustomization.Namespace; want != "" && app.Spec.Destination.Namespace != want {
			report("spec.destination.namespace", "is %q, but the overlay's namespace is %q", app.Spec.Destination.Namespace, want)
		}
		patterns := generatePatterns(object, dir)
		for _, p := range patterns {
			covers := func(file string) bool { return covered(p, file) }
			if !slices.ContainsFunc(overlay.Reads, covers) {
				report("metadata.annotations["+generatePaths+"]", "the render reads nothing of %s", p)
			}
			for _, file := range r.Files {
				if covers(file) && !slices.Contains(overlay.Reads, file) && !strings.HasPrefix(file, dir+"/") {
					report("metadata.annotations["+generatePaths+"]", "%s covers %s, which the render does not read", p, file)
					break
				}
			}
		}
		for _, read := range overlay.Reads {
			if !slices.ContainsFunc(patterns, func(p string) bool { return covered(p, read) }) {
				report("metadata.annotations["+generatePaths+"]", "%q does not cover %s, so a change there is not synced", object.GetAnnotations()[generatePaths], read)
				break
			}
		}
		if len(app.Spec.IgnoreDifferences) > 0 {
			report("spec.ignoreDifferences", "is not empty: what drifts there stays")
		}
		_, proj, found := r.project(app.Spec.Project)
		if !found {
			report("spec.project", "there is no AppProject %q", app.Spec.Project)
			continue
		}
		if len(proj.Spec.SourceRepos) > 1 || len(proj.Spec.Destinations) > 1 {
			report("spec.project", "AppProject %q allows more than one repository or destination", app.Spec.Project)
		}
		if !slices.Contains(proj.Spec.SourceRepos, app.Spec.Source.RepoURL) {
			report("spec.source.repoURL", "AppProject %q allows %s, not %q", app.Spec.Project, strings.Join(proj.Spec.SourceRepos, ", "), app.Spec.Source.RepoURL)
		}
		if !slices.Contains(proj.Spec.Destinations, app.Spec.Destination) {
			report("spec.destination", "AppProject %q does not allow %+v", app.Spec.Project, app.Spec.Destination)
		}
	}
	for _, o := range r.Overlays {
		if byOverlay[o.Dir] == "" && r.Argo.Rendered() {
			all = append(all, Finding{Overlay: o.Name, Object: o.Dir, Problem: "no Application under argocd/ syncs it"})
		}
	}
	return all
}

// checkBuildOptions reads the patches of Argo CD's own ConfigMap, which no kustomization renders.
func checkBuildOptions(r *Render) []Finding {
	const key = "kustomize.buildOptions"
	var all []Finding
	found := false
	for _, file := range r.Under("argocd") {
		data, err := r.Read(file)
		if err != nil {
			return []Finding{{Object: file, Problem: err.Error()}}
		}
		var patch struct {
			Data map[string]string `json:"data"`
		}
		if filepath.Ext(file) != ".yaml" || yaml.Unmarshal(data, &patch) != nil || patch.Data[key] == "" {
			continue
		}
		found = true
		if options := patch.Data[key]; options != "--enable-helm" {
			all = append(all, Finding{Object: file, Field: "data[" + key + "]", Problem: fmt.Sprintf("is %q, not --enable-helm", options)})
		}
	}
	if !found {
		all = append(all, Finding{Object: "argocd", Problem: "no file sets " + key})
	}
	return all
}

func checkProjectKinds(r *Render) []Finding {
	var all []Finding
	for _, app := range custom[application](r.Argo, applicationKind) {
		overlay := r.overlay(path.Clean(app.Spec.Source.Path))
		object, proj, found := r.project(app.Spec.Project)
		if overlay == nil || !found || !overlay.Rendered() {
			continue
		}
		var namespaced, cluster []groupKind
		for _, o := range overlay.Objects {
			gvk := o.GroupVersionKind()
			if o.Namespaced {
				namespaced = append(namespaced, groupKind{gvk.Group, gvk.Kind})
			} else {
				cluster = append(cluster, groupKind{gvk.Group, gvk.Kind})
			}
		}
		if slices.Contains(app.Spec.SyncPolicy.SyncOptions, "CreateNamespace=true") {
			cluster = append(cluster, groupKind{"", "Namespace"})
		}
		compare := func(field string, allowed, rendered []groupKind) {
			for _, kind := range rendered {
				if !slices.ContainsFunc(allowed, kind.matches) {
					all = append(all, Finding{Overlay: r.Argo.Name, Object: object.ID(), Field: field, Problem: fmt.Sprintf("does not list %s, which %s renders", kind, overlay.Dir)})
				}
			}
			for _, kind := range allowed {
				if !slices.Contains(rendered, kind) {
					all = append(all, Finding{Overlay: r.Argo.Name, Object: object.ID(), Field: field, Problem: fmt.Sprintf("lists %s, which %s does not render", kind, overlay.Dir)})
				}
			}
		}
		compare("spec.namespaceResourceWhitelist", proj.Spec.NamespaceResourceWhitelist, unique(namespaced))
		compare("spec.clusterResourceWhitelist", proj.Spec.ClusterResourceWhitelist, unique(cluster))
	}
	return all
}

// matches reports whether an AppProject's entry, possibly with wildcards, allows the kind.
func (g groupKind) matches(allowed groupKind) bool {
	group, _ := path.Match(allowed.Group, g.Group)
	kind, _ := path.Match(allowed.Kind, g.Kind)
	return group && kind
}

func unique(list []groupKind) []groupKind {
	slices.SortFunc(list, func(a, b groupKind) int { return strings.Compare(a.String(), b.String()) })
	return slices.Compact(list)
}

// covered reports whether a path of the annotation means a file.
func covered(pattern, file string) bool {
	glob, _ := path.Match(pattern, file)
	return glob || file == pattern || pattern == "." || strings.HasPrefix(file, pattern+"/")
}

// generatePatterns returns the annotation's paths from the root of the repository; relative ones start at the Application's path.
func generatePatterns(app Object, dir string) []string {
	var patterns []string
	for pattern := range strings.SplitSeq(app.GetAnnotations()[generatePaths], ";") {
		if rooted, ok := strings.CutPrefix(pattern, "/"); ok {
			patterns = append(patterns, path.Clean(rooted))
		} else if pattern != "" {
			patterns = append(patterns, path.Join(dir, pattern))
		}
	}
	return patterns
}

// overlay returns the overlay in a folder, or nil when it is not part of this run.
func (r *Render) overlay(dir string) *Overlay {
	for _, o := range r.Overlays {
		if o.Dir == dir {
			return o
		}
	}
	return nil
}

func (r *Render) project(name string) (Object, project, bool) {
	for object, p := range custom[project](r.Argo, projectKind) {
		if object.GetName() == name {
			return object, p, true
		}
	}
	return Object{}, project{}, false
}
