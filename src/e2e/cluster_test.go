//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caarlos0/env/v11"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
)

// settings are the environment of the tests, which scripts/e2e sets.
type settings struct {
	// Registry is what stands for registry.example.com/jupiter-dex in the images' names, as the nodes see it.
	Registry string `env:"E2E_REGISTRY" envDefault:"registry.example.com/jupiter-dex"`
	// Images is a file of the form of environments/devnet/images.yaml with the digests to run. Without it the tags decide.
	Images string `env:"E2E_IMAGES"`
	// GitURL is the repository that Argo CD is to sync, GitPushURL the same as this process writes to it.
	GitURL     string `env:"E2E_GIT_URL"`
	GitPushURL string `env:"E2E_GIT_PUSH_URL"`
	// Etcd is the HTTP address of the cluster's etcd.
	Etcd string `env:"E2E_ETCD"`
	// Prometheus is an image of it, KubeStateMetrics one of that.
	Prometheus       string `env:"E2E_PROMETHEUS_IMAGE"`
	KubeStateMetrics string `env:"E2E_KUBE_STATE_METRICS_IMAGE"`
	// RestartKubelet is a command for sh that restarts the kubelet of the node named by NODE.
	RestartKubelet string `env:"E2E_RESTART_KUBELET"`
	// Keep leaves the namespaces of failed tests for a look.
	Keep bool `env:"E2E_KEEP"`
}

const (
	root     = "../.." // tests run in their package's directory
	chart    = root + "/charts/jupiter-dex-integration"
	release  = "jupiter-dex-integration"
	gateway  = release + "-api-gateway"
	oracle   = release + "-price-oracle"
	router   = release + "-route-optimizer"
	registry = "registry.example.com/jupiter-dex"
)

// A cluster is the one that the tests run on.
type cluster struct {
	settings
	*kubernetes.Clientset
	dynamic dynamic.Interface
	mapper  meta.ResettableRESTMapper
}

// connect skips nothing: whoever builds with the tag wants the tests.
func connect(t *testing.T) *cluster {
	t.Helper()
	var c cluster
	if err := env.Parse(&c.settings); err != nil {
		t.Fatal(err)
	}
	if c.Images != "" {
		absolute, err := filepath.Abs(filepath.Join(root, c.Images))
		if err != nil {
			t.Fatal(err)
		}
		c.Images = absolute
	}
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(clientcmd.NewDefaultClientConfigLoadingRules(), nil).ClientConfig()
	if err != nil {
		t.Fatalf("no cluster: %v; set KUBECONFIG", err)
	}
	config.QPS = -1 // the API server's own fairness is enough
	c.Clientset = must(kubernetes.NewForConfig(config))(t)
	c.dynamic = must(dynamic.NewForConfig(config))(t)
	c.mapper = restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(c.Clientset.Discovery()))
	return &c
}

// must fails the test on an error: must(f())(t).
func must[T any](value T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

// figure is a line of the table that scripts/e2e prints at the end.
func figure(t *testing.T, what string, format string, args ...any) {
	t.Helper()
	t.Logf("FIGURE | %s | %s", what, fmt.Sprintf(format, args...))
}

// seconds is how a figure says how long something took.
func seconds(since time.Time) string { return fmt.Sprintf("%.1f s", time.Since(since).Seconds()) }

// eventually asks until it gets no error, and fails the test with the last one.
func eventually(t *testing.T, limit time.Duration, what string, ask func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	var last error
	for {
		err := ask(ctx)
		if err == nil {
			return
		}
		if ctx.Err() == nil || last == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: not within %s: %v", what, limit, last)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// namespace makes one for a test, and takes it away afterwards with all that is in it.
func (c *cluster) namespace(t *testing.T, name string) string {
	t.Helper()
	created, err := c.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		GenerateName: "e2e-" + name + "-",
		Labels:       map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
	}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.removeNamespace(t, created.Name) })
	return created.Name
}

