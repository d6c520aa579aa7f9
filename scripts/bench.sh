#!/bin/sh
# Benchmarks the pure functions, half a minute, then the whole service against a bare route and a
# prototype, all in release builds; writes the table into docs/PERFORMANCE.md. Takes a quarter of an hour
# plus building, on an otherwise idle machine. BENCH_PARTS=accepting,overload
# measures only some parts and leaves the page as it is; see service/benches/whole/phases.rs.
set -eu
cd "$(dirname "$0")/.."
sh scripts/bootstrap.sh
cargo build --workspace --release --locked
built=${CARGO_TARGET_DIR:-$PWD/target}/release
"$built/nsys" setup
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
# PostgreSQL's user has to get there when this runs as root.
chmod 755 "$place"
cargo bench --workspace --bench parts --profile release --locked
BENCH_NSYS=$built/nsys BENCH_STATE=$place/state BENCH_PAGE=$PWD/docs/PERFORMANCE.md \
  NSYS_STACK__NAME=bench NSYS_STACK__PORT_OFFSET="${BENCH_PORT_OFFSET:-17000}" \
  cargo bench --workspace --bench whole --profile release --locked
