#!/usr/bin/env bash
# The queues of an agent host, swept by a timer of the machine's systemd in the sandbox of its unit. The container runtime
# is a stand-in that runs no container: like docker's client it needs a socket in /run and a group.
# shellcheck source=tests/booted/library.sh
source "${0%/*}/../library.sh"

root=/srv/agents

files_of_root() { # NAME: every file with its content
  find "$root" -type f -exec sha256sum {} + | sort >"/run/$1"
}

queue_has() { # MEMBER...: of the session, in what status says
  local said member
  said=$(as alice target/release/session-sweep queues status --json) || return
  for member in "$@"; do
    grep --quiet --fixed-strings --regexp "$member" <<<"$said" || { printf 'no %s: %s\n' "$member" "$said" && return 1; }
  done
}

install_dropin() {
  install_with root --system --systemd --run-as alice >/dev/null
}

cat >/usr/local/bin/docker <<'DOCKER'
#!/bin/sh
id -nG | grep -qw docker || { echo 'permission denied' >&2; exit 1; }
[ "$1" = ps ] && exec busctl list >/dev/null
DOCKER
cat >/usr/local/bin/wake <<'WAKE'
#!/bin/sh
echo "$*" >/srv/bridge/woken
echo "$*" >/var/tmp/woken
WAKE
chmod 755 /usr/local/bin/docker /usr/local/bin/wake

add_user alice
groupadd docker
usermod --append --groups docker alice
cp -r tests/fixtures/queues/installation "$root"
chown -R alice: "$root"
write_map alice /srv/bridge
install_with root --system --systemd --run-as alice --dir /srv/bridge >/dev/null
as alice tee --append /home/alice/.config/session-sweep/config.toml >/dev/null <<CONFIG

[[queues]]
root = "$root"
wake.command = ["/usr/local/bin/wake"]
CONFIG
check 'a claim is stuck and an answer not taken over' queue_has '"pending":2' '"claimed":1' '"stuck":1' '"names":["docker"]'
files_of_root before

about_timer system alice
fire_often
check 'where install.sh was not run again a sweep ends with 4' within 30 last_status_is 4
fire_as_before
check 'and says what it may not write' journal_says 'inbound.db cannot be used'
check 'and wakes nobody for it' not test -e /srv/bridge/woken
files_of_root refused
check 'and leaves all of it as it is' same before refused
check 'while the map was pruned' is_pruned /srv/bridge
check 'doctor names the folder' doctor_finds alice "session-sweep@alice.service cannot write $root/data/v2-sessions"

install_dropin
check 'install.sh makes the sessions writable' has_lines /etc/systemd/system/session-sweep@alice.service.d/10-install.conf \
  "ReadWritePaths=\"-$root/data/v2-sessions\""
check 'systemd finds nothing wrong with it' is_clean root session-sweep@alice.service
fire_often
check 'the timer takes the answer over and puts the message back' within 30 queue_has '"pending":1' '"claimed":0' '"stuck":0'
check 'the journal tells it' within 30 journal_says '1 message acknowledged, 1 message retried, 1 claim cleared'
check 'the session is woken' within 30 grep --line-regexp 'sess-1 ag-1' /srv/bridge/woken
check 'in the same sandbox' not test -e /var/tmp/woken
fire_as_before
check 'the central database is as it was' sha256sum --check --quiet <(grep v2.db /run/before)
check 'nothing is left beside the databases' diff <(find "$root" -type f | sort) <(cut -c 67- /run/before | sort)
