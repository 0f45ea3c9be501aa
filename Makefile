ARGS ?=
VERSION ?= dev

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "%-17s %s\n", $$1, $$2}'

.PHONY: build
build: ## compile bin/custody
	go build -o bin/ ./cmd/...

.PHONY: demo
demo: build ## run the main job on this machine; ARGS="--once --output json" ends after one round
	@bin/custody demo $(ARGS)

.PHONY: run
run: build ## run an installation on this machine; ARGS for "custody run"
	@bin/custody run $(ARGS)

.PHONY: up
up: build ## start an installation in the background on data/; ARGS for "custody run"
	@mkdir -p data && rm -f data/endpoint.json
	@nohup bin/custody run $(ARGS) >data/custody.log 2>&1 & echo $$! >data/custody.pid
	@until [ -e data/endpoint.json ]; do kill -0 "$$(cat data/custody.pid)" 2>/dev/null || { cat data/custody.log; exit 1; }; sleep 0.2; done
	@cat data/custody.log; echo "its log is data/custody.log; stop it with \"make down\""

.PHONY: down
down: ## stop what "make up" started
	@kill "$$(cat data/custody.pid)" && while kill -0 "$$(cat data/custody.pid)" 2>/dev/null; do sleep 0.2; done; rm -f data/custody.pid

.PHONY: test
test: ## run every test on the embedded broker and ClickHouse
	deploy/embeddedtest/test.sh -timeout 30m ./...

.PHONY: test-kafka
test-kafka: ## run the pipeline's tests on Apache Kafka 4 (needs Java 17 and Maven)
	deploy/kafka/with-kafka.sh sh -c 'go test -timeout 30m -count=1 ./processor ./processor/fetch ./processor/deadletter ./processor/lease ./schemas/topic ./collector && go test -count=1 -run TestKafka ./evidence/notify && go test -count=1 -run TestSecure ./cmd/custody'

.PHONY: test-programs
test-programs: ## feed a collector from OPA, Keycloak, MCP servers and OpenTelemetry, OPA with a suggested policy, Graphviz and Mermaid with chains, log in at Keycloak in Chromium (needs Java 17, Maven, npm, chromium); ARGS for "go test"
	deploy/programs/with-programs.sh go test -tags programs -count=1 -timeout 20m ./deploy/programs $(ARGS)

.PHONY: test-browser
test-browser: ## walk through the console in headless Chromium and look for violations of accessibility (needs chromium, npm); CUSTODY_SCREENSHOTS names a folder for pictures
	cd evidence/console/web && npm ci --silent --no-audit --no-fund
	go test -tags browser -count=1 -timeout 20m -v -run TestBrowser ./evidence/console $(ARGS)

.PHONY: test-deploy
test-deploy: ## hold image, compose file and chart against the tools that read them; ARGS for "go test"
	cd deploy/check && go test -vet=off -count=1 -timeout 20m $(ARGS) .

.PHONY: sbom
sbom: ## write bin/custody.cdx.json: the modules in the program and their licences, in CycloneDX
	CGO_ENABLED=0 go build -trimpath -tags noengine -ldflags "-s -w -X main.version=$(VERSION)" -o bin/custody-static ./cmd/custody
	cd deploy/check && go tool cyclonedx-gomod bin -licenses -json -version $(VERSION) -output $(CURDIR)/bin/custody.cdx.json $(CURDIR)/bin/custody-static

.PHONY: licences
licences: ## write docs/reference/licences.md; "make test-deploy" fails when it is not current, or one is not allowed
	cd deploy/check && go test -vet=off -count=1 -timeout 20m -run TestLicences . -update

.PHONY: image
image: ## build the image with Docker; VERSION names it
	docker build -f deploy/image/Dockerfile --build-arg VERSION=$(VERSION) -t custody:$(VERSION) .

.PHONY: lint
lint: ## formatting, vet, staticcheck, and that generated files are current
	@test -z "$$(gofmt -l .)" || { gofmt -l .; exit 1; }
	go vet -tags programs,browser ./...
	GOOS=darwin GOARCH=arm64 go build -o /dev/null ./cmd/custody
	go tool staticcheck -tags programs,browser ./...
	$(MAKE) generate
	@git diff --exit-code -- schemas dashboards docs/reference evidence/console/assets go.mod go.sum || { echo "generated files are not current: run \"make generate\" and commit"; exit 1; }

