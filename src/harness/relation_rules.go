package harness

import (
	"fmt"
	"slices"
	"strings"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// relationRules judge objects that must fit one another.
var relationRules = []Rule{{
	Name:   "selectors",
	Reason: "a selector that chooses no pod, or another workload's, fails in silence: no endpoints, no budget, no policy",
	Fix:    "use the labels of the pod template that is meant, and only those that tell it from every other",
	Check:  inEachOverlay(checkSelectors),
}, {
	Name:   "service-ports",
	Reason: "traffic sent to a port on which no container listens is refused",
	Fix:    "name a port that the container declares",
	Check:  inEachOverlay(checkServicePorts),
}, {
	Name:   "service-monitors",
	Reason: "Prometheus drops a target whose Service or port it cannot find, without an error, and alerts stay silent",
	Fix:    "select one component's Service and name one of its ports",
	Check:  inEachOverlay(checkServiceMonitors),
}, {
	Name:   "autoscaler-targets",
	Reason: "an autoscaler without a target does nothing; one whose target also states replicas fights every sync",
	Fix:    "point it at a workload of this render and leave replicas out of that workload",
	Check:  inEachOverlay(checkAutoscalers),
}}

func checkSelectors(o *Overlay) []Finding {
	var all []Finding
	report := func(object Object, field, format string, args ...any) {
		all = append(all, Finding{Object: object.ID(), Field: field, Problem: fmt.Sprintf(format, args...)})
	}
	// choose returns the workloads that a selector chooses and reports when there is none.
	choose := func(object Object, field string, selector *metav1.LabelSelector) []Workload {
		parsed, err := metav1.LabelSelectorAsSelector(selector)
		if err != nil {
			return nil // the API server says why
		}
		chosen := selected(o.workloads, parsed)
		if len(chosen) == 0 {
			report(object, field, "no pod template carries %s", parsed)
		}
		return chosen
	}

	for _, w := range o.workloads {
		if w.Selector == nil {
			continue
		}
		parsed, err := metav1.LabelSelectorAsSelector(w.Selector)
		if err != nil {
			continue // the API server says why
		}
		for _, other := range selected(o.workloads, parsed) {
			if other.ID() != w.ID() {
				report(w.Object, "spec.selector", "%s also chooses the pods of %s", parsed, other.ID())
			}
		}
	}
	for object, service := range objects[*corev1.Service](o) {
		if len(service.Spec.Selector) == 0 {
			continue // endpoints are somebody else's
		}
		for _, w := range choose(object, "spec.selector", &metav1.LabelSelector{MatchLabels: service.Spec.Selector}) {
			if w.Finite {
				report(object, "spec.selector", "also chooses the pods of %s, which would receive traffic", w.ID())
			}
		}
	}
	budgets := map[string]string{}
	for object, budget := range objects[*policyv1.PodDisruptionBudget](o) {
		for _, w := range choose(object, "spec.selector", budget.Spec.Selector) {
			if w.Finite {
				report(object, "spec.selector", "also chooses the pods of %s, which end by themselves", w.ID())
			}
			if first, taken := budgets[w.ID()]; taken {
				report(object, "spec.selector", "chooses the pods of %s as %s does; with two budgets no pod can be evicted", w.ID(), first)
			}
			budgets[w.ID()] = object.ID()
		}
	}
	for object, policy := range objects[*networkingv1.NetworkPolicy](o) {
		choose(object, "spec.podSelector", &policy.Spec.PodSelector)
		peers := func(field string, list []networkingv1.NetworkPolicyPeer) {
			for i, peer := range list {
				if peer.PodSelector != nil && peer.NamespaceSelector == nil {
					choose(object, fmt.Sprintf("%s[%d].podSelector", field, i), peer.PodSelector)
				}
			}
		}
		for i, rule := range policy.Spec.Ingress {
			peers(fmt.Sprintf("spec.ingress[%d].from", i), rule.From)
		}
		for i, rule := range policy.Spec.Egress {
			peers(fmt.Sprintf("spec.egress[%d].to", i), rule.To)
		}
	}
	return all
}

func checkServicePorts(o *Overlay) []Finding {
	var all []Finding
	for object, service := range objects[*corev1.Service](o) {
		for i, port := range service.Spec.Ports {
			target := targetPort(port)
			for _, w := range serves(o, service) {
				if !w.Finite && !w.listens(target) {
					all = append(all, Finding{Object: object.ID(), Field: fmt.Sprintf("spec.ports[%d].targetPort", i), Problem: fmt.Sprintf("%s has no container port %s", w.ID(), target.String())})
				}
			}
		}
	}
	for object, policy := range objects[*networkingv1.NetworkPolicy](o) {
		selector, err := metav1.LabelSelectorAsSelector(&policy.Spec.PodSelector)
		if err != nil {
			continue // selectors says so
		}
		for i, rule := range policy.Spec.Ingress {
			for j, port := range rule.Ports {
				if port.Port == nil || port.EndPort != nil {
					continue
				}
				// One policy may cover several workloads; a port that none of them has is a mistake.
				covered := selected(o.workloads, selector)
				if len(covered) > 0 && !slices.ContainsFunc(covered, func(w Workload) bool { return w.listens(*port.Port) }) {
					all = append(all, Finding{Object: object.ID(), Field: fmt.Sprintf("spec.ingress[%d].ports[%d]", i, j), Problem: fmt.Sprintf("no container of the pods it covers has port %s", port.Port)})
				}
			}
		}
	}
	return all
}

// serves returns the workloads behind a Service.
func serves(o *Overlay, service *corev1.Service) []Workload {
	if len(service.Spec.Selector) == 0 {
		return nil
	}
	return selected(o.workloads, labels.SelectorFromSet(service.Spec.Selector))
}

// monitor is the part of a ServiceMonitor that must fit other objects.
type monitor struct {
	Spec struct {
		Selector          metav1.LabelSelector `json:"selector"`
		NamespaceSelector struct {
			Any        bool     `json:"any"`
			MatchNames []string `json:"matchNames"`
		} `json:"namespaceSelector"`
		Endpoints []struct {
			Port          string              `json:"port"`
			TargetPort    *intstr.IntOrString `json:"targetPort"`
			Interval      string              `json:"interval"`
			ScrapeTimeout string              `json:"scrapeTimeout"`
		} `json:"endpoints"`
	} `json:"spec"`
}

func checkServiceMonitors(o *Overlay) []Finding {
	var all []Finding
	for object, m := range custom[monitor](o, schema.GroupKind{Group: "monitoring.coreos.com", Kind: "ServiceMonitor"}) {
		report := func(field, format string, args ...any) {
			all = append(all, Finding{Object: object.ID(), Field: field, Problem: fmt.Sprintf(format, args...)})
		}
		selector, err := metav1.LabelSelectorAsSelector(&m.Spec.Selector)
		if err != nil {
			report("spec.selector", "%v", err)
			continue
		}
		var chosen []*corev1.Service
		for _, service := range objects[*corev1.Service](o) {
			if selector.Matches(labels.Set(service.Labels)) {
				chosen = append(chosen, service)
			}
		}
		switch names := serviceNames(chosen); {
		case len(chosen) == 0:
			report("spec.selector", "no Service carries %s", selector)
		case len(chosen) > 1:
			report("spec.selector", "chooses several Services (%s), so pods are scraped twice", strings.Join(names, ", "))
			continue
		}
		for i, endpoint := range m.Spec.Endpoints {
			// The schema has checked both; what only Prometheus can read, such as 1d, is not compared.
			interval, errInterval := time.ParseDuration(endpoint.Interval)
			timeout, errTimeout := time.ParseDuration(endpoint.ScrapeTimeout)
			if errInterval == nil && errTimeout == nil && timeout > interval {
				report(fmt.Sprintf("spec.endpoints[%d].scrapeTimeout", i), "%s is longer than the interval of %s, so Prometheus refuses its configuration", timeout, interval)
			}
			for _, service := range chosen {
				switch {
				case endpoint.Port != "" && !hasPort(service, endpoint.Port):
					report(fmt.Sprintf("spec.endpoints[%d].port", i), "Service/%s has no port named %q", service.Name, endpoint.Port)
				case endpoint.TargetPort != nil:
					for _, w := range serves(o, service) {
						if !w.listens(*endpoint.TargetPort) {
							report(fmt.Sprintf("spec.endpoints[%d].targetPort", i), "%s has no container port %s", w.ID(), endpoint.TargetPort)
						}
					}
				}
			}
		}
	}
	return all
}

func hasPort(service *corev1.Service, name string) bool {
	for _, port := range service.Spec.Ports {
		if port.Name == name {
			return true
		}
	}
	return false
}

func serviceNames(list []*corev1.Service) []string {
	var names []string
	for _, service := range list {
		names = append(names, service.Name)
	}
	return names
}

func checkAutoscalers(o *Overlay) []Finding {
	var all []Finding
	judge := func(object Object, target autoscalingv2.CrossVersionObjectReference) {
		for _, w := range o.workloads {
			if w.GetKind() != target.Kind || w.GetName() != target.Name || w.GetAPIVersion() != target.APIVersion {
				continue
			}
			if w.Replicas != nil {
				all = append(all, Finding{Object: w.ID(), Field: "spec.replicas", Problem: fmt.Sprintf("is stated although %s sets it", object.ID())})
			}
			return
		}
		all = append(all, Finding{Object: object.ID(), Field: "spec.scaleTargetRef", Problem: fmt.Sprintf("there is no %s %s/%s", target.APIVersion, target.Kind, target.Name)})
	}
	for object, hpa := range objects[*autoscalingv2.HorizontalPodAutoscaler](o) {
		judge(object, hpa.Spec.ScaleTargetRef)
	}
	return all
}
