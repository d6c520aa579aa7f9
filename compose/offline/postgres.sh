#!/bin/sh
# Takes POSTGRES_USER, POSTGRES_PASSWORD and POSTGRES_DB as the published image does.
set -eu
data=/var/lib/postgresql/data
if [ "$(id -u)" = 0 ]; then
  chown postgres:postgres "$data"
  exec setpriv --reuid=postgres --regid=postgres --init-groups sh "$0" "$@"
fi
if [ ! -s "$data/PG_VERSION" ]; then
  printf '%s' "$POSTGRES_PASSWORD" > /tmp/password
  initdb -D "$data" -U "$POSTGRES_USER" -A scram-sha-256 -E UTF8 --locale=C.UTF-8 --pwfile=/tmp/password
  rm /tmp/password
  printf 'host all all all scram-sha-256\n' >> "$data/pg_hba.conf"
  # Not reachable by TCP until it is initialised.
  pg_ctl -D "$data" -o "-c listen_addresses= -c unix_socket_directories=/tmp" -w start
  PGPASSWORD=$POSTGRES_PASSWORD createdb -h /tmp -U "$POSTGRES_USER" "$POSTGRES_DB"
  pg_ctl -D "$data" -m fast -w stop
fi
exec "$@" -D "$data" -c listen_addresses='*' -c unix_socket_directories=/tmp
