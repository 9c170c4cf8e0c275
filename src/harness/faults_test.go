package harness

import (
	"os"
	"path/filepath"
	"testing"
)

// repository is the root of this repository, whose tools the tests use.
const repository = "../.."

// judge renders a repository and applies every rule.
func judge(t *testing.T, root string, overlays ...string) (*Render, []Finding) {
	t.Helper()
	r, err := Load(t.Context(), Options{Root: root, Tools: repository, Overlays: overlays})
	if err != nil {
		t.Fatal(err)
	}
	return r, Judge(r, Rules())
}

func TestGoodRepositoryHasNoFindings(t *testing.T) {
	r, findings := judge(t, "testdata/good")
	for _, f := range findings {
		t.Errorf("%s: %s", f.Rule, f)
	}
	for _, o := range r.Overlays {
		if len(o.Objects) == 0 {
			t.Errorf("%s rendered nothing", o.Name)
		}
	}
	t.Logf("%d overlays rendered in %s, decoded in %s", len(r.Overlays), r.Rendered, r.Decoded)
}

var _ = os.ReadFile
var _ = filepath.Join
