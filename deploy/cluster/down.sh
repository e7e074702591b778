#!/usr/bin/env bash
# Ends what up.sh started, and nothing else. down.sh --purge also removes its data.
. "$(dirname "$0")/lib.sh"
stop kubelet
if alive containerd; then
    tasks=(ctr --address "$socket" --namespace k8s.io)
    "${tasks[@]}" tasks ls -q | while read -r task; do
        "${tasks[@]}" tasks kill --signal SIGKILL "$task" 2>/dev/null || true
    done
    sleep 1
    "${tasks[@]}" containers ls -q | while read -r container; do
        "${tasks[@]}" tasks rm -f "$container" 2>/dev/null || true
        "${tasks[@]}" containers rm "$container" 2>/dev/null || true
    done
fi
for name in kube-scheduler kube-controller-manager kube-apiserver etcd containerd; do
    stop "$name"
done
# Mounts of pods and sandboxes, the deepest first.
awk -v home="$home/" 'index($2, home) == 1 { print $2 }' /proc/mounts | sort -r | while read -r mount; do
    umount -l "$mount" 2>/dev/null || true
done
if [ -e "/sys/class/net/$bridge" ]; then
    ip link delete "$bridge" 2>/dev/null || true
fi
if [ "${1:-}" = --purge ]; then
    rm -rf "$home"
fi
say "down"
