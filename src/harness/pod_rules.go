package harness

import (
	"fmt"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/pod-security-admission/api"
	"k8s.io/utils/ptr"
)

// podRules judge what runs.
var podRules = []Rule{{
	Name:   "pinned-images",
	Reason: "a moving tag makes two pods of one Deployment run different code, and a rollback runs whatever the tag means today",
	Fix:    "state a version tag, or better a digest, in the overlay's images",
	Check:  inEachOverlay(checkImages),
}, {
	Name:   "pod-security",
	Reason: "a namespace that enforces Pod Security restricted refuses the pod",
	Fix:    "set what the message names in the pod's or the container's securityContext",
	Check:  inEachOverlay(checkPodSecurity),
}, {
	Name:   "hardened-pods",
	Reason: "whoever gets into the container can change its files, or talk to the API server as the pod",
	Fix:    "set readOnlyRootFilesystem: true on the container and automountServiceAccountToken: false on the pod",
	Check:  inEachOverlay(checkHardening),
}, {
	Name:   "resources",
	Reason: "without requests the scheduler packs pods blindly and the autoscaler cannot compute; without a memory limit one pod takes its node down",
	Fix:    "set requests for cpu and memory, and a limit for memory",
	Check:  inEachOverlay(checkResources),
}, {
	Name:   "probes",
	Reason: "a server without readiness gets traffic before it can answer; without a startup probe a slow start is killed",
	Fix:    "give the container a readinessProbe and a startupProbe on ports that it has",
	Check:  inEachOverlay(checkProbes),
}, {
	Name:   "listening-ports",
	Reason: "the pod declares, and Services lead to, a port on which the binary does not listen",
	Fix:    "make the address in the environment and the container's ports agree",
	Check:  inEachOverlay(checkListening),
}, {
	Name:   "graceful-stop",
	Reason: "the kubelet kills the process while it still answers requests, at every rollout",
	Fix:    "raise terminationGracePeriodSeconds above the preStop sleep plus SHUTDOWN_DELAY plus DRAIN_TIMEOUT",
	Check:  inEachOverlay(checkGracefulStop),
}, {
	Name:   "disruption-budgets",
	Reason: "without a budget a node drain takes all replicas at once; with one that leaves nothing to evict, no node can be drained",
	Fix:    "give every server with two or more replicas a budget that lets one pod go",
	Check:  inEachOverlay(checkBudgets),
}}

var digest = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// imageName returns the last part of an image's name, and its tag or "".
func imageName(image string) (name, tag string) {
	name, _, _ = strings.Cut(image, "@")
	name, tag, _ = strings.Cut(name[strings.LastIndex(name, "/")+1:], ":")
	return name, tag
}

func checkImages(o *Overlay) []Finding {
	var all []Finding
	for _, w := range o.workloads {
		for path, c := range w.Containers() {
			_, tag := imageName(c.Image)
			_, sum, pinned := strings.Cut(c.Image, "@")
			problem := ""
			switch {
			case c.Image == "": // refused by the API server
				continue
			case pinned && !digest.MatchString(sum):
				problem = fmt.Sprintf("%q is no sha256 digest", sum)
			case tag == "latest":
				problem = fmt.Sprintf("%q uses the tag latest", c.Image)
			case tag == "" && !pinned:
				problem = fmt.Sprintf("%q has neither tag nor digest, which means latest", c.Image)
			default:
				continue
			}
			all = append(all, Finding{Object: w.ID(), Field: path + ".image", Problem: problem})
		}
	}
	return all
}

func checkPodSecurity(o *Overlay) []Finding {
	var all []Finding
	for object, ns := range objects[*corev1.Namespace](o) {
		if level := ns.Labels[api.EnforceLevelLabel]; level != string(api.LevelRestricted) {
			all = append(all, Finding{Object: object.ID(), Field: "metadata.labels[" + api.EnforceLevelLabel + "]", Problem: fmt.Sprintf("is %q, not restricted", level)})
		}
	}
	for _, object := range o.Objects {
		if object.PodSecurity != "" {
			all = append(all, Finding{Object: object.ID(), Problem: object.PodSecurity})
		}
	}
	return all
}

