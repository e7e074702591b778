#!/usr/bin/env bash
# All tests that need no cluster, on a Postgres of their own and on a container engine, with kaniko or the stand-in.
#
# The arguments go to `cargo test`: a name's beginning runs those tests alone (`api::builds`), `--lib` the library's own
# and `--test local` all others. The engine is left out where such names are given and none of them is the engine's.
# The closing lines say what was not run.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck disable=SC2034 # what is sourced reads it
STATE=$PWD/.local/test
for part in output processes packages program postgres engine; do
  # shellcheck source=/dev/null
  source "scripts/lib/$part.sh"
done
NOT_RUN=() PROGRAMS=(--lib --test local) NAMES=()

# What of the arguments are names, and whether they name the programs themselves.
read_arguments() {
  local argument
  for argument in "$@"; do
    case $argument in
      --) break ;;
      --lib | --test | --test=* | --tests | --all-targets) PROGRAMS=() ;;
      local) ;;
      -*) ;;
      *) NAMES+=("$argument") ;;
    esac
  done
}

# wants_engine: whether what is run has tests that need one.
wants_engine() {
  ((${#NAMES[@]})) || return 0
  [[ " ${NAMES[*]}" == *" engine"* ]]
}

# Without an engine its tests say that they did not run; with one, they must.
start_engine() {
  if ! wants_engine; then
    NOT_RUN+=("builds on a container engine: they were not named (make test ARGS=engine::)")
    return
  fi
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
  step "The slowest tests"
  slowest_tests 10 "$STATE/output"
  for line in "${NOT_RUN[@]}"; do printf 'not run: %s\n' "$line"; done
  printf 'not run: measurements: make bench\n'
  printf 'not run: builds as Jobs on a real cluster, faults of its parts, races of Job controllers: make test-cluster\n'
}

read_arguments "$@"
lock_state
postgres_stop postgres
engine_stop
trap stop_everything EXIT
trap 'exit 130' INT TERM HUP

step "What the tests need"
need curl=curl postgres=postgresql
need_rust
postgres_for_tests
start_engine

step "cargo test ${PROGRAMS[*]} $*"
timed_tests
status=0
# Most of them wait for Postgres most of the time.
RUST_TEST_THREADS=${RUST_TEST_THREADS:-$(($(nproc) * 2))} SQLX_OFFLINE=true \
  cargo test --locked --no-fail-fast "${PROGRAMS[@]}" "$@" 2>&1 9>&- | tee "$STATE/output" || status=$?
closing_lines
exit "$status"
