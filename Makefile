# The targets that need root say so.

COMMIT := $(shell git describe --always --dirty --exclude "*" 2>/dev/null || echo unknown)

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
		-ldflags '-s -w -X main.commit=$(COMMIT)' -o bin/vauban ./cmd/vauban

# what enters containers and what runs inside, embedded in the binary and in tests
program:
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-s -w' -o layers/built/enter ./cmd/vauban-enter
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-s -w' -o layers/built/inside ./cmd/vauban-inside

demo: setup ## build, publish and boot config.yml and examples/ (as root)
	scripts/demo

# Tests keep a bootstrapped base for a day where VAUBAN_TEST_DIR says, or here.
TEST_CACHE := $(or $(XDG_CACHE_HOME),/var/cache)/vauban-test
# go test starts packages in this order: those that take longest first, so that
# none is left alone at the end.
LONGEST := ./test/robust ./pipeline ./cmd/vauban ./ansible ./layers

test: setup lint ## everything that CI runs (as root)
	go test -tags 'integration e2e' -p 3 -count 1 -timeout 30m ./test/e2e $(LONGEST) ./...

unit: program ## tests that need nothing but Go
	go test -timeout 5m ./...

integration: program ## tests with a real containerd, registry and ansible, and unit tests (as root)
	go test -tags integration -p 2 -count 1 -timeout 25m $(LONGEST) ./...

e2e: build ## build, publish and boot in QEMU (as root)
	go test -tags 'integration e2e' -count 1 -timeout 20m ./test/e2e

fuzz: ## every fuzz target for FUZZTIME each (default 1m)
	@scripts/fuzz

bench: build ## time and size, against plain tools (as root)
	go test -tags 'integration e2e' -p 1 -run '^$$' -bench . -benchtime 1x -timeout 60m ./...

# The version is part of the path: these programs are no modules of ours.
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
DEADCODE := golang.org/x/tools/cmd/deadcode@v0.52.0
SHELL_SCRIPTS = $$(git ls-files -z | xargs -0 grep -lE '^\#!.*(/| )(ba)?sh( |$$)')

lint: program ## gofmt, go vet, staticcheck, deadcode, shellcheck, pyflakes, and the words
	@unformatted=$$(gofmt -l $$(go list -tags 'integration e2e' -f '{{.Dir}}' ./...)); \
		[ -z "$$unformatted" ] || { echo "gofmt would change: $$unformatted" >&2; exit 1; }
	go vet -tags 'integration e2e' ./...
	go run $(STATICCHECK) -tags 'integration e2e' ./...
	@dead=$$(go run $(DEADCODE) -test -tags 'integration e2e' ./...); \
		[ -z "$$dead" ] || { echo "nothing calls: $$dead" >&2; exit 1; }
	shellcheck $(SHELL_SCRIPTS)
	pyflakes3 $$(git ls-files '*.py')
	scripts/words

clean: ## remove what build, demo and tests made
	rm -rf --one-file-system bin layers/built/enter layers/built/inside .demo "$(TEST_CACHE)"
