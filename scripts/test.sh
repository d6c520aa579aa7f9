#!/bin/sh
# Every test, on real parts, in state directories and on ports of their own.
set -eu
cd "$(dirname "$0")/.."
sh scripts/bootstrap.sh
cargo build --workspace --locked
"${CARGO_TARGET_DIR:-target}/debug/nsys" setup
# A clock that can be set, for one test; without it that test says that it is left out.
if [ "$(id -u)" = 0 ] && ! ls /usr/lib/*/faketime/libfaketimeMT.so.1 >/dev/null 2>&1; then
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends libfaketime || true
fi
# One after the other: what is measured on a stack must not be disturbed by another one.
RUST_TEST_THREADS=1 cargo test --workspace --locked
