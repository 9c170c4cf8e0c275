//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"

	"jupiter-dex-integration/src/e2e/load"
)

// unprovoked are the alerts about what this cluster has none of.
var unprovoked = map[string]string{
	"JupiterAutoscalerAtMaximum": "needs kube-state-metrics",
	"JupiterBackupMissed":        "needs kube-state-metrics",
	"JupiterSlotLag":             "no fault of the simulator makes one node lag behind another",
}

// A Prometheus scrapes what the ServiceMonitors say and judges by the PrometheusRule, read from the render as the operator would read
// them. Each alert is then caused, and its cause taken away. Time is compressed: minutes and hours of the rules are seconds here.
func TestAlertsFireByTheirCausesAndClear(t *testing.T) {
	t.Parallel() // mostly waits
	c := connect(t)
	if c.Prometheus == "" {
		t.Skip("set E2E_PROMETHEUS_IMAGE to an image of Prometheus that the cluster can pull")
	}
	namespace := c.namespace(t, "monitoring")
	values := func(args ...string) []string {
		return c.values(t, append([]string{"--set", "monitoring.enabled=true,monitoring.prometheus.namespace=" + namespace}, args...)...)
	}
	// Prices off their peg, a pool that is none, and a quota that does not reach: causes that are values.
	wrong := values("--set-json", "priceOracle.pegs.USDC=1.1", "--set", "routeOptimizer.pools.none="+solMint+",global.jupiterRequestsPerMinute=60")
	right := values()
	c.secret(t, namespace, "jupiter", map[string]string{"jupiter-api-key": "first-key"})
	c.apply(t, namespace, c.simulator(t)...)
	var monitors, rules []*unstructured.Unstructured
	install := func(t *testing.T, args []string) {
		t.Helper()
		monitors, rules = nil, nil
		for _, object := range c.helm(t, namespace, chart, args...) {
			switch object.GetKind() {
			case "ServiceMonitor":
				monitors = append(monitors, object)
			case "PrometheusRule":
				rules = append(rules, object)
			default:
				c.apply(t, namespace, object)
			}
		}
		c.settled(t, namespace)
	}
	install(t, wrong)
	prometheus := c.startPrometheus(t, namespace, monitors, rules)
	p := c.client(t, namespace)

	t.Run("every target is scraped", func(t *testing.T) {
		eventually(t, time.Minute, "targets", func(ctx context.Context) error {
			up, err := prometheus.query(ctx, "sum by (job) (up)")
			if err == nil && (len(up) != 3 || slices.ContainsFunc(up, func(s sample) bool { return s.value != "2" })) {
				err = fmt.Errorf("two pods of each of three services are wanted: %v", up)
			}
			return err
		})
	})

	var quotes []load.Request
	for i := range 40 {
		quotes = append(quotes, load.Request{Method: "GET", URL: quoteURL(1e8 + i*1e6)})
	}
	fired := map[string]bool{}
	// provoke waits for alerts to fire, takes their cause away, and waits for them to go.
	provoke := func(name string, cause, cure func(t *testing.T), alerts ...string) {
		t.Run(name, func(t *testing.T) {
			p.under(t, load.Load{Requests: quotes, Rate: 15}, func() {
				began := time.Now()
				cause(t)
				prometheus.wait(t, alerts, true)
				firing := seconds(began)
				began = time.Now()
				cure(t)
				prometheus.wait(t, alerts, false)
				figure(t, "alerts by "+name, "%s: fired after %s, gone %s after the cure", strings.Join(alerts, ", "), firing, seconds(began))
				for _, alert := range alerts {
					fired[alert] = true
				}
			})
		})
	}
	nothing := func(*testing.T) {}
	heal := func(t *testing.T) { p.faults(t) }

	provoke("wrong values", nothing, func(t *testing.T) { install(t, right) },
		"JupiterPriceDeviates", "JupiterPoolsSetAside", "JupiterQuotaExhausted")
	t.Run("every dashboard has data", func(t *testing.T) {
		p.under(t, load.Load{Requests: p.mixture(t), Rate: 15}, func() { prometheus.dashboards(t, namespace) })
	})
	provoke("a Jupiter that answers 500",
		func(t *testing.T) {
			p.faults(t, map[string]any{"endpoint": "/swap/v1/quote", "kind": "status", "status": 500})
		}, heal,
		"JupiterAPIHighErrorRate", "JupiterCircuitBreakerOpen", "JupiterSLOBurnsFast", "JupiterSLOBurnsSlowly")
	provoke("a slow Jupiter",
		func(t *testing.T) {
			p.faults(t, map[string]any{"endpoint": "/swap/v1/quote", "kind": "latency", "latencyMs": 3000})
		}, heal,
		"JupiterAPIHighLatency")
	provoke("an RPC and a Jupiter that hang",
		func(t *testing.T) {
			p.faults(t, map[string]any{"endpoint": "", "kind": "hang"})
			check(t, c.delete(t, "http://simulator:8080/admin/websockets", p))
		}, heal,
		"JupiterMarketStandsStill", "JupiterPricesStale")
	scale := func(kind, name string, replicas int) func(t *testing.T) {
		return func(t *testing.T) {
			body := fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, replicas)
			var err error
			if kind == "StatefulSet" {
				_, err = c.AppsV1().StatefulSets(namespace).Patch(t.Context(), name, types.MergePatchType, body, metav1.PatchOptions{})
			} else {
				_, err = c.AppsV1().Deployments(namespace).Patch(t.Context(), name, types.MergePatchType, body, metav1.PatchOptions{})
			}
			check(t, err)
		}
	}
	provoke("a Redis that is gone", scale("StatefulSet", release+"-redis-master", 0), scale("StatefulSet", release+"-redis-master", 1), "JupiterRedisGone")
	provoke("a release that cannot start",
		func(t *testing.T) {
			scale("Deployment", router, 0)(t)
			c.gone(t, namespace)
			body := []byte(`{"spec":{"replicas":2,"template":{"spec":{"containers":[{"name":"route-optimizer","args":["no-such-command"]}]}}}}`)
			must(c.AppsV1().Deployments(namespace).Patch(t.Context(), router, types.StrategicMergePatchType, body, metav1.PatchOptions{}))(t)
		},
		func(t *testing.T) {
			body := []byte(`{"spec":{"template":{"spec":{"containers":[{"name":"route-optimizer","args":null}]}}}}`)
			must(c.AppsV1().Deployments(namespace).Patch(t.Context(), router, types.StrategicMergePatchType, body, metav1.PatchOptions{}))(t)
		},
		"JupiterServiceDown")

	var all []string
	for _, rule := range rules {
		groups, _, _ := unstructured.NestedSlice(rule.Object, "spec", "groups")
		for _, group := range groups {
			for _, r := range group.(map[string]any)["rules"].([]any) {
				if name, ok := r.(map[string]any)["alert"].(string); ok {
					all = append(all, name)
				}
			}
		}
	}
	for _, name := range all {
		if !fired[name] && unprovoked[name] == "" {
			t.Errorf("%s was never provoked", name)
		}
	}
	figure(t, "alerts fired and cleared", "%d of %d; not: %v", len(fired), len(all), unprovoked)
}

