# Two commands do all the set-up on a fresh machine: make demo, make test.
GO ?= go
BIN := bin/sallyport
PACKAGES := ./...

.PHONY: demo test build check bench compat fuzz deps clean

demo: build ## run the main job with embedded defaults; Ctrl-C stops it
	@$(BIN) demo $(DEMO)

build: deps
	@$(GO) build -o $(BIN) ./cmd/sallyport

deps: ## install what is missing, or say what to install
	@.ci/deps

test: deps check ## everything that CI runs
	$(GO) test -race -timeout 40m $(PACKAGES)

check:
	@test -z "$$(gofmt -l .)" || { echo "not formatted:"; gofmt -l .; exit 1; }
	$(GO) vet $(PACKAGES)
	$(GO) tool staticcheck $(PACKAGES)

bench: deps ## ratios against OpenSSH and psql in the same run
	$(GO) test -run '^$$' -bench . -benchmem ./bastion/... ./connectors/... ./recordings/... ./tui/...
	$(MAKE) build
	$(GO) run ./cmd/bench

compat: build ## the tests of pgx and of node's pg, directly and through the bastion: make compat COMPAT=-only=compat/pgx
	$(GO) run ./cmd/bench $(or $(COMPAT),-only=compat)

fuzz: ## each fuzz target for a while: make fuzz FUZZTIME=10m
	@.ci/fuzz $(or $(FUZZTIME),20s)

clean:
	rm -rf bin
