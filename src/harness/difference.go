package harness

import (
	"fmt"
	"reflect"
	"slices"
)

// A difference is one field that two versions of an object disagree about. A side that lacks the field is nil.
type difference struct {
	path          string
	before, after any
}

// differences compares decoded YAML field by field. Lists whose elements all have a name are compared by it, others by
// position.
func differences(before, after any) []difference {
	var all []difference
	var compare func(path string, a, b any)
	compare = func(path string, a, b any) {
		mapA, isMapA := a.(map[string]any)
		mapB, isMapB := b.(map[string]any)
		listA, isListA := a.([]any)
		listB, isListB := b.([]any)
		switch {
		case isMapA && isMapB:
			for _, key := range keysOf(mapA, mapB) {
				compare(join(path, key), mapA[key], mapB[key])
			}
		case isListA && isListB:
			namedA, okA := named(listA)
			namedB, okB := named(listB)
			if okA && okB {
				for _, key := range keysOf(namedA, namedB) {
					compare(path+"["+key+"]", namedA[key], namedB[key])
				}
				return
			}
			for i := range max(len(listA), len(listB)) {
				var x, y any
				if i < len(listA) {
					x = listA[i]
				}
				if i < len(listB) {
					y = listB[i]
				}
				compare(fmt.Sprintf("%s[%d]", path, i), x, y)
			}
		case !reflect.DeepEqual(a, b):
			all = append(all, difference{path, a, b})
		}
	}
	compare("", before, after)
	return all
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// named returns a list's elements by their names, if they all have one and no two share it.
func named(list []any) (map[string]any, bool) {
	byName := map[string]any{}
	for _, element := range list {
		object, _ := element.(map[string]any)
		name, ok := object["name"].(string)
		if !ok || byName[name] != nil {
			return nil, false
		}
		byName[name] = element
	}
	return byName, true
}

// keysOf returns the keys of either map, sorted.
func keysOf(a, b map[string]any) []string {
	var keys []string
	for key := range a {
		keys = append(keys, key)
	}
	for key := range b {
		if _, both := a[key]; !both {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}
