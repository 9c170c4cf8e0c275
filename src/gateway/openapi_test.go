package gateway

import (
	"encoding/json"
	"strings"
	"testing"
)

// What the description says is served, and everything that it leaves out is not.
func TestDescriptionIsWhatIsServed(t *testing.T) {
	jup := newFake(t, says(200, `{}`))
	gw := start(t, "JUPITER_API_URL="+jup.URL+"/swap/v1")
	r := get(t, gw.api+"/openapi.json")
	var doc struct {
		OpenAPI string
		Servers []struct{ URL string }
		Paths   map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal([]byte(r.body), &doc); err != nil || r.status != 200 || doc.OpenAPI != "3.1.0" {
		t.Fatalf("status %d: %v", r.status, err)
	}
	described := map[string]bool{}
	for path, item := range doc.Paths {
		bases := []string{""}
		if item["servers"] == nil {
			for _, s := range doc.Servers {
				bases = append(bases, strings.TrimSuffix(s.URL, "/"))
			}
		}
		for _, base := range bases {
			url := gw.api + base + strings.ReplaceAll(path, "{path}", "tag")
			for _, method := range []string{"GET", "POST"} {
				_, has := item[strings.ToLower(method)]
				r := do(t, method, url, "")
				if r.status == 404 || (r.status != 405) != has {
					t.Errorf("%s %s is described: %v, and answers %d", method, url, has, r.status)
				}
			}
		}
		described[strings.TrimSuffix(path, "{path}")] = true
	}
	for _, r := range new(gateway).routes() {
		path, _, _ := strings.Cut(r.pattern, "{")
		for _, prefix := range []string{"/v6/", "/swap/v1/"} {
			if rest, ok := strings.CutPrefix(path, prefix); ok {
				path = "/" + rest
			}
		}
		if !described[path] && path != "/openapi.json" {
			t.Errorf("%s is served and not described", r.pattern)
		}
	}
}

func TestDescriptionsReferencesResolve(t *testing.T) {
	var doc map[string]any
	if err := json.Unmarshal(openAPI, &doc); err != nil {
		t.Fatal(err)
	}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok {
				var at any = doc
				for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
					m, _ := at.(map[string]any)
					at = m[part]
				}
				if at == nil {
					t.Errorf("%s leads nowhere", ref)
				}
			}
			for _, x := range v {
				walk(x)
			}
		case []any:
			for _, x := range v {
				walk(x)
			}
		}
	}
	walk(doc)
}
