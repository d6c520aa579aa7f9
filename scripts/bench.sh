#!/bin/sh
# First what the pure parts cost, half a minute. Then the whole service against a bare route and a
# prototype, in one run, all built as they are shipped; the table goes into docs/PERFORMANCE.md. A quarter
# of an hour and some of building; the machine should have nothing else to do. BENCH_PARTS=accepting,overload
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
