package change

import (
	"cmp"
	"slices"
	"strings"

	"jupiter-dex-integration/src/harness"
	"jupiter-dex-integration/src/harness/difference"
)

// Action is what happens to an object.
type Action string

const (
	Created Action = "created"
	Changed Action = "changed"
	Deleted Action = "deleted"
)

// Object is one rendered object that changes.
type Object struct {
	ID        string   `json:"id"` // "Kind/name"
	Namespace string   `json:"namespace,omitempty"`
	Action    Action   `json:"action"`
	Fields    []Field  `json:"fields,omitempty"` // of a changed one
	Argo      string   `json:"argo"`             // what Argo CD does about it
	Wave      int      `json:"wave,omitempty"`
	Severity  Severity `json:"severity"`
	Warning   string   `json:"warning,omitempty"` // what goes wrong or is lost
	Refused   []string `json:"refused,omitempty"` // what the API server says to the change, if it does not take it
}

// A twin is one object in both renders; a side that lacks it is nil.
type twin struct {
	base, head *harness.Object
	changes    []difference.Field // of one that both have
}

func (t twin) either() *harness.Object { return cmp.Or(t.head, t.base) }

// pair matches the objects of two renders and compares them. Equal ones are left out of changed, sorted by identity.
func pair(base, head []harness.Object) []twin {
	twins := map[harness.Identity]*twin{}
	at := func(o harness.Object) *twin {
		id := o.Identity()
		if twins[id] == nil {
			twins[id] = &twin{}
		}
		return twins[id]
	}
	for i := range base {
		at(base[i]).base = &base[i]
	}
	for i := range head {
		at(head[i]).head = &head[i]
	}
	var all []twin
	for _, t := range twins {
		if t.base != nil && t.head != nil {
			if t.changes = differences(*t.base, *t.head); len(t.changes) == 0 {
				continue
			}
		}
		all = append(all, *t)
	}
	slices.SortFunc(all, func(a, b twin) int {
		x, y := a.either(), b.either()
		return cmp.Or(cmp.Compare(x.GetKind(), y.GetKind()), cmp.Compare(x.GetName(), y.GetName()), cmp.Compare(x.GetNamespace(), y.GetNamespace()), cmp.Compare(x.GetAPIVersion(), y.GetAPIVersion()))
	})
	return all
}

// objects says what Argo CD does about each, in its order: by phase, then wave; deletions last.
func (s *sides) objects(pairs []twin) []Object {
	a := s.argo()
	var all []Object
	phases := map[string]int{}
	for _, t := range pairs {
		o := t.either()
		object := Object{ID: o.ID(), Namespace: o.GetNamespace(), Wave: wave(*o)}
		switch {
		case t.base == nil:
			object.Action = Created
		case t.head == nil:
			object.Action = Deleted
		default:
			object.Action = Changed
			for _, d := range t.changes {
				object.Fields = append(object.Fields, field(d))
			}
			object.Refused = refused(*t.head)
		}
		object.Argo, object.Warning, object.Severity = a.plan(t, object)
		phases[object.key()] = phase(*o)
		all = append(all, object)
	}
	slices.SortStableFunc(all, func(a, b Object) int {
		gone := func(o Object) int {
			if o.Action == Deleted {
				return 1
			}
			return 0
		}
		return cmp.Or(cmp.Compare(gone(a), gone(b)), cmp.Compare(phases[a.key()], phases[b.key()]), cmp.Compare(a.Wave, b.Wave))
	})
	return all
}

// refused is what the API server says to a change that it does not take. A hook is created anew each time.
func refused(o harness.Object) []string {
	if hook, skipped := hooks(o); hook != "" || skipped {
		return nil
	}
	var all []string
	for _, f := range o.Fixed {
		problem, _, _ := strings.Cut(f.Problem, "\n") // what follows is the difference of two Go values
		all = append(all, f.Field+": "+harness.Masked(problem))
	}
	return all
}

func (o Object) key() string { return o.ID + " " + o.Namespace }

// loses says what goes with an object that is deleted, beyond the object.
func loses(o harness.Object) (what string, severity Severity) {
	switch o.GetKind() {
	case "Namespace":
		return "deletes everything in the namespace, volumes included", Danger
	case "PersistentVolumeClaim":
		return "deletes the volume's data, unless its storage class retains it", Danger
	case "PersistentVolume":
		return "loses the volume", Danger
	case "CustomResourceDefinition":
		return "deletes every object of the kind, in all namespaces", Danger
	case "StatefulSet":
		claims, _, _ := nestedSlice(o, "spec.volumeClaimTemplates")
		whenDeleted, _, _ := nestedString(o, "spec.persistentVolumeClaimRetentionPolicy.whenDeleted")
		switch {
		case len(claims) == 0:
			return "stops its pods", Warning
		case whenDeleted == "Delete":
			return "stops its pods and deletes the data of their volumes", Danger
		}
		return "stops its pods; their volume claims stay behind", Danger
	case "Deployment", "DaemonSet":
		return "stops its pods", Warning
	case "CronJob":
		return "stops its runs", Warning
	case "Secret":
		return "deletes its values, which are not in Git", Warning
	case "ExternalSecret":
		if policy, _, _ := nestedString(o, "spec.target.creationPolicy"); policy == "" || policy == "Owner" {
			return "deletes the Secret that it keeps", Danger
		}
	case "Service":
		return "its name resolves to nothing any more", Warning
	case "NetworkPolicy", "CiliumNetworkPolicy", "PodDisruptionBudget":
		return "what it guarded is guarded no longer", Warning
	}
	return "", Notice
}
