#!/usr/bin/env bash
# The demo: a private Postgres, a registry, a git host, the service and five builds: four through its REST API, and one
# of a git push, of which a receiver is told.
#
# Everything it keeps is in .local/demo; everything it started ends with it. ONCE=1 ends after the builds, otherwise
# the service stays up until Ctrl-C. With CLUSTER=1 the builds are Jobs on the cluster of `make cluster`.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [[ -n "${CLUSTER:-}" ]]; then WHERE=cluster; else WHERE=engine; fi
STATE=$PWD/.local/demo
[[ $WHERE == engine ]] || STATE+=-$WHERE
for part in output processes packages program postgres "$WHERE" archive registry builds push endpoint "on-$WHERE"; do
  # shellcheck source=/dev/null
  source "scripts/lib/$part.sh"
done

prepare() {
  step "What the demo needs"
  [[ "$(uname -s)" == Linux ]] || fail "the demo needs Linux; elsewhere: docker compose up (see the README)"
  need curl=curl jq=jq git=git python3=python3 postgres=postgresql docker-registry=docker-registry
  need_rust
  place_prepare
  info "everything is there"
}

start_postgres() {
  step "Postgres: a private one, in ${STATE#"$PWD/"}"
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
  step "A registry on $ADDRESS, and a base image with a shell"
  local port
  port=$(free_port 5000 "$ADDRESS")
  registry_start "$STATE/registry" "$ADDRESS" "$port"
  REGISTRY=$ADDRESS:$port
  info "the registry answers on $REGISTRY"
  base_image_ensure "$REGISTRY" library/busybox stable
}

choose_executor() {
  step "kaniko, or the stand-in where no image registry answers"
  place_executor
  info "the executor is $EXECUTOR"
}

start_git_host() {
  step "A git host: repositories in ${STATE#"$PWD/"}/git over HTTP"
  local port
  port=$(free_port 8090 "$ADDRESS")
  mkdir -p "$STATE/git"
  printf 'demo:%s' "$(random_hex 16)" | keep "$STATE/git-login"
  GIT_HTTP_LOGIN=$(<"$STATE/git-login") spawn git-host python3 scripts/git-http.py "$STATE/git" "$ADDRESS" "$port"
  wait_until 20 git-host curl --silent "http://$ADDRESS:$port/"
  GIT_HOST=$ADDRESS:$port
  info "it answers on $GIT_HOST; the login for pushes: ${STATE#"$PWD/"}/git-login"
}

compile() {
  step "Compiling the service (the first time takes some minutes)"
  program_build
}

# What secrets are sealed with in the database, and therefore kept as long as that is. Whole or not there.
secret_key() {
  SECRET_KEY=$STATE/secret-key
  [[ -s "$SECRET_KEY" ]] || { random_hex 32 | keep "$SECRET_KEY.part" && mv "$SECRET_KEY.part" "$SECRET_KEY"; }
}

start_service() {
  step "The service"
  local port
  port=$(free_port 8080 "$ADDRESS")
  API=http://$ADDRESS:$port
  place_settings
  secret_key
  unset SLIPWAY_SECRET_KEY
  shown "$BINARY serve --secret-key-file ${SECRET_KEY#"$PWD/"} --callback-allow $ADDRESS/32"
  SLIPWAY_SECRET_KEY_FILE=$SECRET_KEY SLIPWAY_CALLBACK_ALLOW=$ADDRESS/32 SLIPWAY_EXTERNAL_URL=$API \
    SLIPWAY_DATABASE_URL=$DATABASE SLIPWAY_LISTEN=$ADDRESS:$port \
    SLIPWAY_EXECUTOR_IMAGE=$EXECUTOR SLIPWAY_INSECURE_REGISTRIES=$REGISTRY \
    SLIPWAY_CONTEXT_STORE=$STATE/contexts SLIPWAY_LOG_FORMAT=pretty \
    spawn service "$BINARY" serve
  wait_until 60 service curl --silent --fail "$API/readyz"
  info "it answers on $API; its log: ${STATE#"$PWD/"}/service.log"
}

make_token() {
  step "A token: what opens the API"
  TOKEN_FILE=$STATE/token-header
  shown "slipway token create --name demo --scope admin"
  local token
  token=$(SLIPWAY_DATABASE_URL=$DATABASE "$BINARY" token create --name demo --scope admin --expires 7d 2>/dev/null) ||
    fail "no token could be made"
  # In a file, for what stands on a command line every user of this machine can read.
  (umask 077 && printf 'Authorization: Bearer %s\n' "$token" >"$TOKEN_FILE" && printf '%s\n' "$token" >"$STATE/token-text")
  info "it is in ${STATE#"$PWD/"}/token-text, readable by you alone"
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
  place_clear
  stop receiver
  stop git-host
  stop registry
  postgres_stop postgres
  place_release
  info "all of it has ended"
  exit "$status"
}

stay() {
  step "The service stays up until Ctrl-C"
  cat <<TEXT

  The API:      $API/docs
  The registry: $REGISTRY        ran by: $EXECUTOR

  A few lines to try:

  export SLIPWAY_SERVER=$API SLIPWAY_TOKEN=\$(cat ${STATE#"$PWD/"}/token-text)
  $BINARY builds
  $BINARY logs -f $FIRST_BUILD
  $BINARY rebuild $FIRST_BUILD --follow
  curl -sS -H "Authorization: Bearer \$SLIPWAY_TOKEN" $API/api/v1/builds | jq '.builds[] | {id, state, digest}'

  A push, and what the receiver is told of it:

  (cd ${STATE#"$PWD/"}/push-work && git commit --allow-empty -m "Say it again" && git push origin main)
  tail -f ${NOTIFIED#"$PWD/"}

TEXT
  while alive service; do sleep 1; done
  fail "the service ended by itself"
}

main() {
  # What a demo that was killed was just asking of something holds its lock for a moment.
  lock_state 5
  # What a demo that was killed left running.
  local name
  for name in service receiver git-host registry postgres; do stop "$name"; done
  [[ $WHERE == cluster ]] || engine_stop
  trap stop_everything EXIT
  trap 'exit 130' INT TERM HUP

  prepare
  start_postgres
  start_registry
  choose_executor
  start_git_host
  start_receiver
  compile
  start_service
  make_token
  build_upload
  build_git
  build_failing
  build_cancelled
  build_push
  step "Five builds $PLACE, each as it should be (executor: $EXECUTOR)"
  place_closing_words
  [[ -n "${ONCE:-}" ]] || stay
}

main "$@"
