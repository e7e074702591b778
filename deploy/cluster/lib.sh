# shellcheck shell=bash
# shellcheck disable=SC2034 # others read what is set here
# Sourced by the scripts here: where everything lies, and what keeps two clusters on one machine apart.
set -euo pipefail

CLUSTER=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
TREE=$(cd "$CLUSTER/../.." && pwd)
# All that a cluster keeps: data, certificates, settings, logs, and the processes' pids.
STATE=$(realpath --canonicalize-missing "${SLIPWAY_CLUSTER_HOME:-$TREE/.local/cluster}")
for part in output processes packages; do
  # shellcheck source=/dev/null
  source "$TREE/scripts/lib/$part.sh"
done

# Outside the tree, so that a clean checkout does not compile Kubernetes again.
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/slipway/cluster
BIN=$CACHE/$(sha256sum "$CLUSTER/tools/go.sum" | cut -c1-16)
KUBECTL=$CACHE/kubectl-$(sha256sum "$CLUSTER/kubectl/go.sum" | cut -c1-16)
use_kubectl() { [[ ! -x "$KUBECTL/kubectl" ]] || export PATH=$KUBECTL:$PATH; }
use_kubectl

RUN=$STATE/run PKI=$STATE/pki CONF=$STATE/conf IMAGES=$STATE/images
SOCKET=$RUN/containerd.sock
ADMIN=$STATE/kubeconfig
# What tests and the demo need to know of the cluster.
CONTRACT=$STATE/env
# The components in the order of their start.
COMPONENTS=(etcd kube-apiserver kube-controller-manager containerd kube-scheduler kubelet)

# Everything that two clusters could quarrel about comes of the first port: the given one, the one of the last start, or
# the first that nobody listens on.
choose_port() {
  local port=16443
  if [[ -n "${SLIPWAY_CLUSTER_PORT:-}" ]]; then
    port=$SLIPWAY_CLUSTER_PORT
  elif [[ -s "$STATE/port" ]]; then
    port=$(<"$STATE/port")
  else
    while [[ "$(free_port "$port")" != "$port" ]]; do port=$((port + 10)); done
  fi
  printf '%s\n' "$port"
}
API_PORT=$(choose_port)
ETCD_PORT=$((API_PORT + 1)) ETCD_PEER_PORT=$((API_PORT + 2)) MANAGER_PORT=$((API_PORT + 3))
SCHEDULER_PORT=$((API_PORT + 4)) KUBELET_PORT=$((API_PORT + 5))
BRIDGE=slipway$API_PORT CGROUP=/slipway$API_PORT
POD_NET=10.213.$((API_PORT % 256)) SERVICE_NET=10.214.$((API_PORT % 256))

k() { kubectl --kubeconfig "$ADMIN" "$@"; }
in_containerd() { ctr --address "$SOCKET" --namespace k8s.io "$@"; }
api_answers() { k get --raw /readyz; }

# until_true SECONDS WHAT COMMAND…
until_true() {
  local until=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < until)) || fail "$what: not within the time; the logs are in $STATE"
    sleep 0.3
  done
}
