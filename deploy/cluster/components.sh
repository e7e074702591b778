# shellcheck shell=bash
# shellcheck disable=SC2317 # called by name
# Sourced: how each component starts, and when it is ready.

# launch NAME COMMAND…: the log of the run before stays beside the new one.
launch() {
  [[ ! -s "$STATE/$1.log" ]] || mv "$STATE/$1.log" "$STATE/$1.log.1"
  spawn "$@"
}

# start_component NAME: unless it runs. One that a test left paused goes on.
start_component() { signal_component CONT "$1" || "start_$1"; }

# healthy PORT: health is told to whoever asks.
healthy() { curl --silent --fail --insecure "https://127.0.0.1:$1/healthz"; }

start_etcd() {
  local url=http://127.0.0.1:$ETCD_PORT peer=http://127.0.0.1:$ETCD_PEER_PORT
  launch etcd etcd --data-dir "$STATE/etcd" --unsafe-no-fsync --log-level warn \
    --listen-client-urls "$url" --advertise-client-urls "$url" \
    --listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" --initial-cluster "default=$peer"
}

# Pod Security and the service accounts' rules are among the admission plugins that are on by default.
start_kube-apiserver() {
  launch kube-apiserver "$BIN/kube-apiserver" --etcd-servers "http://127.0.0.1:$ETCD_PORT" \
    --bind-address 127.0.0.1 --secure-port "$API_PORT" --endpoint-reconciler-type none \
    --authorization-mode Node,RBAC --service-cluster-ip-range "$SERVICE_NET.0/24" \
    --client-ca-file "$PKI/ca.crt" --tls-cert-file "$PKI/apiserver.crt" --tls-private-key-file "$PKI/apiserver.key" \
    --service-account-issuer https://kubernetes.default.svc --service-account-key-file "$PKI/sa.pub" \
    --service-account-signing-key-file "$PKI/sa.key" --kubelet-preferred-address-types Hostname \
    --kubelet-client-certificate "$PKI/admin.crt" --kubelet-client-key "$PKI/admin.key"
  wait_until 90 kube-apiserver api_answers
}

# By default only four to five Jobs a second would complete.
start_kube-controller-manager() {
  launch kube-controller-manager "$BIN/kube-controller-manager" --kubeconfig "$CONF/controller-manager.kubeconfig" \
    --bind-address 127.0.0.1 --secure-port "$MANAGER_PORT" --leader-elect=false --use-service-account-credentials \
    --service-account-private-key-file "$PKI/sa.key" --root-ca-file "$PKI/ca.crt" \
    --kube-api-qps 200 --kube-api-burst 400 --concurrent-job-syncs 20
  wait_until 60 kube-controller-manager healthy "$MANAGER_PORT"
  until_true 60 "the namespaces' service accounts" k get serviceaccount default --namespace default
}

start_containerd() {
  launch containerd containerd --config "$CONF/containerd.toml" --log-level warn
  wait_until 30 containerd in_containerd images ls
}

start_kube-scheduler() {
  launch kube-scheduler "$BIN/kube-scheduler" --kubeconfig "$CONF/scheduler.kubeconfig" --leader-elect=false \
    --bind-address 127.0.0.1 --secure-port "$SCHEDULER_PORT"
  wait_until 60 kube-scheduler healthy "$SCHEDULER_PORT"
}

start_kubelet() {
  launch kubelet "$BIN/kubelet" --config "$CONF/kubelet.yaml" --kubeconfig "$CONF/kubelet.kubeconfig" \
    --root-dir "$STATE/kubelet" --cert-dir "$PKI/kubelet" --hostname-override localhost
  wait_until 90 kubelet k wait --for condition=Ready node/localhost --timeout 1s
}

# signal_component SIGNAL NAME: the process only, if it is the one that was started.
signal_component() {
  local pid
  alive "$2" || return 1
  read -r pid _ <"$STATE/$2.pid"
  kill -s "$1" "$pid"
}

# stop_component NAME: a process that was paused would not hear that it should end. The API server waits for its
# watchers for a minute, which is of no use to anybody here.
stop_component() {
  signal_component CONT "$1" 2>/dev/null || true
  if [[ "$1" == kube-apiserver ]]; then
    signal_component TERM "$1" 2>/dev/null || true
    until_gone 3 "$1" || stop "$1" KILL
  fi
  stop "$1"
}

# until_gone SECONDS NAME
until_gone() {
  local until=$((SECONDS + $1))
  while alive "$2"; do
    ((SECONDS < until)) || return 1
    sleep 0.1
  done
}
