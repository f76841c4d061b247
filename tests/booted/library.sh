# shellcheck shell=bash
# What the scenarios share. They run as root in a machine of their own, with the checkout as the current folder.
set -uo pipefail
cd /opt/session-sweep || exit 1

failed=0
trap '[ "$failed" = 0 ] || exit 1' EXIT

check() { # NAME COMMAND...: one line, and what the command said if it failed
  local said
  if said=$("${@:2}" 2>&1); then
    printf 'ok - %s\n' "$1"
  else
    printf 'FAILED - %s: %s\n' "$1" "${*:2}"
    printf '%s\n' "$said" | tail -n 20 | sed 's/^/    /'
    failed=$((failed + 1))
  fi
}

not() {
  ! "$@"
}

within() { # SECONDS COMMAND...: succeeds as soon as the command does
  local deadline=$((SECONDS + $1))
  until "${@:2}"; do
    [ "$SECONDS" -lt "$deadline" ] || return
    sleep 0.1
  done
}

same() { # FILE FILE
  diff --unified=0 "$1" "$2"
}
