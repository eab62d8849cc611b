SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.SECONDARY:
.DEFAULT_GOAL := help
MAKEFLAGS += --warn-undefined-variables --no-builtin-rules --no-print-directory

BIN := $(abspath .bin)
VENV := $(abspath .venv)
export PATH := $(BIN):$(PATH)

GOLANGCI_LINT_VERSION := v2.12.2
BUF_VERSION := v1.69.0
PROTOC_GEN_GO_VERSION := v1.36.12
PROTOC_GEN_GO_GRPC_VERSION := v1.6.2

# How many faults `make chaos` brings about, and from which seed; 0: a new one, which it prints.
FAULTS ?= 1000
SEED ?= 0
# How long each fuzz target runs under `make fuzz`.
FUZZTIME ?= 60s
# The last number of "[1/4]": how many steps the goal has.
STEPS := 3

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk 'BEGIN {FS = ":.*## "} {printf "%-16s %s\n", $$1, $$2}'

## Using it

.PHONY: build
build: need-go ## Build bin/snakepit
	@.ci/step "[1/$(STEPS)] building bin/snakepit" \
	  go build -trimpath -o bin/snakepit ./cmd/host

.PHONY: setup
setup: build $(VENV)/.ready ## Build, and make the Python environment .venv

.PHONY: run
run: STEPS := 4
run: setup ## Set everything up and run the digits example
	@echo "[4/4] running examples/digits …"
	@go build -o bin/digits ./examples/digits
	@bin/digits -python $(VENV)/bin/python

.PHONY: cluster
cluster: STEPS := 4
cluster: setup ## Start three hosts as a cluster, kill one, and watch the others take over
	@echo "[4/4] running examples/cluster …"
	@go build -o bin/cluster ./examples/cluster
	@bin/cluster -python $(VENV)/bin/python

.PHONY: need-go
need-go:
	@command -v go >/dev/null || { echo "Go 1.26 or newer is needed: see https://go.dev/dl" >&2; exit 1; }

$(VENV)/.made:
	@.ci/step "[2/$(STEPS)] making the Python environment .venv" .ci/python venv $(VENV)
	@touch $@

$(VENV)/.ready: $(VENV)/.made python/pyproject.toml examples/digits/requirements.txt
	@.ci/step "[3/$(STEPS)] installing the SDK and what the example needs" \
	  .ci/python install $(VENV) -e ./python -r examples/digits/requirements.txt
	@touch $@

## Working on it

.PHONY: check
check: lint test-fast ## What must pass before a commit: lint and fast tests

.PHONY: test
test: need-go ## Everything that CI runs, with its own set-up
	@MAKE='$(MAKE)' .ci/slices prepare lint cross generate-check test-go test-python integration

.PHONY: prepare
prepare: ## Build the tools and make the environments that the tests need
	@$(MAKE) -j2 tools dev

.PHONY: test-fast
test-fast: need-go dev
	go test ./...
	cd python && $(VENV)/bin/python -m pytest

.PHONY: test-go
test-go: need-go need-cc ## Go tests, with the race detector
	go test -race -shuffle=on -timeout 20m ./...