func checkHardening(o *Overlay) []Finding {
	var all []Finding
	for _, w := range o.workloads {
		if token := w.Pods.Spec.AutomountServiceAccountToken; token == nil || *token {
			all = append(all, Finding{Object: w.ID(), Field: w.Field("automountServiceAccountToken"), Problem: "is not false"})
		}
		for at, c := range w.Containers() {
			if sc := c.SecurityContext; sc == nil || sc.ReadOnlyRootFilesystem == nil || !*sc.ReadOnlyRootFilesystem {
				all = append(all, Finding{Object: w.ID(), Field: at + ".securityContext.readOnlyRootFilesystem", Problem: "is not true"})
			}
		}
	}
	return all
}

func checkResources(o *Overlay) []Finding {
	var all []Finding
	for _, w := range o.workloads {
		for at, c := range w.Containers() {
			need := func(field string, list corev1.ResourceList, name corev1.ResourceName) {
				if _, found := list[name]; !found {
					all = append(all, Finding{Object: w.ID(), Field: fmt.Sprintf("%s.resources.%s.%s", at, field, name), Problem: "is not set"})
				}
			}
			need("requests", c.Resources.Requests, corev1.ResourceCPU)
			need("requests", c.Resources.Requests, corev1.ResourceMemory)
			need("limits", c.Resources.Limits, corev1.ResourceMemory)
		}
	}
	return all
}

// servers returns the workloads behind a Service.
func servers(o *Overlay) []Workload {
	var all []Workload
	for _, w := range o.workloads {
		for _, service := range objects[*corev1.Service](o) {
			if !w.Finite && slices.ContainsFunc(serves(o, service), func(other Workload) bool { return other.ID() == w.ID() }) {
				all = append(all, w)
				break
			}
		}
	}
	return all
}

func checkProbes(o *Overlay) []Finding {
	var all []Finding
	for _, w := range o.workloads {
		for at, c := range w.Containers() {
			probed := func(name string, probe *corev1.Probe) {
				if target, found := probePort(probe); found && !w.listens(target) {
					all = append(all, Finding{Object: w.ID(), Field: at + "." + name, Problem: fmt.Sprintf("the pod has no container port %s", target.String())})
				}
			}
			probed("startupProbe", c.StartupProbe)
			probed("readinessProbe", c.ReadinessProbe)
			probed("livenessProbe", c.LivenessProbe)
		}
	}
	for _, w := range servers(o) {
		for _, c := range w.Pods.Spec.Containers {
			if len(c.Ports) == 0 {
				continue
			}
			at := w.Field("containers[" + c.Name + "]")
			if c.ReadinessProbe == nil {
				all = append(all, Finding{Object: w.ID(), Field: at + ".readinessProbe", Problem: "is missing on a server"})
			}
			if c.StartupProbe == nil {
				all = append(all, Finding{Object: w.ID(), Field: at + ".startupProbe", Problem: "is missing on a server"})
			}
			if live, ready := c.LivenessProbe, c.ReadinessProbe; live != nil && ready != nil && live.HTTPGet != nil && ready.HTTPGet != nil && live.HTTPGet.Path == ready.HTTPGet.Path {
				all = append(all, Finding{Object: w.ID(), Field: at + ".livenessProbe", Problem: fmt.Sprintf("asks %s as the readinessProbe does: a dependency that fails would restart every pod", live.HTTPGet.Path)})
			}
		}
	}
	return all
}

// probePort returns the port that a probe asks.
func probePort(probe *corev1.Probe) (intstr.IntOrString, bool) {
	switch {
	case probe == nil:
	case probe.HTTPGet != nil:
		return probe.HTTPGet.Port, true
	case probe.TCPSocket != nil:
		return probe.TCPSocket.Port, true
	}
	return intstr.IntOrString{}, false
}

