package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const (
	podTemplate = `{metadata: {labels: {a: b}}, spec: {restartPolicy: %s, containers: [{name: c, image: i, env: [{name: KEY, value: hunter2}]}]}}`
	widgets     = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {kind: Widget, plural: widgets}
  versions:
  - &v1
    name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              colour: {type: string, maxLength: 9, x-kubernetes-validations: [{rule: self == oldSelf, message: paint does not come off}]}
              size: {type: integer, maximum: 9}
              parts:
                type: array
                items:
                  type: object
                  properties:
                    by: {type: object, additionalProperties: {type: object, properties: {name: {type: string}}}}
  - <<: *v1
    name: v2
    storage: false
`
)

// Each object of a kind is as the first text says with one edit after the other made to it.
func TestUpdates(t *testing.T) {
	definition := filepath.Join(t.TempDir(), "widgets.yaml")
	if err := os.WriteFile(definition, []byte(widgets), 0o644); err != nil {
		t.Fatal(err)
	}
	always, never := strings.ReplaceAll(podTemplate, "%s", "Always"), strings.ReplaceAll(podTemplate, "%s", "Never")
	for kind, tt := range map[string]struct {
		stored string
		edits  map[string]string // "old → new" and what the API server says
	}{
		"Deployment": {`{apiVersion: apps/v1, kind: Deployment, metadata: {name: d}, spec: {selector: {matchLabels: {a: b}}, template: ` + always + `}}`, map[string]string{
			"image: i → image: j": "",
			"{a: b} → {a: c}":     "spec.selector: Invalid value: field is immutable",
			"name: c, → name: C,": "", // refused however it comes
			"name: c, → nmae: c,": "",
		}},
		"StatefulSet": {`{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: s}, spec: {replicas: 1, serviceName: s, selector: {matchLabels: {a: b}}, template: ` + always + `,
			volumeClaimTemplates: [{metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}]}}`, map[string]string{
			"replicas: 1 → replicas: 2":       "",
			"image: i → image: j":             "",
			"storage: 1Gi → storage: 1024Mi":  "",
			"storage: 1Gi → storage: 2Gi":     "spec.volumeClaimTemplates: Invalid value: field is immutable",
			"serviceName: s → serviceName: t": "spec.serviceName: Invalid value: field is immutable",
		}},
		"Job": {`{apiVersion: batch/v1, kind: Job, metadata: {name: j}, spec: {backoffLimit: 1, template: ` + never + `}}`, map[string]string{
			"backoffLimit: 1 → backoffLimit: 2": "",
			"image: i → image: j":               "spec.template: Invalid value: field is immutable",
			"hunter2 → hunter3":                 "spec.template: Invalid value: field is immutable",
		}},
		"Service": {`{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {ports: [{port: 80}]}}`, map[string]string{
			"port: 80 → port: 81":                                  "",
			"{ports → {clusterIP: None, ports":                     "spec.clusterIPs[0]: Invalid value: may not change once set",
			"{ports → {clusterIP: 10.0.0.9, ports":                 "spec.clusterIPs[0]: Invalid value: may not change once set",
			"{ports → {type: NodePort, ports":                      "",
			"{ports → {type: ExternalName, externalName: e, ports": "",
		}},
		"headless Service": {`{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {clusterIP: None, ports: [{port: 80}]}}`, map[string]string{
			"clusterIP: None, → ":                   "", // which leaves it headless
			"clusterIP: None → clusterIP: 10.0.0.9": "spec.clusterIPs[0]: Invalid value: may not change once set",
		}},
		"PersistentVolumeClaim": {`{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: p}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 2Gi}}}}`, map[string]string{
			"2Gi → 3Gi":                     "",
			"2Gi → 1Gi":                     "spec.resources.requests.storage: Forbidden: field can not be less than status.capacity",
			"ReadWriteOnce → ReadWriteMany": "spec: Forbidden: spec is immutable after creation",
			"{accessModes → {storageClassName: s, accessModes": "spec: Forbidden: spec is immutable after creation",
		}},
		"ConfigMap": {`{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {a: hunter2}}`, map[string]string{"hunter2 → hunter3": ""}},
		"immutable ConfigMap": {`{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, immutable: true, data: {a: hunter2}}`, map[string]string{
			"hunter2 → hunter3":                   "data: Forbidden: field is immutable when `immutable` is set",
			"immutable: true → immutable: false":  "immutable: Forbidden: field is immutable when `immutable` is set",
			"name: c} → name: c, labels: {a: b}}": "",
		}},
		"immutable Secret": {`{apiVersion: v1, kind: Secret, type: Opaque, metadata: {name: s}, immutable: true, stringData: {a: hunter2}}`, map[string]string{
			"hunter2 → hunter3": "data: Forbidden: field is immutable when `immutable` is set",
			"Opaque → mine":     "type: Invalid value: field is immutable",
		}},
		"RoleBinding": {`{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: r}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: r}, subjects: [{kind: ServiceAccount, name: a, namespace: other}]}`, map[string]string{
			"kind: Role, → kind: ClusterRole,": "roleRef: Invalid value: field is immutable",
			"name: a, → name: b,":              "",
		}},
		"StorageClass": {`{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: s}, provisioner: p, parameters: {a: b}}`, map[string]string{
			"a: b → a: c":                                 "parameters: Invalid value: field is immutable",
			"provisioner: p → provisioner: q":             "provisioner: Invalid value: field is immutable",
			"{a: b} → {a: b}, allowVolumeExpansion: true": "",
		}},
		"PriorityClass": {`{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {name: p}, value: 1}`, map[string]string{
			"value: 1 → value: 2":                 "value: Forbidden: may not be changed in an update.",
			"value: 1 → value: 1, description: d": "",
		}},
		"HorizontalPodAutoscaler": {`{apiVersion: autoscaling/v1, kind: HorizontalPodAutoscaler, metadata: {name: h}, spec: {maxReplicas: 3, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: d}}}`, map[string]string{
			"autoscaling/v1 → autoscaling/v2": "",
		}},
		"Widget": {`{apiVersion: example.com/v1, kind: Widget, metadata: {name: w}, spec: {colour: red, size: 1}}`, map[string]string{
			"size: 1 → size: 2":                   "",
			"size: 1 → size: 10":                  "", // refused however it comes
			"colour: red → colour: blue":          "spec.colour: Invalid value: paint does not come off",
			"v1, kind: Widget → v2, kind: Widget": "",
		}},
	} {
		for edit, want := range tt.edits {
			t.Run(kind+": "+edit, func(t *testing.T) {
				old, new, _ := strings.Cut(edit, " → ")
				next := strings.Replace(tt.stored, old, new, 1)
				if kind == "Deployment" && new == "{a: c}" {
					next = strings.ReplaceAll(tt.stored, old, new)
				}
				if next == tt.stored {
					t.Fatalf("nothing is edited in %s", tt.stored)
				}
				stored, object := asJSON(t, tt.stored), asJSON(t, next)
				batch := Batch{Definitions: map[string]string{"Widget.example.com": definition}, Objects: []json.RawMessage{stored}}
				verdicts, err := newServer().judge(batch)
				if err != nil || len(verdicts[0].Refused) > 0 || verdicts[0].Unknown {
					t.Fatalf("the stored object: %+v, %v", verdicts, err)
				}
				batch.Objects, batch.Stored = []json.RawMessage{object}, []json.RawMessage{stored}
				if verdicts, err = newServer().judge(batch); err != nil {
					t.Fatal(err)
				}
				var got []string
				for _, cause := range verdicts[0].Fixed {
					got = append(got, cause.Field+": "+cause.Message)
				}
				if answer := strings.Join(got, "\n"); (answer == "") != (want == "") || !strings.HasPrefix(answer, want) || len(got) > 1 || strings.Contains(answer, "hunter") {
					t.Errorf("answer\n%s\nwant\n%s", answer, want)
				}
			})
		}
	}
	if err := serve(strings.NewReader(`{"Objects": [{}], "Stored": [{}, {}]}`), &bytes.Buffer{}); err == nil {
		t.Error("two stored objects for a new one are no error")
	}
}

func asJSON(t *testing.T, text string) json.RawMessage {
	t.Helper()
	data, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return data
}
