# make help lists the targets. Go is all that demo and test need.

SHELL := /bin/bash
GO    ?= go

GOLANGCI_LINT := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

# how long each fuzz target runs
FUZZTIME ?= 30s

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' Makefile

.PHONY: demo
demo: ## see it work, against stand-ins inside the program
	@$(GO) run ./examples/demo

.PHONY: test
test: ## run the tests, with the race detector where there is a C compiler
	@if $(GO) build -race -o /dev/null runtime/cgo 2>/dev/null; then race=-race; \
	else race=; echo "no C compiler that cgo can use: the tests run without the race detector"; fi; \
	$(GO) test $$race -timeout 10m ./...

.PHONY: lint
lint: ## gofmt, go vet (for macOS and Windows too), golangci-lint, go mod tidy, govulncheck
	@unformatted=$$(find . -path ./.cache -prune -o -name '*.go' -exec gofmt -l {} +); if [ -n "$$unformatted" ]; then \
	  echo "not formatted, run gofmt -w:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) vet -tags e2e ./...
	GOOS=darwin CGO_ENABLED=0 $(GO) vet ./...
	GOOS=windows CGO_ENABLED=0 $(GO) vet ./...
	$(GO) run $(GOLANGCI_LINT) run
	$(GO) mod tidy -diff
	cd bench && $(GO) vet ./... && $(GO) mod tidy -diff
	@GO="$(GO)" ./.ci/vulncheck

.PHONY: e2e
e2e: ## run against real servers, which are fetched first
	./internal/e2e/install.sh
	$(GO) test -tags e2e -count=1 -timeout 30m -v ./internal/e2e/...

# how long the soak runs
SOAK ?= 5m

.PHONY: soak
soak: ## 64 workers for SOAK, through rotations and outages of real servers
	./internal/e2e/install.sh
	SOAK=$(SOAK) $(GO) test -tags e2e -count=1 -timeout 3h -v -run TestSoak ./internal/e2e/...

.PHONY: bench
bench: ## measure beside what people would use instead, into docs/performance.md
	@./bench/install.sh
	@mkdir -p docs
	cd bench && $(GO) run . -write ../docs/performance.md

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME
	@targets=$$($(GO) test -list '^Fuzz' . | grep '^Fuzz') || { echo "no fuzz target found"; exit 1; }; \
	for target in $$targets; do \
	  echo "$$target for $(FUZZTIME)"; \
	  $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1s . || exit 1; \
	done

.PHONY: docs
docs: ## write the generated parts of docs/ anew
	$(GO) run ./internal/docs/gen

.PHONY: clean
clean: ## remove what the targets have fetched and built
	rm -rf .cache bin
