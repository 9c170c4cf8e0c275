package harness

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"iter"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
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

	// What the API server answers to it; empty when only decoded.
	Unknown     bool      // no such kind is known: nothing below was checked
	Faults      []Finding // what is refused
	Warnings    []string
	PodSecurity string // why its pods are not let in

	Fixed []Finding // why the object that it replaces cannot become this one, if [JudgeUpdate] asked
}

// An Identity is what the API server tells objects apart by.
type Identity struct {
	schema.GroupKind
	Namespace, Name string
}

// Identity is the object's.
func (o Object) Identity() Identity {
	return Identity{o.GroupVersionKind().GroupKind(), o.GetNamespace(), o.GetName()}
}

// ID is the object as findings name it.
func (o Object) ID() string { return o.GetKind() + "/" + o.GetName() }

// Decode splits YAML into objects and decodes those of built-in kinds; custom resources are taken as they are.
func Decode(data []byte) []Object {
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
			objects = append(objects, decodeOne(document))
		}
	}
}

func decodeOne(document []byte) Object {
	var o Object
	data, err := yaml.YAMLToJSONStrict(document)
	if err == nil {
		err = json.Unmarshal(data, &o.Object) // whole numbers stay whole, unlike with encoding/json
	}
	if err != nil {
		o.Faults = append(o.Faults, Finding{Problem: err.Error()})
		return o
	}
	// Kinds newer than kustomize's table, autoscaling/v2 among them, are taken for namespaced, as nearly all are.
	namespaced, listed := openapi.IsNamespaceScoped(kyaml.TypeMeta{APIVersion: o.GetAPIVersion(), Kind: o.GetKind()})
	o.Namespaced = namespaced || !listed
	// What cannot be decoded has no type here: why, the API server says better.
	o.Typed, _, _ = scheme.Codecs.UniversalDeserializer().Decode(data, nil, nil)
	return o
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