.PHONY: vuln
vuln: ## look for known vulnerabilities; needs vuln.go.dev
	go tool govulncheck ./...

.PHONY: generate
generate: ## write the JSON Schema and the reference pages anew
	go generate ./schemas/... # the others read these
	go generate ./...

.PHONY: console-assets
console-assets: ## bundle the console's scripts into evidence/console/assets (needs npm; without it they stay as they are)
	@if command -v npm >/dev/null; then cd evidence/console/web && npm ci --silent --no-audit --no-fund && npm run --silent build; else echo "no npm: the console's scripts are not bundled anew"; fi

.PHONY: fuzz
fuzz: ## fuzz every decoder for 20 s each
	go test ./schemas/event -run '^$$' -fuzz FuzzDecode -fuzztime 20s
	go test ./schemas/event -run '^$$' -fuzz FuzzReader -fuzztime 20s
	go test ./schemas/event -run '^$$' -fuzz FuzzForms -fuzztime 20s
	go test ./collector/otlp -run '^$$' -fuzz FuzzParseLogs -fuzztime 20s -fuzzminimizetime 20x
	go test ./collector/otlp -run '^$$' -fuzz FuzzParseTraces -fuzztime 20s -fuzzminimizetime 20x
	for source in agentgateway authzen cerbos contextforge envoyai keycloak kong mcpconfig native opa openbao ssf teleport toolhive; do \
		go test ./collector/$$source -run '^$$' -fuzz FuzzParse -fuzztime 20s -fuzzminimizetime 20x || exit 1; done
	go test ./collector/mcpconfig -run '^$$' -fuzz FuzzFile -fuzztime 20s -fuzzminimizetime 20x
	go test ./collector/redact -run '^$$' -fuzz FuzzRecord -fuzztime 20s -fuzzminimizetime 20x
	go test ./collector/mcpproxy -run '^$$' -fuzz FuzzStream -fuzztime 20s -fuzzminimizetime 20x
	go test ./collector/message -run '^$$' -fuzz FuzzRead -fuzztime 20s -fuzzminimizetime 20x
	go test ./processor/chain -run '^$$' -fuzz FuzzBuild -fuzztime 20s
	for target in FuzzResponse FuzzRecords; do go test ./processor/fetch -run '^$$' -fuzz $$target -fuzztime 20s -fuzzminimizetime 20x || exit 1; done
	go test ./evidence/api -run '^$$' -fuzz FuzzParameters -fuzztime 20s -fuzzminimizetime 20x
	go test ./processor/enrich -run '^$$' -fuzz FuzzRead -fuzztime 20s
	go test ./evidence/proof -run '^$$' -fuzz FuzzVerify -fuzztime 20s -fuzzminimizetime 20x

.PHONY: bench
bench: build .cache/otelcol ## measure the processor beside its rivals; ARGS for "custody bench processor"
	@bin/custody bench processor --otelcol $(CURDIR)/.cache/otelcol $(ARGS)

.PHONY: bench-dashboards
bench-dashboards: build ## count what dashboards read of 10 M events, and hold their budgets; ARGS for "custody bench dashboards"
	@bin/custody bench dashboards $(ARGS)

# The OpenTelemetry Collector of the comparison; the first time takes minutes.
.cache/otelcol: deploy/bench/otelcol/main.go deploy/bench/otelcol/go.mod deploy/bench/otelcol/go.sum
	cd deploy/bench/otelcol && go build -o $(CURDIR)/.cache/otelcol .

.PHONY: faults
faults: build ## break an installation at random and check what is left; ARGS="--minutes 25 --seed 1 --output json"
	@bin/custody faults $(ARGS)

.PHONY: tamper
tamper: ## alter stored evidence in every way and see each named; ARGS for "go test"
	go test -count=1 -v -run 'TestTampering|TestRestoredBackup|TestRolledBack|TestFork' ./processor/reconcile $(ARGS)

.PHONY: microbench
microbench: ## run the benchmarks of the packages
	go test ./... -run '^$$' -bench . -benchmem
