package difference

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

type object = map[string]any

func TestFieldsAreNamed(t *testing.T) {
	container := func(name, image string) any { return object{"name": name, "image": image} }
	port := func(number int64, name string) any { return object{"containerPort": number, "name": name} }
	for name, tt := range map[string]struct {
		before, after any
		meaning       Meaning
		want          []Field
	}{
		"by key": {object{"same": true, "gone": true, "a.b/c": "x"}, object{"same": true, "new": "value", "a.b/c": "y"}, Meaning{},
			[]Field{{"[a.b/c]", "x", "y"}, {"gone", true, nil}, {"new", nil, "value"}}},
		"items by name, and their order": {
			object{"containers": []any{container("a", "a:1"), container("b", "b:1")}}, object{"containers": []any{container("b", "b:2"), container("a", "a:1")}}, Meaning{},
			[]Field{{"containers[b].image", "b:1", "b:2"}, {"containers (order)", "a, b", "b, a"}}},
		"items by being equal":             {object{"args": []any{"x", "y"}}, object{"args": []any{"x", "z"}}, Meaning{}, []Field{{"args[1]", "y", "z"}}},
		"an item more":                     {object{"args": []any{"x", "z"}}, object{"args": []any{"x", "y", "z"}}, Meaning{}, []Field{{"args[1]", nil, "y"}}},
		"the order of equal items":         {[]any{"x", "y"}, []any{"y", "x"}, Meaning{}, []Field{{" (order)", []any{"x", "y"}, []any{"y", "x"}}}},
		"a list that becomes a map":        {object{"a": []any{}}, object{"a": object{}}, Meaning{}, []Field{{"a", []any{}, object{}}}},
		"an object that is not there":      {object(nil), object{"a": 1}, Meaning{}, []Field{{"a", nil, 1}}},
		"items by the API server's key":    {object{"spec": object{"containers": []any{object{"name": "c", "ports": []any{port(1, "x"), port(2, "y")}}}}}, object{"spec": object{"containers": []any{object{"name": "c", "ports": []any{port(1, "z"), port(2, "y")}}}}}, Meaning{Type: &corev1.Pod{}}, []Field{{"spec.containers[c].ports[1].name", "x", "z"}}},
		"the same time is another text":    {object{"a": "60s"}, object{"a": "1m"}, Meaning{}, []Field{{"a", "60s", "1m"}}},
		"the same time to who reads it so": {object{"a": "60s"}, object{"a": "1m"}, Meaning{Durations: true}, nil},
		"another time":                     {object{"a": "60s"}, object{"a": "2m"}, Meaning{Durations: true}, []Field{{"a", "60s", "2m"}}},
		"nothing is not no time at all":    {object{"a": "0"}, object{"a": "0s"}, Meaning{Durations: true}, []Field{{"a", "0", "0s"}}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, Between(tt.before, tt.after, tt.meaning)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
