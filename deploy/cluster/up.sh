#!/usr/bin/env bash
# A real single-node Kubernetes from its own programs, on this machine, as root: etcd, API server, controllers,
# scheduler, containerd, kubelet. up.sh --control-plane leaves out the last three: then nothing runs, and tests play
# the kubelet. Everything lies under .local/cluster; down.sh ends it.
. "$(dirname "$0")/lib.sh"
node=yes
[ "${1:-}" = --control-plane ] && node=no

need etcd etcd-server
need openssl openssl
need kubectl "kubernetes-client, or any kubectl"
if [ $node = yes ]; then
    [ "$(id -u)" = 0 ] || die "a node needs root; up.sh --control-plane does not"
    need containerd containerd
    need runc runc
    need iptables iptables
    [ -x /usr/lib/cni/bridge ] || die "/usr/lib/cni/bridge is missing: install the package containernetworking-plugins"
fi
"$here/build.sh"
mkdir -p "$run" "$pki" "$conf" "$logs"

. "$here/pki.sh"

start etcd etcd --data-dir "$home/etcd" --unsafe-no-fsync --log-level warn \
    --listen-client-urls "http://127.0.0.1:$etcd_port" --advertise-client-urls "http://127.0.0.1:$etcd_port" \
    --listen-peer-urls "http://127.0.0.1:$etcd_peer_port" \
    --initial-advertise-peer-urls "http://127.0.0.1:$etcd_peer_port" \
    --initial-cluster "default=http://127.0.0.1:$etcd_peer_port"
start kube-apiserver "$bin/kube-apiserver" --etcd-servers "http://127.0.0.1:$etcd_port" \
    --bind-address 127.0.0.1 --secure-port "$api_port" --endpoint-reconciler-type none \
    --authorization-mode Node,RBAC --service-cluster-ip-range "$service_net.0/24" \
    --client-ca-file "$pki/ca.crt" --tls-cert-file "$pki/apiserver.crt" --tls-private-key-file "$pki/apiserver.key" \
    --service-account-issuer https://kubernetes.default.svc --service-account-key-file "$pki/sa.pub" \
    --service-account-signing-key-file "$pki/sa.key" --kubelet-preferred-address-types Hostname \
    --kubelet-client-certificate "$pki/admin.crt" --kubelet-client-key "$pki/admin.key"
until_true 90 "the API server" k get --raw /readyz
start kube-controller-manager "$bin/kube-controller-manager" --kubeconfig "$conf/controller-manager.kubeconfig" \
    --bind-address 127.0.0.1 --secure-port "$manager_port" --leader-elect=false --use-service-account-credentials \
    --service-account-private-key-file "$pki/sa.key" --root-ca-file "$pki/ca.crt" \
    --kube-api-qps 200 --kube-api-burst 400 --concurrent-job-syncs 20
until_true 60 "the namespaces' service accounts" k get serviceaccount default -n default
if [ $node = yes ]; then
    . "$here/node.sh"
fi
say "ready: export KUBECONFIG=$kubeconfig"
