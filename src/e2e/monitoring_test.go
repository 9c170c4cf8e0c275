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

	"filippo.io/age"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"

	"jupiter-dex-integration/src/e2e/load"
)

// byState are the alerts about what only kube-state-metrics tells of.
var byState = []string{"JupiterAutoscalerAtMaximum", "JupiterBackupMissed"}

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
	// A backup each minute, into a bucket that will be there later.
	backup := "backup.enabled=true,backup.schedule=* * * * *,backup.s3.endpoint=http://s3:8080,backup.s3.bucket=backups,backup.s3.existingSecret=s3" +
		",backup.ageRecipients[0]=" + must(age.GenerateX25519Identity())(t).Recipient().String()
	c.secret(t, namespace, "s3", map[string]string{"access-key": "access", "secret-key": "secret"})
	// Prices off their peg, a pool that is none, and a quota that does not reach: causes that are values.
	wrong := values("--set-json", "priceOracle.pegs.USDC=1.1", "--set", backup, "--set", "routeOptimizer.pools.none="+solMint+",global.jupiterRequestsPerMinute=60")
	right := values("--set", backup)
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
			up, err := prometheus.query(ctx, `sum by (job) (up{job=~"`+release+`-.+"})`)
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
			if c.KubeStateMetrics == "" && slices.ContainsFunc(alerts, func(alert string) bool { return slices.Contains(byState, alert) }) {
				t.Skip("set E2E_KUBE_STATE_METRICS_IMAGE to an image of kube-state-metrics that the cluster can pull")
			}
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
		install(t, append(slices.Clone(right), "--set", "apiGateway.upstreamMode=optimized")) // the mode that uses everything
		p.under(t, load.Load{Requests: p.mixture(t), Rate: 15}, func() { prometheus.dashboards(t, namespace) })
		install(t, right)
	})
	provoke("backups into a bucket that is away", nothing, func(t *testing.T) { c.run(t, namespace, "s3", nil, "s3", "backups") },
		"JupiterBackupMissed")
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
	provoke("an RPC provider that throttles reads and has lost its stream",
		func(t *testing.T) {
			p.faults(t, map[string]any{"endpoint": "rpc/getMultipleAccounts", "kind": "status", "status": 429},
				map[string]any{"endpoint": "ws", "kind": "status", "status": 503})
			check(t, c.delete(t, "http://simulator:8080/admin/websockets", p))
		}, heal,
		"JupiterSlotLag")
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
			// Else the Deployment would roll, and keep the old ones.
			eventually(t, time.Minute, "the end of the old pods", func(ctx context.Context) error {
				pods, err := c.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/component=route-optimizer"})
				if err == nil && len(pods.Items) > 0 {
					err = fmt.Errorf("there are %d", len(pods.Items))
				}
				return err
			})
			body := []byte(`{"spec":{"replicas":2,"template":{"spec":{"containers":[{"name":"route-optimizer","args":["no-such-command"]}]}}}}`)
			must(c.AppsV1().Deployments(namespace).Patch(t.Context(), router, types.StrategicMergePatchType, body, metav1.PatchOptions{}))(t)
		},
		func(t *testing.T) {
			body := []byte(`{"spec":{"template":{"spec":{"containers":[{"name":"route-optimizer","args":null}]}}}}`)
			must(c.AppsV1().Deployments(namespace).Patch(t.Context(), router, types.StrategicMergePatchType, body, metav1.PatchOptions{}))(t)
		},
		"JupiterServiceDown")

	crowd := &client{c, namespace, "crowd"}
	provoke("a crowd for which the replicas allowed do not suffice",
		func(t *testing.T) {
			install(t, slices.Concat(right, autoscaled(3)))
			c.run(t, namespace, crowd.pod, map[string]string{"jupiter-dex-client": "true"}, "serve")
			check(t, crowd.call(t.Context(), "PUT", "load", load.Load{Requests: quotes, Rate: 120}, nil))
		},
		func(t *testing.T) { check(t, crowd.call(t.Context(), "DELETE", "load", nil, nil)) },
		"JupiterAutoscalerAtMaximum")

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
	not := slices.DeleteFunc(slices.Clone(all), func(alert string) bool { return fired[alert] })
	figure(t, "alerts fired and cleared", "%d of %d; not: %v", len(fired), len(all), not)
	for _, alert := range not {
		if c.KubeStateMetrics != "" || !slices.Contains(byState, alert) {
			t.Errorf("%s was never provoked", alert)
		}
	}
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
	if c.KubeStateMetrics != "" {
		c.startKubeStateMetrics(t, namespace)
		jobs = append(jobs, map[string]any{
			"job_name": "kube-state-metrics", "scrape_interval": "2s", "scrape_timeout": "2s", "honor_labels": true,
			"static_configs": []any{map[string]any{"targets": []string{"kube-state-metrics:8080"}}},
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
	c.apply(t, namespace, object("ConfigMap", "v1", "prometheus", map[string]any{"data": map[string]any{"prometheus.yaml": string(config), "rules.yaml": string(groups)}}))
	container := c.probeContainer("--config.file=/etc/prometheus/prometheus.yaml", "--storage.tsdb.path=/prometheus")
	container.Image = c.Prometheus
	container.ReadinessProbe = &corev1.Probe{PeriodSeconds: 1, ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/-/ready", Port: intstr.FromInt32(9090)}}}
	container.VolumeMounts = []corev1.VolumeMount{{Name: "config", MountPath: "/etc/prometheus"}, {Name: "data", MountPath: "/prometheus"}}
	c.watcher(t, namespace, "prometheus", container, []any{
		map[string]any{"apiGroups": []any{""}, "resources": []any{"services", "pods", "endpoints"}, "verbs": []any{"get", "list", "watch"}},
		map[string]any{"apiGroups": []any{"discovery.k8s.io"}, "resources": []any{"endpointslices"}, "verbs": []any{"get", "list", "watch"}},
	}, corev1.Volume{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "prometheus"}}}},
		corev1.Volume{Name: "data", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}})
	return &server{c, namespace}
}

