#!/usr/bin/env bash
# Installs session-sweep and lets systemd or cron run it; --help says how, --dry-run what it would do here.
#
# From top to bottom: options, talk and undo, the steps that change something (each knows "unchanged", dry run and
# undo), the four kinds of schedule, the program, and at the end main, which is the story.
set -euo pipefail
export LC_ALL=C
umask 077 # what is installed gets its mode by name

usage() {
  cat <<'END'
Usage: ./install.sh [OPTIONS]

Builds session-sweep and installs it, its manual pages and completions; then has systemd or cron run
`session-sweep sweep` regularly. Without options it asks. Run again, it changes only what is not as asked for.

What is installed:
  --binary FILE      Install this program instead of building one with cargo
  --prefix DIR       Where to [default: /usr/local as root, otherwise ~/.local]

What runs it, only ever one of:
  --systemd          A systemd timer
  --cron             A line for cron
  --no-schedule      Nothing; an earlier schedule is removed
  --every WHEN       hourly, daily, weekly, 5min 10min 15min 20min 30min, 2h 3h 4h 6h 8h 12h, a systemd calendar
                     expression (--systemd) or five cron fields (--cron) [default: as before, or hourly]

For whom:
  --user             For yourself [default, unless root]
  --system           For a user of this machine, by the machine's systemd or cron [default for root]
  --run-as USER      That user, who runs the bridge and its CLIs [default: who called sudo]

Settings, written to that user's ~/.config/session-sweep/config.toml:
  --dir DIR          The folder of the bridge's session_map.json
  --idle TIME        How long a session may be idle, such as 2h
  --bridge-url URL   Where the bridge answers on this machine, such as http://127.0.0.1:8000

How:
  --yes              Do not ask
  --dry-run          Only print what would be done
  --uninstall        Remove what was installed, and nothing else. As root without --run-as: for all users
  --purge            With --uninstall: session-sweep's configuration and state, too
  --help             Print this

Exit codes: 0 done, 1 failed (and everything is as it was before), 2 wrong usage.
END
}

# ------------------------------------------------------------------------------------------------------------- options

BINARY='' PREFIX='' METHOD='' EVERY='' SCOPE='' RUN_AS='' DIR='' IDLE='' BRIDGE_URL=''
YES=no DRY_RUN=no UNINSTALL=no PURGE=no

parse_options() {
  local option value
  while (($#)); do
    option=$1
    shift
    case $option in
      --binary | --prefix | --every | --run-as | --dir | --idle | --bridge-url)
        if ((!$#)) || [[ -z $1 ]]; then usage_error "$option needs a value"; fi
        value=$1
        shift
        ;;
      --*=*)
        set -- "${option%%=*}" "${option#*=}" "$@"
        continue
        ;;
    esac
    case $option in
      --binary) BINARY=$(absolute "$value") ;;
      --prefix) PREFIX=$(absolute "$value") ;;
      --systemd) choose METHOD timer "$option" ;;
      --cron) choose METHOD cron "$option" ;;
      --no-schedule) choose METHOD none "$option" ;;
      --every) EVERY=$value ;;
      --user) choose SCOPE user "$option" ;;
      --system) choose SCOPE system "$option" ;;
      --run-as) RUN_AS=$value ;;
      --dir) DIR=$value ;;
      --idle) IDLE=$value ;;
      --bridge-url) BRIDGE_URL=$value ;;
      --yes | -y) YES=yes ;;
      --dry-run | -n) DRY_RUN=yes ;;
      --uninstall) UNINSTALL=yes ;;
      --purge) PURGE=yes ;;
      --help | -h)
        usage
        exit 0
        ;;
      *) unknown_option "$option" ;;
    esac
  done
  if [[ $PURGE$UNINSTALL == yesno ]]; then usage_error '--purge goes with --uninstall'; fi
  if [[ $UNINSTALL == yes && -n $BINARY$METHOD$EVERY$DIR$IDLE$BRIDGE_URL ]]; then
    usage_error '--uninstall goes with --purge, --user, --system, --run-as, --prefix, --yes and --dry-run only'
  fi
  if [[ $METHOD == none && -n $EVERY ]]; then usage_error '--every and --no-schedule exclude each other'; fi
  if [[ -n $RUN_AS && $SCOPE == user ]]; then usage_error '--user installs for yourself, without --run-as'; fi
}

choose() { # VARIABLE VALUE OPTION
  if [[ -n ${!1} && ${!1} != "$2" ]]; then usage_error "$3 contradicts an option before it"; fi
  printf -v "$1" %s "$2"
}

absolute() { realpath -ms -- "$1"; } # PATH

unknown_option() { # OPTION
  local known
  for known in $(usage | grep -oE -e '--[a-z][a-z-]+' | sort -u); do
    if [[ $known == "${1:0:4}"* ]]; then usage_error "unknown option $1; did you mean $known?"; fi
  done
  usage_error "unknown option $1"
}

# ------------------------------------------------------------------------------------------------------- talk and undo

HERE=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]-.}")" && pwd)
WORK=''   # our folder for temporary files
DRY=no    # whether the steps only tell what they would do
CHANGES=0 # how many they made, or would make
UNDO=()   # commands that undo them, to be run from the last to the first
AFTER=()  # what cannot be undone, and is done when nothing can fail any more
RECORD=() # what the manifest has to know
FORGET=() # what it need not know any more
NOTES=()  # what to tell at the end
REASON='' # why it stopped

say() { printf '%s\n' "$*"; }
note() { NOTES+=("$*"); }

fail() {
  REASON=$*
  printf 'install.sh: %s\n' "$REASON" >&2
  exit 1
}

usage_error() {
  REASON=$*
  printf 'install.sh: %s\nTry: ./install.sh --help\n' "$REASON" >&2
  exit 2
}

announce() { # VERB OBJECT
  CHANGES=$((CHANGES + 1))
  if [[ $DRY == yes ]]; then printf '  would %-10s %s\n' "$@"; else printf '  %-10s %s\n' "$@"; fi
}

unchanged() { printf '  %-10s %s\n' unchanged "$1"; }

attempt() { # WHAT COMMAND...: runs it, or stops with what it said
  local what=$1
  shift
  "$@" >"$WORK/said" 2>&1 </dev/null || fail "$what failed: $(said)"
}

said() { tail -n 3 "$WORK/said" | paste -sd ' '; } # by the last command

undo_with() { # COMMAND...
  if [[ $DRY == yes ]]; then return; fi
  UNDO+=("$(printf '%q ' at "$TARGET" "${AS[*]-}" "$@")")
}

at() { # USER AS COMMAND...: with the user aimed at as it was
  aim "$1" || true
  AS=()
  if [[ -n $2 ]]; then AS=("$2"); fi
  shift 2
  "$@"
}

