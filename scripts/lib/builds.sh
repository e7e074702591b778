# shellcheck shell=bash
# The demo's first four builds, all through the REST API at $API, with the header in $TOKEN_FILE. $FIRST_BUILD is the first one's id.

# call METHOD PATH [CURL ARGUMENT…]: prints the answer's body; what is not a success ends the demo.
call() {
  local method=$1 path=$2 body status
  shift 2
  body=$(curl --silent --show-error --max-time 60 --request "$method" --header "@$TOKEN_FILE" \
    --write-out '\n%{http_code}' "$@" "$API$path") ||
    fail "$method $path: no answer"
  status=${body##*$'\n'}
  body=${body%$'\n'*}
  [[ "$status" == 2* ]] || fail "$method $path answered $status: $body"
  printf '%s\n' "$body"
}

# create_build JSON: prints the new build's id.
create_build() { call POST /api/v1/builds --header 'Content-Type: application/json' --data "$1" | jq --raw-output .id; }

# upload_context FOLDER: prints the context's id.
upload_context() {
  tar -C "$1" --owner=0 --group=0 -czf - . |
    call POST '/api/v1/contexts?project=demo' --header 'Content-Type: application/gzip' --data-binary @- |
    jq --raw-output .id
}

# await_build ID: shows its states and phases as they change; afterwards $BUILD is the build.
await_build() {
  local id=$1 until=$((SECONDS + 240)) seen='' now
  while true; do
    BUILD=$(call GET "/api/v1/builds/$id")
    now=$(field '[.state, .phase // empty] | join(": ")')
    [[ "$now" == "$seen" ]] || info "$now"
    seen=$now
    case $(field .state) in succeeded | failed | cancelled | superseded | expired) return ;; esac
    ((SECONDS < until)) || fail "build $id is still ${now} after 240 s"
    sleep 0.3
  done
}

field() { jq --raw-output "$1" <<<"$BUILD"; }

# expect WHAT VALUE WANTED
expect() {
  [[ "$2" == "$3" ]] || fail "$1 is ${2:-empty}, not $3: $(jq --compact-output 'del(.spec)' <<<"$BUILD")"
  good "$1 is $2"
}

# show_log ID LINES: the end of the log, once nothing will be added to it.
show_log() {
  local headers=$STATE/log-headers until=$((SECONDS + 20)) text
  while true; do
    text=$(call GET "/api/v1/builds/$1/logs" --dump-header "$headers")
    grep --quiet --ignore-case '^slipway-log-complete: true' "$headers" && break
    ((SECONDS < until)) || fail "the log of build $1 is still incomplete 20 s after its end"
    sleep 0.3
  done
  info "its log ends:"
  tail -n "$2" <<<"$text" | quoted
}

# The digest that the build recorded is the one that the registry answers.
check_digest() {
  local pushed
  pushed=$(registry_digest "$REGISTRY" "$1" "$2") || fail "the registry has no $1:$2"
  expect "the digest of $1:$2 in the registry" "$pushed" "$(field .digest)"
}

build_upload() {
  step "Build 1 of 5: an uploaded context with RUN steps"
  local folder=$STATE/hello context id
  mkdir -p "$folder"
  cat >"$folder/Dockerfile" <<DOCKERFILE
FROM $REGISTRY/library/busybox:stable
ARG GREETING=hello
WORKDIR /srv
COPY message.txt .
RUN echo "\$GREETING from a RUN step" >> message.txt
RUN cat message.txt && wc -l message.txt
CMD ["cat", "/srv/message.txt"]
DOCKERFILE
  echo "hello from the context" >"$folder/message.txt"
  shown "tar -C hello -czf - . | curl --data-binary @- -H 'Content-Type: application/gzip' '$API/api/v1/contexts?project=demo'"
  context=$(upload_context "$folder")
  info "context $context"
  shown "curl -d '{\"project\":\"demo\",\"source\":{\"upload\":{\"context_id\":\"…\"}},\"destinations\":[\"$REGISTRY/demo/hello:1\"]}' $API/api/v1/builds"
  id=$(create_build "$(jq --null-input --arg context "$context" --arg image "$REGISTRY/demo/hello:1" \
    '{project: "demo", source: {upload: {context_id: $context}}, destinations: [$image],
      build_args: {GREETING: "good day"}, timeout_seconds: 300}')")
  info "build $id"
  # shellcheck disable=SC2034 # the demo names it at its end
  FIRST_BUILD=$id
  await_build "$id"
  show_log "$id" 20
  expect "the state" "$(field .state)" succeeded
  check_digest demo/hello 1
  info "and the image runs:"
  run_image "$REGISTRY/demo/hello:1" | quoted
}

