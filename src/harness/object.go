package harness

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/json"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/kustomize/kyaml/openapi"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
	"sigs.k8s.io/yaml"
)

// Object is one rendered object.
type Object struct {
	unstructured.Unstructured
	Typed      runtime.Object // the Go type of a built-in kind, nil for custom resources
	Namespaced bool
	Unknown    bool      // no schema is known for the kind: nothing below was checked
	Faults     []Finding // what strict decoding and the schema refuse
}

// ID is the object as findings name it.
func (o Object) ID() string { return o.GetKind() + "/" + o.GetName() }

// strict decodes built-in kinds and refuses fields that they do not have.
var strict = serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict).UniversalDeserializer()

// decode splits YAML into objects and checks each against its type.
func decode(data []byte, schemas *schemaSet) []Object {
	var objects []Object
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return objects
		}
		if err != nil {
			return append(objects, Object{Faults: []Finding{{Problem: err.Error()}}})
		}
		if len(bytes.TrimSpace(document)) > 0 {
			objects = append(objects, decodeOne(document, schemas))
		}
	}
}

func decodeOne(document []byte, schemas *schemaSet) Object {
	var o Object
	data, err := yaml.YAMLToJSONStrict(document)
	if err == nil {
		err = json.Unmarshal(data, &o.Object) // whole numbers stay whole, unlike with encoding/json
	}
	if err != nil {
		o.Faults = append(o.Faults, Finding{Problem: err.Error()})
		return o
	}
	gvk := o.GroupVersionKind()
	if scheme.Scheme.Recognizes(gvk) {
		// Kinds newer than kustomize's table, autoscaling/v2 among them, are taken for namespaced, as nearly all are.
		namespaced, listed := openapi.IsNamespaceScoped(kyaml.TypeMeta{APIVersion: o.GetAPIVersion(), Kind: o.GetKind()})
		o.Namespaced = namespaced || !listed
		typed, _, err := strict.Decode(document, nil, nil)
		o.Typed = typed
		o.Faults = append(o.Faults, strictFaults(err)...)
		return o
	}
	custom, err := schemas.find(gvk)
	switch {
	case errors.Is(err, errNoSchema):
		o.Unknown, o.Namespaced = true, o.GetNamespace() != ""
	case err != nil:
		o.Faults = append(o.Faults, Finding{Problem: err.Error()})
	default:
		o.Namespaced = custom.namespaced
		o.Faults = append(o.Faults, custom.validate(o.Object)...)
	}
	return o
}

// strictFaults turns the decoder's error into one finding per field.
func strictFaults(err error) []Finding {
	if err == nil {
		return nil
	}
	var all []Finding
	if strictErr, ok := runtime.AsStrictDecodingError(err); ok {
		for _, e := range strictErr.Errors() {
			// `unknown field "spec.replicaCuont"`
			problem, field, found := strings.Cut(e.Error(), ` "`)
			if !found {
				problem, field = e.Error(), ""
			}
			all = append(all, Finding{Field: strings.TrimSuffix(field, `"`), Problem: problem})
		}
		return all
	}
	return []Finding{{Problem: err.Error()}}
}

// objects yields the objects of one Go type, with the decoded object each came from.
func objects[T runtime.Object](o *Overlay) iter.Seq2[Object, T] {
	return func(yield func(Object, T) bool) {
		for _, object := range o.Objects {
			if typed, ok := object.Typed.(T); ok && !yield(object, typed) {
				return
			}
		}
	}
}

// custom yields the custom resources of one kind, decoded into the fields that a rule needs.
func custom[T any](o *Overlay, kind schema.GroupKind) iter.Seq2[Object, T] {
	return func(yield func(Object, T) bool) {
		for _, object := range o.Objects {
			if object.GroupVersionKind().GroupKind() != kind {
				continue
			}
			var view T
			// A field of the wrong type is the schema check's finding; what could be read is judged.
			_ = runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &view)
			if !yield(object, view) {
				return
			}
		}
	}
}

// documentID names the object in a piece of YAML.
func documentID(document string) string {
	var o Object
	if err := yaml.Unmarshal([]byte(document), &o.Object); err != nil {
		return ""
	}
	return o.ID()
}

