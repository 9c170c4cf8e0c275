package harness

import (
	"os"
	"strings"
	"testing"
)

// TestRepository is the harness at work: every overlay of this repository keeps every rule.
func TestRepository(t *testing.T) {
	r, findings := judge(t, repository)
	for _, f := range findings {
		t.Errorf("%s\n\trule %s: %s\n\tfix: %s", f, f.Rule, f.Reason, f.Fix)
	}
	for _, o := range r.Overlays {
		t.Logf("%s: %d objects", o.Name, len(o.Objects))
	}
	t.Logf("rendered in %s, judged by the API server's code in %s", r.Rendering, r.Judging)
}

// TestSchemasAreOfTheStatedVersions keeps what objects are checked against in step with what versions.yaml says they run on.
func TestSchemasAreOfTheStatedVersions(t *testing.T) {
	versions := read(t, repository+"/versions.yaml")
	for _, pin := range []struct{ stated, file, module, tag string }{
		{"kubernetes: 1.", repository + "/go.mod", "k8s.io/api", "v0."},
		{"kubernetes: ", "apiserver/go.mod", "k8s.io/kubernetes", "v"},
		{"argocd: ", "crds/go.mod", argoModule, ""},
		{"externalSecrets: ", "crds/go.mod", secretsModule, ""},
		{"prometheusOperator: ", "crds/go.mod", operatorModule, ""},
	} {
		_, version, found := strings.Cut(read(t, pin.file), "\t"+pin.module+" "+pin.tag)
		version, _, _ = strings.Cut(version, "\n")
		version, _, _ = strings.Cut(version, " ") // a comment
		if want := pin.stated + version + "\n"; !found || !strings.Contains(versions, want) {
			t.Errorf("versions.yaml lacks %q, which %s takes from %s", want, pin.file, pin.module)
		}
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
