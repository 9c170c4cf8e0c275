package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

type permissions map[string]string

func (p permissions) mayWrite() bool {
	for _, level := range p {
		if level == "write" {
			return true
		}
	}
	return false
}

// Whoever opens a pull request chooses what is checked out: a job that may write runs none of it.
func TestWorkflowsThatMayWriteRunNobodysCode(t *testing.T) {
	files, err := filepath.Glob(repository + "/.github/workflows/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no workflows found: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var workflow struct {
			Permissions *permissions
			Jobs        map[string]struct {
				Permissions permissions
				Steps       []struct{ Uses, Run string }
			}
		}
		if err := yaml.Unmarshal(data, &workflow); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if strings.Contains(string(data), "pull_request_target") {
			t.Errorf("%s: pull_request_target gives a stranger's change the rights of the base", file)
		}
		if workflow.Permissions == nil || workflow.Permissions.mayWrite() {
			t.Errorf("%s: the workflow as a whole must state permissions, none of them write", file)
		}
		for name, job := range workflow.Jobs {
			if !job.Permissions.mayWrite() {
				continue
			}
			for _, step := range job.Steps {
				action, _, _ := strings.Cut(step.Uses, "@")
				if step.Uses != "" && !slices.Contains([]string{"actions/download-artifact"}, action) {
					t.Errorf("%s: job %s may write and uses %s", file, name, step.Uses)
				}
				// What GitHub puts into the text of a script is run by it.
				if strings.Contains(step.Run, "${{") {
					t.Errorf("%s: job %s puts an expression into its script: hand it over as an environment variable", file, name)
				}
			}
		}
	}
}