// startKubeStateMetrics has it tell of one namespace's autoscalers and CronJobs, as the alerts need it.
func (c *cluster) startKubeStateMetrics(t *testing.T, namespace string) {
	t.Helper()
	container := c.probeContainer("--namespaces="+namespace, "--resources=cronjobs,horizontalpodautoscalers", "--port=8080")
	container.Image = c.KubeStateMetrics
	container.ReadinessProbe = &corev1.Probe{PeriodSeconds: 1, ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/metrics", Port: intstr.FromInt32(8080)}}}
	c.apply(t, namespace, object("Service", "v1", "kube-state-metrics", map[string]any{"spec": map[string]any{
		"selector": map[string]any{"e2e": "kube-state-metrics"}, "ports": []any{map[string]any{"port": int64(8080)}},
	}}))
	c.watcher(t, namespace, "kube-state-metrics", container, []any{
		map[string]any{"apiGroups": []any{"batch"}, "resources": []any{"cronjobs"}, "verbs": []any{"list", "watch"}},
		map[string]any{"apiGroups": []any{"autoscaling"}, "resources": []any{"horizontalpodautoscalers"}, "verbs": []any{"list", "watch"}},
	})
}

// watcher runs a container that may read some of what its namespace has, and waits until it is ready.
func (c *cluster) watcher(t *testing.T, namespace, name string, container corev1.Container, rules []any, volumes ...corev1.Volume) {
	t.Helper()
	c.apply(t, namespace,
		object("ServiceAccount", "v1", name, nil),
		object("Role", "rbac.authorization.k8s.io/v1", name, map[string]any{"rules": rules}),
		object("RoleBinding", "rbac.authorization.k8s.io/v1", name, map[string]any{
			"roleRef":  map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
			"subjects": []any{map[string]any{"kind": "ServiceAccount", "name": name, "namespace": namespace}},
		}))
	container.Name, container.ImagePullPolicy = name, corev1.PullIfNotPresent
	user := int64(65534)
	must(c.CoreV1().Pods(namespace).Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"e2e": name}},
		Spec: corev1.PodSpec{
			ServiceAccountName: name, Containers: []corev1.Container{container}, Volumes: volumes,
			SecurityContext: &corev1.PodSecurityContext{RunAsUser: &user, FSGroup: &user},
		},
	}, metav1.CreateOptions{}))(t)
	eventually(t, time.Minute, name, func(ctx context.Context) error {
		pod, err := c.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
		if err == nil && !ready(pod) {
			err = fmt.Errorf("it is %s", pod.Status.Phase)
		}
		return err
	})
}

// object is one of a kind.
func object(kind, version, name string, more map[string]any) *unstructured.Unstructured {
	o := map[string]any{"apiVersion": version, "kind": kind, "metadata": map[string]any{"name": name}}
	maps.Copy(o, more)
	return &unstructured.Unstructured{Object: o}
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

// dashboards asks every query of every dashboard, with its variables as Grafana puts them in, until all have data.
func (s *server) dashboards(t *testing.T, namespace string) {
	t.Helper()
	type query struct{ panel, expr string }
	var queries []query
	variables := strings.NewReplacer("$namespace", namespace, "$job", ".*", "$pod", ".*", "$__rate_interval", "20s", "$__interval", "20s", "$__range", "1m")
	for _, file := range must(filepath.Glob(filepath.Join(chart, "files/dashboards/*.json")))(t) {
		var dashboard struct {
			Panels []struct {
				Title   string
				Targets []struct{ Expr string }
			}
		}
		check(t, json.Unmarshal(must(os.ReadFile(file))(t), &dashboard))
		for _, panel := range dashboard.Panels {
			for _, target := range panel.Targets {
				queries = append(queries, query{strings.TrimSuffix(filepath.Base(file), ".json") + ": " + panel.Title, variables.Replace(target.Expr)})
			}
		}
	}
	if len(queries) == 0 {
		t.Fatal("the chart has no dashboards")
	}
	eventually(t, time.Minute, "dashboards", func(ctx context.Context) error {
		var silent []string
		for _, q := range queries {
			found, err := s.query(ctx, q.expr)
			if err != nil {
				return fmt.Errorf("%s: %w", q.panel, err)
			}
			if len(found) == 0 {
				silent = append(silent, q.panel)
			}
		}
		if len(silent) > 0 {
			return fmt.Errorf("%d of %d queries have no data: %q", len(silent), len(queries), silent)
		}
		return nil
	})
	figure(t, "dashboard queries with data while all is well", "%d of %[1]d", len(queries))
}
