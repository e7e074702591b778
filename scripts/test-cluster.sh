#!/usr/bin/env bash
# The tests on a real cluster: builds as Jobs, the failures that Kubernetes has in store, and faults of every part.
#
# The arguments go to `cargo test`: a name's beginning runs those tests alone (`puppet::logs`). The suites run beside
# each other; the stories of `the_cluster` run last and alone. The cluster is the one of `make cluster`; what this
# script started ends with it, unless KEEP=1. The closing lines say what was not run.
#
# What the tests find in their environment:
#   SLIPWAY_TEST_KUBECONFIG       a kubeconfig of an administrator
#   SLIPWAY_TEST_HOST             the address at which pods reach this machine
#   SLIPWAY_TEST_EXECUTOR_IMAGE   the executor, as pods name it: kaniko, or the stand-in
#   SLIPWAY_TEST_FETCHER_IMAGE    our own image, as pods name it
#   SLIPWAY_TEST_CLUSTER_HOME     where the cluster lies, for deploy/cluster/component.sh; unset if it is not ours
#   SLIPWAY_TEST_KUBELET_HOST     the address at which the API server reaches this machine; unset if that is 127.0.0.1
#   DATABASE_URL                  a Postgres, in which each test makes a database of its own
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck disable=SC2034 # what is sourced reads it
STATE=$PWD/.local/test-cluster
for part in output processes packages program postgres cluster; do
  # shellcheck source=/dev/null
  source "scripts/lib/$part.sh"
done
RAN=() NOT_RUN=()
# The tests wait for pods and for time-outs most of the time.
THREADS=${RUST_TEST_THREADS:-8}
# Where the cases' test leaves its table: cargo's folder for tests.
CASES=${CARGO_TARGET_DIR:-target}/tmp/cluster-cases.txt

# What comes before the `--` is cargo's, what comes after it the test program's.
choose_tests() {
  CARGO_ARGUMENTS=() TEST_ARGUMENTS=(--ignored --show-output)
  while (($#)) && [[ "$1" != -- ]]; do
    CARGO_ARGUMENTS+=("$1")
    shift
  done
  TEST_ARGUMENTS+=("${@:2}")
}

describe_cluster() {
  RAN+=("on $(cluster_words)")
  case $SLIPWAY_TEST_EXECUTOR_IMAGE in
    *standin*)
      RAN+=("builds by the stand-in executor")
      NOT_RUN+=("what kaniko itself does: its image could not be had, and the stand-in executor ran")
      ;;
    *) RAN+=("builds by $SLIPWAY_TEST_EXECUTOR_IMAGE") ;;
  esac
  [[ -z "${SLIPWAY_TEST_CLUSTER_HOME:-}" ]] || return 0
  NOT_RUN+=("faults of the cluster's own parts: this cluster is not ours to stop (unset KUBECONFIG for one that is)")
  export SLIPWAY_TEST_KUBELET_HOST=$SLIPWAY_TEST_HOST
}

# shellcheck disable=SC2317 # called by the trap
stop_everything() {
  local status=$?
  trap '' INT TERM HUP
  trap - EXIT
  postgres_stop postgres
  if [[ -n "${KEEP:-}" ]]; then info "the cluster stays up: make cluster-down ends it"; else cluster_release; fi
  exit "$status"
}

closing_lines() {
  local line
  if [[ -s "$CASES" ]]; then
    step "The cases: what must come of each, what was seen, how long it took"
    cat "$CASES"
  fi
  step "The slowest tests"
  slowest_tests 20 "$STATE/output"
  for line in "${RAN[@]}"; do printf 'ran: %s\n' "$line"; done
  # What the tests themselves say, some of them twice.
  sed -n 's/^\(SLIPWAY_TEST_SEED=.*\)/ran: faults with \1/p' "$STATE/output" | sort --unique
  for line in "${NOT_RUN[@]}"; do printf 'not run: %s\n' "$line"; done
  sed -n 's/^NOT RUN: /not run: /p' "$STATE/output" | sort --unique
}

choose_tests "$@"
lock_state
postgres_stop postgres
trap stop_everything EXIT
trap 'exit 130' INT TERM HUP

step "What the tests need"
need curl=curl jq=jq git=git postgres=postgresql docker-registry=docker-registry busybox=busybox-static
need_rust
postgres_for_tests
cluster_ensure
describe_cluster

step "cargo test --test cluster ${CARGO_ARGUMENTS[*]} -- ${TEST_ARGUMENTS[*]}, $THREADS at once"
timed_tests
status=0
rm -f "$CASES"
RUST_TEST_THREADS=$THREADS SQLX_OFFLINE=true \
  cargo test --locked --no-fail-fast --test cluster "${CARGO_ARGUMENTS[@]}" -- "${TEST_ARGUMENTS[@]}" 2>&1 9>&- |
  tee "$STATE/output" || status=$?
closing_lines
exit "$status"
