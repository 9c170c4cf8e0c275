package harness

import (
	"slices"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// fqdnPolicy is what is looked at of a CiliumNetworkPolicy.
type fqdnPolicy struct {
	Spec struct {
		EndpointSelector struct {
			MatchLabels map[string]string `json:"matchLabels"`
		} `json:"endpointSelector"`
		Egress []struct {
			ToEntities []string `json:"toEntities"`
			ToFQDNs    []struct {
				MatchName string `json:"matchName"`
			} `json:"toFQDNs"`
			ToPorts []struct {
				Ports []struct {
					Port string `json:"port"`
				} `json:"ports"`
				Rules struct {
					DNS []any `json:"dns"`
				} `json:"rules"`
			} `json:"toPorts"`
		} `json:"egress"`
	} `json:"spec"`
}

// TestCiliumNamesTheHostsOutside finds the hosts of the URLs in the policy of each component that calls them, the names looked
// up through Cilium's proxy, and no range of addresses left beside them.
func TestCiliumNamesTheHostsOutside(t *testing.T) {
	output, err := template(t, map[string]any{
		"global":        map[string]any{"environment": "mainnet", "solanaRpcUrl": "https://rpc.example.com:8443,https://other.example.com"},
		"apiGateway":    map[string]any{"upstreamMode": "jupiter"},
		"secrets":       map[string]any{"existingSecret": "jupiter"},
		"networkPolicy": map[string]any{"cilium": map[string]any{"enabled": true}},
		"backup": map[string]any{"enabled": true, "s3": map[string]any{"bucket": "backups", "endpoint": "https://s3.example.com"},
			"ageRecipients": []string{"age1238e82uwt7k00uwqyg463e6lejfl4gwxez0gkwv7qsuhyfaujcpqeucryj"}},
	})
	if err != nil {
		t.Fatal(output)
	}
	o := &Overlay{Objects: Decode([]byte(output))}
	o.workloads = workloads(o.Objects)
	for _, finding := range checkNetworkPaths(o) {
		t.Error(finding)
	}
	got := map[string][]string{}
	for _, policy := range custom[fqdnPolicy](o, schema.GroupKind{Group: "cilium.io", Kind: "CiliumNetworkPolicy"}) {
		component := policy.Spec.EndpointSelector.MatchLabels["app.kubernetes.io/component"]
		proxied := false
		for _, rule := range policy.Spec.Egress {
			for _, host := range rule.ToFQDNs {
				got[component] = append(got[component], host.MatchName+":"+rule.ToPorts[0].Ports[0].Port)
			}
			got[component] = append(got[component], rule.ToEntities...)
			proxied = proxied || len(rule.ToPorts) > 0 && len(rule.ToPorts[0].Rules.DNS) > 0
		}
		if !proxied {
			t.Errorf("%s: Cilium learns no addresses, since DNS does not go through it", component)
		}
	}
	for component, want := range map[string][]string{
		"api-gateway":     {"api.jup.ag:443"},
		"price-oracle":    {"other.example.com:443", "rpc.example.com:8443"},
		"route-optimizer": {"other.example.com:443", "rpc.example.com:8443", "rpc.example.com:8444"}, // and its websocket
		"backup":          {"kube-apiserver", "s3.example.com:443"},
	} {
		slices.Sort(got[component])
		if list := slices.Compact(got[component]); !slices.Equal(list, want) {
			t.Errorf("%s may reach %v, want %v", component, list, want)
		}
	}
	for object, policy := range objects[*networkingv1.NetworkPolicy](o) {
		for _, rule := range policy.Spec.Egress {
			for _, peer := range rule.To {
				if peer.IPBlock != nil && !strings.HasSuffix(peer.IPBlock.CIDR, "/32") {
					t.Errorf("%s still lets out to %s", object.ID(), peer.IPBlock.CIDR)
				}
			}
		}
	}
}
