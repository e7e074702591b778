#!/usr/bin/env bash
# component.sh stop|kill|start|restart|pause|continue NAME: one component of a cluster that is up, for faults.
# component.sh status: what runs.
# shellcheck source=/dev/null
. "$(dirname "$0")/lib.sh"
. "$CLUSTER/components.sh"

usage() { fail "component.sh stop|kill|start|restart|pause|continue ${COMPONENTS[*]// /|}, or component.sh status"; }

status() {
  local name
  for name in "${COMPONENTS[@]}"; do printf '%-24s %s\n' "$name" "$(condition_of "$name")"; done
}

# Not to be named as what `alive` asks: it would be asked in its place.
condition_of() {
  local pid
  alive "$1" || { echo stopped && return; }
  read -r pid _ <"$STATE/$1.pid"
  if grep --quiet '^State:.T' "/proc/$pid/status"; then echo paused; else echo running; fi
}

[[ -e "$STATE/port" ]] || fail "no cluster was started in $STATE"
if [[ "${1:-}" == status ]]; then
  status
  exit
fi
[[ " ${COMPONENTS[*]} " == *" ${2:-none} "* ]] || usage
# Several may ask at a time: each waits for its turn.
lock_state 120
case $1 in
  stop) stop_component "$2" ;;
  kill)
    signal_component KILL "$2" || fail "$2 does not run"
    stop "$2"
    ;;
  start) start_component "$2" ;;
  restart)
    stop_component "$2"
    start_component "$2"
    ;;
  pause) signal_component STOP "$2" || fail "$2 does not run" ;;
  continue) signal_component CONT "$2" || fail "$2 does not run" ;;
  *) usage ;;
esac
