#!/usr/bin/env bash
# The timer of a user's own systemd, from the installation until nothing is left.
# shellcheck source=tests/booted/library.sh
source "${0%/*}/../library.sh"

add_user alice
log_in alice
about_timer user alice
list_files before

check 'install' install_with alice --user --systemd
check 'the timer does not need a login' test -e /var/lib/systemd/linger/alice
list_files installed '%i %T@'
check 'install again' install_with alice --user --systemd
list_files again '%i %T@'
check 'the second time changes nothing' same installed again

write_map alice /tmp/claude_sessions
fire_often
check 'the timer prunes' within 10 is_pruned /tmp/claude_sessions
check 'the journal shows the summary' within 5 journal_says \
  '4 checked: 1 active, 1 idle, 2 in use, 0 missing, 0 unknown; 1 pruned'

set_for alice map.wait 1s
exec {lock}>>/tmp/claude_sessions/session_map.lock
flock "$lock"
write_map alice /tmp/claude_sessions
check 'while the lock is held a run ends with 3' within 10 last_status_is 3
exec {lock}>&-
check 'the next one prunes' within 10 is_pruned /tmp/claude_sessions
fire_as_before

check 'uninstall' uninstall_with alice --user --purge
check 'the map stays' leaves_only_the_map /tmp/claude_sessions
rm -r /tmp/claude_sessions
list_files after
check 'nothing else is left' same before after
