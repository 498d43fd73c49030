# One command for each chore; CI runs the same. `make help` lists them.

SHELL := /bin/bash -o pipefail
TOOLS := $(CURDIR)/.tools
export PATH := $(TOOLS)/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help check demo observe chart dashboard reference test lint fmt fuzz test-rust test-js test-clients test-edge test-faults test-observe test-chart test-image test-kubernetes deny advisories bench bench-wire bench-allocators bench-telemetry bench-profile doc clean binaries node-modules peers

help: ## List the chores; times are without builds, and without what comes first
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The stock client, which builds put into the binary: before them, not while they read it.
CLIENT := src/demo/node_modules/.package-lock.json
$(CLIENT): src/demo/package-lock.json
	@.ci/install node
	npm ci --prefix src/demo --silent --no-audit --no-fund

MODULES := tests/js/node_modules/.package-lock.json
$(MODULES): tests/js/package-lock.json
	@.ci/install node
	npm ci --prefix tests/js --silent --no-audit --no-fund

demo: $(CLIENT) ## Run a pod with a chat page on http://127.0.0.1:3000
	@.ci/install rust node
	cargo run --quiet --bin roomcast -- demo

observe: node-modules ## Run three pods under light load, with Prometheus and traces: prints where to look, until Ctrl-C
	@.ci/install rust redis openssl prometheus
	cargo build --quiet --bins
	@exec node tests/js/observe/tour.mjs

test: ## Prove everything: lints, Rust, stock clients, a browser, the chart, licences
	@.ci/install rust node chromium redis python java go php ruby libssl openssl haproxy nginx prometheus
	@# Before the tests, not beside them: it takes the processors for minutes.
	@.ci/install helm helm-unittest kubeconform kustomize kubernetes-schemas
	@$(MAKE) --no-print-directory -j3 --output-sync=target test-observe test-clients test-docs test-chart deny
	@echo "all of it passes"

check: $(CLIENT) $(MODULES) ## Before each commit: formatting, circles of files, clippy, unit tests, one test end to end
	@.ci/install rust node
	cargo fmt --all --check
	node .ci/structure/check.mjs
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo test --workspace --lib --bins --locked --quiet
	cargo build --quiet --locked --bin roomcast
	cd tests/js && node --test --test-reporter=spec smoke.test.mjs