// delete sends a DELETE from inside the cluster.
func (c *cluster) delete(t *testing.T, url string, p *client) error {
	_, err := p.ask(t.Context(), "DELETE", url, "")
	return err
}

// A server is a Prometheus in the cluster.
type server struct {
	*cluster
	namespace string
}

// compressed shortens the times of rules: a window must still hold a few scrapes.
var compressed = []struct {
	pattern *regexp.Regexp
	to      string
}{
	{regexp.MustCompile(`\[[0-9]+m\]`), "[20s]"},
	{regexp.MustCompile(`\[[0-9]+[hd]\]`), "[30s]"},
	{regexp.MustCompile(`(?m)^( *)for: .*$`), "${1}for: 5s"},
}

// startPrometheus does the operator's work: scrape configurations of ServiceMonitors, and rules.
func (c *cluster) startPrometheus(t *testing.T, namespace string, monitors, rules []*unstructured.Unstructured) *server {
	t.Helper()
	var jobs []any
	for _, monitor := range monitors {
		spec := monitor.Object["spec"].(map[string]any)
		match, _, _ := unstructured.NestedStringMap(monitor.Object, "spec", "selector", "matchLabels")
		relabel := []any{}
		for _, label := range slices.Sorted(maps.Keys(match)) {
			source := "__meta_kubernetes_service_label_" + regexp.MustCompile(`[^a-zA-Z0-9_]`).ReplaceAllString(label, "_")
			relabel = append(relabel, map[string]any{"action": "keep", "source_labels": []string{source}, "regex": regexp.QuoteMeta(match[label])})
		}
		endpoint := spec["endpoints"].([]any)[0].(map[string]any)
		relabel = append(relabel,
			map[string]any{"action": "keep", "source_labels": []string{"__meta_kubernetes_endpointslice_port_name"}, "regex": endpoint["port"]},
			map[string]any{"source_labels": []string{"__meta_kubernetes_namespace"}, "target_label": "namespace"},
			map[string]any{"source_labels": []string{"__meta_kubernetes_pod_name"}, "target_label": "pod"},
			map[string]any{"source_labels": []string{"__meta_kubernetes_service_name"}, "target_label": "job"})
		jobs = append(jobs, map[string]any{
			"job_name": monitor.GetName(), "metrics_path": endpoint["path"], "scrape_interval": "2s", "scrape_timeout": "2s",
			"kubernetes_sd_configs": []any{map[string]any{"role": "endpointslice", "namespaces": map[string]any{"names": []string{namespace}}}},
			"relabel_configs":       relabel,
		})
	}
	config := must(yaml.Marshal(map[string]any{
		"global":     map[string]any{"evaluation_interval": "2s"},
		"rule_files": []string{"/etc/prometheus/rules.yaml"}, "scrape_configs": jobs,
	}))(t)
	groups := must(yaml.Marshal(rules[0].Object["spec"]))(t)
	for _, c := range compressed {
		groups = c.pattern.ReplaceAll(groups, []byte(c.to))
	}
	text := func(kind, version, name string, more map[string]any) *unstructured.Unstructured {
		object := map[string]any{"apiVersion": version, "kind": kind, "metadata": map[string]any{"name": name}}
		maps.Copy(object, more)
		return &unstructured.Unstructured{Object: object}
	}
	c.apply(t, namespace,
		text("ConfigMap", "v1", "prometheus", map[string]any{"data": map[string]any{"prometheus.yaml": string(config), "rules.yaml": string(groups)}}),
		text("ServiceAccount", "v1", "prometheus", nil),
		text("Role", "rbac.authorization.k8s.io/v1", "prometheus", map[string]any{"rules": []any{
			map[string]any{"apiGroups": []any{""}, "resources": []any{"services", "pods", "endpoints"}, "verbs": []any{"get", "list", "watch"}},
			map[string]any{"apiGroups": []any{"discovery.k8s.io"}, "resources": []any{"endpointslices"}, "verbs": []any{"get", "list", "watch"}},
		}}),
		text("RoleBinding", "rbac.authorization.k8s.io/v1", "prometheus", map[string]any{
			"roleRef":  map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "prometheus"},
			"subjects": []any{map[string]any{"kind": "ServiceAccount", "name": "prometheus", "namespace": namespace}},
		}))
	container := c.probeContainer()
	container.Name, container.Image, container.ImagePullPolicy = "prometheus", c.Prometheus, corev1.PullIfNotPresent
	container.Args = []string{"--config.file=/etc/prometheus/prometheus.yaml", "--storage.tsdb.path=/prometheus"}
	container.ReadinessProbe = &corev1.Probe{PeriodSeconds: 1, ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/-/ready", Port: intstr.FromInt32(9090)}}}
	container.VolumeMounts = []corev1.VolumeMount{{Name: "config", MountPath: "/etc/prometheus"}, {Name: "data", MountPath: "/prometheus"}}
	user := int64(65534)
	must(c.CoreV1().Pods(namespace).Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "prometheus"},
		Spec: corev1.PodSpec{
			ServiceAccountName: "prometheus", Containers: []corev1.Container{container},
			SecurityContext: &corev1.PodSecurityContext{RunAsUser: &user, FSGroup: &user},
			Volumes: []corev1.Volume{
				{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "prometheus"}}}},
				{Name: "data", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
			},
		},
	}, metav1.CreateOptions{}))(t)
	eventually(t, time.Minute, "Prometheus", func(ctx context.Context) error {
		pod, err := c.CoreV1().Pods(namespace).Get(ctx, "prometheus", metav1.GetOptions{})
		if err == nil && !ready(pod) {
			err = fmt.Errorf("it is %s", pod.Status.Phase)
		}
		return err
	})
	return &server{c, namespace}
}

