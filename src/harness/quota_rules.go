package harness

import (
	"fmt"
	"maps"
	"math"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// quotaRules judge whether the namespace has room.
var quotaRules = []Rule{{
	Name:   "quota-fits",
	Reason: "pods beyond the namespace's quota are refused: the autoscaler stops short of its maximum, or a rollout never ends",
	Fix:    "raise the ResourceQuota, or lower the maximum or the resources of what fills it",
	Check:  inEachOverlay(checkQuota),
}}

// checkQuota adds up what every workload can ask for at once, at its autoscaler's maximum and in the middle of a rollout, and
// compares it with each ResourceQuota of the overlay.
func checkQuota(o *Overlay) []Finding {
	most := corev1.ResourceList{}
	add := func(name corev1.ResourceName, q resource.Quantity, times int64) {
		sum := most[name]
		q.Mul(times)
		sum.Add(q)
		most[name] = sum
	}
	for _, w := range o.workloads {
		pods := mostPods(o, w)
		add(corev1.ResourcePods, *resource.NewQuantity(1, resource.DecimalSI), pods)
		for _, c := range w.Pods.Spec.Containers {
			for name, q := range c.Resources.Requests {
				add("requests."+name, q, pods)
				add(name, q, pods) // the quota's other name for it
			}
			for name, q := range c.Resources.Limits {
				add("limits."+name, q, pods)
			}
		}
	}
	var all []Finding
	for object, quota := range objects[*corev1.ResourceQuota](o) {
		for _, name := range slices.Sorted(maps.Keys(quota.Spec.Hard)) {
			hard, need := quota.Spec.Hard[name], most[name]
			if need.Cmp(hard) > 0 {
				all = append(all, Finding{Object: object.ID(), Field: "spec.hard[" + string(name) + "]", Problem: fmt.Sprintf("is %s, and all pods together may need %s", hard.String(), need.String())})
			}
		}
	}
	return all
}

// mostPods is how many pods of a workload there can be at once.
func mostPods(o *Overlay, w Workload) int64 {
	pods := int64(1)
	if w.Replicas != nil {
		pods = int64(*w.Replicas)
	}
	for _, hpa := range objects[*autoscalingv2.HorizontalPodAutoscaler](o) {
		if hpa.Spec.ScaleTargetRef.Kind == w.GetKind() && hpa.Spec.ScaleTargetRef.Name == w.GetName() {
			pods = int64(hpa.Spec.MaxReplicas)
		}
	}
	for _, scaled := range custom[scaledObject](o, schema.GroupKind{Group: "keda.sh", Kind: "ScaledObject"}) {
		if scaled.Spec.ScaleTargetRef.Name == w.GetName() && w.GetKind() == "Deployment" {
			pods = scaled.Spec.MaxReplicaCount
		}
	}
	if deployment, ok := w.Typed.(*appsv1.Deployment); ok && deployment.Spec.Strategy.Type != appsv1.RecreateDeploymentStrategyType {
		surge := intstr.FromString("25%") // unless stated
		if rolling := deployment.Spec.Strategy.RollingUpdate; rolling != nil && rolling.MaxSurge != nil {
			surge = *rolling.MaxSurge
		}
		if more, err := intstr.GetScaledValueFromIntOrPercent(&surge, int(min(pods, math.MaxInt32)), true); err == nil {
			pods += int64(more)
		}
	}
	return pods
}

// scaledObject is the part of a KEDA ScaledObject that says how far a workload may grow.
type scaledObject struct {
	Spec struct {
		ScaleTargetRef struct {
			Name string `json:"name"`
		} `json:"scaleTargetRef"`
		MaxReplicaCount int64 `json:"maxReplicaCount"`
	} `json:"spec"`
}
