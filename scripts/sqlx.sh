#!/usr/bin/env bash
# Writes .sqlx anew, or with --check says whether it fits the queries. On a throw-away Postgres with our migrations.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
STATE=$(mktemp -d /tmp/slipway-sqlx.XXXXXX)
chmod 711 "$STATE"
for part in output processes packages postgres; do
  # shellcheck source=/dev/null
  source "scripts/lib/$part.sh"
done
trap 'postgres_stop postgres; rm -rf "$STATE"' EXIT
trap 'exit 130' INT TERM HUP

command -v cargo-sqlx >/dev/null ||
  fail "cargo-sqlx was not found: cargo install sqlx-cli --no-default-features --features postgres"
need postgres=postgresql
folder=$(postgres_home "$STATE/postgres")
postgres_init "$folder" sqlx
port=$(free_port 5460)
postgres_start postgres "$folder" "$port" fsync=off
export DATABASE_URL=postgres://postgres:sqlx@127.0.0.1:$port/postgres
cargo sqlx migrate run --source migrations
cargo sqlx prepare "$@" -- --locked --all-targets
