#!/usr/bin/env bash
# load.sh IMAGE…: brings images into our own cluster's store, from the local engine where it has them, else by pulling.
# shellcheck source=/dev/null
. "$(dirname "$0")/lib.sh"
. "$CLUSTER/images.sh"

mkdir -p "$IMAGES"
for image in "$@"; do
  if engine_has "$image"; then
    import_from_engine "$image"
  else
    in_containerd images pull "$image" >/dev/null || fail "$image is neither in the engine's store nor to be pulled"
    info "pulled $image"
  fi
done
