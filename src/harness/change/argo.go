package change

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"jupiter-dex-integration/src/harness"
)

const (
	optionsAnnotation = "argocd.argoproj.io/sync-options"
	waveAnnotation    = "argocd.argoproj.io/sync-wave"
	hookAnnotation    = "argocd.argoproj.io/hook"
	helmHook          = "helm.sh/hook"
)

// argo is how the Application of a network syncs.
type argo struct {
	found     bool
	automated bool
	prunes    bool
	options   []string
	windows   []string // when it may sync
	notOurs   bool     // the objects under argocd/ are applied by a person
}

func nestedString(o harness.Object, at string) (string, bool, error) {
	return unstructured.NestedString(o.Object, strings.Split(at, ".")...)
}

func nestedBool(o harness.Object, at string) (bool, bool, error) {
	return unstructured.NestedBool(o.Object, strings.Split(at, ".")...)
}

func nestedSlice(o harness.Object, at string) ([]any, bool, error) {
	return unstructured.NestedSlice(o.Object, strings.Split(at, ".")...)
}

// argo reads the network's Application and its project, as they are once the change is merged.
func (s *sides) argo() argo {
	if s.name == argoName {
		return argo{notOurs: true}
	}
	for _, app := range s.headRender.Argo.Objects {
		folder, _, _ := nestedString(app, "spec.source.path")
		if app.GetKind() != "Application" || path.Base(path.Clean(folder)) != s.name {
			continue
		}
		a := argo{found: true}
		_, a.automated, _ = unstructured.NestedMap(app.Object, "spec", "syncPolicy", "automated")
		a.prunes, _, _ = nestedBool(app, "spec.syncPolicy.automated.prune")
		a.options, _, _ = unstructured.NestedStringSlice(app.Object, "spec", "syncPolicy", "syncOptions")
		project, _, _ := nestedString(app, "spec.project")
		a.windows = windows(s.headRender.Argo.Objects, project)
		return a
	}
	return argo{}
}

// windows describes when a project lets Argo CD sync by itself.
func windows(objects []harness.Object, project string) []string {
	var all []string
	for _, o := range objects {
		if o.GetKind() != "AppProject" || o.GetName() != project {
			continue
		}
		list, _, _ := nestedSlice(o, "spec.syncWindows")
		for _, item := range list {
			window, _ := item.(map[string]any)
			text := func(key string) string { value, _ := window[key].(string); return value }
			zone := text("timeZone")
			if zone == "" {
				zone = "UTC"
			}
			all = append(all, fmt.Sprintf("%s window %s for %s (%s)", text("kind"), text("schedule"), text("duration"), zone))
		}
	}
	return all
}

// option reports whether an object or the whole Application asks for a sync option.
func (a argo) option(o harness.Object, option string) bool {
	return slices.Contains(a.options, option) || slices.Contains(split(o.GetAnnotations()[optionsAnnotation]), option)
}

func split(list string) []string {
	var all []string
	for item := range strings.SplitSeq(list, ",") {
		all = append(all, strings.TrimSpace(item))
	}
	return all
}

// plan is what Argo CD does about an object, what goes wrong or is lost, and how grave that is.
func (a argo) plan(t twin, object Object) (does, warning string, severity Severity) {
	o := *t.either()
	severity = Notice
	switch {
	case a.notOurs:
		return "nothing until a person applies it", "", Warning
	case !a.found:
		return "nothing: no Application syncs it", "", severity
	}
	if hook, skipped := hooks(o); skipped {
		return "nothing: it is a Helm test", "", None
	} else if hook != "" {
		if object.Action == Deleted {
			return "no longer runs it as a " + hook + " hook", "", severity
		}
		return "runs it as a " + hook + " hook at the next sync", "", severity
	}
	switch object.Action {
	case Created:
		does = "creates it"
		if o.GetKind() == "Deployment" || o.GetKind() == "StatefulSet" {
			does += " and its pods"
		}
	case Changed:
		replace, force := a.option(o, "Replace=true"), a.option(o, "Force=true")
		switch {
		case len(object.Refused) > 0 && replace && force:
			does, severity = "deletes it and creates it again", Warning
			warning = "a field changes that cannot be changed in place"
			if lost, grave := loses(*t.base); lost != "" {
				warning, severity = lost+" in between", max(severity, grave)
			}
		case len(object.Refused) > 0:
			does, severity = "fails to sync it", Danger
			warning = "the API server refuses the change: delete the object first, give it another name, or the annotation " + optionsAnnotation + ": Replace=true,Force=true for one sync"
		case replace:
			does = "replaces it in place"
		case slices.Contains(a.options, "ServerSideApply=true"):
			does = "patches it (server-side apply)"
		default:
			does = "patches it"
		}
	case Deleted:
		live := *t.base // what is in the cluster still carries the old annotations
		switch options := split(live.GetAnnotations()[optionsAnnotation]); {
		case slices.Contains(options, "Prune=false"):
			return "leaves it in the cluster (Prune=false) and shows the Application out of sync", "", Warning
		case slices.Contains(options, "Prune=confirm"):
			does = "waits for a person to confirm, then deletes it"
		case !a.prunes:
			return "leaves it in the cluster, as pruning is off", "", Warning
		case a.option(live, "PruneLast=true"):
			does = "deletes it, after the rest is healthy"
		default:
			does = "deletes it"
		}
		warning, severity = loses(live)
	}
	return does, warning, severity
}

// hooks says in which phase of a sync an object is run instead of kept. Argo CD takes Helm's hooks for its own, but for tests.
func hooks(o harness.Object) (hook string, skipped bool) {
	for _, own := range split(o.GetAnnotations()[hookAnnotation]) {
		if slices.Contains(phases, own) && own != "" {
			return own, false
		}
	}
	for _, helm := range split(o.GetAnnotations()[helmHook]) {
		switch helm {
		case "pre-install", "pre-upgrade":
			return "PreSync", false
		case "post-install", "post-upgrade":
			return "PostSync", false
		case "test", "test-success", "test-failure", "pre-rollback", "post-rollback":
			return "", true
		}
	}
	return "", false
}

// phases are when an object may be applied or run, in order; "" is the sync itself.
var phases = []string{"PreSync", "", "Sync", "PostSync", "SyncFail", "PostDelete", "Skip"}

// phase orders objects as a sync does.
func phase(o harness.Object) int {
	hook, _ := hooks(o)
	return slices.Index(phases, hook)
}

func wave(o harness.Object) int {
	n, err := strconv.Atoi(o.GetAnnotations()[waveAnnotation])
	if err != nil {
		return 0
	}
	return n
}

// sync says when all of it happens.
func (s *sides) sync() string {
	a := s.argo()
	switch {
	case a.notOurs:
		return "A person applies this with `kubectl apply -k argocd`."
	case !a.found:
		return "No Application syncs this network."
	case !a.automated:
		return "Somebody has to start the sync: it is not automated."
	case len(a.windows) > 0:
		return "Argo CD syncs this by itself, but only when the project's windows let it."
	}
	return "Argo CD syncs this by itself as soon as it is merged."
}
