package backup

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"jupiter-dex-integration/src/platform"
)

// apiServer answers for ConfigMaps and Secrets as Kubernetes does: it makes the fields of metadata that are its own, refuses
// what exists, and lets through what it grants alone.
type apiServer struct {
	mu         sync.Mutex
	objects    map[string]map[string]any // by NAMESPACE/KIND/NAME
	version    int
	grants     func(Access) bool // nil grants all
	calls      map[Access]bool
	kubeconfig string
}

func newAPIServer(t *testing.T) *apiServer {
	t.Helper()
	s := &apiServer{objects: map[string]map[string]any{}, calls: map[Access]bool{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/namespaces/{namespace}/{kind}/{name}", s.serve("get"))
	mux.HandleFunc("POST /api/v1/namespaces/{namespace}/{kind}", s.serve("create"))
	mux.HandleFunc("PUT /api/v1/namespaces/{namespace}/{kind}/{name}", s.serve("update"))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	s.kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf("{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: c, user: u}}], "+
		"clusters: [{name: c, cluster: {server: %q}}], users: [{name: u, user: {token: t}}]}", server.URL)
	if err := os.WriteFile(s.kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *apiServer) serve(verb string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		kind, name := r.PathValue("kind"), r.PathValue("name")
		asked := Access{verb, kind, name}
		s.calls[asked] = true
		refuse := func(code int, reason string) {
			w.WriteHeader(code)
			json.NewEncoder(w).Encode(map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": fmt.Sprintf("%s %q: %s", kind, name, reason)})
		}
		if s.grants != nil && !s.grants(asked) {
			refuse(http.StatusForbidden, "Forbidden")
			return
		}
		var object map[string]any
		if verb != "get" {
			body, err := io.ReadAll(r.Body)
			if err != nil || json.Unmarshal(body, &object) != nil {
				refuse(http.StatusBadRequest, "BadRequest")
				return
			}
			name, _ = object["metadata"].(map[string]any)["name"].(string)
		}
		key := r.PathValue("namespace") + "/" + kind + "/" + name
		existing := s.objects[key]
		switch {
		case verb == "create" && existing != nil:
			refuse(http.StatusConflict, "AlreadyExists")
			return
		case verb != "create" && existing == nil:
			refuse(http.StatusNotFound, "NotFound")
			return
		case verb == "update" && object["metadata"].(map[string]any)["resourceVersion"] != existing["metadata"].(map[string]any)["resourceVersion"]:
			refuse(http.StatusConflict, "Conflict")
			return
		case verb == "update" && existing["immutable"] == true:
			refuse(http.StatusUnprocessableEntity, "Invalid")
			return
		case verb != "get":
			s.put(r.PathValue("namespace"), kind, object)
		}
		json.NewEncoder(w).Encode(s.objects[key])
	}
}

// put stores an object with what the server adds to it.
func (s *apiServer) put(namespace, kind string, object map[string]any) {
	s.version++
	object["apiVersion"], object["kind"] = "v1", map[string]string{"configmaps": "ConfigMap", "secrets": "Secret"}[kind]
	metadata := object["metadata"].(map[string]any)
	metadata["namespace"] = namespace
	metadata["resourceVersion"] = strconv.Itoa(s.version)
	metadata["uid"] = fmt.Sprintf("%08d-0000-0000-0000-000000000000", s.version)
	metadata["creationTimestamp"] = "2026-01-02T03:04:05Z"
	metadata["managedFields"] = []any{map[string]any{"manager": "test", "operation": "Apply", "apiVersion": "v1"}}
	s.objects[namespace+"/"+kind+"/"+metadata["name"].(string)] = object
}

func (s *apiServer) putAll(t *testing.T, namespace string, objects map[string]string) {
	t.Helper()
	for _, id := range slices.Sorted(maps.Keys(objects)) {
		kind, name, _ := strings.Cut(id, "/")
		var object map[string]any
		if err := json.Unmarshal([]byte(objects[id]), &object); err != nil {
			t.Fatal(err)
		}
		metadata, _ := object["metadata"].(map[string]any)
		if metadata == nil {
			metadata = map[string]any{}
		}
		metadata["name"] = name
		object["metadata"] = metadata
		s.put(namespace, kind, object)
	}
}

// of returns what people wrote of the objects in a namespace, not what the server added.
func (s *apiServer) of(t *testing.T, namespace string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for key, object := range s.objects {
		id, inside := strings.CutPrefix(key, namespace+"/")
		if !inside {
			continue
		}
		written := maps.Clone(object)
		metadata := map[string]any{}
		for _, field := range []string{"name", "labels", "annotations"} {
			if value, ok := object["metadata"].(map[string]any)[field]; ok {
				metadata[field] = value
			}
		}
		written["metadata"] = metadata
		text, err := json.Marshal(written)
		if err != nil {
			t.Fatal(err)
		}
		all[id] = string(text)
	}
	return all
}

// release is what a chart leaves in a namespace; the Secret of the operator has an owner there.
var release = map[string]string{
	"configmaps/dex-api-gateway": `{"metadata": {"labels": {"app.kubernetes.io/name": "dex"}, "annotations": {"a": "b"}}, "data": {"LOG_LEVEL": "info", "EMPTY": ""}}`,
	"configmaps/dex-pool":        `{"immutable": true, "binaryData": {"market": "AP8K"}}`,
	"secrets/dex":                `{"type": "Opaque", "data": {"jupiter-api-key": "c2VjcmV0"}, "metadata": {"ownerReferences": [{"apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret", "name": "dex", "uid": "gone"}]}}`,
	"secrets/pull":               `{"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": "e30="}}`,
}

func (s *apiServer) environ(namespace string) []string {
	return []string{"KUBECONFIG=" + s.kubeconfig, "BACKUP_NAMESPACE=" + namespace, "BACKUP_OBJECTS=" + strings.Join(slices.Sorted(maps.Keys(release)), ",")}
}

func TestNamespaceThatIsGoneComesBackEqual(t *testing.T) {
	for _, scheme := range []string{"file", "s3"} {
		t.Run(scheme, func(t *testing.T) {
			b, api := newBench(t, scheme), newAPIServer(t)
			fill(t, b.redis)
			api.putAll(t, "before", release)
			api.putAll(t, "before", map[string]string{"secrets/somebody-elses": `{"data": {"k": "dg=="}}`})
			wantKeys, _ := keys(t, b.redis)
			wantObjects := api.of(t, "before")
			delete(wantObjects, "secrets/somebody-elses")

			if err := b.run(t, api.environ("before")...); err != nil {
				t.Fatal(err)
			}
			if err := b.verify(t); err != nil {
				t.Fatal(err)
			}
			m, err := readManifest(t.Context(), b.dest, b.only(t), nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := map[string]int{"configmaps": m.Contents["configmaps"].Records, "secrets": m.Contents["secrets"].Records, "redis": m.Contents["redis"].Records}; !maps.Equal(got, map[string]int{"configmaps": 2, "secrets": 2, "redis": len(wantKeys)}) {
				t.Errorf("the manifest counts %v", got)
			}
			clear(api.objects)
			into := realRedis(t)
			if err := b.restore(t, into, api.environ("after")...); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(wantObjects, api.of(t, "after")); diff != "" {
				t.Errorf("-before +after\n%s", diff)
			}
			gotKeys, _ := keys(t, into)
			if diff := cmp.Diff(wantKeys, gotKeys); diff != "" {
				t.Errorf("-before +after\n%s", diff)
			}
			if owners := api.objects["after/secrets/dex"]["metadata"].(map[string]any)["ownerReferences"]; owners != nil {
				t.Errorf("an owner that is gone takes the Secret along: %v", owners)
			}
			// What is restored is what would be saved again: equal hashes.
			if err := b.restore(t, into, append(api.environ("after"), "BACKUP_RESTORE_KINDS=configmaps,secrets")...); err != nil {
				t.Errorf("restoring equal objects: %v", err)
			}
		})
	}
}

func TestObjectThatCannotBeReadIsReported(t *testing.T) {
	b, api := newBench(t, "file"), newAPIServer(t)
	fill(t, b.redis)
	api.putAll(t, "dex", release)
	delete(api.objects, "dex/configmaps/dex-pool")
	api.grants = func(a Access) bool { return a.Name != "pull" }
	err := b.run(t, api.environ("dex")...)
	if err == nil || !strings.Contains(err.Error(), "configmaps/dex-pool") || !strings.Contains(err.Error(), "secrets/pull") {
		t.Errorf("the error does not name both: %v", err)
	}
	m, err := readManifest(t.Context(), b.dest, b.only(t), nil)
	if err != nil || m.Unread != 2 || m.Contents["secrets"].Records != 1 || m.Contents["redis"].Records == 0 {
		t.Errorf("manifest %+v, %v", m, err)
	}
}

func TestRedisIsSavedThoughTheAPIServerIsGone(t *testing.T) {
	b, api := newBench(t, "file"), newAPIServer(t)
	fill(t, b.redis)
	environ := api.environ("dex")
	if err := os.WriteFile(api.kubeconfig, []byte("{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: c}}], clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := b.run(t, environ...); err == nil || !strings.Contains(err.Error(), "the API server cannot be asked") {
		t.Errorf("error %v", err)
	}
	m, err := readManifest(t.Context(), b.dest, b.only(t), nil)
	if err != nil || m.Unread != len(release) || m.Contents["redis"].Records == 0 {
		t.Errorf("manifest %+v, %v", m, err)
	}
}

func TestRestoreLeavesOtherContentUnlessTold(t *testing.T) {
	b, api := newBench(t, "file"), newAPIServer(t)
	fill(t, b.redis)
	api.putAll(t, "dex", release)
	if err := b.run(t, api.environ("dex")...); err != nil {
		t.Fatal(err)
	}
	want := api.of(t, "dex")
	api.putAll(t, "dex", map[string]string{"configmaps/dex-api-gateway": `{"data": {"LOG_LEVEL": "debug"}}`})
	only := append(api.environ("dex"), "BACKUP_RESTORE_KINDS=configmaps,secrets")

	err := b.restore(t, b.redis, only...)
	if !errors.Is(err, errDiffers) || !strings.Contains(err.Error(), "configmaps/dex-api-gateway") {
		t.Errorf("error %v", err)
	}
	if got := api.of(t, "dex")["configmaps/dex-api-gateway"]; !strings.Contains(got, "debug") {
		t.Errorf("it was replaced: %s", got)
	}
	if err := b.restore(t, b.redis, append(only, "BACKUP_RESTORE_REPLACE=true")...); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, api.of(t, "dex")); diff != "" {
		t.Errorf("-saved +restored\n%s", diff)
	}
}

func TestRestoreRefusesWhatIsNotTheReleases(t *testing.T) {
	b, api := newBench(t, "file"), newAPIServer(t)
	fill(t, b.redis)
	api.putAll(t, "dex", release)
	if err := b.run(t, api.environ("dex")...); err != nil {
		t.Fatal(err)
	}
	environ := []string{"KUBECONFIG=" + api.kubeconfig, "BACKUP_NAMESPACE=other", "BACKUP_OBJECTS=secrets/dex", "BACKUP_RESTORE_KINDS=configmaps,secrets"}
	if err := b.restore(t, b.redis, environ...); !errors.Is(err, errNotOurs) || !strings.Contains(err.Error(), "secrets/pull") {
		t.Errorf("error %v", err)
	}
	if err := b.restore(t, b.redis, environ[0], "BACKUP_RESTORE_REPLACE=true"); err == nil || !strings.Contains(err.Error(), "set BACKUP_NAMESPACE") {
		t.Errorf("restoring objects to nowhere: %v", err)
	}
	if got := slices.Collect(maps.Keys(api.of(t, "other"))); !slices.Equal(got, []string{"secrets/dex"}) {
		t.Errorf("restored %v", got)
	}
}

// TestAccessIsWhatTheCommandsDo proves both directions: with what Access names granted and nothing else everything works, and
// everything that it names is used.
func TestAccessIsWhatTheCommandsDo(t *testing.T) {
	b, api := newBench(t, "file"), newAPIServer(t)
	fill(t, b.redis)
	api.putAll(t, "dex", release)
	delete(api.objects, "dex/configmaps/dex-pool") // immutable: cannot be updated
	environ := append(api.environ("dex"), "BACKUP_OBJECTS=configmaps/dex-api-gateway,secrets/dex,secrets/pull")
	grant := func(list []Access) {
		clear(api.calls)
		api.grants = func(a Access) bool { return slices.Contains(list, a) }
	}
	used := func(list []Access) {
		t.Helper()
		want := map[Access]bool{}
		for _, a := range list {
			want[a] = true
		}
		if diff := cmp.Diff(want, api.calls); diff != "" {
			t.Errorf("-granted +used\n%s", diff)
		}
	}

	run := load[RunConfig](t, b.runEnviron(environ...)...).Access()
	grant(run)
	if err := b.run(t, environ...); err != nil {
		t.Fatal(err)
	}
	used(run)

	environ = append(environ, "BACKUP_RESTORE_KINDS=configmaps,secrets")
	config := func(environ ...string) []Access {
		return load[RestoreConfig](t, slices.Concat([]string{"BACKUP_AGE_IDENTITY=" + b.identity.String()}, b.destination, environ)...).Access()
	}
	restore := config(environ...)
	grant(restore)
	if err := b.restore(t, b.redis, environ...); err != nil {
		t.Fatal(err)
	}
	used(restore)

	environ = append(environ, "BACKUP_RESTORE_REPLACE=true")
	replace := config(environ...)
	api.putAll(t, "dex", map[string]string{"configmaps/dex-api-gateway": `{}`, "secrets/dex": `{}`, "secrets/pull": `{}`})
	grant(replace)
	if err := b.restore(t, b.redis, environ...); err != nil {
		t.Fatal(err)
	}
	used(replace)
}

func TestRestoreWaitsForRedisAndOnlyIfItMust(t *testing.T) {
	b, api := newBench(t, "file"), newAPIServer(t)
	fill(t, b.redis)
	api.putAll(t, "dex", release)
	if err := b.run(t, api.environ("dex")...); err != nil {
		t.Fatal(err)
	}
	gone := slices.Concat([]string{"REDIS_URL=unix:///nowhere/redis.sock", "BACKUP_AGE_IDENTITY=" + b.identity.String(), "BACKUP_RESTORE_KINDS=configmaps"}, b.destination, api.environ("dex"))
	if err := Restore(t.Context(), load[RestoreConfig](t, gone...), process); err != nil {
		t.Errorf("restoring objects alone: %v", err)
	}
	gone = append(gone, "BACKUP_RESTORE_KINDS=redis", "BACKUP_TIMEOUT=1500ms")
	if err := Restore(t.Context(), load[RestoreConfig](t, gone...), process); err == nil || !strings.Contains(err.Error(), "asking Redis whether it is there") {
		t.Errorf("error %v", err)
	}
}

func TestPushgatewayHearsOfEveryRun(t *testing.T) {
	b := newBench(t, "file")
	fill(t, b.redis)
	var path, body string
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		path, body = r.Method+" "+r.URL.Path, string(text)
	}))
	t.Cleanup(gateway.Close)
	environ := []string{"BACKUP_PUSHGATEWAY_URL=" + gateway.URL, "BACKUP_NAMESPACE=dex"}
	if err := b.run(t, environ...); err != nil {
		t.Fatal(err)
	}
	// POST leaves what it does not name as it was.
	if want := "POST /metrics/job/jupiter-backup/namespace/dex"; path != want {
		t.Errorf("%s, want %s", path, want)
	}
	if !strings.Contains(body, "jupiter_backup_last_success_timestamp_seconds") || !strings.Contains(body, "jupiter_backup_records") {
		t.Errorf("pushed %q", body)
	}
	if err := b.run(t, append(environ, "BACKUP_REDIS_PREFIXES=nothing:")...); err == nil {
		t.Fatal("an empty backup is a success")
	}
	if strings.Contains(body, "last_success") || !strings.Contains(body, "jupiter_backup_last_run_timestamp_seconds") {
		t.Errorf("a failed run pushed %q", body)
	}
	gateway.Close()
	var log strings.Builder
	p := platform.NewProcess("backup", slog.New(slog.NewTextHandler(&log, nil)))
	if err := Run(t.Context(), load[RunConfig](t, b.runEnviron(environ...)...), p); err != nil && !strings.Contains(err.Error(), "within this second") {
		t.Errorf("a Pushgateway that is gone fails the backup: %v", err)
	}
	if !strings.Contains(log.String(), "Pushgateway") {
		t.Errorf("nothing is said: %s", log.String())
	}
}
