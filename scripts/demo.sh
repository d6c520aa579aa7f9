#!/bin/sh
# Demo on real parts: set up, build, start, load-test, report, stop.
set -eu
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
kept=${XDG_STATE_HOME:-$HOME/.local/state}/nsys-demo
record=$kept/build
# Measured: the programs and what they are made of, then packages, sources of crates and the stack's data.
build_mb=1700 rest_mb=1800

# MB free where a directory is, or will be.
free_mb() {
  place=$1
  while [ ! -d "$place" ]; do place=$(dirname "$place"); done
  df -Pk "$place" | awk 'NR == 2 { print int($4 / 1024) }'
}
# MB that a directory holds.
held_mb() {
  if [ -d "$1" ]; then du -sk "$1" | awk '{ print int($1 / 1024) }'; else echo 0; fi
}
minutes() {
  echo "$((($1 + 30) / 60)) min"
}

held=$(held_mb "$target/demo")
need=$((rest_mb + (build_mb > held ? build_mb - held : 0)))
free=$(free_mb "$target")
if [ -x "$target/demo/nsys" ]; then
  building="what has changed"
elif [ -s "$record" ]; then
  building="$(minutes "$(cut -d ' ' -f 1 "$record")") the last time here"
else
  building="about 8 min where two cores have nothing else to do"
fi
if [ -s "$kept/rest" ]; then
  whole="$(minutes "$(cat "$kept/rest")") and the build the last time here"
else
  whole="about 6 min and the build"
fi
cat <<EOF
The demo, $whole:
  1. builds nsys and the service ($building)
  2. installs what is missing of PostgreSQL, Redis, Kafka, Prometheus and k6
  3. starts them on this machine, without containers, and offers four levels of load in two minutes
  4. says what gave way first, builds the indexes that are missing, offers the same load again, compares
  5. stops the stack; "nsys down --volumes" deletes its data
It takes about $need MB of disk; $free MB are free.
EOF
if [ "$free" -lt "$need" ]; then
  echo "not enough disk: free some, or set CARGO_TARGET_DIR to a directory with $need MB" >&2
  exit 4
fi

sh scripts/bootstrap.sh
# The C libraries' debug information would be thrown away, and jemalloc would be compiled twice for two forms of
# one library, of which Rust links the one for position-independent programs.
MAKEFLAGS="STATIC_LIBS=lib/libjemalloc_pic.a" CFLAGS="${CFLAGS:-} -g0" BUILD_RECORD=$record \
  sh scripts/build-with-progress.sh --workspace --profile demo --locked
begun=$(date +%s)
nsys=$target/demo/nsys
"$nsys" setup
trap '"$nsys" down' EXIT
"$nsys" up --runtime local
"$nsys" health --wait 60s
measure() {
  code=0
  "$nsys" loadtest incremental --quick || code=$?
  case $code in
    # Met, not met, or not offered: each is an honest outcome of a measurement.
    0 | 10 | 11) ;;
    *) exit "$code" ;;
  esac
}
measure
"$nsys" diagnose
"$nsys" tune db --indexes --yes
measure
"$nsys" compare latest~1 latest
mkdir -p "$kept"
echo $(($(date +%s) - begun)) >"$kept/rest"