at_exit() {
  local status=$? i troubles=0
  trap '' INT TERM HUP
  set +e
  if ((status != 0)) && [[ -z $REASON ]]; then printf 'install.sh: stopped (exit status %s)\n' "$status" >&2; fi
  for ((i = ${#UNDO[@]} - 1; i >= 0; i--)); do
    if ! eval "${UNDO[i]}" >"$WORK/said" 2>&1 </dev/null; then
      printf 'install.sh: could not undo: %s\n' "${UNDO[i]}" >&2
      troubles=$((troubles + 1))
    fi
  done
  if ((${#UNDO[@]} && !troubles)); then printf 'install.sh: everything is as it was before\n' >&2; fi
  if [[ -n $WORK ]]; then rm -rf -- "$WORK"; fi
}

# --------------------------------------------------------------------------------------------- the user it is done for

TARGET='' TARGET_HOME='' TARGET_UID=''
AS=() # how the steps below reach a file: directly, or (as_user) with the rights of the user we aim at

aim() { # USER: fails where there is none of this name (any more)
  local name=''
  TARGET=$1 TARGET_UID='' TARGET_HOME=''
  IFS=: read -r name _ TARGET_UID _ _ TARGET_HOME _ < <(getent passwd -- "$TARGET") || true
  if [[ $name != "$TARGET" ]]; then TARGET_UID='' TARGET_HOME=''; fi # getent takes a number, too
  [[ $name == "$TARGET" ]]
}

# Like a timer or cron: with that user's rights and a fresh environment. Root does nothing in somebody's home but by
# this, so that a link which that user made leads nowhere that the user could not go.
as_user() {
  local as=()
  if [[ $TARGET != "$(id -un)" ]]; then as=(env -i PATH="$PATH" runuser -u "$TARGET" --); fi
  "${as[@]}" env -i HOME="$TARGET_HOME" USER="$TARGET" LOGNAME="$TARGET" PATH=/usr/local/bin:/usr/bin:/bin LC_ALL=C \
    XDG_RUNTIME_DIR="/run/user/$TARGET_UID" DBUS_SESSION_BUS_ADDRESS="unix:path=/run/user/$TARGET_UID/bus" "$@"
}

in_home() { # COMMAND...: with its steps done as the user
  local AS=()
  if [[ $SCOPE == system ]]; then AS=(as_user); fi
  "$@"
}

by() { "${AS[@]}" "$@"; }

# ------------------------------------------------------------------------------------------ steps that change something

# The content goes through a pipe, because the user we act for may not read our folder; the rename makes it whole.
write() { # SOURCE TARGET MODE
  # shellcheck disable=SC2016
  by sh -c '
    new=$(umask 077; mktemp "$1.XXXXXX") || exit
    trap "rm -f \"\$new\"" EXIT
    trap "exit 1" INT TERM HUP
    cat >"$new" && chmod "$2" "$new" && mv -fT "$new" "$1"' sh "$2" "$3" <"$1"
}

backup() { # PATH: notes how to bring the file back that is there now, if any
  local copy="$WORK/backup.${#UNDO[@]}"
  if by test -L "$1"; then
    undo_with by ln -sfnT "$(by readlink "$1")" "$1"
    if [[ ${2-} == follow ]]; then backup "$(by readlink -f "$1")"; fi
  elif by test -e "$1"; then
    by cat "$1" >"$copy" || fail "cannot read $1"
    undo_with restore "$copy" "$1" "$(by stat -c %a "$1")"
  else
    undo_with by rm -f "$1"
  fi
}

restore() { # COPY PATH MODE
  by mkdir -p "$(dirname "$2")" && write "$1" "$2" "$3"
}

put() { # SOURCE TARGET [MODE]
  local source=$1 target=$2 mode=${3:-644} verb=install
  if by test -L "$target"; then fail "$target is a link, and not from this script: move it away first"; fi
  if by test -e "$target"; then
    verb=replace
    if by cat "$target" 2>/dev/null | cmp -s - "$source" && [[ $(by stat -c %a "$target") == "$mode" ]]; then
      unchanged "$target"
      return
    fi
  fi
  folder "$(dirname "$target")" 755
  announce "$verb" "$target"
  if [[ $DRY == yes ]]; then return; fi
  backup "$target"
  write "$source" "$target" "$mode" 2>"$WORK/said" || fail "cannot write $target: $(said)"
}

# Schedule files have fixed places and a first line by which we know them.
MARK="# From session-sweep's install.sh, which changes and removes this file."

put_marked() { # SOURCE TARGET
  if by test -e "$2" && ! is_marked "$2"; then fail "$2 is not from this script: move it away first"; fi
  { say "$MARK"; cat "$1"; } >"$WORK/marked"
  put "$WORK/marked" "$2"
}

is_marked() { [[ $(by head -n 1 "$1" 2>/dev/null) == "$MARK" ]]; }

drop() { # PATH: a file or a link, if it is there
  if ! by test -L "$1" && ! by test -e "$1"; then return; fi
  announce remove "$1"
  if [[ $DRY == yes ]]; then return; fi
  backup "$1"
  attempt "removing $1" by rm -f "$1"
}

declare -A TOLD=() # folders that a dry run has told already

folder() { # PATH MODE: makes it and what is missing above it
  local path=$1 owner=- missing=()
  if ((${#AS[@]})); then owner=$TARGET; fi
  until by test -d "$path"; do
    missing=("$path" "${missing[@]}")
    path=$(dirname "$path")
  done
  for path in "${missing[@]}"; do
    if [[ -n ${TOLD[$path]-} ]]; then continue; fi
    TOLD[$path]=yes
    announce make "$path/"
    RECORD+=("folder $owner $path")
    if [[ $DRY == yes ]]; then continue; fi
    undo_with unmake "$path"
    attempt "making $path" by mkdir -m "$2" "$path"
  done
}

unmake() { if by test -d "$1"; then by rmdir "$1"; fi; } # for undoing

drop_folder() { # PATH: if it is empty
  if ! by test -d "$1" || [[ $DRY == yes ]]; then return 0; fi
  local mode
  mode=$(by stat -c %a "$1")
  if by rmdir "$1" 2>/dev/null; then
    announce remove "$1/"
    FORGET+=("folder - $1")
    undo_with by mkdir -m "$mode" "$1"
  fi
}

run() { # COMMAND...: and tells it
  announce run "$(without_runner "$@")"
  if [[ $DRY == no ]]; then attempt "$(without_runner "$@")" "$@"; fi
}

without_runner() {
  if [[ $1 == as_user ]]; then shift; fi
  say "$*"
}

# ---------------------------------------------------------------------------------------------------- how often it runs

# What --every takes, for systemd, for cron.
EVERY_TABLE='
hourly hourly   5 * * * *
daily  daily    5 0 * * *
weekly weekly   5 0 * * 1
5min   *:0/5    */5 * * * *
10min  *:0/10   */10 * * * *
15min  *:0/15   */15 * * * *
20min  *:0/20   */20 * * * *
30min  *:0/30   */30 * * * *
2h     0/2:00   5 */2 * * *
3h     0/3:00   5 */3 * * *
4h     0/4:00   5 */4 * * *
6h     0/6:00   5 */6 * * *
8h     0/8:00   5 */8 * * *
12h    0/12:00  5 */12 * * *'

INTERVAL='' # what is written to the timer or the crontab

decide_interval() {
  local word timer cron before=''
  if [[ $METHOD == none ]]; then return; fi
  if [[ -z $EVERY ]]; then before=$(interval_before); fi
  while read -r word timer cron; do
    if [[ ${EVERY:-hourly} == "$word" && -z $before || $before == "$timer" || $before == "$cron" ]]; then
      if [[ $METHOD == timer ]]; then INTERVAL=$timer; else INTERVAL=$cron; fi
    fi
  done < <(sed 1d <<<"$EVERY_TABLE")
  if [[ -n $INTERVAL ]]; then return; fi
  INTERVAL=${EVERY:-$before}
  if [[ $METHOD == timer ]]; then
    is_calendar "$INTERVAL" || not_an_interval "$before" 'no calendar expression of systemd'
  else
    is_cron_fields "$INTERVAL" || not_an_interval "$before" 'not five numeric cron fields'
  fi
}

not_an_interval() { # THE-ONE-BEFORE WHY
  usage_error "--every '$INTERVAL' is not one of those in --help, and $2${1:+; so it was until now: give --every}"
}

interval_before() {
  local kind
  for kind in "$SCOPE-$METHOD" user-timer user-cron system-timer system-cron; do
    if has "$kind"; then
      interval_of "$kind"
      return
    fi
  done
}

is_calendar() {
  local unsafe='[[:cntrl:]|&\%]'
  [[ ! $1 =~ $unsafe ]] && systemd-analyze calendar -- "$1" >/dev/null 2>&1
}

is_cron_fields() {
  local -a fields ranges=(0-59 0-23 1-31 1-12 0-7)
  local i low high
  if [[ $1 == *[[:cntrl:]]* ]]; then return 1; fi
  read -ra fields <<<"$1"
  if ((${#fields[@]} != 5)); then return 1; fi
  for i in "${!fields[@]}"; do
    low=${ranges[i]%-*} high=${ranges[i]#*-}
    if [[ ${fields[i]} =~ [0-9*][*]|[*][0-9-] ]]; then return 1; fi
    is_cron_field "${fields[i]//[*]/$low-$high}" "$low" "$high" || return 1
  done
}

is_cron_field() { # A,B-C,D-E/F LOW HIGH
  local item first last
  local -a items
  [[ $1 != *, ]] || return 1
  IFS=, read -ra items <<<"$1"
  for item in "${items[@]}"; do
    [[ $item =~ ^([0-9]{1,2})(-([0-9]{1,2})(/[1-9][0-9]?)?)?$ ]] || return 1
    first=$((10#${BASH_REMATCH[1]}))
    last=$((10#${BASH_REMATCH[3]:-$first}))
    ((first >= $2 && last <= $3 && first <= last)) || return 1
  done
}

# ------------------------------------------------------------------------------------------------------------ schedules
#
# A user can have one of four: user-timer, user-cron (both by the user alone), system-timer, system-cron (both by root).

has() { # KIND
  local file wants
  case $1 in
    *-timer)
      timer "${1%-*}"
      file=$(interval_file "$1") wants="$UNITS/timers.target.wants/$UNIT.timer"
      in_place test -e "$file" || in_place test -L "$wants"
      ;;
    user-cron) crontab_now && grep -q '^# BEGIN session-sweep$' "$WORK/crontab" ;;
    system-cron) [[ -n $(cron_line) ]] ;;
  esac
}

# A user's files are looked at as that user, those below /etc directly.
in_place() { if [[ $UNITS == /etc/* ]]; then "$@"; else as_user "$@"; fi; }

interval_of() { # KIND: nothing where it cannot be told, as for a timer that was enabled without this script
  timer "${1%-*}"
  case $1 in
    *-timer) in_place cat "$(interval_file "$1")" 2>/dev/null | sed -n 's/^OnCalendar=\(..*\)/\1/p' | tail -n 1 ;;
    user-cron) crontab_now && sed -n "$CRONTAB_BLOCK{/^#/!p}" "$WORK/crontab" | five_fields ;;
    system-cron) cron_line | five_fields ;;
  esac || true
}

# What somebody else set up would go on beside ours, and this script does not remove it.
check_other_schedules() {
  local file found wants=/etc/systemd/user/timers.target.wants/session-sweep.timer
  if [[ -e $wants || -L $wants ]]; then
    fail "systemd runs it for every user already ($wants). First: systemctl --global disable session-sweep.timer"
  fi
  if crontab_now; then
    found=$(sed "${CRONTAB_BLOCK}d" "$WORK/crontab" | runs_it)
    if [[ -n $found ]]; then runs_already "the crontab of $TARGET" "$found"; fi
  fi
  for file in /etc/crontab /etc/cron.d/*; do
    if [[ ! -r $file || ! -f $file ]]; then continue; fi
    found=$(awk -v user="$TARGET" -v ours="$CRON_FILE" \
      '$1 ~ /^@/ ? $2 == user : $6 == user && FILENAME != ours' "$file" | runs_it)
    if [[ -n $found ]]; then runs_already "$file" "$found"; fi
  done
}

runs_it() { grep -E '^[[:space:]]*[^#[:space:]].*session-sweep .*(sweep|prune)' | grep -v -e --dry-run || true; }

runs_already() { # WHERE LINES
  fail "$1 runs it for $TARGET already. Take that out first: $(tr -c '[:print:]\n' '?' <<<"$2")"
}

five_fields() { awk '{ print $1, $2, $3, $4, $5; exit }'; }

schedule() {
  local kind
  for kind in user-timer user-cron system-timer system-cron; do
    if [[ $kind != "$SCOPE-$METHOD" ]] && has "$kind"; then unschedule "$kind"; fi
  done
  case $SCOPE-$METHOD in
    *-timer) install_timer "$SCOPE" ;;
    user-cron) install_user_cron ;;
    system-cron) install_system_cron ;;
  esac
}

unschedule() { # KIND
  case $1 in
    user-timer) in_home remove_timer user ;;
    system-timer) remove_timer system ;;
    user-cron) remove_user_cron ;;
    system-cron) remove_system_cron ;;
  esac
}

# --- systemd

CTL=() UNITS='' UNIT=''

timer() { # user|system: which systemctl, unit and folder the following is about
  if [[ $1 == user ]]; then
    CTL=(as_user systemctl --user) UNITS=$TARGET_HOME/.config/systemd/user UNIT=session-sweep
  else
    CTL=(systemctl) UNITS=/etc/systemd/system UNIT=session-sweep@$TARGET
  fi
}

interval_file() { # KIND
  if [[ $1 == user-timer ]]; then say "$UNITS/$UNIT.timer"; else say "$UNITS/$UNIT.timer.d/10-install.conf"; fi
}

install_timer() { # user|system
  local before
  timer "$1"
  if [[ $1 == user ]]; then linger; fi
  # systemd would make it and leave it behind.
  folder "$(dirname "$(stamp "$1")")" 755
  before=$CHANGES
  undo_with reload "$1"
  if [[ $1 == user ]]; then user_units; else system_units; fi
  if ((CHANGES > before)); then run "${CTL[@]}" daemon-reload; fi
  if ! timer_runs; then
    undo_with stop_timer "$1"
    run "${CTL[@]}" enable --now "$UNIT.timer"
  elif ((CHANGES > before)); then
    run "${CTL[@]}" restart "$UNIT.timer"
  else
    unchanged "$UNIT.timer"
  fi
}

timer_runs() {
  "${CTL[@]}" is-enabled --quiet "$UNIT.timer" 2>/dev/null && "${CTL[@]}" is-active --quiet "$UNIT.timer" 2>/dev/null
}

is_reachable() { "${CTL[@]}" show --property=Version >"$WORK/said" 2>&1; } # not so a user's systemd that does not run

reload() { # user|system: for undoing
  timer "$1"
  if ! is_reachable; then return 0; fi
  "${CTL[@]}" daemon-reload
  if timer_runs; then "${CTL[@]}" restart "$UNIT.timer"; fi
}

start_timer() { # user|system: for undoing
  timer "$1"
  "${CTL[@]}" enable --now "$UNIT.timer"
}

stop_timer() { # user|system: for undoing
  timer "$1"
  "${CTL[@]}" disable --now "$UNIT.timer"
  by rm -f "$(stamp "$1")"
}

user_units() {
  if [[ $DRY == no ]]; then wait_for_user_systemd; fi
  unit session-sweep.service
  put_marked "$WORK/unit" "$UNITS/session-sweep.service"
  unit session-sweep.timer
  put_marked "$WORK/unit" "$UNITS/session-sweep.timer"
  unit "$HEARTBEAT.service"
  put_marked "$WORK/unit" "$UNITS/$HEARTBEAT.service"
}

system_units() {
  unit session-sweep@.service
  put_marked "$WORK/unit" "$UNITS/session-sweep@.service"
  put_marked "$HERE/packaging/systemd/session-sweep@.timer" "$UNITS/session-sweep@.timer"
  sandbox >"$WORK/unit"
  put_marked "$WORK/unit" "$UNITS/$UNIT.service.d/10-install.conf"
  printf '[Timer]\nOnCalendar=\nOnCalendar=%s\n' "$INTERVAL" >"$WORK/unit"
  put_marked "$WORK/unit" "$UNITS/$UNIT.timer.d/10-install.conf"
}

sandbox() { # what the unit of this user may do beyond the plain file
  local reach=localhost dir base
  dir=$(setting map.dir "$DIR")
  check_for_unit map.dir "$dir" 'give --dir'
  say '[Service]'
  say 'ReadWritePaths='
  say "ReadWritePaths=$(quoted "-$dir") $(quoted "-$TARGET_HOME/.local/state/session-sweep")"
  if [[ $(setting registry.enabled) == true ]]; then
    base=$(setting registry.base)
    check_for_unit registry.base "$base" 'change it'
    if [[ -n $base ]]; then say "ReadWritePaths=$(quoted "-$base")"; fi
  fi
  if [[ $(setting processes.enabled) == true ]]; then
    base=$(setting processes.sessions)
    check_for_unit processes.sessions "$base" 'change it'
    say "ReadWritePaths=$(quoted "-${base:-$TARGET_HOME/.claude/sessions}")"
  fi
  while IFS= read -r base; do
    printf -v base %b "$base"
    check_for_unit 'the root of [[queues]]' "$base" 'change it'
    # Of the databases those of the sessions are written, with their journals beside them.
    say "ReadWritePaths=$(quoted "-$base/data/v2-sessions")"
  done < <(queue_roots)
  if [[ $(setting artifacts.enabled) == true ]]; then
    while IFS= read -r base; do
      printf -v base %b "$base"
      check_for_unit "a CLI's home" "$base" 'change it'
      say "ReadWritePaths=$(quoted "-$base")"
    done < <(artifact_homes)
    while IFS= read -r base; do
      check_for_unit artifacts.roots "$base" 'change it'
      if [[ -n $base ]]; then say "ReadWritePaths=$(quoted "-$base/data") $(quoted "-$base/groups")"; fi
    done < <(artifact_roots)
  fi
  if [[ -n $(setting bridge.url "$BRIDGE_URL") ]]; then
    if [[ $(setting bridge.allow_remote) == true ]]; then reach=any; fi
    say 'RestrictAddressFamilies=AF_INET AF_INET6'
    say "IPAddressAllow=$reach"
  fi
}

check_for_unit() { # KEY PATH REMEDY: the user may have written it, and root writes it into a unit
  if [[ -n $2 && ($2 != /* || $2 == *[[:cntrl:]]*) ]]; then
    fail "$1 of $TARGET cannot be written into a unit: $(printf %q "$2"); $3"
  fi
}

unit() { # NAME: the plain file with this installation's program and interval
  sed -e "s|^\(ExecStart=\)[^ ]*|\1$PROGRAM|" -e "s|^OnCalendar=.*|OnCalendar=$INTERVAL|" \
    "$HERE/packaging/systemd/$1" >"$WORK/unit"
}

quoted() { # PATH: as systemd reads it
  local text=${1//\\/\\\\}
  text=${text//\"/\\\"}
  say "\"${text//%/%%}\""
}

stamp() { # user|system: the file with the time of the last run, for Persistent=
  if [[ $1 == user ]]; then
    say "$TARGET_HOME/.local/share/systemd/timers/stamp-$UNIT.timer"
  else
    say "/var/lib/systemd/timers/stamp-$UNIT.timer"
  fi
}

remove_timer() { # user|system
  local file reachable=no files=()
  timer "$1"
  if is_reachable; then
    reachable=yes
    undo_with start_timer "$1"
    undo_with reload "$1"
    run "${CTL[@]}" disable --now "$UNIT.timer"
  else
    drop "$UNITS/timers.target.wants/$UNIT.timer"
    drop_folder "$UNITS/timers.target.wants"
  fi
  if [[ $1 == user ]]; then
    files=("$UNITS/session-sweep.service" "$UNITS/session-sweep.timer")
  else
    files=("$UNITS/$UNIT.service.d/10-install.conf" "$UNITS/$UNIT.timer.d/10-install.conf")
    if ! users_with_timer | grep -vFx -- "$TARGET" >/dev/null; then
      files+=("$UNITS/session-sweep@.service" "$UNITS/session-sweep@.timer")
    fi
  fi
  for file in "${files[@]}"; do
    if is_marked "$file"; then drop "$file"; fi
  done
  drop_folder "$UNITS/$UNIT.service.d"
  drop_folder "$UNITS/$UNIT.timer.d"
  drop "$(stamp "$1")"
  if [[ $reachable == yes ]]; then
    run "${CTL[@]}" daemon-reload
    # A run that failed would stay in `systemctl --failed` without its unit.
    if [[ $DRY == no ]]; then "${CTL[@]}" reset-failed "$UNIT.service" 2>/dev/null || true; fi
  fi
  if [[ $1 == user ]]; then unlinger; fi
}

# The template for beats stays as long as the program: who beats by it does not ask what runs `sweep`.
HEARTBEAT=session-sweep-heartbeat@

remove_heartbeat() { # with its instances, from the user's own systemd
  local loaded='' running=() linked=() instances=() unit
  timer user
  if ! is_marked "$UNITS/$HEARTBEAT.service"; then return; fi
  for unit in "$UNITS"/*.wants/"$HEARTBEAT"*.service; do
    if [[ -L $unit ]]; then linked+=("$unit"); fi
  done
  if is_reachable; then
    loaded=$("${CTL[@]}" list-units --all --plain --no-legend "$HEARTBEAT*.service") || fail 'cannot list the beats'
    mapfile -t running < <(awk '$3 ~ /^(active|activating|reloading)$/ { print $1 }' <<<"$loaded")
    mapfile -t instances < <(printf '%s\n' "$loaded" "${linked[@]##*/}" | awk '$1 && !seen[$1]++ { print $1 }')
    if ((${#running[@]})); then undo_with "${CTL[@]}" start "${running[@]}"; fi
    if ((${#linked[@]})); then undo_with "${CTL[@]}" enable "${linked[@]##*/}"; fi
    undo_with "${CTL[@]}" daemon-reload
    if ((${#instances[@]})); then run "${CTL[@]}" disable --now "${instances[@]}"; fi
    drop "$UNITS/$HEARTBEAT.service"
    run "${CTL[@]}" daemon-reload
    # As with the timer's: one that failed would stay without its unit.
    if [[ $DRY == no ]]; then "${CTL[@]}" reset-failed "$HEARTBEAT*.service" 2>/dev/null || true; fi
  else
    for unit in "${linked[@]}"; do
      drop "$unit"
      drop_folder "$(dirname "$unit")"
    done
    drop "$UNITS/$HEARTBEAT.service"
  fi
}

users_with_timer() {
  local file
  for file in /etc/systemd/system/session-sweep@*.timer.d/10-install.conf; do
    if [[ -e $file ]]; then
      file=${file#*/session-sweep@}
      say "${file%.timer.d/*}"
    fi
  done
}

# A user's systemd ends with the last session, unless the user lingers.
linger() {
  if [[ -e /var/lib/systemd/linger/$TARGET ]]; then return; fi
  announce run "loginctl enable-linger $TARGET"
  RECORD+=("linger $TARGET")
  if [[ $DRY == yes ]]; then return; fi
  if loginctl --no-ask-password enable-linger "$TARGET" >"$WORK/said" 2>&1; then
    undo_with loginctl --no-ask-password disable-linger "$TARGET"
  else
    unset 'RECORD[-1]'
    CHANGES=$((CHANGES - 1))
    note "the timer runs only while $TARGET is logged in, as lingering could not be switched on
  ($(said)). To change that: sudo loginctl enable-linger $TARGET; or take --cron."
  fi
}

unlinger() {
  local link
  if [[ " ${FORGET[*]} " == *" linger $TARGET "* ]] || ! made_linger; then return; fi
  FORGET+=("linger $TARGET")
  if [[ ! -e /var/lib/systemd/linger/$TARGET ]]; then return; fi
  for link in "$UNITS"/*.wants/*; do
    if [[ (-L $link || -e $link) && ${link##*/} != session-sweep.timer ]]; then
      note "$TARGET still lingers, as $(printf %q "${link##*/}") may rely on it (loginctl disable-linger $TARGET)"
      return
    fi
  done
  announce run "loginctl disable-linger $TARGET"
  if [[ $DRY == yes ]]; then return; fi
  if loginctl --no-ask-password disable-linger "$TARGET" >"$WORK/said" 2>&1; then
    undo_with loginctl --no-ask-password enable-linger "$TARGET"
  else
    note "$TARGET still lingers ($(said)): sudo loginctl disable-linger $TARGET"
  fi
}

made_linger() { # by this script: run by us, or by the user whose timer root takes over
  {
    manifest_of linger
    as_user cat "$TARGET_HOME/.local/share/session-sweep/install-manifest" 2>/dev/null || true
  } | grep -Fx -- "linger $TARGET" >/dev/null
}

wait_for_user_systemd() {
  local i
  for ((i = 0; i < 50; i++)); do
    if is_reachable; then return; fi
    if [[ ! -e /var/lib/systemd/linger/$TARGET ]]; then break; fi
    sleep 0.1
  done
  fail "the systemd of user $TARGET cannot be reached ($(said)): log in as $TARGET, or take --cron"
}

# --- cron

cron_template() { # the plain file's line for USER, without its comment sign
  sed -n 's/^#\(5 \* \* \* \* USER .*\)/\1/p' "$HERE/packaging/cron/session-sweep"
}

cron_command() { # for this installation's program
  cron_template | sed "s|.* /usr/bin/session-sweep |$PROGRAM |"
}

warn_without_cron() {
  grep -qsxE "cron|crond|fcron|systemd-cron" /proc/[0-9]*/comm || note 'no cron seems to run on this machine'
}

CRONTAB_BLOCK='/^# BEGIN session-sweep$/,/^# END session-sweep$/'

crontab_of_user() { if [[ $TARGET == "$(id -un)" ]]; then crontab "$@"; else crontab -u "$TARGET" "$@"; fi; }

crontab_now() { # into $WORK/crontab; fails where it cannot be read
  : >"$WORK/crontab"
  command -v crontab >/dev/null || return
  crontab_of_user -l >"$WORK/crontab" 2>"$WORK/said" || grep -qi 'no crontab' "$WORK/said"
}

check_crontab_markers() {
  local order
  order=$(sed -n 's/^# \(BEGIN\|END\) session-sweep$/\1/p' "$WORK/crontab" | tr '\n' ' ')
  if [[ -n $order && $order != 'BEGIN END ' ]]; then
    fail "the crontab of $TARGET has its lines '# BEGIN session-sweep' and '# END session-sweep' not once each in" \
      "this order, but: $order- mend it with crontab -e"
  fi
}

install_user_cron() {
  crontab_now || fail "cannot read the crontab of $TARGET: $(said)"
  check_crontab_markers
  {
    say '# BEGIN session-sweep'
    say "$INTERVAL $(sed -n '/^PATH=/p' "$HERE/packaging/cron/session-sweep") $(cron_command)"
    say '# END session-sweep'
  } >"$WORK/block"
  if grep -q '^# BEGIN session-sweep$' "$WORK/crontab"; then
    sed -e "/^# END session-sweep\$/r $WORK/block" -e "${CRONTAB_BLOCK}d" "$WORK/crontab" >"$WORK/crontab.new"
  else
    cat "$WORK/crontab" "$WORK/block" >"$WORK/crontab.new"
  fi
  warn_without_cron
  put_crontab
}

remove_user_cron() {
  crontab_now || fail "cannot read the crontab of $TARGET: $(said)"
  check_crontab_markers
  sed "${CRONTAB_BLOCK}d" "$WORK/crontab" >"$WORK/crontab.new"
  put_crontab
}

put_crontab() { # $WORK/crontab.new for $WORK/crontab
  local copy="$WORK/crontab.${#UNDO[@]}"
  if cmp -s "$WORK/crontab" "$WORK/crontab.new"; then
    unchanged "crontab of $TARGET"
    return
  fi
  announce change "crontab of $TARGET, between its lines # BEGIN and # END session-sweep"
  if [[ $DRY == yes ]]; then return; fi
  cp "$WORK/crontab" "$copy"
  undo_with write_crontab "$copy"
  attempt "changing the crontab of $TARGET" write_crontab "$WORK/crontab.new"
}

write_crontab() { # FILE
  if [[ -s $1 ]]; then crontab_of_user - <"$1"; else crontab_of_user -r; fi
}

CRON_FILE=/etc/cron.d/session-sweep

cron_line() { # of the user we aim at
  if [[ -e $CRON_FILE ]]; then awk -v user="$TARGET" '!/^#/ && $6 == user' "$CRON_FILE"; fi
}

others_have_cron() { users_with_cron | grep -vFx -- "$TARGET" >/dev/null; }

users_with_cron() {
  if [[ -e $CRON_FILE ]]; then awk '/^[0-9*]/ && NF > 6 { print $6 }' "$CRON_FILE"; fi
}

install_system_cron() {
  if is_marked "$CRON_FILE"; then sed 1d "$CRON_FILE"; else cat "$HERE/packaging/cron/session-sweep"; fi |
    awk -v user="$TARGET" -v line="$INTERVAL $TARGET $(cron_command)" '
      !/^#/ && $6 == user { if (!done++) print line; next }
      { print }
      END { if (!done) print line }' >"$WORK/cron"
  warn_without_cron
  put_marked "$WORK/cron" "$CRON_FILE"
}

remove_system_cron() {
  if ! is_marked "$CRON_FILE"; then fail "$CRON_FILE is not from this script: remove the line of $TARGET yourself"; fi
  if others_have_cron; then
    sed 1d "$CRON_FILE" | awk -v user="$TARGET" '/^#/ || $6 != user' >"$WORK/cron"
    put_marked "$WORK/cron" "$CRON_FILE"
  else
    drop "$CRON_FILE"
  fi
}

# -------------------------------------------------------------------------------------------------------- configuration

setting() { # KEY [NEW VALUE]: what will apply to the user
  if [[ -n ${2-} ]]; then
    say "$2"
  elif [[ -n $STAGED ]]; then
    # The value is a JSON string, whose escapes %b knows.
    printf '%b\n' "$(sed -n \
      "s/.*{\"key\":\"${1/./\\.}\",\"value\":\"\(\([^\"\\\\]\|\\\\.\)*\)\".*/\1/p" "$WORK/settings")"
  fi
}

queue_roots() { # one in a line, as the JSON string that it is
  if [[ -z $STAGED ]]; then return; fi
  # In a string the quotation marks of these members would be escaped.
  grep --only-matching '{"root":"\([^"\\]\|\\.\)*","origin":' "$WORK/settings" |
    sed 's/^{"root":"\(.*\)","origin":$/\1/' || true
}

artifact_homes() { # of the CLIs whose artifacts can be pruned; one in a line, as the JSON string that it is
  if [[ -z $STAGED ]]; then return; fi
  grep --only-matching '{"name":"[a-z]*","home":"\([^"\\]\|\\.\)*","origin":' "$WORK/settings" |
    sed -n 's/^{"name":"\(claude\|codex\|gemini\|qwen\|copilot\)","home":"\(.*\)","origin":$/\2/p' || true
}

artifact_roots() { # of agent hosts, one in a line
  local roots
  setting artifacts.roots | sed 's/, /\n/g'
  while IFS= read -r roots; do printf '%b\n' "$roots"; done < <(queue_roots)
}

SETTINGS=() # KEY=VALUE, as given

# Tries the settings on copies, so that what is refused is refused before anything is changed.
check_settings() {
  local pair
  for pair in "map.dir=$DIR" "map.idle=$IDLE" "bridge.url=$BRIDGE_URL"; do
    if [[ -n ${pair#*=} ]]; then SETTINGS+=("$pair"); fi
  done
  if [[ -z $STAGED ]]; then return; fi
  attempt "reading the configuration of $TARGET" as_user "$STAGED" config show --json
  mv "$WORK/said" "$WORK/settings"
  : >"$WORK/empty.toml"
  as_user cat "$CONFIG" >"$WORK/config.toml" 2>/dev/null || : >"$WORK/config.toml"
  cp "$WORK/config.toml" "$WORK/config.before"
  for pair in "${SETTINGS[@]}"; do
    try_setting "$WORK/empty.toml" "$pair" || usage_error "$(said)"
    try_setting "$WORK/config.toml" "$pair" || fail "$CONFIG: $(said)"
  done
}

try_setting() { # FILE KEY=VALUE
  env -i "HOME=$TARGET_HOME" "$STAGED" --config "$1" config set "${2%%=*}" "${2#*=}" >"$WORK/refused" 2>&1 && return
  sed "s|^session-sweep: ||; s|^$1:||; s|^ ||" "$WORK/refused" >"$WORK/said"
  return 1
}

configure() {
  local pair
  if [[ -n $STAGED ]] && cmp -s "$WORK/config.before" "$WORK/config.toml"; then
    if ((${#SETTINGS[@]})); then unchanged "$CONFIG"; fi
    return
  fi
  if ((${#SETTINGS[@]})); then in_home folder "$(dirname "$CONFIG")" 755; fi
  for pair in "${SETTINGS[@]}"; do announce set "${pair/=/ = } in $CONFIG"; done
  if [[ $DRY == yes ]]; then return; fi
  in_home backup "$CONFIG" follow # of a link, what it leads to: config set writes there
  for pair in "${SETTINGS[@]}"; do
    attempt "setting ${pair%%=*}" as_user "$PROGRAM" config set "${pair%%=*}" "${pair#*=}"
  done
}

# ---------------------------------------------------------------------------------------------------------- the program

PROGRAM='' MANIFEST='' CONFIG=''
BUILDER=''     # who builds it
STAGED=''      # the program before it is installed, where everybody may run it
REMOVED_FOR='' # the one user from whom it was taken, or nobody in particular: from all

build() {
  local command target=$HERE/target
  if [[ -n $BINARY ]]; then return; fi
  BINARY=$HERE/target/release/session-sweep
  find_builder
  if [[ $DRY_RUN == yes ]]; then
    announce run "cargo build --release --locked (in $HERE, as $BUILDER)"
    return
  fi
  if ((EUID == 0)) && [[ $BUILDER != "$(stat -c %U "$HERE")" ]]; then
    target=$(runuser -u "$BUILDER" -- mktemp -d)
    undo_with rm -rf "$target"
    AFTER+=("$(printf '%q ' rm -rf "$target")")
    BINARY=$target/release/session-sweep
  fi
  say "Building it with cargo, as $BUILDER …"
  printf -v command 'cd %q && cargo build --release --locked --target-dir %q' "$HERE" "$target"
  as_builder "$BUILDER" "$command" || fail "cargo could not build it; with --binary FILE nothing is built"
}

# Root builds neither with a program nor in a folder of somebody else, if that can be avoided: the checkout's owner
# builds, or who called sudo.
find_builder() {
  local who
  for who in "$(if ((EUID)); then id -un; else stat -c %U "$HERE"; fi)" "${SUDO_USER:-root}" root; do
    BUILDER=$who
    if as_builder "$who" "command -v cargo && cd $(printf %q "$HERE")" >/dev/null 2>&1; then return; fi
    if ((EUID)); then break; fi
  done
  fail 'cargo is not there to build it: install Rust (rustup.rs), or give a program with --binary FILE'
}

as_builder() { # USER SHELL-COMMAND
  # shellcheck disable=SC2016
  local command='umask 022; PATH=$HOME/.cargo/bin:$PATH; '$2
  if [[ $1 == "$(id -un)" ]]; then bash -c "$command"; else runuser -l "$1" -s /bin/bash -c "$command"; fi
}

stage() {
  if [[ ! -f $BINARY ]]; then
    if [[ $DRY_RUN == yes && $BINARY == "$HERE"/target/* ]]; then return; fi
    fail "there is no file $BINARY"
  fi
  STAGED=$WORK/bin/session-sweep
  mkdir -m 711 "$WORK/bin"
  cp -- "$BINARY" "$STAGED" || fail "cannot read $BINARY"
  chmod 755 "$STAGED"
  "$STAGED" --version >"$WORK/said" 2>&1 || true
  if ! grep -q '^session-sweep [0-9]' "$WORK/said"; then fail "$BINARY is no session-sweep that runs here: $(said)"; fi
  mkdir -p "$WORK/share/man/man1" "$WORK/share/bash-completion/completions" "$WORK/share/zsh/site-functions" \
    "$WORK/share/fish/vendor_completions.d"
  "$STAGED" man --out "$WORK/share/man/man1" >/dev/null
  "$STAGED" completions bash >"$WORK/share/bash-completion/completions/session-sweep"
  "$STAGED" completions zsh >"$WORK/share/zsh/site-functions/_session-sweep"
  "$STAGED" completions fish >"$WORK/share/fish/vendor_completions.d/session-sweep.fish"
  find "$WORK/share" -type f -exec chmod 644 {} +
}

install_program() {
  local file old files
  if [[ -z $STAGED ]]; then
    announce install "$PROGRAM, its manual pages and completions below $PREFIX/share"
    return
  fi
  mapfile -t files < <(cd "$WORK" && find bin share -type f | sort)
  for file in "${files[@]}"; do claim "$WORK/$file" "$PREFIX/$file"; done
  # Already now, so that after a run that was killed the next one knows its files.
  if [[ $DRY == no ]] && printf '%s\n' "${RECORD[@]}" | grep -vFx -f <(manifest_of file) >/dev/null; then
    write_manifest
  fi
  for file in "${files[@]}"; do
    if is_listed "$PREFIX/$file" "${RECORD[@]}"; then
      put "$WORK/$file" "$PREFIX/$file" "$(stat -c %a "$WORK/$file")"
    else
      unchanged "$PREFIX/$file"
    fi
  done
  # What an earlier version brought and this one does not.
  while read -r _ _ old; do
    FORGET+=("file - $old")
    if is_below_prefix "$old"; then drop "$old"; fi
  done < <(manifest_of file | grep -vFx -f <(printf '%s\n' "${RECORD[@]}"))
}

# Notes a file as ours: if there is none, or it was ours before. One of somebody else that is the same stays theirs.
claim() { # SOURCE TARGET
  local known
  mapfile -t known < <(manifest_of file)
  if [[ ! -e $2 && ! -L $2 ]] || is_listed "$2" "${known[@]}"; then
    RECORD+=("file - $2")
  elif [[ -L $2 ]] || ! cmp -s "$1" "$2"; then
    fail "$2 is there already and not from this script: move it away, or take another --prefix"
  fi
}

is_listed() { # PATH LINE...: of the manifest
  printf '%s\n' "${@:2}" | grep -Fx -- "file - $1" >/dev/null
}

is_below_prefix() { [[ $1 == "$PREFIX"/* && $1 != *..* ]]; } # PATH

# One line each: `file - PATH`, `folder OWNER PATH` (`-`: whoever installed), `linger USER`.
manifest_of() { # KIND
  if [[ -e $MANIFEST ]]; then grep "^$1 .*$" "$MANIFEST" || true; fi
}

write_manifest() {
  if [[ -z $STAGED && $UNINSTALL == no ]]; then return; fi
  folder "$(dirname "$MANIFEST")" 755
  {
    printf '%s\n' "${RECORD[@]}"
    manifest_of '[a-z]*'
  } | sed '/^$/d' | grep -vFx -f <(printf '%s\n' "${FORGET[@]:-nothing}") | sort -u >"$WORK/manifest"
  put "$WORK/manifest" "$MANIFEST"
}

remove_program() {
  local who path
  if [[ ! -e $MANIFEST ]]; then
    say "  no program of this script below $PREFIX (--prefix names another place)"
    return
  fi
  while read -r _ _ path; do
    if is_below_prefix "$path"; then drop "$path"; fi
  done < <(manifest_of file)
  drop "$MANIFEST"
}

# The folders we made, from the innermost; what is not empty stays.
remove_folders() { # COPY-OF-THE-MANIFEST [OWNER]
  local who path
  while read -r _ who path; do
    if [[ $who == - ]]; then
      drop_folder "$path"
    elif aim "$who"; then
      in_home drop_folder "$path"
    fi
  done < <(awk -v who="${2-}" '$1 == "folder" && (who == "" || $2 == who)' "$1" | sort -r -k 3)
}

purge() {
  local path aside
  for path in "$TARGET_HOME/.config/session-sweep" "$TARGET_HOME/.local/state/session-sweep"; do
    if ! as_user test -e "$path"; then continue; fi
    announce remove "$path/ and what is in it"
    if [[ $DRY == yes ]]; then continue; fi
    aside=$path.removed.$$
    in_home undo_with by mv -T "$aside" "$path"
    attempt "moving $path aside" as_user mv -T "$path" "$aside"
    AFTER+=("$(printf '%q ' at "$TARGET" '' as_user rm -rf "$aside")")
  done
}

# ----------------------------------------------------------------------------------------------- what is asked and told

decide() {
  local root_only
  if ((EUID == 0)); then SCOPE=${SCOPE:-system}; else SCOPE=${SCOPE:-user}; fi
  if [[ -n $RUN_AS && $SCOPE == user ]]; then
    usage_error "--run-as goes with --system, as root: sudo ./install.sh --system --run-as $RUN_AS"
  fi
  if [[ $SCOPE == system ]] && ((EUID)); then usage_error '--system needs root: sudo ./install.sh --system …'; fi
  if [[ $SCOPE == user && -n ${SUDO_USER-} ]] && ((!EUID)); then
    usage_error '--user installs for yourself: run it without sudo'
  fi
  aim "$(id -un)" || fail 'the user who calls this has no entry in the password database'
  if [[ -z $PREFIX ]]; then
    if ((EUID)); then PREFIX=$TARGET_HOME/.local; else PREFIX=/usr/local; fi
  fi
  PREFIX=${PREFIX%/}
  if [[ $PREFIX =~ [^A-Za-z0-9/._+@=:,~-] || $PREFIX == */..* ]]; then
    usage_error "--prefix '$PREFIX': a path that systemd and cron can read has only letters, digits and ._+@=:,~-"
  fi
  PROGRAM=$PREFIX/bin/session-sweep
  MANIFEST=$PREFIX/share/session-sweep/install-manifest
  if ((!EUID)); then check_prefix; fi
  if [[ -n $RUN_AS ]]; then check_user_name; fi
  if [[ $UNINSTALL == yes ]]; then return; fi
  if [[ $SCOPE == system ]]; then decide_user; fi
  case $DIR in
    *[[:cntrl:]]*) usage_error '--dir has a control character' ;;
    '' | \~ | \~/*) DIR=${DIR/#\~/"$TARGET_HOME"} ;;
    *) DIR=$(absolute "$DIR") ;;
  esac
  CONFIG=$TARGET_HOME/.config/session-sweep/config.toml
  root_only=$(root_schedule)
  if ((EUID)) && [[ -n $root_only ]]; then
    fail "root has scheduled it for $TARGET already ($root_only). Remove that first:
  sudo ./install.sh --uninstall --system --run-as $TARGET"
  fi
  decide_method
  if [[ $METHOD != none ]]; then check_other_schedules; fi
  decide_interval
}

# Root writes and starts programs only where nobody else can put something in the way.
check_prefix() {
  local folder
  for folder in '' bin share/session-sweep share/man/man1 share/bash-completion/completions share/zsh/site-functions \
    share/fish/vendor_completions.d; do
    check_way "$PREFIX/$folder"
    check_way "$(realpath -m -- "$PREFIX/$folder")" # the same where there is a link
  done
}

check_way() { # PATH
  local path=${1%/}
  while [[ $path != / && -n $path ]]; do
    if [[ -e $path && ($(stat -Lc %u "$path") != 0 || $((0$(stat -Lc %a "$path") & 2)) != 0) ]]; then
      usage_error "--prefix $PREFIX: $path belongs to somebody else than root or can be written by everybody"
    fi
    path=${path%/*}
  done
}

check_user_name() {
  if [[ ! $RUN_AS =~ ^[A-Za-z0-9_][A-Za-z0-9_.-]*$ ]]; then usage_error "--run-as '$RUN_AS' is no user name"; fi
}

decide_user() {
  if [[ -z $RUN_AS && ${SUDO_USER:-root} != root ]]; then RUN_AS=$SUDO_USER; fi
  if [[ -z $RUN_AS ]] && can_ask; then
    read -rp 'Which user runs the bridge and its CLIs? ' RUN_AS || true
  fi
  if [[ -z $RUN_AS ]]; then usage_error 'name the user who runs the bridge and its CLIs: --run-as USER'; fi
  check_user_name
  aim "$RUN_AS" || fail "there is no user '$RUN_AS' on this machine"
  if [[ $TARGET_HOME != /* || ! -d $TARGET_HOME ]]; then fail "the home of $TARGET, '$TARGET_HOME', is not there"; fi
}

root_schedule() {
  if has system-timer; then say "session-sweep@$TARGET.timer"; elif has system-cron; then say "$CRON_FILE"; fi
}

decide_method() {
  local answer kind
  for kind in timer cron; do
    if [[ -z $METHOD ]] && has "$SCOPE-$kind"; then METHOD=$kind; fi
  done
  if [[ -z $METHOD ]] && can_ask; then
    say 'What is to run it?'
    say '  1) a systemd timer (recommended)'
    say '  2) cron'
    say '  3) neither: I start it myself'
    while [[ -z $METHOD ]]; do
      read -rp 'Choose 1, 2 or 3: ' answer || fail 'no answer'
      case $answer in 1) METHOD=timer ;; 2) METHOD=cron ;; 3) METHOD=none ;; esac
    done
  fi
  if [[ -z $METHOD ]]; then
    METHOD=cron
    if [[ -d /run/systemd/system ]]; then METHOD=timer; fi
  fi
  if [[ $METHOD == timer && ! -d /run/systemd/system ]]; then
    fail 'systemd does not run this machine: take --cron or --no-schedule'
  fi
  if [[ $METHOD == cron ]]; then
    if [[ $SCOPE == user ]]; then command -v crontab >/dev/null; else [[ -d /etc/cron.d ]]; fi ||
      fail 'there is no cron on this machine: install one, or take --systemd'
  fi
}

can_ask() { [[ $YES == no && $DRY_RUN == no && -t 0 ]]; }

confirm() {
  local answer
  if [[ $YES == yes || $CHANGES == 0 ]]; then return; fi
  read -rp 'Do this? [Y/n] ' answer || answer=no
  if [[ ! $answer =~ ^([Yy]|[Yy]es)?$ ]]; then
    say 'Nothing was changed.'
    exit 0
  fi
}

# Variables that move a CLI's files: whoever set them in a shell has them there, and not in a timer or in cron.
MOVING_VARIABLES='CLAUDE_CONFIG_DIR claude
CODEX_HOME codex
GEMINI_CLI_HOME gemini /.gemini
QWEN_RUNTIME_DIR qwen
QWEN_HOME qwen
COPILOT_HOME copilot
GOOSE_PATH_ROOT goose /data'

notes_on_environment() {
  local variable provider below
  if [[ $METHOD == none || ($TARGET != "$(id -un)" && $TARGET != "${SUDO_USER-}") ]]; then return; fi
  while read -r variable provider below; do
    if [[ -n ${!variable-} ]]; then
      note "$variable is set here, and will not be where it is scheduled. Add to $CONFIG:
  [[provider]]
  name = \"$provider\"
  home = \"${!variable}$below\""
    fi
  done <<<"$MOVING_VARIABLES"
  if [[ -n ${CLAUDE_SESSION_DIR-} && -z $DIR ]]; then
    note "CLAUDE_SESSION_DIR is set here, and will not be where it is scheduled: give --dir '$CLAUDE_SESSION_DIR'"
  fi
  while read -r variable below; do
    if [[ -n ${!variable-} && ${!variable%/} != "$TARGET_HOME/$below" ]]; then
      note "$variable is set here, and will not be where it is scheduled: ~/$below is what counts there"
    fi
  done <<<$'XDG_CONFIG_HOME .config\nXDG_STATE_HOME .local/state\nXDG_DATA_HOME .local/share'
}

notes_on_the_original() {
  local folder
  if command -v crontab >/dev/null && ! crontab_now; then
    note "the crontab of $TARGET could not be read ($(said)): what it runs is not known"
  fi
  if crontab_now && grep -q '^[^#].*cleanup_idle_sessions\.py' "$WORK/crontab"; then
    note "the crontab of $TARGET still runs cleanup_idle_sessions.py, which forgets sessions that it does not find:" \
      'take it out with crontab -e'
  fi
  for folder in /etc/systemd/system "$TARGET_HOME/.config/systemd/user"; do
    if [[ -e $folder/claude-session-cleanup.timer ]]; then
      note "$folder/claude-session-cleanup.timer runs cleanup_idle_sessions.py, which forgets sessions that it does" \
        'not find: systemctl disable --now claude-session-cleanup.timer'
    fi
  done
}

# The last step: what the first run would do, as the user and with the settings it will have.
rehearse() {
  local status=0 when=''
  as_user "$PROGRAM" sweep --dry-run >"$WORK/rehearsal" 2>&1 </dev/null || status=$?
  case $METHOD in
    timer)
      timer "$SCOPE"
      when="at $("${CTL[@]}" show --property=NextElapseUSecRealtime --value "$UNIT.timer") ($UNIT.timer)"
      ;;
    cron) when="by cron ($INTERVAL)" ;;
    none) when="with 'session-sweep sweep'" ;;
  esac
  say
  say "The first run, $when, would do this:"
  sed 's/^/  /' "$WORK/rehearsal"
  if ((status != 0 && status != 3 && status != 4)); then
    fail "a dry run ended with exit status $status: see above"
  fi
}

tell_notes() {
  local text
  for text in "${NOTES[@]}"; do say "Note: $text"; done
}

# ---------------------------------------------------------------------------------------------------------------- story

install_steps() {
  install_program
  in_home folder "$TARGET_HOME/.local/state/session-sweep" 700
  configure
  schedule
  write_manifest
  notes_on_environment
  notes_on_the_original
  if [[ $TARGET_UID == 0 ]]; then note 'it runs as root, for the CLIs that root uses: is that meant?'; fi
  if [[ :$PATH: != *:$PREFIX/bin:* ]]; then note "$PREFIX/bin is not in the PATH of this shell"; fi
}

uninstall_steps() {
  local who kind users others
  : >"$WORK/manifest.before"
  if [[ -e $MANIFEST ]]; then cp "$MANIFEST" "$WORK/manifest.before"; fi
  if [[ $SCOPE == user ]]; then users=$TARGET; else users=${RUN_AS:-$(installed_for)}; fi
  if [[ $SCOPE == user && -n $(root_schedule) ]]; then
    PURGE=no
    sed -i '\|/.local/state|d' "$WORK/manifest.before"
    note "configuration and state stay, as root has scheduled it for $TARGET, too ($(root_schedule)). To remove that:
  sudo ./install.sh --uninstall --run-as $TARGET"
  fi
  if [[ $SCOPE == user ]]; then remove_heartbeat; fi
  for who in $users; do
    if ! aim "$who" && [[ -n $RUN_AS ]]; then
      if ! installed_for | grep -Fx -- "$who" >/dev/null; then fail "there is no user '$who' on this machine"; fi
      note "there is no user '$who' on this machine any more"
    fi
    for kind in "$SCOPE-timer" "$SCOPE-cron"; do
      if has "$kind"; then unschedule "$kind"; fi
    done
    if [[ $PURGE == yes && -n $TARGET_HOME ]]; then purge; fi
  done
  if [[ $SCOPE == user ]]; then
    timer user
    unlinger
  fi
  if [[ $PURGE == yes ]]; then note "the map, its lock and its tombstones stay: they are the bridge's"; fi
  others=''
  if [[ $SCOPE == system && -n $RUN_AS ]]; then others=$(installed_for | grep -vFx -- "$RUN_AS" || true); fi
  if [[ -z $others ]]; then
    remove_program
  elif [[ -e $MANIFEST ]]; then
    mapfile -t -O "${#FORGET[@]}" FORGET < <(awk -v who="$RUN_AS" '$1 == "folder" && $2 == who' "$MANIFEST")
    write_manifest
    note "the program stays, as it was installed for ${others//$'\n'/, }, too"
  fi
  REMOVED_FOR=${others:+$RUN_AS}
}

installed_for() { # the users for whom root installed it
  {
    users_with_timer
    users_with_cron
    sed -n 's/^folder \([^-][^ ]*\) .*/\1/p' "$WORK/manifest.before"
  } | sort -u
}

# Readable by us alone, but the user we act for has to run the program in it: not everywhere that is allowed in /tmp.
make_work_folder() {
  local place
  for place in "${TMPDIR:-/tmp}" /tmp /var/tmp "${HOME:-/}"; do
    WORK=$(mktemp -d -p "$(absolute "$place")") || continue
    chmod 711 "$WORK"
    printf '#!/bin/sh\n' >"$WORK/try"
    chmod 755 "$WORK/try"
    if ((EUID)); then "$WORK/try"; else runuser -u nobody -- "$WORK/try"; fi 2>/dev/null && return
    rm -rf "$WORK"
  done
  fail 'there is no folder for temporary files in which a program may run: set TMPDIR'
}

start_pass() { # yes|no: dry or not
  DRY=$1 CHANGES=0 RECORD=() FORGET=() NOTES=() TOLD=()
}

main() {
  local step steps=install_steps
  parse_options "$@"
  trap at_exit EXIT
  trap 'REASON=interrupted; printf "install.sh: interrupted\n" >&2; exit 130' INT TERM HUP
  if [[ $YES$DRY_RUN == nono ]] && ! can_ask; then
    usage_error 'there is no terminal to ask on: give --yes, or --dry-run to see what it would do'
  fi
  make_work_folder
  decide
  cd /
  if [[ $UNINSTALL == yes ]]; then
    steps=uninstall_steps
  else
    [[ -d $HERE/packaging/systemd ]] || fail "the folder packaging/ belongs beside this script; it is not in $HERE"
    build
    stage
    check_settings
  fi
  if [[ $YES == no || $DRY_RUN == yes ]]; then
    start_pass yes
    "$steps"
    if [[ $DRY_RUN == yes ]]; then
      tell_notes
      say "Nothing was changed; $CHANGES to do."
      return
    fi
    confirm
  fi
  start_pass no
  "$steps"
  if [[ $UNINSTALL == no ]]; then rehearse; fi
  trap '' INT TERM HUP # nothing is undone any more
  UNDO=()
  for step in "${AFTER[@]}"; do eval "$step"; done
  if [[ $UNINSTALL == yes ]]; then remove_folders "$WORK/manifest.before" "$REMOVED_FOR"; fi
  UNDO=()
  tell_notes
  if ((CHANGES == 0)); then say 'Nothing had to be changed.'; fi
}

main "$@"
