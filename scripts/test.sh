#!/bin/sh
# Every test, on real parts, in state directories and on ports of their own.
set -eu
cd "$(dirname "$0")/.."
sh scripts/bootstrap.sh
cargo build --workspace --locked
"${CARGO_TARGET_DIR:-target}/debug/nsys" setup
# One after the other: what is measured on a stack must not be disturbed by another one.
RUST_TEST_THREADS=1 cargo test --workspace --locked
