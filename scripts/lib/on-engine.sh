# shellcheck shell=bash
# shellcheck disable=SC2034 # others read what is set here
# The demo's builds as containers of an engine.

# What this demo's containers are labelled with, so that no other ones are touched.
INSTANCE=demo-$(printf '%s' "$STATE" | sha256sum | cut -c1-8)
PLACE="as containers"

# place_prepare: afterwards ADDRESS is where builds reach this machine.
place_prepare() {
  engine_ensure || fail "no container engine answers: start Docker (or set DOCKER_HOST), or run this as root on Debian"
  place_clear
  ADDRESS=127.0.0.1
}

place_executor() {
  EXECUTOR=$(bash deploy/executor-image.sh)
  # The stand-in unpacks into a folder and runs there; kaniko needs no such right.
  [[ "$EXECUTOR" != *standin* ]] || export SLIPWAY_ENGINE_CAPABILITIES=SYS_CHROOT
}

# place_settings: for the service, which is about to start.
place_settings() {
  export SLIPWAY_LAUNCHER=engine SLIPWAY_ENGINE_NETWORK=host SLIPWAY_ENGINE_INSTANCE=$INSTANCE
}

# push_base NAME: Docker Hub's busybox, or the one of Debian where that is out of reach; afterwards ORIGIN says which.
push_base() {
  info "looking for busybox in the engine, then on Docker Hub (for at most 30 s)"
  if docker image inspect busybox:stable >/dev/null 2>&1 || timeout 30 docker pull --quiet busybox:stable >/dev/null 2>&1; then
    docker tag busybox:stable "$1"
    ORIGIN="Docker Hub"
  else
    need busybox=busybox-static
    busybox_root | docker import - "$1" >/dev/null
    ORIGIN="Debian's busybox-static, since Docker Hub is out of reach"
  fi
  docker push --quiet "$1" >/dev/null ||
    fail "the engine cannot push to ${1%%/*}: it must run on this machine itself (no virtual machine, not rootless)"
  docker rmi "$1" >/dev/null
}

# run_image NAME: prints what it says.
run_image() {
  docker run --rm --network none "$1" 2>/dev/null
  docker rmi "$1" >/dev/null
}

# running_of ID: the containers of a build that still run, one a line.
running_of() { docker ps --quiet --filter "label=slipway.dev/build-id=$1"; }

place_closing_words() { :; }

# Containers of this demo that an earlier run left behind, or that still run when it ends.
place_clear() {
  docker ps --all --quiet --filter "label=slipway.dev/instance=$INSTANCE" 9>&- |
    xargs --no-run-if-empty docker rm --force >/dev/null 2>&1 || true
}

place_release() { engine_stop; }