// objectRules judge objects one by one.
var objectRules = []Rule{{
	Name:   "known-kind",
	Reason: "an object of a kind that is not checked can hold any mistake",
	Fix:    "correct apiVersion and kind, or add the operator that defines the kind to the harness's schema modules",
	Check: eachObject(func(o Object) []Finding {
		if !o.Unknown {
			return nil
		}
		return []Finding{{Problem: fmt.Sprintf("no schema is known for %s %s", o.GetAPIVersion(), o.GetKind())}}
	}),
}, {
	Name:   "served-api",
	Reason: "the API server of the pinned Kubernetes version does not serve the object's API version, or will stop soon",
	Fix:    "use the API version that replaces it",
	Check:  checkServed,
}, {
	Name:   "schema",
	Reason: "the API server refuses the object, or drops a field that it does not know without a word",
	Fix:    "write the field as the API defines it",
	Check:  eachObject(func(o Object) []Finding { return o.Faults }),
}, {
	Name:   "namespace",
	Reason: "kustomize does not add a namespace to what a chart prints: such an object lands wherever the syncing tool points",
	Fix:    "print metadata.namespace in the template, and state the same namespace for the overlay and its helmCharts entries",
	Check: inEachOverlay(func(o *Overlay) []Finding {
		want := o.Kustomization.Namespace
		if want == "" {
			return []Finding{{Object: o.File, Field: "namespace", Problem: "is not set"}}
		}
		var all []Finding
		for i, chart := range o.Kustomization.HelmCharts {
			if chart.Namespace != want {
				all = append(all, Finding{Object: o.File, Field: fmt.Sprintf("helmCharts[%d].namespace", i), Problem: fmt.Sprintf("is %q, but the overlay's namespace is %q", chart.Namespace, want)})
			}
		}
		for _, object := range o.Objects {
			if !object.Namespaced || object.GetNamespace() == want {
				continue
			}
			problem := "is missing"
			if got := object.GetNamespace(); got != "" {
				problem = fmt.Sprintf("is %q, but the overlay's namespace is %q", got, want)
			}
			all = append(all, Finding{Object: object.ID(), Field: "metadata.namespace", Problem: problem})
		}
		return all
	}),
}}

// eachObject makes a Check out of a function that judges one object.
func eachObject(check func(Object) []Finding) func(*Render) []Finding {
	return inEachRender(func(o *Overlay) []Finding {
		var all []Finding
		for _, object := range o.Objects {
			for _, f := range check(object) {
				f.Object = object.ID()
				all = append(all, f)
			}
		}
		return all
	})
}

func checkServed(r *Render) []Finding {
	major, minor, err := kubernetesVersion(r.Versions["kubernetes"])
	if err != nil {
		return []Finding{{Object: "versions.yaml", Field: "kubernetes", Problem: err.Error()}}
	}
	// reached reports whether the pinned version is at least the one that a life cycle method names.
	reached := func(m, n int) bool { return major > m || major == m && minor >= n }
	return eachObject(func(o Object) []Finding {
		problem := ""
		removed, hasEnd := o.Typed.(interface{ APILifecycleRemoved() (int, int) })
		deprecated, ages := o.Typed.(interface{ APILifecycleDeprecated() (int, int) })
		switch {
		case hasEnd && reached(removed.APILifecycleRemoved()):
			m, n := removed.APILifecycleRemoved()
			problem = fmt.Sprintf("is gone since Kubernetes %d.%d", m, n)
		case ages && reached(deprecated.APILifecycleDeprecated()):
			m, n := deprecated.APILifecycleDeprecated()
			problem = fmt.Sprintf("is deprecated since Kubernetes %d.%d", m, n)
		case strings.Contains(o.GroupVersionKind().Version, "alpha") && o.Typed != nil:
			problem = "is an alpha API, which clusters do not serve unless asked to"
		default:
			return nil
		}
		f := Finding{Field: "apiVersion", Problem: fmt.Sprintf("%s %s", o.GetAPIVersion(), problem)}
		if replaced, ok := o.Typed.(interface {
			APILifecycleReplacement() schema.GroupVersionKind
		}); ok {
			f.Fix = "use " + replaced.APILifecycleReplacement().GroupVersion().String()
		}
		return []Finding{f}
	})(r)
}

// kubernetesVersion splits a version such as "1.37.2".
func kubernetesVersion(version string) (major, minor int, err error) {
	if _, err := fmt.Sscanf(version, "%d.%d.", &major, &minor); err != nil {
		return 0, 0, fmt.Errorf("%q is no Kubernetes version such as 1.37.2", version)
	}
	return major, minor, nil
}
