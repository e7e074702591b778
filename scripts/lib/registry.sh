# shellcheck shell=bash
# A registry on this machine, and the base image that the builds start from.

# registry_start FOLDER ADDRESS PORT
registry_start() {
  local folder=$1 host=$2:$3
  mkdir -p "$folder"
  cat >"$STATE/registry.yml" <<YAML
version: 0.1
log: {level: warn}
storage:
  filesystem: {rootdirectory: "$folder"}
  delete: {enabled: true}
http: {addr: "$host"}
YAML
  spawn registry docker-registry serve "$STATE/registry.yml"
  wait_until 30 registry curl --silent --fail "http://$host/v2/"
}

# registry_digest HOST REPOSITORY TAG: the digest that the registry answers for the tag; nothing if it has none.
registry_digest() {
  curl --silent --head --fail \
    --header 'Accept: application/vnd.oci.image.index.v1+json' \
    --header 'Accept: application/vnd.oci.image.manifest.v1+json' \
    --header 'Accept: application/vnd.docker.distribution.manifest.list.v2+json' \
    --header 'Accept: application/vnd.docker.distribution.manifest.v2+json' \
    "http://$1/v2/$2/manifests/$3" |
    tr -d '\r' | awk 'tolower($1) == "docker-content-digest:" {print $2}'
}

# base_image_ensure HOST REPOSITORY TAG
base_image_ensure() {
  local name="$1/$2:$3"
  if [[ -n "$(registry_digest "$@" || true)" ]]; then
    info "$name is in the registry already"
    return
  fi
  push_base "$name"
  info "$name is in the registry: from $ORIGIN"
}

# The root file system of an image with a shell: one static program and its names.
busybox_root() {
  local root name
  root=$(mktemp -d)
  mkdir -p "$root"/{bin,etc,root,tmp}
  chmod 1777 "$root/tmp"
  cp "$(command -v busybox)" "$root/bin/busybox"
  for name in $(busybox --list); do
    [[ "$name" == busybox ]] || ln -s busybox "$root/bin/$name"
  done
  echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
  echo 'root:x:0:' >"$root/etc/group"
  tar -C "$root" --owner=0 --group=0 -cf - .
  rm -rf "$root"
}
