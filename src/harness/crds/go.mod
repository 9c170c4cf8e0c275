// Pins the operators whose custom resource definitions the harness validates against. Nothing is imported: the
// definitions are read from the module cache, so `go mod tidy` must not run here.
module jupiter-dex-integration/src/harness/crds

go 1.26.3

require (
	github.com/argoproj/argo-cd/v3 v3.5.7
	github.com/external-secrets/external-secrets v0.18.2
	github.com/kedacore/keda/v2 v2.21.0
	github.com/prometheus-operator/prometheus-operator v0.85.0
)
