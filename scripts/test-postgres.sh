#!/usr/bin/env bash
# Starts a Postgres for tests that are run by hand, and prints what is to be exported. It stays up until --stop.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
STATE=$PWD/.local/test-postgres
for part in output processes packages postgres; do
  # shellcheck source=/dev/null
  source "scripts/lib/$part.sh"
done
lock_state
case ${1:-} in
  '') ;;
  --stop)
    postgres_stop postgres
    exit
    ;;
  *) fail "the argument must be --stop, or absent, not $1" ;;
esac
if ! alive postgres; then
  need postgres=postgresql >&2
  postgres_for_tests >&2
  printf '%s\n' "$DATABASE_URL" >"$STATE/url"
fi
# With an address and without the second line, sqlx's macros would ask this database, which is empty.
printf 'export DATABASE_URL=%s\nexport SQLX_OFFLINE=true\n' "$(<"$STATE/url")"
