# shellcheck shell=bash
# The demo's last build: a push to a repository of its git host, whose hook calls a trigger.

# The service's own command line, as the demo's administrator.
slipway() { SLIPWAY_SERVER=$API SLIPWAY_TOKEN=$(<"$STATE/token-text") "$BINARY" "$@" 9>&-; }

# git without anybody's settings, and without questions.
plain_git() { GIT_CONFIG_GLOBAL=/dev/null GIT_TERMINAL_PROMPT=0 git "$@"; }

# same WHAT VALUE WANTED
same() {
  [[ "$2" == "$3" ]] || fail "$1 is ${2:-empty}, not $3"
  good "$1 is $2"
}

# keep FILE: what comes on standard input, for us alone to read.
keep() { (umask 077 && rm -f "$1" && cat >"$1"); }

random_hex() { od -An -N"$1" -tx1 /dev/urandom | tr -d ' \n'; }

# What an earlier run made: its addresses are gone. $1 is the resource, $2 tells which of them are the demo's.
forget_earlier() {
  local ids id
  ids=$(call GET "/api/v1/$1?project=demo&limit=100" | jq --raw-output ".$1[] | select($2) | .id")
  for id in $ids; do call DELETE "/api/v1/$1/$id" >/dev/null; done
}

# What a delivery asks for may only go where the project's images may: nobody answers for it in person.
settle_destinations() {
  shown "slipway project set demo --destination $REGISTRY/demo"
  slipway project set demo --destination "$REGISTRY/demo" >/dev/null || fail "the project could not be changed"
}

# A bare repository, as any git server has it, and a clone with a commit; afterwards COMMIT is that.
make_repository() {
  local bare=$STATE/git/pushed.git work=$STATE/push-work
  rm -rf "$bare" "$work"
  plain_git init --quiet --bare --initial-branch main "$bare"
  plain_git clone --quiet "http://$GIT_HOST/pushed.git" "$work" 2>"$STATE/git-clone.log" ||
    fail "git clone: $(<"$STATE/git-clone.log")"
  git -C "$work" config user.name demo
  git -C "$work" config user.email demo@localhost
  cat >"$work/Dockerfile" <<DOCKERFILE
FROM $REGISTRY/library/busybox:stable
ARG SOURCE_COMMIT
COPY message.txt /srv/
RUN echo "\$(cat /srv/message.txt), in commit \$SOURCE_COMMIT"
CMD ["cat", "/srv/message.txt"]
DOCKERFILE
  echo "hello from a push" >"$work/message.txt"
  git -C "$work" add .
  plain_git -C "$work" commit --quiet --message "Say hello"
  COMMIT=$(git -C "$work" rev-parse HEAD)
  info "a bare repository, pushed.git, and a clone with commit ${COMMIT:0:7}"
}

# make_trigger: afterwards TRIGGER is its id, and its secret is in a file.
make_trigger() {
  local made
  forget_earlier triggers '.repository == "demo/pushed"'
  # shellcheck disable=SC2016 # the service fills in the commit
  jq --null-input --arg url "http://$GIT_HOST/pushed.git" --arg image "$REGISTRY/demo/pushed" \
    '{provider: "generic", repository: "demo/pushed", clone_url: $url,
      rules: [{name: "main", source_type: "branch", source: "main", repositories: [$image],
               tags: ["{sourceref}", "${commit_info.short_sha}"]}]}' >"$STATE/trigger.json"
  shown "slipway trigger create trigger.json --project demo"
  made=$(slipway trigger --output json create "$STATE/trigger.json" --project demo) || fail "no trigger could be made"
  TRIGGER=$(jq --raw-output .id <<<"$made")
  jq --join-output .secret <<<"$made" | keep "$STATE/trigger-secret"
  shown "slipway trigger dry-run $TRIGGER --branch main --commit $COMMIT"
  slipway trigger dry-run "$TRIGGER" --branch main --commit "$COMMIT" | quoted
}

# The hook of docs/webhooks, as one would put it in; and the login for pushes, for whoever pushes later, too.
install_hook() {
  local bare=$STATE/git/pushed.git work=$STATE/push-work
  shown "install -m 755 docs/webhooks/post-receive.py pushed.git/hooks/post-receive"
  install -D -m 755 docs/webhooks/post-receive.py "$bare/hooks/post-receive"
  shown "git config slipway.hook $API/hooks/$TRIGGER; git config slipway.secretFile …/trigger-secret"
  git -C "$bare" config slipway.hook "$API/hooks/$TRIGGER"
  git -C "$bare" config slipway.secretFile "$STATE/trigger-secret"
  printf 'http://%s@%s\n' "$(<"$STATE/git-login")" "$GIT_HOST" | keep "$STATE/git-credentials"
  # The empty one keeps other helpers out.
  git -C "$work" config --add credential.helper ''
  git -C "$work" config --add credential.helper "store --file=$(printf '%q' "$STATE/git-credentials")"
}

push_commit() {
  local said
  shown "git push origin main"
  # It may wait for its hook, and must not hold the lock of a demo that was killed.
  said=$(exec 9>&- && plain_git -C "$STATE/push-work" push origin main 2>&1 | sed 's/ *$//') || fail "git push: $said"
  quoted <<<"$said"
}

# follow_delivery: what the service kept of the call; afterwards PUSHED_BUILD is the build that it made.
follow_delivery() {
  local listed delivery status
  listed=$(call GET "/api/v1/triggers/$TRIGGER/deliveries")
  same "the number of the trigger's deliveries" "$(jq '.deliveries | length' <<<"$listed")" 1
  delivery=$(jq --raw-output '.deliveries[0].id' <<<"$listed")
  shown "slipway deliveries show $delivery"
  delivery=$(slipway deliveries show "$delivery")
  jq '{received_at, verdict, reason, consequences}' <<<"$delivery" | quoted
  same "its verdict" "$(jq --raw-output .verdict <<<"$delivery")" built
  same "its commit" "$(jq --raw-output '.consequences[0].commit' <<<"$delivery")" "$COMMIT"
  PUSHED_BUILD=$(jq --raw-output '.consequences[0].build_id' <<<"$delivery")
  status=$(jq --join-output .body <<<"$delivery" | curl --silent --max-time 60 --output /dev/null --write-out '%{http_code}' \
    --header 'Content-Type: application/json' --header "X-Hub-Signature-256: sha256=$(random_hex 32)" \
    --data-binary @- "$API/hooks/$TRIGGER") || fail "POST /hooks/$TRIGGER: no answer"
  same "the answer to the same call with another signature" "$status" 401
}

build_push() {
  step "Build 5 of 5: from a git push to an image, and back"
  settle_destinations
  make_endpoint
  make_repository
  make_trigger
  install_hook
  push_commit
  follow_delivery
  info "build $PUSHED_BUILD"
  await_build "$PUSHED_BUILD"
  show_log "$PUSHED_BUILD" 8
  expect "the state" "$(field .state)" succeeded
  expect "the commit that was built" "$(field .spec.source.git.commit)" "$COMMIT"
  check_digest demo/pushed main
  check_digest demo/pushed "${COMMIT:0:7}"
  check_notifications "$PUSHED_BUILD"
}
