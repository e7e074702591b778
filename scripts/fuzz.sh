#!/usr/bin/env bash
# Feeds every parser that eats bytes from outside with mutations of what it expects (tests/fuzz): each property for
# SECONDS_EACH, 20 by default. The closing lines say how often each was tried.
#
# SEED repeats a run: in the same time, the same inputs come in the same order.
#
# These are properties of proptest, on stable Rust. cargo-fuzz, which is led by coverage, needs a nightly toolchain.
# SLIPWAY_FUZZ_DELIVERIES names a folder with more webhooks' bodies to begin with.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck disable=SC2034 # what is sourced reads it
STATE=$PWD/.local/fuzz
for part in output processes packages; do
  # shellcheck source=/dev/null
  source "scripts/lib/$part.sh"
done

lock_state
need_rust
export SLIPWAY_FUZZ_SECONDS=${SECONDS_EACH:-20} SLIPWAY_FUZZ_SEED=${SEED:-$((RANDOM * 32768 + RANDOM))}
step "tests/fuzz, $SLIPWAY_FUZZ_SECONDS s for each property, with seed $SLIPWAY_FUZZ_SEED"
status=0
SQLX_OFFLINE=true cargo test --locked --no-fail-fast --test local fuzz:: -- --nocapture 2>&1 9>&- |
  tee "$STATE/fuzz.log" || status=$?
step "What was tried"
grep --only-matching 'fuzz: .*' "$STATE/fuzz.log" | sort -k 4 || true
awk '/fuzz: / { n += $2 } END { printf "%d executions in all\n", n }' "$STATE/fuzz.log"
printf 'repeat with: make fuzz SEED=%s\n' "$SLIPWAY_FUZZ_SEED"
printf 'not run: fuzzing led by coverage (cargo-fuzz needs a nightly toolchain)\n'
exit "$status"
