#!/usr/bin/env bash
# Cron for two users, in alice's crontab and in the machine's file for bob; then both change to systemd.
# shellcheck source=tests/booted/library.sh
source "${0%/*}/../library.sh"

install_both() { # CRON-FIELDS
  install_with alice --user --cron --every "$1" && install_with root --system --run-as bob --dir /srv/bridge --cron --every "$1"
}

crontab_is_hers() {
  [ "$(crontab -l -u alice)" = '0 0 1 1 * true # hers' ]
}

mails_only_errors() { # USER COMMAND: what a run prints, cron mails
  local config
  config=$(getent passwd "$1" | cut -d : -f 6)/.config/session-sweep/config.toml
  check "nothing is mailed to $1 after a run" test -z "$(as "$1" sh -c "$2" 2>&1)"
  ! test -e "$config" || cp -a "$config" /run/config
  as "$1" mkdir -p "${config%/*}"
  as "$1" tee "$config" <<<'[map' >/dev/null
  check "but what is wrong is, to $1" test -n "$(as "$1" sh -c "$2" 2>&1)"
  as "$1" rm "$config"
  if test -e /run/config; then mv /run/config "$config"; fi
}

add_user alice
add_user bob
log_in alice
crontab -u alice - <<<'0 0 1 1 * true # hers'
list_files before

check 'install in a crontab and for the machine' install_both '0 0 1 1 *'
list_files installed '%i %T@'
check 'install again' install_both '0 0 1 1 *'
list_files again '%i %T@'
check 'the second time changes nothing' same installed again

check 'change how often it runs' install_both '* * * * *'
write_map alice /tmp/claude_sessions
write_map bob /srv/bridge
check 'cron prunes from the crontab' within 90 is_pruned /tmp/claude_sessions
check 'cron prunes from the file of the machine' within 90 is_pruned /srv/bridge
check 'status and doctor know of the crontab' within 30 is_well alice cron
check 'status and doctor know of the file of the machine' within 30 is_well bob cron
systemctl stop cron
check 'doctor says that no cron runs' doctor_finds alice 'no cron runs on this machine'
systemctl start cron

mails_only_errors alice "$(crontab -l -u alice | sed -n 's/^\* \* \* \* \* .*session-sweep/&/p' | cut -d ' ' -f 6-)"
mails_only_errors bob "$(sed -n 's/^\* \* \* \* \* bob //p' /etc/cron.d/session-sweep)"
check 'five fields are five fields' not install_with alice --user --cron --every '5 1* * * *'

check 'change the crontab to systemd' install_with alice --user --systemd --every yearly
check 'the crontab has no line of it any more' crontab_is_hers
check 'the timer waits' as alice systemctl --user is-active session-sweep.timer
check 'change the machine to systemd' install_with root --system --systemd --run-as bob --every yearly
check 'its file for cron is gone' test ! -e /etc/cron.d/session-sweep
check 'its timer waits' systemctl is-active session-sweep@bob.timer
about_timer system bob
write_map bob /srv/bridge
fire_often
check 'and prunes the same map' within 30 is_pruned /srv/bridge
fire_as_before

check 'uninstall from the crontab' uninstall_with alice --user --purge
check 'uninstall from the machine' uninstall_with root --system --purge
check 'the crontab holds what it held before' crontab_is_hers
check 'the maps stay' leaves_only_the_map /tmp/claude_sessions
rm -r /tmp/claude_sessions /srv/bridge
list_files after
check 'nothing else is left' same before after
