package harness

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func TestLoadSaysWhatToDo(t *testing.T) {
	for _, tt := range []struct {
		name string
		opts Options
		want string
	}{
		{"tools are missing", Options{Root: "testdata/good", Tools: t.TempDir()}, "run `make tools`"},
		{"no such overlay", Options{Root: "testdata/good", Tools: repository, Overlays: []string{"moon"}}, `no overlay "moon"; there are chart, plain`},
		{"not a repository", Options{Root: t.TempDir(), Tools: repository}, "no overlay under "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Load(t.Context(), tt.opts); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v does not say %q", err, tt.want)
			}
		})
	}
}

// What a stranger's pull request may try: one breach anywhere stops every overlay.
func TestNothingIsRenderedFromAnUnsafeTree(t *testing.T) {
	add := func(file, text string) func(root string) error {
		return func(root string) error {
			f, err := os.OpenFile(filepath.Join(root, file), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = f.WriteString(text)
			return err
		}
	}
	for name, breach := range map[string]func(root string) error{
		// Which chart a template would print it through is not known beforehand.
		"a link out of the tree":                func(root string) error { return os.Symlink("/etc/hostname", filepath.Join(root, "charts/shop/host")) },
		"a generator that fetches a chart":      add("environments/plain/kustomization.yaml", "generators: [chart.yaml]\n"),
		"a generator written in place":          add("environments/plain/kustomization.yaml", "generators:\n- |\n  apiVersion: builtin\n  kind: HelmChartInflationGenerator\n"),
		"a transformer that runs a program":     add("environments/plain/kustomization.yaml", "transformers: [program.yaml]\n"),
		"a validator that runs a program":       add("environments/plain/kustomization.yaml", "validators: [program.yaml]\n"),
		"the old field for charts":              add("environments/plain/kustomization.yaml", "helmChartInflationGenerator:\n- chartName: shop\n"),
		"plugins for Helm":                      add("environments/plain/kustomization.yaml", "helmGlobals:\n  configHome: ../../charts\n"),
		"a remote base":                         add("environments/plain/kustomization.yaml", "components: [https://example.com/base]\n"),
		"a schema in a language of its own":     withSchema(`{"$schema": "http://169.254.169.254/latest"}`),
		"a schema that refers to another":       withSchema(`{"properties": {"a": {"$ref": "http://169.254.169.254/latest"}}}`),
		"a schema that refers so when it likes": withSchema(`{"properties": {"a": {"$dynamicRef": "file:///etc/hostname"}}}`),
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			if err := os.CopyFS(root, os.DirFS("testdata/good")); err != nil {
				t.Fatal(err)
			}
			if err := breach(root); err != nil {
				t.Fatal(err)
			}
			r, findings := judge(t, root)
			for _, o := range r.all() {
				if len(o.Output) > 0 || len(o.Errors) > 0 {
					t.Errorf("%s was rendered", o.Name)
				}
			}
			if len(findings) == 0 {
				t.Error("and nothing says why not")
			}
		})
	}
}

// withSchema replaces a chart's values schema.
func withSchema(text string) func(root string) error {
	return func(root string) error {
		return os.WriteFile(filepath.Join(root, "charts/shop/values.schema.json"), []byte(text), 0o644)
	}
}

