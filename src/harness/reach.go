package harness

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// A Flow is one kind of connection that the policies let through, in words. At least one of its ends is a rendered workload.
type Flow struct {
	From string `json:"from"`
	To   string `json:"to"`
	Port string `json:"port"` // such as "8080/TCP"
}

func (f Flow) String() string { return f.From + " → " + f.To + " " + f.Port }

const (
	everyone  = "anyone"
	everyPort = "any port"
)

// Reach returns every connection that the rendered policies let through, sorted.
//
// Between two rendered workloads both sides must allow it. Of a connection with somebody else only our side is known, so
// it is listed when that side allows it. Policies of the same pod add up; a pod without any may talk to anyone.
func (o *Overlay) Reach() []Flow {
	var flows []Flow
	all := o.Workloads()
	names := reachNames(all)
	for i, from := range all {
		for j, to := range all {
			for _, p := range o.between(from, to) {
				flows = append(flows, Flow{names[i], names[j], p})
			}
		}
		for _, far := range o.far(from, networkingv1.PolicyTypeEgress, all) {
			flows = append(flows, Flow{names[i], far.peer, far.port})
		}
		for _, far := range o.far(from, networkingv1.PolicyTypeIngress, all) {
			flows = append(flows, Flow{far.peer, names[i], far.port})
		}
	}
	slices.SortFunc(flows, func(a, b Flow) int {
		return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To), cmp.Compare(a.Port, b.Port))
	})
	return slices.Compact(flows)
}

// reachNames calls workloads what people call them: by their name without the release's, where that is unambiguous.
func reachNames(all []Workload) []string {
	short := func(w Workload) string {
		return strings.TrimPrefix(w.GetName(), w.Pods.Labels["app.kubernetes.io/instance"]+"-")
	}
	count := map[string]int{}
	for _, w := range all {
		count[short(w)]++
	}
	var names []string
	for _, w := range all {
		if name := short(w); count[name] == 1 {
			names = append(names, name)
		} else {
			names = append(names, w.ID())
		}
	}
	return names
}

// between returns the ports on which one workload's pods may connect to another's: those that its containers declare and
// those that a policy names.
func (o *Overlay) between(from, to Workload) []string {
	allowed := func(p port) bool {
		return o.allows(from, networkingv1.PolicyTypeEgress, p, o.podsOf(to)) && o.allows(to, networkingv1.PolicyTypeIngress, p, o.podsOf(from))
	}
	if allowed(port{protocol: corev1.ProtocolTCP, number: 1}) && allowed(port{protocol: corev1.ProtocolUDP, number: 1}) {
		return []string{everyPort}
	}
	candidates := map[port]bool{}
	for _, c := range to.Containers() {
		for _, p := range c.Ports {
			candidates[port{cmp.Or(p.Protocol, corev1.ProtocolTCP), p.ContainerPort, p.Name}] = true
		}
	}
	out, _ := o.rules(from, networkingv1.PolicyTypeEgress)
	in, _ := o.rules(to, networkingv1.PolicyTypeIngress)
	for _, rule := range append(out, in...) {
		for _, p := range rule.ports {
			if p.Port != nil && p.Port.Type == intstr.Int && !to.listens(*p.Port) {
				protocol := corev1.ProtocolTCP
				if p.Protocol != nil {
					protocol = *p.Protocol
				}
				candidates[port{protocol, p.Port.IntVal, ""}] = true
			}
		}
	}
	var ports []string
	for p := range candidates {
		if allowed(p) {
			ports = append(ports, fmt.Sprintf("%d/%s", p.number, p.protocol))
		}
	}
	return ports
}

// A far is the other end of a connection with somebody who is not rendered.
type far struct{ peer, port string }

