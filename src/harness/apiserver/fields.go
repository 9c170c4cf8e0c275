package main

import (
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// place is where an item stands in a list.
var place = regexp.MustCompile(`\[\d+\]`)

// siblings returns the fields that there are beside one, whose path is as the API server writes it. It knows none of what it
// cannot find, such as a field under a key that holds a dot.
func siblings(path string, fields func(parents []string) []string) []string {
	parents := strings.Split(place.ReplaceAllString(path, ""), ".")
	return fields(parents[:len(parents)-1])
}

// fieldsOf returns the fields of what lies under the parents in a type.
func fieldsOf(t reflect.Type, parents []string) []string {
	for {
		switch t.Kind() {
		case reflect.Pointer, reflect.Slice:
			t = t.Elem()
			continue
		case reflect.Map:
			if len(parents) > 0 {
				t, parents = t.Elem(), parents[1:]
				continue
			}
		case reflect.Struct:
			known := map[string]reflect.Type{}
			collect(t, known)
			if len(parents) == 0 {
				return slices.Sorted(maps.Keys(known))
			}
			if child, ok := known[parents[0]]; ok {
				t, parents = child, parents[1:]
				continue
			}
		}
		return nil
	}
}

// collect adds the types of a struct's fields by the names that they have in JSON.
func collect(t reflect.Type, known map[string]reflect.Type) {
	for field := range t.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case name == "" && field.Anonymous && field.Type.Kind() == reflect.Struct:
			collect(field.Type, known)
		case name != "" && name != "-":
			known[name] = field.Type
		}
	}
}

// fields returns the fields of what lies under the parents in a custom resource.
func (c *customResource) fields(parents []string) []string {
	if len(parents) > 0 && parents[0] == "metadata" {
		return fieldsOf(reflect.TypeFor[metav1.ObjectMeta](), parents[1:])
	}
	shape := item(c.schema)
	for _, parent := range parents {
		if property, ok := shape.Properties[parent]; ok {
			shape = item(&property)
		} else if other := shape.AdditionalProperties; other != nil && other.Structural != nil {
			shape = item(other.Structural)
		} else {
			return nil
		}
	}
	return slices.Sorted(maps.Keys(shape.Properties))
}

// item is what a list holds, or what is no list itself.
func item(s *structural.Structural) *structural.Structural {
	for s.Items != nil {
		s = s.Items
	}
	return s
}
