package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/warning"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/apis/core"
)

// A server remembers what it has compiled.
type server struct {
	custom map[schema.GroupVersionKind]*customResource
}

func newServer() *server { return &server{custom: map[schema.GroupVersionKind]*customResource{}} }

// A resource is how objects of one kind are read, created and updated.
type resource struct {
	version  schema.GroupVersion
	decode   func([]byte) (runtime.Object, error)
	fields   func(parents []string) []string // of what lies under them
	strategy rest.RESTCreateUpdateStrategy
}

// judge answers to the objects of a batch, in their order. An error means that a definition cannot be used.
func (s *server) judge(batch Batch) ([]Verdict, error) {
	verdicts := make([]Verdict, len(batch.Objects)) // not nil: an empty batch has an empty answer
	policies := newPolicies(batch.Objects)
	for i, data := range batch.Objects {
		resource, err := s.resource(data, batch.Definitions)
		if err != nil {
			return nil, err
		}
		if resource == nil {
			verdicts[i].Unknown = true
			continue
		}
		object, verdict := resource.create(data, policies)
		if object != nil && len(batch.Stored) > 0 {
			if verdict.Fixed, err = s.replace(batch.Stored[i], object, resource, batch.Definitions); err != nil {
				return nil, err
			}
		}
		verdicts[i] = verdict
	}
	return verdicts, nil
}

// resource returns nil for a kind that is neither built in nor defined.
func (s *server) resource(data []byte, definitions map[string]string) (*resource, error) {
	gvk, err := json.DefaultMetaFactory.Interpret(data)
	if err != nil {
		return nil, err
	}
	if strategy, ok := strategies[gvk.GroupKind()]; ok && legacyscheme.Scheme.Recognizes(*gvk) {
		empty, err := legacyscheme.Scheme.New(*gvk)
		if err != nil {
			return nil, err
		}
		fields := func(parents []string) []string { return fieldsOf(reflect.TypeOf(empty), parents) }
		return &resource{gvk.GroupVersion(), decodeBuiltIn, fields, strategy}, nil
	}
	custom, err := s.definition(*gvk, definitions)
	if custom == nil {
		return nil, err
	}
	return &resource{gvk.GroupVersion(), custom.decode, custom.fields, custom.strategy}, nil
}

// decoder reads built-in kinds as the API server does: strictly, with defaults, into the type that it validates.
var decoder = legacyscheme.Codecs.DecoderToVersion(
	json.NewSerializerWithOptions(json.DefaultMetaFactory, legacyscheme.Scheme, legacyscheme.Scheme, json.SerializerOptions{Strict: true}),
	runtime.InternalGroupVersioner)

func decodeBuiltIn(data []byte) (runtime.Object, error) {
	object, gvk, err := decoder.Decode(data, nil, nil)
	if _, strict := runtime.AsStrictDecodingError(err); err != nil && !strict {
		// As the API server says it for lack of a field.
		err = fmt.Errorf("%s in version %q cannot be handled as a %s: %w", gvk.Kind, gvk.Version, gvk.Kind, err)
	}
	return object, err
}

// create follows the API server from the body of the request to the point where it would store the object, which it returns,
// or nil if nothing could be read. Unlike the API server it goes on after unknown fields, so that one look shows everything.
func (r *resource) create(data []byte, policies policies) (runtime.Object, Verdict) {
	verdict := Verdict{Namespaced: r.strategy.NamespaceScoped()}
	object, err := r.decode(data)
	if strict, ok := runtime.AsStrictDecodingError(err); ok {
		for _, err := range strict.Errors() {
			cause := strictCause(err)
			if cause.Message == unknownField {
				cause.Known = siblings(cause.Field, r.fields)
			}
			verdict.Refused = append(verdict.Refused, cause)
		}
	} else if err != nil {
		verdict.Refused = []Cause{{Message: err.Error()}}
	}
	if object == nil {
		return nil, verdict
	}
	metadata, err := meta.Accessor(object)
	if err != nil {
		verdict.Refused = append(verdict.Refused, Cause{Message: err.Error()})
		return nil, verdict
	}
	ctx := r.request("create", metadata)
	verdict.PodSecurity = policies.forbid(object, request.NamespaceValue(ctx))

	var warnings recorder
	ctx = warning.WithWarningRecorder(ctx, &warnings)
	rest.WipeObjectMetaSystemFields(metadata)
	rest.FillObjectMetaSystemFields(metadata)
	metadata.SetUID(uid)
	if metadata.GetName() == "" && metadata.GetGenerateName() != "" {
		metadata.SetName(r.strategy.GenerateName(metadata.GetGenerateName()))
	}
	switch created := object.(type) {
	case *core.Service:
		// What the Service registry does before it allocates the addresses and ports that are left open.
		if created.Spec.ClusterIP != "" && len(created.Spec.ClusterIPs) == 0 {
			created.Spec.ClusterIPs = []string{created.Spec.ClusterIP}
		}
	case *core.Namespace:
		_, errs := enforced(created.Labels)
		for _, err := range errs {
			verdict.Refused = append(verdict.Refused, Cause{Field: err.Field, Message: err.ErrorBody()})
		}
	}
	verdict.Refused = append(verdict.Refused, causes(rest.BeforeCreate(r.strategy, ctx, object))...)
	verdict.Warnings = warnings
	return object, verdict
}

// uid is every object's, so that what the API server derives from it, such as a Job's selector, is the same before and after
// an update.
const uid = "00000000-0000-0000-0000-000000000000"

// request is the context of a request about an object.
func (r *resource) request(verb string, metadata metav1.Object) context.Context {
	namespace := ""
	if r.strategy.NamespaceScoped() {
		namespace = cmp.Or(metadata.GetNamespace(), metav1.NamespaceDefault) // which clients fill in
	}
	return request.WithRequestInfo(request.WithNamespace(context.Background(), namespace),
		&request.RequestInfo{IsResourceRequest: true, Verb: verb, APIGroup: r.version.Group, APIVersion: r.version.Version})
}

const unknownField = "unknown field"

// strictCause takes the field out of an error such as `unknown field "spec.replicaCuont"`.
func strictCause(err error) Cause {
	message, field, found := strings.Cut(err.Error(), ` "`)
	if !found {
		return Cause{Message: err.Error()}
	}
	return Cause{Field: strings.TrimSuffix(field, `"`), Message: message}
}

// causes takes the fields out of the API server's answer.
func causes(err error) []Cause {
	if err == nil {
		return nil
	}
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Details == nil || len(status.Status().Details.Causes) == 0 {
		return []Cause{{Message: err.Error()}}
	}
	var all []Cause
	for _, cause := range status.Status().Details.Causes {
		all = append(all, Cause{Field: strings.TrimPrefix(cause.Field, "<nil>"), Message: cause.Message})
	}
	return all
}

// recorder keeps each warning once.
type recorder []string

func (r *recorder) AddWarning(_, text string) {
	if !slices.Contains(*r, text) {
		*r = append(*r, text)
	}
}
