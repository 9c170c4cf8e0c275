//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"jupiter-dex-integration/src/e2e/load"
)

const simulatorURL = "http://simulator:8080"

// faults makes the simulator misbehave; none makes it well again.
func (p *client) faults(t *testing.T, faults ...map[string]any) {
	t.Helper()
	if faults == nil {
		faults = []map[string]any{}
	}
	body := must(json.Marshal(faults))(t)
	if _, err := p.json(t.Context(), http.MethodPut, simulatorURL+"/admin/faults", string(body), nil); err != nil {
		t.Fatal(err)
	}
}

// calls counts what the simulator was asked at one endpoint.
func (p *client) calls(t *testing.T, endpoint string) (sum int) {
	t.Helper()
	var calls map[string]map[string]int
	if _, err := p.get(t.Context(), simulatorURL+"/admin/calls", &calls); err != nil {
		t.Fatal(err)
	}
	for n := range maps.Values(calls[endpoint]) {
		sum += n
	}
	return sum
}

// Latency is the whole way: client pod, Service, gateway, Jupiter and back.
func TestGatewayAnswersWithinHalfASecond(t *testing.T) {
	c := connect(t)
	namespace := c.replicated(t, "latency")
	p := c.client(t, namespace)
	p.trades(t)
	report := p.under(t, load.Load{Requests: p.mixture(t), Rate: 50}, func() { p.wait(t, 20*time.Second) })
	unharmed(t, "50 requests a second for 20 s", report)
	if report.P95Ms >= 500 {
		t.Errorf("p95 is %.0f ms", report.P95Ms)
	}
}

// When Jupiter fails, each replica asks it a few times more, and then no more until the pause is over. When it works again, so does
// the gateway, by itself.
func TestBreakerTripsAndRecovers(t *testing.T) {
	c := connect(t)
	namespace := c.replicated(t, "breaker")
	p := c.client(t, namespace)
	p.trades(t)
	const endpoint = "/swap/v1/quote"

	p.faults(t, map[string]any{"endpoint": endpoint, "kind": "status", "status": 500})
	before := p.calls(t, endpoint)
	amount := 1_000_000
	codes := map[string]int{}
	ask := func(ctx context.Context) load.Answer {
		amount++ // never cached
		return must(p.ask(ctx, http.MethodGet, quoteURL(amount), ""))(t)
	}
	code := func(a load.Answer) string {
		var body struct {
			ErrorCode string `json:"errorCode"`
		}
		_ = json.Unmarshal([]byte(a.Body), &body) // a body that is no JSON has no code
		return fmt.Sprintf("%d %s", a.Status, body.ErrorCode)
	}
	for range 60 {
		codes[code(ask(t.Context()))]++
	}
	asked := p.calls(t, endpoint) - before
	figure(t, "60 quotes while Jupiter answers 500", "Jupiter was asked %d times by 2 replicas; callers saw %v", asked, codes)
	// Five in a row open it, and each pause of 5 s ends with one trial, for each of two replicas.
	if asked < 5 || asked > 30 {
		t.Errorf("Jupiter was asked %d times", asked)
	}
	if !slices.ContainsFunc(slices.Collect(maps.Keys(codes)), func(code string) bool { return strings.HasPrefix(code, "503") }) {
		t.Errorf("no caller was told that the breaker is open: %v", codes)
	}

	p.faults(t)
	began := time.Now()
	good := 0
	eventually(t, time.Minute, "recovery", func(ctx context.Context) error {
		if a := ask(ctx); a.Status != http.StatusOK {
			good = 0
			return fmt.Errorf("status %d", a.Status)
		}
		if good++; good < 10 { // both replicas
			return fmt.Errorf("only %d good answers in a row", good)
		}
		return nil
	})
	figure(t, "breakers closed after Jupiter's recovery", "%s (pause 5 s)", seconds(began))
}

