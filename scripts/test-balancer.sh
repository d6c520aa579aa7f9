#!/bin/sh
# Accepting through HAProxy, with the settings that are shipped, while PostgreSQL is away. Installs haproxy where it is
# missing (root).
set -eu
cd "$(dirname "$0")/.."
sh scripts/bootstrap.sh
if ! command -v haproxy >/dev/null; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends haproxy
fi
cargo build --workspace --locked
"${CARGO_TARGET_DIR:-target}/debug/nsys" setup
NSYS_HAPROXY=$(command -v haproxy) cargo test --locked --test it -- --nocapture balancer::
