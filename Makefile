# Two commands matter: `make demo` and `make test`; on a real cluster, `make demo CLUSTER=1` and `make test-cluster`.
.DEFAULT_GOAL := help
comma := ,
.PHONY: help demo test test-postgres bench fuzz fuzz-api soak test-cluster cluster cluster-down check fmt openapi sqlx image ci

help: ## Say what there is
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 22

demo: ## Run five builds, the last of them of a git push, and leave the service up until Ctrl-C (ONCE=1: end after them; CLUSTER=1: as Jobs)
	@ONCE=$(ONCE) CLUSTER=$(CLUSTER) bash scripts/demo.sh

test: ## Run all tests, on a Postgres of their own and a container engine (ARGS=… goes to cargo test)
	@bash scripts/test.sh $(ARGS)

test-postgres: ## Start a Postgres for tests and print what to export for cargo test (STOP=1: end it)
	@bash scripts/test-postgres.sh $(if $(STOP),--stop)

bench: ## Measure the figures of docs/performance, each beside its limit (QUICK=1: in minutes; PROFILE=dev: without a release build; ONLY=creation,queue: some of them)
	@QUICK=$(QUICK) PROFILE=$(PROFILE) FLOOR=$(FLOOR) KEEP=$(KEEP) MINUTES=$(MINUTES) PEERS=$(PEERS) bash scripts/bench.sh $(ONLY)

fuzz: ## Feed every parser of outside bytes with nonsense (SECONDS_EACH=20: so long each; says how often)
	@bash scripts/fuzz.sh

fuzz-api: ## Ask the running service everything that its description allows, and what it does not (SECONDS_EACH=150)
	@bash scripts/fuzz-api.sh

soak: ## Before a release: long fuzzing, many random faults, all figures; 2.5 hours (ONLY=fuzz,faults: some of them)
	@bash scripts/soak.sh $(subst $(comma), ,$(ONLY))

test-cluster: ## Run the tests that need a real cluster (ARGS=… goes to cargo test; KEEP=1: leave the cluster up)
	@KEEP=$(KEEP) bash scripts/test-cluster.sh $(ARGS)

cluster: ## Bring up a real Kubernetes of one node, or fill the one of KUBECONFIG (CONTROL_PLANE=1: without a node)
	@bash deploy/cluster/up.sh $(if $(CONTROL_PLANE),--control-plane)

cluster-down: ## Stop what `make cluster` started (PURGE=1: and remove its data)
	@bash deploy/cluster/down.sh $(if $(PURGE),--purge)

check: ## Format, clippy and docs, as CI checks them
	cargo fmt --check
	SQLX_OFFLINE=true cargo clippy --locked --all-targets -- -D warnings
	SQLX_OFFLINE=true RUSTDOCFLAGS=-Dwarnings cargo doc --locked --no-deps

fmt: ## Format the code
	cargo fmt

openapi: ## Write openapi/openapi.json anew
	SQLX_OFFLINE=true cargo run --quiet --locked -- openapi > openapi/new && mv openapi/new openapi/openapi.json

sqlx: ## Write .sqlx anew, after a change of a query or a migration
	@bash scripts/sqlx.sh

image: ## Build our own image, slipway:dev, with the cargo at hand
	@bash scripts/image.sh

ci: ## Everything that CI runs
	@CI=true bash .ci/run
