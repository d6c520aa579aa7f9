#!/bin/sh
# The integration tests, with every stack in containers. Uses the engine that answers; without one (and as root) it
# starts its own for the tests. Images come from packages, not from a registry.
set -eu
cd "$(dirname "$0")/.."
sh scripts/bootstrap.sh
cargo build --workspace --locked
"${CARGO_TARGET_DIR:-target}/debug/nsys" setup
if ! docker version >/dev/null 2>&1; then
  if ! command -v dockerd >/dev/null; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends docker.io iptables
  fi
  place=$(mktemp -d)
  export DOCKER_HOST="unix://$place/docker.sock"
  dockerd --host "$DOCKER_HOST" --exec-root "$place/exec" --pidfile "$place/pid" >"$place/log" 2>&1 &
  engine=$!
  trap 'kill $engine; wait $engine || true' EXIT
  tries=0
  until docker version >/dev/null 2>&1; do
    tries=$((tries + 1))
    [ $tries -lt 60 ] || { tail "$place/log" >&2; exit 1; }
    sleep 1
  done
fi
# Compose as a plugin from its Go module, where no package has it.
if ! docker compose version >/dev/null 2>&1; then
  sh scripts/build-compose.sh
fi
sh compose/offline/build.sh
NSYS_TEST_RUNTIME=docker cargo test --locked --test it -- --test-threads 1
