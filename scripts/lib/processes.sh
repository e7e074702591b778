# shellcheck shell=bash
# Starts and stops processes that are ours, and never any other.
#
# A process is known by a file in $STATE that holds its pid and its start time: a pid alone may have been given to a
# stranger since. Each process is in a session of its own, so that Ctrl-C reaches this script only, which then stops
# everything in the right order.

# state_of PID: its state, and the moment it began, in clock ticks since the boot. Nothing if there is no such process.
state_of() {
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
  # The name, in parentheses, may hold blanks: count from behind it.
  awk '{print $1, $20}' <<<"${stat##*) }"
}

started_at() { state_of "$1" | cut -d' ' -f2; }

# lock_state [SECONDS]: only one script at a time works in $STATE; another one waits so long for its turn.
lock_state() {
  mkdir -p "$STATE"
  exec 9>"$STATE/lock"
  flock --timeout "${1:-0}" 9 || fail "another one is running in $STATE: stop it first (Ctrl-C where it runs)"
}

# spawn NAME COMMAND…: runs in the background; the output goes to $STATE/NAME.log.
spawn() {
  local name=$1
  shift
  setsid "$@" >"$STATE/$name.log" 2>&1 </dev/null 9>&- &
  printf '%s %s\n' "$!" "$(started_at "$!")" >"$STATE/$name.pid"
}

# Whether the process of that name is there, and is the one that was started. Its state and its beginning are read at
# once: a process that has ended may be gone a moment later.
alive() {
  local pid at letter began
  read -r pid at 2>/dev/null <"$STATE/$1.pid" || return 1
  read -r letter began <<<"$(state_of "$pid")"
  [[ -n "$at" && "$began" == "$at" && "$letter" != Z ]]
}

# stop NAME [SIGNAL [SECONDS]]: asks it to end, waits, and then insists.
stop() {
  local name=$1 signal=${2:-TERM} patience=${3:-20} pid
  if alive "$name"; then
    read -r pid _ <"$STATE/$name.pid"
    kill -s "$signal" "$pid" 2>/dev/null || true
    local until=$((SECONDS + patience))
    while alive "$name" && ((SECONDS < until)); do sleep 0.1; done
    if alive "$name"; then
      warn "$name (pid $pid) did not end within ${patience} s: killed"
      kill -s KILL -- "-$pid" 2>/dev/null || true
    fi
  fi
  rm -f "$STATE/$name.pid"
}

# wait_until SECONDS NAME COMMAND…: waits for the command to succeed while the process lives.
wait_until() {
  local until=$((SECONDS + $1)) name=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    if ! alive "$name"; then
      tail -n 25 "$STATE/$name.log" >&2
      fail "$name ended before it was ready; its log: $STATE/$name.log"
    fi
    if ((SECONDS >= until)); then
      tail -n 25 "$STATE/$name.log" >&2
      fail "$name was not ready in time; its log: $STATE/$name.log"
    fi
    sleep 0.2
  done
}

# free_port PORT [ADDRESS]: the first port from the given one on that nobody listens on.
free_port() {
  local port=$1 address=${2:-127.0.0.1}
  while (exec 3<>"/dev/tcp/$address/$port") 2>/dev/null; do port=$((port + 1)); done
  printf '%s\n' "$port"
}