func (c *cluster) removeNamespace(t *testing.T, name string) {
	if t.Failed() {
		c.describe(t, name)
		if c.Keep {
			t.Logf("kept namespace %s", name)
			return
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	now := int64(0)
	err := errors.Join(
		ignoreNotFound(c.CoreV1().Namespaces().Delete(ctx, name, metav1.DeleteOptions{})),
		// Nobody is served here any more: the pods need not drain.
		ignoreNotFound(c.CoreV1().Pods(name).DeleteCollection(ctx, metav1.DeleteOptions{GracePeriodSeconds: &now}, metav1.ListOptions{})),
	)
	for err == nil {
		if _, err = c.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{}); err != nil {
			break
		}
		select {
		case <-ctx.Done():
			err = ctx.Err()
		case <-time.After(500 * time.Millisecond):
		}
	}
	if !apierrors.IsNotFound(err) {
		t.Errorf("namespace %s is not gone: %v", name, err)
	}
}

func ignoreNotFound(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// describe logs what a failed test leaves: the state of every pod, and the end of the logs of those that are not well.
func (c *cluster) describe(t *testing.T, namespace string) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	pods, err := c.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Log(err)
		return
	}
	lines := int64(15)
	for _, pod := range pods.Items {
		t.Logf("pod %s %s ready=%v %s", pod.Name, pod.Status.Phase, ready(&pod), pod.Status.Message)
		for _, status := range pod.Status.ContainerStatuses {
			if status.State.Waiting != nil {
				t.Logf("  %s waits: %s %s", status.Name, status.State.Waiting.Reason, status.State.Waiting.Message)
			}
			if !status.Ready {
				log, _ := c.CoreV1().Pods(namespace).GetLogs(pod.Name, &corev1.PodLogOptions{Container: status.Name, TailLines: &lines}).DoRaw(ctx)
				t.Logf("%s", log)
			}
		}
	}
}

func ready(pod *corev1.Pod) bool {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

// output runs a program of this repository's toolbox, and returns what it prints.
func output(t *testing.T, dir, name string, args ...string) []byte {
	t.Helper()
	if tool := filepath.Join(root, "build/bin", name); exists(tool) {
		name = must(filepath.Abs(tool))(t)
	}
	command := exec.CommandContext(t.Context(), name, args...)
	command.Dir = dir
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%s %s: %v: %s%s", filepath.Base(name), strings.Join(args, " "), err, out, stderr.Bytes())
	}
	return out
}

// absolute is a path of the repository.
func absolute(file string) (string, error) { return filepath.Abs(filepath.Join(root, file)) }

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// decode reads a stream of YAML.
func decode(t *testing.T, manifest []byte) []*unstructured.Unstructured {
	t.Helper()
	var objects []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(manifest), 4096)
	for {
		object := new(unstructured.Unstructured)
		err := decoder.Decode(&object.Object)
		if errors.Is(err, io.EOF) {
			return objects
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(object.Object) > 0 {
			objects = append(objects, object)
		}
	}
}

// apply puts objects into a namespace, server-side.
func (c *cluster) apply(t *testing.T, namespace string, objects ...*unstructured.Unstructured) {
	t.Helper()
	for _, object := range objects {
		resource := c.resource(t, object, namespace)
		if _, err := resource.Apply(t.Context(), object.GetName(), object, metav1.ApplyOptions{FieldManager: "e2e", Force: true}); err != nil {
			t.Fatalf("applying %s %s: %v", object.GetKind(), object.GetName(), err)
		}
	}
}

// resource is where an object is to be found.
func (c *cluster) resource(t *testing.T, object *unstructured.Unstructured, namespace string) dynamic.ResourceInterface {
	t.Helper()
	gvk := object.GroupVersionKind()
	mapping, err := c.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		t.Fatal(err)
	}
	if mapping.Scope.Name() == meta.RESTScopeNameRoot {
		return c.dynamic.Resource(mapping.Resource)
	}
	if namespace == "" {
		namespace = object.GetNamespace()
	}
	return c.dynamic.Resource(mapping.Resource).Namespace(namespace)
}

// settled waits until every Deployment and StatefulSet of a namespace runs what it says and every pod is ready.
func (c *cluster) settled(t *testing.T, namespace string) {
	t.Helper()
	eventually(t, 2*time.Minute, "rollout in "+namespace, func(ctx context.Context) error { return c.unsettled(ctx, namespace) })
}

