#!/usr/bin/env bash
# The figures of performance, each beside its limit in the same run. docs/performance explains them.
#
# The arguments are groups of figures (all of them when none is named); --help says which there are, and what the
# environment may set.
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

step "The release build"
SQLX_OFFLINE=true cargo build --release --locked --bench figures
step "The figures"
SQLX_OFFLINE=true cargo bench --quiet --locked --bench figures -- "$@"
