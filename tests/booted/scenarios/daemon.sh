#!/usr/bin/env bash
# The daemon under a real systemd: ready, watched, reloaded, in its sandbox, beside a timer, and by a user's own systemd.
# shellcheck source=tests/booted/library.sh
source "${0%/*}/../library.sh"

daemon=session-sweep-daemon.service
state=/home/alice/.local/state/session-sweep

drop_in() { # LINE...
  mkdir -p "/run/systemd/system/$daemon.d"
  printf '%s\n' '[Service]' "$@" >"/run/systemd/system/$daemon.d/drop-in.conf"
  systemctl daemon-reload
}

property() { # NAME
  systemctl show --property="$1" --value "$daemon"
}

shows() { # NAME=VALUE...
  local each
  for each in "$@"; do
    [ "$(property "${each%%=*}")" = "${each#*=}" ] || { systemctl show "$daemon" | grep "^${each%%=*}=" && return 1; }
  done
}

says() { # TEXT OPTION...: in the journal
  journalctl --sync
  journalctl --quiet --output=cat --unit="$daemon" "${@:2}" | grep --fixed-strings --regexp "$1"
}

is_other_than() { # VALUE PROPERTY
  [ "$(property "$2")" != "$1" ]
}

pings() { # TIMES: signs of life
  local times
  for ((times = 0; times < $1; times++)); do
    within 10 is_other_than "$(property WatchdogTimestampMonotonic)" WatchdogTimestampMonotonic || return
  done
}

status_tells() { # PATTERN
  grep --regexp "$1" <<<"$(property StatusText)"
}

run_now() {
  systemctl kill --kill-who=main --signal=USR1 "$daemon"
}

refuses_to_start() {
  not systemctl start "$daemon" && shows ExecMainStatus=2 NRestarts=0
}

is_replaced() { # PID: by another process, which is ready
  within 30 is_other_than "$1" MainPID && within 30 shows ActiveState=active SubState=running
}

is_metrics() { # FILE
  grep 'session_sweep_ticks_total{area="map",outcome="done",state_folder="/home/alice/' "$1" && [ "$(tail -n 1 "$1")" = '# EOF' ] &&
    [ "$(stat --format=%a "$1")" = 644 ]
}

doctor_warns_of_both() {
  local said
  said=$(doctor_of alice --json)
  grep --quiet "the daemon (process $(property MainPID)) runs, and so does session-sweep@alice.timer" <<<"$said" && return
  printf '%s\n' "$said"
  return 1
}

add_user alice
install target/release/session-sweep /usr/bin/session-sweep
install --mode=644 "packaging/systemd/$daemon" /etc/systemd/system/
as alice mkdir -p "$state"
install --directory --owner=alice --group=alice /srv/metrics
write_map alice /srv/bridge
set_for alice map.dir /srv/bridge
set_for alice map.wait 1s
set_for alice daemon.metrics_file /srv/metrics/session-sweep.prom
set_for alice artifacts.enabled true
as alice mkdir -p /home/alice/.claude/debug
as alice touch --date='9 days ago' /home/alice/.claude/debug/old.txt
systemctl daemon-reload

check 'systemd finds nothing wrong with the unit' is_clean root "$daemon"
check 'without a user it refuses to start' refuses_to_start
drop_in User=alice "ReadWritePaths=$state /srv/bridge /srv/metrics /home/alice/.claude" WatchdogSec=4s RestartSec=100ms
check 'it starts, and systemd hears READY' systemctl start "$daemon"
check '  it runs' shows ActiveState=active SubState=running NRestarts=0
check '  and prunes' within 10 is_pruned /srv/bridge
check '  also what is past its retention on the disk' within 10 not test -e /home/alice/.claude/debug/old.txt
check 'exposure of at most 2.0' systemd-analyze security --no-pager --threshold=20 "$daemon"
check 'what comes next is its status' status_tells '^next: map at 2.*; last: artifacts: 1 removed'
check 'the metrics are there' within 10 is_metrics /srv/metrics/session-sweep.prom
check 'signs of life come' pings 5
check '  so it is not started anew' shows NRestarts=0

before=$(property MainPID)
kill -STOP "$before"
check 'one that is stopped is started anew by the watchdog' is_replaced "$before"
check '  once' shows NRestarts=1
check '  for that reason' says 'Watchdog timeout'

before=$(property MainPID)
cp /home/alice/.config/session-sweep/config.toml /run/right.toml
printf '[map]\nidel = "1s"\n' >>/home/alice/.config/session-sweep/config.toml
check 'a configuration that is wrong is read' systemctl reload "$daemon"
check '  and refused, as an error' within 10 says 'the one before counts' --priority=err
check '  with the place' says '/home/alice/.config/session-sweep/config.toml:' --priority=err
check '  the daemon goes on' shows "MainPID=$before" ActiveState=active NRestarts=1
write_map alice /srv/bridge
run_now
check '  by the configuration before' within 10 is_pruned /srv/bridge
cp /run/right.toml /home/alice/.config/session-sweep/config.toml

install_with root --system --systemd --run-as alice --dir /srv/bridge --every yearly >/dev/null
# It is started again and again here, more often than systemd lets it be without this.
mkdir -p /run/systemd/system/session-sweep@alice.service.d
printf '[Unit]\nStartLimitIntervalSec=0\n' >/run/systemd/system/session-sweep@alice.service.d/unlimited.conf
systemctl daemon-reload
about_timer system alice
set_for alice map.post_prune 'sleep 6'
check 'one that is right counts' systemctl reload "$daemon"
within 10 says 'the configuration was read again' >/dev/null
write_map alice /srv/bridge
run_now
check 'while a tick runs' within 10 is_pruned /srv/bridge
check '  the run of a timer' not systemctl start session-sweep@alice.service
check '  ends with 3' last_status_is 3
check '  and names the daemon' journal_says "sweep.lock is locked by pid $(property MainPID) (session-sweep daemon"
check '  until the tick is over' within 20 systemctl start session-sweep@alice.service
write_map alice /srv/bridge
systemctl start --no-block session-sweep@alice.service
check 'while the run of a timer goes on' within 10 is_pruned /srv/bridge
run_now
check '  a tick is put off' within 10 says 'map: put off: '
check '  and comes when it is over' within 40 status_tells 'last: artifacts: nothing done'
check 'the timer is told of by doctor' doctor_warns_of_both
set_for alice map.post_prune ''

check 'it ends when it is asked' systemctl stop "$daemon"
check '  with success' shows ActiveState=inactive Result=success ExecMainStatus=0
check '  and says so' says 'ended as asked'

uninstall_with root --system --run-as alice >/dev/null 2>&1
log_in alice
install --owner=alice --group=alice -D target/release/session-sweep /home/alice/.local/bin/session-sweep
install --owner=alice --group=alice --mode=644 -D "packaging/systemd/user/$daemon" "/home/alice/.config/systemd/user/$daemon"
chown -R alice: /home/alice/.config /home/alice/.local
write_map alice /srv/bridge
check 'the unit for a user is clean, too' is_clean alice --user "/home/alice/.config/systemd/user/$daemon"
check '  it starts' as alice systemctl --user start "$daemon"
check '  prunes' within 10 is_pruned /srv/bridge
check '  and ends' as alice systemctl --user stop "$daemon"
