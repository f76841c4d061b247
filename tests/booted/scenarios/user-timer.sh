#!/usr/bin/env bash
# The timer of a user's own systemd, from the installation until nothing is left.
# shellcheck source=tests/booted/library.sh
source "${0%/*}/../library.sh"

add_user alice
log_in alice
about_timer user alice
list_files before

check 'install' install_with alice --user --systemd --every yearly
check 'the timer does not need a login' test -e /var/lib/systemd/linger/alice
list_files installed '%i %T@'
check 'install again' install_with alice --user --systemd
list_files again '%i %T@'
check 'the second time changes nothing' same installed again

check 'it makes up for what it missed, and not all at once' has_lines /home/alice/.config/systemd/user/session-sweep.timer \
  OnCalendar=yearly Persistent=true 'RandomizedDelaySec=2min'
check 'the unit is restricted' has_lines /home/alice/.config/systemd/user/session-sweep.service NoNewPrivileges=yes \
  RestrictSUIDSGID=yes MemoryDenyWriteExecute=yes SystemCallFilter=@system-service

write_map alice /tmp/claude_sessions
check_timer alice /tmp/claude_sessions
check 'status and doctor know of it' is_well alice 'systemd user'

check 'uninstall' uninstall_with alice --user --purge
check 'the map stays' leaves_only_the_map /tmp/claude_sessions
rm -r /tmp/claude_sessions
list_files after
check 'nothing else is left' same before after
