#!/usr/bin/env bash
# A timer of the machine's systemd for each of two users, from the installation until nothing is left.
# shellcheck source=tests/booted/library.sh
source "${0%/*}/../library.sh"

for_alice=(root --system --systemd --run-as alice --dir /srv/bridge --every yearly)
for_bob=(root --system --systemd --run-as bob --every yearly)
add_user alice
add_user bob
usermod --append --groups users alice
list_files before

check 'install' install_with "${for_alice[@]}"
list_files installed '%i %T@'
check 'install again' install_with "${for_alice[@]}"
list_files again '%i %T@'
check 'the second time changes nothing' same installed again

about_timer system alice
check 'it makes up for what it missed, and not all at once' has_lines /etc/systemd/system/session-sweep@.timer \
  Persistent=true 'RandomizedDelaySec=2min'
check 'a run before there is a map succeeds' systemctl start session-sweep@alice.service
check '  with 0' last_status_is 0
write_map alice /srv/bridge
chgrp users /srv/bridge/session_map.json
as alice touch /dev/shm/other
check_timer alice /srv/bridge
check 'status and doctor know of it' is_well alice 'systemd system'
check 'the map keeps its owner and group' test "$(stat --format=%U:%G /srv/bridge/session_map.json)" = alice:users
check 'the memory that other programs share stays' test -e /dev/shm/other

write_map alice /srv/bridge
list_files alone
check 'install for a second user' install_with "${for_bob[@]}"
write_map bob /tmp/claude_sessions
about_timer system bob
fire_often
check 'his timer prunes' within 30 is_pruned /tmp/claude_sessions
check 'and leaves the first one alone' not is_pruned /srv/bridge
fire_as_before
rm -r /tmp/claude_sessions
check 'uninstall for the second user' uninstall_with root --system --run-as bob --purge
list_files alone_again
check 'which leaves what was there before him' same alone alone_again
about_timer system alice
fire_often
check 'the first one goes on' within 30 is_pruned /srv/bridge
fire_as_before

check 'uninstall' uninstall_with root --system --purge
check 'the map stays' leaves_only_the_map /srv/bridge
rm -r /srv/bridge
list_files after
check 'nothing else is left' same before after
