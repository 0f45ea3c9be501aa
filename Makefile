.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "%-12s %s\n", $$1, $$2}'

.PHONY: build
build: ## compile bin/custody
	go build -o bin/ ./cmd/...

.PHONY: test
test: ## run every test on the embedded broker and ClickHouse
	go test ./...

.PHONY: lint
lint: ## formatting and vet
	@test -z "$$(gofmt -l .)" || { gofmt -l .; exit 1; }
	go vet ./...
