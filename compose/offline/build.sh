#!/bin/sh
# Makes the offline images: a Debian base, the parts on it, and the programs of this checkout as
# cargo built them. Skips images that exist; `--programs` rebuilds only the images of the programs.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
built=${PROGRAMS_DIR:-${CARGO_TARGET_DIR:-$root/target}/debug}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$root/Cargo.toml" | head -1)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
there() { docker image inspect "$1" >/dev/null 2>&1; }
build() { docker build -q -t "$2" --target "$1" -f "$here/Dockerfile" "$work" >/dev/null && echo "$2"; }

if ! there nsys-base:bookworm; then
  command -v debootstrap >/dev/null || apt-get install -y -qq --no-install-recommends debootstrap
  mirror=$(sed -n 's/^URIs: //p; s/^deb \(http[^ ]*\) .*/\1/p' /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null | head -1)
  debootstrap --variant=minbase --include=ca-certificates,zlib1g bookworm "$work/base" "$mirror" >"$work/log" || { tail "$work/log" >&2; exit 1; }
  tar -C "$work/base" -c . | docker import - nsys-base:bookworm >/dev/null
  rm -rf "$work/base"
fi
cp "$here"/*.sh "$work"
if [ "${1:-}" != --programs ]; then
  jars=${XDG_DATA_HOME:-$HOME/.local/share}/nsys/kafka-4.3.1
  [ -d "$jars" ] || { echo "there are no Kafka jars in $jars; run: nsys setup" >&2; exit 1; }
  cp -r "$jars" "$work/jars"
  touch "$work/notification-service" "$work/nsys"
  for part in postgres redis kafka prometheus haproxy; do
    there "nsys-offline/$part:bookworm" || build "$part" "nsys-offline/$part:bookworm"
  done
fi
mkdir -p "$work/jars"
# Not `cp`: over the empty files of before it would keep their modes.
install -m 755 "$built/notification-service" "$built/nsys" "$work"
# Symbols are not needed there, and the engine copies each image whole.
strip "$work/notification-service" "$work/nsys" 2>/dev/null || true
build service "notification-service:$version"
build nsys "nsys:$version"
