# shellcheck shell=bash
# What the scenarios share. They run as root in a machine of their own.
set -uo pipefail
cd "${BASH_SOURCE[0]%/*}/../.." || exit 1

failed=0
trap '[ "$failed" = 0 ] || exit 1' EXIT

check() { # NAME COMMAND...: one line, and what the command said if it failed
  local said
  if said=$("${@:2}" 2>&1); then
    printf 'ok - %s\n' "$1"
  else
    printf 'FAILED - %s: %s\n' "$1" "${*:2}"
    tail -n 20 <<<"$said" | sed 's/^/    /'
    failed=$((failed + 1))
  fi
}

not() { # COMMAND...
  ! "$@"
}

within() { # SECONDS COMMAND...: succeeds as soon as the command does
  local said deadline=$((SECONDS + $1))
  until said=$("${@:2}" 2>&1); do
    [ "$SECONDS" -lt "$deadline" ] || { printf '%s\n' "$said" && return 1; }
    sleep 0.1
  done
}

as() { # USER COMMAND...: as if that user were logged in
  local home
  home=$(getent passwd "$1" | cut -d : -f 6)
  setpriv --reuid="$1" --regid="$1" --init-groups \
    env HOME="$home" USER="$1" XDG_RUNTIME_DIR="/run/user/$(id -u "$1")" "${@:2}"
}

# A user with what real CLIs wrote, last three days ago but for one session of a minute ago. A process of hers has two
# more sessions open: one of Claude Code by its record, one of Codex by the rollout that it holds open.
idle=938156f5-7537-439a-8620-33e43fbce334
active=c5a6ba86-ab13-4e72-8e58-9cec28da86e8
recorded=33333333-2222-4333-8444-555555555555
open=ec9845b2-ce21-42ae-9c74-7d78b0bd345f

