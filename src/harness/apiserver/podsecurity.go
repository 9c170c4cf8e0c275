package main

import (
	"encoding/json"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/pod-security-admission/admission"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// evaluator is Pod Security admission's.
var evaluator = func() policy.Evaluator {
	checks, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		panic(err) // the checks are compiled in
	}
	return checks
}()

// policies says what each namespace of a batch enforces. A namespace that is not in the batch is taken to be restricted.
type policies map[string]api.LevelVersion

var restricted = api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}

func newPolicies(objects []json.RawMessage) policies {
	all := policies{}
	for _, data := range objects {
		var namespace struct {
			APIVersion, Kind string
			Metadata         struct {
				Name   string
				Labels map[string]string
			}
		}
		// What is not of this shape is no namespace.
		if err := json.Unmarshal(data, &namespace); err != nil || namespace.APIVersion != "v1" || namespace.Kind != "Namespace" {
			continue
		}
		stated, _ := enforced(namespace.Metadata.Labels) // errors are for the namespace itself
		all[namespace.Metadata.Name] = stated
	}
	return all
}

// enforced reads a namespace's labels as admission does: without a level it enforces nothing, with an unknown one it is restricted.
func enforced(labels map[string]string) (api.LevelVersion, field.ErrorList) {
	privileged := api.LevelVersion{Level: api.LevelPrivileged, Version: api.LatestVersion()}
	stated, errs := api.PolicyToEvaluate(labels, api.Policy{Enforce: privileged, Audit: privileged, Warn: privileged})
	return stated.Enforce, errs
}

// podVersions are those in which admission finds pods.
var podVersions = schema.GroupVersions{corev1.SchemeGroupVersion, appsv1.SchemeGroupVersion, batchv1.SchemeGroupVersion}

// forbid says why admission does not let in a pod, or the pods of an object's template.
func (p policies) forbid(object runtime.Object, namespace string) string {
	versioned, err := legacyscheme.Scheme.ConvertToVersion(object, podVersions)
	if err != nil {
		return ""
	}
	metadata, spec, err := admission.DefaultPodSpecExtractor{}.ExtractPodSpec(versioned)
	if err != nil || spec == nil {
		return ""
	}
	level, stated := p[namespace]
	if !stated {
		level = restricted
	}
	result := policy.AggregateCheckResults(evaluator.EvaluatePod(level, metadata, spec))
	if result.Allowed {
		return ""
	}
	return fmt.Sprintf("violates PodSecurity %q: %s", level, result.ForbiddenDetail())
}
