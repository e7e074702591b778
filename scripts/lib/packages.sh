# shellcheck shell=bash
# Commands that must be there: installed where that is ours to do, named where it is not.

on_debian_as_root() { [[ $EUID -eq 0 ]] && command -v apt-get >/dev/null; }

# need "COMMAND=PACKAGE…"…: installs the packages of the commands that are missing, all at once.
need() {
  local pair packages=() commands=()
  for pair in "$@"; do
    # shellcheck disable=SC2206 # one word a package
    have "${pair%%=*}" || { commands+=("${pair%%=*}") packages+=(${pair#*=}); }
  done
  ((${#packages[@]})) || return 0
  on_debian_as_root ||
    fail "not found: ${commands[*]}. On Debian or Ubuntu: sudo apt-get install ${packages[*]}"
  info "installing ${packages[*]}"
  install_packages "${packages[@]}" || exit 1
}

# Debian keeps some programs out of the PATH.
have() {
  case $1 in
    postgres) [[ -n "$(postgres_bin)" ]] ;;
    cni-plugins) [[ -x /usr/lib/cni/bridge ]] ;;
    *) command -v "$1" >/dev/null ;;
  esac
}

# The packages' own services are not started: what runs here is ours, on its own ports, and ends with us.
install_packages() (
  log=$(mktemp)
  policy=/usr/sbin/policy-rc.d
  if [[ -e "$policy" ]]; then policy=; else printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy"; fi
  trap 'rm -f "$log" $policy' EXIT
  trap 'exit 130' INT TERM HUP
  # A machine that was never updated knows no packages; a list that is old knows wrong ones.
  apt_get install --yes --no-install-recommends "$@" >"$log" 2>&1 && exit
  apt_get update >>"$log" 2>&1 || true
  apt_get install --yes --no-install-recommends "$@" >>"$log" 2>&1 && exit
  tail -n 25 "$log" >&2
  fail "apt-get could not install: $*"
)

apt_get() { DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=120 "$@" </dev/null 9>&-; }

# Rust is not installed for anybody: which way is theirs to choose.
need_rust() {
  command -v cargo >/dev/null || fail "cargo was not found: install Rust 1.95 or newer (https://rustup.rs)"
  need cc=gcc make=make
}
