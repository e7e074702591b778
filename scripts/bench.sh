#!/usr/bin/env bash
# The figures of performance, each beside its limit in the same run. docs/performance explains them.
#
# The arguments are groups of figures (all of them when none is named); --help says which there are, and what the
# environment may set. PROFILE=dev takes what the tests have compiled already in place of a release build: its ratios
# mean something, its absolute figures do not.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck disable=SC2034 # what is sourced reads it
STATE=$PWD/.local/bench
for part in output processes packages postgres; do
  # shellcheck source=/dev/null
  source "scripts/lib/$part.sh"
done

step "What the figures need"
need postgres=postgresql
need_rust
# A thousand followers are as many connections, on both sides.
ulimit -n "$(ulimit -H -n)"

PROFILE=${PROFILE:-bench}
step "The build, in the profile $PROFILE"
SQLX_OFFLINE=true cargo bench --no-run --locked --profile "$PROFILE" --bench figures
step "The figures"
SQLX_OFFLINE=true cargo bench --quiet --locked --profile "$PROFILE" --bench figures -- "$@"
