#!/usr/bin/env bash
# What the unit for a user of the machine may do, and what not.
# shellcheck source=tests/booted/library.sh
source "${0%/*}/../library.sh"

dropin=/run/systemd/system/session-sweep@alice.service.d/other-program.conf

inside() { # COMMAND...: in the place of the unit's own; what it says goes to /run/said
  mkdir -p "${dropin%/*}"
  printf '[Service]\nExecStart=\nExecStart=%s\nStandardError=truncate:/run/said\n' "$*" >"$dropin"
  systemctl daemon-reload
  systemctl start session-sweep@alice.service
}

exposed_at_most() { # TENTHS
  systemd-analyze security --no-pager --threshold="$1" session-sweep@alice.service
}

connecting_says() { # TEXT
  inside /bin/bash -c "'exec 3<>/dev/tcp/127.0.0.1/9'"
  grep --fixed-strings --regexp "$1" /run/said
}

crafted() { # SETTING...: refused, and nothing of it is in a unit
  as alice mkdir -p /home/alice/.config/session-sweep
  as alice tee /home/alice/.config/session-sweep/config.toml >/dev/null <<<"$(printf '%s\n' "$@")"
  not install_with root --system --systemd --run-as alice &>/run/refused || return
  grep 'control character' /run/refused || { cat /run/refused && return 1; }
  not grep -rs ExecStartPre /etc/systemd/system
}

write_registry() { # FOLDER: with a session that was last seen long ago
  install --directory --owner=alice --group=alice "$1" "$1/heartbeats"
  as alice tee "$1/claude_sessions.json" >/dev/null <<'REGISTRY'
{"5": {"session_id": "session-5", "number": 5, "role": "", "goal": "", "status": "active", "registered_at": "2025-11-16T23:22:40Z"}}
REGISTRY
}

is_cleaned_up() { # FOLDER
  grep '"status": "inactive".*"marked_inactive_at"' "$1/claude_sessions.json" || { cat "$1/claude_sessions.json" && return 1; }
}

add_user alice
more_lines='/tmp/x\"\nUser=root\nExecStartPre=+/bin/touch /pwned\nReadWritePaths=\"/tmp'
check 'a map.dir with more lines for the unit is refused' crafted "map.dir = \"$more_lines\""
check 'a registry.base as well' crafted "registry.base = \"$more_lines\"" 'registry.enabled = true'
check 'the root of a [[queues]] as well' crafted '[[queues]]' "root = \"$more_lines\""
rm -r /home/alice/.config/session-sweep
write_map alice /srv/bridge
install_with root --system --systemd --run-as alice --dir /srv/bridge >/dev/null
check 'systemd finds nothing wrong with the unit and the timer' is_clean root session-sweep@alice.service session-sweep@alice.timer
check 'exposure of at most 2.0' exposed_at_most 20
check 'no network' connecting_says 'Address family not supported'
check 'the home is read-only' not inside /bin/touch /home/alice/new
check 'so is the rest' not inside /bin/touch /var/tmp/new
check 'but the folder of the map' inside /bin/touch /srv/bridge/new

write_registry /srv/registry
set_for alice registry.base /srv/registry
check 'not the folder of a registry that is not enabled' not inside /bin/touch /srv/registry/new
set_for alice registry.enabled true
install_with root --system --systemd --run-as alice >/dev/null
check 'but of one that is' inside /bin/touch /srv/registry/new
record=/home/alice/.claude/sessions/0a0a0a0a-1111-4222-8333-444444444444
mkdir "$record"
printf '{"session_id": "%s", "pid": 1, "hostname": "h", "start_time": "2026-01-01T00:00:00Z", "status": "completed",
  "end_time": "2026-01-01T01:00:00Z"}\n' "${record##*/}" >"$record/metadata.json"
chown -R alice: "$record"
check 'nor the records of processes that are not swept' not inside /bin/touch "$record/new"
set_for alice processes.enabled true
set_for alice processes.mode auto
set_for alice processes.dry_run false
install_with root --system --systemd --run-as alice >/dev/null
check 'but those of such that are' inside /bin/touch /home/alice/.claude/sessions/new
as alice mkdir -p /home/alice/.claude/debug
as alice touch --date='9 days ago' /home/alice/.claude/debug/old.txt
check 'nor a home whose artifacts are not pruned' not inside /bin/touch /home/alice/.claude/debug/new
set_for alice artifacts.enabled true
install_with root --system --systemd --run-as alice >/dev/null
check 'but one whose artifacts are' inside /bin/touch /home/alice/.claude/debug/new
rm "$dropin"
about_timer system alice
fire_often
check 'the timer cleans it up' within 30 is_cleaned_up /srv/registry
check 'and removes the record of a session that is long over' within 30 not test -e "$record"
check 'and a debug log that is past its retention' within 30 not test -e /home/alice/.claude/debug/old.txt
fire_as_before

install_with root --system --systemd --run-as alice --bridge-url http://127.0.0.1:8000 >/dev/null
check 'with a bridge as well exposure of at most 2.0' exposed_at_most 20
check 'and the bridge can be reached' connecting_says 'Connection refused'