// unsettled is nil when everything runs.
func (c *cluster) unsettled(ctx context.Context, namespace string) error {
	deployments, err := c.AppsV1().Deployments(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	sets, err := c.AppsV1().StatefulSets(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	scalers, err := c.AutoscalingV2().HorizontalPodAutoscalers(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	least := map[string]int32{} // an autoscaled Deployment begins with one replica
	for _, scaler := range scalers.Items {
		least[scaler.Spec.ScaleTargetRef.Name] = *scaler.Spec.MinReplicas
	}
	for _, d := range deployments.Items {
		s := d.Status
		if *d.Spec.Replicas < least[d.Name] {
			return fmt.Errorf("deployment %s has %d replicas, its autoscaler wants %d at the least", d.Name, *d.Spec.Replicas, least[d.Name])
		}
		if want := *d.Spec.Replicas; s.ObservedGeneration < d.Generation || s.UpdatedReplicas != want || s.ReadyReplicas != want || s.Replicas != want {
			return fmt.Errorf("deployment %s has %d of %d replicas ready, %d of them updated", d.Name, s.ReadyReplicas, want, s.UpdatedReplicas)
		}
	}
	for _, d := range sets.Items {
		if want := *d.Spec.Replicas; d.Status.ObservedGeneration < d.Generation || d.Status.ReadyReplicas != want || d.Status.CurrentRevision != d.Status.UpdateRevision {
			return fmt.Errorf("stateful set %s has %d of %d replicas ready", d.Name, d.Status.ReadyReplicas, want)
		}
	}
	return nil
}

// pods of one component, those that are going left out.
func (c *cluster) pods(t *testing.T, namespace, component string) []corev1.Pod {
	t.Helper()
	list, err := c.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/component=" + component})
	if err != nil {
		t.Fatal(err)
	}
	var pods []corev1.Pod
	for _, pod := range list.Items {
		if pod.DeletionTimestamp == nil && pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed {
			pods = append(pods, pod)
		}
	}
	return pods
}

// identities tell whether pods have been replaced or restarted.
func (c *cluster) identities(t *testing.T, namespace string) map[string]string {
	t.Helper()
	list, err := c.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]string{}
	for _, pod := range list.Items {
		if len(pod.OwnerReferences) == 0 || pod.OwnerReferences[0].Kind == "Job" {
			continue
		}
		restarts := int32(0)
		for _, status := range pod.Status.ContainerStatuses {
			restarts += status.RestartCount
		}
		known[pod.Name] = fmt.Sprintf("%s, %d restarts", pod.UID, restarts)
	}
	return known
}

// helm renders the chart.
func (c *cluster) helm(t *testing.T, namespace, chart string, args ...string) []*unstructured.Unstructured {
	t.Helper()
	args = append([]string{"template", release, must(filepath.Abs(chart))(t), "--namespace", namespace, "--set", "global.imageRegistry=" + c.Registry}, args...)
	return decode(t, output(t, root, "helm4", args...))
}

// replicated brings up the tier of replicated.yaml, and a simulator, in a namespace of its own.
func (c *cluster) replicated(t *testing.T, name string, args ...string) (namespace string) {
	t.Helper()
	namespace = c.namespace(t, name)
	began := time.Now()
	c.secret(t, namespace, "jupiter", map[string]string{"jupiter-api-key": "first-key"})
	c.apply(t, namespace, c.simulator(t)...)
	c.apply(t, namespace, c.helm(t, namespace, chart, c.values(t, args...)...)...)
	c.settled(t, namespace)
	t.Logf("the tier is ready after %s", seconds(began))
	return namespace
}

// values are the arguments that render replicated.yaml.
func (c *cluster) values(t *testing.T, args ...string) []string {
	t.Helper()
	values := []string{"--values", must(filepath.Abs("replicated.yaml"))(t)}
	if c.Images != "" {
		values = append(values, "--values", c.Images)
	}
	return append(values, args...)
}

func (c *cluster) simulator(t *testing.T) []*unstructured.Unstructured {
	t.Helper()
	manifest := must(os.ReadFile("simulator/simulator.yaml"))(t)
	return decode(t, bytes.ReplaceAll(manifest, []byte(registry), []byte(c.Registry)))
}

func (c *cluster) secret(t *testing.T, namespace, name string, data map[string]string) {
	t.Helper()
	c.apply(t, namespace, &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": name}, "stringData": anyMap(data),
	}})
}

func anyMap(in map[string]string) map[string]any {
	out := map[string]any{}
	for key, value := range in {
		out[key] = value
	}
	return out
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
