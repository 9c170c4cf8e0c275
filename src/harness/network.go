package harness

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// A port is where a connection ends: a number, and the name that the container gives it, if known.
type port struct {
	protocol corev1.Protocol
	number   int32
	name     string
}

// A policyRule is one ingress or egress rule, the two being alike but for their names. Without peers it means everybody,
// without ports every port.
type policyRule struct {
	peers []peer
	ports []networkingv1.NetworkPolicyPort
}

// A peer is whom a rule means: pods or addresses, or what only Cilium knows.
type peer struct {
	networkingv1.NetworkPolicyPeer
	host  string // a host outside, or a pattern of names
	other string // anybody else, for people
}

// rules returns what the policies allow a workload's pods in one direction. With isolated false no policy covers them and
// everything is allowed.
func (o *Overlay) rules(w Workload, direction networkingv1.PolicyType) (rules []policyRule, isolated bool) {
	rules, isolated = o.ciliumRules(w, direction)
	for _, policy := range objects[*networkingv1.NetworkPolicy](o) {
		selector, err := metav1.LabelSelectorAsSelector(&policy.Spec.PodSelector)
		if err != nil || !selector.Matches(labels.Set(w.Pods.Labels)) || !slices.Contains(policyTypes(policy), direction) {
			continue
		}
		isolated = true
		if direction == networkingv1.PolicyTypeIngress {
			for _, rule := range policy.Spec.Ingress {
				rules = append(rules, policyRule{peersOf(rule.From), rule.Ports})
			}
		} else {
			for _, rule := range policy.Spec.Egress {
				rules = append(rules, policyRule{peersOf(rule.To), rule.Ports})
			}
		}
	}
	return rules, isolated
}

func peersOf(list []networkingv1.NetworkPolicyPeer) []peer {
	var all []peer
	for _, p := range list {
		all = append(all, peer{NetworkPolicyPeer: p})
	}
	return all
}

// policyTypes are the directions that a policy isolates; unset it is ingress, and egress if there are egress rules.
func policyTypes(policy *networkingv1.NetworkPolicy) []networkingv1.PolicyType {
	if len(policy.Spec.PolicyTypes) > 0 {
		return policy.Spec.PolicyTypes
	}
	types := []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
	if len(policy.Spec.Egress) > 0 {
		types = append(types, networkingv1.PolicyTypeEgress)
	}
	return types
}

// allows reports whether the policies let a workload's pods connect in one direction on a port with a peer that fits.
func (o *Overlay) allows(w Workload, direction networkingv1.PolicyType, p port, fits func(peer) bool) bool {
	rules, isolated := o.rules(w, direction)
	if !isolated {
		return true
	}
	return slices.ContainsFunc(rules, func(rule policyRule) bool {
		meant := len(rule.peers) == 0 || slices.ContainsFunc(rule.peers, fits)
		open := len(rule.ports) == 0 || slices.ContainsFunc(rule.ports, p.opens)
		return meant && open
	})
}

// opens reports whether a policy's port covers p.
func (p port) opens(allowed networkingv1.NetworkPolicyPort) bool {
	protocol := corev1.ProtocolTCP
	if allowed.Protocol != nil {
		protocol = *allowed.Protocol
	}
	switch {
	case protocol != p.protocol:
		return false
	case allowed.Port == nil:
		return true
	case allowed.Port.Type == intstr.String:
		return p.name != "" && allowed.Port.StrVal == p.name
	case allowed.EndPort != nil:
		return allowed.Port.IntVal <= p.number && p.number <= *allowed.EndPort
	default:
		return allowed.Port.IntVal == p.number
	}
}

// podsOf fits peers that stand for a workload's pods. Address blocks never do: where pods get their addresses from is not known.
func (o *Overlay) podsOf(w Workload) func(peer) bool {
	namespace := labels.Set{corev1.LabelMetadataName: w.GetNamespace()}
	for object, ns := range objects[*corev1.Namespace](o) {
		if object.GetName() == w.GetNamespace() {
			namespace = labels.Merge(ns.Labels, namespace)
		}
	}
	matches := func(selector *metav1.LabelSelector, set labels.Set) bool {
		parsed, err := metav1.LabelSelectorAsSelector(selector)
		return err == nil && (selector == nil || parsed.Matches(set))
	}
	return func(p peer) bool {
		return p.host == "" && p.other == "" && p.IPBlock == nil && matches(p.NamespaceSelector, namespace) && matches(p.PodSelector, labels.Set(w.Pods.Labels))
	}
}

// outside fits peers that can be a host outside of the cluster, anyone fits every peer.
func outside(host string) func(peer) bool {
	return func(p peer) bool { return p.IPBlock != nil || p.named(host) }
}
func anyone(peer) bool { return true }

// containerPort returns the port of a workload's containers that a Service's target means.
func (w Workload) containerPort(target intstr.IntOrString) (port, bool) {
	for _, c := range w.Containers() {
		for _, p := range c.Ports {
			if target.Type == intstr.String && p.Name == target.StrVal || target.Type == intstr.Int && p.ContainerPort == target.IntVal {
				protocol := p.Protocol
				if protocol == "" {
					protocol = corev1.ProtocolTCP
				}
				return port{protocol, p.ContainerPort, p.Name}, true
			}
		}
	}
	return port{}, false
}

func (w Workload) listens(target intstr.IntOrString) bool {
	_, found := w.containerPort(target)
	return found
}

// An address is a URL in a container's environment.
type address struct {
	variable string
	host     string
	port     int32
}

var schemePorts = map[string]int32{"http": 80, "https": 443, "ws": 80, "wss": 443, "redis": 6379, "rediss": 6379}

// addresses returns the URLs that a container is told to connect to.
func addresses(env map[string]string) []address {
	var all []address
	for _, name := range slices.Sorted(maps.Keys(env)) {
		for value := range strings.SplitSeq(env[name], ",") {
			u, err := url.Parse(strings.TrimSpace(value))
			if err != nil || schemePorts[u.Scheme] == 0 || u.Hostname() == "" || u.Hostname() == "localhost" || u.Hostname() == "127.0.0.1" {
				continue
			}
			a := address{name, u.Hostname(), schemePorts[u.Scheme]}
			if number, err := strconv.ParseInt(u.Port(), 10, 32); err == nil {
				a.port = int32(number)
			}
			all = append(all, a)
		}
	}
	return all
}

// inCluster splits the DNS name of a Service, which may leave out what the pod's search domains add. Any other name is
// somewhere else.
func (a address) inCluster(namespace string) (service, in string, ok bool) {
	host := strings.TrimSuffix(strings.TrimSuffix(a.host, "."), ".cluster.local")
	parts := strings.Split(strings.TrimSuffix(host, ".svc"), ".")
	switch {
	case len(parts) == 1:
		return parts[0], namespace, true
	case len(parts) == 2 && (strings.HasSuffix(host, ".svc") || parts[1] == namespace):
		return parts[0], parts[1], true
	}
	return "", "", false
}
