package harness

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestGoldenRendersAreCurrent keeps what reviewers read equal to what is rendered.
func TestGoldenRendersAreCurrent(t *testing.T) {
	r, err := Load(t.Context(), Options{Root: repository, Plain: true})
	if err != nil {
		t.Fatal(err)
	}
	stale, err := r.GoldenChanges()
	if err != nil {
		t.Fatal(err)
	}
	if len(stale) > 0 {
		t.Errorf("run `make golden`, read what changed and commit it: %d files are not what is rendered:\n\t%s", len(stale), strings.Join(stale, "\n\t"))
	}
}

func TestGoldenFilesFollowTheRender(t *testing.T) {
	root := t.TempDir()
	if err := os.CopyFS(root, os.DirFS("testdata/good")); err != nil {
		t.Fatal(err)
	}
	stale := func() []string {
		t.Helper()
		r, err := Load(t.Context(), Options{Root: root, Tools: repository, Overlays: []string{"plain"}, Plain: true})
		if err != nil {
			t.Fatal(err)
		}
		stale, err := r.GoldenChanges()
		if err != nil {
			t.Fatal(err)
		}
		if err := r.WriteGolden(); err != nil {
			t.Fatal(err)
		}
		return stale
	}
	if len(stale()) == 0 {
		t.Error("missing files are not missed")
	}
	if diff := cmp.Diff([]string(nil), stale()); diff != "" {
		t.Errorf("just written (-want +got):\n%s", diff)
	}
	left := filepath.Join(root, "environments/plain/golden/service.gone.yaml")
	if err := os.WriteFile(left, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"environments/plain/golden/service.gone.yaml"}, stale()); diff != "" {
		t.Errorf("an object that is gone (-want +got):\n%s", diff)
	}
}

func TestGoldenFilesLeaveOutNoiseAndSecrets(t *testing.T) {
	long := strings.Repeat("a line of a dashboard\n", 300)
	o := &Overlay{Name: "x", Objects: Decode([]byte(`
apiVersion: v1
kind: Secret
metadata: {name: a, labels: {helm.sh/chart: chart-1.2.3, app: a}}
stringData: {key: hunter2}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: a}
data: {LEVEL: info, dashboard.json: "` + strings.ReplaceAll(long, "\n", `\n`) + `"}
---
apiVersion: example.com/v1
kind: ConfigMap
metadata: {name: "a"}
`))}
	files, err := o.Golden()
	if err != nil {
		t.Fatal(err)
	}
	secret, config := string(files["secret.a.yaml"]), string(files["configmap.a.yaml"])
	for _, want := range []string{"app: a\n", "key: (not shown)\n"} {
		if !strings.Contains(secret, want) {
			t.Errorf("lacks %q:\n%s", want, secret)
		}
	}
	for _, noise := range []string{"hunter2", "1.2.3"} {
		if strings.Contains(secret, noise) {
			t.Errorf("holds %q:\n%s", noise, secret)
		}
	}
	if !strings.Contains(config, "LEVEL: info\n") || !strings.Contains(config, "dashboard.json: (6600 bytes, sha256 ") {
		t.Error(config)
	}
	if files["configmap.a.example.com..yaml"] == nil {
		t.Errorf("an object of the same name in another group is lost: %d files", len(files))
	}
}

