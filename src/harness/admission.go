package harness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

const (
	argoModule     = "github.com/argoproj/argo-cd/v3"
	secretsModule  = "github.com/external-secrets/external-secrets"
	kedaModule     = "github.com/kedacore/keda/v2"
	operatorModule = "github.com/prometheus-operator/prometheus-operator"
)

// definitions says where each custom resource's definition lies in the module of the operator that reads it. The versions
// are pinned in crds/go.mod.
var definitions = map[schema.GroupKind]struct{ module, file string }{
	{Group: "argoproj.io", Kind: "Application"}:                  {argoModule, "manifests/crds/application-crd.yaml"},
	{Group: "argoproj.io", Kind: "ApplicationSet"}:               {argoModule, "manifests/crds/applicationset-crd.yaml"},
	{Group: "argoproj.io", Kind: "AppProject"}:                   {argoModule, "manifests/crds/appproject-crd.yaml"},
	{Group: "external-secrets.io", Kind: "ExternalSecret"}:       {secretsModule, "config/crds/bases/external-secrets.io_externalsecrets.yaml"},
	{Group: "external-secrets.io", Kind: "SecretStore"}:          {secretsModule, "config/crds/bases/external-secrets.io_secretstores.yaml"},
	{Group: "external-secrets.io", Kind: "ClusterSecretStore"}:   {secretsModule, "config/crds/bases/external-secrets.io_clustersecretstores.yaml"},
	{Group: "keda.sh", Kind: "ScaledObject"}:                     {kedaModule, "config/crd/bases/keda.sh_scaledobjects.yaml"},
	{Group: "keda.sh", Kind: "TriggerAuthentication"}:            {kedaModule, "config/crd/bases/keda.sh_triggerauthentications.yaml"},
	{Group: "monitoring.coreos.com", Kind: "PodMonitor"}:         {operatorModule, "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml"},
	{Group: "monitoring.coreos.com", Kind: "Probe"}:              {operatorModule, "example/prometheus-operator-crd/monitoring.coreos.com_probes.yaml"},
	{Group: "monitoring.coreos.com", Kind: "PrometheusRule"}:     {operatorModule, "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml"},
	{Group: "monitoring.coreos.com", Kind: "ServiceMonitor"}:     {operatorModule, "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml"},
	{Group: "monitoring.coreos.com", Kind: "AlertmanagerConfig"}: {operatorModule, "example/prometheus-operator-crd/monitoring.coreos.com_alertmanagerconfigs.yaml"},
}

// A verdict is what an API server of the pinned version answers when an object is created in an empty cluster, or put in the
// place of a stored one: apiserver/ holds the program that gives it.
type verdict struct {
	Unknown     bool // there is no such kind, so the rest is not known
	Namespaced  bool
	Refused     []cause
	Warnings    []string
	PodSecurity string  // why the pods, or those of the template, are not let in
	Fixed       []cause // why the stored one cannot become this one
}

type cause struct {
	Field, Message string
	Known          []string // the fields that there are in the place of an unknown one
}

// An apiServer is the running program. It is started once in a process and ends with it, as its input then does: what it
// has compiled serves every render.
type apiServer struct {
	definitions map[string]string // file of the definition of each "Kind.group"

	mu      sync.Mutex
	batches io.WriteCloser
	answers *os.File
}

var (
	apiServers   = map[string]*apiServer{} // by tools folder
	apiServersMu sync.Mutex
)

// answerTimeout is far above the tenths of a second that the largest render takes.
const answerTimeout = time.Minute

// startAPIServer returns the program of a tools folder, and starts it when it does not run yet.
func startAPIServer(ctx context.Context, tools string) (*apiServer, error) {
	apiServersMu.Lock()
	defer apiServersMu.Unlock()
	if running, ok := apiServers[tools]; ok {
		return running, nil
	}
	command, err := tool(tools, "apiserver")
	if err != nil {
		return nil, err
	}
	files, err := definitionFiles(ctx, tools)
	if err != nil {
		return nil, err
	}
	answers, output, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer output.Close() // the program has its own copy
	cmd := exec.Command(command)
	cmd.Stdout, cmd.Stderr = output, os.Stderr
	batches, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		answers.Close()
		return nil, fmt.Errorf("starting the API server's validation: %w", err)
	}
	apiServers[tools] = &apiServer{definitions: files, batches: batches, answers: answers}
	return apiServers[tools], nil
}

