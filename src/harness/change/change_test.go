package change

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"jupiter-dex-integration/src/harness"
)

// render is a repository of one network with the objects, as harness.Load would return it.
func render(networks map[string]string, argocd string) *harness.Render {
	as := func(name, text string) *harness.Overlay {
		return &harness.Overlay{Name: name, Objects: harness.Decode([]byte(text)), Output: map[harness.Variant][]byte{harness.Helm4: []byte(text)}}
	}
	r := &harness.Render{
		Source: &harness.Source{Root: "/repository", Versions: harness.Versions{"kubernetes": "1.37.2"}},
		Argo:   as(argoName, argocd),
	}
	for name, text := range networks {
		r.Overlays = append(r.Overlays, as(name, text))
	}
	return r
}

func file(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// documentWith returns the one document of some YAML that holds a text.
func documentWith(t testing.TB, text, part string) string {
	t.Helper()
	for doc := range strings.SplitSeq(text, "---\n") {
		if strings.Contains(doc, part) {
			return doc
		}
	}
	t.Fatalf("no document holds %q", part)
	return ""
}

// Each edit of the shop has the consequences that are told, on the lines that are told, and no others in its section.
func TestConsequences(t *testing.T) {
	shop, argocd := file(t, "testdata/shop.yaml"), file(t, "testdata/argocd.yaml")
	without := func(part string) [2]string { return [2]string{documentWith(t, shop, part) + "---\n", ""} }
	const none = "sha256:2222222222222222222222222222222222222222222222222222222222222222"
	for _, tt := range []struct {
		name     string
		edits    [][2]string
		severity Severity
		verdict  string
		section  string // the lines under it are all wanted
		want     []string
	}{
		{
			name:     "nothing but the way it is written",
			edits:    [][2]string{{"cpu: 500m", `cpu: "0.5"`}, {"interval: 60s", "interval: 1m"}, {"memory: 1Gi", "memory: 1024Mi"}},
			severity: None, verdict: "nothing changes",
		}, {
			name:     "a configuration key restarts what carries its checksum, and is traced",
			edits:    [][2]string{{"old.example.com", "new.example.com"}, {"checksum/config: one", "checksum/config: two"}},
			severity: Warning, verdict: "1 Deployment restarts (at least 3 pods), 1 configuration key, 2 objects changed, no deletions",
			section: "Restarts",
			want:    []string{"`Deployment/web`: 3 to 9 pods, rolling, at most 1 more and 0 fewer pods meanwhile: its configuration: `ConfigMap/web` changed `UPSTREAM`"},
		}, {
			name:     "a checksum of nothing",
			edits:    [][2]string{{"checksum/config: one", "checksum/config: two"}},
			severity: Warning, verdict: "1 Deployment restarts (at least 3 pods), 1 object changed, no deletions",
			section: "Restarts",
			want:    []string{"`Deployment/web`: 3 to 9 pods, rolling, at most 1 more and 0 fewer pods meanwhile: `metadata.annotations[checksum/config]` changes, though no key that its pods read does"},
		}, {
			name:     "a configuration key without a checksum reaches nobody before they restart",
			edits:    [][2]string{{"LIMIT: 10s", "LIMIT: 20s"}},
			severity: Notice, verdict: "1 configuration key, 1 object changed, no deletions",
			section: "Configuration and secrets (names only)",
			want:    []string{"`ConfigMap/web`: changed `LIMIT`; at its next run: `CronJob/report`; old value until something restarts it: `Deployment/web`, `Deployment/worker`"},
		}, {
			name:     "a mounted secret is seen without a restart",
			edits:    [][2]string{{"key: correct-horse", "key: battery-staple\n  second: another-one"}},
			severity: Notice, verdict: "2 configuration keys, 1 object changed, no deletions",
			section: "Configuration and secrets (names only)",
			want:    []string{"`Secret/web`: +`second`; changed `key`; from its files, without a restart: `Deployment/web`"},
		}, {
			name:     "a secret from elsewhere",
			edits:    [][2]string{{"property: password", "property: passphrase"}},
			severity: Notice, verdict: "1 configuration key, 1 object changed, no deletions",
			section: "Configuration and secrets (names only)",
			want:    []string{"`ExternalSecret/store`: changed `password`; no rendered pod reads it"},
		}, {
			name:     "an environment variable, whose value is not told",
			edits:    [][2]string{{"value: good-morning", "value: good-night"}},
			severity: Warning, verdict: "1 Deployment restarts (at least 3 pods), 1 object changed, no deletions",
			section: "Restarts",
			want:    []string{"`Deployment/web`: 3 to 9 pods, rolling, at most 1 more and 0 fewer pods meanwhile: `spec.containers[web].env[GREETING].value` changes"},
		}, {
			name:     "an environment variable of the same length of time is another text",
			edits:    [][2]string{{"value: 60s", "value: 1m"}},
			severity: Warning, verdict: "1 Deployment restarts (at least 3 pods), 1 object changed, no deletions",
		}, {
			name:     "all pods at once",
			edits:    [][2]string{{"name: worker\n          image: registry.example.com/worker:1", "name: worker\n          imagePullPolicy: Always\n          image: registry.example.com/worker:1"}},
			severity: Warning, verdict: "1 Deployment restarts (2 pods), 1 object changed, no deletions",
			section: "Restarts",
			want:    []string{"`Deployment/worker`: 2 pods, all at once: nothing serves meanwhile: `spec.containers[worker].imagePullPolicy` is now `Always`"},
		}, {
			name:     "fewer replicas",
			edits:    [][2]string{{"replicas: 2", "replicas: 1"}},
			severity: Warning, verdict: "1 change of scale, 1 object changed, no deletions",
			section: "Scale",
			want:    []string{"`Deployment/worker`: `pods` `2` → `1`"},
		}, {
			name:     "no replicas",
			edits:    [][2]string{{"replicas: 2", "replicas: 0"}},
			severity: Danger, verdict: "1 change of scale, 1 object changed, no deletions",
			section: "Scale",
			want:    []string{"`Deployment/worker`: `pods` `2` → `0` — nothing of it runs any more"},
		}, {
			name:     "the autoscaler's range and what it costs",
			edits:    [][2]string{{"maxReplicas: 9", "maxReplicas: 12"}},
			severity: Notice, verdict: "1 change of scale, 1 object changed, no deletions",
			section: "Scale",
			want:    []string{"`Deployment/web`: `pods` `3 to 9` → `3 to 12`", "`total`: `cpu requests` `1500m to 4500m` → `1500m to 6`", "`total`: `memory requests` `3Gi to 9Gi` → `3Gi to 12Gi`"},
		}, {
			name:     "an autoscaler takes over",
			edits:    [][2]string{{"  replicas: 2\n", ""}, {"---\napiVersion: v1\nkind: PersistentVolumeClaim", "---\napiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: worker, namespace: shop}\nspec: {minReplicas: 2, maxReplicas: 4, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: worker}}\n---\napiVersion: v1\nkind: PersistentVolumeClaim"}},
			severity: Warning, verdict: "1 change of scale, 1 object created, 1 object changed, no deletions",
			section: "Scale",
			want:    []string{"`Deployment/worker`: `pods, now scaled by HorizontalPodAutoscaler/worker` `2` → `2 to 4` — spec.replicas goes away: until the autoscaler acts, there may be one pod"},
		}, {
			name:     "another autoscaler",
			edits:    [][2]string{{"apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler", "apiVersion: keda.sh/v1alpha1\nkind: ScaledObject"}, {"  minReplicas: 3\n  maxReplicas: 9\n", "  minReplicaCount: 2\n  maxReplicaCount: 9\n"}},
			severity: Warning, verdict: "1 change of scale, 1 object created, **1 object deleted**",
			section: "Scale",
			want:    []string{"`Deployment/web`: `pods, now scaled by ScaledObject/web` `3 to 9` → `2 to 9`", "`total`: `cpu requests` `1500m to 4500m` → `1 to 4500m`", "`total`: `memory requests` `3Gi to 9Gi` → `2Gi to 9Gi`"},
		}, {
			name:     "a way out",
			edits:    [][2]string{{"        - port: 443", "        - port: 443\n    - to:\n        - ipBlock: {cidr: 203.0.113.0/24}\n      ports: [{port: 9092}, {port: 443}]"}},
			severity: Warning, verdict: "reach +2 −0, 1 object changed, no deletions",
			section: "May now connect",
			want:    []string{"`web`: to `203.0.113.0/24` on `443/TCP`, which `web → 0.0.0.0/0 except 10.0.0.0/8 443/TCP` allowed before", "`web`: to `203.0.113.0/24` on `9092/TCP`"},
		}, {
			name:     "a way in is gone",
			edits:    [][2]string{{`matchLabels: {client: "true"}`, "matchLabels: {client: partner}"}},
			severity: Warning, verdict: "reach +1 −1, 1 object changed, no deletions",
			section: "May no longer connect",
			want:    []string{"`pods with client=true of any namespace`: to `web` on `8080/TCP`"},
		}, {
			name:     "an alert",
			edits:    [][2]string{{"for: 5m", "for: 15m"}, {"errors > 0.1", "errors > 0.2"}},
			severity: Warning, verdict: "2 alerts, 1 object changed, no deletions",
			section: "Alerts",
			want:    []string{"`Burns (warning)`: changed: `expr` `errors > 0.1` → `errors > 0.2`", "`Slow`: changed: `for` `5m` → `15m`"},
		}, {
			name:     "an alert is gone",
			edits:    [][2]string{{"        - alert: Slow\n          expr: latency > 2\n          for: 5m\n          labels: {severity: critical}\n", ""}},
			severity: Warning, verdict: "1 alert, 1 object changed, no deletions",
			section: "Alerts",
			want:    []string{"`Slow`: deleted: `expr` was `latency > 2` and is gone; `for` was `5m` and is gone; `severity` was `critical` and is gone"},
		}, {
			name:     "an image that no network has tried",
			edits:    [][2]string{{"sha256:" + strings.Repeat("1", 64), none}},
			severity: Danger, verdict: "1 Deployment restarts (at least 3 pods), 1 image, 1 object changed, no deletions",
			section: "Images",
			want:    []string{"`Deployment/web`: `registry.example.com/web@sha256:" + strings.Repeat("1", 64) + "` → `registry.example.com/web@" + none + "`: testnet has never run it"},
		}, {
			name:     "an old API version",
			edits:    [][2]string{{"---\napiVersion: v1\nkind: PersistentVolumeClaim", "---\napiVersion: policy/v1beta1\nkind: PodDisruptionBudget\nmetadata: {name: web, namespace: shop}\n---\napiVersion: v1\nkind: PersistentVolumeClaim"}},
			severity: Danger, verdict: "1 API on the way out, 1 object created, no deletions",
			section: "APIs on the way out",
			want:    []string{"`PodDisruptionBudget/web`: `policy/v1beta1` is deprecated since 1.21, gone since 1.25, use policy/v1"},
		}, {
			name:     "permissions",
			edits:    [][2]string{{"resources: [configmaps]\n    verbs: [get, list]", "resources: [configmaps, secrets]\n    verbs: [get]"}},
			severity: Danger, verdict: "2 changes of access, 1 object changed, no deletions",
			section: "Access to the API server",
			want:    []string{"`ServiceAccount/web`: may now `get secrets` in `shop`", "`ServiceAccount/web`: may no longer `list configmaps` in `shop`"},
		}, {
			name:     "permissions put another way are no more",
			edits:    [][2]string{{"resources: [configmaps]\n    verbs: [get, list]", "resources: [configmaps]\n    verbs: [get]\n  - apiGroups: [\"\"]\n    resources: [configmaps]\n    verbs: [list]"}},
			severity: Notice, verdict: "1 object changed, no deletions",
		}, {
			name:     "a token for the API server",
			edits:    [][2]string{{"      automountServiceAccountToken: false\n      serviceAccountName: web\n", "      serviceAccountName: web\n"}},
			severity: Warning, verdict: "1 Deployment restarts (at least 3 pods), 1 change of access, 1 object changed, no deletions",
			section: "Access to the API server",
			want:    []string{"`Deployment/web`: now has `its pods' token for the API server` in `shop`"},
		}, {
			name:     "a role that somebody else wrote",
			edits:    [][2]string{{"  kind: Role\n  name: web", "  kind: ClusterRole\n  name: admin"}},
			severity: Danger, verdict: "2 changes of access, 1 object changed, no deletions",
			section: "Look at this before you merge",
			want:    []string{"**mainnet**: `RoleBinding/web`: Argo CD fails to sync it — the API server refuses the change: delete the object first, give it another name, or the annotation argocd.argoproj.io/sync-options: Replace=true,Force=true for one sync (`roleRef: Invalid value: field is immutable`)"},
		}, {
			name:     "a volume goes",
			edits:    [][2]string{without("kind: PersistentVolumeClaim")},
			severity: Danger, verdict: "**1 object deleted**",
			section: "Deleted: 1 object",
			want:    []string{"`PersistentVolumeClaim/uploads`: Argo CD deletes it, after the rest is healthy — deletes the volume's data, unless its storage class retains it"},
		}, {
			name:     "a volume must not shrink",
			edits:    [][2]string{{"storage: 5Gi", "storage: 1Gi"}},
			severity: Danger, verdict: "1 object changed, no deletions",
			section: "Look at this before you merge",
			want:    []string{"**mainnet**: `PersistentVolumeClaim/uploads`: Argo CD fails to sync it — the API server refuses the change: delete the object first, give it another name, or the annotation argocd.argoproj.io/sync-options: Replace=true,Force=true for one sync (`spec.resources.requests.storage: Forbidden: field can not be less than status.capacity`)"},
		}, {
			name:     "a field that cannot be changed, replaced by force",
			edits:    [][2]string{{"  name: store\n  namespace: shop\nspec:\n  replicas: 1\n  serviceName: store", "  name: store\n  namespace: shop\n  annotations:\n    argocd.argoproj.io/sync-options: Replace=true,Force=true\nspec:\n  replicas: 1\n  serviceName: shop"}},
			severity: Danger, verdict: "1 object changed, no deletions",
			section: "Look at this before you merge",
			want:    []string{"**mainnet**: `StatefulSet/store`: Argo CD deletes it and creates it again — stops its pods; their volume claims stay behind in between (`spec.serviceName: Invalid value: field is immutable`)"},
		}, {
			name:     "items of a list are matched by what the API server merges them by",
			edits:    [][2]string{{"    - name: http\n      port: 80\n      targetPort: http\n", "    - name: admin\n      port: 81\n    - name: http\n      port: 80\n      targetPort: web\n"}},
			severity: Notice, verdict: "1 object changed, no deletions",
			section: "Changed: 1 object",
			want:    []string{"`Service/web`: Argo CD patches it (server-side apply): `spec.ports[80].targetPort` `http` → `web`; `spec.ports[81]` is now `{\"name\":\"admin\",\"port\":81,\"targetPort\":0}`"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			after := shop
			for _, edit := range tt.edits {
				if strings.Count(after, edit[0]) == 0 {
					t.Fatalf("the shop does not hold %q", edit[0])
				}
				after = strings.Replace(after, edit[0], edit[1], 1)
			}
			base := render(map[string]string{"mainnet": shop}, argocd)
			head := render(map[string]string{"mainnet": after}, argocd)
			if err := harness.JudgeUpdate(t.Context(), "../../..", base, head); err != nil {
				t.Fatal(err)
			}
			report := Between(base, head, Facts{})
			n := report.Networks[0]
			if n.Severity != tt.severity || n.Verdict != tt.verdict {
				t.Errorf("%s: %q, want %s: %q", n.Severity, n.Verdict, tt.severity, tt.verdict)
			}
			text := Markdown(report, CommentLimit)
			if tt.section != "" {
				if diff := cmp.Diff(tt.want, section(text, tt.section)); diff != "" {
					t.Errorf("%s (-want +got):\n%s", tt.section, diff)
				}
			}
			for _, secret := range []string{"hunter2", "correct-horse", "battery-staple", "another-one", "good-morning", "good-night"} {
				if strings.Contains(text, secret) {
					t.Errorf("the report tells %q:\n%s", secret, text)
				}
			}
		})
	}
}

// section returns the items under a title.
func section(text, title string) []string {
	_, rest, _ := strings.Cut(text, "\n#### "+title+"\n")
	rest, _, _ = strings.Cut(rest, "\n####")
	rest, _, _ = strings.Cut(rest, "\n###")
	var items []string
	for l := range strings.Lines(rest) {
		if item, found := strings.CutPrefix(strings.TrimSuffix(l, "\n"), "- "); found {
			items = append(items, item)
		}
	}
	return items
}

func TestImagesArePromotedInOrder(t *testing.T) {
	const image = "registry.example.com/web@sha256:"
	one, two := image+strings.Repeat("1", 64), image+strings.Repeat("2", 64)
	pod := func(image string) string {
		return "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {template: {spec: {containers: [{name: web, image: \"" + image + "\"}]}}}\n"
	}
	had := func(network, digest string) bool { return network == "testnet" && strings.HasSuffix(two, digest) }
	for _, tt := range []struct {
		name            string
		before, after   string // mainnet's image
		testnet, merged string // testnet's image before and after
		had             func(network, digest string) bool
		want            string
		severity        Severity
	}{
		{"promoted from the network before", one, two, two, two, nil, "testnet runs it", Notice},
		{"rolled back to what ran there once", one, two, one, one, had, "testnet has run it", Notice},
		{"merged into both at once", one, two, one, two, nil, "testnet gets it in the same change, not before", Warning},
		{"never tried", one, two, one, one, nil, "testnet has never run it", Danger},
		{"a tag proves nothing", one, "registry.example.com/web:2", "registry.example.com/web:2", "registry.example.com/web:2", nil, "testnet runs the same tag, which may mean another image: only a digest tells", Warning},
		{"the same image from a mirror", one, "mirror.example.com/web@sha256:" + strings.Repeat("2", 64), two, two, nil, "testnet runs it", Notice},
	} {
		t.Run(tt.name, func(t *testing.T) {
			base := render(map[string]string{"mainnet": pod(tt.before), "testnet": pod(tt.testnet)}, "")
			head := render(map[string]string{"mainnet": pod(tt.after), "testnet": pod(tt.merged)}, "")
			got := Between(base, head, Facts{Had: tt.had}).Networks[0].Images
			want := []Image{{Workload: "Deployment/web", Container: "web", Before: tt.before, After: tt.after, Promotion: tt.want, Severity: tt.severity}}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestOnlyWhatTheHeadBreaksIsNew(t *testing.T) {
	r := render(map[string]string{"mainnet": ""}, "")
	old := harness.Finding{Rule: "no-secrets", Overlay: "mainnet", Object: "values.yaml:7", Problem: "looks like a secret"}
	moved := old
	moved.Object = "values.yaml:9"
	again := old
	again.Object = "values.yaml:12"
	mended := harness.Finding{Rule: "renders", Problem: "/repository/a.yaml: broken"}
	report := Between(r, r, Facts{Before: []harness.Finding{old, mended}, After: []harness.Finding{moved, again}})
	want := []Finding{{Rule: "no-secrets", Overlay: "mainnet", Object: "values.yaml:12", Problem: "looks like a secret"}}
	if diff := cmp.Diff(want, report.Findings); diff != "" || report.Mended != 1 || report.Severity != Danger {
		t.Errorf("mended %d, %s (-want +got):\n%s", report.Mended, report.Severity, diff)
	}
}

func TestAnOverlayThatDoesNotRenderIsNotAnEmptyOne(t *testing.T) {
	shop := file(t, "testdata/shop.yaml")
	base, head := render(map[string]string{"mainnet": shop}, ""), render(map[string]string{"mainnet": ""}, "")
	head.Overlays[0].Output = nil
	n := Between(base, head, Facts{}).Networks[0]
	if n.Severity != Danger || n.Verdict != "does not render" || len(n.Objects) > 0 {
		t.Errorf("%s: %q, %d objects", n.Severity, n.Verdict, len(n.Objects))
	}
}

func TestWhatOthersMustMakeFirstIsNew(t *testing.T) {
	base, head := render(map[string]string{"mainnet": ""}, ""), render(map[string]string{"mainnet": ""}, "")
	known := harness.Provided{Kind: "Secret", Name: "known", Keys: []string{"a"}, Why: "by hand"}
	wider := harness.Provided{Kind: "Secret", Name: "wider", Keys: []string{"a"}, Why: "by hand"}
	base.Overlays[0].Provided = []harness.Provided{known, wider}
	wider.Keys = []string{"a", "b"}
	head.Overlays[0].Provided = []harness.Provided{known, wider}
	report := Between(base, head, Facts{})
	if diff := cmp.Diff([]harness.Provided{wider}, report.Networks[0].Needs); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"`Secret/wider`: `by hand` with `a`, `b`"}, section(Markdown(report, CommentLimit), "To be made before the sync")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTheOrderOfObjectsIsNoChange(t *testing.T) {
	shop, argocd := file(t, "testdata/shop.yaml"), file(t, "testdata/argocd.yaml")
	documents := strings.Split(shop, "---\n")
	slices.Reverse(documents)
	report := Between(render(map[string]string{"mainnet": shop}, argocd), render(map[string]string{"mainnet": strings.Join(documents, "---\n")}, argocd), Facts{})
	if report.Severity != None {
		t.Errorf("%s:\n%s", report.Severity, Markdown(report, CommentLimit))
	}
}

// FuzzBetween edits objects at random: a render does not differ from itself, what is created one way is deleted the other
// way, the report is the same each time, fits, and tells no secret.
func FuzzBetween(f *testing.F) {
	shop, argocd := file(f, "testdata/shop.yaml"), file(f, "testdata/argocd.yaml")
	f.Add("correct-horse", "x")
	f.Add("kind: Deployment", "kind: StatefulSet")
	f.Add("name: web", "name: other")
	f.Add("---\napiVersion: apps/v1", "---\napiVersion: apps/v2")
	f.Add("rules:", "rules: 7\nold:")
	f.Add("groups:", "groups: [7, {rules: 7}, {rules: [7]}]\n  old:")
	f.Add("[ReadWriteOnce]", "{a: b}")
	f.Add("shop", "`<b>@someone</b>` [x](y)")
	base := render(map[string]string{"mainnet": shop}, argocd)
	f.Fuzz(func(t *testing.T, old, new string) {
		if len(old) < 3 || len(new) > 200 {
			t.Skip()
		}
		head := render(map[string]string{"mainnet": strings.ReplaceAll(shop, old, new)}, argocd)
		for _, r := range []*harness.Render{base, head} {
			if report := Between(r, r, Facts{}); report.Severity > None && len(report.Networks[0].APIs) == 0 {
				t.Errorf("differs from itself:\n%s", Markdown(report, CommentLimit))
			}
		}
		there, back := Between(base, head, Facts{}), Between(head, base, Facts{})
		ids := func(r *Report, action Action) (all []string) {
			for _, o := range r.Networks[0].Objects {
				if o.Action == action {
					all = append(all, o.key())
				}
			}
			slices.Sort(all)
			return all
		}
		for one, other := range map[Action]Action{Created: Deleted, Deleted: Created, Changed: Changed} {
			if diff := cmp.Diff(ids(there, one), ids(back, other)); diff != "" {
				t.Errorf("%s there, %s back:\n%s", one, other, diff)
			}
		}
		text := Markdown(there, CommentLimit)
		if again := Markdown(Between(base, head, Facts{}), CommentLimit); again != text {
			t.Errorf("twice is not the same:\n%s", cmp.Diff(text, again))
		}
		if len(text) > CommentLimit {
			t.Errorf("%d bytes", len(text))
		}
		if strings.Contains(text, "hunter2") && !strings.Contains(new, "hunter2") {
			t.Error("tells a secret")
		}
	})
}