// A sample is one of a query's results.
type sample struct {
	labels map[string]string
	value  string
}

func (s *server) query(ctx context.Context, expr string) ([]sample, error) {
	raw, err := s.CoreV1().RESTClient().Get().Namespace(s.namespace).Resource("pods").Name("prometheus:9090").SubResource("proxy").
		Suffix("api/v1/query").Param("query", expr).DoRaw(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", expr, err, raw)
	}
	var answer struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any
			}
		}
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return nil, fmt.Errorf("%s: %w in %s", expr, err, raw)
	}
	var samples []sample
	for _, r := range answer.Data.Result {
		samples = append(samples, sample{r.Metric, fmt.Sprint(r.Value[1])})
	}
	return samples, nil
}

// wait until all of these alerts fire, or none of them is left.
func (s *server) wait(t *testing.T, alerts []string, firing bool) {
	t.Helper()
	eventually(t, 3*time.Minute, fmt.Sprintf("%v firing: %t", alerts, firing), func(ctx context.Context) error {
		state := ""
		if firing {
			state = `,alertstate="firing"`
		}
		found, err := s.query(ctx, fmt.Sprintf(`count by (alertname) (ALERTS{alertname=~%q%s})`, strings.Join(alerts, "|"), state))
		if err != nil {
			return err
		}
		if firing && len(found) < len(alerts) || !firing && len(found) > 0 {
			return fmt.Errorf("there are %v", found)
		}
		return nil
	})
}

