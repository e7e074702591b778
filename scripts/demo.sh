#!/usr/bin/env bash
# The demo: a private Postgres, a registry, the service and four builds through its REST API.
#
# Everything it keeps is in .local/demo; everything it started ends with it. ONCE=1 ends after the builds, otherwise
# the service stays up until Ctrl-C.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
STATE=$PWD/.local/demo
for part in output processes packages postgres engine registry builds; do
  # shellcheck source=/dev/null
  source "scripts/lib/$part.sh"
done

# What this demo's containers are labelled with, so that no other ones are touched.
INSTANCE=demo-$(printf '%s' "$STATE" | sha256sum | cut -c1-8)

prepare() {
  step "What the demo needs"
  [[ "$(uname -s)" == Linux ]] || fail "the demo needs Linux; elsewhere: docker compose up (see the README)"
  need curl=curl jq=jq git=git python3=python3 postgres=postgresql docker-registry=docker-registry
  need_rust
  engine_ensure || fail "no container engine answers: start Docker (or set DOCKER_HOST), or run this as root on Debian"
  remove_containers
  info "everything is there"
}

start_postgres() {
  step "Postgres: a private one, in .local/demo"
  local folder password_file=$STATE/postgres-password
  folder=$(postgres_home "$STATE/postgres")
  [[ -s "$password_file" ]] || (umask 077 && od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$password_file")
  postgres_init "$folder" "$(<"$password_file")"
  POSTGRES_PORT=$(free_port 5433)
  postgres_start postgres "$folder" "$POSTGRES_PORT"
  DATABASE=postgres://postgres:$(<"$password_file")@127.0.0.1:$POSTGRES_PORT/postgres
  info "it answers on 127.0.0.1:$POSTGRES_PORT"
}

start_registry() {
  step "A registry on loopback, and a base image with a shell"
  local port
  port=$(free_port 5000)
  registry_start "$STATE/registry" "$port"
  REGISTRY=127.0.0.1:$port
  info "the registry answers on $REGISTRY"
  base_image_ensure "$REGISTRY" library/busybox stable
}

choose_executor() {
  step "kaniko, or the stand-in where no image registry answers"
  EXECUTOR=$(bash deploy/executor-image.sh)
  # The stand-in unpacks into a folder and runs there; kaniko needs no such right.
  [[ "$EXECUTOR" != *standin* ]] || export SLIPWAY_ENGINE_CAPABILITIES=SYS_CHROOT
  info "the executor is $EXECUTOR"
}

start_git_host() {
  step "A git host: repositories in .local/demo/git over HTTP"
  local port
  port=$(free_port 8090)
  mkdir -p "$STATE/git"
  spawn git-host python3 scripts/git-http.py "$STATE/git" "$port"
  wait_until 20 git-host curl --silent "http://127.0.0.1:$port/"
  GIT_HOST=127.0.0.1:$port
  info "it answers on $GIT_HOST"
}

compile() {
  step "Compiling the service (the first time takes some minutes)"
  SQLX_OFFLINE=true cargo build --locked --bin slipway 9>&-
}

start_service() {
  step "The service"
  local port
  port=$(free_port 8080)
  API=http://127.0.0.1:$port
  shown "target/debug/slipway serve"
  SLIPWAY_DATABASE_URL=$DATABASE SLIPWAY_LISTEN=127.0.0.1:$port \
    SLIPWAY_LAUNCHER=engine SLIPWAY_ENGINE_NETWORK=host SLIPWAY_ENGINE_INSTANCE=$INSTANCE \
    SLIPWAY_EXECUTOR_IMAGE=$EXECUTOR SLIPWAY_INSECURE_REGISTRIES=$REGISTRY \
    SLIPWAY_CONTEXT_STORE=$STATE/contexts SLIPWAY_LOG_FORMAT=pretty \
    spawn service target/debug/slipway serve
  wait_until 60 service curl --silent --fail "$API/readyz"
  info "it answers on $API; its log: .local/demo/service.log"
}

# Containers of this demo that an earlier run left behind, or that still run when it ends.
remove_containers() {
  docker ps --all --quiet --filter "label=slipway.dev/instance=$INSTANCE" 9>&- |
    xargs --no-run-if-empty docker rm --force >/dev/null 2>&1 || true
}

# In the order of dependence, and only what is ours.
stop_everything() {
  local status=$?
  trap '' INT TERM HUP
  trap - EXIT
  if ((status != 0 && status != 130)) && [[ -s "$STATE/service.log" ]]; then
    warn "the last lines of the service's log:"
    tail -n 40 "$STATE/service.log" | quoted >&2
  fi
  step "Stopping what the demo started"
  stop service TERM 30
  remove_containers
  stop git-host
  stop registry
  postgres_stop postgres
  engine_stop
  info "all of it has ended"
  exit "$status"
}

stay() {
  step "The service stays up until Ctrl-C"
  cat <<TEXT

  The API:      $API/docs
  The registry: $REGISTRY        ran by: $EXECUTOR

  Two lines to try:

  curl -sS $API/api/v1/builds | jq '.builds[] | {id, state, digest}'
  curl -sS -X POST $API/api/v1/builds/$FIRST_BUILD/rebuild | jq

TEXT
  while alive service; do sleep 1; done
  fail "the service ended by itself"
}

main() {
  lock_state
  # What a demo that was killed left running.
  local name
  for name in service git-host registry postgres; do stop "$name"; done
  engine_stop
  trap stop_everything EXIT
  trap 'exit 130' INT TERM HUP

  prepare
  start_postgres
  start_registry
  choose_executor
  start_git_host
  compile
  start_service
  build_upload
  build_git
  build_failing
  build_cancelled
  step "Four builds, each as it should be (executor: $EXECUTOR)"
  [[ -n "${ONCE:-}" ]] || stay
}

main "$@"
