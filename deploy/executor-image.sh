#!/usr/bin/env bash
# Prints the executor's image to build with: kaniko's from the engine's own store, else pulled, else the stand-in.
#
# SLIPWAY_EXECUTOR=kaniko allows nothing else, SLIPWAY_EXECUTOR=standin takes the stand-in at once.
# Only the name goes to standard output; what is done is said on standard error. With --name it is kaniko's, whatever
# can be had.
set -euo pipefail

KANIKO=ghcr.io/osscontainertools/kaniko:v1.28.3
# A pull takes seconds where the registry can be reached, and may take for ever where it cannot.
PULL_SECONDS=${SLIPWAY_PULL_SECONDS:-90}
DOCKER=${DOCKER:-docker}
STANDIN=$(dirname "${BASH_SOURCE[0]}")/standin/build.sh

say() { printf 'executor: %s\n' "$*" >&2; }

if [[ "${1:-}" == --name ]]; then
  printf '%s\n' "$KANIKO"
  exit
fi

have_kaniko() { "$DOCKER" image inspect "$KANIKO" >/dev/null 2>&1; }

pull_kaniko() {
  say "pulling $KANIKO (at most $PULL_SECONDS seconds)"
  timeout "$PULL_SECONDS" "$DOCKER" pull --quiet "$KANIKO" >/dev/null
}

case ${SLIPWAY_EXECUTOR:-} in
  standin) bash "$STANDIN" ;;
  kaniko)
    have_kaniko || pull_kaniko
    printf '%s\n' "$KANIKO"
    ;;
  '')
    if have_kaniko || pull_kaniko; then
      say "the real kaniko"
      printf '%s\n' "$KANIKO"
    else
      say "kaniko's image cannot be had: the stand-in takes its place"
      bash "$STANDIN"
    fi
    ;;
  *)
    say "SLIPWAY_EXECUTOR must be kaniko or standin, not $SLIPWAY_EXECUTOR"
    exit 2
    ;;
esac
