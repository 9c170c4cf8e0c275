//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The table of who may talk to whom is computed from the rendered policies. Here every arrow of it is drawn on the wire, from the
// real pods, and every one that is missing in it is tried as well.
func TestEveryAllowedConnectionConnectsAndNoOther(t *testing.T) {
	t.Parallel() // mostly waits
	c := connect(t)
	table := reachTable(t, root+"/environments/devnet/golden/reach.md")

	namespace := c.devnet(t, "reach")
	elsewhere := c.namespace(t, "elsewhere")
	c.run(t, elsewhere, "stranger", nil, "serve")

	// Where to: everything that listens.
	type place struct{ name, address, port string }
	var targets []place
	for _, component := range []string{"api-gateway", "price-oracle", "route-optimizer"} {
		ip := c.pods(t, namespace, component)[0].Status.PodIP
		targets = append(targets, place{component, ip + ":8080", "8080/TCP"}, place{component, ip + ":9090", "9090/TCP"})
	}
	redis := must(c.CoreV1().Pods(namespace).Get(t.Context(), release+"-redis-master-0", metav1.GetOptions{}))(t)
	redisName := redis.Labels["app.kubernetes.io/name"] + "-" + redis.Labels["app.kubernetes.io/component"] // as the table calls it
	dns := must(c.CoreV1().Pods("kube-system").List(t.Context(), metav1.ListOptions{LabelSelector: "k8s-app=kube-dns"}))(t)
	stranger := must(c.CoreV1().Pods(elsewhere).Get(t.Context(), "stranger", metav1.GetOptions{}))(t)
	api := must(c.CoreV1().Services("default").Get(t.Context(), "kubernetes", metav1.GetOptions{}))(t)
	targets = append(targets,
		place{redisName, redis.Status.PodIP + ":6379", "6379/TCP"},
		place{"dns", dns.Items[0].Status.PodIP + ":53", "53/TCP"},
		place{"a pod elsewhere", stranger.Status.PodIP + ":8080", "8080/TCP"},
		place{"the API server", api.Spec.ClusterIP + ":443", "443/TCP"})
	var addresses []string
	for _, to := range targets {
		addresses = append(addresses, to.address)
	}

	allowed := func(from string, to place) bool {
		if to.name == "dns" {
			return table[arrow{from, "pods with k8s-app=kube-dns of namespace kube-system", to.port}]
		}
		return table[arrow{from, to.name, to.port}]
	}

	var tried, open int
	compare := func(t *testing.T, from string, allowed func(place) bool, attempts map[string]string) {
		t.Helper()
		for _, to := range targets {
			if to.name == from {
				continue // a pod may always talk to itself
			}
			err, asked := attempts[to.address]
			tried++
			switch want := allowed(to); {
			case !asked:
				t.Errorf("%s → %s %s was not tried", from, to.name, to.port)
			case want && err != "":
				t.Errorf("%s → %s %s is allowed and does not connect: %s", from, to.name, to.port, err)
			case !want && err == "":
				t.Errorf("%s → %s %s connects and is not allowed", from, to.name, to.port)
			case want:
				open++
			}
		}
	}
	began := time.Now()
	fromPods := map[string]string{redisName: redis.Name}
	for _, component := range []string{"api-gateway", "price-oracle", "route-optimizer"} {
		fromPods[component] = c.pods(t, namespace, component)[0].Name
	}
	for component, pod := range fromPods {
		compare(t, component, func(to place) bool { return allowed(component, to) }, c.connectFromInside(t, namespace, pod, addresses))
	}
	compare(t, "price-update", func(to place) bool { return allowed("price-update", to) }, c.connectFromJob(t, namespace, release+"-price-update", addresses))

	clients := func(to place) bool {
		return to.name == "api-gateway" && to.port == "8080/TCP" || to.name == "dns" || to.name == "a pod elsewhere" || to.name == "the API server"
	}
	strangers := func(to place) bool { return clients(to) && to.name != "api-gateway" }
	label := map[string]string{"jupiter-dex-client": "true"}
	compare(t, "a client in the namespace", clients, c.connectFromNewPod(t, namespace, label, addresses))
	compare(t, "a client elsewhere", clients, c.connectFromNewPod(t, elsewhere, label, addresses))
	compare(t, "a stranger in the namespace", strangers, c.connectFromNewPod(t, namespace, nil, addresses))
	compare(t, "a stranger elsewhere", strangers, c.connectFromNewPod(t, elsewhere, nil, addresses))
	figure(t, "connections tried", "%d from 9 kinds of pods to %d ports: %d open, %d closed, in %s", tried, len(targets), open, tried-open, seconds(began))
}

// An arrow is a cell of the table: from may connect to to on a port, such as 8080/TCP.
type arrow struct{ from, to, port string }

// reachTable reads the table that the harness keeps of an overlay's policies.
func reachTable(t *testing.T, file string) map[arrow]bool {
	t.Helper()
	table := map[arrow]bool{}
	for line := range strings.Lines(string(must(os.ReadFile(file))(t))) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 3 {
			continue
		}
		for port := range strings.SplitSeq(cells[2], ",") {
			table[arrow{strings.TrimSpace(cells[0]), strings.TrimSpace(cells[1]), strings.TrimSpace(port)}] = true
		}
	}
	if len(table) < 5 {
		t.Fatalf("%s holds no table", file)
	}
	return table
}

