# Developer commands; each body is a plain command.
.PHONY: help build lint test

help: ## List these commands
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

build: ## Build nsys and the service
	cargo build --workspace --locked

lint: ## Format and lint checks
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

test: ## Run every test
	cargo test --workspace --locked
