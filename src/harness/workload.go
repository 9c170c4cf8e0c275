package harness

import (
	"iter"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
)

// Workload is an object that makes pods.
type Workload struct {
	Object
	Pods     corev1.PodTemplateSpec
	At       string                // path of the pod template in the object, "" for a bare Pod
	Selector *metav1.LabelSelector // nil when the workload does not choose its pods by label
	Replicas *int32                // nil when it is not stated
	Finite   bool                  // its pods end: they serve nobody
}

// Workloads returns the objects of the overlay that make pods.
func (o *Overlay) Workloads() []Workload { return workloads(o.Objects) }

// workloads returns the objects that make pods.
func workloads(list []Object) []Workload {
	var all []Workload
	for _, o := range list {
		w := Workload{Object: o, At: "spec.template"}
		switch typed := o.Typed.(type) {
		case *appsv1.Deployment:
			w.Pods, w.Selector, w.Replicas = typed.Spec.Template, typed.Spec.Selector, typed.Spec.Replicas
		case *appsv1.StatefulSet:
			w.Pods, w.Selector, w.Replicas = typed.Spec.Template, typed.Spec.Selector, typed.Spec.Replicas
		case *appsv1.ReplicaSet:
			w.Pods, w.Selector, w.Replicas = typed.Spec.Template, typed.Spec.Selector, typed.Spec.Replicas
		case *appsv1.DaemonSet:
			w.Pods, w.Selector = typed.Spec.Template, typed.Spec.Selector
		case *batchv1.Job:
			w.Pods, w.Finite = typed.Spec.Template, true
		case *batchv1.CronJob:
			w.Pods, w.Finite, w.At = typed.Spec.JobTemplate.Spec.Template, true, "spec.jobTemplate.spec.template"
		case *corev1.Pod:
			w.Pods, w.Finite, w.At = corev1.PodTemplateSpec{ObjectMeta: typed.ObjectMeta, Spec: typed.Spec}, typed.Spec.RestartPolicy == corev1.RestartPolicyNever, ""
		default:
			continue
		}
		all = append(all, w)
	}
	return all
}

// template is the pod template as it is written.
func (w Workload) template() map[string]any {
	if w.At == "" {
		return w.Object.Object
	}
	found, _, _ := unstructured.NestedMap(w.Object.Object, strings.Split(w.At, ".")...)
	return found
}

// Field is the path of a field of the pod spec, from the root of the object.
func (w Workload) Field(path string) string {
	if w.At == "" {
		return "spec." + path
	}
	return w.At + ".spec." + path
}

// Containers yields the containers that run, init containers first, with their path in the object.
func (w Workload) Containers() iter.Seq2[string, corev1.Container] {
	return func(yield func(string, corev1.Container) bool) {
		for _, c := range w.Pods.Spec.InitContainers {
			if !yield(w.Field("initContainers["+c.Name+"]"), c) {
				return
			}
		}
		for _, c := range w.Pods.Spec.Containers {
			if !yield(w.Field("containers["+c.Name+"]"), c) {
				return
			}
		}
	}
}

// selected returns the workloads whose pods a selector chooses.
func selected(all []Workload, selector labels.Selector) []Workload {
	var chosen []Workload
	for _, w := range all {
		if selector.Matches(labels.Set(w.Pods.Labels)) {
			chosen = append(chosen, w)
		}
	}
	return chosen
}
