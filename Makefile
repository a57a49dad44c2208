# The front door. Each goal does its own set-up and runs again in seconds.

BUILD   ?= build
PREFIX  ?= /usr/local
JOBS    ?= $(shell nproc)
SETUP   := tools/setup
CTEST   := ctest --output-on-failure -j$(JOBS)

# `cmake -B` is run once; after that ninja itself sees when CMake's files have changed.
CONFIGURE = cmake -S . -G Ninja -Wno-dev --log-level=WARNING
CONFIG    = RUNNER_CONFIG=$(CURDIR)/$(BUILD)/setup/runner.toml

.DEFAULT_GOAL := help
.PHONY: help deps build demo test check bench install clean setup-demo setup-test

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  BUILD=$(BUILD)  JOBS=$(JOBS)  PREFIX=$(PREFIX)"

deps: ## install the Debian packages that are missing, nothing else
	@$(SETUP)/deps.sh build engine test

$(BUILD)/build.ninja:
	@$(CONFIGURE) -B $(BUILD)

build: deps $(BUILD)/build.ninja ## build everything into BUILD
	@cmake --build $(BUILD) -j $(JOBS) -- --quiet

setup-demo: deps
	@$(SETUP)/engine.sh
	@$(SETUP)/images.sh demo
	@$(SETUP)/config.sh $(BUILD)/setup

setup-test: deps
	@$(SETUP)/engine.sh
	@$(SETUP)/images.sh test
	@$(SETUP)/config.sh $(BUILD)/setup

demo: setup-demo $(BUILD)/build.ninja ## build, then run examples/node-todo: build, test, scan, package
	@cmake --build $(BUILD) -j $(JOBS) --target runner -- --quiet
	@. $(BUILD)/setup/env.sh && $(BUILD)/bin/runner exec examples/node-todo/pipeline.yml

test: setup-test build ## build, then run every test; the summary comes last
	@. $(BUILD)/setup/env.sh && cd $(BUILD) && $(CTEST)

check: ## formatting, clang-tidy, both compilers, sanitizers, fuzzing
	@$(SETUP)/deps.sh build engine test check
	@tools/check.sh

bench: setup-test ## measure speed (tests/bench)
	@$(CONFIGURE) -B $(BUILD)-bench -DRUNNER_BENCH=ON -DRUNNER_TESTS=OFF -DCMAKE_BUILD_TYPE=Release
	@cmake --build $(BUILD)-bench -j $(JOBS) -- --quiet
	@. $(BUILD)/setup/env.sh && BUILD=$(CURDIR)/$(BUILD)-bench tests/bench/run

install: build ## install the program under PREFIX
	@cmake --install $(BUILD) --prefix $(PREFIX)

clean: ## remove what was built (not the engine's images)
	@rm -rf build build-*
