package change

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	resourcehelper "k8s.io/component-helpers/resource"

	"jupiter-dex-integration/src/harness"
)

// Restart is a workload whose running pods are replaced.
type Restart struct {
	Workload string   `json:"workload"`
	Pods     string   `json:"pods"` // as many as run before, such as "5 to 20"
	AtLeast  int      `json:"atLeast"`
	How      string   `json:"how"`
	Because  []Reason `json:"because"`
	Severity Severity `json:"severity"`
}

// Reason is a part of the pod template that changes: a field, or configuration whose checksum the template carries.
type Reason struct {
	Field
	Config []Config `json:"config,omitempty"` // what the checksum stands for, as far as it is rendered
}

// checksums is where the chart keeps them in a pod template.
const checksums = "metadata.annotations[checksum/"

// restarts returns the workloads whose pod template changes, and remembers them for config.
func (s *sides) restarts(pairs []twin) []Restart {
	s.restarting = map[string]bool{}
	changed := configChanges(pairs)
	before, after := workloads(s.base), workloads(s.head)
	var all []Restart
	for _, t := range pairs {
		if t.base == nil || t.head == nil {
			continue
		}
		w, known := after[t.head.ID()]
		how, rolls := rollout(w)
		if !known || !rolls {
			continue
		}
		r := Restart{Workload: w.ID(), How: how, Severity: Warning}
		for _, d := range t.changes {
			if !strings.HasPrefix(d.Path, w.At+".") {
				continue
			}
			reason := Reason{Field: field(d)}
			reason.Path = strings.TrimPrefix(reason.Path, w.At+".")
			if strings.HasPrefix(reason.Path, checksums) {
				for _, c := range changed {
					if slices.ContainsFunc(reads(w), c.readBy) {
						reason.Config = append(reason.Config, c.Config)
					}
				}
				reason.Before, reason.After = "", ""
			}
			r.Because = append(r.Because, reason)
		}
		if len(r.Because) == 0 {
			continue
		}
		count := pods(s.base, before[w.ID()])
		r.Pods, r.AtLeast = count.String(), int(count.low)
		s.restarting[w.ID()] = true
		all = append(all, r)
	}
	return all
}

// rollout says how a workload's pods are replaced when their template changes, and whether they are.
func rollout(w harness.Workload) (how string, rolls bool) {
	switch o := w.Typed.(type) {
	case *appsv1.Deployment:
		if o.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType {
			return "all at once: nothing serves meanwhile", true
		}
		surge, unavailable := "25%", "25%"
		if rolling := o.Spec.Strategy.RollingUpdate; rolling != nil {
			if rolling.MaxSurge != nil {
				surge = rolling.MaxSurge.String()
			}
			if rolling.MaxUnavailable != nil {
				unavailable = rolling.MaxUnavailable.String()
			}
		}
		return fmt.Sprintf("rolling, at most %s more and %s fewer pods meanwhile", surge, unavailable), true
	case *appsv1.StatefulSet:
		if o.Spec.UpdateStrategy.Type == appsv1.OnDeleteStatefulSetStrategyType {
			return "", false
		}
		if w.Replicas == nil || *w.Replicas == 1 {
			return "its only pod: nothing serves meanwhile", true
		}
		return "one after the other, the last one first", true
	case *appsv1.DaemonSet:
		return "node by node", o.Spec.UpdateStrategy.Type != appsv1.OnDeleteDaemonSetStrategyType
	}
	return "", false // the next run of a CronJob takes the new template, a Job or Pod never does
}

// A span is how many pods a workload has.
type span struct {
	low, high int32
	by        string // what moves it, empty when it is fixed
}

func (s span) String() string {
	switch {
	case s.high < 0:
		return "one per node"
	case s.low == s.high:
		return fmt.Sprint(s.low)
	}
	return fmt.Sprintf("%d to %d", s.low, s.high)
}

// pods returns how many pods a workload has, by what it states or by its autoscaler.
func pods(o *harness.Overlay, w harness.Workload) span {
	for _, object := range o.Objects {
		if s, target := autoscaler(object); target == w.ID() && w.GetName() != "" {
			return s
		}
	}
	if w.GetKind() == "DaemonSet" {
		return span{high: -1}
	}
	n := int32(1)
	if w.Replicas != nil {
		n = *w.Replicas
	}
	return span{low: n, high: n}
}

// autoscaler reads a HorizontalPodAutoscaler or a ScaledObject of KEDA.
func autoscaler(o harness.Object) (s span, target string) {
	if hpa, ok := o.Typed.(*autoscalingv2.HorizontalPodAutoscaler); ok {
		low := int32(1)
		if hpa.Spec.MinReplicas != nil {
			low = *hpa.Spec.MinReplicas
		}
		return span{low, hpa.Spec.MaxReplicas, o.ID()}, hpa.Spec.ScaleTargetRef.Kind + "/" + hpa.Spec.ScaleTargetRef.Name
	}
	if o.GroupVersionKind().Group == "keda.sh" && o.GetKind() == "ScaledObject" {
		number := func(field string, otherwise int64) int32 {
			n, found, err := unstructured.NestedInt64(o.Object, "spec", field)
			if !found || err != nil {
				n = otherwise
			}
			return int32(n)
		}
		kind, _, _ := nestedString(o, "spec.scaleTargetRef.kind")
		name, _, _ := nestedString(o, "spec.scaleTargetRef.name")
		return span{number("minReplicaCount", 0), number("maxReplicaCount", 100), o.ID()}, cmp.Or(kind, "Deployment") + "/" + name
	}
	return span{}, ""
}

