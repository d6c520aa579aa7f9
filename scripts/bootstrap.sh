#!/bin/sh
# Installs what the build needs besides Rust: a C toolchain and make. `nsys setup` does the rest.
set -eu
missing=""
command -v cc >/dev/null || missing="$missing gcc libc6-dev"
command -v c++ >/dev/null || missing="$missing g++"
command -v make >/dev/null || missing="$missing make"
if [ -n "$missing" ]; then
  root=""
  if [ "$(id -u)" != 0 ]; then
    if ! sudo -n true 2>/dev/null; then
      echo "missing:$missing; run: sudo apt-get install -y$missing" >&2
      exit 4
    fi
    root="sudo -n"
  fi
  $root apt-get update -qq
  # shellcheck disable=SC2086  # a list of words
  DEBIAN_FRONTEND=noninteractive $root apt-get install -y -qq --no-install-recommends $missing
fi
if ! command -v cargo >/dev/null; then
  echo "cargo is missing; install Rust: https://www.rust-lang.org/tools/install" >&2
  exit 4
fi
