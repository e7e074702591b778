# shellcheck shell=bash
# Sourced: how images come into the cluster.

PAUSE_IMAGE=slipway.local/pause:1
OWN_IMAGE=slipway:test
# Archives that are made here, and a note of what was imported last.
record() { printf '%s/%s' "$IMAGES" "$(tr -c '[:alnum:]\n' - <<<"$1")"; }

# Which kind of cluster the last up.sh found or made, and its name: for whoever brings images in later.
write_kind() { printf '%s %s\n' "${CLUSTER_KIND:-own}" "${CLUSTER_NAME:--}" >"$STATE/kind"; }
read_kind() { read -r CLUSTER_KIND CLUSTER_NAME <"$STATE/kind"; }

# import_archive FILE NAME: into whatever cluster it is.
import_archive() {
  case ${CLUSTER_KIND:-own} in
    own) in_containerd images import "$1" >/dev/null ;;
    kind) kind load image-archive "$1" --name "$CLUSTER_NAME" ;;
    k3d) k3d image import "$1" --cluster "$CLUSTER_NAME" >/dev/null ;;
    minikube) minikube --profile "$CLUSTER_NAME" image load "$1" ;;
    *) false ;;
  esac || fail "$2 could not be brought into the cluster"
  info "$2 is in the cluster"
}

# imported NAME WHAT: whether this cluster has that state of the image.
imported() {
  [[ "$(cat "$(record "$1").imported" 2>/dev/null)" == "$2 ${CLUSTER_UID:-}" ]] || return 1
  [[ "${CLUSTER_KIND:-own}" != own ]] || in_store "$1"
}

# in_store NAME: in our own cluster's. Names without a host mean Docker Hub's; containerd spells that out.
in_store() {
  local names
  names=$(in_containerd images ls --quiet)
  grep --quiet --line-regexp --fixed-strings --regexp="$1" --regexp="docker.io/$1" --regexp="docker.io/library/$1" <<<"$names"
}

# import_once NAME WHAT FILE
import_once() {
  ! imported "$1" "$2" || return 0
  import_archive "$3" "$1"
  # A cluster that was made anew under the same name has nothing of it.
  printf '%s %s\n' "$2" "${CLUSTER_UID:-}" >"$(record "$1").imported"
}

engine_has() { timeout 15 docker image inspect "$1" >/dev/null 2>&1; }

# import_from_engine NAME: unless that very image is in the cluster.
import_from_engine() {
  local id archive
  id=$(docker image inspect --format '{{.Id}}' "$1")
  ! imported "$1" "$id" || return 0
  archive=$(record "$1").tar
  docker save --output "$archive" "$1"
  import_once "$1" "$id" "$archive"
  rm -f "$archive"
}

# The pod's first container, as an image of one file.
import_pause_image() {
  local root=$IMAGES/pause archive=$IMAGES/pause.tar
  [[ ! -s "$archive" ]] || return 0
  install -D -m 755 "$BIN/pause" "$root/pause"
  image_layer "$IMAGES/layer.tar" "$root"
  image_archive "$archive" "$PAUSE_IMAGE" '{"Entrypoint": ["/pause"]}' "$IMAGES/layer.tar"
  import_archive "$archive" "$PAUSE_IMAGE"
}

# Our own image, of the program as the tests and the demo compile it.
import_own_image() {
  local archive made_of
  archive=$(record "$OWN_IMAGE").tar
  info "our own image, $OWN_IMAGE (compiled if need be)"
  (cd "$TREE" && SQLX_OFFLINE=true cargo build --locked --bin slipway 9>&-)
  made_of=$(cd "$TREE" && cat "${CARGO_TARGET_DIR:-target}/debug/slipway" Dockerfile scripts/image.sh | sha256sum | cut -d' ' -f1)
  ! imported "$OWN_IMAGE" "$made_of" || return 0
  IMAGE=$OWN_IMAGE IMAGE_PROFILE=dev ARCHIVE=$archive bash "$TREE/scripts/image.sh" >/dev/null
  import_once "$OWN_IMAGE" "$made_of" "$archive"
  rm -f "$archive"
}

# Afterwards EXECUTOR_IMAGE is kaniko's if the engine has it or it can be pulled, else the stand-in's.
import_executor() {
  local kaniko
  kaniko=$(bash "$TREE/deploy/executor-image.sh" --name)
  if [[ "${SLIPWAY_EXECUTOR:-}" == standin ]]; then
    import_standin
  elif engine_has "$kaniko"; then
    EXECUTOR_IMAGE=$kaniko
    import_from_engine "$kaniko"
  elif can_pull "$kaniko"; then
    EXECUTOR_IMAGE=$kaniko
  else
    [[ "${SLIPWAY_EXECUTOR:-}" != kaniko ]] || fail "$kaniko is neither in the engine's store nor to be pulled"
    import_standin
  fi
}

# can_pull NAME: into our own cluster's store. Tried once only, since where nothing answers it takes its time.
can_pull() {
  [[ "${CLUSTER_KIND:-own}" == own ]] || return 1
  ! in_store "$1" || return 0
  [[ ! -e "$IMAGES/no-kaniko" ]] || return 1
  info "pulling $1 (at most ${SLIPWAY_PULL_SECONDS:-90} s)"
  timeout "${SLIPWAY_PULL_SECONDS:-90}" ctr --address "$SOCKET" --namespace k8s.io images pull "$1" >/dev/null 2>&1 && return
  touch "$IMAGES/no-kaniko"
  return 1
}

import_standin() {
  local archive=$IMAGES/standin.tar
  EXECUTOR_IMAGE=$(ARCHIVE=$archive bash "$TREE/deploy/standin/build.sh")
  import_once "$EXECUTOR_IMAGE" "$(<"$archive.made-of")" "$archive"
  info "the stand-in executor takes kaniko's place: its image is neither in the engine's store nor to be pulled"
}
