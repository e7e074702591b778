#!/usr/bin/env bash
# What takes too long for CI and belongs before a release: long fuzzing, many rounds of random faults, and the whole of
# the figures. About two hours and a half; each part can be had alone: the arguments are among fuzz, fuzz-api, faults,
# bench.
#
# ROUNDS=20 is the number of random rounds, FUZZ_SECONDS=120 the time of each property, API_SECONDS=900 that of
# schemathesis. Every random number comes from a seed that is printed. The closing lines say what passed.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
STATE=$PWD/.local/soak
for part in output processes; do
  # shellcheck source=/dev/null
  source "scripts/lib/$part.sh"
done
RESULTS=() status=0

part() {
  local name=$1 began=$SECONDS result=passed
  shift
  step "$name: $*"
  "$@" 2>&1 9>&- | tee "$STATE/$name.out" || { result=FAILED status=1; }
  RESULTS+=("$(printf '%s: %s after %d s (%s)' "$name" "$result" $((SECONDS - began)) "${STATE#"$PWD/"}/$name.out")")
}

run_part() {
  case $1 in
    fuzz) part fuzz env SECONDS_EACH="${FUZZ_SECONDS:-120}" make fuzz ;;
    fuzz-api) part fuzz-api env SECONDS_EACH="${API_SECONDS:-900}" make fuzz-api ;;
    faults)
      part faults env SLIPWAY_TEST_ROUNDS="${ROUNDS:-20}" make test-cluster ARGS="faults::random -- --nocapture"
      ;;
    bench) part bench make bench ;;
  esac
}

PARTS=("$@")
((${#PARTS[@]})) || PARTS=(fuzz fuzz-api faults bench)
for name in "${PARTS[@]}"; do
  case $name in
    fuzz | fuzz-api | faults | bench) ;;
    *) fail "no part is named $name: there are fuzz, fuzz-api, faults, bench" ;;
  esac
done
lock_state
for name in "${PARTS[@]}"; do run_part "$name"; done
step "What the soak came to"
printf '%s\n' "${RESULTS[@]}"
exit "$status"
