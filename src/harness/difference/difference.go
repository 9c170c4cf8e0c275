// Package difference says in which fields two versions of an object disagree. It must not know what the objects are for.
package difference

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
)

// A Field is one place in which two versions disagree. A side that lacks it is nil.
type Field struct {
	Path          string
	Before, After any
}

// Meaning is what is known of the objects beyond their text.
type Meaning struct {
	Type      any  // the Go struct of a built-in kind, whose tags say by which key the API server merges a list
	Durations bool // 60s and 1m are the same to who reads them
}

// Between compares two versions of a decoded object. The items of a list are matched by the key by which the API server
// merges them, where that is not known by their name, else by being equal.
func Between(before, after any, meaning Meaning) []Field {
	var meta strategicpatch.LookupPatchMeta
	if meaning.Type != nil {
		if known, err := strategicpatch.NewPatchMetaFromStruct(meaning.Type); err == nil {
			meta = known
		}
	}
	c := comparison{durations: meaning.Durations}
	c.compare("", before, after, meta)
	return c.found
}

type comparison struct {
	durations bool
	found     []Field
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
	case reflect.DeepEqual(a, b), c.durations && sameTime(a, b):
	default:
		c.found = append(c.found, Field{path, a, b})
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
			c.found = append(c.found, Field{path + " (order)", strings.Join(orderA, ", "), strings.Join(orderB, ", ")})
		}
		return
	}
	left, right := without(a, b), without(b, a)
	if len(left)+len(right) == 0 && !reflect.DeepEqual(a, b) {
		c.found = append(c.found, Field{path + " (order)", a, b})
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

// sorted returns the keys of both maps, each once.
func sorted(a, b map[string]any) []string {
	all := map[string]any{}
	maps.Copy(all, a)
	maps.Copy(all, b)
	return slices.Sorted(maps.Keys(all))
}
