package harness

import (
	"cmp"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
)

var ciliumKind = schema.GroupKind{Group: "cilium.io", Kind: "CiliumNetworkPolicy"}

// ciliumPolicy is what decides in a CiliumNetworkPolicy who may connect. What a rule asks of the requests on a connection
// is not looked at.
type ciliumPolicy struct {
	Spec struct {
		EndpointSelector metav1.LabelSelector `json:"endpointSelector"`
		Ingress          []ciliumRule         `json:"ingress"`
		IngressDeny      []any                `json:"ingressDeny"`
		Egress           []ciliumRule         `json:"egress"`
		EgressDeny       []any                `json:"egressDeny"`
	} `json:"spec"`
}

// ciliumRule is a rule of either direction.
type ciliumRule struct {
	FromEndpoints []metav1.LabelSelector `json:"fromEndpoints"`
	ToEndpoints   []metav1.LabelSelector `json:"toEndpoints"`
	FromEntities  []string               `json:"fromEntities"`
	ToEntities    []string               `json:"toEntities"`
	FromCIDR      []string               `json:"fromCIDR"`
	ToCIDR        []string               `json:"toCIDR"`
	FromCIDRSet   []networkingv1.IPBlock `json:"fromCIDRSet"`
	ToCIDRSet     []networkingv1.IPBlock `json:"toCIDRSet"`
	ToFQDNs       []struct {
		MatchName    string `json:"matchName"`
		MatchPattern string `json:"matchPattern"`
	} `json:"toFQDNs"`
	ToPorts []struct {
		Ports []struct {
			Port     string          `json:"port"`
			EndPort  *int32          `json:"endPort"`
			Protocol corev1.Protocol `json:"protocol"`
		} `json:"ports"`
	} `json:"toPorts"`

	// Peers and ports that are not evaluated.
	FromGroups []any `json:"fromGroups"`
	FromNodes  []any `json:"fromNodes"`
	ToGroups   []any `json:"toGroups"`
	ToNodes    []any `json:"toNodes"`
	ToServices []any `json:"toServices"`
	ICMPs      []any `json:"icmps"`
}

// ciliumRules is what Cilium's own policies add to [Overlay.rules].
func (o *Overlay) ciliumRules(w Workload, direction networkingv1.PolicyType) (rules []policyRule, isolated bool) {
	for _, policy := range custom[ciliumPolicy](o, ciliumKind) {
		pods, err := metav1.LabelSelectorAsSelector(endpoints(policy.Spec.EndpointSelector).PodSelector)
		if err != nil || !pods.Matches(labels.Set(w.Pods.Labels)) {
			continue
		}
		allowed, denied := policy.Spec.Ingress, policy.Spec.IngressDeny
		if direction == networkingv1.PolicyTypeEgress {
			allowed, denied = policy.Spec.Egress, policy.Spec.EgressDeny
		}
		isolated = isolated || allowed != nil || denied != nil
		for _, rule := range allowed {
			if peers := rule.peers(); peers != nil || len(rule.ToPorts) > 0 { // a rule of nothing allows nothing
				rules = append(rules, policyRule{peers, rule.ports()})
			}
		}
		if len(denied) > 0 {
			rules = append(rules, policyRule{peers: []peer{{other: notEvaluated("the denied")}}})
		}
	}
	return rules, isolated
}

// named reports whether the peer is the host outside, or a pattern that fits it: a star stands for a part of the name
// without dots, or for all of it.
func (p peer) named(host string) bool {
	slashes := strings.NewReplacer(".", "/")
	fits, err := path.Match(slashes.Replace(p.host), slashes.Replace(host))
	return p.host != "" && (p.host == "*" || err == nil && fits)
}

func notEvaluated(what string) string { return what + " of a Cilium policy (NOT EVALUATED)" }

// peers returns nil for a rule that names nobody.
func (r ciliumRule) peers() []peer {
	var all []peer
	for _, selector := range slices.Concat(r.FromEndpoints, r.ToEndpoints) {
		all = append(all, peer{NetworkPolicyPeer: endpoints(selector)})
	}
	for _, block := range slices.Concat(r.FromCIDRSet, r.ToCIDRSet) {
		all = append(all, peer{NetworkPolicyPeer: networkingv1.NetworkPolicyPeer{IPBlock: &block}})
	}
	cidrs := slices.Concat(r.FromCIDR, r.ToCIDR)
	for _, entity := range slices.Concat(r.FromEntities, r.ToEntities) {
		if entity == "all" || entity == "cluster" {
			all = append(all, peer{NetworkPolicyPeer: networkingv1.NetworkPolicyPeer{NamespaceSelector: &metav1.LabelSelector{}}})
		}
		if entity == "all" || entity == "world" {
			cidrs = append(cidrs, "0.0.0.0/0", "::/0")
		}
		all = append(all, peer{other: "Cilium's entity " + entity})
	}
	for _, cidr := range cidrs {
		all = append(all, peer{NetworkPolicyPeer: networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: cidr}}})
	}
	for _, host := range r.ToFQDNs {
		all = append(all, peer{host: cmp.Or(host.MatchName, host.MatchPattern)})
	}
	for name, list := range map[string][]any{"fromGroups": r.FromGroups, "fromNodes": r.FromNodes, "toGroups": r.ToGroups, "toNodes": r.ToNodes, "toServices": r.ToServices, "icmps": r.ICMPs} {
		if len(list) > 0 {
			all = append(all, peer{other: notEvaluated(name)})
		}
	}
	return all
}

func (r ciliumRule) ports() []networkingv1.NetworkPolicyPort {
	var all []networkingv1.NetworkPolicyPort
	for _, to := range r.ToPorts {
		for _, p := range to.Ports {
			number := intstr.Parse(p.Port)
			protocols := []corev1.Protocol{p.Protocol}
			if p.Protocol == "" || p.Protocol == "ANY" {
				protocols = []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP}
			}
			for _, protocol := range protocols {
				all = append(all, networkingv1.NetworkPolicyPort{Protocol: &protocol, Port: &number, EndPort: p.EndPort})
			}
		}
	}
	return all
}

// endpoints puts a selector of Cilium's, in which the labels of a pod and of its namespace stand side by side, as a
// NetworkPolicy does. One that says nothing of the namespace means the policy's own.
func endpoints(selector metav1.LabelSelector) networkingv1.NetworkPolicyPeer {
	pods, namespaces := &metav1.LabelSelector{}, &metav1.LabelSelector{}
	side := func(key string) (*metav1.LabelSelector, string) {
		key = strings.TrimPrefix(strings.TrimPrefix(key, "k8s:"), "any:")
		if key == "io.kubernetes.pod.namespace" {
			return namespaces, corev1.LabelMetadataName
		}
		if label, found := strings.CutPrefix(key, "io.cilium.k8s.namespace.labels."); found {
			return namespaces, label
		}
		return pods, key
	}
	for key, value := range selector.MatchLabels {
		s, label := side(key)
		metav1.AddLabelToSelector(s, label, value)
	}
	for _, requirement := range selector.MatchExpressions {
		s, label := side(requirement.Key)
		requirement.Key = label
		s.MatchExpressions = append(s.MatchExpressions, requirement)
	}
	if emptySelector(namespaces) {
		namespaces = nil
	}
	return networkingv1.NetworkPolicyPeer{PodSelector: pods, NamespaceSelector: namespaces}
}
