# shellcheck shell=bash
# The cluster that a script works with: left as it was found.

CLUSTER_SCRIPTS=$PWD/deploy/cluster

# cluster_ensure: afterwards the contract's variables are exported, and CLUSTER_STARTED tells whether that took a start.
cluster_ensure() {
  local state
  state=$(bash "$CLUSTER_SCRIPTS/component.sh" status 2>/dev/null || true)
  CLUSTER_STARTED=yes
  [[ "$state" != *running* ]] || CLUSTER_STARTED=''
  bash "$CLUSTER_SCRIPTS/up.sh" 9>&- || fail "there is no cluster"
  # shellcheck source=/dev/null
  source "$(cluster_home)/env"
}

cluster_home() { realpath --canonicalize-missing "${SLIPWAY_CLUSTER_HOME:-$PWD/.local/cluster}"; }

# cluster_release: stops it, if cluster_ensure started it.
cluster_release() {
  [[ -n "${CLUSTER_STARTED:-}" ]] || return 0
  bash "$CLUSTER_SCRIPTS/down.sh" 9>&-
}

cluster_words() {
  kubectl --kubeconfig "$SLIPWAY_TEST_KUBECONFIG" get nodes --output \
    'jsonpath={range .items[*]}{.metadata.name}, {.status.nodeInfo.kubeletVersion}, {.status.nodeInfo.containerRuntimeVersion}{"\n"}{end}'
}
