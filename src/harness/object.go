package harness

import (
	"bufio"
	"bytes"
	"errors"
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

// Decode splits YAML into objects and decodes those of built-in kinds; custom resources are taken as they are.
func Decode(data []byte) []Object { return decode(data, nil) }

// decode splits YAML into objects and checks each against its type, with schemas nil only the built-in ones.
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
	if schemas == nil {
		o.Namespaced = o.GetNamespace() != ""
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