// definitionFiles finds the pinned modules in the module cache and downloads what is not there yet.
func definitionFiles(ctx context.Context, tools string) (map[string]string, error) {
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json")
	cmd.Dir = filepath.Join(tools, "src", "harness", "crds")
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	cmd.Stderr = new(strings.Builder)
	output, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("finding the pinned custom resource definitions (go mod download in %s): %w: %s%s", cmd.Dir, err, output, cmd.Stderr)
	}
	folders := map[string]string{}
	for list := json.NewDecoder(strings.NewReader(string(output))); ; {
		var module struct{ Path, Dir string }
		if err := list.Decode(&module); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("reading go mod download's answer: %w", err)
		}
		folders[module.Path] = module.Dir
	}
	files := map[string]string{}
	for kind, where := range definitions {
		files[kind.String()] = filepath.Join(folders[where.module], where.file)
	}
	return files, nil
}

// A batch is a question: what an API server says to objects that land in one cluster together.
type batch struct {
	Definitions map[string]string
	Objects     []map[string]any
	Stored      []map[string]any `json:",omitempty"` // what each of Objects takes the place of
}

// judge asks for verdicts on the objects of one overlay, and writes them into the objects.
func (s *apiServer) judge(objects []Object) error {
	question := batch{Definitions: s.definitions}
	for _, o := range objects {
		if o.Object != nil {
			question.Objects = append(question.Objects, o.Object)
		}
	}
	verdicts, err := s.ask(question)
	if err != nil {
		return err
	}
	for i := range objects {
		if objects[i].Object != nil {
			objects[i].take(verdicts[0])
			verdicts = verdicts[1:]
		}
	}
	return nil
}

// JudgeUpdate asks the API server's code what it says to each object of head that takes the place of another one of base in
// the same overlay, and notes in [Object.Fixed] what it refuses.
func JudgeUpdate(ctx context.Context, tools string, base, head *Render) error {
	server, err := startAPIServer(ctx, tools)
	if err != nil {
		return err
	}
	before := map[string]*Overlay{}
	for _, o := range base.all() {
		before[o.Name] = o
	}
	for _, o := range head.all() {
		stored := map[Identity]map[string]any{}
		if was := before[o.Name]; was != nil {
			for _, object := range was.Objects {
				stored[object.Identity()] = object.Object
			}
		}
		question := batch{Definitions: server.definitions}
		var asked []*Object
		for i := range o.Objects {
			object := &o.Objects[i]
			if was := stored[object.Identity()]; was != nil && object.Object != nil && !reflect.DeepEqual(was, object.Object) {
				question.Stored, question.Objects = append(question.Stored, was), append(question.Objects, object.Object)
				asked = append(asked, object)
			}
		}
		verdicts, err := server.ask(question)
		if err != nil {
			return err
		}
		for i, v := range verdicts {
			asked[i].Fixed = findings(v.Fixed)
		}
	}
	return nil
}

// ask returns a verdict on each object.
func (s *apiServer) ask(question batch) ([]verdict, error) {
	if len(question.Objects) == 0 {
		return nil, nil
	}
	var verdicts []verdict
	if err := s.exchange(question, &verdicts); err != nil {
		return nil, fmt.Errorf("asking the API server's validation: %w", err)
	}
	if len(verdicts) != len(question.Objects) {
		return nil, fmt.Errorf("asking the API server's validation: %d answers to %d objects", len(verdicts), len(question.Objects))
	}
	return verdicts, nil
}

// exchange asks and reads the answer. After an error nothing can be asked any more: an answer could belong to another question.
func (s *apiServer) exchange(question, verdicts any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	// The program reads a whole batch before it answers, so neither waits for the other.
	err := json.NewEncoder(s.batches).Encode(question)
	if err == nil {
		err = s.answers.SetReadDeadline(time.Now().Add(answerTimeout))
	}
	if err == nil {
		err = json.NewDecoder(s.answers).Decode(verdicts)
	}
	if err != nil {
		s.batches.Close()
		s.answers.Close()
	}
	return err
}

func (o *Object) take(v verdict) {
	o.Unknown, o.Warnings, o.PodSecurity = v.Unknown, v.Warnings, v.PodSecurity
	if !v.Unknown {
		o.Namespaced = v.Namespaced
	}
	o.Faults = append(o.Faults, findings(v.Refused)...)
}

func findings(causes []cause) []Finding {
	var all []Finding
	for _, c := range causes {
		all = append(all, Finding{Field: c.Field, Problem: c.Message + suggestion(c.Field[strings.LastIndex(c.Field, ".")+1:], c.Known)})
	}
	return all
}