add_user() { # NAME
  local home=/home/$1
  useradd --create-home --shell /bin/bash "$1"
  cp -r tests/fixtures/real-trees/{claude/2.1.328,codex/0.36.0}/home/. "$home"
  rm "$home"/.claude/sessions/*
  # What a session leaves anyway, and systemd where a user has timers.
  mkdir -p "$home"/.config "$home"/.local/{state,share/systemd/timers}
  chown -R "$1:" "$home"
  find "$home" -type f -exec touch --date='3 days ago' {} +
  touch --date='1 minute ago' "$home"/.claude/projects/*/$active.jsonl
  # shellcheck disable=SC2016 # the user's own shell expands it
  as "$1" bash -c '
    start=$(cut -d " " -f 22 "/proc/$$/stat")
    printf "{\"pid\":%s,\"procStart\":\"%s\",\"sessionId\":\"%s\"}" $$ "$start" "$0" >~/.claude/sessions/$$.json
    exec sleep infinity >>"$1"' "$recorded" "$home"/.codex/sessions/*/*/*/rollout-*-$open.jsonl &
  within 5 test -e "$home"/.claude/sessions/*.json
}

log_in() { # USER: so that her systemd runs
  systemd-run --quiet --property=PAMName=login --uid="$1" sleep infinity
  within 10 test -S "/run/user/$(id -u "$1")/bus"
}

write_map() { # USER FOLDER: as a bridge of that user does
  install --directory --owner="$1" --group="$1" "$2"
  as "$1" tee "$2/session_map.json" >/dev/null <<MAP
{"claude-cli": {"idle": "$idle", "active": "$active", "recorded": "$recorded"}, "codex-cli": {"open": "$open"}}
MAP
}

is_pruned() { # FOLDER: exactly what was to go is gone
  diff "$1/session_map.json" - <<MAP
{"claude-cli": {"active": "$active", "recorded": "$recorded"}, "codex-cli": {"open": "$open"}}
MAP
}

list_files() { # NAME [PRINTF]: every file with mode, owner and content, but what changes by itself, into /run/NAME
  # What crontab writes has the time in it.
  local skip=(-path /var/cache -prune -o -path /var/log -prune -o -path '/var/lib/dpkg/*-old' -prune -o
    -path '/var/spool/cron/crontabs/*' -prune -o)
  # /tmp is a file system of its own; the other ones are the kernel's and what the machine was given.
  { find / /tmp -xdev "${skip[@]}" ! -path /tmp ! -path /run -printf "%p %M %u:%g %l ${2-}\n" &&
    find / /tmp -xdev "${skip[@]}" -type f -exec sha256sum {} +; } | sort --temporary-directory=/run >"/run/$1"
}

same() { # NAME NAME: of lists
  diff "/run/$1" "/run/$2"
}

is_clean() { # USER OPTION... FILE...: systemd has nothing to say about these units
  local said
  said=$(as "$1" systemd-analyze verify "${@:2}" 2>&1) && [ -z "$said" ] && return
  printf '%s\n' "$said"
  return 1
}

set_for() { # USER KEY VALUE: in her configuration
  as "$1" target/release/session-sweep config set "$2" "$3" >/dev/null
}

install_with() { # USER OPTION...: what is built already
  as "$1" ./install.sh --yes --binary target/release/session-sweep "${@:2}"
}

uninstall_with() { # USER OPTION...
  as "$1" ./install.sh --yes --uninstall "${@:2}"
}

has_lines() { # FILE LINE...
  local line
  for line in "${@:2}"; do grep --line-regexp --fixed-strings --regexp "$line" "$1" || { cat "$1" && return 1; }; done
}

leaves_only_the_map() { # FOLDER: and what belongs to it
  diff <(ls -A "$1") <(printf '%s\n' session_map.json session_map.lock session_map.tombstones.jsonl)
}

doctor_of() { # USER OPTION...
  local status
  as "$1" target/release/session-sweep doctor "${@:2}"
  status=$?
  # It was started to tell of the clock, and has a /tmp of its own until it ends.
  systemctl stop systemd-timedated
  return "$status"
}

is_well() { # USER KIND: status tells of her schedule and that it ran, and doctor finds nothing wrong and nothing unknown
  local said
  said=$(as "$1" target/release/session-sweep status) && grep --quiet --extended-regexp " done +$2 +$1\$" <<<"$said" &&
    said=$(doctor_of "$1") && return
  printf '%s\n' "$said"
  return 1
}

doctor_finds() { # USER TEXT: as something that is wrong
  local said
  said=$(doctor_of "$1" --json)
  [ $? = 1 ] && grep --quiet --fixed-strings --regexp "$2" <<<"$said" && return
  printf '%s\n' "$said"
  return 1
}

# The same for the timer of the whole machine's systemd and that of a user: each scenario says which one it is about.
about_timer() { # system|user USER
  if [ "$1" = system ]; then
    manager=(systemctl) unit=session-sweep@$2 dropins=/run/systemd/system said_by=_SYSTEMD_UNIT
  else
    manager=(as "$2" systemctl --user) unit=session-sweep dropins=/run/user/$(id -u "$2")/systemd/user
    said_by=_SYSTEMD_USER_UNIT
  fi
}

fire_often() { # every three seconds; what says so goes with /run
  mkdir -p "$dropins/$unit.timer.d"
  printf '%s\n' '[Timer]' OnCalendar= 'OnCalendar=*:*:0/3' RandomizedDelaySec=0 AccuracySec=1us \
    >"$dropins/$unit.timer.d/often.conf"
  "${manager[@]}" daemon-reload
  "${manager[@]}" restart "$unit.timer"
}

fire_as_before() {
  rm -r "$dropins/$unit.timer.d"
  "${manager[@]}" daemon-reload
  "${manager[@]}" restart "$unit.timer"
}

last_status_is() { # NUMBER
  [ "$("${manager[@]}" show --property=ExecMainStatus --value "$unit.service")" = "$1" ]
}

journal_says() { # TEXT
  journalctl --sync
  # Of a process that has ended before it is looked at journald knows the name alone, not the unit.
  journalctl --quiet --output=cat "$said_by=$unit.service" + SYSLOG_IDENTIFIER=session-sweep | grep --fixed-strings --regexp "$1"
}

check_timer() { # USER FOLDER: it fires, prunes her map, tells it, gives way to another run and goes on
  local lock
  fire_often
  check 'the timer prunes' within 30 is_pruned "$2"
  check 'the journal shows the summary' within 30 journal_says \
    '4 checked: 1 active, 1 idle, 2 in use, 0 missing, 0 unknown; 1 pruned'
  set_for "$1" map.wait 1s
  exec {lock}>>"$2/session_map.lock"
  flock "$lock"
  write_map "$1" "$2"
  check 'while the lock is held a run ends with 3' within 30 last_status_is 3
  exec {lock}>&-
  check 'the next one prunes' within 30 is_pruned "$2"
  fire_as_before
}
