package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"jupiter-dex-integration/src/harness/change"
)

const repository = "../../.."

// clone is the harness's small repository without findings, committed to Git.
func clone(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	if err := os.CopyFS(root, os.DirFS(repository+"/src/harness/testdata/good")); err != nil {
		t.Fatal(err)
	}
	inGit(t, root, "init", "-q")
	commit(t, root)
	return root
}

func inGit(t *testing.T, root string, args ...string) {
	t.Helper()
	cmd := exec.Command("git", append([]string{"-C", root, "-c", "user.name=t", "-c", "user.email=t@example.com"}, args...)...)
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git %v: %v: %s", args, err, output)
	}
}

func commit(t *testing.T, root string) {
	t.Helper()
	inGit(t, root, "add", "-A")
	inGit(t, root, "commit", "-q", "-m", "x")
}

func edit(t *testing.T, root, file, old, new string) {
	t.Helper()
	path := filepath.Join(root, file)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(data), old) {
		t.Fatalf("%s does not hold %q", file, old)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(data), old, new, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// diffIn is `harness diff` in a repository.
func diffIn(t *testing.T, root string, args ...string) (code int, text string) {
	t.Helper()
	var out strings.Builder
	code = run(t.Context(), append([]string{"diff", "-root", root, "-tools", repository}, args...), &out)
	return code, out.String()
}

func TestDiffExitsByHowGraveTheChangeIs(t *testing.T) {
	root := clone(t)
	web := "environments/plain/web.yaml"
	file := filepath.Join(t.TempDir(), "report.json")

	if code, text := diffIn(t, root); code != 0 || !strings.Contains(text, "- **plain**: nothing changes\n") {
		t.Errorf("nothing changed: exit %d:\n%s", code, text)
	}
	edit(t, root, web, "targetPort: http", "targetPort: wbe")
	code, text := diffIn(t, root, "-json", file)
	if code != 4 || !strings.Contains(text, "new finding") {
		t.Errorf("a rule is broken: exit %d:\n%s", code, text)
	}
	var report change.Report
	if data, err := os.ReadFile(file); err != nil {
		t.Error(err)
	} else if err := json.Unmarshal(data, &report); err != nil || report.Severity != change.Danger || len(report.Findings) == 0 {
		t.Errorf("%v, severity %s, %d findings", err, report.Severity, len(report.Findings))
	}

	commit(t, root)
	if code, text := diffIn(t, root); code != 0 || strings.Contains(text, "new finding") {
		t.Errorf("the base breaks the rule as well: exit %d:\n%s", code, text)
	}
	if code, _ := diffIn(t, root, "-base", "HEAD~1"); code != 4 {
		t.Errorf("an older base: exit %d", code)
	}
	for _, revision := range []string{"no-such-revision", "--output=x", "HEAD:environments"} {
		if code, text := diffIn(t, root, "-base", revision); code != 2 || text != "" {
			t.Errorf("%s: exit %d: %q", revision, code, text)
		}
	}
}

func TestDiffSaysWhatTheAPIServerDoesNotChange(t *testing.T) {
	root := clone(t)
	edit(t, root, "environments/plain/web.yaml", "matchLabels:\n      app: web\n", "matchLabels:\n      app: web\n      part: front\n")
	code, text := diffIn(t, root)
	if code != 4 || !strings.Contains(text, "`Deployment/web`: Argo CD fails to sync it") || !strings.Contains(text, "(`spec.selector: Invalid value: field is immutable`)") {
		t.Errorf("exit %d:\n%s", code, text)
	}
}

func TestDiffRendersNothingFromAnUnsafeTree(t *testing.T) {
	root := clone(t)
	link := filepath.Join(root, "charts/shop/host")
	if err := os.Symlink("/etc/hostname", link); err != nil {
		t.Fatal(err)
	}
	code, text := diffIn(t, root)
	if code != 4 || !strings.Contains(text, "**plain** (danger): does not render") || !strings.Contains(text, "`no-symlinks`") {
		t.Errorf("a link in the working tree: exit %d:\n%s", code, text)
	}
	commit(t, root)
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	code, text = diffIn(t, root)
	if code != 4 || !strings.Contains(text, "did not render before") {
		t.Errorf("a link in the base: exit %d:\n%s", code, text)
	}
}

func TestHistoryKnowsWhatANetworkHasRun(t *testing.T) {
	root := clone(t)
	digest := "sha256:" + strings.Repeat("ab", 32)
	file := filepath.Join(root, "environments/testnet/images.yaml")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"digest: " + digest, "digest: other"} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		commit(t, root)
	}
	had := history(t.Context(), root, "HEAD")
	if !had("testnet", digest) {
		t.Error("what ran once is forgotten")
	}
	if had("devnet", digest) || had("testnet", "sha256:"+strings.Repeat("cd", 32)) || had("testnet", "digest: other") {
		t.Error("what never ran is remembered")
	}
}

// The time of a comparison of this repository with itself: every overlay in all variants, the base once more plainly.
func BenchmarkDiff(b *testing.B) {
	for b.Loop() {
		if _, err := compare(b.Context(), repository, repository, "HEAD"); err != nil {
			b.Fatal(err)
		}
	}
}
