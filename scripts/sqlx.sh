#!/usr/bin/env bash
# Runs clippy with a database, so that the same run checks the code and describes each query: sqlx's macros ask a
# throw-away Postgres with our migrations, and write what it answers. That becomes .sqlx; with --check, it must be what
# .sqlx holds already.
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

CHECK=
case ${1:-} in
  '') ;;
  --check) CHECK=yes ;;
  *) fail "the argument must be --check, or absent, not $1" ;;
esac

need postgres=postgresql psql=postgresql-client
need_rust
postgres_for_tests
# sqlx makes this table when it migrates, and one of our queries reads it.
mkdir "$STATE/sqlx"
cat >"$STATE/sqlx/_sqlx_migrations.sql" <<'SQL'
CREATE TABLE _sqlx_migrations (
    version bigint PRIMARY KEY, description text NOT NULL, installed_on timestamptz NOT NULL DEFAULT now(),
    success boolean NOT NULL, checksum bytea NOT NULL, execution_time bigint NOT NULL
);
SQL
for file in "$STATE"/sqlx/*.sql migrations/*.sql; do
  psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --single-transaction --dbname "$DATABASE_URL" --file "$file" \
    >"$STATE/migration.log" 2>&1 || {
    tail -n 25 "$STATE/migration.log" | quoted >&2
    fail "$file cannot be applied"
  }
done

# cargo knows nothing of the database: what it checked without one is not fresh.
touch src/lib.rs
export SQLX_OFFLINE=false SQLX_OFFLINE_DIR=$STATE/queries
mkdir "$SQLX_OFFLINE_DIR"
cargo clippy --locked --all-targets -- -D warnings 9>&-
if [[ -n "$CHECK" ]]; then
  diff --recursive --unified .sqlx "$SQLX_OFFLINE_DIR" || fail ".sqlx does not fit the queries: make sqlx"
  info "clippy has no warnings, and .sqlx fits the $(find .sqlx -name '*.json' | wc -l) queries"
else
  rm -rf .sqlx
  cp -r "$SQLX_OFFLINE_DIR" .sqlx
  info "$(find .sqlx -name '*.json' | wc -l) queries are described in .sqlx"
fi
