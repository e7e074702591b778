#!/usr/bin/env bash
# load.sh IMAGE…: brings images into the cluster of the last up.sh, from the local engine where it has them, else (into
# one of our own) by pulling. load.sh --archive FILE NAME: from what `docker save` wrote.
# shellcheck source=/dev/null
. "$(dirname "$0")/lib.sh"
. "$CLUSTER/images.sh"

load() {
  if engine_has "$1"; then
    import_from_engine "$1"
  elif [[ "$CLUSTER_KIND" == own ]] && in_containerd images pull "$1" >/dev/null; then
    info "pulled $1"
  else
    fail "$1 is neither in the engine's store nor to be pulled"
  fi
}

[[ -s "$CONTRACT" ]] || fail "no cluster is up: make cluster"
read_kind
if [[ "${1:-}" == --archive ]]; then
  import_archive "$2" "$3"
else
  for image in "$@"; do load "$image"; done
fi
