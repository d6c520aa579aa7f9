#!/bin/sh
# Builds the tuning indexes on many rows while writers run, and measures the effect on the writers.
# Usage: scripts/index-under-load.sh [ROWS] [WRITERS]; takes about a quarter of an hour with 5,000,000.
set -eu
cd "$(dirname "$0")/.."
rows=${1:-5000000}
writers=${2:-4}
target=${CARGO_TARGET_DIR:-target}
nsys=${NSYS:-$target/demo/nsys}
work=$(mktemp -d)
export NSYS_STACK__NAME=${NSYS_STACK__NAME:-index-under-load}
export NSYS_STACK__PORT_OFFSET=${NSYS_STACK__PORT_OFFSET:-21000}
run() { "$nsys" --state-dir "$work/state" "$@"; }
trap 'run down --volumes --yes >/dev/null 2>&1 || true; rm -rf "$work"' EXIT
pgbench=$(command -v pgbench || ls /usr/lib/postgresql/*/bin/pgbench | tail -1)
port=$((5432 + NSYS_STACK__PORT_OFFSET))

run up --only postgres,redis,kafka
run db seed --notifications "$rows" --yes
PGPASSWORD=$(cat "$work/state/$NSYS_STACK__NAME/secrets/postgres")
export PGPASSWORD
# What the worker does for each notification: a new row, then its final state.
cat >"$work/writer.sql" <<'SQL'
\set user random(1, 1000)
INSERT INTO notifications (id, user_id, channel, type, priority, status, payload, correlation_id, created_at, updated_at)
VALUES (gen_random_uuid(), 'user-' || :user, 'EMAIL', 'SYSTEM', 'MEDIUM', 'PENDING', '{}', 'c-' || :user, now(), now())
RETURNING id AS row \gset
UPDATE notifications SET status = 'DELIVERED', updated_at = now() WHERE id = ':row';
SQL

# Runs the writers; each transaction's time and instant go into files named $1.
writers() {
  exec "$pgbench" -n -h 127.0.0.1 -p "$port" -U nsys -c "$writers" -j 1 -T "$2" -f "$work/writer.sql" \
    -l --log-prefix "$work/$1" notifications >/dev/null 2>&1
}
# p50, p99 and the longest, in ms, of the transactions that ended between two instants.
figures() {
  cat "$work/$1".* | awk -v from="$2" -v to="$3" '$5 >= from && $5 <= to { print $3 / 1000 }' | sort -n |
    awk '{ v[NR] = $1 }
      END {
        if (NR == 0) exit 1
        half = int((NR + 1) / 2); most = int(NR * 0.99); if (most < 1) most = 1
        printf("%d transactions, p50 %.1f ms, p99 %.1f ms, longest %.0f ms\n", NR, v[half], v[most], v[NR])
      }'
}

(writers calm 30)
calm_end=$(date +%s)
(writers busy 3600) &
writer=$!
sleep 5
begin=$(date +%s)
run tune db --indexes --yes
end=$(date +%s)
kill "$writer"
wait "$writer" 2>/dev/null || true
echo
echo "$rows rows, $writers writers, build and ANALYZE took $((end - begin)) s"
echo "writers alone:        $(figures calm $((calm_end - 25)) "$calm_end")"
echo "writers during build: $(figures busy "$begin" "$end")"

# The same index without CONCURRENTLY, for comparison: writers are blocked until it is built.
run undo --yes >/dev/null
(writers plain 3600) &
writer=$!
sleep 5
begin=$(date +%s)
psql -q -h 127.0.0.1 -p "$port" -U nsys -d notifications -c "CREATE INDEX plain ON notifications (user_id, status, created_at DESC)"
end=$(date +%s)
sleep 2
kill "$writer"
wait "$writer" 2>/dev/null || true
echo "one plain CREATE INDEX, $((end - begin)) s: $(figures plain "$begin" $((end + 2)))"
