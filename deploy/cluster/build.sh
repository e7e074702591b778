#!/usr/bin/env bash
# Compiles Kubernetes' own programs, once for each version of tools/go.sum: 8 minutes on 2 cores. Where no kubectl of
# some use is on the PATH, one is compiled too, in a minute.
# shellcheck source=/dev/null
. "$(dirname "$0")/lib.sh"
. "$CLUSTER/go.sh"

PROGRAMS=(kube-apiserver kube-controller-manager kube-scheduler kubelet)
PACKAGES=("${PROGRAMS[@]/#/k8s.io/kubernetes/cmd/}" ./pause)

has_programs() {
  local name
  for name in "${PROGRAMS[@]}" pause; do [[ -x "$BIN/$name" ]] || return 1; done
}

# Debian 12 has one of version 1.20, which crashes on most of what it is asked.
has_kubectl() {
  local words
  words=$(kubectl version --client 2>/dev/null) || return 1
  [[ "$words" =~ v1\.([0-9]+)\. ]] && ((BASH_REMATCH[1] >= 24))
}

# linker_flags MODULE: with its version.
linker_flags() {
  local version stamp=k8s.io/component-base/version
  version=$(go list -m -f '{{.Version}}' "$1")
  # The libraries of 1.36.1 are called 0.36.1.
  version=1.${version#v*.}
  local major=${version%%.*} rest=${version#*.}
  printf '%s' "-s -w -X $stamp.gitVersion=v$version -X $stamp.gitMajor=$major -X $stamp.gitMinor=${rest%%.*}"
}

# The compiler names each package that it begins; those that an earlier run compiled are not among them.
show_progress() {
  local compiler=$1 total=$2 log=$3 last
  while kill -0 "$compiler" 2>/dev/null; do
    sleep 1
    ((SECONDS % 15 == 0)) || continue
    last=$(tail -n 1 "$log")
    info "begun: $(grep --count . "$log") of at most $total packages${last:+, the last of them $last}"
  done
}

compile_kubectl() {
  cd "$CLUSTER/kubectl" || exit 1
  info "compiling kubectl"
  mkdir -p "$KUBECTL"
  go build -trimpath -ldflags "$(linker_flags k8s.io/kubectl)" -o "$KUBECTL/kubectl.part" . 9>&-
  mv "$KUBECTL/kubectl.part" "$KUBECTL/kubectl"
}

compile_programs() {
  local log=$BIN.log part=$BIN.part flags total compiler
  cd "$CLUSTER/tools" || exit 1
  flags=$(linker_flags k8s.io/kubernetes)
  info "downloading the modules that are missing"
  total=$(go list -deps "${PACKAGES[@]}" | wc -l)
  info "compiling ${PROGRAMS[*]} with $(go env GOVERSION): about 8 minutes on 2 idle cores"
  mkdir -p "$part"
  go build -v -trimpath -ldflags "$flags" -o "$part/" "${PACKAGES[@]}" >"$log" 2>&1 9>&- &
  compiler=$!
  # shellcheck disable=SC2064 # this one
  trap "kill $compiler 2>/dev/null || true" EXIT
  trap 'exit 143' INT TERM HUP
  show_progress "$compiler" "$total" "$log"
  wait "$compiler" || {
    tail -n 25 "$log" | quoted >&2
    fail "Kubernetes did not compile"
  }
  trap - EXIT
  mkdir -p "$BIN"
  mv "$part"/* "$BIN/"
  rmdir "$part"
  info "compiled into $BIN"
}

complete() { has_programs && has_kubectl; }

! complete || exit 0
mkdir -p "$CACHE"
exec 9>"$CACHE/lock"
until flock --timeout 15 9; do
  info "another script compiles Kubernetes; it has begun $(grep --count . "$BIN.log") packages"
done
! complete || exit 0
export CGO_ENABLED=0
find_go
has_programs || compile_programs
has_kubectl || compile_kubectl
