# skiff: one static file. `make help` lists the targets; `make run` and
# `make test` are all that a newcomer needs.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL := all

GO ?= go
PREFIX ?= /usr/local
TEST_USER ?= skiff-test
# Where a copy of the binary lies that the test user may execute: the clone
# itself may be below a directory that only root can enter.
TEST_PREFIX ?= /var/tmp/skiff-run

# Tools of the build, pinned. They are run from the module proxy and are no
# dependency of ours.
GOFUMPT := mvdan.cc/gofumpt@v0.12.0
GOIMPORTS := golang.org/x/tools/cmd/goimports@v0.52.0
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.1.4
VULNDB := https://vuln.go.dev

# libbtrfs-dev only for go commands without our tags: containers/storage has a
# driver of that name, which `go build ./...` wants to compile.
BUILD_NEEDS := gcc libc6-dev musl-tools libseccomp-dev libbtrfs-dev pkg-config uidmap file
TEST_NEEDS := busybox-static skopeo umoci docker-registry tmux shellcheck \
	mmdebstrap util-linux iproute2 passt fuse-overlayfs xfsprogs e2fsprogs btrfs-progs \
	strace zsh fish bzip2 xz-utils zstd
VM_NEEDS := qemu-system-x86 mmdebstrap debian-archive-keyring e2fsprogs
BENCH_NEEDS := hyperfine crun podman iperf3 slirp4netns passt

BIN := bin/skiff
STAGE := runtime/embedded/stage.bin
NETWORK := runtime/embedded/network.bin
COURIER := storage/courier/embedded/courier.bin
HELLO := storage/courier/server/hello.bin
DOCKERFILE := build/dockerfile/embedded/dockerfile.bin
KUBE := runtime/embedded/kube.bin

# A release is a tag; between releases the program says its own idea of it.
VERSION := $(patsubst v%,%,$(shell git describe --tags --abbrev=0 2>/dev/null))
COMMIT := $(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)
LIBRARY_TAGS := netgo osusergo urfave_cli_no_docs containers_image_openpgp \
	exclude_graphdriver_btrfs exclude_graphdriver_zfs exclude_graphdriver_aufs
TAGS := $(LIBRARY_TAGS) embed
LDFLAGS := -s -w
VERSION_FLAGS := -X skiff/commands/system.Commit=$(COMMIT) \
	$(if $(VERSION),-X skiff/commands/system.Version=$(VERSION))
# musl starts in a tenth of glibc's time (docs/decisions/0024); the race detector wants
# glibc. The kernel's headers and libseccomp are the distribution's, nothing else of its
# C library may be found.
MUSL = CC=musl-gcc CGO_LDFLAGS="-L$(CURDIR)/.cache/musl" \
	CGO_CFLAGS="-O2 -idirafter /usr/include -idirafter /usr/include/$$(gcc -print-multiarch)"
STATIC_FLAGS := -linkmode external -extldflags "-static"
MAX_BYTES := 47185920 # 45 MiB, design.md

# How the embedded programs are built. With RACE=1 all of them, and the front, look for
# races (make test-race-e2e); the race detector wants C, and is large.
SMALL := CGO_ENABLED=0 $(GO) build -ldflags '$(LDFLAGS)'
ifdef RACE
SMALL := CGO_ENABLED=1 $(GO) build -race -ldflags '$(LDFLAGS) $(STATIC_FLAGS)'
MAX_BYTES := 471859200
endif

export GOFLAGS := -buildvcs=false -trimpath

.PHONY: all help build static run test test-unit test-e2e test-faults test-race test-race-e2e test-vm test-vm-smoke bench lint vuln \
	lint-tools fmt docs completions install install-docker dist clean \
	build-needs test-needs hello

all: build ## what make alone does: build