lint: $(CLIENT) ## Formatting, circles of files, clippy and rustdoc, warnings as errors
	@.ci/install rust node
	node --test --test-reporter=dot .ci/structure/*.test.mjs
	node .ci/structure/check.mjs
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --quiet --locked --no-deps

fmt: ## Format the code (1 s)
	cargo fmt --all

fuzz: ## Feed readers of bytes from outside for FUZZ_SECONDS each (60), or FUZZ_TARGET alone
	@.ci/install rust
	FUZZ_SECONDS=$${FUZZ_SECONDS:-60} cargo test --locked --test fuzz -- --nocapture

test-rust: lint ## Unit tests, and the binary from outside
	cargo test --workspace --locked

test-js: binaries node-modules ## Stock clients, a browser, Node servers and emitters against real pods (20 min at most)
	cd tests/js && timeout 1200 node --test --test-concurrency=2 --test-reporter=spec *.test.mjs

test-clients: binaries node-modules ## Stock clients of each language against real pods; STOCK_CLIENTS=Java for some (10 min at most)
	@.ci/install rust node chromium python java go libssl
	cd tests/js && timeout 600 node --test --test-reporter=spec stock/*.test.mjs

.PHONY: test-docs
test-docs: binaries node-modules install-helm ## Links of the pages, the programs and commands in them, run as they stand there (10 min at most)
	@.ci/install redis python go php ruby java chromium nginx
	cd tests/js && timeout 600 node --test --test-concurrency=2 --test-reporter=spec docs/*.test.mjs

test-edge: test-js ## Three pods behind haproxy and nginx, without affinity: routing, pods that go, drains (15 min at most)
	cd tests/js && timeout 900 node --test --test-reporter=spec edge/*.test.mjs

# After the others: what it counts as late depends on having the processors.
test-faults: test-edge ## Redis killed, frozen, failed over, cut off: what is lost, and whether pods heal (3 min; 10 at most)
	cd tests/js && timeout 600 node --test --test-reporter=spec faults/*.test.mjs

# After the others: how late tasks run is one of its alerts.
test-observe: test-faults ## A real Prometheus: the dashboard's queries, each alert and when it clears, `make observe` (7 min at most)
	@.ci/install prometheus
	cd tests/js && timeout 400 node --test --test-concurrency=1 --test-reporter=spec observe/*.test.mjs

test-chart: binaries node-modules ## Lint and render the Helm chart for three versions of Kubernetes, and check what it configures (10 min at most)
	@.ci/install helm helm-unittest kubeconform kustomize kubernetes-schemas
	helm lint --strict helm/roomcast
	helm-unittest --strict --file '../../tests/js/chart/unit/*.yaml' helm/roomcast
	cd tests/js && timeout 600 node --test --test-reporter=spec chart/*.test.mjs

binaries: test-rust
	cargo build --locked --bins --examples

node-modules: $(CLIENT) $(MODULES)

test-image: $(CLIENT) ## Run the release as a container does, from the files that the image is made of (as root)
	cargo build --release --locked --bin roomcast
	tests/image/run

test-kubernetes: node-modules ## The chart in a real cluster under load: ROOMCAST_LAB is its folder (not in CI; writes docs/kubernetes/tried.md)
	@.ci/install rust node redis
	cargo build --release --locked --bin roomcast
	node tests/kubernetes/main.mjs $(SUITES)

deny: install-cargo-deny ## Licences, banned crates and sources of all dependencies
	cargo deny --all-features check licenses bans sources

advisories: install-cargo-deny ## Known vulnerabilities of all dependencies (fetches the database)
	cargo deny check advisories

bench: peers ## Memory, connect time, and two pods in a cluster, with their peers in the same run (half an hour, on an idle machine)
	cargo build --release --locked --workspace
	target/release/roomcast-load

bench-wire: ## What it costs to write and read a message between pods
	cargo bench --locked -p roomcast-load --bench wire

peers:
	@.ci/install rust node redis
	npm ci --prefix load/peers --silent --no-audit --no-fund

bench-profile: ## Whose code a pod runs while it delivers, by perf: the edge's stream among it
	@.ci/install rust redis perf
	load/profile

bench-telemetry: peers ## What metrics and traces cost: without, with, 1 % and all traced, in turns (on an idle machine)
	cargo build --release --locked --workspace
	target/release/roomcast-load telemetry

bench-allocators: ## The same for each allocator (builds the release three times)
	load/allocators

reference: $(CLIENT) ## Write docs/metrics.md from the tables of metrics
	@mkdir -p artifacts
	cargo run --quiet --bin roomcast -- metrics > artifacts/metrics.md && mv artifacts/metrics.md docs/metrics.md

chart: node-modules ## Write what is made of the chart's values.yaml: its README, its schema and k8s/
	@.ci/install rust helm
	@mkdir -p artifacts
	cargo run --quiet --bin roomcast -- config-schema > artifacts/config.schema.json
	node helm/chart/make.mjs artifacts/config.schema.json

dashboard: ## Write the dashboard for Grafana from its rows of panels in helm/dashboard (1 s)
	node helm/dashboard/make.mjs > helm/roomcast/dashboards/roomcast.json

doc: ## Build and open the documentation of the crate
	cargo doc --no-deps --open

install-%:
	@.ci/install $*

clean: ## Remove what was built and installed here
	rm -rf target .tools artifacts tests/js/node_modules src/demo/node_modules load/peers/node_modules
