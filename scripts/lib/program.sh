# shellcheck shell=bash
# shellcheck disable=SC2034 # others read what is set here
# What cargo compiles, and how its tests are run: in one way by all scripts, so that nothing is compiled twice.

# program_build: afterwards BINARY is our program, $SLIPWAY_BINARY if that is set.
program_build() {
  if [[ -z "${SLIPWAY_BINARY:-}" ]]; then
    SQLX_OFFLINE=true cargo build --locked --bin slipway 9>&- >&2
    BINARY=${CARGO_TARGET_DIR:-target}/debug/slipway
    return
  fi
  [[ -x "$SLIPWAY_BINARY" ]] || fail "SLIPWAY_BINARY=$SLIPWAY_BINARY is not a program"
  BINARY=$SLIPWAY_BINARY
}

# timed_tests: from now on, each test of `cargo test` prints how long it took.
timed_tests() {
  local host
  host=$(rustc -vV | sed -n 's/^host: //p')
  host=${host//-/_}
  export "CARGO_TARGET_${host^^}_RUNNER=$PWD/scripts/lib/timed.sh"
}

# slowest_tests NUMBER FILE…: the tests that took longest, of the output of `cargo test`.
slowest_tests() {
  local number=$1
  shift
  sed -n 's/^test \(.*\) \.\.\. .*<\([0-9.]*\)s>$/\2 \1/p' "$@" | sort --numeric-sort --reverse | sed -n "1,${number}p" |
    while read -r seconds name; do printf '%8.1f s  %s\n' "$seconds" "$name"; done
}
