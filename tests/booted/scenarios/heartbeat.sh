#!/usr/bin/env bash
# Beats for a number of the registry by a user's own systemd, from the installation until nothing is left.
# shellcheck source=tests/booted/library.sh
source "${0%/*}/../library.sh"

template=/home/alice/.config/systemd/user/session-sweep-heartbeat@.service
instance=session-sweep-heartbeat@5.service
base=/home/alice/.local/state/session-sweep/registry

manager() {
  as alice systemctl --user "$@"
}

registry() { # COMMAND...
  as alice target/release/session-sweep registry "$@"
}

drop_in() { # UNIT LINE...: goes with /run
  local folder
  folder=/run/user/$(id -u alice)/systemd/user/$1.d
  mkdir -p "$folder"
  printf '%s\n' "${@:2}" >"$folder/drop-in.conf"
  manager daemon-reload
}

beats() {
  find "$base/heartbeats" -name '*-session-5.json' | wc -l
}

more_than() { # NUMBER: of beats there are
  [ "$(beats)" -gt "$1" ]
}

shows() { # UNIT PROPERTY=VALUE...
  local properties=("${@:2}")
  properties=("${properties[@]%%=*}")
  diff <(manager show "$1" "${properties[@]/#/--property=}" | sort) <(printf '%s\n' "${@:2}" | sort)
}

beats_again() {
  local before
  before=$(beats)
  within 10 more_than "$before"
}

restarts_after_kill() {
  manager kill --signal=KILL "$instance"
  within 10 shows "$instance" NRestarts=1 ActiveState=active && beats_again
}

says() { # TEXT COMMAND...
  local said
  said=$("${@:2}" 2>&1)
  grep --quiet --fixed-strings --regexp "$1" <<<"$said" && return
  printf '%s\n' "$said"
  return 1
}

undone() { # an uninstall that fails at the timer, after the beats are gone
  local said
  drop_in session-sweep.timer '[Unit]' RefuseManualStop=yes
  said=$(uninstall_with alice --user 2>&1)
  drop_in session-sweep.timer
  [[ $said == *"disable --now $instance"*"remove     $template"*'everything is as it was before'* ]] && return
  printf '%s\n' "$said"
  return 1
}

add_user alice
log_in alice
list_files before

check 'install' install_with alice --user --systemd --every yearly
check 'no beats are enabled by that' not grep heartbeat <<<"$(find /home/alice/.config -name '*.wants' -exec ls {} +)"
check 'systemd finds nothing wrong with the template' is_clean alice --user "$template"
check 'it is restricted' has_lines "$template" NoNewPrivileges=yes RestrictSUIDSGID=yes MemoryDenyWriteExecute=yes \
  SystemCallFilter=@system-service

check 'a number is registered' registry register 5 'looks after the mail' 'an empty inbox'
# Often enough to wait for, and again at once after a failure.
drop_in session-sweep-heartbeat@.service '[Service]' RestartSec=100ms ExecStart= \
  'ExecStart=%h/.local/bin/session-sweep registry heartbeat --every 1s --number %i'
check 'its beats can be enabled' manager enable --now "$instance"
check 'they appear' beats_again
check 'the session is active' says '"verdict":"active"' registry list --json
check 'one for a number that is not registered' manager start session-sweep-heartbeat@77.service
check '  fails, and is not tried for ever' within 10 shows session-sweep-heartbeat@77.service ActiveState=failed ExecMainStatus=1
check 'killed, it beats again' restarts_after_kill
check 'stopped, it ends' manager stop "$instance"
check '  with success' shows "$instance" ActiveState=inactive Result=success ExecMainCode=1 ExecMainStatus=0
check 'it starts again' manager start "$instance"
check 'released, it ends' registry release 5
check '  with success, and stays so' within 10 shows "$instance" ActiveState=inactive Result=success ExecMainStatus=0
check '  and the session stays inactive' says '"status":"inactive"' registry list --all --json
check 'started for a session that is inactive, it makes it active' manager start "$instance"
check '  with a beat' beats_again

check 'an uninstall that fails' undone
check 'leaves it running' within 10 shows "$instance" ActiveState=active UnitFileState=enabled
check '  with beats' beats_again
check 'uninstall' uninstall_with alice --user --purge
check 'no process is left' not pgrep --full 'registry heartbeat'
check 'systemd knows of none' not grep heartbeat <<<"$(manager list-units --all --plain --no-legend 'session-sweep*')"
list_files after
check 'nothing is left' same before after

install_with alice --user --systemd --every yearly >/dev/null
manager enable --quiet "$instance"
systemctl stop "user@$(id -u alice).service"
check 'uninstall where her systemd does not run' uninstall_with alice --user --purge
list_files after
check 'nothing is left there either' same before after
