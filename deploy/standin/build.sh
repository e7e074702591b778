#!/usr/bin/env bash
# Makes the image of the stand-in executor out of this machine's Debian packages, and prints its name.
#
# Does nothing where the engine has it already, made of the same files. DOCKER names another engine's command;
# ARCHIVE=FILE writes an archive in place of asking an engine.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")"
IMAGE=${1:-slipway/standin-executor:dev}
DOCKER=${DOCKER:-docker}
PACKAGES=(umoci skopeo git busybox-static perl-base ca-certificates)

for part in output packages archive; do
  # shellcheck source=/dev/null
  source "../../scripts/lib/$part.sh"
done

say() { printf 'standin: %s\n' "$*" >&2; }

installed() { dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null | grep -qx installed; }

need_packages() {
  local package missing=()
  for package in "${PACKAGES[@]}"; do installed "$package" || missing+=("$package"); done
  ((${#missing[@]})) || return 0
  if ((EUID != 0)) || ! command -v apt-get >/dev/null; then
    say "needs the Debian packages ${missing[*]}"
    exit 1
  fi
  say "installing ${missing[*]}"
  { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "${missing[@]}"; } >&2
}

# What the image is made of: our files and the packages' versions.
fingerprint() {
  {
    cat build.sh executor askpass StandIn/*.pm
    # shellcheck disable=SC2016 # dpkg's own placeholders
    dpkg-query --show --showformat='${Package} ${Version}\n' "${PACKAGES[@]}"
  } | sha256sum | cut -d' ' -f1
}

# A file or folder at its own path, whatever links lead to it.
copy() {
  mkdir --parents "$root${1%/*}"
  cp --recursive --dereference --preserve=mode,timestamps "$1" "$root$1"
}

# A program, with the libraries that it needs.
put() {
  local library
  copy "$1"
  # ldd fails on what is linked statically.
  while read -r library; do
    [[ -e "$root$library" ]] || copy "$library"
  done < <({ ldd "$1" 2>/dev/null || true; } | grep --only-matching '/[^ )]*')
}

fill() {
  local applet program library
  # Debian's busybox is linked statically; it gives the shell and the small tools.
  mkdir -p "$root"/{bin,dev,proc,etc,tmp,var/tmp,root,workspace,kaniko/.docker,kaniko/standin/lib}
  chmod 1777 "$root/tmp" "$root/var/tmp"
  cp --dereference "$(command -v busybox)" "$root/bin/busybox"
  for applet in $(busybox --list); do [[ -e "$root/bin/$applet" ]] || ln --symbolic busybox "$root/bin/$applet"; done
  for program in umoci skopeo git perl; do put "/usr/bin/$program"; done
  put /usr/lib/git-core/git-remote-http
  ln --symbolic git-remote-http "$root/usr/lib/git-core/git-remote-https"
  ln --symbolic /usr/bin/git "$root/usr/lib/git-core/git"
  for library in /usr/lib/*/perl-base; do copy "$library"; done
  copy /usr/share/git-core/templates
  copy /etc/ssl/certs/ca-certificates.crt
  printf 'root:x:0:0:root:/root:/bin/sh\n' >"$root/etc/passwd"
  printf 'root:x:0:\n' >"$root/etc/group"
  install --mode=755 executor "$root/kaniko/executor"
  install --mode=755 askpass "$root/kaniko/standin/askpass"
  cp --recursive StandIn "$root/kaniko/standin/lib/"
}

description() {
  jq --null-input --compact-output --arg made_of "$made_of" '{
    Entrypoint: ["/kaniko/executor"], WorkingDir: "/workspace",
    Env: ["HOME=/root", "USER=root", "PATH=/usr/bin:/bin:/kaniko", "DOCKER_CONFIG=/kaniko/.docker/"],
    Labels: {"slipway.dev/executor": "standin", "slipway.dev/made-of": $made_of}}'
}

# Whether the archive, or the engine's image, is made of the same.
is_there() {
  if [[ -n "${ARCHIVE:-}" ]]; then
    [[ -s "$ARCHIVE" && "$(cat "$ARCHIVE.made-of" 2>/dev/null)" == "$made_of" ]]
  else
    [[ "$("$DOCKER" image inspect --format '{{index .Config.Labels "slipway.dev/made-of"}}' "$IMAGE" 2>/dev/null)" == "$made_of" ]]
  fi
}

make_image() {
  local work=$1 root=$1/root
  mkdir "$root"
  fill
  image_layer "$work/layer.tar" "$root"
  image_archive "${ARCHIVE:-$work/image.tar}" "$IMAGE" "$(description)" "$work/layer.tar"
  if [[ -n "${ARCHIVE:-}" ]]; then
    printf '%s\n' "$made_of" >"$ARCHIVE.made-of"
  else
    "$DOCKER" load --input "$work/image.tar" >/dev/null
  fi
}

need jq=jq >&2
need_packages
made_of=$(fingerprint)
if is_there; then
  say "$IMAGE is there already"
else
  say "making $IMAGE of ${PACKAGES[*]}"
  work=$(mktemp --directory)
  trap 'rm --recursive --force "$work"' EXIT
  make_image "$work"
fi
printf '%s\n' "$IMAGE"