// dashboards asks every query of every dashboard, with its variables as Grafana puts them in.
func (s *server) dashboards(t *testing.T, namespace string) {
	t.Helper()
	files := must(filepath.Glob(filepath.Join(chart, "files/dashboards/*.json")))(t)
	variables := strings.NewReplacer("$namespace", namespace, "$job", ".*", "$pod", ".*", "$__rate_interval", "20s", "$__interval", "20s", "$__range", "1m")
	// A few scrapes of what has just begun.
	time.Sleep(10 * time.Second)
	asked := 0
	var silent []string
	for _, file := range files {
		var dashboard struct {
			Panels []struct {
				Title   string
				Targets []struct{ Expr string }
			}
		}
		check(t, json.Unmarshal(must(os.ReadFile(file))(t), &dashboard))
		for _, panel := range dashboard.Panels {
			for _, target := range panel.Targets {
				asked++
				found, err := s.query(t.Context(), variables.Replace(target.Expr))
				if err != nil {
					t.Errorf("%s, %s: %v", filepath.Base(file), panel.Title, err)
				} else if len(found) == 0 {
					silent = append(silent, strings.TrimSuffix(filepath.Base(file), ".json")+": "+panel.Title)
				}
			}
		}
	}
	figure(t, "dashboard queries with data while all is well", "%d of %d; without: %v", asked-len(silent), asked, silent)
	if asked == 0 || len(silent)*4 > asked {
		t.Errorf("%d of %d queries have no data", len(silent), asked)
	}
}
