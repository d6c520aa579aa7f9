#!/bin/sh
# Every test, on real parts, in state directories and on ports of their own.
set -eu
cd "$(dirname "$0")/.."
sh scripts/bootstrap.sh
cargo build --workspace --locked
"${CARGO_TARGET_DIR:-target}/debug/nsys" setup
cargo test --workspace --locked
