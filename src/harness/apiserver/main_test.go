package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
)

// requests are kinds with metadata that the API server answers and does not keep.
var requests = []string{"Binding", "ComponentStatus", "Eviction", "LocalSubjectAccessReview", "NodeProxyOptions", "PodStatusResult", "RangeAllocation", "Scale",
	"SelfSubjectAccessReview", "SelfSubjectReview", "SelfSubjectRulesReview", "SerializedReference", "SubjectAccessReview", "TokenRequest", "TokenReview"}

// unjudged are kinds whose creation depends on what a cluster holds.
var unjudged = []string{"MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding", "ResourceClaim", "ResourceClaimTemplate"}

func TestEveryStableKindIsJudged(t *testing.T) {
	for gvk := range legacyscheme.Scheme.AllKnownTypes() {
		object, err := legacyscheme.Scheme.New(gvk)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := meta.Accessor(object); err != nil || gvk.Version == "__internal" || strings.Contains(gvk.Version, "alpha") || strings.Contains(gvk.Version, "beta") ||
			slices.Contains(requests, gvk.Kind) || slices.Contains(unjudged, gvk.Kind) {
			continue
		}
		if strategies[gvk.GroupKind()] == nil {
			t.Errorf("%s is not judged", gvk)
		}
	}
	for kind := range strategies {
		if len(legacyscheme.Scheme.VersionsForGroupKind(kind)) == 0 {
			t.Errorf("%s cannot be decoded: its group is not installed", kind)
		}
	}
}

func TestAnswers(t *testing.T) {
	const secure = `"securityContext": {"runAsNonRoot": true, "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"}}`
	pod := func(namespace, rest string) string {
		return `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "` + namespace + `"}, "spec": {"containers": [{"name": "c", "image": "i"` + rest + `}]}}`
	}
	namespace := func(name, level string) string {
		return `{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "` + name + `", "labels": {"pod-security.kubernetes.io/enforce": "` + level + `"}}}`
	}
	for name, tt := range map[string]struct {
		objects []string
		want    string // of the last object, one line per answer
	}{
		"a good pod":                      {[]string{pod("", ", "+secure)}, ""},
		"a field that there is not":       {[]string{pod("", `, "imagePullPolcy": "Always", `+secure)}, "spec.containers[0].imagePullPolcy: unknown field"},
		"a field twice":                   {[]string{pod("", `, "image": "j", `+secure)}, "spec.containers[0].image: duplicate field"},
		"fields and values at once":       {[]string{pod("", `, "imagePullPolcy": "Always", "ports": [{"containerPort": 0}], `+secure)}, "spec.containers[0].imagePullPolcy: unknown field\nspec.containers[0].ports[0].containerPort: Required value"},
		"a value that cannot be read":     {[]string{`{"apiVersion": "v1", "kind": "Pod", "spec": []}`}, `: Pod in version "v1" cannot be handled as a Pod: json: cannot unmarshal array into Go struct field Pod.spec of type v1.PodSpec`},
		"a pod of no stated namespace":    {[]string{pod("", "")}, `security: violates PodSecurity "restricted:latest"`},
		"a pod of a privileged namespace": {[]string{namespace("n", "privileged"), pod("n", "")}, ""},
		"a pod of another namespace":      {[]string{namespace("n", "privileged"), pod("m", "")}, `security: violates PodSecurity "restricted:latest"`},
		"a level that there is not":       {[]string{namespace("n", "strict")}, "metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"strict\": must be one of privileged, baseline, restricted"},
		"a variable twice":                {[]string{pod("", `, "env": [{"name": "A"}, {"name": "A", "value": "b"}], `+secure)}, `warning: spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when using apply`},
		"a kind that there is not":        {[]string{`{"apiVersion": "v1", "kind": "Pood"}`}, "unknown"},
		"a version that there is not":     {[]string{`{"apiVersion": "v2", "kind": "Pod"}`}, "unknown"},
		"a headless Service":              {[]string{`{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"clusterIP": "None", "ports": [{"port": 80}]}}`}, ""},
		"a cluster's object in a namespace": {[]string{`{"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "p", "namespace": "n"}, "value": 1}`},
			""}, // which the API server drops
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := serve(strings.NewReader(`{"Objects": [`+strings.Join(tt.objects, ",")+`]}`), &out); err != nil {
				t.Fatal(err)
			}
			var verdicts []Verdict
			if err := json.Unmarshal(out.Bytes(), &verdicts); err != nil || len(verdicts) != len(tt.objects) {
				t.Fatalf("%s: %v", &out, err)
			}
			verdict := verdicts[len(verdicts)-1]
			var got []string
			if verdict.Unknown {
				got = append(got, "unknown")
			}
			for _, cause := range verdict.Refused {
				got = append(got, cause.Field+": "+cause.Message)
			}
			for _, warning := range verdict.Warnings {
				got = append(got, "warning: "+warning)
			}
			if verdict.PodSecurity != "" {
				level, _, _ := strings.Cut(verdict.PodSecurity, `": `)
				got = append(got, "security: "+level+`"`)
			}
			if answer := strings.Join(got, "\n"); answer != tt.want {
				t.Errorf("answer\n%s\nwant\n%s", answer, tt.want)
			}
		})
	}
}

