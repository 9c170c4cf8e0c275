//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"jupiter-dex-integration/src/e2e/load"
)

// Parts of the tier lose each other: packets are dropped by policy, so that connections hang rather than fail. Callers of the gateway
// get answers all the same where there is somebody left to give them, and all is as before soon after the network is.
func TestPartitions(t *testing.T) {
	c := connect(t)
	namespace := c.replicated(t, "partition", "--set", "apiGateway.fallback.optimizer=true")
	p := c.client(t, namespace)
	p.trades(t)
	quotes := p.mixture(t)
	var reads []load.Request // a swap needs whoever made its quote
	for _, request := range quotes {
		if request.Method == http.MethodGet {
			reads = append(reads, request)
		}
	}

	for _, partition := range []struct {
		name, component string
		port            int32  // of the way that is cut
		far             string // pods whose loss ends the connections that are open
		degraded        string // what the gateway's /ready must name, if anything
	}{
		{"gateway from Redis", "api-gateway", 6379, "app.kubernetes.io/name=redis", "redis"},
		{"oracle from Redis", "price-oracle", 6379, "app.kubernetes.io/name=redis", ""},
		{"gateway from Jupiter, price oracle and optimizer", "api-gateway", 8080, "app.kubernetes.io/name=simulator", ""},
		{"oracle from Jupiter and optimizer", "price-oracle", 8080, "app.kubernetes.io/name=simulator", ""},
		{"optimizer from the RPC", "route-optimizer", 8080, "app.kubernetes.io/name=simulator", ""},
	} {
		t.Run(partition.name, func(t *testing.T) {
			all := partition.component == "api-gateway" && partition.port == 8080
			heal := c.cut(t, namespace, partition.component, partition.port)
			defer heal()
			p.wait(t, settle)
			pods := must(c.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{LabelSelector: partition.far}))(t)
			for _, pod := range pods.Items {
				c.kill(t, &pod)
			}
			// The far end is well again before anything is measured: only the way to it is gone.
			c.settled(t, namespace)
			report := p.under(t, load.Load{Requests: reads, Rate: 20}, func() { p.wait(t, 20*time.Second) })
			if partition.degraded != "" {
				if answer, err := p.ask(t.Context(), http.MethodGet, gatewayURL+"/ready", ""); err != nil || answer.Status != http.StatusOK || !strings.Contains(answer.Body, "degraded") {
					t.Errorf("/ready says %v %v", answer, err)
				}
			}
			heal()
			began := time.Now()
			eventually(t, 2*time.Minute, "recovery", func(ctx context.Context) error {
				for range 4 { // both replicas
					if err := p.trade(ctx, func(string, ...any) {}); err != nil {
						return err
					}
					answer, err := p.ask(ctx, http.MethodGet, gatewayURL+"/ready", "")
					if err != nil || strings.Contains(answer.Body, "degraded") {
						return fmt.Errorf("%s %w", answer.Body, err)
					}
				}
				return nil
			})
			recovered := seconds(began)
			if all {
				figure(t, partition.name+" cut", "%s; well after %s", summary(report), recovered)
				if report.Failed == 0 {
					t.Error("nothing failed: nothing was cut")
				}
				return
			}
			figure(t, partition.name+" cut: well again after", "%s", recovered)
			unharmed(t, partition.name+" cut", report)
		})
	}
}

// cut takes a port out of what a component may connect to, until heal is called.
func (c *cluster) cut(t *testing.T, namespace, component string, port int32) (heal func()) {
	t.Helper()
	policies := c.NetworkingV1().NetworkPolicies(namespace)
	policy := must(policies.Get(t.Context(), release+"-"+component, metav1.GetOptions{}))(t)
	whole := policy.Spec.Egress
	policy.Spec.Egress = nil
	for _, rule := range whole {
		if rule.Ports[0].Port == nil || rule.Ports[0].Port.IntVal != port {
			policy.Spec.Egress = append(policy.Spec.Egress, rule)
		}
	}
	if len(policy.Spec.Egress) == len(whole) {
		t.Fatalf("%s has no way to port %d", component, port)
	}
	put := func(ctx context.Context, egress []networkingv1.NetworkPolicyEgressRule) error {
		current, err := policies.Get(ctx, policy.Name, metav1.GetOptions{})
		if err == nil {
			current.Spec.Egress = egress
			_, err = policies.Update(ctx, current, metav1.UpdateOptions{})
		}
		return err
	}
	check(t, put(t.Context(), policy.Spec.Egress))
	healed := false
	return func() {
		if healed {
			return
		}
		healed = true
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := put(ctx, whole); err != nil {
			t.Error(err)
		}
	}
}