// far returns who else a workload's pods may talk to in one direction. A peer that stands for rendered pods alone is left
// to between.
func (o *Overlay) far(w Workload, direction networkingv1.PolicyType, all []Workload) []far {
	rules, isolated := o.rules(w, direction)
	if !isolated {
		return []far{{everyone, everyPort}}
	}
	var fars []far
	for _, rule := range rules {
		var ports []string
		for _, p := range rule.ports {
			ports = append(ports, portName(w, direction, p))
		}
		if len(rule.ports) == 0 {
			ports = []string{everyPort}
		}
		var peers []string
		for _, peer := range rule.peers {
			ours := func(w Workload) bool { return o.podsOf(w)(peer) }
			if peer.NamespaceSelector == nil && !emptySelector(peer.PodSelector) && slices.ContainsFunc(all, ours) {
				continue
			}
			peers = append(peers, peerName(peer))
		}
		if len(rule.peers) == 0 {
			peers = []string{everyone}
		}
		for _, peer := range peers {
			for _, p := range ports {
				fars = append(fars, far{peer, p})
			}
		}
	}
	return fars
}

// portName is a policy's port as a number where it is known: a named port is one of the pod that is connected to.
func portName(w Workload, direction networkingv1.PolicyType, p networkingv1.NetworkPolicyPort) string {
	protocol := corev1.ProtocolTCP
	if p.Protocol != nil {
		protocol = *p.Protocol
	}
	switch {
	case p.Port == nil:
		return fmt.Sprintf("%s/%s", everyPort, protocol)
	case p.EndPort != nil:
		return fmt.Sprintf("%d-%d/%s", p.Port.IntVal, *p.EndPort, protocol)
	case p.Port.Type == intstr.String && direction == networkingv1.PolicyTypeIngress:
		if known, found := w.containerPort(*p.Port); found {
			return fmt.Sprintf("%d/%s", known.number, protocol)
		}
	}
	return fmt.Sprintf("%s/%s", p.Port, protocol)
}

// peerName describes a policy's peer.
func peerName(peer peer) string {
	switch {
	case peer.host != "":
		return "host " + peer.host
	case peer.other != "":
		return peer.other
	}
	if block := peer.IPBlock; block != nil {
		if len(block.Except) == 0 {
			return block.CIDR
		}
		return block.CIDR + " except " + strings.Join(block.Except, ", ")
	}
	pods := "every pod"
	if !emptySelector(peer.PodSelector) {
		pods = "pods with " + metav1.FormatLabelSelector(peer.PodSelector)
	}
	switch selector := peer.NamespaceSelector; {
	case selector == nil:
		return pods + " of this namespace"
	case emptySelector(selector):
		return pods + " of any namespace"
	case len(selector.MatchExpressions) == 0 && len(selector.MatchLabels) == 1 && selector.MatchLabels[corev1.LabelMetadataName] != "":
		return pods + " of namespace " + selector.MatchLabels[corev1.LabelMetadataName]
	default:
		return pods + " of namespaces with " + metav1.FormatLabelSelector(selector)
	}
}

func emptySelector(s *metav1.LabelSelector) bool {
	return s == nil || len(s.MatchLabels) == 0 && len(s.MatchExpressions) == 0
}

// reachTable is Reach for people, one row per pair of ends.
func reachTable(o *Overlay) []byte {
	var text strings.Builder
	fmt.Fprintf(&text, "# Who may talk to whom on %s\n\n", o.Name)
	text.WriteString("Computed from the rendered network policies: what is not listed is dropped.\n\n| from | to | ports |\n|---|---|---|\n")
	flows := o.Reach()
	for len(flows) > 0 {
		first := flows[0]
		n := slices.IndexFunc(flows, func(f Flow) bool { return f.From != first.From || f.To != first.To })
		if n < 0 {
			n = len(flows)
		}
		var ports []string
		for _, f := range flows[:n] {
			ports = append(ports, f.Port)
		}
		fmt.Fprintf(&text, "| %s | %s | %s |\n", first.From, first.To, strings.Join(ports, ", "))
		flows = flows[n:]
	}
	return []byte(text.String())
}
