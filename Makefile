# `make help` lists what there is. Everything is built outside the checkout.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

TAILRACE_CACHE ?= $(HOME)/.cache/tailrace
CARGO_TARGET_DIR ?= $(TAILRACE_CACHE)/target
export TAILRACE_CACHE CARGO_TARGET_DIR
# What `make doctor` built.
export PATH := $(TAILRACE_CACHE)/tools/bin:$(PATH)

# Seconds for each fuzz target of `make fuzz`.
SECONDS_EACH := $(if $(filter command line environment,$(origin SECONDS)),$(SECONDS),10)
# Arguments of `make bench`, `make bench-full`, `make bench-stages` and `make bench-load`, for
# example ARGS='--mib 200 --only agent'.
ARGS ?=
FAST := $(CARGO_TARGET_DIR)/fast
TESTED := $(CARGO_TARGET_DIR)/tested

.PHONY: help run test unit e2e faulttests faults churn soak bench bench-full bench-guard bench-stages bench-rules bench-search bench-load bench-kube lint image fuzz binaries faulty web prune doctor

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

run: prune binaries ## try it: logs of this machine, or of a made-up shop; ELASTICSEARCH_URL=… for a store elsewhere
	@cargo build --profile fast -q -p tests --bin tailrace-run
	@TAILRACE_BIN_DIR=$(FAST) $(FAST)/tailrace-run

test: doctor prune ## everything: unit tests, then end-to-end tests with real servers
	@scripts/test.sh

unit: prune ## the tests that need no server
	cargo test --workspace --exclude tests

e2e: prune faulty ## the end-to-end tests alone; E2E='--test faults crashes' picks some
	TAILRACE_BIN_DIR=$(TESTED)/faults cargo test -p tests $(E2E) -- --test-threads 1

faulttests: prune faulty ## named tests of faults: docs/faults.md; ONLY=crashes picks some
	TAILRACE_BIN_DIR=$(TESTED)/faults cargo test -p tests --test faults $(ONLY) -- --test-threads 1

faults: prune faulty ## random faults under load, every line counted; SEED=4 MINUTES=5 RATE=2000 PEER=rsyslog CHURN=10
	cargo build --profile tested -q -p tests --bin tailrace-faults
	TAILRACE_BIN_DIR=$(TESTED)/faults $(TESTED)/tailrace-faults $(if $(SEED),--seed $(SEED)) \
	    --minutes $(or $(MINUTES),5) --rate $(or $(RATE),2000) $(if $(PEER),--peer $(PEER))
	$(if $(PEER),,$(MAKE) churn)

churn: prune faulty ## 110 pods that come and go on a node, every line with its own pod's fields; CHURN=10 (minutes)
	CHURN_SECONDS=$$(($(or $(CHURN),10) * 60)) TAILRACE_BIN_DIR=$(TESTED)/faults cargo test -p tests --test k8s -- \
	    --nocapture every_line_of_churning_pods_has_its_own_pods_fields

# An event has 1.3 lines: 15,400 are 20,000 lines.
soak: prune faulty ## an hour of it: 20,000 lines a second, a fault every 20 s; MINUTES=60
	cargo build --profile tested -q -p tests --bin tailrace-faults
	TAILRACE_BIN_DIR=$(TESTED)/faults $(TESTED)/tailrace-faults $(if $(SEED),--seed $(SEED)) \
	    --minutes $(or $(MINUTES),60) --rate $(or $(RATE),15400) --every 20 --round 150 --warm-up 60

bench: prune binaries ## MB of log per CPU-second, memory, losses and doubles, beside peers on the PATH; ARGS='--mib 200'
	@$(FAST)/tailrace-bench $(ARGS)

bench-full: prune binaries ## the same for every workload, level and compression, in one table; ARGS='--mib 256'
	@$(FAST)/tailrace-bench --full $(ARGS)

bench-guard: prune ## instructions a line of each stage beside bench/guard.tsv, refused at 5 % more; UPDATE=1 records
	@scripts/bench-guard.sh

bench-stages: prune ## MB of log and items a second of each stage, by kind of line; ARGS=parsing picks
	@cargo bench --profile fast -q -p bench --bench stages -- $(ARGS)

bench-rules: prune ## record to document: MB of log per CPU-second, one thread, by kind of line
	cargo run --profile fast -q -p parsers --example throughput

bench-search: prune ## loading and searching, the embedded store beside OpenSearch; DOCS=1000000
	cargo run --profile fast -q -p tests --bin tailrace-search-bench -- --docs $(or $(DOCS),1000000)

bench-load: prune binaries ## into a real OpenSearch, beside ready-made bodies: share of its ceiling; ARGS='--mib 64'
	@cargo build --profile fast -q -p tests --bin tailrace-load-bench
	@TAILRACE_BIN_DIR=$(FAST) $(FAST)/tailrace-load-bench $(ARGS)

bench-kube: prune ## what the agents of many nodes cost the API server; NODES=200
	cargo run --profile fast -q -p tests --bin tailrace-kube-load -- --nodes $(or $(NODES),200)

lint: prune ## formatting, clippy and documentation, warnings refused
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --document-private-items
	@if command -v cargo-deny >/dev/null; then cargo deny --log-level error check bans licenses sources; \
	else echo "cargo-deny is not installed: licences and sources of dependencies are not checked"; fi

image: ## static binaries and container images
	k8s/image.sh

fuzz: prune ## every fuzz target for SECONDS=10 each (needs nightly and cargo-fuzz)
	@scripts/fuzz.sh $(SECONDS_EACH)

binaries: ## the programs, optimised, as benchmarks use them
	cargo build --profile fast -p agent -p aggregator -p bench

# The generator goes with them: `tailrace-run` looks for all that it starts in one directory.
faulty: ## programs with fault points, in a directory of their own, and beside them the shipped ones
	cargo build --profile tested -p agent -p aggregator --features agent/faults,aggregator/faults
	@mkdir -p $(TESTED)/faults
	@cp -f $(TESTED)/tailrace-agent $(TESTED)/tailrace-aggregator $(TESTED)/faults/
	cargo build --profile tested -p agent -p aggregator -p bench
	@cp -f $(TESTED)/tailrace-gen $(TESTED)/faults/

web: ## the web page, from web/page/ into web/dist/ (which is committed)
	@scripts/page.sh build

doctor: ## what of the tests' needs this machine has, installing what it can
	@scripts/doctor.sh

prune:
	@scripts/prune.sh