// A client's limit is one number whatever the number of replicas.
func TestLimitHoldsAcrossReplicas(t *testing.T) {
	c := connect(t)
	const replicas, perMinute, burst = 3, 600, 60
	namespace := c.replicated(t, "limit", "--set", fmt.Sprintf("apiGateway.replicaCount=%d,apiGateway.rateLimiting.requestsPerMinute=%d,apiGateway.rateLimiting.burstSize=%d", replicas, perMinute, burst))
	p := c.client(t, namespace)
	p.trades(t)
	p.wait(t, 8*time.Second) // the burst is whole again

	began := time.Now()
	requests := []load.Request{{Method: http.MethodGet, URL: gatewayURL + "/price/v3?ids=" + solMint}}
	report := p.under(t, load.Load{Requests: requests, Rate: 60}, func() { p.wait(t, 15*time.Second) })
	most := burst + perMinute*time.Since(began).Minutes()
	// A replica that finds Redis too slow decides alone for a while, and may then admit its share of the burst and of the rate.
	bound, times := most+1, 0
	for _, pod := range c.pods(t, namespace, "api-gateway") {
		if n, alone := decidedAlone(must(c.logs(t.Context(), namespace, pod.Name, "api-gateway"))(t)); n > 0 {
			times += n
			bound += burst/replicas + perMinute/replicas*alone.Minutes()
		}
	}
	allowed := float64(report.Statuses["200"])
	figure(t, "limit of 600/min, burst 60, over 3 replicas", "asked %d, allowed %.0f, at most %.0f by the rule, %.0f as replicas decided alone %d times", report.Asked, allowed, most, bound, times)
	if allowed > bound || allowed < most*0.8 {
		t.Errorf("allowed %.0f of %d, the rule says %.0f", allowed, report.Asked, bound)
	}
	if report.Statuses["429"] != report.Asked-report.Statuses["200"] {
		t.Errorf("others than 200 and 429: %v", report.Statuses)
	}
}

// decidedAlone reads in a gateway's log how often, and how long in all, it did without Redis.
func decidedAlone(lines [][]byte) (times int, alone time.Duration) {
	var since time.Time
	for _, line := range lines {
		var entry struct {
			Time time.Time
			Msg  string
		}
		switch _ = json.Unmarshal(line, &entry); { // a line that is no JSON is of something else
		case strings.Contains(entry.Msg, "each replica enforces its share"):
			times, since = times+1, entry.Time
		case strings.Contains(entry.Msg, "Redis serves the limits again"):
			alone, since = alone+entry.Time.Sub(since), time.Time{}
		}
	}
	if !since.IsZero() {
		alone += time.Since(since)
	}
	return times, alone
}

// autoscaled lets the gateway have two replicas to a few, for little CPU, and takes them away soon.
func autoscaled(most int) []string {
	const behavior = "apiGateway.autoscaling.behavior.scaleDown."
	return []string{
		"--set", fmt.Sprintf("apiGateway.autoscaling.enabled=true,apiGateway.autoscaling.maxReplicas=%d,apiGateway.autoscaling.targetMemoryUtilizationPercentage=0", most),
		"--set", behavior + "stabilizationWindowSeconds=15," + behavior + "policies[0].type=Pods," + behavior + "policies[0].value=4," + behavior + "policies[0].periodSeconds=15",
		"--set", "apiGateway.resources.requests.cpu=20m",
	}
}

// The load makes the gateway's CPU busy, pods come; the load ends, they go; no request fails on the way.
func TestAutoscalerFollowsTheLoad(t *testing.T) {
	c := connect(t)
	namespace := c.replicated(t, "autoscaler", autoscaled(4)...)
	p := c.client(t, namespace)
	eventually(t, 2*time.Minute, "metrics of the pods", func(ctx context.Context) error {
		hpa, err := c.AutoscalingV2().HorizontalPodAutoscalers(namespace).Get(ctx, gateway, metav1.GetOptions{})
		if err == nil && (len(hpa.Status.CurrentMetrics) == 0 || hpa.Status.CurrentMetrics[0].Resource == nil || hpa.Status.CurrentMetrics[0].Resource.Current.AverageUtilization == nil) {
			err = fmt.Errorf("%v", hpa.Status.Conditions)
		}
		return err
	})
	scaled := func(what string, enough func(replicas, ready int32) bool) {
		began := time.Now()
		eventually(t, 4*time.Minute, what, func(ctx context.Context) error {
			d, err := c.AppsV1().Deployments(namespace).Get(ctx, gateway, metav1.GetOptions{})
			if err == nil && !enough(*d.Spec.Replicas, d.Status.ReadyReplicas) {
				err = fmt.Errorf("%d replicas, %d ready", *d.Spec.Replicas, d.Status.ReadyReplicas)
			}
			return err
		})
		figure(t, "autoscaler "+what, "%s", seconds(began))
	}
	mixture := p.mixture(t)
	report := p.under(t, load.Load{Requests: mixture, Rate: 150}, func() {
		scaled("2 → 4 replicas under 150 requests a second", func(_, ready int32) bool { return ready == 4 })
	})
	unharmed(t, "autoscaling up", report)
	report = p.under(t, load.Load{Requests: mixture, Rate: 2}, func() {
		scaled("4 → 2 replicas under 2 requests a second", func(replicas, _ int32) bool { return replicas == 2 })
		c.gone(t, namespace)
	})
	unharmed(t, "autoscaling down", report)
}
