#!/usr/bin/env bash
# Ends what a closed login left behind, and nothing that a service, a container, a window or an open login has.
# shellcheck source=tests/booted/library.sh
source "${0%/*}/../library.sh"

export SESSION_SWEEP_PROCESSES_MIN_AGE=1s

processes() { # COMMAND...
  as alice target/release/session-sweep processes "$@"
}

manager() {
  as alice systemctl --user "$@"
}

pid_of() { # NAME: of what was left under that name
  cat "/home/alice/$1.pid"
}

runs() { # NAME
  [ "$(readlink "/proc/$(pid_of "$1")/exe")" = /home/alice/bin/claude ]
}

is_adopted_by() { # NAME PID
  [ "$(cut -d ' ' -f 4 "/proc/$(pid_of "$1")/stat")" = "$2" ]
}

login_of() { # NAME: the session whose scope it is in
  sed -n 's/.*\/session-\(.*\)\.scope$/\1/p' "/proc/$(pid_of "$1")/cgroup" | tail -n 1
}

login_is() { # NAME STATE
  grep --quiet --line-regexp "STATE=$2" "/run/systemd/sessions/$(login_of "$1")"
}

runs_as() { # UNIT PROGRAM: never started anew
  diff <(manager show --property=NRestarts --property=ActiveState "$1") <(printf '%s\n' NRestarts=0 ActiveState=active) &&
    [ "$(readlink "/proc/$(manager show --property=MainPID --value "$1")/exe")" = "$2" ]
}

ends_with() { # STATUS COMMAND...
  local status
  "${@:2}"
  status=$?
  [ "$status" = "$1" ] || { printf 'status %d\n' "$status" && return 1; }
}

end_login() { # NAME: by its first process
  kill "$(sed -n s/^LEADER=//p "/run/systemd/sessions/$(login_of "$1")")" && within 10 login_is "$1" closing
}

is_said_to_be() { # NAME VERDICT: by a scan
  local said
  said=$(processes scan)
  grep --quiet --extended-regexp "^$2 +$(pid_of "$1") " <<<"$said" && return
  printf '%s\n' "$said"
  return 1
}

useradd --create-home --shell /bin/bash alice
log_in alice
systemd=$(systemctl show --property=MainPID --value "user@$(id -u alice).service")

# What looks like Claude Code, and like a server that it starts.
install --directory --owner=alice --group=alice /home/alice/bin
install /usr/bin/sleep /home/alice/bin/claude
install /usr/bin/bash /home/alice/bin/node
echo 'sleep infinity; :' >/home/alice/bin/mcp-server.js
cat >/home/alice/bin/leave <<'END'
#!/bin/bash
# Leaves a process behind, without a terminal: its number goes into the file NAME.pid.
setsid /home/alice/bin/claude infinity </dev/null >/dev/null 2>&1 &
echo $! >"/home/alice/$1.pid"
END
chmod 755 /home/alice/bin/leave

# A login below her systemd: systemd-logind makes no session of what is in somebody's slice already.
cat /proc/self/cgroup >/run/outside
cat >/run/log-in <<'END'
#!/bin/bash
while IFS=: read -r _ name path; do
  case $name in
    '') hierarchies=('' unified) ;;
    name=systemd) hierarchies=(systemd) ;;
    *) continue ;;
  esac
  for hierarchy in "${hierarchies[@]}"; do
    procs=/sys/fs/cgroup/$hierarchy/$path/cgroup.procs
    if [ -e "$procs" ]; then echo $$ >"$procs"; fi
  done
done </run/outside
exec su --login alice --command "$1"
END
chmod 755 /run/log-in
echo 'alice ALL=(root) NOPASSWD: /run/log-in' >/etc/sudoers.d/alice

as alice systemd-run --quiet --user --wait sudo /run/log-in '/home/alice/bin/leave closed'
as alice systemd-run --quiet --user --unit=open sudo /run/log-in '/home/alice/bin/leave open; sleep infinity'
as alice systemd-run --quiet --user --unit=claude /home/alice/bin/claude infinity
as alice systemd-run --quiet --user --unit=node /home/alice/bin/node /home/alice/bin/mcp-server.js
as alice systemd-run --quiet --user --unit=forking --property=Type=forking /home/alice/bin/leave service
as alice systemd-run --quiet --user --scope --unit=window bash -c '/home/alice/bin/leave window; sleep infinity' &
docker=docker-$(printf '%064d' 1).scope
systemd-run --quiet --scope --slice=machine.slice --unit="$docker" --uid=alice /home/alice/bin/leave container
for name in open service window container; do within 10 runs $name; done

check 'what a closed login left is adopted by her systemd' is_adopted_by closed "$systemd"
check '  the login is closing' within 10 login_is closed closing
check 'what was left in an open login is adopted, too' is_adopted_by open "$systemd"
check '  the login is active' login_is open active

check 'a scan finds something' within 10 ends_with 1 processes scan
check '  the first is left over' is_said_to_be closed orphaned
check '  the second may not be' within 10 is_said_to_be open unknown
check 'a dry run ends nothing' processes clean --dry-run
check '  it runs' runs closed
check 'a cleanup' processes clean --auto
check '  ends what the closed login left' not runs closed
check 'a service of hers named claude stays' runs_as claude.service /home/alice/bin/claude
check 'one named node, with a server for its argument' runs_as node.service /home/alice/bin/node
check 'what a service left within itself' runs service
check 'what is in a window that is open' runs window
check 'what is in a container' runs container
check 'what is in an open login' runs open
check 'another scan finds nothing' ends_with 0 processes scan

check 'the open login ends' end_login open
check '  what it left is left over' within 10 ends_with 1 processes scan
check '  a cleanup' processes clean --auto
check '  ends it' not runs open
check 'all others stay' runs_as claude.service /home/alice/bin/claude
for name in service window container; do check "  $name" runs $name; done
