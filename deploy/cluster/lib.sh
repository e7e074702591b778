# Sourced by up.sh, down.sh and load.sh: where everything is, and how processes are started and ended.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
home=${SLIPWAY_CLUSTER_HOME:-$(cd "$here/../.." && pwd)/.local/cluster}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/slipway/cluster
bin=$cache/$(sha256sum "$here/tools/go.sum" | cut -c1-16)

run=$home/run pki=$home/pki conf=$home/conf logs=$home/logs
socket=$run/containerd.sock
kubeconfig=$home/kubeconfig

# Ports and addresses of our own, so that a cluster that is there already is left in peace.
api_port=${SLIPWAY_CLUSTER_API_PORT:-16443}
etcd_port=12379 etcd_peer_port=12380 manager_port=11257 scheduler_port=11259 kubelet_port=11250
bridge=slipway0
pod_net=10.213.0 service_net=10.214.0

say() { printf 'cluster: %s\n' "$*"; }
die() { printf 'cluster: %s\n' "$*" >&2; exit 1; }

need() {
    command -v "$1" >/dev/null || die "$1 is missing: install the package $2"
}

alive() {
    [ -s "$run/$1.pid" ] && kill -0 "$(cat "$run/$1.pid")" 2>/dev/null
}

# start NAME COMMAND…: in the background, unless it runs already.
start() {
    local name=$1
    shift
    alive "$name" && return
    setsid "$@" >>"$logs/$name.log" 2>&1 </dev/null &
    echo $! >"$run/$name.pid"
}

# stop NAME: and waits until it has ended.
stop() {
    local name=$1 pid tries=0
    [ -s "$run/$name.pid" ] || return 0
    pid=$(cat "$run/$name.pid")
    kill "$pid" 2>/dev/null || true
    while kill -0 "$pid" 2>/dev/null; do
        tries=$((tries + 1))
        [ "$tries" -le 100 ] || kill -9 "$pid" 2>/dev/null || true
        sleep 0.2
    done
    rm -f "$run/$name.pid"
}

# until_true SECONDS WHAT COMMAND…
until_true() {
    local limit=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$limit" ] || die "$what: not within the time; see $logs"
        sleep 0.3
    done
}

k() { kubectl --kubeconfig "$kubeconfig" "$@"; }
images() { ctr --address "$socket" --namespace k8s.io images "$@"; }
