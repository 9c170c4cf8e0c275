package change

import (
	"cmp"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"jupiter-dex-integration/src/harness"
)

// API is an object of an API version that Kubernetes deprecates or has removed.
type API struct {
	Object   string   `json:"object"`
	Version  string   `json:"version"` // such as "policy/v1beta1"
	Says     string   `json:"says"`
	New      bool     `json:"new"` // it was not so before the change
	Severity Severity `json:"severity"`
}

// lifecycle is what the types of k8s.io/api know of themselves.
type lifecycle interface {
	APILifecycleDeprecated() (major, minor int)
}

func (s *sides) apis() []API {
	before := map[API]bool{}
	for _, a := range outdated(s.base, s.baseRender.Versions["kubernetes"]) {
		before[a] = true
	}
	var all []API
	for _, a := range outdated(s.head, s.headRender.Versions["kubernetes"]) {
		a.New = !before[a]
		all = append(all, a)
	}
	return all
}

// outdated lists the objects whose API version is deprecated or gone in a version of Kubernetes.
func outdated(o *harness.Overlay, kubernetes string) []API {
	var all []API
	for _, object := range o.Objects {
		a := API{Object: object.ID(), Version: object.GetAPIVersion(), Severity: Warning}
		old, ok := object.Typed.(lifecycle)
		if !ok || !reached(kubernetes, old.APILifecycleDeprecated) {
			continue
		}
		major, minor := old.APILifecycleDeprecated()
		a.Says = fmt.Sprintf("deprecated since %d.%d", major, minor)
		if gone, ok := object.Typed.(interface{ APILifecycleRemoved() (int, int) }); ok {
			major, minor := gone.APILifecycleRemoved()
			if reached(kubernetes, gone.APILifecycleRemoved) {
				a.Severity = Danger
				a.Says += fmt.Sprintf(", gone since %d.%d", major, minor)
			} else {
				a.Says += fmt.Sprintf(", gone in %d.%d", major, minor)
			}
		}
		if next, ok := object.Typed.(interface {
			APILifecycleReplacement() schema.GroupVersionKind
		}); ok {
			a.Says += ", use " + next.APILifecycleReplacement().GroupVersion().String()
		}
		all = append(all, a)
	}
	return all
}

// reached compares a version such as 1.37.2 with the one in which something happens.
func reached(kubernetes string, when func() (int, int)) bool {
	var major, minor int
	if n, err := fmt.Sscanf(kubernetes, "%d.%d", &major, &minor); n != 2 || err != nil {
		return false
	}
	atMajor, atMinor := when()
	return cmp.Or(cmp.Compare(major, atMajor), cmp.Compare(minor, atMinor)) >= 0
}
