#!/usr/bin/env bash
# The commands of the README's section Install, word for word and one after the other, by a user who has the checkout, Rust
# and the right to call sudo, but no network. After each there is one schedule and what it starts prunes, or nothing is left.
# shellcheck source=tests/booted/library.sh
source "${0%/*}/../library.sh"

commands() {
  awk '/^## / { inside = $0 == "## Install" } /^```/ { block = inside && $0 == "```sh"; next } block' README.md
}

run_by_alice() { # COMMAND
  runuser --login alice --command "cd '$PWD' && $1"
}

# A line for each schedule: the command that starts at once what it starts later.
schedules() {
  ! as alice systemctl --user is-enabled --quiet session-sweep.timer || echo systemctl --user start session-sweep.service
  ! systemctl is-enabled --quiet session-sweep@alice.timer || echo sudo systemctl start session-sweep@alice.service
  { sed 's/ alice / /' /etc/cron.d/session-sweep; crontab -l -u alice; } | grep '^[^#].*session-sweep' | cut -d ' ' -f 6-
} 2>/dev/null

prunes_by_one_schedule() {
  local schedule
  schedule=$(schedules)
  [ "$(wc -l <<<"$schedule")" = 1 ] || { printf 'all of these: %s\n' "$schedule" && return 1; }
  write_map alice "$map"
  run_by_alice "$schedule" && is_pruned "$map"
}

run_and_keep() { # COMMAND: what it says
  run_by_alice "$1" 2>&1 | tee /run/said
}

idle_is() { # TIME
  run_by_alice "/home/alice/.local/bin/session-sweep config show" | grep -E "^map.idle += $1$"
}

leaves_nothing_but_settings() {
  [ "$map" = /tmp/claude_sessions ] || test -s /home/alice/.config/session-sweep/config.toml || return
  rm -rf /tmp/claude_sessions /home/alice/{bridge,.config/session-sweep,.local/state/session-sweep}
  list_files after
  [ -z "$(schedules)" ] && same before after
}

add_user alice
log_in alice
echo 'alice ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/alice
# Hers are the folders and what cargo writes to; the way to what cargo downloaded may lead through root's home.
find . -type d -exec chown alice {} +
find target target/release -maxdepth 1 -type f -exec chown alice {} +
chmod o+x /root
list_files before

map=/tmp/claude_sessions
mapfile -t lines < <(commands)
check 'the README has commands' test "${#lines[@]}" -ge 5
for line in "${lines[@]}"; do
  check "$line" run_and_keep "$line"
  case $line in
    *--uninstall*)
      check '  leaves nothing but settings' leaves_nothing_but_settings
      map=/tmp/claude_sessions
      ;;
    *)
      check '  ends with a dry run' grep '^The first run, ' /run/said
      case $line in *--dir*) map=/home/alice/bridge ;; esac
      case $line in *--idle*) check '  sets the idle time' idle_is 12h ;; esac
      check '  leads to one schedule, which prunes' prunes_by_one_schedule
      ;;
  esac
done