.PHONY: test-python
test-python: dev ## Python tests, on 3.11 and on 3.12 and 3.13 where the machine has them
	@$(VENV)/bin/python --version
	cd python && $(VENV)/bin/python -m pytest
	@own=$$($(VENV)/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	for version in $$(.ci/python list); do \
	  [ "$$version" = "$$own" ] || $(MAKE) test-python-$$version; \
	done

test-python-%: $(abspath .)/.venv-%/.dev
	cd python && $(abspath .venv-$*)/bin/python -m pytest

.PHONY: integration
integration: need-go need-cc setup dev ## Black-box tests: real Python workers, the built program
	go test -race -count=1 -tags integration -timeout 20m ./integration/...

.PHONY: chaos
chaos: need-go setup ## Kill at random: FAULTS faults from SEED, 50 restarts in a row, 1,000 clusters, three hosts under every fault
	SNAKEPIT_TEST_RESTARTS=50 go test -v -count=1 -tags integration -timeout 15m -run '^TestAHostKilledInARow' ./integration
	SNAKEPIT_TEST_SEEDS=1000 go test -count=1 -timeout 60m -run '^TestClusterKeepsItsPromisesUnderFaults$$' ./cluster
	SNAKEPIT_TEST_SESSIONS=9999 go test -v -count=1 -tags integration -timeout 30m ./integration/failover
	go test -v -count=1 -tags integration -timeout 0 ./integration/chaos -seed $(SEED) -faults $(FAULTS) -for 0

.PHONY: need-cc
need-cc:
	@command -v "$$(go env CC)" >/dev/null || { echo "the race detector needs a C compiler: $$(go env CC) isn't there" >&2; exit 1; }

.PHONY: lint
lint: lint-go lint-proto lint-python ## Every linter, changing nothing

# The linter's cache holds paths: one that is shared by several checkouts reports
# what it found in another, where its exclusions don't match.
.PHONY: lint-go
lint-go: export GOLANGCI_LINT_CACHE := $(BIN)/lint-cache
lint-go: need-go tools-go
	golangci-lint run --allow-serial-runners
	go mod tidy -diff

.PHONY: cross
cross: need-go ## Build for the systems that nobody runs here
	@for os in darwin windows; do echo "GOOS=$$os go build ./..."; GOOS=$$os go build ./...; done

.PHONY: lint-proto
lint-proto: need-go tools-proto
	cd proto && buf lint && buf format -d --exit-code

# pyright is a Node program: its wheel fetches it once, into the environment.
.PHONY: lint-python
lint-python: export PYRIGHT_PYTHON_CACHE_DIR := $(VENV)/pyright
lint-python: export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1
lint-python: dev need-node
	cd python && $(VENV)/bin/ruff format --check && $(VENV)/bin/ruff check && $(VENV)/bin/mypy && $(VENV)/bin/pyright --pythonpath $(VENV)/bin/python
	cd examples && $(VENV)/bin/ruff format --check && $(VENV)/bin/ruff check && $(VENV)/bin/mypy && $(VENV)/bin/pyright --pythonpath $(VENV)/bin/python

.PHONY: need-node
need-node:
	@command -v node >/dev/null && command -v npm >/dev/null || { echo "pyright needs Node: install node and npm" >&2; exit 1; }

.PHONY: fmt
fmt: need-go tools dev ## Rewrite what a formatter can
	golangci-lint fmt
	cd proto && buf format -w
	cd python && $(VENV)/bin/ruff format && $(VENV)/bin/ruff check --fix
	cd examples && $(VENV)/bin/ruff format && $(VENV)/bin/ruff check --fix

.PHONY: generate
generate: tools-proto dev ## Regenerate the wire code of both languages
	cd proto && buf generate
	$(VENV)/bin/python -m grpc_tools.protoc -I proto --python_out=python/src --pyi_out=python/src --grpc_python_out=python/src \
	  proto/snakepit/v1/*.proto proto/snakepit/goplugin/*.proto
	cd examples/kv && $(VENV)/bin/python -m grpc_tools.protoc -I . --python_out=. --pyi_out=. --grpc_python_out=. \
	  --go_out=kvpb --go_opt=paths=source_relative --go-grpc_out=kvpb --go-grpc_opt=paths=source_relative kv.proto

# What the tree held before counts, not what is committed: it works on a tree with changes too.
GENERATED = git ls-files -z -- '*.pb.go' '*_pb2.py' '*_pb2.pyi' '*_pb2_grpc.py' | xargs -0 sha256sum

.PHONY: generate-check
generate-check: ## Fail when generated code is stale
	@before=$$($(GENERATED)); $(MAKE) generate; \
	diff <(echo "$$before") <($(GENERATED)) || { echo "generated code was stale; it's regenerated now: commit it" >&2; exit 1; }

.PHONY: fuzz
fuzz: need-go ## Run each fuzz target for FUZZTIME
	@for dir in $$(go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.Dir}}{{end}}' ./...); do \
	  for target in $$(go test -list '^Fuzz' "$$dir" | grep '^Fuzz' || true); do \
	    echo "== $$target in $${dir#$(CURDIR)/}"; \
	    go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) "$$dir"; \
	  done; \
	done

.PHONY: clean
clean: ## Remove what was built, but for the tools in .bin
	rm -rf bin out .venv .venv-*

## What the above stand on

.PHONY: dev
dev: $(VENV)/.dev ## Install what the Python linters and tests need into .venv

$(VENV)/.dev: $(VENV)/.ready python/requirements-dev.txt
	@.ci/step "installing what Python's linters and tests need" .ci/python install $(VENV) -r python/requirements-dev.txt
	@touch $@

$(abspath .)/.venv-%/.dev: python/pyproject.toml python/requirements-dev.txt
	@.ci/step "making .venv-$*" .ci/python venv .venv-$* $*
	@.ci/step "installing what Python's tests need into .venv-$*" .ci/python install .venv-$* -e ./python -r python/requirements-dev.txt
	@touch $@

.PHONY: tools
tools: tools-go tools-proto ## Build the pinned tools into .bin
.PHONY: tools-go tools-proto
tools-go: $(BIN)/.golangci-lint-$(GOLANGCI_LINT_VERSION)
tools-proto: $(BIN)/.buf-$(BUF_VERSION) $(BIN)/.protoc-gen-go-$(PROTOC_GEN_GO_VERSION) $(BIN)/.protoc-gen-go-grpc-$(PROTOC_GEN_GO_GRPC_VERSION)

$(BIN)/.golangci-lint-%:
	@$(call go-tool,golangci-lint,github.com/golangci/golangci-lint/v2/cmd/golangci-lint,$*)
$(BIN)/.buf-%:
	@$(call go-tool,buf,github.com/bufbuild/buf/cmd/buf,$*)
$(BIN)/.protoc-gen-go-v%:
	@$(call go-tool,protoc-gen-go,google.golang.org/protobuf/cmd/protoc-gen-go,v$*)
$(BIN)/.protoc-gen-go-grpc-v%:
	@$(call go-tool,protoc-gen-go-grpc,google.golang.org/grpc/cmd/protoc-gen-go-grpc,v$*)

# go-tool NAME,PACKAGE,VERSION builds a tool, unless that very version is there. A
# linter takes minutes to compile, so a stamp carries the version, and not the Makefile's date.
define go-tool
if ! go version -m $(BIN)/$(1) 2>/dev/null | grep -qE '^\s+mod\s.*\s$(3)(\s|$$)'; then \
  .ci/step "building $(1) $(3)" env GOBIN=$(BIN) go install $(2)@$(3); \
fi; \
touch $@
endef
