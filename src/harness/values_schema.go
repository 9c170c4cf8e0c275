package harness

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// unknownValue is how Helm reports a value that the chart's schema does not have: the chart, where, and what.
var unknownValue = regexp.MustCompile(`(?:(\S+): )?- at '([^']*)': additional propert(?:y|ies) ((?:'[^']+'(?:, )?)+) not allowed`)

// explainValues adds the nearest known names to Helm's complaint about unknown values.
func explainValues(src *Source, problem string) string {
	chart := ""
	return unknownValue.ReplaceAllStringFunc(problem, func(match string) string {
		groups := unknownValue.FindStringSubmatch(match)
		if groups[1] != "" {
			chart = groups[1] // named once, before its first complaint
		}
		known := valueNames(src, chart, groups[2])
		for name := range strings.SplitSeq(groups[3], ", ") {
			match += suggestion(strings.Trim(name, "'"), known)
		}
		return match
	})
}

// valueNames returns the names that a chart's schema allows at a JSON pointer into its values.
func valueNames(src *Source, chart, pointer string) []string {
	i := slices.IndexFunc(src.Charts, func(c Chart) bool { return c.Name == chart })
	if i < 0 {
		return nil
	}
	data, err := src.Read(src.Charts[i].Dir + "/values.schema.json")
	if err != nil {
		return nil
	}
	var root map[string]any
	if json.Unmarshal(data, &root) != nil {
		return nil
	}
	nodes := []map[string]any{root}
	for step := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		if pointer == "" {
			break
		}
		step = strings.NewReplacer("~1", "/", "~0", "~").Replace(step)
		var next []map[string]any
		for _, node := range expand(root, nodes) {
			if child, ok := properties(node)[step].(map[string]any); ok {
				next = append(next, child)
			} else if child, ok := node["items"].(map[string]any); ok {
				next = append(next, child)
			} else if child, ok := node["additionalProperties"].(map[string]any); ok {
				next = append(next, child)
			}
		}
		nodes = next
	}
	var names []string
	for _, node := range expand(root, nodes) {
		names = append(names, slices.Collect(maps.Keys(properties(node)))...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func properties(node map[string]any) map[string]any {
	found, _ := node["properties"].(map[string]any)
	return found
}

// expand follows references into the same schema and opens combinations, which Helm's own validator has already found sound.
func expand(root map[string]any, nodes []map[string]any) []map[string]any {
	var all []map[string]any
	for i := 0; i < len(nodes) && i < 1000; i++ { // a bound, for a reference that leads to itself
		node := nodes[i]
		all = append(all, node)
		if ref, ok := node["$ref"].(string); ok {
			var target any = root
			for step := range strings.FieldsFuncSeq(ref, func(c rune) bool { return c == '#' || c == '/' }) {
				parent, _ := target.(map[string]any)
				target = parent[step]
			}
			if found, ok := target.(map[string]any); ok {
				nodes = append(nodes, found)
			}
		}
		for _, key := range []string{"allOf", "anyOf", "oneOf"} {
			list, _ := node[key].([]any)
			for _, child := range list {
				if found, ok := child.(map[string]any); ok {
					nodes = append(nodes, found)
				}
			}
		}
	}
	return all
}
