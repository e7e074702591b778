# shellcheck shell=bash
# Sourced by up.sh: what the node's programs read, and where its containers live.

# Outside of $STATE is only what has no setting: /var/log/containers, /var/lib/kubelet/device-plugins.
# restrict_oom_score_adj: root in a container may lack CAP_SYS_RESOURCE.
containerd_settings() {
  cat >"$CONF/containerd.toml" <<TOML
version = 2
root = "$STATE/containerd"
state = "$RUN/containerd"
[grpc]
  address = "$SOCKET"
[plugins."io.containerd.internal.v1.opt"]
  path = "$STATE/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$PAUSE_IMAGE"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      Root = "$RUN/runc"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$CONF/cni"
TOML
}

network_settings() {
  mkdir -p "$CONF/cni"
  cat >"$CONF/cni/10-slipway.conflist" <<JSON
{
  "cniVersion": "1.0.0", "name": "$BRIDGE",
  "plugins": [{
    "type": "bridge", "bridge": "$BRIDGE", "isDefaultGateway": true, "ipMasq": true,
    "ipam": {
      "type": "host-local", "dataDir": "$RUN/cni",
      "ranges": [[{ "subnet": "$POD_NET.0/24" }]]
    }
  }]
}
JSON
}

# The network plugin would make it with the first pod only; what pods should reach listens on it before.
#
# Its hardware address is set: otherwise a bridge takes the lowest of its ports, another one with every few pods, and
# who knows the old one reaches nothing on this machine for up to half a minute. The plugin sees to that only where it
# gives the bridge its address.
bridge_make() {
  local a b c
  IFS=. read -r a b c <<<"$POD_NET"
  [[ -e "/sys/class/net/$BRIDGE" ]] || ip link add name "$BRIDGE" type bridge
  ip link set "$BRIDGE" address "$(printf '02:00:%02x:%02x:%02x:01' "$a" "$b" "$c")"
  ip addr replace "$POD_NET.1/24" dev "$BRIDGE"
  ip link set "$BRIDGE" up
}

# No firewall rules, and a cgroup of its own: one kubelet removes what it finds of another's pods.
kubelet_settings() {
  cat >"$CONF/kubelet.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: 127.0.0.1
port: $KUBELET_PORT
healthzPort: 0
authentication: { anonymous: { enabled: false }, webhook: { enabled: true }, x509: { clientCAFile: $PKI/ca.crt } }
authorization: { mode: Webhook }
cgroupDriver: cgroupfs
cgroupRoot: $CGROUP
failCgroupV1: false
failSwapOn: false
containerRuntimeEndpoint: unix://$SOCKET
enforceNodeAllocatable: []
evictionHard: { memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1% }
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
makeIPTablesUtilChains: false
podLogsDir: $STATE/pods
volumePluginDir: $STATE/kubelet/plugins
YAML
}

cgroup_mounts() { awk '$3 == "cgroup" || $3 == "cgroup2" {print $2}' /proc/mounts; }

# The kubelet wants its cgroup to be there, in each hierarchy.
cgroup_make() {
  local mount file
  while read -r mount; do
    if [[ "$mount" == /sys/fs/cgroup && -e "$mount/cgroup.subtree_control" ]]; then
      for file in cpu cpuset memory pids hugetlb; do echo "+$file" >"$mount/cgroup.subtree_control" || true; done
    fi 2>/dev/null
    mkdir -p "$mount$CGROUP"
    # A new cpuset of the first version is empty.
    for file in cpuset.cpus cpuset.mems; do
      [[ ! -e "$mount/cgroup.clone_children" || ! -e "$mount/$file" ]] || cat "$mount/$file" >"$mount$CGROUP/$file"
    done
  done < <(cgroup_mounts)
}

# The deepest first: rmdir takes only what is empty, the files apart.
cgroup_remove() {
  local mount
  while read -r mount; do
    [[ ! -d "$mount$CGROUP" ]] || find "$mount$CGROUP" -depth -type d -exec rmdir {} + 2>/dev/null || true
  done < <(cgroup_mounts)
}

# Whatever runs in a pod ends, and its container with it. The kubelet must have ended before.
end_containers() {
  local id
  alive containerd || return 0
  for id in $(in_containerd containers ls --quiet); do
    in_containerd tasks rm --force "$id" || true
    in_containerd containers rm "$id" || true
  done
} >/dev/null 2>&1

# What the network plugin made for pods that ended without it.
remove_network() {
  local results=/var/lib/cni/results file id
  ip link delete "$BRIDGE" 2>/dev/null || true
  for file in "$results/$BRIDGE"-*; do
    id=$(basename "${file#*"$BRIDGE-"}" -eth0)
    rm -f "$file" "$results/cni-loopback-$id-lo"
  done
  remove_rules
}

# Only the rules that carry this network's name.
remove_rules() {
  local rule='^-A POSTROUTING -s ([0-9./]+) .*name: ."'$BRIDGE'." id: ."([0-9a-f]+)."" -j (CNI-[0-9a-f]+)$' line
  command -v iptables >/dev/null || return 0
  iptables -t nat -S POSTROUTING 2>/dev/null | while read -r line; do
    [[ "$line" =~ $rule ]] || continue
    iptables -t nat -D POSTROUTING -s "${BASH_REMATCH[1]}" -j "${BASH_REMATCH[3]}" \
      -m comment --comment "name: \"$BRIDGE\" id: \"${BASH_REMATCH[2]}\""
    iptables -t nat -F "${BASH_REMATCH[3]}"
    iptables -t nat -X "${BASH_REMATCH[3]}"
  done || true
}

# Mounts of pods and sandboxes, the deepest first.
remove_mounts() {
  local mount
  awk -v home="$STATE/" 'index($2, home) == 1 {print $2}' /proc/mounts | sort --reverse | while read -r mount; do
    umount --lazy "$mount" 2>/dev/null || true
  done
  find /var/log/containers -lname "$STATE/*" -delete 2>/dev/null || true
}
