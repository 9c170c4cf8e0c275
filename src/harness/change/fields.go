package change

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"jupiter-dex-integration/src/harness"
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

// A difference is one field that two trees disagree about. A side that lacks the field is nil.
type difference struct {
	path          string
	before, after any
}

// checksum is a value that tells nobody anything but that it is another.
var checksum = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (d difference) field() Field {
	f := Field{d.path, shown(d.before), shown(d.after)}
	if checksum.MatchString(f.Before) && checksum.MatchString(f.After) {
		f.Before, f.After = "", ""
	}
	return f
}

// differences compares two versions of an object. The items of a list are matched by the key by which the API server
// merges them, in custom resources by their name, else by being equal.
func differences(before, after harness.Object) []difference {
	c := comparison{custom: after.Typed == nil || before.Typed == nil}
	var meta strategicpatch.LookupPatchMeta
	if !c.custom {
		if known, err := strategicpatch.NewPatchMetaFromStruct(after.Typed); err == nil {
			meta = known
		}
	}
	c.compare("", tree(before), tree(after), meta)
	return c.found
}

type comparison struct {
	custom bool // no Go type says what a field means
	found  []difference
}

func (c *comparison) compare(path string, a, b any, meta strategicpatch.LookupPatchMeta) {
	mapA, isMapA := a.(map[string]any)
	mapB, isMapB := b.(map[string]any)
	listA, isListA := a.([]any)
	listB, isListB := b.([]any)
	switch {
	case isMapA && isMapB:
		for _, key := range sorted(mapA, mapB) {
			c.compare(joined(path, key), mapA[key], mapB[key], below(meta, key, mapA[key], mapB[key]))
		}
	case isListA && isListB:
		c.lists(path, listA, listB, meta)
	case reflect.DeepEqual(a, b), c.custom && sameTime(a, b):
	default:
		c.found = append(c.found, difference{path, a, b})
	}
}

// below is what is known about a field's own fields.
func below(meta strategicpatch.LookupPatchMeta, key string, a, b any) strategicpatch.LookupPatchMeta {
	if meta == nil {
		return nil
	}
	lookup := meta.LookupPatchMetadataForStruct
	_, isListA := a.([]any)
	if _, isListB := b.([]any); isListA || isListB {
		lookup = meta.LookupPatchMetadataForSlice
	}
	child, patch, err := lookup(key)
	if err != nil {
		return nil // a map or a list of plain values
	}
	return keyed{child, patch.GetPatchMergeKey()}
}

// keyed is what is known about the items of a list.
type keyed struct {
	strategicpatch.LookupPatchMeta
	mergeKey string
}

func (c *comparison) lists(path string, a, b []any, meta strategicpatch.LookupPatchMeta) {
	var keys []string
	if known, ok := meta.(keyed); ok && known.mergeKey != "" {
		keys = []string{known.mergeKey}
	} else {
		keys = []string{"name", "alert", "record", "secretKey"}
	}
	for _, key := range keys {
		orderA, byKeyA := index(a, key)
		orderB, byKeyB := index(b, key)
		if byKeyA == nil || byKeyB == nil {
			continue
		}
		for _, name := range sorted(byKeyA, byKeyB) {
			c.compare(path+"["+name+"]", byKeyA[name], byKeyB[name], meta)
		}
		absent := func(m map[string]any) func(string) bool {
			return func(name string) bool { _, found := m[name]; return !found }
		}
		orderA, orderB = slices.DeleteFunc(orderA, absent(byKeyB)), slices.DeleteFunc(orderB, absent(byKeyA))
		if !slices.Equal(orderA, orderB) {
			c.found = append(c.found, difference{path + " (order)", strings.Join(orderA, ", "), strings.Join(orderB, ", ")})
		}
		return
	}
	left, right := without(a, b), without(b, a)
	if len(left)+len(right) == 0 && !reflect.DeepEqual(a, b) {
		c.found = append(c.found, difference{path + " (order)", a, b})
	}
	for i := range max(len(left), len(right)) {
		var x, y any
		at := ""
		if i < len(left) {
			x, at = a[left[i]], fmt.Sprintf("%s[%d]", path, left[i])
		}
		if i < len(right) {
			y, at = b[right[i]], fmt.Sprintf("%s[%d]", path, right[i])
		}
		c.compare(at, x, y, meta)
	}
}

// index returns a list's items by one of their fields, if all have it and no two share it.
func index(list []any, key string) (order []string, byKey map[string]any) {
	byKey = map[string]any{}
	for _, item := range list {
		object, _ := item.(map[string]any)
		value, found := object[key]
		name := fmt.Sprint(value)
		if _, taken := byKey[name]; !found || taken {
			return nil, nil
		}
		order, byKey[name] = append(order, name), item
	}
	return order, byKey
}

// without returns the places in a list of the items that the other list lacks.
func without(list, other []any) []int {
	used := make([]bool, len(other))
	var left []int
next:
	for i, item := range list {
		for j := range other {
			if !used[j] && reflect.DeepEqual(item, other[j]) {
				used[j] = true
				continue next
			}
		}
		left = append(left, i)
	}
	return left
}

// sameTime reports whether two values are the same duration, such as 60s and 1m. Only an operator that parses them is
// indifferent to how they are written: in a pod's environment they are two texts.
func sameTime(a, b any) bool {
	x, isTextX := a.(string)
	y, isTextY := b.(string)
	if !isTextX || !isTextY {
		return false
	}
	dx, errX := model.ParseDuration(x)
	dy, errY := model.ParseDuration(y)
	return errX == nil && errY == nil && dx == dy && x != "0" && y != "0"
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

// joined is the path of a field of a field.
func joined(path, key string) string {
	switch {
	case strings.ContainsAny(key, "./"):
		return path + "[" + key + "]"
	case path == "":
		return key
	}
	return path + "." + key
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
