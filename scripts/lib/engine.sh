# shellcheck shell=bash
# The container engine: the one that answers, or one of our own that leaves the machine's network alone.

engine_answers() { timeout 15 docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

# Debian's newer releases have the command line in a package of its own.
engine_packages() {
  if apt-cache show docker-cli >/dev/null 2>&1; then echo docker.io docker-cli; else echo docker.io; fi
}

# engine_ensure: afterwards `docker` reaches an engine (DOCKER_HOST is exported if it is ours), or it returns 1.
engine_ensure() {
  if engine_answers; then
    info "using the container engine that answers: $(engine_version)"
    return
  fi
  on_debian_as_root || return 1
  if ! command -v dockerd >/dev/null || ! command -v docker >/dev/null; then
    info "no container engine answers: installing Debian's docker.io"
    # shellcheck disable=SC2046 # one word a package
    install_packages $(engine_packages) || exit 1
  fi
  engine_start
}

engine_version() { docker version --format '{{.Server.Version}}{{with .Server.Platform.Name}} ({{.}}){{end}}' 2>/dev/null; }

# An engine of our own, which leaves the machine's network alone: no firewall rules, and a bridge of its own. Never
# `--bridge=none`: with it dockerd deletes docker0, which may be another engine's. The sockets lie under /run, since
# the path of a socket may have 107 bytes only.
engine_start() {
  local run bridge
  run=/run/slipway-$(engine_key)
  bridge=slw$(engine_key)
  info "no container engine answers: starting a private one (data in $STATE/engine)"
  need ip=iproute2
  mkdir -p "$run" "$STATE/engine"
  rm -f "$run/docker.pid"
  ip link show "$bridge" >/dev/null 2>&1 || ip link add name "$bridge" type bridge
  # Out of the range for benchmarks, which no network uses; another one for each checkout.
  ip addr replace "198.18.$((16#$(engine_key) % 256)).1/24" dev "$bridge"
  ip link set "$bridge" up
  export DOCKER_HOST="unix://$run/docker.sock"
  spawn dockerd dockerd --host "$DOCKER_HOST" --data-root "$STATE/engine" --exec-root "$run/exec" \
    --pidfile "$run/docker.pid" --bridge="$bridge" --iptables=false --ip6tables=false --ip-forward=false
  wait_until 90 dockerd engine_answers
  info "the engine is up: $(engine_version)"
}

# Names what belongs to the engine of this $STATE.
engine_key() { printf '%s' "$STATE" | sha256sum | cut -c1-8; }

engine_stop() {
  local run mount
  stop dockerd TERM 30
  run=/run/slipway-$(engine_key)
  [[ -d "$run" ]] || return 0
  # The network name spaces of containers with the host's network stay mounted.
  for mount in "$run"/exec/netns/*; do umount "$mount" 2>/dev/null || true; done
  rm -rf --one-file-system "$run"
  ip link delete "slw$(engine_key)" 2>/dev/null || true
}