func checkListening(o *Overlay) []Finding {
	var all []Finding
	for _, w := range o.workloads {
		for at, c := range w.Containers() {
			values := effective(o, c)
			for _, name := range []string{"LISTEN_ADDRESS", "METRICS_ADDRESS"} {
				_, number, err := net.SplitHostPort(values[name])
				if err != nil || w.Finite {
					continue
				}
				if !slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool { return strconv.Itoa(int(p.ContainerPort)) == number }) {
					all = append(all, Finding{Object: w.ID(), Field: at + ".ports", Problem: fmt.Sprintf("lacks %s, where the binary listens (%s)", number, name)})
				}
			}
		}
	}
	return all
}

func checkGracefulStop(o *Overlay) []Finding {
	var all []Finding
	for _, w := range servers(o) {
		grace := 30 * time.Second // the API's default
		if seconds := w.Pods.Spec.TerminationGracePeriodSeconds; seconds != nil {
			grace = time.Duration(*seconds) * time.Second
		}
		for _, c := range w.Pods.Spec.Containers {
			values := effective(o, c)
			if values["DRAIN_TIMEOUT"] == "" {
				continue
			}
			var sleep time.Duration
			if c.Lifecycle != nil && c.Lifecycle.PreStop != nil && c.Lifecycle.PreStop.Sleep != nil {
				sleep = time.Duration(c.Lifecycle.PreStop.Sleep.Seconds) * time.Second
			}
			// Both are durations, or the binary would have refused them.
			delay, _ := time.ParseDuration(values["SHUTDOWN_DELAY"])
			drain, _ := time.ParseDuration(values["DRAIN_TIMEOUT"])
			if sum := sleep + delay + drain; grace <= sum {
				all = append(all, Finding{Object: w.ID(), Field: w.Field("terminationGracePeriodSeconds"), Problem: fmt.Sprintf("%s leaves no time after %s of sleeping, %s of waiting and %s of draining", grace, sleep, delay, drain)})
			}
		}
	}
	return all
}

func checkBudgets(o *Overlay) []Finding {
	var all []Finding
	for _, w := range servers(o) {
		if w.GetKind() == "DaemonSet" {
			continue
		}
		replicas := o.minReplicas(w)
		covered := false
		for object, budget := range objects[*policyv1.PodDisruptionBudget](o) {
			selector, err := metav1.LabelSelectorAsSelector(budget.Spec.Selector)
			if err != nil || !selector.Matches(labels.Set(w.Pods.Labels)) {
				continue
			}
			covered = true
			evictable := replicas
			if least := budget.Spec.MinAvailable; least != nil {
				n, _ := intstr.GetScaledValueFromIntOrPercent(least, replicas, true)
				evictable = replicas - n
			} else if most := budget.Spec.MaxUnavailable; most != nil {
				evictable, _ = intstr.GetScaledValueFromIntOrPercent(most, replicas, true)
			}
			if evictable < 1 {
				all = append(all, Finding{Object: object.ID(), Field: "spec", Problem: fmt.Sprintf("lets no pod of %s go while it has %d", w.ID(), replicas)})
			}
		}
		if !covered && replicas > 1 {
			all = append(all, Finding{Object: w.ID(), Problem: fmt.Sprintf("has %d replicas and no PodDisruptionBudget", replicas)})
		}
	}
	return all
}

// minReplicas is how many pods a workload has at least.
func (o *Overlay) minReplicas(w Workload) int {
	for _, hpa := range objects[*autoscalingv2.HorizontalPodAutoscaler](o) {
		if target := hpa.Spec.ScaleTargetRef; target.Kind == w.GetKind() && target.Name == w.GetName() {
			return int(ptr.Deref(hpa.Spec.MinReplicas, 1))
		}
	}
	return int(ptr.Deref(w.Replicas, 1))
}
