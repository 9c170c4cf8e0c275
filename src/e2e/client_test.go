//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"jupiter-dex-integration/src/e2e/load"
)

const (
	solMint  = "So11111111111111111111111111111111111111112"
	usdcMint = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
)

// probeContainer is one that passes the strictest admission.
func (c *cluster) probeContainer(args ...string) corev1.Container {
	no, yes := false, true
	return corev1.Container{
		Name: "probe", Image: c.Registry + "/probe:e2e", ImagePullPolicy: corev1.PullAlways, Args: args,
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: &no, RunAsNonRoot: &yes, ReadOnlyRootFilesystem: &yes,
			Capabilities:   &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
	}
}

// run starts a pod with the probe, reachable under its name, and waits until it is ready.
func (c *cluster) run(t *testing.T, namespace, name string, labels map[string]string, args ...string) {
	t.Helper()
	no := false
	all := map[string]string{"e2e": name}
	for key, value := range labels {
		all[key] = value
	}
	container := c.probeContainer(args...)
	container.Ports = []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}}
	container.ReadinessProbe = &corev1.Probe{PeriodSeconds: 1, ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(8080)}}}
	must(c.CoreV1().Services(namespace).Create(t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.ServiceSpec{Selector: map[string]string{"e2e": name}, Ports: []corev1.ServicePort{{Port: 8080}}},
	}, metav1.CreateOptions{}))(t)
	must(c.CoreV1().Pods(namespace).Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: all},
		Spec:       corev1.PodSpec{AutomountServiceAccountToken: &no, EnableServiceLinks: &no, RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{container}},
	}, metav1.CreateOptions{}))(t)
	eventually(t, time.Minute, "pod "+name, func(ctx context.Context) error {
		pod, err := c.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
		if err == nil && !ready(pod) {
			err = fmt.Errorf("it is %s", pod.Status.Phase)
		}
		return err
	})
}

// A client is a pod that may call the gateway.
type client struct {
	*cluster
	namespace, pod string
}

// client starts one in the tier's namespace.
func (c *cluster) client(t *testing.T, namespace string) *client {
	t.Helper()
	c.run(t, namespace, "client", map[string]string{"jupiter-dex-client": "true"}, "serve")
	p := &client{c, namespace, "client"}
	// A network plugin learns of a new pod a moment after it runs.
	eventually(t, time.Minute, "the way to the gateway", func(ctx context.Context) error {
		_, err := p.get(ctx, gatewayURL+"/ready", nil)
		return err
	})
	return p
}

// call tells the probe something, through the API server.
func (p *client) call(ctx context.Context, verb, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	answer, err := p.CoreV1().RESTClient().Verb(verb).Namespace(p.namespace).Resource("pods").Name(p.pod + ":8080").
		SubResource("proxy").Suffix(path).Body(body).DoRaw(ctx)
	if err != nil {
		return fmt.Errorf("%w: %s", err, answer)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer, out)
}

// ask sends one request.
func (p *client) ask(ctx context.Context, method, url, body string) (load.Answer, error) {
	var answer load.Answer
	err := p.call(ctx, "POST", "ask", load.Request{Method: method, URL: url, Body: body}, &answer)
	return answer, err
}

// get is ask for what must be there, as JSON.
func (p *client) get(ctx context.Context, url string, out any) (raw string, err error) {
	return p.json(ctx, http.MethodGet, url, "", out)
}

func (p *client) json(ctx context.Context, method, url, body string, out any) (raw string, err error) {
	answer, err := p.ask(ctx, method, url, body)
	if err == nil && answer.Status != http.StatusOK {
		err = fmt.Errorf("%s: status %d: %.300s", url, answer.Status, answer.Body)
	}
	if err == nil && out != nil {
		err = json.Unmarshal([]byte(answer.Body), out)
	}
	return answer.Body, err
}

const gatewayURL = "http://" + gateway + ":8080"

func quoteURL(amount int) string {
	return fmt.Sprintf("%s/swap/v1/quote?inputMint=%s&outputMint=%s&amount=%d&slippageBps=50", gatewayURL, solMint, usdcMint, amount)
}

// trades asks for what an application does: a quote, a price and a swap, through the gateway's Service.
func (p *client) trades(t *testing.T) {
	t.Helper()
	if err := p.trade(t.Context(), t.Logf); err != nil {
		t.Fatal(err)
	}
}

