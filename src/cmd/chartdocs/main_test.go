package main

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestChartsSayTheSameEverywhere fails when somebody changed values.yaml, or one of the copies, and did not run `make generate`.
func TestChartsSayTheSameEverywhere(t *testing.T) {
	const charts = "../../../charts/jupiter-dex-integration"
	for _, chart := range []string{charts, charts + "/charts/redis"} {
		files, err := generate(os.ReadFile, chart)
		if err != nil {
			t.Fatal(err)
		}
		for path, want := range files {
			got, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(got), string(want)); diff != "" {
				t.Errorf("%s: run `make generate` (-is +should be)\n%s", path, diff)
			}
		}
	}
}

const values = `# The chart.

# Where it runs: mainnet | devnet.
network: devnet
gateway:
  # How many.
  replicas: 2
  # What one needs.
  resources:
    limits: {cpu: "2"}
# Prices.
oracle:
  replicas: 1
  resources: {}
`

const schema = `{"additionalProperties": false, "definitions": {"component": {"additionalProperties": false, "properties": {"replicas": {"type": "integer"}, "resources": {}}}},
"properties": {"network": {"enum": ["mainnet", "<devnet>"]}, "gateway": {"$ref": "#/definitions/component"}, "oracle": {"additionalProperties": false, "properties": {"replicas": {"description": "Old.", "maximum": 3}, "resources": {}}}}}`

// chart serves the files of a chart from memory.
func chart(values, schema string) func(string) ([]byte, error) {
	files := map[string]string{"c/values.yaml": values, "c/values.schema.json": schema, "c/README.md": "# C\n\n" + tableBegin + "old\n" + tableEnd + "\n\nThe end.\n"}
	return func(path string) ([]byte, error) {
		text, found := files[path]
		if !found {
			return nil, fs.ErrNotExist
		}
		return []byte(text), nil
	}
}

func TestCommentsReachTableAndSchema(t *testing.T) {
	files, err := generate(chart(values, schema), "c")
	if err != nil {
		t.Fatal(err)
	}
	want := "# C\n\n" + tableBegin + `
| key | default | what it does |
|---|---|---|
` + "| `network` | `\"devnet\"` | Where it runs: mainnet \\| devnet. |" + `

### gateway

| key | default | what it does |
|---|---|---|
` + "| `gateway.replicas` | `2` | How many. |\n| `gateway.resources` | `{\"limits\": {\"cpu\": \"2\"}}` | What one needs. |" + `

### oracle

Prices.

| key | default | what it does |
|---|---|---|
` + "| `oracle.replicas` | `1` | How many. |\n| `oracle.resources` | `{}` | What one needs. |\n\n" + tableEnd + "\n\nThe end.\n"
	if diff := cmp.Diff(want, string(files["c/README.md"])); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	for _, part := range []string{
		`"description": "Where it runs: mainnet | devnet.",` + "\n      \"enum\": [\n        \"mainnet\",\n        \"<devnet>\"",
		`"description": "How many.",` + "\n          \"maximum\": 3",
	} {
		if !strings.Contains(string(files["c/values.schema.json"]), part) {
			t.Errorf("lacks %s\n%s", part, files["c/values.schema.json"])
		}
	}
}

func TestKeysThatOneSideLacksAreNamed(t *testing.T) {
	for name, tt := range map[string]struct{ values, schema, want string }{
		"the schema lacks one":    {values + "  extra: 1\n", schema, "lacks oracle.extra"},
		"values.yaml lacks one":   {strings.Replace(values, "network: devnet\n", "", 1), schema, "has network, which values.yaml has not"},
		"values.yaml is not YAML": {"a: [", schema, "values.yaml: "},
		"the schema is not JSON":  {values, "{", "values.schema.json: "},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := generate(chart(tt.values, tt.schema), "c"); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v does not say %q", err, tt.want)
			}
		})
	}
	if _, err := generate(chart(values, schema), "elsewhere"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a chart that is not there: %v", err)
	}
}
