package change_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"jupiter-dex-integration/src/harness"
	"jupiter-dex-integration/src/harness/change"
)

var update = flag.Bool("update", false, "write docs/reports")

const repository = "../../.."

// An edit replaces the one place in a file that reads old.
type edit struct{ file, old, new string }

const (
	runs = "sha256:1f0c64a1a4b8bd6a4a1a9f2f3c1f6f9f5b8f3e2d7c6b5a49382716051f4e3d2c" // on mainnet today
	next = "sha256:8e7d6c5b4a39281706f5e4d3c2b1a09f8e7d6c5b4a39281706f5e4d3c2b1a09f" // tried on testnet
)

// pullRequests are the edits whose reports docs/reports shows.
var pullRequests = []struct {
	name, title, story string
	before             []edit // how the repository is made to look first
	edits              []edit
}{{
	name: "url-change", title: "Another RPC node",
	story: "mainnet gets its accounts from a provider instead of the validator next door. One line of values: configuration, restarts and the network's limits follow it.",
	edits: []edit{{"environments/mainnet/values.yaml", "solanaRpcUrl: http://solana-validator:8899", "solanaRpcUrl: https://rpc.example.com"}},
}, {
	name: "replica-change", title: "Room for more load",
	story: "The gateway on mainnet starts with more pods and may grow further. No pod restarts; the report says what the cluster must have room for.",
	edits: []edit{{"environments/mainnet/values.yaml", "    minReplicas: 5\n    maxReplicas: 20", "    minReplicas: 8\n    maxReplicas: 30"}},
}, {
	name: "chart-bump", title: "A new version of the chart",
	story: "The chart gets a version and nothing else. Every object's label changes, which is one line here, and no pod restarts.",
	edits: []edit{{"charts/jupiter-dex-integration/Chart.yaml", "\nversion: 0.1.0", "\nversion: 0.2.0"}},
}, {
	name: "new-egress", title: "A new way out",
	story: "The gateway on testnet is to write its audit log to a collector outside of the cluster.",
	edits: []edit{{"environments/testnet/values.yaml", "apiGateway:\n", "apiGateway:\n  extraEgress:\n    - to:\n        - ipBlock:\n            cidr: 203.0.113.0/24\n      ports:\n        - port: 9092\n          protocol: TCP\n"}},
}, {
	name: "promotion", title: "A promotion",
	story: "mainnet gets the gateway that testnet runs: one file, and the report says that the image was tried.",
	before: []edit{
		imageEdit("mainnet", "", runs),
		imageEdit("testnet", "", next),
	},
	edits: []edit{imageEdit("mainnet", runs, next)},
}, {
	name: "larger-volume", title: "A larger volume, which will not come",
	story: "Redis on testnet is to get a larger volume. Every schema allows it, and the API server refuses it: the claims of a StatefulSet cannot be changed. The report says so before Argo CD does.",
	edits: []edit{{"environments/testnet/values.yaml", "redis:\n  enabled: true\n  architecture: standalone\n", "redis:\n  enabled: true\n  architecture: standalone\n  master:\n    persistence:\n      size: 32Gi\n"}},
}}

// imageEdit gives a network's gateway another image.
func imageEdit(network, from, to string) edit {
	const form = "apiGateway:\n  image:\n    tag: 0.1.0\n    digest: %q\n"
	return edit{"environments/" + network + "/images.yaml", fmt.Sprintf(form, from), fmt.Sprintf(form, to)}
}

// TestExampleReports renders the repository before and after each pull request and compares the report with the one in
// docs/reports.
func TestExampleReports(t *testing.T) {
	today := load(t, repository)
	for _, pr := range pullRequests {
		t.Run(pr.name, func(t *testing.T) {
			root, base := copied(t), today
			if len(pr.before) > 0 {
				apply(t, root, pr.before)
				base = load(t, root)
			}
			apply(t, root, pr.edits)
			head := load(t, root)
			if err := harness.JudgeUpdate(t.Context(), repository, base, head); err != nil {
				t.Fatal(err)
			}
			report := change.Between(base, head, change.Facts{})
			got := page(pr.title, pr.story, pr.edits) + change.Markdown(report, change.CommentLimit)

			file := filepath.Join(repository, "docs/reports", pr.name+".md")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatalf("%v; run `make golden`", err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s is not what the report says today: run `make golden`, read what changed and commit it (-want +got):\n%s", file, diff)
			}
		})
	}
}

// page is what stands above a report.
func page(title, story string, edits []edit) string {
	var text strings.Builder
	fmt.Fprintf(&text, "# Example: %s\n\n%s\n", title, story)
	for _, e := range edits {
		fmt.Fprintf(&text, "\n```diff\n--- %s\n", e.file)
		for _, side := range []struct{ sign, lines string }{{"-", e.old}, {"+", e.new}} {
			for l := range strings.Lines(strings.Trim(side.lines, "\n") + "\n") {
				text.WriteString(side.sign + l)
			}
		}
		text.WriteString("```\n")
	}
	return text.String() + "\n"
}

func load(t *testing.T, root string) *harness.Render {
	t.Helper()
	r, err := harness.Load(t.Context(), harness.Options{Root: root, Tools: repository, Plain: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range r.Overlays {
		if !o.Rendered() {
			t.Fatalf("%s: %v", o.Name, o.Errors)
		}
	}
	return r
}

// copied is what is rendered, in a folder of its own.
func copied(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for _, dir := range []string{"argocd", "charts", "environments"} {
		if err := os.CopyFS(filepath.Join(root, dir), os.DirFS(filepath.Join(repository, dir))); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(filepath.Join(repository, "versions.yaml"))
	if err == nil {
		err = os.WriteFile(filepath.Join(root, "versions.yaml"), data, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func apply(t *testing.T, root string, edits []edit) {
	t.Helper()
	for _, e := range edits {
		file := filepath.Join(root, e.file)
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(data), e.old); n != 1 {
			t.Fatalf("%s holds %d times, want once:\n%s", e.file, n, e.old)
		}
		if err := os.WriteFile(file, []byte(strings.Replace(string(data), e.old, e.new, 1)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
