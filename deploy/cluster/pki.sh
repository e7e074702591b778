# shellcheck shell=bash
# Sourced by up.sh: one authority, a certificate for each program, a kubeconfig for each client.

authority() {
  [[ ! -s "$PKI/sa.pub" ]] || return 0
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj /CN=slipway-cluster \
    -keyout "$PKI/ca.key" -out "$PKI/ca.crt" 2>/dev/null
  openssl genrsa -out "$PKI/sa.key" 2048 2>/dev/null
  openssl rsa -in "$PKI/sa.key" -pubout -out "$PKI/sa.pub" 2>/dev/null
}

# certificate NAME SUBJECT [ALTERNATIVE NAMES]
certificate() {
  [[ ! -s "$PKI/$1.crt" ]] || return 0
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "$2" \
    -keyout "$PKI/$1.key" -out "$PKI/$1.csr" 2>/dev/null
  openssl x509 -req -in "$PKI/$1.csr" -CA "$PKI/ca.crt" -CAkey "$PKI/ca.key" -CAcreateserial -days 3650 \
    -extfile <(printf 'extendedKeyUsage=serverAuth,clientAuth\n%s' "${3:+subjectAltName=$3}") \
    -out "$PKI/$1.crt" 2>/dev/null
}

# client NAME SUBJECT FILE
client() {
  local configure=(kubectl config --kubeconfig "$3")
  certificate "$1" "$2"
  [[ ! -s "$3" ]] || return 0
  "${configure[@]}" set-cluster slipway --server "https://127.0.0.1:$API_PORT" --embed-certs \
    --certificate-authority "$PKI/ca.crt" >/dev/null
  "${configure[@]}" set-credentials "$1" --embed-certs --client-certificate "$PKI/$1.crt" \
    --client-key "$PKI/$1.key" >/dev/null
  "${configure[@]}" set-context slipway --cluster slipway --user "$1" >/dev/null
  "${configure[@]}" use-context slipway >/dev/null
}

make_credentials() {
  mkdir -p "$PKI" "$CONF"
  chmod 700 "$PKI" "$CONF"
  authority
  certificate apiserver /CN=kube-apiserver \
    "IP:127.0.0.1,IP:$SERVICE_NET.1,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc"
  client admin /O=system:masters/CN=admin "$ADMIN"
  client controller-manager /CN=system:kube-controller-manager "$CONF/controller-manager.kubeconfig"
  client scheduler /CN=system:kube-scheduler "$CONF/scheduler.kubeconfig"
  # A node named localhost is how the API server reaches the kubelet, and with it the logs, on the loopback.
  client kubelet /O=system:nodes/CN=system:node:localhost "$CONF/kubelet.kubeconfig"
}
