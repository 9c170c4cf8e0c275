package harness

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// networkRules judge who must talk to whom against who may.
var networkRules = []Rule{{
	Name:   "addresses",
	Reason: "the name does not resolve, or nothing listens there, and the service runs degraded without a failed deployment",
	Fix:    "correct the URL, or declare the Service in the overlay's provided.yaml if somebody else makes it",
	Check:  inEachOverlay(checkAddresses),
}, {
	Name:   "network-paths",
	Reason: "the packets are dropped: the client hangs until its timeout, and nothing says why",
	Fix:    "open the port in the NetworkPolicy of the side that the finding names",
	Check:  inEachOverlay(checkNetworkPaths),
}, {
	Name:   "network-isolation",
	Reason: "a pod that no policy covers may be reached from, and may reach, everywhere",
	Fix:    "add a policy that covers the pod in both directions",
	Check:  inEachOverlay(checkIsolation),
}}

// connections calls visit for every URL that a container of the overlay is given.
func connections(o *Overlay, visit func(w Workload, at string, a address)) {
	for _, w := range o.workloads {
		for at, c := range w.Containers() {
			env, _ := environment(o, c)
			for _, a := range addresses(env) {
				visit(w, at+".env["+a.variable+"]", a)
			}
		}
	}
}

// service returns the rendered Service behind an address. It is nil for one that is declared as provided.
func (o *Overlay) service(a address) (service *corev1.Service, inCluster bool) {
	name, namespace, inCluster := a.inCluster(o.Kustomization.Namespace)
	if !inCluster || namespace != o.Kustomization.Namespace {
		return nil, inCluster
	}
	for object, service := range objects[*corev1.Service](o) {
		if object.GetName() == name {
			return service, true
		}
	}
	return nil, true
}

func checkAddresses(o *Overlay) []Finding {
	var all []Finding
	connections(o, func(w Workload, field string, a address) {
		service, inCluster := o.service(a)
		if !inCluster {
			return
		}
		name, namespace, _ := a.inCluster(o.Kustomization.Namespace)
		problem := ""
		switch _, provided := find(o.Provided, "Service", name); {
		case service == nil && provided:
		case service == nil && namespace != o.Kustomization.Namespace:
			problem = fmt.Sprintf("there is no Service %q in namespace %q", name, namespace)
		case service == nil:
			problem = fmt.Sprintf("there is no Service %q", name)
		case !slices.ContainsFunc(service.Spec.Ports, func(p corev1.ServicePort) bool { return p.Port == a.port }):
			problem = fmt.Sprintf("Service %q has no port %d", name, a.port)
		}
		if problem != "" {
			all = append(all, Finding{Object: w.ID(), Field: field, Problem: problem})
		}
	})
	return all
}

func checkNetworkPaths(o *Overlay) []Finding {
	var all []Finding
	resolves := map[string]bool{}
	connections(o, func(w Workload, field string, a address) {
		report := func(format string, args ...any) {
			all = append(all, Finding{Object: w.ID(), Field: field, Problem: fmt.Sprintf(format, args...)})
		}
		if !resolves[w.ID()] {
			resolves[w.ID()] = true
			for _, dns := range []port{{corev1.ProtocolUDP, 53, "dns"}, {corev1.ProtocolTCP, 53, "dns-tcp"}} {
				if !o.allows(w, networkingv1.PolicyTypeEgress, dns, anyone) {
					report("no policy lets the pod resolve names (port 53, %s)", dns.protocol)
				}
			}
		}
		service, inCluster := o.service(a)
		if service == nil {
			peer := outside(a.host)
			if inCluster {
				peer = anyone // somebody else's pods, whose labels are not known
			}
			if !o.allows(w, networkingv1.PolicyTypeEgress, port{protocol: corev1.ProtocolTCP, number: a.port}, peer) {
				report("no policy lets the pod connect to %s:%d", a.host, a.port)
			}
			return
		}
		for _, to := range serves(o, service) {
			for _, p := range service.Spec.Ports {
				target, found := to.containerPort(targetPort(p))
				if p.Port != a.port || !found {
					continue // addresses or service-ports say so
				}
				if !o.allows(w, networkingv1.PolicyTypeEgress, target, o.podsOf(to)) {
					report("no policy of this pod lets it connect to %s on port %d", to.ID(), target.number)
				}
				if !o.allows(to, networkingv1.PolicyTypeIngress, target, o.podsOf(w)) {
					report("no policy of %s lets this pod in on port %d", to.ID(), target.number)
				}
			}
		}
	})
	for object, m := range custom[monitor](o, schema.GroupKind{Group: "monitoring.coreos.com", Kind: "ServiceMonitor"}) {
		selector, err := metav1.LabelSelectorAsSelector(&m.Spec.Selector)
		if err != nil {
			continue // service-monitors says so
		}
		for _, service := range objects[*corev1.Service](o) {
			if !selector.Matches(labels.Set(service.Labels)) {
				continue
			}
			for _, endpoint := range m.Spec.Endpoints {
				for _, p := range service.Spec.Ports {
					if p.Name != endpoint.Port {
						continue
					}
					for _, w := range serves(o, service) {
						if target, found := w.containerPort(targetPort(p)); found && !o.allows(w, networkingv1.PolicyTypeIngress, target, anyone) {
							all = append(all, Finding{Object: object.ID(), Field: "spec.endpoints", Problem: fmt.Sprintf("no policy of %s lets anybody in on port %d", w.ID(), target.number)})
						}
					}
				}
			}
		}
	}
	return all
}

func checkIsolation(o *Overlay) []Finding {
	var all []Finding
	for _, w := range o.workloads {
		for _, direction := range []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress} {
			if _, isolated := o.rules(w, direction); !isolated {
				all = append(all, Finding{Object: w.ID(), Problem: fmt.Sprintf("no NetworkPolicy covers its pods for %s", direction)})
			}
		}
	}
	return all
}

// targetPort is the container port that a Service port leads to, its own number unless it says otherwise.
func targetPort(p corev1.ServicePort) intstr.IntOrString {
	if p.TargetPort == (intstr.IntOrString{}) {
		return intstr.FromInt32(p.Port)
	}
	return p.TargetPort
}