func TestUnreadableDefinitionIsAnError(t *testing.T) {
	err := serve(strings.NewReader(`{"Definitions": {"Widget.example.com": "missing.yaml"}, "Objects": [{"apiVersion": "example.com/v1", "kind": "Widget"}]}`), &bytes.Buffer{})
	if err == nil || !strings.Contains(err.Error(), "reading the definition of Widget") {
		t.Errorf("error %v", err)
	}
}

// Path of an unknown field, and some of the fields that there are beside it.
func TestAnUnknownFieldComesWithThoseThatThereAre(t *testing.T) {
	definition := filepath.Join(t.TempDir(), "widgets.yaml")
	if err := os.WriteFile(definition, []byte(widgets), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ object, field, known, unknown string }{
		{`{apiVersion: v1, kind: Pod, spec: {containers: [{}, {imagePullPolcy: Always}]}}`, "spec.containers[1].imagePullPolcy", "imagePullPolicy", "containers"},
		{`{apiVersion: v1, kind: Pod, spec: {containers: [{startupProbe: {httpGet: {prot: 1}}}]}}`, "spec.containers[0].startupProbe.httpGet.prot", "port", ""},
		{`{apiVersion: v1, kind: Pod, spec: {volumes: [{name: v, secert: {secretName: s}}]}}`, "spec.volumes[0].secert", "secret", "secretName"}, // of an embedded struct
		{`{apiVersion: v1, kind: Pod, lables: {a: b}}`, "lables", "metadata", "labels"},
		{`{apiVersion: v1, kind: Pod, metadata: {lables: {a: b}}}`, "metadata.lables", "labels", "spec"},
		{`{apiVersion: v1, kind: Pod, metadata: {managedFields: [{fieldsV1: {}, tmie: null}]}}`, "metadata.managedFields[0].tmie", "time", ""},
		{`{apiVersion: example.com/v1, kind: Widget, spec: {color: red}}`, "spec.color", "colour", "spec"},
		{`{apiVersion: example.com/v1, kind: Widget, spec: {parts: [{by: {maker: {naem: x}}}]}}`, "spec.parts[0].by.maker.naem", "name", ""},
		{`{apiVersion: example.com/v1, kind: Widget, metadata: {lables: {a: b}}}`, "metadata.lables", "labels", "spec"},
	} {
		verdicts, err := newServer().judge(Batch{Definitions: map[string]string{"Widget.example.com": definition}, Objects: []json.RawMessage{asJSON(t, tt.object)}})
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(verdicts[0].Refused, func(c Cause) bool { return c.Field == tt.field && c.Message == "unknown field" })
		if i < 0 {
			t.Errorf("%s: refused %+v", tt.object, verdicts[0].Refused)
		} else if known := verdicts[0].Refused[i].Known; !slices.Contains(known, tt.known) || slices.Contains(known, tt.unknown) {
			t.Errorf("%s: beside it there are %v", tt.field, known)
		}
	}
}
