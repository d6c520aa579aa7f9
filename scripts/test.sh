#!/bin/sh
# Runs every test on real parts, each stack with its own state directory and ports.
set -eu
cd "$(dirname "$0")/.."
sh scripts/bootstrap.sh
cargo build --workspace --locked
"${CARGO_TARGET_DIR:-target}/debug/nsys" setup
# One at a time: a stack must not disturb what is measured on another one.
RUST_TEST_THREADS=1 cargo test --workspace --locked
