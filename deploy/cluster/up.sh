#!/usr/bin/env bash
# A real Kubernetes for development and tests: the one that KUBECONFIG points at, if it answers, else one of a single
# node from its own programs, on this machine, as root: etcd, API server, controllers, scheduler, containerd, kubelet.
# up.sh --control-plane leaves out the last three: then nothing runs, and tests play the kubelet.
#
# Everything lies under .local/cluster (or SLIPWAY_CLUSTER_HOME), on the ports from SLIPWAY_CLUSTER_PORT on. What is up
# stays up; images that have changed are brought in again. down.sh ends it.
# shellcheck source=/dev/null
. "$(dirname "$0")/lib.sh"
. "$TREE/scripts/lib/archive.sh"
for part in components pki node images foreign; do
  . "$CLUSTER/$part.sh"
done

install_programs() {
  need curl=curl etcd=etcd-server openssl=openssl jq=jq
  [[ $NODE == yes ]] || return 0
  [[ $EUID -eq 0 ]] || fail "a node needs root; the control plane alone does not: make cluster CONTROL_PLANE=1"
  need containerd=containerd runc=runc cni-plugins=containernetworking-plugins iptables=iptables ip=iproute2
  need_rust
}

# The certificates and the clients' settings name the port.
remember_port() {
  mkdir -p "$STATE" "$RUN" "$IMAGES"
  if [[ -s "$STATE/port" && "$(<"$STATE/port")" != "$API_PORT" ]]; then
    fail "this cluster was made for port $(<"$STATE/port"): down.sh --purge removes it"
  fi
  printf '%s\n' "$API_PORT" >"$STATE/port"
}

start_control_plane() {
  step "The control plane, on 127.0.0.1:$API_PORT"
  make_credentials
  start_component etcd
  start_component kube-apiserver
  start_component kube-controller-manager
}

start_node() {
  step "The node"
  containerd_settings
  network_settings
  kubelet_settings
  cgroup_make
  bridge_make
  start_component containerd
  import_pause_image
  start_component kube-scheduler
  start_component kubelet
}

import_images() {
  step "Images"
  import_executor
  import_own_image
}

# write_contract KUBECONFIG [HOME]: scripts/test-cluster.sh says what each of these is.
write_contract() {
  {
    # shellcheck disable=SC2016 # whoever reads it expands it
    [[ ! -x "$KUBECTL/kubectl" ]] || printf 'export PATH=%q:$PATH\n' "$KUBECTL"
    printf 'export SLIPWAY_TEST_KUBECONFIG=%q\n' "$1"
    if [[ -n "${2:-}" ]]; then printf 'export SLIPWAY_TEST_CLUSTER_HOME=%q\n' "$2"; else echo 'unset SLIPWAY_TEST_CLUSTER_HOME'; fi
    printf 'export SLIPWAY_TEST_HOST=%q\n' "$HOST_ADDRESS"
    printf 'export SLIPWAY_TEST_EXECUTOR_IMAGE=%q\n' "${EXECUTOR_IMAGE:-}"
    printf 'export SLIPWAY_TEST_FETCHER_IMAGE=%q\n' "${OWN_IMAGE:-}"
  } >"$CONTRACT"
  write_kind
  step "Ready: export KUBECONFIG=$1"
}

NODE=yes
[[ "${1:-}" != --control-plane ]] || NODE=no
lock_state 600
if find_foreign; then
  use_foreign
  exit
fi
step "What the cluster needs"
remember_port
install_programs
bash "$CLUSTER/build.sh"
use_kubectl
start_control_plane
HOST_ADDRESS=127.0.0.1
if [[ $NODE == yes ]]; then
  start_node
  import_images
  HOST_ADDRESS=$POD_NET.1
else
  OWN_IMAGE=''
fi
write_contract "$ADMIN" "$STATE"
