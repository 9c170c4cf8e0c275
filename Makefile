# The front door: `make help` lists every target.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

BIN := build/bin
NETWORKS := mainnet testnet devnet
HARNESS := $(addprefix $(BIN)/,apiserver helm3 helm4 kustomize)
RACE := $(if $(shell command -v cc),-race)

.PHONY: help
help: ## List the targets
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: ## Start the whole tier offline in one process and say what to try
	@mkdir -p $(BIN) && go build -o $(BIN)/jupiter-dex ./src/cmd/jupiter-dex
	@exec $(BIN)/jupiter-dex

.PHONY: smoke
smoke: ## Start the tier on free ports, check a quote, a price and a swap, stop
	@mkdir -p $(BIN) && go build -o $(BIN)/jupiter-dex ./src/cmd/jupiter-dex
	@$(BIN)/jupiter-dex smoke

.PHONY: tools
tools: $(HARNESS) ## Build the programs that the harness judges with

.PHONY: check
check: tools ## Judge every overlay: what would not sync, start, be reached or be secure
	@go run ./src/cmd/harness check

.PHONY: test
test: $(HARNESS) ## Run every test, with the race detector where a C compiler allows it
	go test -vet=all $(RACE) $$(go list ./... | grep -v /src/amm/) ./src/amm/pda
# The rest is built as the tools are, so that what they share is compiled once.
	CGO_ENABLED=0 go test -trimpath -vet=all ./src/amm/... # arithmetic on values: no goroutine for the detector to watch, which makes it ten times slower
	CGO_ENABLED=0 go -C src/harness/alerts test -trimpath -vet=off ./... # Prometheus's rule engine, which nothing else needs; `make lint` vets it
	CGO_ENABLED=0 go -C src/harness/apiserver test -trimpath -vet=off ./...

.PHONY: client
client: ## Install Jupiter's official client (npm) so that the tests run it against the gateway
	@mkdir -p build/client && cp scripts/client/package.json scripts/client/check.mjs build/client/
	@cd build/client && npm install --no-package-lock --no-audit --no-fund --ignore-scripts --loglevel=error

.PHONY: sdk
sdk: ## Install the AMMs' official SDKs (npm) so that the tests compare quotes with theirs
	@mkdir -p build/sdk && cp scripts/sdk/package.json scripts/sdk/*.mjs build/sdk/
	@cd build/sdk && npm install --no-package-lock --no-audit --no-fund --ignore-scripts --loglevel=error

.PHONY: render
render: $(BIN)/kustomize $(BIN)/helm4 ## Write every overlay's objects to build/rendered/<network>.yaml
	@mkdir -p build/rendered
	@for net in $(NETWORKS); do \
	  $(BIN)/kustomize build --enable-helm --helm-command $(BIN)/helm4 environments/$$net > build/rendered/$$net.yaml; \
	  printf '%-8s %3d objects  build/rendered/%s.yaml\n' $$net "$$(grep -c '^kind:' build/rendered/$$net.yaml)" $$net; \
	done

.PHONY: corpus
corpus: tools $(BIN)/kubeconform $(BIN)/kubectl-validate ## Show the harness's faults to the usual tools too: the table in docs/harness.md
	go test ./src/harness -run TestCorpus -corpus

.PHONY: golden
golden: $(BIN)/helm4 ## Rewrite what reviewers read: environments/*/golden and docs/reports
	go run ./src/cmd/harness golden
	go test ./src/harness/change -run TestExampleReports -update

.PHONY: harness
harness: tools ## Build the harness and what it judges with
	@go build -o $(BIN)/harness ./src/cmd/harness

BASE ?= HEAD
.PHONY: diff
diff: harness ## Say what the working tree does to the clusters, compared with BASE (HEAD unless given)
	@$(BIN)/harness diff -base '$(BASE)' || [ $$? -ge 3 ]

.PHONY: generate
generate: ## Bring what is stated once to its other places: overlays' values, what values.yaml says of each key
	@for net in $(NETWORKS); do cp environments/$$net/values.yaml charts/jupiter-dex-integration/values-$$net.yaml; done
	@go run ./src/cmd/chartdocs charts/jupiter-dex-integration charts/jupiter-dex-integration/charts/redis

.PHONY: images
images: $(BIN)/ko $(BIN)/crane ## Build the container images to build/images and print their digests
	@scripts/images

.PHONY: lint
lint: $(BIN)/helm3 $(BIN)/helm4 $(BIN)/staticcheck $(BIN)/actionlint ## Lint Go, the chart under both Helms, the workflows and the scripts
	@scripts/lint

.PHONY: vulncheck
vulncheck: $(BIN)/govulncheck ## Look up known vulnerabilities in the code that we call (asks the vulnerability database)
	$(BIN)/govulncheck ./...

.PHONY: bench
bench: ## Run every benchmark
	go test -run='^$$' -bench=. -benchmem ./...

.PHONY: soak
soak: ## Watch a gateway's memory and its calls to Jupiter under load for SOAK (5m)
	SOAK=$${SOAK:-5m} go test -count=1 -timeout=60m -v -run=Soak ./src/gateway

# A tool is built from its pinned module on first use, and again when a pin changes.
tool.apiserver := .
tool.crane := github.com/google/go-containerregistry/cmd/crane
tool.helm3 := helm.sh/helm/v3/cmd/helm
tool.helm4 := helm.sh/helm/v4/cmd/helm
tool.ko := github.com/google/ko
tool.kustomize := sigs.k8s.io/kustomize/kustomize/v5
tool.kubeconform := github.com/yannh/kubeconform/cmd/kubeconform
tool.kubectl-validate := sigs.k8s.io/kubectl-validate
tool.actionlint := github.com/rhysd/actionlint/cmd/actionlint
tool.govulncheck := golang.org/x/vuln/cmd/govulncheck
tool.staticcheck := honnef.co/go/tools/cmd/staticcheck

TOOLS := $(addprefix $(BIN)/,crane helm3 helm4 ko kustomize)
LINTERS := $(addprefix $(BIN)/,actionlint govulncheck staticcheck)
COMPARED := $(addprefix $(BIN)/,kubeconform kubectl-validate)
$(TOOLS): module := scripts/tools
$(TOOLS): scripts/tools/go.mod scripts/tools/go.sum
$(LINTERS): module := scripts/tools/lint
$(LINTERS): scripts/tools/lint/go.mod scripts/tools/lint/go.sum
# Each in a module of its own: they need Kubernetes libraries that exclude one another.
$(COMPARED): $(BIN)/%: scripts/tools/%/go.mod scripts/tools/%/go.sum
$(COMPARED): module = scripts/tools/$(@F)
$(BIN)/apiserver: module := src/harness/apiserver
$(BIN)/apiserver: $(filter-out %_test.go,$(wildcard src/harness/apiserver/*.go)) src/harness/apiserver/go.mod src/harness/apiserver/go.sum
$(TOOLS) $(LINTERS) $(COMPARED) $(BIN)/apiserver:
	@echo "building $(@F)"
	@CGO_ENABLED=0 go -C $(module) build -trimpath -ldflags='-s -w' -o $(CURDIR)/$@ $(tool.$(@F))

.PHONY: e2e
e2e: $(BIN)/ko $(BIN)/crane $(BIN)/helm4 $(BIN)/kustomize ## Try the tier on the cluster of KUBECONFIG: see docs/e2e.md
	@scripts/e2e

.PHONY: clean
clean: ## Remove build/
	rm -rf build