help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):[^#]*## \(.*\)/\1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 16

## Building

build: build-needs $(BIN) ## build bin/skiff

static: build ## the same; every build is one static file

build-needs:
	@.ci/need $(BUILD_NEEDS)

# sources writes $(1).d: a make rule that names the files of ours that program
# $(1), package $(2) with the go flags $(3), is made of. It is included below,
# so that a build with nothing to do does not even start go.
define sources
@mkdir -p .cache/$(dir $(1)) $(dir $(1))
@{ echo '$(1): go.mod go.sum Makefile \'; \
	$(GO) list -deps $(3) -f '{{if .Module}}{{if .Module.Main}}$$(wildcard \
		{{.Dir}}/*.go {{.Dir}}/*.[ch]{{$$d := .Dir}}{{range .EmbedFiles}} {{$$d}}/{{.}}{{end}}) \{{end}}{{end}}' $(2); \
	echo; } | sed '/^$$/d' > .cache/$(1).d
endef

-include $(wildcard .cache/$(STAGE).d .cache/$(NETWORK).d .cache/$(HELLO).d .cache/$(COURIER).d .cache/$(DOCKERFILE).d .cache/$(KUBE).d .cache/$(BIN).d)

$(STAGE):
	$(SMALL) -tags 'osusergo netgo' -o $@ ./runtime/stage/program
	@sha256sum <$@ | cut -c1-32 >$(@:.bin=.sum)
	$(call sources,$@,./runtime/stage/program)
	@touch $@

$(NETWORK):
	$(SMALL) -tags 'osusergo netgo' -o $@ ./runtime/network/program
	@sha256sum <$@ | cut -c1-32 >$(@:.bin=.sum)
	$(call sources,$@,./runtime/network/program)
	@touch $@

$(HELLO):
	CGO_ENABLED=0 $(GO) build -ldflags '$(LDFLAGS)' -tags 'osusergo netgo' -o $@ ./storage/courier/hello
	$(call sources,$@,./storage/courier/hello)
	@touch $@

$(COURIER): $(HELLO)
	$(SMALL) -tags '$(TAGS)' -o $@ ./storage/courier
	$(call sources,$@,./storage/courier,-tags '$(TAGS)')
	@touch $@

$(DOCKERFILE):
	$(SMALL) -tags 'osusergo netgo' -o $@ ./build/dockerfile/program
	$(call sources,$@,./build/dockerfile/program)
	@touch $@

# Its types are large: compressed, a third of them are left.
$(KUBE):
	$(SMALL) -tags 'osusergo netgo' -o $@ ./commands/kube/program
	@gzip -9nc $@ >$@.gz
	@echo "$$(sha256sum <$@ | cut -c1-32) $$(wc -c <$@)" >$(@:.bin=.sum)
	$(call sources,$@,./commands/kube/program)
	@touch $@

$(BIN): $(STAGE) $(NETWORK) $(COURIER) $(DOCKERFILE) $(KUBE) .cache/version
	@mkdir -p .cache/musl && ln -sf "$$(gcc -print-file-name=libseccomp.a)" .cache/musl/
	$(if $(RACE),,$(MUSL)) CGO_ENABLED=1 $(GO) build $(if $(RACE),-race) -tags '$(TAGS)' \
		-ldflags '$(LDFLAGS) $(VERSION_FLAGS) $(STATIC_FLAGS)' -o $@ .
	$(call sources,$@,.,-tags '$(TAGS)')
	@touch $@
	@file $@ | grep -q 'statically linked' || { file $@; echo '$@ is not one static file' >&2; exit 1; }
	@bytes=$$(stat -c %s $@); echo "$@: $$bytes bytes"; test $$bytes -le $(MAX_BYTES)

# Changes only when the version does.
.cache/version: FORCE
	@mkdir -p $(@D); echo '$(VERSION) $(COMMIT)' | cmp -s - $@ || echo '$(VERSION) $(COMMIT)' > $@
.PHONY: FORCE
FORCE:

install: build ## install skiff below PREFIX (default /usr/local), completions included
	install -D -m 755 $(BIN) $(DESTDIR)$(PREFIX)/bin/skiff
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system-generators $(DESTDIR)$(PREFIX)/lib/systemd/user-generators
	ln -sfn ../../../bin/skiff $(DESTDIR)$(PREFIX)/lib/systemd/system-generators/skiff-system-generator
	ln -sfn ../../../bin/skiff $(DESTDIR)$(PREFIX)/lib/systemd/user-generators/skiff-user-generator
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system $(DESTDIR)$(PREFIX)/lib/systemd/user
	for scope in system user; do \
		sed 's|@PROGRAM@|$(PREFIX)/bin/skiff|' commands/systemd/units/skiff-auto-update.service >$(DESTDIR)$(PREFIX)/lib/systemd/$$scope/skiff-auto-update.service; \
		install -m 644 commands/systemd/units/skiff-auto-update.timer $(DESTDIR)$(PREFIX)/lib/systemd/$$scope; \
		chmod 644 $(DESTDIR)$(PREFIX)/lib/systemd/$$scope/skiff-auto-update.service; \
	done
	install -D -m 644 completions/skiff.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/skiff
	install -D -m 644 completions/skiff.zsh $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_skiff
	install -D -m 644 completions/skiff.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/skiff.fish

install-docker: install ## install, and let the name docker mean skiff
	ln -sfn skiff $(DESTDIR)$(PREFIX)/bin/docker

dist: build-needs ## build twice, in two places and without a cache, and compare
	@rm -rf dist && mkdir -p dist
	@for n in 1 2; do \
		work=$$(mktemp -d); \
		git archive HEAD | tar -x -C $$work; \
		GOCACHE=$$work/.gocache $(MAKE) -C $$work VERSION='$(VERSION)' COMMIT='$(COMMIT)' $(BIN); \
		cp $$work/$(BIN) dist/skiff.$$n; rm -rf $$work; \
	done
	cmp dist/skiff.1 dist/skiff.2
	@mv dist/skiff.1 dist/skiff; rm dist/skiff.2; sha256sum dist/skiff

## Running

run: build ## run the image inside the binary, as an ordinary user
	@if [ "$$(id -u)" = 0 ]; then \
		install -D -m 755 $(BIN) $(TEST_PREFIX)/skiff; \
		tests/as-user $(TEST_USER) $(TEST_PREFIX)/skiff run --rm skiff/hello; \
	else \
		$(BIN) run --rm skiff/hello; \
	fi

## Testing

test: build-needs test-needs lint test-unit test-e2e test-vm-smoke ## lint, unit and end-to-end tests, a part of test-vm

test-needs:
	@.ci/need $(BUILD_NEEDS) $(TEST_NEEDS)

test-unit: build-needs ## tests beside the code
	$(GO) vet ./...
	$(GO) test $$($(GO) list ./... | grep -v '^skiff/tests/')

test-e2e: build test-needs ## tests of the built binary, as an unprivileged user
	SKIFF_BIN=$(CURDIR)/$(BIN) $(GO) test -count=1 -timeout 30m ./tests/...

# How much is done to skiff; the seed makes the points the same ones again.
KILLS ?= 200
CUTS ?= 100
FAULTS ?= 2800
CHURN ?= 10m
CYCLES ?= 5000
SEED ?= 20261121
test-faults: build test-needs ## kills, power cuts, failing calls, crowds: hours; see docs/reliability.md
	@.ci/need strace
	SKIFF_BIN=$(CURDIR)/$(BIN) SKIFF_KILLS=$(KILLS) SKIFF_CUTS=$(CUTS) SKIFF_FAULTS=$(FAULTS) \
		SKIFF_CHURN=$(CHURN) SKIFF_CYCLES=$(CYCLES) SKIFF_SEED=$(SEED) SKIFF_CRAFTED=all \
		$(GO) test -count=1 -v -timeout 12h ./tests/e2e/durable
	SKIFF_BIN=$(CURDIR)/$(BIN) SKIFF_KILLS=$(KILLS) $(GO) test -count=1 -timeout 4h -run Kill ./tests/e2e/image ./tests/e2e/build
	SKIFF_BIN=$(CURDIR)/$(BIN) SKIFF_CRAFTED=all $(GO) test -count=1 -timeout 1h -run G11 ./tests/e2e/hostile
	SKIFF_BIN=$(CURDIR)/$(BIN) SKIFF_DAMAGES=all $(GO) test -count=1 -run Check ./tests/e2e/system

# Slow, and it needs a C library that is not static.
test-race: build-needs ## unit tests under the race detector
	CGO_ENABLED=1 $(GO) test -race $$($(GO) list ./... | grep -v '^skiff/tests/')

# Every program that is part of skiff is built under the race detector, in a copy of the
# sources. The stage, which has no output, writes what is found to /var/tmp/skiff-race.
# Tests that count memory or processes' threads fail here.
RACED ?= container network system docker build image
test-race-e2e: build-needs test-needs ## end-to-end tests of RACED with all programs under it: an hour
	@rm -rf /var/tmp/skiff-race; install -d -m 1777 /var/tmp/skiff-race; mkdir -p .cache
	@work=$$(mktemp -d); git ls-files -z -co --exclude-standard | xargs -0 cp --parents -t $$work; \
		$(MAKE) --no-print-directory -C $$work RACE=1 $(BIN); mv $$work/$(BIN) .cache/skiff-race; rm -rf $$work
	SKIFF_BIN=$(CURDIR)/.cache/skiff-race SKIFF_RACE=1 $(GO) test -count=1 -timeout 2h $(RACED:%=./tests/e2e/%)

test-vm: build ## tests that need a machine of their own: systemd, cgroup v2, a reboot
	@.ci/need $(VM_NEEDS)
	CGO_ENABLED=0 $(GO) build -o .cache/payload ./tests/payload
	tests/vm/run $(BIN) .cache/payload

test-vm-smoke: build
	@if [ "$$(id -u)" = 0 ]; then SKIFF_VM_SMOKE=1 $(MAKE) --no-print-directory test-vm; \
		else echo 'systemd and cgroup v2 not tested: their machine is made by root (make test-vm)'; fi

bench: build ## measure beside crun, podman and docker; writes docs/benchmarks.md
	@.ci/need $(BENCH_NEEDS)
	$(GO) run ./tests/bench -skiff $(BIN) -write docs/benchmarks.md

## Keeping the house clean

lint: test-needs ## formatting, vet, staticcheck, dependency rules, shellcheck
	@dirty=$$($(GO) run $(GOFUMPT) -l . && $(GO) run $(GOIMPORTS) -local skiff -l .); \
		if [ -n "$$dirty" ]; then echo "not formatted (make fmt):"; echo "$$dirty"; exit 1; fi
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...
	$(GO) test ./tests/deps
	shellcheck .ci/need .ci/run tests/as-user tests/vm/run tests/vm/suite tests/fixtures/make-store

	@if curl -fsS -m 5 -o /dev/null $(VULNDB)/index/db.json 2>/dev/null; then $(MAKE) --no-print-directory vuln; \
		else echo 'known vulnerabilities not looked for: $(VULNDB) cannot be reached (make vuln)'; fi

vuln: ## look for known vulnerabilities in what is linked; needs the network
	$(GO) run $(GOVULNCHECK) -db $(VULNDB) -tags '$(shell echo $(TAGS) | tr ' ' ,)' . ./storage/courier ./runtime/stage/program \
		./runtime/network/program ./build/dockerfile/program ./commands/kube/program

fmt: ## format the code as lint wants it
	$(GO) run $(GOFUMPT) -w .
	$(GO) run $(GOIMPORTS) -local skiff -w .

docs: build test-needs ## write what is generated: options, completions, transcripts
	$(GO) test ./commands/... -update
	SKIFF_BIN=$(CURDIR)/$(BIN) $(GO) test -count=1 ./tests/e2e/docs -update

completions: $(BIN) ## write completions/ from the command tree
	@mkdir -p completions
	$(BIN) completion bash > completions/skiff.bash
	$(BIN) completion zsh > completions/skiff.zsh
	$(BIN) completion fish > completions/skiff.fish

clean: ## remove what was built
	rm -rf bin dist .cache $(STAGE) $(NETWORK) $(HELLO) $(COURIER) $(DOCKERFILE) $(KUBE) $(KUBE).gz
