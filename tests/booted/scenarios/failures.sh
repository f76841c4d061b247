#!/usr/bin/env bash
# A run that fails at its very end leaves everything as it was; one that is only tried, or refused, changes nothing.
# shellcheck source=tests/booted/library.sh
source "${0%/*}/../library.sh"

failing=/opt/failing
cat >"$failing" <<END
#!/bin/sh
# As built, but its dry run, the last step of an installation, fails.
case "\$*" in *sweep*--dry-run*) echo 'no dry run today' && exit 1 ;; esac
exec $PWD/target/release/session-sweep "\$@"
END
chmod 755 "$failing"

state() { # NAME: also what no file tells
  list_files "$1"
  {
    crontab -l -u alice
    as alice systemctl --user is-active session-sweep.timer
    systemctl is-active session-sweep@alice.timer
  } >>"/run/$1" 2>&1
}

fails_and_undoes() { # USER OPTION...
  local said
  state untouched
  said=$(as "$1" ./install.sh --yes --binary "$failing" --every yearly "${@:2}" 2>&1) &&
    { printf 'succeeded: %s\n' "$said" && return 1; }
  [[ $said == *'no dry run today'*'everything is as it was before'* ]] || { printf '%s\n' "$said" && return 1; }
  state touched
  same untouched touched
}

changes_nothing() { # COMMAND...
  list_files untouched '%i %T@'
  "$@" || return
  list_files touched '%i %T@'
  same untouched touched
}

answered() { # ANSWERS OPTION...: as on a terminal
  printf %b "$1" | as alice script --quiet --command "./install.sh ${*:2}" /dev/null
}

asks() { # ANSWERS TEXT: and says that then
  local said
  said=$(answered "$1" --binary target/release/session-sweep)
  grep --fixed-strings --regexp "$2" <<<"$said" || { printf '%s\n' "$said" && return 1; }
}

asks_to_uninstall() { # ANSWERS TEXT
  answered "$1" --uninstall | grep --fixed-strings --regexp "$2"
}

has_cron_alone() {
  crontab -l -u alice | grep --quiet session-sweep && not as alice systemctl --user is-active --quiet session-sweep.timer
}

add_user alice
log_in alice
mkdir -p /var/lib/systemd/timers
list_files before

check 'a timer of a user, undone' fails_and_undoes alice --user --systemd --idle 3h
check 'a crontab, undone' fails_and_undoes alice --user --cron --every '0 0 1 1 *'
check 'a timer of the machine, undone' fails_and_undoes root --system --systemd --run-as alice --idle 3h
check 'a file for cron, undone' fails_and_undoes root --system --cron --run-as alice --every '0 0 1 1 *'

check 'a dry run changes nothing' changes_nothing as alice ./install.sh --dry-run --binary target/release/session-sweep \
  --systemd --idle 3h
check 'nor does one of root' changes_nothing ./install.sh --dry-run --binary target/release/session-sweep --systemd \
  --run-as alice --idle 3h

install_with alice --user --cron --every '0 0 1 1 *' --idle 4h >/dev/null
check 'from cron to systemd, undone' fails_and_undoes alice --user --systemd --idle 3h
as alice mkdir /home/alice/dotfiles
as alice mv /home/alice/.config/session-sweep/config.toml /home/alice/dotfiles/sweep.toml
as alice ln -s /home/alice/dotfiles/sweep.toml /home/alice/.config/session-sweep/config.toml
check 'a configuration behind a link, undone' fails_and_undoes alice --user --cron --idle 3h --every '0 0 1 1 *'
check 'back to systemd' install_with alice --user --systemd --every yearly
check 'its takeover by root, undone' fails_and_undoes root --system --systemd --run-as alice --idle 3h
check 'its takeover by cron of root, undone' fails_and_undoes root --system --cron --run-as alice --every '0 0 1 1 *'
check 'an uninstall that is only tried changes nothing' changes_nothing as alice ./install.sh --uninstall --purge --dry-run
check 'the configuration stays' uninstall_with alice --user
check '  as it was' grep --quiet 4h /home/alice/dotfiles/sweep.toml
check '  and where it was' test -L /home/alice/.config/session-sweep/config.toml
check 'and goes when that is asked for' uninstall_with alice --user --purge
check '  with what is in it' not test -e /home/alice/.config/session-sweep
rm -r /home/alice/dotfiles

check 'asked, it takes no for an answer' asks '1\nn\n' 'Nothing was changed.'
check 'and no answer for no' asks '' 'no answer'
check 'it takes up no wrong one, then cron' asks '9\n2\ny\n' 'The first run, by cron'
check 'which is there alone' has_cron_alone
check 'asked before an uninstall, too' asks_to_uninstall 'n\n' 'Nothing was changed.'
check 'leaves it' has_cron_alone
check 'uninstall' uninstall_with alice --user --purge
check 'it takes a timer' asks '1\n\n' '(session-sweep.timer), would do this'
check 'uninstall that' uninstall_with alice --user --purge
check 'it takes no schedule' asks '3\ny\n' "with 'session-sweep sweep'"
check 'uninstall the program' uninstall_with alice --user --purge
list_files after
check 'nothing is left' same before after
