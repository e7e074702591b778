# shellcheck shell=bash
# The demo's endpoint: who is told of its builds, and verifies what is told.

start_receiver() {
  step "A receiver of notifications"
  local port
  port=$(free_port 8095 "$ADDRESS")
  NOTIFIED=$STATE/notifications.jsonl
  rm -f "$NOTIFIED" "$STATE/endpoint-secret"
  spawn receiver python3 scripts/receive-notifications.py "$ADDRESS" "$port" "$STATE/endpoint-secret" "$NOTIFIED"
  wait_until 20 receiver curl --silent "http://$ADDRESS:$port/"
  RECEIVER=$ADDRESS:$port
  info "it answers on $RECEIVER, and writes to ${NOTIFIED#"$PWD/"}"
}

# make_endpoint: afterwards ENDPOINT is its id, and its secret is where the receiver reads it.
make_endpoint() {
  local made
  forget_earlier endpoints '.description == "the demo'\''s receiver"'
  shown "slipway endpoint create http://$RECEIVER/ --project demo"
  made=$(slipway endpoint --output json create "http://$RECEIVER/" --project demo --description "the demo's receiver") ||
    fail "no endpoint could be made"
  ENDPOINT=$(jq --raw-output .id <<<"$made")
  jq --join-output .secret <<<"$made" | keep "$STATE/endpoint-secret"
  info "endpoint $ENDPOINT, told of every build of the project"
}

# check_notifications BUILD: what the service says that it told of the build is what the receiver took, and believed.
check_notifications() {
  local told until=$((SECONDS + 60)) wanted="build.queued build.started build.succeeded" of_build
  while true; do
    told=$(call GET "/api/v1/endpoints/$ENDPOINT/notifications?limit=100" |
      jq --arg build "$1" '[.notifications[] | select(.build_id == $build)] | sort_by(.id)')
    [[ "$(jq --raw-output 'map(select(.state == "delivered").type) | join(" ")' <<<"$told")" != "$wanted" ]] || break
    ((SECONDS < until)) || fail "not all of it was told within 60 s: $(jq --compact-output . <<<"$told")"
    sleep 0.3
  done
  info "the receiver has, with signatures verified:"
  jq --raw-output --arg build "$1" 'select(.build == $build) | "\(.type)  \(.id)"' "$NOTIFIED" | quoted
  of_build=$(jq --slurp --arg build "$1" 'map(select(.build == $build))' "$NOTIFIED")
  same "what it was told" "$(jq --raw-output 'map(.type) | join(" ")' <<<"$of_build")" "$wanted"
  same "the number of those that it refused" "$(jq --slurp 'map(select(.verified | not)) | length' "$NOTIFIED")" 0
  expect "the digest that it was told" "$(jq --raw-output '.[-1].digest' <<<"$of_build")" "$(field .digest)"
}
