# Sourced by up.sh: the node.

# The pod's first container, as an image of one file.
pause_image() {
    local dir=$home/pause layer config
    [ -s "$home/pause.tar" ] && return
    mkdir -p "$dir"
    tar -C "$bin" --owner 0 --group 0 --mtime @0 -cf "$dir/layer.tar" pause
    layer=$(sha256sum "$dir/layer.tar" | cut -d' ' -f1)
    printf '{"architecture":"%s","os":"linux","config":{"Entrypoint":["/pause"]},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
        "$(dpkg --print-architecture)" "$layer" >"$dir/config.json"
    config=$(sha256sum "$dir/config.json" | cut -d' ' -f1)
    mv "$dir/config.json" "$dir/$config.json"
    printf '[{"Config":"%s.json","RepoTags":["slipway.local/pause:1"],"Layers":["layer.tar"]}]' "$config" >"$dir/manifest.json"
    tar -C "$dir" -cf "$home/pause.tar" "manifest.json" "$config.json" "layer.tar"
}

# restrict_oom_score_adj: root in a container may lack CAP_SYS_RESOURCE.
cat >"$conf/containerd.toml" <<TOML
version = 2
root = "$home/containerd"
state = "$run/containerd"
[grpc]
  address = "$socket"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "slipway.local/pause:1"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$conf/cni"
TOML

mkdir -p "$conf/cni"
cat >"$conf/cni/10-slipway.conflist" <<JSON
{
  "cniVersion": "1.0.0", "name": "slipway",
  "plugins": [{
    "type": "bridge", "bridge": "$bridge", "isDefaultGateway": true, "ipMasq": true,
    "ipam": {
      "type": "host-local", "dataDir": "$run/cni",
      "ranges": [[{ "subnet": "$pod_net.0/24" }]]
    }
  }]
}
JSON

cat >"$conf/kubelet.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: 127.0.0.1
port: $kubelet_port
healthzPort: 0
authentication: { anonymous: { enabled: false }, webhook: { enabled: true }, x509: { clientCAFile: $pki/ca.crt } }
authorization: { mode: Webhook }
cgroupDriver: cgroupfs
failCgroupV1: false
failSwapOn: false
containerRuntimeEndpoint: unix://$socket
enforceNodeAllocatable: []
evictionHard: { memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1% }
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
podLogsDir: $home/pods
volumePluginDir: $home/kubelet/plugins
YAML

pause_image
start containerd containerd --config "$conf/containerd.toml" --log-level warn
until_true 30 containerd images ls
images ls -q | grep -q '^slipway.local/pause:1$' || images import "$home/pause.tar" >/dev/null
start kube-scheduler "$bin/kube-scheduler" --kubeconfig "$conf/scheduler.kubeconfig" --leader-elect=false \
    --bind-address 127.0.0.1 --secure-port "$scheduler_port"
start kubelet "$bin/kubelet" --config "$conf/kubelet.yaml" --kubeconfig "$conf/kubelet.kubeconfig" \
    --root-dir "$home/kubelet" --cert-dir "$pki/kubelet" --hostname-override localhost
until_true 90 "the node" k wait --for condition=Ready node/localhost --timeout 1s
