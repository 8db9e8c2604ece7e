.PHONY: help build test fuzz bench clean
help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

build: ## build everything
	go build ./...

test: ## gofmt, vet, and every test with the race detector, on real PostgreSQL and Redis
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "gofmt these: $$unformatted"; exit 1; fi
	go vet ./...
	.ci/services go test -race -timeout 10m ./...

fuzz: ## a short run of every fuzz target
	@for t in $$(grep -rlE '^func Fuzz' --include='*_test.go' . | xargs -n1 dirname | sort -u); do \
	  for f in $$(grep -hoE '^func Fuzz[A-Za-z0-9_]+' $$t/*_test.go | sed 's/func //'); do go test -run '^$$' -fuzz "^$$f\$$" -fuzztime 20s ./$$t || exit 1; done; done

bench: ## benchmarks: compare figures of one run only
	go test -run '^$$' -bench . -benchmem ./...

clean: ## remove what was built
	rm -rf bin
