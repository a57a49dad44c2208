# The front door. Each goal does its own set-up and runs again in seconds.

BUILD  ?= build
PREFIX ?= /usr/local
JOBS   ?= $(shell nproc)
# Real engines, signals and deadlines on a busy machine: what fails twice has failed. `make test REPEAT=` is strict.
REPEAT ?= --repeat until-pass:2
SETUP  := tools/setup

# A build directory that somebody configured otherwise is used as it is.
configure = [ -f $(1)/CMakeCache.txt ] || cmake -S . -B $(1) -G Ninja -Wno-dev --log-level=WARNING $(2)
# Progress on a terminal; in a pipe only what went wrong. (Both ninja and make know --quiet.)
compile = if [ -t 1 ]; then cmake --build $(1) -j $(JOBS) $(2); else cmake --build $(1) -j $(JOBS) $(2) -- --quiet; fi

.DEFAULT_GOAL := help
.PHONY: help deps build demo test check bench install clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo "  with BUILD=$(BUILD) JOBS=$(JOBS) PREFIX=$(PREFIX)"

deps: ## install the Debian packages that are missing, nothing else
	@$(SETUP)/deps.sh build engine test

build: deps ## build everything into BUILD
	@$(call configure,$(BUILD))
	@$(call compile,$(BUILD))

demo: deps ## build, then run examples/node-todo: build, test, scan, package
	@$(SETUP)/engine.sh
	@$(SETUP)/images.sh demo
	@$(SETUP)/config.sh $(BUILD)/setup
	@$(call configure,$(BUILD))
	@$(call compile,$(BUILD),--target runner)
	@. $(BUILD)/setup/env.sh && $(BUILD)/bin/runner exec --variable REGISTRY=$$RUNNER_TEST_REGISTRY examples/node-todo/pipeline.yml

test: build ## build, then run every test; ctest's summary comes last
	@$(SETUP)/engine.sh
	@$(SETUP)/images.sh test
	@$(SETUP)/config.sh $(BUILD)/setup
	@. $(BUILD)/setup/env.sh && cd $(BUILD) && ctest --output-on-failure -j $(JOBS) $(REPEAT)

check: ## formatting, clang-tidy, both compilers, sanitizers, fuzzing
	@$(SETUP)/deps.sh build engine test check
	@tools/check.sh

bench: deps ## measure speed (tests/bench/run)
	@$(SETUP)/engine.sh
	@$(SETUP)/images.sh test
	@$(SETUP)/config.sh $(BUILD)/setup
	@$(call configure,$(BUILD)-bench,-DRUNNER_BENCH=ON -DRUNNER_TESTS=OFF)
	@$(call compile,$(BUILD)-bench)
	@. $(BUILD)/setup/env.sh && RUNNER=$(abspath $(BUILD)-bench)/bin/runner BUILD=$(abspath $(BUILD)-bench) tests/bench/run

install: build ## install the program under PREFIX
	@cmake --install $(BUILD) --prefix $(PREFIX)

clean: ## remove what was built (the engine's images stay)
	@rm -rf $(BUILD) $(BUILD)-* build-gcc build-clang build-asan build-tsan build-fuzz
