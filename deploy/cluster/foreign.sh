# shellcheck shell=bash
# shellcheck disable=SC2034 # others read what is set here
# Sourced by up.sh: the cluster that KUBECONFIG points at, if there is one.

# KUBECONFIG may name several files.
foreign() { KUBECONFIG=$FOREIGN kubectl "$@"; }

# find_foreign: whether KUBECONFIG points at a cluster that answers and is not ours.
find_foreign() {
  FOREIGN=${KUBECONFIG:-}
  [[ -n "$FOREIGN" ]] || return 1
  if [[ -s "$ADMIN" && "$(server_of "$FOREIGN")" == "$(server_of "$ADMIN")" ]]; then return 1; fi
  if ! KUBECONFIG=$FOREIGN timeout 15 kubectl get --raw /readyz >/dev/null 2>&1; then
    warn "KUBECONFIG is set, but no cluster answers there: making one of our own"
    return 1
  fi
  # Pods reach this machine through the node's network.
  case $(foreign config current-context) in
    kind-*) CLUSTER_KIND=kind ;;
    k3d-*) CLUSTER_KIND=k3d ;;
    *) if is_minikube; then CLUSTER_KIND=minikube; else CLUSTER_KIND=unknown; fi ;;
  esac
  CLUSTER_NAME=$(foreign config current-context)
  CLUSTER_NAME=${CLUSTER_NAME#"$CLUSTER_KIND-"}
  CLUSTER_UID=$(foreign get namespace kube-system --output 'jsonpath={.metadata.uid}')
}

server_of() { KUBECONFIG=$1 kubectl config view --minify --output 'jsonpath={.clusters[0].cluster.server}' 2>/dev/null; }

is_minikube() { [[ -n "$(foreign get nodes --selector minikube.k8s.io/name --output name)" ]]; }

# The command that brings images into the cluster.
has_importer() { [[ "$CLUSTER_KIND" != unknown ]] && command -v "$CLUSTER_KIND" >/dev/null; }

# The address of this machine, as pods reach it.
host_address() {
  case $CLUSTER_KIND in
    kind) gateway_of kind ;;
    k3d) gateway_of "k3d-$CLUSTER_NAME" ;;
    minikube) minikube --profile "$CLUSTER_NAME" ssh "getent hosts host.minikube.internal" | awk '{print $1}' | tr -d '\r' ;;
  esac
}

# A network may have an address of each family.
gateway_of() {
  docker network inspect "$1" --format '{{range .IPAM.Config}}{{println .Gateway}}{{end}}' |
    grep --max-count=1 '^[0-9.]*$'
}

# A cluster that no command of this machine fills pulls the images itself, by the names that it is told.
use_foreign() {
  step "The cluster that KUBECONFIG points at: $(foreign config current-context)"
  mkdir -p "$IMAGES"
  if has_importer; then
    import_executor
    import_own_image
    HOST_ADDRESS=${SLIPWAY_TEST_HOST:-$(host_address)}
    [[ -n "$HOST_ADDRESS" ]] || fail "set SLIPWAY_TEST_HOST to the address at which pods reach this machine"
  else
    EXECUTOR_IMAGE=${SLIPWAY_TEST_EXECUTOR_IMAGE:-} OWN_IMAGE=${SLIPWAY_TEST_FETCHER_IMAGE:-}
    HOST_ADDRESS=${SLIPWAY_TEST_HOST:-}
    [[ -n "$EXECUTOR_IMAGE" && -n "$OWN_IMAGE" && -n "$HOST_ADDRESS" ]] || fail "$(what_to_push)"
  fi
  (umask 077 && foreign config view --raw --minify --flatten >"$STATE/foreign")
  write_contract "$STATE/foreign"
}

what_to_push() {
  cat <<TEXT
this cluster is not known to kind, k3d or minikube on this machine. Push to a registry that its nodes pull from:
    kaniko's image     $(bash "$TREE/deploy/executor-image.sh" --name)
    our own image      make image, then docker tag slipway:dev REGISTRY/slipway:dev and docker push
and name what was pushed, and how pods reach this machine:
    SLIPWAY_TEST_EXECUTOR_IMAGE=… SLIPWAY_TEST_FETCHER_IMAGE=… SLIPWAY_TEST_HOST=… make cluster
TEXT
}
