package change

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"

	"jupiter-dex-integration/src/harness"
	"jupiter-dex-integration/src/harness/difference"
)

// Field is one place in which two versions of an object differ. A side that lacks it is empty, both are when there is nothing
// to tell. Values are as people write them, shortened, and never those of Secrets, configuration keys or environment
// variables.
type Field struct {
	Path   string `json:"path"`
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
}

// hidden is a value that is compared and never printed.
type hidden string

const notShown = "(not shown)"

func (hidden) String() string { return notShown }

// MarshalJSON keeps it so inside of a larger value.
func (hidden) MarshalJSON() ([]byte, error) { return json.Marshal(notShown) }

// confidential is a key whose value is a secret itself, not the name of one.
var confidential = regexp.MustCompile(`(?i)(password|passwd|token|secret|api_?key|private_?key|credentials?)$`)

// conceal replaces, in place, what must not be printed.
func conceal(node any, kind, key string) any {
	switch node := node.(type) {
	case map[string]any:
		_, environment := node["name"]
		for k, child := range node {
			text, isText := child.(string)
			switch {
			case isText && (kind == "data" || k == "value" && environment || confidential.MatchString(k)):
				node[k] = hidden(text)
			case isText:
				node[k] = harness.Masked(text)
				if node[k] != text {
					node[k] = hidden(text)
				}
			default:
				node[k] = conceal(child, kind, k)
			}
		}
	case []any:
		for i, child := range node {
			if text, isText := child.(string); isText && harness.Masked(text) != text {
				node[i] = hidden(text)
			} else if !isText {
				node[i] = conceal(child, kind, key)
			}
		}
	}
	return node
}

// tree is an object ready to be compared: quantities in their canonical form, what the cluster fills in left out, and
// nothing in it that prints a secret.
func tree(o harness.Object) map[string]any {
	content := o.DeepCopy().Object
	if o.Typed != nil {
		if typed, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o.Typed); err == nil {
			typed["apiVersion"], typed["kind"] = content["apiVersion"], content["kind"]
			content = typed
		}
	}
	delete(content, "status")
	kind := o.GetKind()
	for key, child := range content {
		data := key == "data" || key == "stringData" || key == "binaryData"
		if data && (kind == "Secret" || kind == "ConfigMap") {
			content[key] = conceal(child, "data", key)
		} else {
			content[key] = conceal(child, "", key)
		}
	}
	return content
}

// checksum is a value that tells nobody anything but that it is another.
var checksum = regexp.MustCompile(`^[0-9a-f]{64}$`)

// field is a difference as the report shows it.
func field(d difference.Field) Field {
	f := Field{d.Path, shown(d.Before), shown(d.After)}
	if checksum.MatchString(f.Before) && checksum.MatchString(f.After) {
		f.Before, f.After = "", ""
	}
	return f
}

// differences compares two versions of an object.
func differences(before, after harness.Object) []difference.Field {
	meaning := difference.Meaning{Durations: true} // of a custom resource, whose operator parses them; a pod's environment is text
	if before.Typed != nil && after.Typed != nil {
		meaning = difference.Meaning{Type: after.Typed}
	}
	return difference.Between(tree(before), tree(after), meaning)
}

// longest is how much of a value a report shows.
const longest = 160

// shown is a value in a report.
func shown(value any) string {
	var text string
	switch value := value.(type) {
	case nil:
		return ""
	case hidden:
		return notShown
	case string:
		if text = strings.Join(strings.Fields(value), " "); text == "" {
			text = `""`
		}
	default:
		data, err := json.Marshal(value) // decoded YAML and hidden texts always are JSON
		if err != nil {
			return notShown
		}
		text = string(data)
	}
	if runes := []rune(text); len(runes) > longest {
		return string(runes[:longest]) + "…"
	}
	return text
}

// sorted returns the keys of all maps, each once.
func sorted[V any](all ...map[string]V) []string {
	var keys []string
	for _, m := range all {
		keys = slices.AppendSeq(keys, maps.Keys(m))
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}