func (p *client) trade(ctx context.Context, logf func(string, ...any)) error {
	var quote struct {
		OutAmount string
		RoutePlan []struct{ SwapInfo struct{ Label string } }
	}
	raw, err := p.get(ctx, quoteURL(1e9), &quote)
	if err != nil {
		return fmt.Errorf("quote: %w", err)
	}
	if quote.OutAmount == "" || quote.OutAmount == "0" || len(quote.RoutePlan) == 0 {
		return fmt.Errorf("not a quote: %s", raw)
	}
	var prices map[string]struct{ USDPrice json.Number }
	if body, err := p.get(ctx, gatewayURL+"/price/v3?ids="+solMint, &prices); err != nil {
		return fmt.Errorf("price: %w", err)
	} else if price, err := prices[solMint].USDPrice.Float64(); err != nil || price <= 0 {
		return fmt.Errorf("not a price: %s", body)
	}
	var swap struct {
		SwapTransaction      string
		LastValidBlockHeight uint64
	}
	if body, err := p.json(ctx, http.MethodPost, gatewayURL+"/swap/v1/swap", swapBody(raw), &swap); err != nil {
		return fmt.Errorf("swap: %w", err)
	} else if swap.SwapTransaction == "" || swap.LastValidBlockHeight == 0 {
		return fmt.Errorf("not a swap: %s", body)
	}
	logf("1 SOL gives %s USDC base units over %s, SOL is %s USD, the swap is a transaction of %d bytes in base64", quote.OutAmount,
		quote.RoutePlan[0].SwapInfo.Label, prices[solMint].USDPrice, len(swap.SwapTransaction))
	return nil
}

func swapBody(quote string) string {
	body, err := json.Marshal(map[string]any{"userPublicKey": "9WzDXwBbmkg8ZTbNMqUxvQRAyrZzDsGYdLVL9zYtAWWM", "quoteResponse": json.RawMessage(quote)})
	if err != nil {
		panic(err) // a quote that has just been decoded
	}
	return string(body)
}

// mixture is what applications ask: quotes of many amounts, so that few are cached, now and then a price or a swap.
func (p *client) mixture(t *testing.T) []load.Request {
	t.Helper()
	raw, err := p.get(t.Context(), quoteURL(1e9), nil)
	if err != nil {
		t.Fatal(err)
	}
	var requests []load.Request
	for i := range 40 {
		switch i % 8 {
		case 3:
			requests = append(requests, load.Request{Method: http.MethodGet, URL: gatewayURL + "/price/v3?ids=" + solMint})
		case 7:
			requests = append(requests, load.Request{Method: http.MethodPost, URL: gatewayURL + "/swap/v1/swap", Body: swapBody(raw)})
		default:
			requests = append(requests, load.Request{Method: http.MethodGet, URL: quoteURL(1e8 + i*1e6)})
		}
	}
	return requests
}

// under runs something while a load is on, and returns what the load saw. It goes on for a moment afterwards.
func (p *client) under(t *testing.T, l load.Load, do func()) load.Report {
	t.Helper()
	if err := p.call(t.Context(), "PUT", "load", l, nil); err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop := func(ctx context.Context) (report load.Report, err error) {
		stopped = true
		return report, p.call(ctx, "DELETE", "load", nil, &report)
	}
	defer func() { // when do fails the test
		if !stopped {
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			report, err := stop(ctx)
			t.Logf("the load meanwhile: %v, %v", summary(report), err)
		}
	}()
	p.wait(t, time.Second)
	do()
	p.wait(t, 2*time.Second)
	return must(stop(t.Context()))(t)
}

func (p *client) wait(t *testing.T, d time.Duration) {
	select {
	case <-t.Context().Done():
	case <-time.After(d):
	}
}

// summary is a report in a line.
func summary(r load.Report) string {
	return fmt.Sprintf("%d requests, %d failed, longest gap %.0f ms, statuses %v, p50 %.0f p95 %.0f p99 %.0f max %.0f ms",
		r.Asked, r.Failed, r.GapMs, r.Statuses, r.P50Ms, r.P95Ms, r.P99Ms, r.MaxMs)
}

// unharmed fails the test if any request failed or was refused.
func unharmed(t *testing.T, what string, r load.Report) {
	t.Helper()
	figure(t, what, "%s", summary(r))
	if r.Failed > 0 || r.Statuses["200"] != r.Asked {
		for _, failure := range r.Failures {
			t.Logf("%s %.90s: %s", failure.At.Format("15:04:05.000"), failure.URL, failure.Reason)
		}
		t.Errorf("%s: %d of %d requests failed", what, r.Asked-r.Statuses["200"], r.Asked)
	}
}

// logs returns the lines that a pod's container has printed.
func (c *cluster) logs(ctx context.Context, namespace, pod, container string) ([][]byte, error) {
	raw, err := c.CoreV1().Pods(namespace).GetLogs(pod, &corev1.PodLogOptions{Container: container}).DoRaw(ctx)
	if err != nil {
		return nil, err
	}
	var lines [][]byte
	for scanner := bufio.NewScanner(bytes.NewReader(raw)); scanner.Scan(); {
		lines = append(lines, bytes.Clone(scanner.Bytes()))
	}
	return lines, nil
}
