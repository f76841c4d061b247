#!/usr/bin/env bash
# One schedule for each user: root takes over the one of the user, who cannot make another beside it; and none is made
# beside what somebody else set up.
# shellcheck source=tests/booted/library.sh
source "${0%/*}/../library.sh"

refuses() { # TEXT COMMAND...: it fails, says this and changes nothing
  local said
  list_files untouched '%i %T@'
  said=$("${@:2}" 2>&1) && { printf 'succeeded: %s\n' "$said" && return 1; }
  grep --fixed-strings --regexp "$1" <<<"$said" || { printf '%s\n' "$said" && return 1; }
  list_files touched '%i %T@'
  same untouched touched
}

for_root=(root --system --systemd --run-as alice --every yearly)
for_her=(alice --user --systemd --every yearly)

add_user alice
log_in alice
list_files before

crontab -u alice - <<<"5 * * * * \$HOME/.cargo/bin/session-sweep sweep --quiet --started-by cron"
check 'her own line for cron is not joined by a timer of root' refuses '.cargo/bin/session-sweep sweep' install_with "${for_root[@]}"
check 'nor by one of hers' refuses 'the crontab of alice runs it for alice already' install_with "${for_her[@]}"
check 'but she may install the program alone' install_with alice --user --no-schedule
check 'and remove it' uninstall_with alice --user --purge
crontab -r -u alice
for line in '@hourly alice session-sweep sweep' '5 * * * * alice session-sweep prune'; do
  echo "$line" >/etc/cron.d/hand
  check "a line in /etc/cron.d is not joined: $line" refuses "/etc/cron.d/hand runs it for alice already" install_with "${for_root[@]}"
done
rm /etc/cron.d/hand
mkdir -p /etc/systemd/user/timers.target.wants
ln -s /usr/lib/systemd/user/session-sweep.timer /etc/systemd/user/timers.target.wants/
check 'nor is a timer of all users' refuses 'systemctl --global disable' install_with "${for_root[@]}"
rm /etc/systemd/user/timers.target.wants/session-sweep.timer
rmdir --ignore-fail-on-non-empty /etc/systemd/user/timers.target.wants

check 'a number is no user' refuses "there is no user '$(id -u alice)'" install_with root --system --run-as "$(id -u alice)" --systemd
check 'an uninstall for nobody fails' refuses "there is no user 'alcie'" uninstall_with root --run-as alcie

printf '#!/bin/sh\necho hers\n' >/usr/local/bin/session-sweep
check 'the program of somebody else is not replaced' refuses 'is there already and not from this script' \
  install_with "${for_root[@]}"
rm /usr/local/bin/session-sweep
mkdir -p /usr/local/share/man/man1
target/release/session-sweep man --out /usr/local/share/man/man1 >/dev/null
list_files with_pages
check 'beside manual pages of somebody else' install_with root --system --no-schedule --run-as alice
check 'uninstall' uninstall_with root --system --purge
list_files with_pages_after
check 'these stay' same with_pages with_pages_after
rm -r /usr/local/share/man/man1/session-sweep*
rmdir --ignore-fail-on-non-empty /usr/local/share/man/man1

check 'she installs a timer' install_with "${for_her[@]}"
check 'root takes over' install_with "${for_root[@]}"
check 'hers is gone' not as alice systemctl --user is-enabled session-sweep.timer
check 'with its files' not test -e /home/alice/.config/systemd/user/session-sweep.timer
check 'but not the template for beats, which her program still serves' test -e \
  /home/alice/.config/systemd/user/session-sweep-heartbeat@.service
check 'that of root waits' systemctl is-active session-sweep@alice.timer
check 'she cannot make another' refuses 'root has scheduled it for alice already' install_with "${for_her[@]}"
check 'she uninstalls her program' uninstall_with alice --user --purge
check 'that of root still waits' systemctl is-active session-sweep@alice.timer
check 'root uninstalls' uninstall_with root --system --purge
list_files after
check 'nothing is left' same before after
