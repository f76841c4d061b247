#!/usr/bin/env bash
# The Debian package installs, works and goes again; its timers are known, and nothing is enabled by installing it.
# shellcheck source=tests/booted/library.sh
source "${0%/*}/../library.sh"

package=$(echo target/debian/session-sweep_*.deb)
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
systemd=/usr/lib/systemd

nothing_enabled() {
  not grep session-sweep <<<"$(find /etc/systemd)"
}

add_user alice
add_user bob
log_in alice
list_files before
check 'the package installs' dpkg --install "$package"
check 'dpkg finds nothing wrong with it' test -z "$(dpkg --verify session-sweep; dpkg --audit)"
check 'the program says its version' test "$(session-sweep --version)" = "session-sweep $version"
check 'the manual pages are found' man --where session-sweep session-sweep-prune
check 'systemd knows the units for the whole machine' systemctl cat session-sweep@.service session-sweep@.timer
check 'and those for one user' as alice systemctl --user cat session-sweep.service session-sweep.timer \
  session-sweep-heartbeat@5.service
check 'the units are clean' is_clean root "$systemd/system/session-sweep@.service" "$systemd/system/session-sweep@.timer"
check 'the units of the daemon as well' is_clean root "$systemd/system/session-sweep-daemon.service"
check '  those of a user, too' test -f "$systemd/user/session-sweep-daemon.service"
check 'those of a user as well' is_clean alice --user "$systemd/user/session-sweep.service" "$systemd/user/session-sweep.timer" \
  "$systemd/user/session-sweep-heartbeat@.service"
check 'the one for beats starts the program of the package' has_lines "$systemd/user/session-sweep-heartbeat@.service" \
  'ExecStart=/usr/bin/session-sweep registry heartbeat --every 30m --number %i'
check 'nothing is enabled' nothing_enabled
check 'the package installs over itself' dpkg --install "$package"
check 'the completions of three shells are there' ls /usr/share/bash-completion/completions/session-sweep \
  /usr/share/zsh/vendor-completions/_session-sweep /usr/share/fish/vendor_completions.d/session-sweep.fish

write_map alice /tmp/claude_sessions
check 'a user can start it' as alice systemctl --user start session-sweep.service
check 'and it prunes' is_pruned /tmp/claude_sessions
write_map alice /tmp/claude_sessions
check 'a timer for a user can be enabled' systemctl enable --now session-sweep@alice.timer
check 'its service can run' systemctl start session-sweep@alice.service
check 'and prunes' is_pruned /tmp/claude_sessions

check 'install.sh knows that it was enabled without it' ./install.sh --dry-run --binary target/release/session-sweep \
  --run-as alice
install_with root --system --systemd --run-as bob --every yearly >/dev/null
check 'install.sh makes a timer beside it' systemctl is-active session-sweep@bob.timer
check 'the package is removed' dpkg --remove session-sweep
check 'the enabled timer went with it' not systemctl is-enabled session-sweep@alice.timer
check 'and is not waiting any more' not systemctl is-active --quiet session-sweep@alice.timer
check 'that of install.sh still waits' systemctl is-active session-sweep@bob.timer
check 'and is enabled' systemctl is-enabled session-sweep@bob.timer
check 'install.sh removes it' uninstall_with root --system --purge
check 'no timer is left' nothing_enabled
check 'the package is purged' dpkg --purge session-sweep
rm -r /tmp/claude_sessions /home/alice/.local/state/session-sweep
list_files after
check 'no file is left' same before after
