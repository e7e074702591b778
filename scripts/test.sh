#!/usr/bin/env bash
# All tests, on a Postgres of their own and on a container engine, with kaniko or the stand-in.
#
# The arguments go to `cargo test`. The closing lines say what was not run.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
STATE=$PWD/.local/test
for part in output processes packages postgres engine; do
  # shellcheck source=/dev/null
  source "scripts/lib/$part.sh"
done
NOT_RUN=()

start_postgres() {
  local folder port password=test
  folder=$(postgres_home "$STATE/postgres")
  # A cluster of an earlier run is of no use.
  find "$folder" -mindepth 1 -delete
  postgres_init "$folder" "$password"
  port=$(free_port 5440)
  # Nothing here outlives the run: nothing has to reach the disk.
  postgres_start postgres "$folder" "$port" fsync=off synchronous_commit=off full_page_writes=off max_connections=300
  export DATABASE_URL=postgres://postgres:$password@127.0.0.1:$port/postgres
  info "Postgres answers on 127.0.0.1:$port"
}

# Without an engine its tests say that they did not run; with one, they must.
start_engine() {
  if ! engine_ensure; then
    NOT_RUN+=("builds on a container engine: none answers (start Docker, or run as root on Debian)")
    return
  fi
  need docker-registry=docker-registry busybox=busybox-static git=git
  SLIPWAY_TEST_EXECUTOR_IMAGE=$(bash deploy/executor-image.sh)
  export SLIPWAY_TEST_EXECUTOR_IMAGE SLIPWAY_TEST_ENGINE=required
  case $SLIPWAY_TEST_EXECUTOR_IMAGE in
    *standin*) NOT_RUN+=("what kaniko itself does: its image could not be had, and the stand-in executor ran") ;;
  esac
  info "the executor is $SLIPWAY_TEST_EXECUTOR_IMAGE"
}

# shellcheck disable=SC2317 # called by the trap
stop_everything() {
  local status=$?
  trap '' INT TERM HUP
  trap - EXIT
  postgres_stop postgres
  engine_stop
  exit "$status"
}

closing_lines() {
  local line
  for line in "${NOT_RUN[@]}"; do printf 'not run: %s\n' "$line"; done
  printf 'not run: measurements (cargo test --release --lib store::tests::speed -- --ignored --nocapture)\n'
  printf 'not run: builds as Jobs on a real cluster (deploy/cluster/up.sh, then cargo test --test kubernetes -- --ignored)\n'
}

lock_state
postgres_stop postgres
engine_stop
trap stop_everything EXIT
trap 'exit 130' INT TERM HUP

step "What the tests need"
need curl=curl postgres=postgresql
need_rust
start_postgres
start_engine

step "cargo test"
status=0
SQLX_OFFLINE=true cargo test --locked --no-fail-fast "$@" 9>&- || status=$?
closing_lines
exit "$status"
