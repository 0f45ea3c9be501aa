ARGS ?=

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "%-12s %s\n", $$1, $$2}'

.PHONY: build
build: ## compile bin/custody
	go build -o bin/ ./cmd/...

.PHONY: demo
demo: build ## run the main job on this machine; ARGS="--once --output json" ends after one round
	@bin/custody demo $(ARGS)

.PHONY: run
run: build ## run an installation on this machine; ARGS for "custody run"
	@bin/custody run $(ARGS)

.PHONY: test
test: ## run every test on the embedded broker and ClickHouse
	go test ./...

.PHONY: lint
lint: ## formatting, vet, and that generated files are current
	@test -z "$$(gofmt -l .)" || { gofmt -l .; exit 1; }
	go vet ./...
	$(MAKE) generate
	git diff --exit-code -- schemas docs/reference

.PHONY: generate
generate: ## write the JSON Schema and the reference pages anew
	go generate ./...

.PHONY: fuzz
fuzz: ## fuzz every decoder for 20 s each
	go test ./schemas/event -run '^$$' -fuzz FuzzDecode -fuzztime 20s
	go test ./collector/native -run '^$$' -fuzz FuzzParse -fuzztime 20s -fuzzminimizetime 20x
	go test ./collector/opa -run '^$$' -fuzz FuzzParseEntry -fuzztime 20s -fuzzminimizetime 20x
	go test ./processor/chain -run '^$$' -fuzz FuzzBuild -fuzztime 20s

.PHONY: bench
bench: ## run the benchmarks
	go test ./... -run '^$$' -bench . -benchmem
