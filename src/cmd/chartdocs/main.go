// Command chartdocs brings what a chart's values.yaml says of each key into the two other places where people look for it:
// `chartdocs CHART...` rewrites the table in README.md and the descriptions in values.schema.json. It fails when the schema
// lacks a key that values.yaml has, or has one that is described nowhere. The schema's constraints are written by hand: no
// default tells a pattern.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/yaml"
)

func main() {
	for _, chart := range os.Args[1:] {
		files, err := generate(os.ReadFile, chart)
		for path, text := range files {
			if err == nil {
				err = os.WriteFile(path, text, 0o644)
			}
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "chartdocs: %s: %v\n", chart, err)
			os.Exit(1)
		}
	}
}

// generate returns the chart's README.md and values.schema.json as they should be.
func generate(readFile func(string) ([]byte, error), chart string) (map[string][]byte, error) {
	var text [3][]byte
	paths := [3]string{filepath.Join(chart, "values.yaml"), filepath.Join(chart, "README.md"), filepath.Join(chart, "values.schema.json")}
	for i, path := range paths {
		data, err := readFile(path)
		if err != nil {
			return nil, err
		}
		text[i] = data
	}
	all, err := parse(text[0])
	if err != nil {
		return nil, fmt.Errorf("values.yaml: %w", err)
	}
	schema, err := describe(text[2], all)
	if err != nil {
		return nil, fmt.Errorf("values.schema.json: %w", err)
	}
	readme, err := fillTable(string(text[1]), all.children)
	if err != nil {
		return nil, fmt.Errorf("README.md: %w", err)
	}
	return map[string][]byte{paths[1]: []byte(readme), paths[2]: schema}, nil
}

// key is a key of values.yaml.
type key struct {
	path, comment string
	value         *yaml.Node
	children      []*key
	// leaf: what is below is a value to the reader, such as the limits in resources.
	leaf bool
}

func parse(text []byte) (*key, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, err
	}
	top := read("", doc.Content[0])
	// Components have keys in common, which are explained once.
	said := map[string]*key{}
	var learn, borrow func(keys []*key)
	learn = func(keys []*key) {
		for _, k := range keys {
			if _, shared, nested := strings.Cut(k.path, "."); nested && k.comment != "" && said[shared] == nil {
				said[shared] = k
			}
			learn(k.children)
		}
	}
	borrow = func(keys []*key) {
		for _, k := range keys {
			if _, shared, nested := strings.Cut(k.path, "."); nested && k.comment == "" && said[shared] != nil && said[shared].value.Kind == k.value.Kind {
				k.comment = said[shared].comment
			}
			borrow(k.children)
			k.leaf = !slices.ContainsFunc(k.children, func(child *key) bool { return child.comment != "" || !child.leaf })
		}
	}
	learn(top)
	borrow(top)
	return &key{children: top}, nil
}

func read(path string, mapping *yaml.Node) []*key {
	var keys []*key
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		name, value := mapping.Content[i], mapping.Content[i+1]
		k := &key{path: strings.TrimPrefix(path+"."+name.Value, "."), comment: sentence(name.HeadComment), value: value}
		if value.Kind == yaml.MappingNode {
			k.children = read(k.path, value)
		}
		keys = append(keys, k)
	}
	return keys
}

// sentence is the last paragraph of a comment on one line: those before it speak of the file.
func sentence(comment string) string {
	paragraphs := strings.Split(comment, "\n\n")
	var words []string
	for line := range strings.Lines(paragraphs[len(paragraphs)-1]) {
		words = append(words, strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "#")))
	}
	return strings.TrimSpace(strings.Join(words, " "))
}

const (
	tableBegin = "<!-- values: begin -->\n"
	tableEnd   = "<!-- values: end -->"
	// longDefault is what a table cell has no room for.
	longDefault = 90
)

func fillTable(readme string, values []*key) (string, error) {
	before, rest, found := strings.Cut(readme, tableBegin)
	_, after, ended := strings.Cut(rest, tableEnd)
	if !found || !ended {
		return "", fmt.Errorf("there is no %s … %s", strings.TrimSpace(tableBegin), tableEnd)
	}
	var table strings.Builder
	const head = "\n| key | default | what it does |\n|---|---|---|\n"
	table.WriteString(head)
	for _, k := range values {
		if k.leaf {
			row(&table, k)
		}
	}
	for _, k := range values {
		if k.leaf {
			continue
		}
		fmt.Fprintf(&table, "\n### %s\n", k.path)
		if k.comment != "" {
			fmt.Fprintf(&table, "\n%s\n", k.comment)
		}
		table.WriteString(head)
		for _, child := range k.children {
			rows(&table, child)
		}
	}
	return before + tableBegin + table.String() + "\n" + tableEnd + after, nil
}

