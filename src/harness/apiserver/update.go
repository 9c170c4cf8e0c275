package main

import (
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/kubernetes/pkg/apis/core"
)

// replace says why a stored object cannot become the one that resource has created. It says nothing of a stored object
// that cannot be read, nor between two versions of a custom resource, which its operator converts.
func (s *server) replace(stored []byte, object runtime.Object, resource *resource, definitions map[string]string) ([]Cause, error) {
	was, err := s.resource(stored, definitions)
	if err != nil || was == nil {
		return nil, err
	}
	if _, custom := object.(*unstructured.Unstructured); custom && was.version != resource.version {
		return nil, nil
	}
	old, _ := was.create(stored, nil)
	if old == nil {
		return nil, nil
	}
	return resource.update(object, old), nil
}

// update follows the API server through an update: the causes are those that object would not have as a new one.
func (r *resource) update(object, old runtime.Object) []Cause {
	metadata, err := meta.Accessor(object)
	if err != nil {
		return []Cause{{Message: err.Error()}}
	}
	oldMetadata, err := meta.Accessor(old)
	if err != nil {
		return nil
	}
	metadata.SetResourceVersion("1")
	oldMetadata.SetResourceVersion("1")
	metadata.SetCreationTimestamp(oldMetadata.GetCreationTimestamp())
	settle(object, old)

	anyway := valueless(rest.ValidateCreate(r.request("create", metadata), object, r.strategy))
	ctx := r.request("update", metadata)
	r.strategy.PrepareForUpdate(ctx, object, old)
	return slices.DeleteFunc(valueless(rest.ValidateUpdate(ctx, object, old, r.strategy)), func(c Cause) bool {
		return slices.ContainsFunc(anyway, func(a Cause) bool { return a.Field == c.Field && a.Message == c.Message })
	})
}

// settle fills in what a cluster has done to a stored object since, and what a patch of it therefore leaves as it is.
func settle(object, old runtime.Object) {
	switch old := old.(type) {
	case *core.Service:
		next := &object.(*core.Service).Spec
		was := &old.Spec
		if was.Type != core.ServiceTypeExternalName && was.ClusterIP == "" {
			was.ClusterIP, was.ClusterIPs = "192.0.2.1", []string{"192.0.2.1"}
		}
		if next.Type != core.ServiceTypeExternalName && next.ClusterIP == "" {
			next.ClusterIP, next.ClusterIPs = was.ClusterIP, was.ClusterIPs
		}
	case *core.PersistentVolumeClaim:
		next := &object.(*core.PersistentVolumeClaim).Spec
		if old.Spec.VolumeName == "" {
			old.Spec.VolumeName = "bound"
		}
		if next.VolumeName == "" {
			next.VolumeName = old.Spec.VolumeName
		}
		if old.Spec.StorageClassName == nil {
			class := "the-default-class"
			old.Spec.StorageClassName = &class
		}
		if next.StorageClassName == nil {
			next.StorageClassName = old.Spec.StorageClassName
		}
		old.Status = core.PersistentVolumeClaimStatus{Phase: core.ClaimBound, Capacity: old.Spec.Resources.Requests}
	}
}

// valueless takes the values out of what the API server says: those of a pod template, whole, are nobody's to read.
func valueless(errs field.ErrorList) []Cause {
	var all []Cause
	for _, err := range errs {
		err.BadValue = field.OmitValueType{}
		all = append(all, Cause{Field: err.Field, Message: err.ErrorBody()})
	}
	return all
}
