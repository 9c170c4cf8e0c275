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
	t.Parallel() // mostly waits
	c := connect(t)
	namespace := c.replicated(t, "partition", "--set", "apiGateway.fallback.optimizer=true")
	p := c.client(t, namespace)
	p.trades(t)
	var reads []load.Request // a swap needs whoever made its quote
	for _, request := range p.mixture(t) {
		if request.Method == http.MethodGet {
			reads = append(reads, request)
		}
	}

	for _, partition := range []struct {
		name, component string
		from            target
		degraded        bool // whether the gateway's /ready must say so
		hopeless        bool // nobody is left to answer
	}{
		{"gateway from Redis", "api-gateway", redisPods, true, false},
		{"oracle from Redis", "price-oracle", redisPods, false, false},
		{"gateway from Jupiter", "api-gateway", simulatorPods, false, false},
		{"gateway from Jupiter, oracle and optimizer", "api-gateway", everything, false, true},
		{"oracle from Jupiter", "price-oracle", simulatorPods, false, false},
		{"optimizer from the RPC", "route-optimizer", simulatorPods, false, false},
	} {
		t.Run(partition.name, func(t *testing.T) {
			heal := c.cut(t, namespace, partition.component, partition.from)
			defer heal()
			p.wait(t, settle)
			// Policies do not end connections that are open.
			if partition.from == redisPods {
				c.kill(t, must(c.CoreV1().Pods(namespace).Get(t.Context(), release+"-redis-master-0", metav1.GetOptions{}))(t))
				c.settled(t, namespace)
			} else {
				p.faults(t, map[string]any{"endpoint": "", "kind": "reset"})
				check(t, c.delete(t, simulatorURL+"/admin/websockets", p))
				p.under(t, load.Load{Requests: reads, Rate: 40}, func() { p.wait(t, 3*time.Second) })
				p.faults(t)
			}
			if partition.from == everything {
				for _, component := range []string{"price-oracle", "route-optimizer"} {
					for _, pod := range c.pods(t, namespace, component) {
						c.kill(t, &pod)
					}
				}
				p.wait(t, 2*time.Second) // until the Deployments know
				c.settled(t, namespace)
			}
			asked := p.calls(t, "/swap/v1/quote")
			well := func(ctx context.Context) error {
				for range 4 { // both replicas
					if err := p.trade(ctx, func(string, ...any) {}); err != nil {
						return err
					}
					if answer, err := p.ask(ctx, http.MethodGet, gatewayURL+"/ready", ""); err != nil || strings.Contains(answer.Body, "degraded") {
						return fmt.Errorf("%s %w", answer.Body, err)
					}
				}
				return nil
			}
			if partition.component != "api-gateway" {
				eventually(t, time.Minute, "the end of the resets", well)
			} else {
				p.wait(t, settle)
			}
			report := p.under(t, load.Load{Requests: reads, Rate: 20}, func() { p.wait(t, 15*time.Second) })
			asked = p.calls(t, "/swap/v1/quote") - asked
			if partition.from != redisPods && partition.component == "api-gateway" && asked > 0 {
				t.Errorf("Jupiter was asked %d quotes: it was not cut off", asked)
			}
			if partition.degraded {
				if answer, err := p.ask(t.Context(), http.MethodGet, gatewayURL+"/ready", ""); err != nil || answer.Status != http.StatusOK || !strings.Contains(answer.Body, "degraded") {
					t.Errorf("/ready says %v %v", answer, err)
				}
			}
			heal()
			began := time.Now()
			eventually(t, 2*time.Minute, "recovery", well)
			figure(t, partition.name+" cut: well again after", "%s", seconds(began))
			if !partition.hopeless {
				unharmed(t, partition.name+" cut", report)
				return
			}
			figure(t, partition.name+" cut", "%s", summary(report))
			if report.Failed == 0 {
				t.Error("nothing failed: nothing was cut")
			}
		})
	}
}

// A target is what a way leads to.
type target int

const (
	redisPods target = iota
	simulatorPods
	everything // of the two other services and the simulator
)

// is reports whether an egress rule is a way to the target.
func (to target) is(rule networkingv1.NetworkPolicyEgressRule) bool {
	if len(rule.Ports) == 0 || rule.Ports[0].Port == nil || len(rule.To) == 0 || rule.To[0].PodSelector == nil {
		return false
	}
	// The simulator is reached by a URL with a Service's name alone, which stands for any pod here.
	any := len(rule.To[0].PodSelector.MatchLabels) == 0
	switch port := rule.Ports[0].Port.IntVal; to {
	case redisPods:
		return port == 6379
	case simulatorPods:
		return port == 8080 && any
	default:
		return port == 8080
	}
}

// cut takes a target out of what a component may connect to, until heal is called.
func (c *cluster) cut(t *testing.T, namespace, component string, from target) (heal func()) {
	t.Helper()
	policies := c.NetworkingV1().NetworkPolicies(namespace)
	policy := must(policies.Get(t.Context(), release+"-"+component, metav1.GetOptions{}))(t)
	whole := policy.Spec.Egress
	policy.Spec.Egress = nil
	for _, rule := range whole {
		if !from.is(rule) {
			policy.Spec.Egress = append(policy.Spec.Egress, rule)
		}
	}
	if len(policy.Spec.Egress) == len(whole) {
		t.Fatalf("%s has no such way", component)
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