// Scaling is a change of how many pods there are or what they may use.
type Scaling struct {
	Object   string   `json:"object"` // a workload, an autoscaler, or "total"
	What     string   `json:"what"`
	Before   string   `json:"before,omitempty"`
	After    string   `json:"after,omitempty"`
	Severity Severity `json:"severity"`
	Warning  string   `json:"warning,omitempty"`
}

// total is the Object of what all workloads together ask for.
const total = "total"

func (s *sides) scaling() []Scaling {
	var all []Scaling
	before, after := workloads(s.base), workloads(s.head)
	for _, id := range sorted(before, after) {
		old, had := before[id]
		w, has := after[id]
		if had && old.Finite || has && w.Finite {
			continue
		}
		was, is := span{}, span{}
		if had {
			was = pods(s.base, old)
		}
		if has {
			is = pods(s.head, w)
		}
		change := Scaling{Object: id, What: "pods", Before: was.String(), After: is.String(), Severity: Notice}
		switch {
		case had && has && was == is:
			continue
		case !had:
			change.Before = ""
		case !has:
			change.After, change.Severity = "", Warning
		case is.high == 0:
			change.Severity, change.Warning = Danger, "nothing of it runs any more"
		case was.by == "" && is.by != "" && old.Replicas != nil && w.Replicas == nil:
			change.Severity, change.Warning = Warning, "spec.replicas goes away: until the autoscaler acts, there may be one pod"
		case is.low < was.low || is.high < was.high:
			change.Severity = Warning
		}
		if was.by != is.by {
			change.What = strings.TrimSpace("pods, now scaled by " + cmp.Or(is.by, "nobody"))
		}
		all = append(all, change)
	}
	was, is := totals(s.base), totals(s.head)
	for _, what := range sorted(was, is) {
		if was[what] != is[what] {
			all = append(all, Scaling{Object: total, What: what, Before: was[what], After: is[what], Severity: Notice})
		}
	}
	return all
}

// totals adds up what the pods of a network that do not end by themselves ask for and may use, from their fewest to their most.
func totals(o *harness.Overlay) map[string]string {
	low, high := map[string]resource.Quantity{}, map[string]resource.Quantity{}
	add := func(sums map[string]resource.Quantity, what string, q resource.Quantity, n int32) {
		q = q.DeepCopy()
		q.Mul(int64(n))
		sum := sums[what]
		sum.Add(q)
		sums[what] = sum
	}
	for _, w := range o.Workloads() {
		count := pods(o, w)
		if w.Finite || count.high < 0 {
			continue
		}
		pod := &corev1.Pod{Spec: w.Pods.Spec}
		for name, list := range map[string]corev1.ResourceList{
			"requests": resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{}),
			"limits":   resourcehelper.PodLimits(pod, resourcehelper.PodResourcesOptions{}),
		} {
			for key, quantity := range list {
				what := fmt.Sprintf("%s %s", key, name)
				add(low, what, quantity, count.low)
				add(high, what, quantity, count.high)
			}
		}
	}
	texts := map[string]string{}
	for what, fewest := range low {
		most := high[what]
		texts[what] = fewest.String()
		if fewest.Cmp(most) != 0 {
			texts[what] += " to " + most.String()
		}
	}
	return texts
}

// Image is a container whose image changes.
type Image struct {
	Workload  string   `json:"workload"`
	Container string   `json:"container"`
	Before    string   `json:"before,omitempty"`
	After     string   `json:"after"`
	Promotion string   `json:"promotion"` // what the network before this one knows of it
	Severity  Severity `json:"severity"`
}

func (s *sides) images() []Image {
	before := containerImages(s.base)
	var all []Image
	for _, w := range s.head.Workloads() {
		for _, c := range w.Containers() {
			if old := before[w.ID()+" "+c.Name]; old != c.Image {
				image := Image{Workload: w.ID(), Container: c.Name, Before: old, After: c.Image}
				image.Promotion, image.Severity = s.promotion(c.Image)
				all = append(all, image)
			}
		}
	}
	return all
}

func containerImages(o *harness.Overlay) map[string]string {
	images := map[string]string{}
	if o == nil {
		return images
	}
	for _, w := range o.Workloads() {
		for _, c := range w.Containers() {
			images[w.ID()+" "+c.Name] = c.Image
		}
	}
	return images
}

// promotion says whether the network before this one has tried an image.
func (s *sides) promotion(image string) (state string, severity Severity) {
	previous := precedes[s.name]
	if previous == "" {
		return "", Notice
	}
	_, digest, fixed := strings.Cut(image, "@")
	runs := func(r *harness.Render) bool {
		for _, other := range containerImages(overlay(r, previous)) {
			if _, otherDigest, _ := strings.Cut(other, "@"); other == image || fixed && otherDigest == digest {
				return true
			}
		}
		return false
	}
	switch {
	case !fixed && runs(s.baseRender):
		return previous + " runs the same tag, which may mean another image: only a digest tells", Warning
	case runs(s.baseRender):
		return previous + " runs it", Notice
	case fixed && s.Had != nil && s.Had(previous, digest):
		return previous + " has run it", Notice
	case runs(s.headRender):
		return previous + " gets it in the same change, not before", Warning
	case s.name == rank[0]:
		return previous + " has never run it", Danger
	}
	return previous + " has never run it", Warning
}
