# Sourced by up.sh: one authority, a certificate for each program, a kubeconfig for each client.

ca() {
    [ -s "$pki/ca.crt" ] && return
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj /CN=slipway-cluster \
        -keyout "$pki/ca.key" -out "$pki/ca.crt" 2>/dev/null
    openssl genrsa -out "$pki/sa.key" 2048 2>/dev/null
    openssl rsa -in "$pki/sa.key" -pubout -out "$pki/sa.pub" 2>/dev/null
}

# certificate NAME SUBJECT [ALTERNATIVE NAMES]
certificate() {
    [ -s "$pki/$1.crt" ] && return
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "$2" \
        -keyout "$pki/$1.key" -out "$pki/$1.csr" 2>/dev/null
    openssl x509 -req -in "$pki/$1.csr" -CA "$pki/ca.crt" -CAkey "$pki/ca.key" -CAcreateserial -days 3650 \
        -extfile <(printf 'extendedKeyUsage=serverAuth,clientAuth\n%s' "${3:+subjectAltName=$3}") \
        -out "$pki/$1.crt" 2>/dev/null
}

# client NAME SUBJECT FILE
client() {
    certificate "$1" "$2"
    [ -s "$3" ] && return
    local set=(kubectl config --kubeconfig "$3")
    "${set[@]}" set-cluster slipway --server "https://127.0.0.1:$api_port" --embed-certs \
        --certificate-authority "$pki/ca.crt" >/dev/null
    "${set[@]}" set-credentials "$1" --embed-certs --client-certificate "$pki/$1.crt" \
        --client-key "$pki/$1.key" >/dev/null
    "${set[@]}" set-context slipway --cluster slipway --user "$1" >/dev/null
    "${set[@]}" use-context slipway >/dev/null
}

ca
certificate apiserver /CN=kube-apiserver \
    "IP:127.0.0.1,IP:$service_net.1,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc"
client admin /O=system:masters/CN=admin "$kubeconfig"
client controller-manager /CN=system:kube-controller-manager "$conf/controller-manager.kubeconfig"
client scheduler /CN=system:kube-scheduler "$conf/scheduler.kubeconfig"
# A node named localhost is how the API server reaches the kubelet, and with it the logs, on the loopback.
client kubelet /O=system:nodes/CN=system:node:localhost "$conf/kubelet.kubeconfig"
