# Developer commands; each body is one plain command.
.PHONY: help demo diagnose-accuracy truth test test-balancer test-docker test-kubernetes test-matrix test-openapi chaos bench bench-tui lint build release

help: ## List these commands
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

demo: ## Set up, build, start the stack, load-test it, show the report, stop
	sh scripts/demo.sh

test: ## Set up what is missing and run every test on real parts
	sh scripts/test.sh

test-docker: ## The integration tests with stacks in containers, on images without a registry (root)
	sh scripts/test-docker.sh

test-kubernetes: ## What nsys asks of a cluster, asked of a real API server without pods (root, Go)
	sh scripts/test-kubernetes.sh

test-balancer: ## Accepting through HAProxy as it is shipped, while PostgreSQL is away (root, where haproxy is missing)
	sh scripts/test-balancer.sh

test-openapi: ## Requests that schemathesis makes from the OpenAPI document, as administrator, user and nobody (pip)
	sh scripts/test-openapi.sh

chaos: ## Kill, stop and starve parts under load, round after round (CHAOS_ROUNDS, CHAOS_SEED)
	CHAOS_ROUNDS=$${CHAOS_ROUNDS:-5} cargo test --locked --test it -- --nocapture chaos:: delivery::

test-matrix: ## What nsys asks of PostgreSQL, Kafka, Redis and PgBouncer, asked of every version that can be had (root)
	sh scripts/test-matrix.sh

bench: ## Measure the service against a bare route and a prototype, in one run (docs/PERFORMANCE.md)
	sh scripts/bench.sh

bench-tui: ## Measure what the dashboard costs
	cargo bench -p nsys --bench dashboard --locked

lint: ## Format, spelling (where typos is installed) and lint checks
	if command -v typos >/dev/null; then typos; fi
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

build: ## Build nsys and the service
	cargo build --workspace --locked

release: ## Build what is shipped
	cargo build --workspace --release --locked

diagnose-accuracy: ## Inject known bottlenecks on the real stack; is each named first? As root, on a quiet machine
	cargo build --workspace --locked
	NSYS_ACCURACY=$${NSYS_ACCURACY:-all} cargo test --locked --test it -- --nocapture accuracy::

truth: ## Compare what nsys tells with servers and runs whose truth is prescribed, on a quiet machine
	NSYS_TRUTH=$${NSYS_TRUTH:-all} cargo test --locked --test it -- --nocapture truth::
	NSYS_TRUTH=$${NSYS_TRUTH:-all} cargo test --locked --lib -- --nocapture compare::prescribed
