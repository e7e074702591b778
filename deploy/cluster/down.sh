#!/usr/bin/env bash
# Ends what up.sh started, and nothing else. down.sh --purge also removes its data.
# shellcheck source=/dev/null
. "$(dirname "$0")/lib.sh"
. "$CLUSTER/components.sh"
. "$CLUSTER/node.sh"

if [[ ! -e "$STATE/port" ]]; then
  rm -f "$CONTRACT"
  info "no cluster of ours was started in $STATE; another's is left alone"
  exit
fi
lock_state 600
stop_component kubelet
signal_component CONT containerd 2>/dev/null || true
end_containers
for name in kube-scheduler kube-controller-manager kube-apiserver etcd containerd; do stop_component "$name"; done
if [[ $EUID -eq 0 ]]; then
  remove_mounts
  remove_network
  cgroup_remove
fi
rm -f "$CONTRACT"
[[ "${1:-}" != --purge ]] || rm -rf --one-file-system "$STATE"
info "the cluster in $STATE is down"