func TestSuggestionOffersOnlyCloseNames(t *testing.T) {
	known := []string{"replicaCount", "resources", "image"}
	for name, want := range map[string]string{
		"replicaCuont": `; did you mean "replicaCount"?`,
		"resource":     `; did you mean "resources"?`,
		"Image":        `; did you mean "image"?`,
		"tolerations":  "",
		"x":            "",
	} {
		if got := suggestion(name, known); got != want {
			t.Errorf("suggestion(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestValueNamesFollowsReferences(t *testing.T) {
	root := t.TempDir()
	text := `{"properties": {"a": {"$ref": "#/$defs/a"}, "self": {"$ref": "#"}},
		"$defs": {"a": {"allOf": [{"properties": {"x": {}}}, {"properties": {"y/z": {"items": {"properties": {"deep": {}}}}}}]}}}`
	if err := os.WriteFile(filepath.Join(root, "values.schema.json"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	src := &Source{Root: root, Charts: []Chart{{Dir: ".", Name: "c"}}}
	for pointer, want := range map[string][]string{
		"":            {"a", "self"},
		"/a":          {"x", "y/z"},
		"/a/y~1z/0":   {"deep"},
		"/self/self":  {"a", "self"},
		"/a/nowhere":  nil,
		"/nowhere/at": nil,
	} {
		if diff := cmp.Diff(want, valueNames(src, "c", pointer)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", pointer, diff)
		}
	}
}

func TestInClusterNames(t *testing.T) {
	for host, want := range map[string]string{
		"store":                              "store in shop",
		"store.shop":                         "store in shop",
		"store.shop.svc":                     "store in shop",
		"store.other.svc.cluster.local":      "store in other",
		"store.shop.svc.cluster.local.":      "store in shop",
		"api.jup.ag":                         "",
		"example.com":                        "", // two parts, and no namespace of ours
		"web-0.store.shop.svc.cluster.local": "", // one pod of a headless Service
	} {
		got := ""
		if service, namespace, ok := (address{host: host}).inCluster("shop"); ok {
			got = service + " in " + namespace
		}
		if got != want {
			t.Errorf("%s is %q, want %q", host, got, want)
		}
	}
}

func TestPolicyPortsCoverConnections(t *testing.T) {
	udp, end := corev1.ProtocolUDP, int32(8090)
	number, name := intstr.FromInt32(8080), intstr.FromString("http")
	http := port{corev1.ProtocolTCP, 8080, "http"}
	for _, tt := range []struct {
		name    string
		allowed networkingv1.NetworkPolicyPort
		p       port
		want    bool
	}{
		{"any port", networkingv1.NetworkPolicyPort{}, http, true},
		{"its number", networkingv1.NetworkPolicyPort{Port: &number}, http, true},
		{"its name", networkingv1.NetworkPolicyPort{Port: &name}, http, true},
		{"another protocol", networkingv1.NetworkPolicyPort{Port: &number, Protocol: &udp}, http, false},
		{"another name", networkingv1.NetworkPolicyPort{Port: &name}, port{corev1.ProtocolTCP, 8080, "web"}, false},
		{"inside a range", networkingv1.NetworkPolicyPort{Port: &number, EndPort: &end}, port{corev1.ProtocolTCP, 8085, ""}, true},
		{"above a range", networkingv1.NetworkPolicyPort{Port: &number, EndPort: &end}, port{corev1.ProtocolTCP, 8091, ""}, false},
	} {
		if got := tt.p.opens(tt.allowed); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestRandomTellsSecretsFromNames(t *testing.T) {
	for value, want := range map[string]bool{
		"4f9a1c7e2b8d4e6fa05b":                true,
		"mJ8xQ2vL9pRt4WzK":                    true,
		"jupiter-dex-integration":             false,
		"redis-password":                      false,
		"/run/secrets/jupiter-dex/api-key":    false,
		"2026-01-01-2026-02-02":               false,
		"00000000000000000000000000000000abc": false,
	} {
		if got := random(value); got != want {
			t.Errorf("random(%q) = %v, want %v", value, got, want)
		}
	}
}

func TestSecretsThatOnlyTheClusterKnowsAreTakenToBeWellFormed(t *testing.T) {
	for _, tt := range []struct {
		program string
		env     []corev1.EnvVar
	}{
		{"api-gateway", []corev1.EnvVar{{Name: "CLIENT_KEYS_FILE", Value: "/run/secrets/client-keys"}, {Name: "CLIENT_KEYS_REQUIRED", Value: "true"}}},
		{"backup", []corev1.EnvVar{
			{Name: "BACKUP_SIGNING_KEY", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{Key: "signing-key"}}},
			{Name: "BACKUP_DESTINATION", Value: "file:///backup"},
			{Name: "BACKUP_AGE_RECIPIENT", Value: "age1qyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqs3290gq"},
			{Name: "REDIS_URL", Value: "redis://redis:6379"},
		}},
	} {
		t.Run(tt.program, func(t *testing.T) {
			chosen := programs[tt.program][0]
			lines, complete := environ(&Overlay{}, corev1.Container{Env: tt.env}, chosen)
			if _, err := chosen.configure(lines); err != nil || !complete {
				t.Errorf("%v, complete %v", err, complete)
			}
		})
	}
}
