# shellcheck shell=bash
# Commands that must be there: installed where that is ours to do, named where it is not.

on_debian_as_root() { [[ $EUID -eq 0 ]] && command -v apt-get >/dev/null; }

# need COMMAND=PACKAGE…: installs the packages of the commands that are missing, all at once.
need() {
  local pair packages=() commands=()
  for pair in "$@"; do
    have "${pair%%=*}" || { commands+=("${pair%%=*}") packages+=("${pair#*=}"); }
  done
  ((${#packages[@]})) || return 0
  on_debian_as_root ||
    fail "not found: ${commands[*]}. On Debian or Ubuntu: sudo apt-get install ${packages[*]}"
  info "installing ${packages[*]}"
  install_packages "${packages[@]}"
}

# Debian keeps some servers out of the PATH.
have() {
  case $1 in
    postgres) [[ -n "$(postgres_bin)" ]] ;;
    *) command -v "$1" >/dev/null ;;
  esac
}

install_packages() {
  local log
  log=$(mktemp)
  # A machine that was never updated knows no packages; a list that is old knows wrong ones.
  if ! apt_get install --yes --no-install-recommends "$@" >"$log" 2>&1; then
    apt_get update >>"$log" 2>&1 || true
    if ! apt_get install --yes --no-install-recommends "$@" >>"$log" 2>&1; then
      tail -n 25 "$log" >&2
      fail "apt-get could not install: $*"
    fi
  fi
  rm -f "$log"
}

apt_get() { DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=120 "$@" </dev/null 9>&-; }

# Rust is not installed for anybody: which way is theirs to choose.
need_rust() {
  command -v cargo >/dev/null || fail "cargo was not found: install Rust 1.95 or newer (https://rustup.rs)"
  need cc=gcc make=make
}
