#!/usr/bin/env bash
# Asks the running service everything that its description allows, and what it does not: schemathesis, on a Postgres
# of its own, with a launcher that lets every build succeed at once.
#
# No answer may be a 5xx, or outside the description: its status, content type, headers and body. SECONDS_EACH bounds
# the run (150 by default), SEED repeats one, LEAVE_OUT names checks of schemathesis that are not made. The closing
# lines say what was asked, how often, and what was not. With --install it only installs schemathesis.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
STATE=$PWD/.local/fuzz-api
for part in output processes packages program postgres; do
  # shellcheck source=/dev/null
  source "scripts/lib/$part.sh"
done
TOOL=${XDG_CACHE_HOME:-$HOME/.cache}/slipway-ci/schemathesis
CONFIG=$PWD/scripts/fuzz-api/schemathesis.toml
REQUIREMENTS=scripts/fuzz-api/requirements.txt
TIME=${SECONDS_EACH:-150}
SEED=${SEED:-$((RANDOM * 32768 + RANDOM))}

# Installed once for each state of the requirements.
install_tool() {
  cmp --silent "$REQUIREMENTS" "$TOOL/requirements.txt" && return
  need python3=python3 || return
  python3 -m venv --clear "$TOOL" &&
    "$TOOL/bin/pip" install --quiet --disable-pip-version-check --require-hashes --requirement "$REQUIREMENTS" &&
    cp "$REQUIREMENTS" "$TOOL/requirements.txt"
}

start_service() {
  local port
  port=$(free_port 8480)
  URL=http://127.0.0.1:$port
  rm -rf "$STATE/contexts"
  spawn slipway env SLIPWAY_DATABASE_URL="$DATABASE_URL" \
    SLIPWAY_SECRET_KEY="$(printf '01%.0s' {1..32})" "$BINARY" serve --launcher none \
    --listen "127.0.0.1:$port" --context-store "$STATE/contexts" --address-rate 0 --token-rate 0 --log warn \
    --callback-deny 0.0.0.0/0,::/0
  wait_until 60 slipway curl --silent --fail "$URL/readyz"
  TOKEN=$(SLIPWAY_DATABASE_URL=$DATABASE_URL "$BINARY" token create --name fuzz --scope admin 2>/dev/null) ||
    fail "no token could be made"
}

# shellcheck disable=SC2317 # called by the trap
stop_everything() {
  local status=$?
  trap '' INT TERM HUP
  trap - EXIT
  stop slipway
  postgres_stop postgres
  exit "$status"
}

closing_lines() {
  local errors
  errors=$(grep --count '"level":"ERROR"' "$STATE/slipway.log" || true)
  info "the service logged $errors errors"
  if ((errors)); then
    grep '"level":"ERROR"' "$STATE/slipway.log" | head -n 20 | quoted
    status=1
  fi
  [[ -z ${LEAVE_OUT:-} ]] || printf 'not run: the check %s (make fuzz-api makes it)\n' "$LEAVE_OUT"
  printf 'not run: contexts as builds read them: only the token of a running build opens one (tests/api/contexts.rs)\n'
  printf 'not run: streams that do not end by themselves: Server-Sent Events are asked for with an Accept header, which the description does not offer as a parameter (tests/api/following.rs, tests/api/events.rs)\n'
  printf 'not run: DELETE /api/v1/tokens/{id}: it would end the token that all the rest is asked with (tests/api/projects.rs)\n'
  printf 'not run: builds that are still under way: the launcher ends each at once (tests/api/waiting.rs)\n'
  printf 'repeat with: SEED=%s bash scripts/fuzz-api.sh\n' "$SEED"
}

if [[ "${1:-}" == --install ]]; then
  install_tool || fail "schemathesis cannot be installed from $REQUIREMENTS"
  exit
fi
lock_state
stop slipway
postgres_stop postgres
trap stop_everything EXIT
trap 'exit 130' INT TERM HUP

step "What the fuzzing needs"
need curl=curl jq=jq postgres=postgresql
need_rust
install_tool || fail "schemathesis cannot be installed from $REQUIREMENTS"
program_build
postgres_for_tests
start_service

step "schemathesis, for at most $TIME seconds, with seed $SEED"
status=0
(cd "$STATE" && TOKEN=$TOKEN exec "$TOOL/bin/schemathesis" --config-file "$CONFIG" run "$URL/openapi.json" --url "$URL" \
  --max-time "$TIME" --seed "$SEED" ${LEAVE_OUT:+--exclude-checks "$LEAVE_OUT"}) 9>&- || status=$?
closing_lines
exit "$status"
