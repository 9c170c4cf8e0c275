package harness

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
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
}

// TestFaults breaks the good repository in one place per file of testdata/faults and expects exactly the findings that the
// file names: the right rule, the right words, and no other.
func TestFaults(t *testing.T) {
	files, err := filepath.Glob("testdata/faults/*.diff")
	if err != nil || len(files) == 0 {
		t.Fatalf("no faults found: %v", err)
	}
	caught := map[string]bool{}
	for _, file := range files {
		fault := readFault(t, file)
		for _, line := range fault.findings {
			rule, _, _ := strings.Cut(line, ": ")
			caught[rule] = true
		}
		t.Run(strings.TrimSuffix(filepath.Base(file), ".diff"), func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			if err := os.CopyFS(root, os.DirFS("testdata/good")); err != nil {
				t.Fatal(err)
			}
			for _, edit := range fault.edits {
				if err := edit.apply(root); err != nil {
					t.Fatalf("%s does not fit testdata/good: %v", file, err)
				}
			}
			_, findings := judge(t, root, fault.overlay)
			var got []string
			for i, f := range findings {
				line := f.Rule + ": " + strings.ReplaceAll(f.String(), root, "ROOT")
				if i < len(fault.findings) && fits(fault.findings[i], line) {
					line = fault.findings[i]
				}
				got = append(got, line)
			}
			if diff := cmp.Diff(fault.findings, got); diff != "" {
				t.Errorf("%s\nfindings (-want +got):\n%s", fault.story, diff)
			}
		})
	}
	for _, rule := range Rules() {
		if !caught[rule.Name] {
			t.Errorf("no file in testdata/faults proves that the rule %s can fail", rule.Name)
		}
	}
}

// A fault file starts with what is wrong and why that matters (lines with #), may name the overlay to render (plain unless
// said otherwise), lists the findings to expect, and ends with the edits, as in a diff but found by their text, not by line:
//
//	# The Service asks for a label that no pod has.
//	overlay: plain
//	finding: selectors: plain Service/web spec.selector: no pod template carries app=wbe
//	--- environments/plain/web.yaml
//	   selector:
//	-    app: web
//	+    app: wbe
type fault struct {
	story    string
	overlay  string
	findings []string
	edits    []edit
}

// An edit replaces the one place in a file that reads old. With nothing to replace it creates the file, with nothing at
// all it deletes it; a target makes the file a symbolic link.
type edit struct{ file, target, old, new string }

func readFault(t *testing.T, file string) fault {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	f := fault{overlay: "plain"}
	for i, line := range strings.Split(strings.TrimSuffix(string(data), "\n"), "\n") {
		inEdit := len(f.edits) > 0
		switch {
		case strings.HasPrefix(line, "--- "):
			name, target, _ := strings.Cut(strings.TrimPrefix(line, "--- "), " -> ")
			f.edits = append(f.edits, edit{file: name, target: target})
		case inEdit && strings.HasPrefix(line, "-"):
			f.edits[len(f.edits)-1].old += line[1:] + "\n"
		case inEdit && strings.HasPrefix(line, "+"):
			f.edits[len(f.edits)-1].new += line[1:] + "\n"
		case inEdit && strings.HasPrefix(line, " "):
			f.edits[len(f.edits)-1].old += line[1:] + "\n"
			f.edits[len(f.edits)-1].new += line[1:] + "\n"
		case strings.HasPrefix(line, "# "):
			f.story += line[2:] + " "
		case strings.HasPrefix(line, "overlay: "):
			f.overlay = line[len("overlay: "):]
		case strings.HasPrefix(line, "finding: "):
			f.findings = append(f.findings, line[len("finding: "):])
		default:
			t.Fatalf("%s:%d: cannot read %q", file, i+1, line)
		}
	}
	if f.story == "" || len(f.findings) == 0 || len(f.edits) == 0 {
		t.Fatalf("%s: wants a story, a finding and an edit", file)
	}
	return f
}

// fits compares a finding with the expected one, in which … stands for text that differs from run to run or Helm to Helm.
func fits(want, got string) bool {
	first, rest, open := strings.Cut(want, "…")
	if !open {
		return want == got
	}
	got, found := strings.CutPrefix(got, first)
	for found && strings.Contains(rest, "…") {
		first, rest, _ = strings.Cut(rest, "…")
		_, got, found = strings.Cut(got, first)
	}
	return found && strings.HasSuffix(got, rest)
}

func (e edit) apply(root string) error {
	path := filepath.Join(root, filepath.FromSlash(e.file))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	switch {
	case e.target != "":
		return os.Symlink(e.target, path)
	case e.old == "" && e.new == "":
		return os.Remove(path)
	case e.old == "":
		return os.WriteFile(path, []byte(e.new), 0o644)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text := "\n" + string(data) // so that old starts at the start of a line
	if n := strings.Count(text, "\n"+e.old); n != 1 {
		return fmt.Errorf("%s holds these lines %d times, want once:\n%s", e.file, n, e.old)
	}
	return os.WriteFile(path, []byte(strings.Replace(text, "\n"+e.old, "\n"+e.new, 1)[1:]), 0o644)
}

func TestRulesAreNamedOnceAndExplained(t *testing.T) {
	var names []string
	for _, rule := range Rules() {
		if rule.Reason == "" || rule.Fix == "" {
			t.Errorf("%s lacks a reason or a fix", rule.Name)
		}
		if slices.Contains(names, rule.Name) {
			t.Errorf("two rules are called %s", rule.Name)
		}
		names = append(names, rule.Name)
	}
}
