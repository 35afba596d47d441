# The targets that need root say so.

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

export PATH := $(PATH):/usr/local/go/bin

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup build program demo test unit integration e2e fuzz bench lint clean

help: ## show this
	@sed -n 's/^\([a-z0-9]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand --tabs=14

setup: ## install what is missing on a Debian 12 (as root), and build
	scripts/setup

build: program ## build the static binary, bin/vauban
	CGO_ENABLED=0 go build -trimpath -buildvcs=false \
		-ldflags '-s -w -X main.version=$(VERSION)' -o bin/vauban ./cmd/vauban

# what enters containers, embedded in the binary and in tests
program:
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-s -w' -o layers/built/enter ./cmd/vauban-enter

demo: setup ## build, publish and boot config.yml and examples/ (as root)
	scripts/demo

test: setup lint unit integration e2e ## everything that CI runs (as root)

unit: program ## tests that need nothing but Go
	go test -timeout 5m ./...

integration: program ## tests with a real containerd, registry and ansible (as root)
	@shared=$$(mktemp -d) && trap 'rm -rf "$$shared"' EXIT && set -x && \
		VAUBAN_TEST_DIR=$$shared go test -tags integration -p 2 -count 1 -timeout 25m ./...

e2e: build ## build, publish and boot in QEMU (as root)
	go test -tags 'integration e2e' -count 1 -timeout 20m ./test/e2e

fuzz: ## every fuzz target for FUZZTIME each (default 1m)
	@scripts/fuzz

bench: build ## time and size, against plain tools (as root)
	go test -tags 'integration e2e' -p 1 -run '^$$' -bench . -benchtime 1x -timeout 60m ./...

lint: ## gofmt and go vet, of the tagged files too
	@unformatted=$$(gofmt -l $$(go list -tags 'integration e2e' -f '{{.Dir}}' ./...)); \
		[ -z "$$unformatted" ] || { echo "gofmt would change: $$unformatted" >&2; exit 1; }
	go vet -tags 'integration e2e' ./...

clean: ## remove what build and demo made
	rm -rf --one-file-system bin layers/built/enter .demo
