#!/usr/bin/env bash
# Our own image, compiled by the cargo at hand: the same as the Dockerfile's, for where no registry has its first stage.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
IMAGE=${IMAGE:-slipway:dev}
TARGET=$(rustc -vV | sed -n 's/^host: //p')
CERTIFICATES=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}

# A folder of its own, since other flags would have everything else compiled again.
SQLX_OFFLINE=true RUSTFLAGS="-C target-feature=+crt-static" CARGO_TARGET_DIR=target/image \
  cargo build --release --locked --bin slipway --target "$TARGET"

context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
install -D -m 755 "target/image/$TARGET/release/slipway" "$context/files/slipway"
install -D -m 644 "$CERTIFICATES" "$context/files/etc/ssl/certs/ca-certificates.crt"
mkdir "$context/data"
{
  printf 'FROM scratch\nCOPY files/ /\nCOPY --chown=65532:65532 data/ /data/\n'
  # Everything else as in the Dockerfile's last stage.
  sed '1,/^FROM scratch/d' Dockerfile | grep -v '^COPY --from=build'
} >"$context/Dockerfile"
docker build --quiet --tag "$IMAGE" "$context" >/dev/null
echo "$IMAGE"
