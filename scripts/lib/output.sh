# shellcheck shell=bash
# What the scripts say, and when: every line carries the seconds since the start.

if [[ -t 1 && -z "${NO_COLOR:-}" ]]; then
  BOLD=$'\e[1m' DIM=$'\e[2m' GREEN=$'\e[32m' RED=$'\e[31m' PLAIN=$'\e[0m'
else
  BOLD='' DIM='' GREEN='' RED='' PLAIN=''
fi

stamp() { printf '[%3ds]' "$SECONDS"; }

# A step that begins.
step() { printf '\n%s%s ==> %s%s\n' "$BOLD" "$(stamp)" "$*" "$PLAIN"; }

# What happens within a step.
info() { printf '%s     %s\n' "$(stamp)" "$*"; }

# Something that was checked and is as it should be.
good() { printf '%s  %sok%s %s\n' "$(stamp)" "$GREEN" "$PLAIN" "$*"; }

# A command, as one would type it.
shown() { printf '%s       $ %s%s\n' "$DIM" "$*" "$PLAIN"; }

# Somebody else's output, set off from ours.
quoted() { sed "s/^/         | /"; }

warn() { printf '%s  %s!!%s %s\n' "$(stamp)" "$RED" "$PLAIN" "$*" >&2; }

# Ends the script. The exit trap does the cleaning up.
fail() {
  printf '%s  %sfailed:%s %s\n' "$(stamp)" "$RED" "$PLAIN" "$*" >&2
  exit 1
}