func rows(table *strings.Builder, k *key) {
	if k.leaf || k.comment != "" {
		row(table, k)
	}
	if !k.leaf {
		for _, child := range k.children {
			rows(table, child)
		}
	}
}

func row(table *strings.Builder, k *key) {
	shown := ""
	if k.leaf {
		text := inline(k.value)
		if shown = " `" + text + "`"; len(text) > longDefault {
			shown = " see values.yaml"
		}
	}
	fmt.Fprintf(table, "| `%s` |%s | %s |\n", k.path, shown, strings.ReplaceAll(k.comment, "|", "\\|"))
}

// inline is a value as JSON on one line, in the order in which it is written.
func inline(n *yaml.Node) string {
	var parts []string
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			parts = append(parts, quote(n.Content[i].Value)+": "+inline(n.Content[i+1]))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case yaml.SequenceNode:
		for _, item := range n.Content {
			parts = append(parts, inline(item))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	if n.Tag == yaml.NodeTagString {
		return quote(n.Value)
	}
	return n.Value
}

func quote(text string) string {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.Encode(text) // a string always encodes
	return strings.TrimSuffix(out.String(), "\n")
}

// describe puts the comments into the schema and keeps everything else, and its order, as it is.
func describe(text []byte, values *key) ([]byte, error) {
	var doc yaml.Node // JSON is YAML, whose parser keeps the order of keys
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, err
	}
	root := doc.Content[0]
	if err := describeKeys(root, root, values); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := json.Indent(&out, []byte(inline(root)), "", "  "); err != nil {
		return nil, err
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

func describeKeys(root, node *yaml.Node, parent *key) error {
	properties := field(resolve(root, node), "properties")
	var known []string
	for i := 0; properties != nil && i < len(properties.Content); i += 2 {
		known = append(known, properties.Content[i].Value)
	}
	for _, k := range parent.children {
		name := k.path[strings.LastIndex(k.path, ".")+1:]
		if !slices.Contains(known, name) {
			if field(resolve(root, node), "additionalProperties") == nil {
				continue // a sub-chart's, whose own schema has them
			}
			return fmt.Errorf("lacks %s, which values.yaml has", k.path)
		}
		known = slices.DeleteFunc(known, func(other string) bool { return other == name })
		property := field(properties, name)
		// Behind a reference the keys are those of several components: each is described where it is referred to.
		if !k.leaf {
			if err := describeKeys(root, property, k); err != nil {
				return err
			}
		}
		if property != resolve(root, property) && !k.leaf {
			continue
		}
		setFirst(property, "description", k.comment)
	}
	for _, name := range known {
		if field(field(properties, name), "description") == nil {
			path := strings.TrimPrefix(parent.path+"."+name, ".")
			return fmt.Errorf("has %s, which values.yaml has not: describe it there, or here if it can have no default", path)
		}
	}
	return nil
}

// resolve follows a reference into the same schema.
func resolve(root, node *yaml.Node) *yaml.Node {
	ref := field(node, "$ref")
	if ref == nil {
		return node
	}
	target := root
	for step := range strings.SplitSeq(strings.TrimPrefix(ref.Value, "#/"), "/") {
		target = field(target, step)
	}
	return target
}

func field(mapping *yaml.Node, name string) *yaml.Node {
	if mapping == nil || mapping.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == name {
			return mapping.Content[i+1]
		}
	}
	return nil
}

// setFirst makes name the first key of a mapping, or removes it when the text is empty.
func setFirst(mapping *yaml.Node, name, text string) {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == name {
			mapping.Content = slices.Delete(mapping.Content, i, i+2)
			break
		}
	}
	if text != "" {
		scalar := func(value string) *yaml.Node {
			return &yaml.Node{Kind: yaml.ScalarNode, Tag: yaml.NodeTagString, Value: value}
		}
		mapping.Content = slices.Insert(mapping.Content, 0, scalar(name), scalar(text))
	}
}
