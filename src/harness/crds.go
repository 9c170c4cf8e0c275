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
	"strings"
	"sync"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"
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

var errNoSchema = errors.New("no schema is known")

// schemaSet reads the definitions that a render needs, each once.
type schemaSet struct {
	folders map[string]string // module path to its folder in the module cache
	mu      sync.Mutex
	loaded  map[schema.GroupVersionKind]*customSchema
}

// schemaSets shares what has been compiled between the renders of one process, by tools folder.
var schemaSets sync.Map

// customSchemas finds the pinned modules in the module cache and downloads what is not there yet.
func customSchemas(ctx context.Context, tools string) (*schemaSet, error) {
	if set, ok := schemaSets.Load(tools); ok {
		return set.(*schemaSet), nil
	}
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json")
	cmd.Dir = filepath.Join(tools, "src", "harness", "crds")
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	cmd.Stderr = new(strings.Builder)
	output, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("finding the pinned custom resource definitions (go mod download in %s): %w: %s%s", cmd.Dir, err, output, cmd.Stderr)
	}
	set := &schemaSet{folders: map[string]string{}, loaded: map[schema.GroupVersionKind]*customSchema{}}
	for list := json.NewDecoder(strings.NewReader(string(output))); ; {
		var module struct{ Path, Dir string }
		if err := list.Decode(&module); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("reading go mod download's answer: %w", err)
		}
		set.folders[module.Path] = module.Dir
	}
	shared, _ := schemaSets.LoadOrStore(tools, set)
	return shared.(*schemaSet), nil
}

// find returns the schema of a kind, or errNoSchema.
func (s *schemaSet) find(gvk schema.GroupVersionKind) (*customSchema, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if found, ok := s.loaded[gvk]; ok {
		return found, nil
	}
	where, ok := definitions[gvk.GroupKind()]
	if !ok {
		return nil, errNoSchema
	}
	data, err := os.ReadFile(filepath.Join(s.folders[where.module], where.file))
	if err != nil {
		return nil, fmt.Errorf("reading the definition of %s: %w", gvk.Kind, err)
	}
	compiled, err := compile(data, gvk.Version)
	if err != nil {
		return nil, fmt.Errorf("definition of %s: %w", gvk.Kind, err)
	}
	s.loaded[gvk] = compiled
	return compiled, nil
}

// customSchema is one version of a custom resource definition, compiled as the API server does it.
type customSchema struct {
	namespaced bool
	structural *structural.Structural
	openapi    validation.SchemaCreateValidator
	cel        *cel.Validator
}

func compile(definition []byte, version string) (*customSchema, error) {
	var crd apiextensionsv1.CustomResourceDefinition
	if err := yaml.Unmarshal(definition, &crd); err != nil {
		return nil, err
	}
	for _, served := range crd.Spec.Versions {
		if served.Name != version || !served.Served || served.Schema == nil {
			continue
		}
		var props apiextensions.JSONSchemaProps
		if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(served.Schema.OpenAPIV3Schema, &props, nil); err != nil {
			return nil, err
		}
		shape, err := structural.NewStructural(&props)
		if err != nil {
			return nil, err
		}
		openapi, _, err := validation.NewSchemaValidator(&props)
		if err != nil {
			return nil, err
		}
		return &customSchema{
			namespaced: crd.Spec.Scope == apiextensionsv1.NamespaceScoped,
			structural: shape,
			openapi:    openapi,
			cel:        cel.NewValidator(shape, true, celconfig.PerCallLimit),
		}, nil
	}
	return nil, errNoSchema
}

// validate does what the API server does on creation: unknown fields, defaults, the schema, list keys and CEL rules.
func (s *customSchema) validate(object map[string]any) []Finding {
	object = runtime.DeepCopyJSON(object)
	var all []Finding
	unknown := pruning.PruneWithOptions(object, s.structural, true, structural.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})
	for _, path := range unknown {
		all = append(all, Finding{Field: path, Problem: "unknown field"})
	}
	defaulting.Default(object, s.structural)
	errs := validation.ValidateCustomResource(nil, object, s.openapi)
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, s.structural, object)...)
	if len(errs) == 0 { // as the API server: expressions may rely on the schema
		celErrs, _ := s.cel.Validate(context.Background(), nil, s.structural, object, nil, celconfig.RuntimeCELCostBudget)
		errs = append(errs, celErrs...)
	}
	return append(all, fieldFindings(errs)...)
}

// fieldFindings turns the API machinery's errors into findings.
func fieldFindings(errs field.ErrorList) []Finding {
	var all []Finding
	for _, err := range errs {
		all = append(all, Finding{Field: err.Field, Problem: err.ErrorBody()})
	}
	return all
}
