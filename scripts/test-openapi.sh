#!/bin/sh
# Requests that schemathesis (PyPI) makes from the OpenAPI document, on a stack of their own: as an administrator, as a
# user and as nobody. No answer may be a failure of the service or one that the document does not know, and no route
# may be open to whom it is not for. OPENAPI_EXAMPLES is how many requests each operation gets (about twice as many are
# made), OPENAPI_SEED repeats a run, OPENAPI_OFFSET moves the ports.
set -eu
cd "$(dirname "$0")/.."
sh scripts/bootstrap.sh
version=4.32.5
state=${OPENAPI_STATE:-.nsys}
tools=$state/schemathesis-$version
export NSYS_STACK__NAME=openapi NSYS_STACK__RUNTIME=local NSYS_STACK__PORT_OFFSET="${OPENAPI_OFFSET:-7000}"
nsys=${CARGO_TARGET_DIR:-target}/debug/nsys
api=http://127.0.0.1:$((3000 + NSYS_STACK__PORT_OFFSET))
seed=${OPENAPI_SEED:-$(date +%s)}

cargo build --workspace --locked
"$nsys" setup >/dev/null
if [ ! -x "$tools/bin/st" ]; then
  python3 -m venv "$tools" 2>/dev/null || {
    echo "python3 with venv is missing; run: sudo apt-get install -y python3-venv" >&2
    exit 4
  }
  "$tools/bin/pip" install -q "schemathesis==$version"
fi
trap '"$nsys" down --volumes --yes --state-dir "$state" >/dev/null' EXIT
"$nsys" up --state-dir "$state" --quiet
admin=$("$nsys" token --state-dir "$state" --quiet)
"$nsys" user add fuzz@example.com --role USER --yes --state-dir "$state" >/dev/null
user=$("$nsys" token --user fuzz@example.com --state-dir "$state" --quiet)

# Left out: what has no end (streams), takes minutes on purpose (a profile), or is made for operators to stop others
# with (draining; keys that sign everybody out). Failures with 5xx are those of the service: nothing is broken here.
# Nobody is to stay nobody: without this schemathesis registers an account by itself.
printf '[auth]\nauto-signup = false\n' >"$tools/settings.toml"
check() {
  name=$1
  shift
  echo "as $name, seed $seed"
  "$tools/bin/st" --config-file "$tools/settings.toml" run "$api/openapi.json" --seed "$seed" --max-examples "${OPENAPI_EXAMPLES:-40}" --no-shrink \
    --continue-on-failure --phases examples,coverage,fuzzing --warnings off --request-timeout 30 \
    --checks not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance,ignored_auth,unsupported_method \
    --exclude-path /notifications/events --exclude-path /notifications/stream --exclude-path /admin/profile \
    --exclude-path /admin/drain --exclude-path /admin/keys/rotate "$@" || failed=1
}
failed=0
check "an administrator" --header "Authorization: Bearer $admin"
check "a user" --header "Authorization: Bearer $user"
check nobody
exit $failed
