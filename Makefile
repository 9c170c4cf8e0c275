# The front door: `make help` lists every target.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

BIN := build/bin
NETWORKS := mainnet testnet devnet
# A tool is built from its pinned module on first use, and again when the pin changes.
TOOLS_MOD := scripts/tools/go.mod scripts/tools/go.sum
GO_TOOL = cd scripts/tools && CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o ../../$@

.PHONY: help
help: ## List the targets
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: tools
tools: $(BIN)/helm3 $(BIN)/helm4 $(BIN)/kustomize $(BIN)/ko ## Build the pinned helm 3, helm 4, kustomize and ko into build/bin

$(BIN)/helm3: $(TOOLS_MOD)
	$(GO_TOOL) helm.sh/helm/v3/cmd/helm
$(BIN)/helm4: $(TOOLS_MOD)
	$(GO_TOOL) helm.sh/helm/v4/cmd/helm
$(BIN)/kustomize: $(TOOLS_MOD)
	$(GO_TOOL) sigs.k8s.io/kustomize/kustomize/v5
$(BIN)/ko: $(TOOLS_MOD)
	$(GO_TOOL) github.com/google/ko
