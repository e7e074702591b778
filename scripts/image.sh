#!/usr/bin/env bash
# Our own image, compiled by the cargo at hand: the same as the Dockerfile's, for where no registry has its first stage.
#
# IMAGE is its name; ARCHIVE=FILE writes an archive in place of loading it into the container engine.
# IMAGE_PROFILE=dev takes the program of the demo and the tests, with this machine's libraries: nothing is compiled for
# the image alone.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
STATE=$(mktemp --directory)
trap 'rm -rf "$STATE"' EXIT
for part in output packages program archive; do
  # shellcheck source=/dev/null
  source "scripts/lib/$part.sh"
done
IMAGE=${IMAGE:-slipway:dev}
CERTIFICATES=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}
ROOTFS=$STATE/root

# In a folder of its own, since other flags would have everything else compiled again.
static_program() {
  local target
  target=$(rustc -vV | sed -n 's/^host: //p')
  RUSTFLAGS="-C target-feature=+crt-static" SQLX_OFFLINE=true CARGO_TARGET_DIR=target/image \
    cargo build --locked --bin slipway --release --target "$target" 9>&- >&2
  install -D -m 755 "target/image/$target/release/slipway" "$ROOTFS/slipway"
}

shared_program() {
  local library
  program_build
  install -D -m 755 "$BINARY" "$ROOTFS/slipway"
  strip --strip-debug "$ROOTFS/slipway"
  while read -r library; do
    install -D -m 755 "$library" "$ROOTFS$library"
  done < <(ldd "$ROOTFS/slipway" | grep --only-matching '/[^ )]*')
}

# instruction NAME: its arguments in the Dockerfile's last stage, on one line.
instruction() {
  sed -e '1,/^FROM scratch/d' Dockerfile | sed -e ':join' -e '/\\$/{N;s/\\\n *//;b join' -e '}' | sed -n "s/^$1 //p"
}

describe() {
  jq --null-input --compact-output --arg user "$(instruction USER)" --arg port "$(instruction EXPOSE)" \
    --arg environment "$(instruction ENV)" \
    --argjson entrypoint "$(instruction ENTRYPOINT)" --argjson command "$(instruction CMD)" \
    '{User: $user, Env: ($environment | split(" ")), ExposedPorts: {"\($port)/tcp": {}}, Entrypoint: $entrypoint, Cmd: $command}'
}

need jq=jq
case ${IMAGE_PROFILE:-release} in
  release) static_program ;;
  dev) shared_program ;;
  *) fail "IMAGE_PROFILE must be release or dev, not $IMAGE_PROFILE" ;;
esac
install -D -m 644 "$CERTIFICATES" "$ROOTFS/etc/ssl/certs/ca-certificates.crt"
mkdir -p "$STATE/own/data"
image_layer "$STATE/program.tar" "$ROOTFS"
image_layer "$STATE/data.tar" "$STATE/own" 65532
image_archive "${ARCHIVE:-$STATE/image.tar}" "$IMAGE" "$(describe)" "$STATE/program.tar" "$STATE/data.tar"
[[ -n "${ARCHIVE:-}" ]] || docker load --quiet --input "$STATE/image.tar" >/dev/null
echo "$IMAGE"
