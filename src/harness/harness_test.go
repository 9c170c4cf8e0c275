package harness

import "testing"

// TestRepository is the harness at work: every overlay of this repository keeps every rule.
func TestRepository(t *testing.T) {
	r, findings := judge(t, repository)
	for _, f := range findings {
		t.Errorf("%s: %s\n\tfix: %s", f.Rule, f, f.Fix)
	}
	for _, o := range r.Overlays {
		t.Logf("%s: %d objects", o.Name, len(o.Objects))
	}
	t.Logf("rendered in %s, decoded in %s", r.Rendered, r.Decoded)
}