// TestReach derives who may talk to whom from both sides' policies.
func TestReach(t *testing.T) {
	pod := func(name string, ports string) string {
		return "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: shop-" + name + ", namespace: shop}\nspec: {template: {metadata: {labels: {app: " + name + ", app.kubernetes.io/instance: shop}}, spec: {containers: [{name: c, ports: [" + ports + "]}]}}}\n---\n"
	}
	policy := func(app, spec string) string {
		return "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: " + app + ", namespace: shop}\nspec: {podSelector: {matchLabels: {app: " + app + "}}, policyTypes: [Ingress, Egress], " + spec + "}\n---\n"
	}
	cilium := func(app, spec string) string {
		return "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: " + app + ", namespace: shop}\nspec: {endpointSelector: {matchLabels: {'k8s:app': " + app + "}}, " + spec + "}\n---\n"
	}
	web, store := pod("web", "{containerPort: 8080, name: http}"), pod("store", "{containerPort: 6379}")
	const toStore, fromWeb = "egress: [{to: [{podSelector: {matchLabels: {app: store}}}], ports: [{port: 6379}]}]", "ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]"
	for _, tt := range []struct {
		name    string
		objects string
		want    []string
	}{
		{"no policy, no limit", web, []string{"anyone → web any port", "web → anyone any port", "web → web any port"}},
		{"closed", web + policy("web", "ingress: []"), nil},
		{"both sides agree", web + store + policy("web", toStore) + policy("store", fromWeb), []string{"web → store 6379/TCP"}},
		{"one side alone opens nothing", web + store + policy("web", toStore) + policy("store", "ingress: []"), nil},
		{"the other side alone neither", web + store + policy("web", "egress: []") + policy("store", fromWeb), nil},
		{"a port that no container declares", web + store + policy("web", strings.Replace(toStore, "6379", "9999", 1)) + policy("store", fromWeb), []string{"web → store 9999/TCP"}},
		{"a named port is told by its number", web + policy("web", "ingress: [{from: [{namespaceSelector: {}}], ports: [{port: http}]}]"), []string{"every pod of any namespace → web 8080/TCP"}},
		{"addresses and their exceptions", web + policy("web", "egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8]}}], ports: [{port: 443}, {port: 8000, endPort: 8010}]}]"), []string{
			"web → 0.0.0.0/0 except 10.0.0.0/8 443/TCP", "web → 0.0.0.0/0 except 10.0.0.0/8 8000-8010/TCP",
		}},
		{"pods of others", web + policy("web", "egress: [{to: [{podSelector: {}}, {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}, podSelector: {matchLabels: {k8s-app: kube-dns}}}], ports: [{port: 53, protocol: UDP}]}]"), []string{
			"web → every pod of this namespace 53/UDP", "web → pods with k8s-app=kube-dns of namespace kube-system 53/UDP",
		}},
		{"policies add up", web + policy("web", "egress: []") + strings.Replace(policy("web", "egress: [{}]"), "name: web", "name: other", 1), []string{"web → anyone any port"}},
		{"hosts by name", web + policy("web", "egress: []") + cilium("web", "egress: [{toFQDNs: [{matchName: api.example.com}, {matchPattern: '*.example.org'}], toPorts: [{ports: [{port: '443', protocol: TCP}]}]}]"), []string{
			"web → host *.example.org 443/TCP", "web → host api.example.com 443/TCP",
		}},
		{"Cilium's labels of pods, on both sides", web + store + cilium("web", "ingress: [], egress: [{toEndpoints: [{matchLabels: {'any:app': store}}], toPorts: [{ports: [{port: '6379'}]}]}]") +
			cilium("store", "ingress: [{fromEndpoints: [{matchExpressions: [{key: 'k8s:app', operator: In, values: [web]}]}]}], egress: []"), []string{"web → store 6379/TCP"}},
		{"Cilium's side alone opens nothing", web + store + cilium("web", "ingress: [], egress: [{toEndpoints: [{}]}]") + policy("store", "ingress: []"), []string{"web → every pod of this namespace any port"}},
		{"Cilium's policy adds to the other", web + store + policy("web", "egress: []") + cilium("web", "egress: [{toEndpoints: [{matchLabels: {app: store}}]}]") + policy("store", fromWeb), []string{"web → store any port"}},
		{"Cilium's labels of namespaces", web + cilium("web", "ingress: [{}], egress: [{toEndpoints: [{matchLabels: {'k8s:io.kubernetes.pod.namespace': kube-system, 'k8s:k8s-app': kube-dns}}, {matchLabels: {'k8s:io.cilium.k8s.namespace.labels.team': a}}], toPorts: [{ports: [{port: '53', protocol: ANY}]}]}]"), []string{
			"web → every pod of namespaces with team=a 53/TCP", "web → every pod of namespaces with team=a 53/UDP",
			"web → pods with k8s-app=kube-dns of namespace kube-system 53/TCP", "web → pods with k8s-app=kube-dns of namespace kube-system 53/UDP",
		}},
		{"a port for anybody", web + cilium("web", "egress: [], ingress: [{toPorts: [{ports: [{port: http, protocol: TCP}]}]}]"), []string{"anyone → web 8080/TCP"}},
		{"Cilium's addresses and entities", web + cilium("web", "ingress: [], egress: [{toCIDRSet: [{cidr: 10.0.0.0/8, except: [10.1.0.0/16]}], toEntities: [kube-apiserver]}]"), []string{
			"web → 10.0.0.0/8 except 10.1.0.0/16 any port", "web → Cilium's entity kube-apiserver any port",
		}},
		{"Cilium's whole cluster", web + store + cilium("web", "ingress: [], egress: [{toEntities: [cluster]}]") + policy("store", fromWeb), []string{
			"web → Cilium's entity cluster any port", "web → every pod of any namespace any port", "web → store any port",
		}},
		{"what is not evaluated is told", web + cilium("web", "ingress: [], egress: [{toServices: [{}]}], egressDeny: [{}]"), []string{
			"web → the denied of a Cilium policy (NOT EVALUATED) any port", "web → toServices of a Cilium policy (NOT EVALUATED) any port",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, flow := range (&Overlay{Objects: Decode([]byte(tt.objects))}).Reach() {
				got = append(got, flow.String())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