// devnet brings up environments/devnet with a simulator (the kustomization in simulated) in a namespace of its own.
func (c *cluster) devnet(t *testing.T, name string) string {
	t.Helper()
	namespace := c.namespace(t, name)
	manifest := output(t, ".", "kustomize", "build", "--enable-helm", "--helm-command", must(absolute("build/bin/helm4"))(t), "simulated")
	manifest = bytes.ReplaceAll(manifest, []byte(registry), []byte(c.Registry))
	manifest = bytes.ReplaceAll(manifest, []byte("jupiter-dex-devnet"), []byte(namespace))
	for _, object := range decode(t, manifest) {
		if object.GetKind() != "Namespace" {
			c.apply(t, namespace, object)
		}
	}
	c.settled(t, namespace)
	return namespace
}

// connectFromInside tries addresses from within a running pod, by a container that joins it.
func (c *cluster) connectFromInside(t *testing.T, namespace, name string, addresses []string) map[string]string {
	t.Helper()
	pod := must(c.CoreV1().Pods(namespace).Get(t.Context(), name, metav1.GetOptions{}))(t)
	p := c.probeContainer(append([]string{"connect", "0s"}, addresses...)...)
	pod.Spec.EphemeralContainers = append(pod.Spec.EphemeralContainers, corev1.EphemeralContainer{EphemeralContainerCommon: corev1.EphemeralContainerCommon{
		Name: p.Name, Image: p.Image, ImagePullPolicy: p.ImagePullPolicy, Args: p.Args, SecurityContext: p.SecurityContext,
	}})
	must(c.CoreV1().Pods(namespace).UpdateEphemeralContainers(t.Context(), name, pod, metav1.UpdateOptions{}))(t)
	return c.attempts(t, namespace, name, func(pod *corev1.Pod) []corev1.ContainerStatus { return pod.Status.EphemeralContainerStatuses })
}

// settle is how long a new pod waits for the network plugin to hear of it: until then plugins differ in what they let through.
const settle = 10 * time.Second

// connectFromJob tries them from a pod that a CronJob makes, but for its program.
func (c *cluster) connectFromJob(t *testing.T, namespace, cron string, addresses []string) map[string]string {
	t.Helper()
	template := must(c.BatchV1().CronJobs(namespace).Get(t.Context(), cron, metav1.GetOptions{}))(t).Spec.JobTemplate.Spec.Template
	template.Spec.Containers = []corev1.Container{c.probeContainer(append([]string{"connect", settle.String()}, addresses...)...)}
	must(c.BatchV1().Jobs(namespace).Create(t.Context(), &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "connect"}, Spec: batchv1.JobSpec{Template: template}}, metav1.CreateOptions{}))(t)
	var pod string
	eventually(t, time.Minute, "the job's pod", func(ctx context.Context) error {
		pods, err := c.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: batchv1.JobNameLabel + "=connect"})
		if err == nil && len(pods.Items) == 0 {
			err = fmt.Errorf("none yet")
		}
		if err == nil {
			pod = pods.Items[0].Name
		}
		return err
	})
	return c.attempts(t, namespace, pod, containerStatuses)
}

// connectFromNewPod tries them from a pod with these labels.
func (c *cluster) connectFromNewPod(t *testing.T, namespace string, labels map[string]string, addresses []string) map[string]string {
	t.Helper()
	no := false
	pod := must(c.CoreV1().Pods(namespace).Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "connect-", Labels: labels},
		Spec: corev1.PodSpec{AutomountServiceAccountToken: &no, RestartPolicy: corev1.RestartPolicyNever,
			Containers: []corev1.Container{c.probeContainer(append([]string{"connect", settle.String()}, addresses...)...)}},
	}, metav1.CreateOptions{}))(t)
	return c.attempts(t, namespace, pod.Name, containerStatuses)
}

func containerStatuses(pod *corev1.Pod) []corev1.ContainerStatus { return pod.Status.ContainerStatuses }

// attempts waits for a probe that connects, and returns the error by address.
func (c *cluster) attempts(t *testing.T, namespace, name string, statuses func(*corev1.Pod) []corev1.ContainerStatus) map[string]string {
	t.Helper()
	eventually(t, time.Minute, "the probe in "+name, func(ctx context.Context) error {
		pod, err := c.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, status := range statuses(pod) {
			if status.Name == "probe" && status.State.Terminated != nil {
				return nil
			}
		}
		return fmt.Errorf("it has not ended: %+v", statuses(pod))
	})
	errors := map[string]string{}
	for _, line := range must(c.logs(t.Context(), namespace, name, "probe"))(t) {
		var attempt struct{ Address, Error string }
		if err := json.Unmarshal(line, &attempt); err != nil {
			t.Fatalf("%s: %v in %s", name, err, line)
		}
		errors[attempt.Address] = attempt.Error
	}
	return errors
}
