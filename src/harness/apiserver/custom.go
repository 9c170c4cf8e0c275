package main

import (
	"fmt"
	"os"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apiextensions-apiserver/pkg/crdserverscheme"
	"k8s.io/apiextensions-apiserver/pkg/registry/customresource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apiserver/pkg/registry/rest"
	"sigs.k8s.io/yaml"
)

// customResource is one version of a custom resource definition, compiled.
type customResource struct {
	schema   *structural.Structural
	strategy rest.RESTCreateUpdateStrategy
}

// definition returns nil for a kind that is not defined, or not in this version.
func (s *server) definition(gvk schema.GroupVersionKind, files map[string]string) (*customResource, error) {
	if found, ok := s.custom[gvk]; ok {
		return found, nil
	}
	file, ok := files[gvk.GroupKind().String()]
	if !ok {
		return nil, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the definition of %s: %w", gvk.Kind, err)
	}
	compiled, err := compile(data, gvk)
	if err != nil {
		return nil, fmt.Errorf("compiling the definition of %s in %s: %w", gvk, file, err)
	}
	s.custom[gvk] = compiled
	return compiled, nil
}

func compile(data []byte, gvk schema.GroupVersionKind) (*customResource, error) {
	var crd apiextensionsv1.CustomResourceDefinition
	if err := yaml.Unmarshal(data, &crd); err != nil {
		return nil, err
	}
	for _, version := range crd.Spec.Versions {
		if version.Name != gvk.Version || !version.Served || version.Schema == nil {
			continue
		}
		var props apiextensions.JSONSchemaProps
		if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(version.Schema.OpenAPIV3Schema, &props, nil); err != nil {
			return nil, err
		}
		shape, err := structural.NewStructural(&props)
		if err != nil {
			return nil, err
		}
		if err := defaulting.PruneDefaults(shape); err != nil {
			return nil, err
		}
		validator, _, err := validation.NewSchemaValidator(&props)
		if err != nil {
			return nil, err
		}
		var subresources apiextensions.CustomResourceSubresources
		if version.Subresources != nil {
			if err := apiextensionsv1.Convert_v1_CustomResourceSubresources_To_apiextensions_CustomResourceSubresources(version.Subresources, &subresources, nil); err != nil {
				return nil, err
			}
		}
		namespaced := crd.Spec.Scope == apiextensionsv1.NamespaceScoped
		return &customResource{shape, customresource.NewStrategy(crdserverscheme.NewUnstructuredObjectTyper(), namespaced, gvk,
			validator, nil, shape, subresources.Status, subresources.Scale, version.SelectableFields)}, nil
	}
	return nil, nil
}

// customDecoder reads any kind, strictly.
var customDecoder = json.NewSerializerWithOptions(json.DefaultMetaFactory, anyKind{}, crdserverscheme.NewUnstructuredObjectTyper(), json.SerializerOptions{Strict: true})

type anyKind struct{}

func (anyKind) New(schema.GroupVersionKind) (runtime.Object, error) {
	return &unstructured.Unstructured{}, nil
}

// decode reads an object, drops and reports what the schema does not know, and fills in defaults. It follows the API
// server's schemaCoercingDecoder, which is not exported.
func (c *customResource) decode(data []byte) (runtime.Object, error) {
	decoded, _, err := customDecoder.Decode(data, nil, nil)
	var strict []error
	if known, ok := runtime.AsStrictDecodingError(err); ok {
		strict = known.Errors()
	} else if err != nil {
		return nil, err
	}
	object := decoded.(*unstructured.Unstructured)
	apiVersion, kind := object.GetAPIVersion(), object.GetKind()

	metadata, found, unknown, err := objectmeta.GetObjectMetaWithOptions(object.Object, objectmeta.ObjectMetaOptions{ReturnUnknownFieldPaths: true})
	if err != nil {
		return nil, err
	}
	unknown = append(unknown, pruning.PruneWithOptions(object.Object, c.schema, true, structural.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})...)
	defaulting.PruneNonNullableNullsWithoutDefaults(object.Object, c.schema)
	fieldErr, embedded := objectmeta.CoerceWithOptions(nil, object.Object, c.schema, false, objectmeta.CoerceOptions{ReturnUnknownFieldPaths: true})
	if fieldErr != nil {
		return nil, fieldErr
	}
	object.SetAPIVersion(apiVersion)
	object.SetKind(kind)
	if found {
		if err := objectmeta.SetObjectMeta(object.Object, metadata); err != nil {
			return nil, err
		}
	}
	defaulting.Default(object.Object, c.schema)

	for _, field := range append(unknown, embedded...) {
		strict = append(strict, fmt.Errorf(unknownField+" %q", field))
	}
	if len(strict) > 0 {
		return object, runtime.NewStrictDecodingError(strict)
	}
	return object, nil
}