build_git() {
  step "Build 2 of 5: a git repository over HTTP"
  local work=$STATE/git-work id commit
  rm -rf "$work" "$STATE/git/hello.git"
  git init --quiet "$work"
  mkdir -p "$work/image"
  printf 'FROM %s/library/busybox:stable\nCOPY . /srv/\nRUN ls /srv\n' "$REGISTRY" >"$work/image/Dockerfile"
  echo "hello from git" >"$work/image/message.txt"
  git -C "$work" add .
  git -C "$work" -c user.name=demo -c user.email=demo@localhost -c commit.gpgsign=false commit --quiet --message "Say hello"
  git -C "$work" branch --quiet --move --force main
  git clone --quiet --bare "$work" "$STATE/git/hello.git"
  commit=$(git -C "$work" rev-parse HEAD)
  shown "curl -d '{\"project\":\"demo\",\"source\":{\"git\":{\"url\":\"http://$GIT_HOST/hello.git\",\"ref\":\"refs/heads/main\",\"sub_path\":\"image\"}},…}' $API/api/v1/builds"
  id=$(create_build "$(jq --null-input --arg url "http://$GIT_HOST/hello.git" --arg commit "$commit" \
    --arg image "$REGISTRY/demo/from-git:${commit:0:12}" \
    '{project: "demo", source: {git: {url: $url, ref: "refs/heads/main", sub_path: "image"}},
      destinations: [$image], annotations: {commit: $commit}, timeout_seconds: 300}')")
  info "build $id"
  await_build "$id"
  show_log "$id" 8
  expect "the state" "$(field .state)" succeeded
  check_digest demo/from-git "${commit:0:12}"
}

build_failing() {
  step "Build 3 of 5: a RUN step that fails"
  local context id
  context=$(printf 'FROM %s/library/busybox:stable\nRUN echo "about to fail" && exit 42\n' "$REGISTRY" |
    call POST '/api/v1/contexts?project=demo' --header 'Content-Type: text/plain' --data-binary @- | jq --raw-output .id)
  id=$(create_build "$(jq --null-input --arg context "$context" --arg image "$REGISTRY/demo/failing:1" \
    '{project: "demo", source: {upload: {context_id: $context}}, destinations: [$image], max_retries: 3,
      timeout_seconds: 300}')")
  info "build $id, which may be retried 3 times"
  await_build "$id"
  info "the service says: $(field .failure.message)"
  expect "the state" "$(field .state)" failed
  expect "the reason" "$(field .failure.reason)" build_step_failed
  expect "the class" "$(field .failure.class)" user
  expect "the exit code" "$(field .failure.exit_code)" 42
  expect "the number of attempts (another one would be pointless)" "$(field '.attempts | length')" 1
}

build_cancelled() {
  step "Build 4 of 5: a long build, cancelled"
  local context id until=$((SECONDS + 120))
  context=$(printf 'FROM %s/library/busybox:stable\nRUN echo "sleeping" && sleep 600\n' "$REGISTRY" |
    call POST '/api/v1/contexts?project=demo' --header 'Content-Type: text/plain' --data-binary @- | jq --raw-output .id)
  id=$(create_build "$(jq --null-input --arg context "$context" --arg image "$REGISTRY/demo/long:1" \
    '{project: "demo", source: {upload: {context_id: $context}}, destinations: [$image], timeout_seconds: 900}')")
  info "build $id"
  until call GET "/api/v1/builds/$id/logs" | grep --quiet '^sleeping'; do
    ((SECONDS < until)) || fail "its RUN step did not begin within 120 s"
    sleep 0.3
  done
  info "its RUN step sleeps"
  shown "curl -X POST $API/api/v1/builds/$id/cancel"
  call POST "/api/v1/builds/$id/cancel" >/dev/null
  await_build "$id"
  expect "the state" "$(field .state)" cancelled
  expect "the number of its containers that still run" "$(running_of "$id" | wc -l)" 0
}
