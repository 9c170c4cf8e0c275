package harness

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var cluster = flag.Bool("cluster", false, "show the faults to the cluster that kubectl is set to as well; nothing is created there")

// TestClusterSaysTheSame shows every object that the faults spoil to a real API server, of the pinned minor version: its
// answer must hold each of our words. It only asks (--dry-run=server), in the namespace default.
func TestClusterSaysTheSame(t *testing.T) {
	if !*cluster {
		t.Skip("run with -cluster: asks the cluster that kubectl is set to")
	}
	known, err := exec.CommandContext(t.Context(), "kubectl", "api-resources", "--no-headers").Output()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("testdata/faults/*.diff")
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	for _, file := range files {
		f := readFault(t, file)
		root := t.TempDir()
		if err := os.CopyFS(root, os.DirFS("testdata/good")); err != nil {
			t.Fatal(err)
		}
		for _, edit := range f.edits {
			if err := edit.apply(root); err != nil {
				t.Fatal(err)
			}
		}
		r, err := Load(t.Context(), Options{Root: root, Tools: repository, Overlays: []string{f.overlay}})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range r.all() {
			for _, object := range o.Objects {
				words := object.Warnings
				for _, fault := range object.Faults {
					text := fault.what()
					if strings.HasPrefix(fault.Problem, "unknown field") {
						text = `unknown field "` + fault.Field + `"`
					}
					words = append(words, text)
				}
				// The cluster may lack an operator.
				if len(words) == 0 || !bytes.Contains(known, []byte(" "+object.GetKind()+"\n")) {
					continue
				}
				asked++
				answer := dryRun(t, object)
				for _, text := range words {
					if !strings.Contains(answer, text) {
						t.Errorf("%s: the cluster does not say %q of %s, but\n%s", filepath.Base(file), text, object.ID(), answer)
					}
				}
			}
		}
	}
	t.Logf("asked about %d objects", asked)
	if asked == 0 {
		t.Error("no object was shown to the cluster")
	}
}

func dryRun(t *testing.T, object Object) string {
	object.Unstructured = *object.DeepCopy()
	if object.Namespaced {
		object.SetNamespace("default")
	} else if object.GetKind() == "Namespace" {
		object.SetName("harness-dry-run")
	}
	data, err := json.Marshal(object.Object)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "kubectl", "create", "--dry-run=server", "--validate=strict", "--filename=-")
	cmd.Stdin = bytes.NewReader(data)
	answer, _ := cmd.CombinedOutput() // that it refuses is the point
	return string(answer)
}
