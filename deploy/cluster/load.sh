#!/usr/bin/env bash
# load.sh IMAGE…: brings images into the cluster's store, from the local engine where it has them, else by pulling.
. "$(dirname "$0")/lib.sh"
for image in "$@"; do
    if docker image inspect "$image" >/dev/null 2>&1; then
        docker save "$image" | images import - >/dev/null
        say "loaded $image from the engine"
    else
        images pull "$image" >/dev/null || die "$image is neither in the engine's store nor to be pulled"
        say "pulled $image"
    fi
done
