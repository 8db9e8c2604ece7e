.PHONY: help run build test lint fuzz bench benchmarks fence kill replicas clean
help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

run: bin/heed ## build, start the demo (sandbox, sample practice), print the links to try
	bin/heed demo

build: bin/heed ## build the one binary, bin/heed

bin/heed: $(shell find . -name '*.go' -not -path './.bin/*') $(shell find . -path ./.bin -prune -o \( -name '*.sql' -o -name '*.html' -o -name '*.css' -o -name '*.txt' -o -name '*.csv' \) -print) go.mod go.sum
	CGO_ENABLED=0 go build -trimpath -o bin/heed ./cmd/heed

test: lint ## every check and every test with the race detector, on real PostgreSQL, Redis and Chromium
	.ci/services .ci/test -race $(SQLITE_UNCHECKED) -timeout 18m

# SQLite in Go is C turned into Go: the race detector's check of every pointer it bends takes a third of all time there.
SQLITE_UNCHECKED := -gcflags='modernc.org/...=-d=checkptr=0'

GOLANGCI := .bin/golangci-lint-v2.15.0
lint: $(GOLANGCI) ## gofmt, go vet, and the linters of .golangci.yml
	@unformatted=$$(gofmt -l cmd gateway channels preferences templates config); if [ -n "$$unformatted" ]; then echo "gofmt these: $$unformatted"; exit 1; fi
	go vet ./...
	$(GOLANGCI) run ./...

$(GOLANGCI): # built from source, pinned; go.mod stays free of it
	GOBIN=$(CURDIR)/.bin go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
	mv .bin/golangci-lint $@

fuzz: ## a short run of every fuzz target
	@for t in $$(grep -rlE '^func Fuzz' --include='*_test.go' . | xargs -n1 dirname | sort -u); do \
	  for f in $$(grep -hoE '^func Fuzz[A-Za-z0-9_]+' $$t/*_test.go | sed 's/func //'); do go test -run '^$$' -fuzz "^$$f\$$" -fuzztime 20s ./$$t || exit 1; done; done

bench: bin/heed ## heed bench on real PostgreSQL (durable commits) and Redis: compare figures of one run only
	HEED_TEST_DURABLE=on .ci/services sh -c 'bin/heed bench --set database.url="$$HEED_TEST_POSTGRES_URL" --set redis.url="$$HEED_TEST_REDIS_URL"'

benchmarks: ## the benchmarks of single packages
	.ci/services go test -run '^$$' -bench . -benchmem ./...

fence: ## the fence test at its full size: 100,000 messages, STOPs aimed at the claim
	.ci/services go test ./cmd/heed -run TestFence -timeout 60m -v -fence.messages 100000

kill: ## the kill test at its full size: 500 kills
	.ci/services go test ./cmd/heed -run TestKilled -timeout 60m -v -kills 500

replicas: ## the fence with three gateways at its full size, 1,000,000 messages and 100,000 opt-outs, and 500 kills of them
	.ci/services go test ./cmd/heed -run 'TestReplicasHoldTheFence/with_Redis' -timeout 120m -v -replicas.messages 1000000 -replicas.stops 100000
	.ci/services go test ./cmd/heed -run TestReplicasAreKilledAgainAndAgain -timeout 60m -v -kills 500

clean: ## remove what was built
	rm -rf bin .bin
