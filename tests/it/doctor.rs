//! `doctor`: each check, right and wrong.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::left_behind::{id, nested};
use crate::machine::{as_ordinary_user, is_root, set_mode};
use crate::scheduled::{AT, me, recorded};
use crate::test_bridge::{Bridge, Instead};
use crate::world::{CLAUDE_ID, CODEX_ID, GEMINI_ID, Ran, World};

const CRONTAB: &str = "17 * * * * PROGRAM sweep --quiet --started-by cron\n";

/// A machine on which all is well, with a timer of the user.
pub(crate) fn well() -> World {
    let mut world = World::new();
    world.systemd("user", "user", &World::program());
    world.variable("CLAUDE_SESSION_DIR", "");
    let config = format!("[map]\ndir = \"{}\"\n", world.bridge().display());
    world.file(".config/session-sweep/config.toml", config, 0);
    world.claude(CLAUDE_ID, 3);
    world.codex(CODEX_ID, 3);
    world.map(&nested(&[("claude-cli", "a", CLAUDE_ID), ("codex-cli", "b", CODEX_ID)]));
    world.run_log(&[json!({"at": "2026-11-20T16:34:25.4Z", "started_by": "timer", "took_ms": 12, "exit": 0})]);
    world
}

fn crontab() -> String {
    CRONTAB.replace("PROGRAM", World::program().to_str().unwrap())
}

/// One check's answer.
pub(crate) struct Answer {
    pub(crate) status: String,
    pub(crate) message: String,
    remedy: String,
}

impl Answer {
    fn of(document: &Value, id: &str) -> Self {
        let checks = document["checks"].as_array().unwrap();
        let check = checks.iter().find(|check| check["id"] == id).unwrap();
        let text = |key: &str| check[key].as_str().unwrap_or_default().to_owned();
        Self { status: text("status"), message: text("message"), remedy: text("remedy") }
    }

    #[track_caller]
    pub(crate) fn is(&self, status: &str, message: &str, remedy: &str) {
        assert_eq!(self.status, status, "{}", self.message);
        assert!(self.message.contains(message), "{:?} in {:?}", message, self.message);
        assert!(self.remedy.contains(remedy), "{:?} in {:?}", remedy, self.remedy);
    }
}

#[track_caller]
pub(crate) fn check(world: &World, id: &str) -> Answer {
    Answer::of(&world.json_then(&["doctor"]), id)
}

/// The check as somebody whom permissions bind.
#[track_caller]
fn check_as_ordinary_user(world: &World, id: &str) -> Answer {
    let ran = Ran::of(&mut as_ordinary_user(world, world.command_at_present(&["doctor", "--json"]).args(["--at", AT])));
    Answer::of(&serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}")), id)
}

#[test]
fn all_is_well_on_a_machine_that_is_set_up() {
    let world = well();
    let document = world.json_then(&["doctor"]);
    for check in document["checks"].as_array().unwrap() {
        assert_eq!(check["status"], "ok", "{check}");
    }
    world.run_then(&["doctor"]).ends_with(0);
}

#[test]
fn the_exit_code_says_whether_something_is_wrong_or_unknown() {
    let world = well();
    world.file(".claude/settings.json", "{\"cleanupPeriodDays\": 1}", 0);
    let warned = world.run_then(&["doctor"]).ends_with(0);
    assert!(warned.stdout.contains("1 warning, 0 wrong"), "{warned:?}");
    world.file(".claude/settings.json", "{", 0);
    world.run_then(&["doctor"]).ends_with(4);
    world.map("{");
    world.run_then(&["doctor"]).ends_with(1);
    let quiet = world.run_then(&["doctor", "--quiet"]).ends_with(1);
    assert!(quiet.stdout.is_empty() && quiet.stderr.contains("map-readable: "), "{quiet:?}");
}

#[test]
fn a_wrong_configuration_is_a_finding_and_the_other_checks_still_run() {
    let world = well();
    world.file(".config/session-sweep/config.toml", "[map]\nidel = \"1h\"\nmissing = \"soon\"\n", 0);
    let document = world.json_then(&["doctor"]);
    let config = Answer::of(&document, "config");
    config.is("wrong", "2 problems", "did you mean `idle`?");
    for id in ["map-readable", "map-writable", "stores", "registry", "processes", "queues", "retention"] {
        Answer::of(&document, id).is("unknown", "depends on the configuration", "put the configuration right");
    }
    for id in ["schedule", "last-run", "binary", "clock", "state-folder"] {
        assert_eq!(Answer::of(&document, id).status, "ok", "{id}");
    }
    world.run_then(&["doctor"]).ends_with(1);
}

#[test]
fn without_a_home_what_depends_on_it_is_unknown() {
    let world = well();
    let ran = Ran::of(world.command_at_present(&["doctor", "--json"]).env_remove("HOME")).ends_with(1);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    Answer::of(&document, "config").is("wrong", "HOME", "set HOME");
    Answer::of(&document, "state-folder").is("unknown", "HOME", "");
    assert_eq!(Answer::of(&document, "schedule").status, "ok");
}

#[test]
fn settings_of_this_shell_that_a_timer_does_not_see_are_told() {
    let mut world = well();
    let bridge = world.bridge();
    world.variable("CLAUDE_SESSION_DIR", &bridge);
    let remedy = format!("session-sweep config set map.dir {}", bridge.display());
    check(&world, "config").is("warning", "map.dir here by CLAUDE_SESSION_DIR, which timers", &remedy);
    for (variable, message) in [
        ("XDG_CONFIG_HOME", "the configuration is moved here by XDG_CONFIG_HOME"),
        ("XDG_STATE_HOME", "they use ~/.local/state/session-sweep"),
    ] {
        let mut moved = well();
        moved.variable(variable, "/nonexistent");
        check(&moved, "config").is("warning", message, variable);
        let mut same = well();
        let usual = same.home().join(if variable == "XDG_STATE_HOME" { ".local/state" } else { ".config" });
        same.variable(variable, usual);
        assert_eq!(check(&same, "config").status, "ok");
    }
    // What is copied from here is for a shell.
    let mut spaced = well();
    let folder = spaced.root().join("a b;c");
    fs_err::create_dir(&folder).unwrap();
    spaced.variable("CLAUDE_SESSION_DIR", &folder);
    let remedy = format!("session-sweep config set map.dir '{}'", folder.display());
    check(&spaced, "config").is("warning", "map.dir here", &remedy);
    let mut misspelt = well();
    misspelt.variable("SESSION_SWEEP_MAP_IDEL", "1h");
    check(&misspelt, "config").is("warning", "SESSION_SWEEP_MAP_IDEL", "did you mean");
}

#[test]
fn a_map_that_is_missing_or_cannot_be_read_is_told() {
    let world = well();
    check(&world, "map-readable").is("ok", "2 mappings in", "");
    world.map("{\"a\": 1, \"b\": [2]}");
    check(&world, "map-readable").is("warning", "2 members of another form", "docs/bridge.md");
    world.map("{ no map");
    check(&world, "map-readable").is("wrong", "nothing was touched", "");
    check(&world, "retention").is("unknown", "cannot be read", "map-readable");
    fs_err::remove_file(world.map_path()).unwrap();
    check(&world, "map-readable").is("warning", "no session map at", "config set map.dir");
    assert_eq!(check(&world, "map-writable").status, "ok");
    fs_err::remove_dir_all(world.bridge()).unwrap();
    check(&world, "map-writable").is("warning", "there is no folder", "config set map.dir");
    let world = well();
    let closed = world.root().join("closed/bridge");
    fs_err::create_dir_all(&closed).unwrap();
    let config = format!("[map]\ndir = \"{}\"\n", closed.display());
    world.file(".config/session-sweep/config.toml", config, 0);
    set_mode(closed.parent().unwrap(), 0o000);
    check_as_ordinary_user(&world, "map-writable").is("unknown", "Permission denied", "run as the bridge's user");
    set_mode(closed.parent().unwrap(), 0o755);
    let world = well();
    set_mode(&world.map_path(), 0o000);
    check_as_ordinary_user(&world, "map-readable").is("wrong", "Permission denied", "bridge's user");
}

#[test]
fn a_map_that_cannot_be_written_is_told() {
    let world = well();
    check(&world, "map-writable").is("ok", "can be changed", "");
    set_mode(&world.bridge(), 0o555);
    check_as_ordinary_user(&world, "map-writable").is("wrong", "cannot write to the folder", "bridge's user");
    set_mode(&world.bridge(), 0o755);
    fs_err::os::unix::fs::symlink("/dev/null", world.bridge().join("session_map.lock")).unwrap();
    check(&world, "map-writable").is("wrong", "session_map.lock: it is no regular file", "");
    if is_root() {
        let world = well();
        set_mode(&world.bridge(), 0o1777);
        std::os::unix::fs::chown(world.map_path(), Some(1234), None).unwrap();
        check(&world, "map-writable").is("wrong", "belongs to another user", "");
    }
}

#[test]
fn a_map_of_another_owner_is_his_to_replace() {
    if !is_root() {
        return; // Only root can give files away.
    }
    let world = well();
    let mut command = as_ordinary_user(&world, world.command_at_present(&["doctor", "--json"]).args(["--at", AT]));
    std::os::unix::fs::chown(world.map_path(), Some(1234), None).unwrap();
    let document: Value = serde_json::from_str(&Ran::of(&mut command).stdout).unwrap();
    Answer::of(&document, "map-writable").is("wrong", "only its owner or root can replace it", "bridge's user");
}

/// A machine on which all is well, with an enabled registry in a folder of its own.
fn with_registry() -> (World, PathBuf) {
    let world = well();
    let base = world.root().join("coordination");
    fs_err::create_dir(&base).unwrap();
    fs_err::write(base.join("claude_sessions.json"), "{\"3\": {\"status\": \"active\"}}").unwrap();
    let map = format!("[map]\ndir = \"{}\"\n", world.bridge().display());
    let config = format!("{map}[registry]\nenabled = true\nbase = \"{}\"\n", base.display());
    world.file(".config/session-sweep/config.toml", config, 0);
    (world, base)
}

#[test]
fn a_registry_that_cannot_be_swept_is_told() {
    check(&well(), "registry").is("ok", "there is none", "");
    let (mut world, _) = with_registry();
    check(&world, "registry").is("ok", "1 session in", "");
    world.variable("SESSION_SWEEP_REGISTRY_ENABLED", "false");
    check(&world, "registry").is("ok", "a sweep leaves it alone", "");
    let (world, base) = with_registry();
    fs_err::write(base.join("claude_sessions.json"), "{ no registry").unwrap();
    check(&world, "registry").is("wrong", "claude_sessions.json: not valid JSON", "put it right");
    fs_err::remove_file(base.join("claude_sessions.json")).unwrap();
    check(&world, "registry").is("warning", "there is no registry at", "config set registry.base");
    let (world, base) = with_registry();
    set_mode(&base, 0o555);
    check_as_ordinary_user(&world, "registry").is("wrong", "cannot write to the folder", "registry's user");
    set_mode(&base, 0o755);
}

#[test]
fn a_service_that_may_not_write_the_registry_is_told() {
    let (mut world, base) = with_registry();
    world.says("user/list", "");
    world.systemd("system", "system", &World::program());
    let remedy = format!("ReadWritePaths={}", base.display());
    check(&world, "registry").is("wrong", "session-sweep@anna.service cannot write", &remedy);
    let services = fs_err::read_to_string(world.root().join("tools/system/services.txt")).unwrap();
    world.says("system/services", &services.replace("/srv/bridge", &base.display().to_string()));
    check(&world, "registry").is("ok", "1 session in", "");
}

#[test]
fn a_service_that_may_not_write_the_map_or_the_state_is_told() {
    let mut world = well();
    world.says("user/list", "");
    world.systemd("system", "system", &World::program());
    let bridge = world.bridge();
    let remedy = format!("ReadWritePaths={}", bridge.display());
    let unit = "session-sweep@anna.service";
    check(&world, "map-writable").is("wrong", &format!("{unit} cannot write"), &remedy);
    check(&world, "state-folder").is("warning", "keeps no log", "ReadWritePaths=-");
    let writable = format!("{} \"{}\"", bridge.display(), world.home().display());
    let services = fs_err::read_to_string(world.root().join("tools/system/services.txt")).unwrap();
    world.says("system/services", &services.replace("/srv/bridge", &writable));
    assert_eq!(check(&world, "map-writable").status, "ok");
    assert_eq!(check(&world, "state-folder").status, "ok");
    let other_tmp =
        services.replace("ProtectSystem=strict", "ProtectSystem=no").replace("PrivateTmp=no", "PrivateTmp=yes");
    world.says("system/services", &other_tmp);
    if bridge.starts_with("/tmp") {
        check(&world, "map-writable").is("wrong", "PrivateTmp", "");
    }
}

#[test]
fn stores_that_only_this_shell_knows_of_are_told() {
    let mut world = well();
    check(&world, "stores").is("ok", "claude, codex", "");
    let moved = world.home().join("moved");
    fs_err::rename(world.home().join(".codex"), &moved).unwrap();
    world.variable("CODEX_HOME", &moved);
    let lines = "`[[provider]]`, `name = \"codex\"` and `home = \"~/moved\"`";
    check(&world, "stores").is("warning", "codex is in ~/moved by CODEX_HOME", lines);
    // Where the configuration says the same, a timer knows it, too.
    let row = "[[provider]]\nname = \"codex\"\nhome = \"~/moved\"\n";
    let config = format!("[map]\ndir = \"{}\"\n{row}", world.bridge().display());
    world.file(".config/session-sweep/config.toml", config, 0);
    assert_eq!(check(&world, "stores").status, "ok");
    // A variable that leads nowhere says nothing about a store.
    world.variable("GEMINI_CLI_HOME", "/nonexistent");
    assert_eq!(check(&world, "stores").status, "ok");
    let empty = World::new();
    check(&empty, "stores").is("warning", "no folder of any known CLI", "");
    let world = well();
    set_mode(&world.home().join(".claude"), 0o000);
    check_as_ordinary_user(&world, "stores").is("wrong", "the claude store ~/.claude cannot be read", "");
    set_mode(&world.home().join(".claude"), 0o755);
}

#[test]
fn it_is_scheduled_exactly_once() {
    let mut world = well();
    check(&world, "schedule").is("ok", "systemd user: session-sweep.timer, every 1h", "");
    world.crontab(&crontab());
    let removal = "keep session-sweep.timer: remove its line with `crontab -e`";
    check(&world, "schedule").is("wrong", "scheduled 2 times: session-sweep.timer, crontab of", removal);
    world.systemd("system", "system", &World::program());
    let removal = "sudo systemctl disable --now session-sweep@anna.timer; remove its line";
    check(&world, "schedule").is("wrong", "scheduled 3 times", removal);
    for place in ["user/list", "system/list"] {
        world.says(place, "");
    }
    check(&world, "schedule").is("ok", "cron: crontab of", "");
    world.says("cron/crontab", &format!("#{}", crontab()));
    check(&world, "schedule").is("wrong", &format!("nothing runs session-sweep for {}", me()), "./install.sh");
    world.says("system/error", "Failed to list units: Access denied\n");
    check(&world, "schedule").is("unknown", "systemd system: Failed to list units: Access denied", "");
    world.says("cron/crontab", &crontab());
    check(&world, "schedule").is("unknown", "Access denied", "");
    // Two are too many, whatever else there is.
    world.says("cron/crontab", &crontab().repeat(2));
    assert_eq!(check(&world, "schedule").status, "wrong");
}

#[test]
fn a_timer_that_does_not_run_or_will_not_after_a_reboot_is_told() {
    let mut world = well();
    world.says("user/list", "");
    world.systemd("system", "waiting", &World::program());
    let start = "sudo systemctl start session-sweep@anna.timer";
    check(&world, "schedule").is("wrong", "enabled, but not running", start);
    world.says("system/timers", &recorded("system/timers.txt").replace("=enabled", "=disabled"));
    let enable = "sudo systemctl enable session-sweep@anna.timer";
    check(&world, "schedule").is("warning", "it ends with the next reboot", enable);
}

#[test]
fn a_timer_that_ends_with_the_users_session_is_told() {
    let mut world = well();
    world.login("Linger=no\n");
    let words = "session-sweep.timer is enabled, but runs only while you are logged in";
    check(&world, "schedule").is("warning", words, &format!("sudo loginctl enable-linger {}", me()));
    for id in ["last-run", "binary"] {
        assert_eq!(check(&world, id).status, "ok", "{id}");
    }
    world.login("Linger=yes\n");
    assert_eq!(check(&world, "schedule").status, "ok");
}

#[test]
fn the_last_run_was_lately_and_no_failure() {
    let world = well();
    check(&world, "last-run").is("ok", "done, 15m ago", "");
    let log = |exit: i32| {
        json!({"at": "2026-11-20T16:34:26Z", "started_by": "timer", "took_ms": 1, "exit": exit,
        "error": "the \"reason\""})
    };
    for (exit, status, message) in [
        (1, "wrong", "failed: the \"reason\""),
        (2, "wrong", "wrong usage or configuration"),
        (3, "warning", "another run held the lock"),
        (4, "warning", "partial"),
    ] {
        world.run_log(&[log(exit)]);
        let remedy = if status == "wrong" { "journalctl --user -u session-sweep" } else { "--dry-run" };
        check(&world, "last-run").is(status, message, remedy);
    }
    // A run by hand is none of the schedule's.
    let hand = json!({"at": "2026-11-20T16:40:00Z", "started_by": "hand", "took_ms": 1, "exit": 1});
    world.run_log(&[log(0), hand]);
    assert_eq!(check(&world, "last-run").status, "ok");
    // The second one after it is due at six, five minutes later by the timer's delay, and may take five until it is seen.
    let at = |time: &str| Answer::of(&world.json_at(time, &["doctor"]), "last-run");
    assert_eq!(at("2026-11-20T18:10:00Z").status, "ok");
    at("2026-11-20T18:11:00Z").is("wrong", "the last run was 1.6h ago, and another should have begun by", "journalctl");
}

#[test]
fn a_run_log_that_never_ends_is_unknown() {
    let world = well();
    let log = world.home().join(".local/state/session-sweep/runs.jsonl");
    fs_err::remove_file(&log).unwrap();
    assert!(Command::new("mkfifo").arg(&log).status().unwrap().success());
    check(&world, "last-run").is("unknown", "runs.jsonl is no regular file", "");
    world.run_then(&["status"]).ends_with(4);
}

#[test]
fn the_runtime_folder_of_another_user_is_not_asked() {
    if !is_root() {
        return; // Only root can give folders away.
    }
    let mut world = well();
    let other = world.root().join("run-of-1234");
    fs_err::create_dir_all(other.join("systemd")).unwrap();
    std::os::unix::fs::chown(&other, Some(1234), None).unwrap();
    world.variable("XDG_RUNTIME_DIR", &other);
    world.says("user/error", "Failed to connect to bus: Operation not permitted\n");
    world.crontab(&crontab());
    check(&world, "schedule").is("ok", "cron: crontab of", "");
    // What root cannot look at, root cannot look at as root.
    world.says("system/error", "Access denied\n");
    assert!(!check(&world, "schedule").remedy.contains("run as root"));
}

#[test]
fn messages_and_remedies_are_no_words_for_a_terminal() {
    let mut world = well();
    world.variable("CLAUDE_SESSION_DIR", world.root().join("a\u{1b}[31mb"));
    let text = world.run_then(&["doctor"]).stdout;
    assert!(!text.contains('\u{1b}') && text.contains(r"a\u{1b}[31mb'"), "{text}");
    assert!(text.matches(r"\u{1b}[31m").count() >= 2, "{text}");
}

#[test]
fn where_nobody_says_when_runs_are_due_the_age_of_the_last_one_is_told() {
    let world = well();
    world.says("calendar/calendar", "");
    let message = "the last run was 15m ago, and when the next one is due could not be found out";
    check(&world, "last-run").is("unknown", message, "journalctl --user -u session-sweep");
}

#[test]
fn a_program_that_systemd_could_not_start_is_told() {
    let mut world = well();
    world.says("user/list", "");
    world.systemd("system", "missed", &World::program());
    check(&world, "last-run").is("wrong", "systemd could not start the program", "./install.sh");
}

#[test]
fn a_schedule_that_has_not_run_yet_is_told_with_its_first_run() {
    let mut world = well();
    world.says("user/list", "");
    world.run_log(&[]);
    world.systemd("system", "never", &World::program());
    check(&world, "last-run").is("warning", "it has not run yet; the first run is due at 2026-11-20T17:00:53Z", "");
    world.says("system/list", "");
    world.crontab(&crontab().replace(" sweep", " prune"));
    check(&world, "last-run").is("warning", "`prune`, which keeps no log", "session-sweep sweep");
    world.crontab("@reboot session-sweep sweep\n");
    check(&world, "last-run").is("wrong", "no run is due", "see that cron runs");
    world.crontab("");
    check(&world, "last-run").is("unknown", "nothing is scheduled", "./install.sh");
    let log = world.home().join(".local/state/session-sweep/runs.jsonl");
    fs_err::remove_file(&log).unwrap();
    fs_err::create_dir(&log).unwrap();
    check(&world, "last-run").is("unknown", "runs.jsonl", "");
}

#[test]
fn cron_that_does_not_run_is_told() {
    let mut world = well();
    world.says("user/list", "");
    world.crontab(&crontab());
    let run = |at: &str| json!({"at": at, "started_by": "cron", "took_ms": 1, "exit": 0});
    world.run_log(&[run("2026-11-20T15:17:00Z")]);
    check(&world, "last-run").is("ok", "done, 1.5h ago", "");
    world.run_log(&[run("2026-11-20T14:17:00Z")]);
    let message = "the last run was 2.5h ago, and another should have begun by 2026-11-20T16:22:00Z";
    check(&world, "last-run").is("wrong", message, "systemctl status cron");
    // While the machine was off, no run was due.
    world.machine_file("proc/stat", "cpu 1\nbtime 1795188600\n");
    check(&world, "last-run").is("ok", "done, 2.5h ago", "");
}

#[test]
fn nights_and_weekends_without_a_run_are_no_alarm() {
    let mut world = well();
    world.says("user/list", "");
    let at = |world: &World, time: &str| Answer::of(&world.json_at(time, &["doctor"]), "last-run").status;
    for (expression, last, fine, late) in [
        ("30 9 * * 1-5", "2026-11-20T09:30:00Z", "2026-11-23T09:40:00Z", "2026-11-24T09:36:00Z"),
        ("0 9-17 * * 1-5", "2026-11-20T17:00:00Z", "2026-11-23T10:00:00Z", "2026-11-23T10:06:00Z"),
    ] {
        world.crontab(&crontab().replace("17 * * * *", expression));
        world.run_log(&[json!({"at": last, "started_by": "cron", "took_ms": 1, "exit": 0})]);
        assert_eq!(at(&world, fine), "ok", "{expression}");
        assert_eq!(at(&world, late), "wrong", "{expression}");
    }
}

#[test]
fn a_line_for_cron_on_a_machine_where_no_cron_runs_is_told() {
    let mut world = well();
    world.says("user/list", "");
    world.crontab(&crontab());
    world.machine_file("proc/1/comm", "init\n");
    let message = format!("crontab of {} has a line for it, and no cron runs on this machine", me());
    check(&world, "schedule").is("wrong", &message, "sudo systemctl enable --now cron");
    world.machine_file("proc/77/comm", "cron\n");
    assert_eq!(check(&world, "schedule").status, "ok");
}

#[test]
fn a_line_for_cron_that_never_runs_does_not_stay_new_for_ever() {
    let mut world = well();
    world.says("user/list", "");
    world.run_log(&[]);
    world.crontab(&crontab());
    // When a line was written into the user's own crontab can be told by the folder of all crontabs.
    let tomorrow = (chrono::Utc::now() + chrono::TimeDelta::days(1)).to_rfc3339();
    let last_run = |world: &World| Answer::of(&world.json_at(&tomorrow, &["doctor"]), "last-run");
    last_run(&world).is("warning", "it has not run yet", "");
    world.machine_file("var/spool/cron/crontabs/anna", "");
    last_run(&world).is("wrong", "it has not run, and should have by", "see that cron runs");
    let soon = (chrono::Utc::now() + chrono::TimeDelta::minutes(30)).to_rfc3339();
    assert_eq!(Answer::of(&world.json_at(&soon, &["doctor"]), "last-run").status, "warning");
    world.crontab("");
    world.machine_file("etc/cron.d/session-sweep", &crontab().replace("* * * *", &format!("* * * * {}", me())));
    last_run(&world).is("wrong", "it has not run, and should have by", "");
}

#[test]
fn a_timer_that_never_fires_does_not_stay_new_for_ever() {
    let mut world = well();
    world.says("user/list", "");
    world.run_log(&[]);
    world.systemd("system", "never", &World::program());
    let last_run = |world: &World| Answer::of(&world.json_at("2026-11-20T18:11:00Z", &["doctor"]), "last-run");
    last_run(&world).is("warning", "it has not run yet", "");
    let timers = recorded("never/timers.txt");
    world.says("system/timers", &format!("ActiveEnterTimestamp=Fri 2026-11-20 16:40:00 UTC\n{timers}"));
    last_run(&world).is("wrong", "should have by 2026-11-20T18:10:00Z", "journalctl -u session-sweep@anna");
}

#[test]
fn a_line_that_was_changed_has_its_new_times_from_then_on() {
    let mut world = well();
    world.says("user/list", "");
    world.crontab(&crontab());
    let time = |minutes: i64| (chrono::Utc::now() + chrono::TimeDelta::minutes(minutes)).to_rfc3339();
    world.run_log(&[json!({"at": time(-9_000), "started_by": "cron", "took_ms": 1, "exit": 0})]);
    let last_run = |world: &World| Answer::of(&world.json_at(&time(30), &["doctor"]), "last-run").status;
    assert_eq!(last_run(&world), "wrong");
    world.machine_file("var/spool/cron/crontabs/anna", "");
    assert_eq!(last_run(&world), "ok");
}

#[test]
fn a_line_without_a_word_of_who_started_it_has_runs_all_the_same() {
    let mut world = well();
    world.says("user/list", "");
    world.crontab(&crontab().replace(" --started-by cron", ""));
    world.run_log(&[json!({"at": "2026-11-20T16:17:00Z", "started_by": "hand", "took_ms": 1, "exit": 0})]);
    check(&world, "last-run").is("ok", "done, 33m ago", "");
}

#[test]
fn the_machines_own_files_for_cron_are_read() {
    let world = well();
    world.says("user/list", "");
    world.run_log(&[json!({"at": "2026-11-20T16:17:00Z", "started_by": "cron", "took_ms": 1, "exit": 0})]);
    let line = |user: &str| crontab().replace("* * * *", &format!("* * * * {user}"));
    let path = world.machine_file("etc/cron.d/session-sweep", &line(&me()));
    let place = path.to_str().unwrap();
    check(&world, "schedule").is("ok", &format!("cron: {place}, every 1h"), "");
    for id in ["last-run", "binary"] {
        assert_eq!(check(&world, id).status, "ok", "{id}");
    }
    world.machine_file("etc/cron.d/session-sweep", &(line(&me()) + &line(&me()).replace("17", "18")));
    let removal = format!("keep {place} (17 * * * *): remove its line from {place} (as root)");
    check(&world, "schedule").is("wrong", "scheduled 2 times", &removal);
    world.machine_file("etc/cron.d/session-sweep", &line("not-me"));
    if is_root() {
        let doctor = "sudo -u not-me session-sweep doctor";
        check(&world, "schedule").is("warning", "nothing runs session-sweep for root, but for not-me", doctor);
        for id in ["last-run", "binary"] {
            check(&world, id).is("ok", "nothing is scheduled for root", "");
        }
    } else {
        check(&world, "schedule").is("wrong", "nothing runs session-sweep for", "./install.sh");
    }
}

#[test]
fn files_for_cron_that_may_not_be_read_matter_where_nothing_was_found() {
    let mut world = well();
    let foreign = world.machine_file("etc/cron.d/backup", "");
    let own = world.machine_file("etc/cron.d/session-sweep", "");
    for path in [&foreign, &own] {
        set_mode(path, 0o000);
    }
    let schedule = |world: &World| check_as_ordinary_user(world, "schedule");
    assert_eq!(schedule(&world).status, "ok");
    let verbose = Ran::of(&mut as_ordinary_user(&world, &world.command(&["status", "-v"]))).ends_with(0);
    assert!(verbose.stdout.contains("etc/cron.d/backup: "), "{verbose:?}");
    Ran::of(&mut as_ordinary_user(&world, &world.command(&["status"]))).ends_with(0);
    world.says("user/list", "");
    schedule(&world).is("unknown", "etc/cron.d/session-sweep: ", "run as root");
    set_mode(&own, 0o644);
    schedule(&world).is("wrong", "nothing runs session-sweep", "");
    set_mode(own.parent().unwrap(), 0o000);
    schedule(&world).is("unknown", "etc/cron.d: ", "run as root");
    // Its names may be seen, its files may not.
    set_mode(own.parent().unwrap(), 0o444);
    schedule(&world).is("unknown", "etc/cron.d/session-sweep: ", "run as root");
    set_mode(own.parent().unwrap(), 0o755);
    world.crontab(&crontab());
    assert_eq!(schedule(&world).status, "ok");
}

#[test]
fn of_a_timer_that_waits_for_a_login_the_unit_files_are_read() {
    let mut world = well();
    world.variable("XDG_RUNTIME_DIR", "/nonexistent");
    let unit = world.file(".config/systemd/user/sweeping.timer", "[Timer]\nOnCalendar=hourly\n", 0);
    let wants = world.home().join(".config/systemd/user/timers.target.wants");
    fs_err::create_dir(&wants).unwrap();
    fs_err::os::unix::fs::symlink(&unit, wants.join("sweeping.timer")).unwrap();
    // One that was taken away, and left its link.
    fs_err::os::unix::fs::symlink("/nonexistent", wants.join("session-sweep.timer")).unwrap();
    let starts = |line: &str| world.file(".config/systemd/user/sweeping.service", format!("[Service]\n{line}\n"), 0);
    starts("ExecStart=/bin/true");
    assert_eq!(check(&world, "schedule").status, "wrong");
    starts(&format!("ExecStart=-{} sweep --quiet", World::program().display()));
    check(&world, "schedule").is("warning", "sweeping.timer is enabled, but runs only while you are logged in", "");
    check(&world, "binary").is("ok", World::program().to_str().unwrap(), "");
    assert_eq!(check(&world, "last-run").status, "ok");
    let at = |time: &str| Answer::of(&world.json_at(time, &["doctor"]), "last-run");
    at("2026-12-20T16:50:00Z").is("wrong", "the last run was 30.0d ago, and another should", "");
}

#[test]
fn programs_of_others_are_not_started_to_find_out_what_they_are() {
    let world = well();
    let witness = world.root().join("witness");
    let wrapper = world.root().join("wrapper");
    let script = format!("printf '#!/bin/sh\n: >{}\n' >\"$0\"; chmod 755 \"$0\"", witness.display());
    assert!(Command::new("sh").args(["-c", &script]).arg(&wrapper).status().unwrap().success());
    let services = recorded("user/services.txt");
    let starts = |path: &std::path::Path, line: &str| {
        let plain = "path=/usr/local/bin/session-sweep ; argv[]=/usr/local/bin/session-sweep sweep";
        let services = services.replace(plain, &format!("path={} ; argv[]={line} sweep", path.display()));
        world.says("user/services", &services);
    };
    let program = World::program();
    starts(&wrapper, &format!("{} {}", wrapper.display(), program.display()));
    check(&world, "binary").is("ok", program.to_str().unwrap(), "");
    // It calls itself ours.
    starts(&wrapper, "session-sweep");
    check(&world, "binary").is("unknown", "it is not called session-sweep, and was not asked", "");
    assert!(!witness.exists());
}

#[test]
fn a_service_with_two_commands_is_seen() {
    let world = well();
    let services = fs_err::read_to_string(world.root().join("tools/user/services.txt")).unwrap();
    let other = "ExecStart={ path=/bin/true ; argv[]=/bin/true ; ignore_errors=no ; start_time=[n/a] }\n";
    for text in [format!("{other}{services}"), format!("{services}{other}")] {
        world.says("user/services", &text);
        check(&world, "schedule").is("ok", "session-sweep.timer", "");
    }
}

#[test]
fn another_program_that_prunes_the_same_map_is_told() {
    let mut world = well();
    world.crontab("#0 * * * * python3 /srv/cleanup_idle_sessions.py\n");
    assert_eq!(check(&world, "schedule").status, "ok");
    world.crontab("0 * * * * python3 /srv/cleanup_idle_sessions.py --max-idle-hours 2\n");
    let message = format!("beside session-sweep.timer, cleanup_idle_sessions prunes the same map: crontab of {}", me());
    check(&world, "schedule").is("warning", &message, "remove its line for cron, or its timer");
    world.crontab("");
    world.systemd("system", "system", &World::program());
    let services =
        recorded("system/services.txt").replace("/usr/local/bin/session-sweep", "/x/cleanup_idle_sessions.py");
    world.says("system/services", &services);
    check(&world, "schedule").is("warning", "prunes the same map: session-sweep@anna.timer", "");
}

#[test]
fn the_schedule_that_works_is_the_one_to_keep() {
    let mut world = well();
    world.says("user/list", "");
    world.systemd("system", "waiting", &World::program());
    world.crontab(&crontab());
    let remedy = format!("keep crontab of {} (17 * * * *): sudo systemctl disable --now", me());
    check(&world, "schedule").is("wrong", "scheduled 2 times", &remedy);
}

#[test]
fn the_program_of_the_schedule_is_this_one() {
    let mut world = well();
    check(&world, "binary").is("ok", World::program().to_str().unwrap(), "");
    let other = world.root().join("bin/session-sweep");
    fs_err::create_dir(other.parent().unwrap()).unwrap();
    world.systemd("user", "user", &other);
    check(&world, "binary").is("wrong", "which is not there", "./install.sh");
    // By other processes: what this one writes stays busy as long as a child of another test has it open.
    assert!(Command::new("cp").arg(World::program()).arg(&other).status().unwrap().success());
    check(&world, "binary").is("warning", "another file of the same version", "");
    let script = |version: &str| {
        fs_err::remove_file(&other).unwrap();
        let text = format!("printf '#!/bin/sh\\necho \"session-sweep {version}\"\\n' >\"$1\"; chmod 755 \"$1\"");
        assert!(Command::new("sh").args(["-c", &text, "sh"]).arg(&other).status().unwrap().success());
    };
    script("0.0.1");
    check(&world, "binary").is("wrong", "which is \"session-sweep 0.0.1\"; this is session-sweep", "./install.sh");
    script(env!("CARGO_PKG_VERSION"));
    check(&world, "binary").is("warning", "another file of the same version", "");
    set_mode(&other, 0o644);
    check_as_ordinary_user(&world, "binary").is("unknown", "Permission denied", "./install.sh");
    world.says("user/list", "");
    check(&world, "binary").is("unknown", "nothing is scheduled", "");
    world.crontab("17 * * * * session-sweep sweep\n");
    check(&world, "binary").is("unknown", "does not name the program by a path", "");
}

#[test]
fn the_clock_is_sane() {
    let mut world = well();
    assert_eq!(check(&world, "clock").message, AT);
    let at = |time: &str| Answer::of(&world.json_at(time, &["doctor"]), "clock");
    at("2025-12-31T23:59:59Z").is("wrong", "cannot be true", "timedatectl set-ntp");
    assert_eq!(at("2026-11-20T16:30:00Z").status, "ok");
    at("2026-11-20T16:29:00Z").is("wrong", "the newest run in the log began 2026-11-20T16:34:25Z", "timedatectl");
    world.clock("NTPSynchronized=yes\n");
    check(&world, "clock").is("ok", "synchronized", "");
    world.clock("NTPSynchronized=no\n");
    check(&world, "clock").is("warning", "not synchronized", "timedatectl set-ntp true");
    world.says("clock/error", "Failed to query server\n");
    assert_eq!(check(&world, "clock").status, "ok");
}

#[test]
fn the_state_folder_is_ours_alone() {
    let world = well();
    let state = world.home().join(".local/state/session-sweep");
    check(&world, "state-folder").is("ok", state.to_str().unwrap(), "");
    set_mode(&state, 0o777);
    check(&world, "state-folder").is("wrong", "can be written by others (mode 777)", "chmod 700");
    let aside = state.with_file_name("aside");
    fs_err::rename(&state, &aside).unwrap();
    assert_eq!(check(&world, "state-folder").status, "ok");
    fs_err::os::unix::fs::symlink(&aside, &state).unwrap();
    check(&world, "state-folder").is("wrong", "is a symlink", "put");
    if is_root() {
        fs_err::remove_file(&state).unwrap();
        fs_err::create_dir(&state).unwrap();
        std::os::unix::fs::chown(&state, Some(1234), None).unwrap();
        check(&world, "state-folder").is("wrong", "belongs to user 1234", "run as that user: sudo -u '#1234'");
    }
}

/// So many days before the recordings, in minutes before the time of the tests' files.
const fn days(days: i64) -> i64 {
    days * 24 * 60 - 290
}

#[test]
fn transcripts_that_a_cli_will_delete_soon_are_counted() {
    let world = well();
    world.claude(&id(1), days(31));
    world.claude(&id(2), days(24));
    world.claude(&id(3), days(22));
    world.claude(&id(4), days(29));
    world.gemini(GEMINI_ID, days(25));
    let mapped = [
        ("claude-cli", "new", CLAUDE_ID),
        ("claude-cli", "overdue", &id(1)),
        ("claude-cli", "soon", &id(2)),
        ("claude-cli", "later", &id(3)),
        ("gemini-cli", "old", GEMINI_ID),
    ];
    world.map(&nested(&mapped));
    let message = "claude will delete 2 mapped transcripts within 7 days; gemini will delete 1 mapped transcript";
    check(&world, "retention").is("warning", message, "raise cleanupPeriodDays in");
    world.file(".claude/settings.json", "{\"cleanupPeriodDays\": 90}", 0);
    check(&world, "retention").is("warning", "gemini will delete 1", "raise general.sessionRetention.maxAge in");
    world.file(".gemini/settings.json", "{\"general\": {\"sessionRetention\": {\"enabled\": false}}}", 0);
    check(&world, "retention").is("ok", "no mapped transcript goes within 7 days (5 transcripts looked at)", "");
    world.file(".claude/settings.json", "{\"cleanupPeriodDays\": 29}", 0);
    check(&world, "retention").is("warning", "claude will delete 3 mapped", "");
    world.file(".claude/settings.json", "{\"cleanupPeriodDays\": 4294967295}", 0);
    check(&world, "retention").is("ok", "no mapped transcript goes within 7 days (5 transcripts looked at)", "");
    world.file(".claude/settings.json", "not json", 0);
    check(&world, "retention").is("unknown", "is no JSON object", "");
}

#[test]
fn gemini_counts_from_the_last_record_and_not_from_the_files_time() {
    let world = well();
    let path = world.gemini(GEMINI_ID, days(25));
    crate::world::touch(&path, 0);
    world.map(&nested(&[("gemini-cli", "old", GEMINI_ID)]));
    check(&world, "retention").is("warning", "gemini will delete 1 mapped transcript", "");
}

#[test]
fn a_bridge_is_asked_where_its_address_is_set() {
    let mut world = well();
    check(&world, "bridge").is("ok", "not set", "");
    let bridge = Bridge::start(world.map_path());
    let url = bridge.url();
    world.variable("SESSION_SWEEP_BRIDGE_URL", &url);
    check(&world, "bridge").is("ok", &format!("{url} has 2 mappings, the same as its file"), "");
    world.map(&nested(&[("claude-cli", "a", &id(7)), ("codex-cli", "c", CODEX_ID)]));
    // One chat has another session; one is in the list alone, and one in the file alone.
    check(&world, "bridge").is("warning", &format!("{url} has 2 mappings, and its file differs in 3"), "map.dir");
    assert!(bridge.requests().iter().all(|request| request == "GET /sessions"), "{:?}", bridge.requests());
    assert_eq!(bridge.requests().len(), 2, "one for each doctor");
    bridge.play(|_| Some(Instead::Answer(500, String::new())));
    check(&world, "bridge").is("wrong", "status 500", "docs/bridge.md");
    check(&world, "written-back").is("unknown", "status 500", "");
    drop(bridge);
    check(&world, "bridge").is("warning", "nobody listens at", "start the bridge");
}

#[test]
fn a_service_that_cannot_reach_the_bridge_is_told() {
    let mut world = well();
    world.says("user/list", "");
    world.systemd("system", "system", &World::program());
    let as_mine = |path: &str| recorded(path).replace("User=anna", &format!("User={}", me()));
    world.says("system/services", &as_mine("hardened/services.txt"));
    assert_eq!(check(&world, "bridge").status, "ok");
    let bridge = Bridge::start(world.map_path());
    world.variable("SESSION_SWEEP_BRIDGE_URL", bridge.url());
    let message = "session-sweep@anna.service may not open network connections";
    check(&world, "bridge").is("wrong", message, "./install.sh --bridge-url");
    world.says("system/services", &as_mine("hardened/services-with-bridge.txt"));
    assert_eq!(check(&world, "bridge").status, "ok");
}

#[test]
fn what_a_bridge_writes_back_is_told() {
    let mut world = well();
    assert_eq!(check(&world, "written-back").status, "ok");
    world.claude(&id(1), 300);
    let map = nested(&[("claude-cli", "old", &id(1)), ("codex-cli", "b", CODEX_ID)]);
    // Once may be a person's doing.
    for _ in 0..2 {
        world.map(&map);
        check(&world, "written-back").is("ok", "nothing that was pruned keeps coming back", "");
        world.run(&["prune"]).ends_with(0);
    }
    assert_eq!(check(&world, "written-back").status, "ok");
    world.map(&map);
    check(&world, "written-back").is("wrong", "1 mapping came back again", "config set bridge.url");
    // Pruned again, it may come back any time.
    world.run(&["prune"]).ends_with(0);
    check(&world, "written-back").is("wrong", "1 mapping came back again", "config set bridge.url");
    world.map(&map);
    check(&world, "written-back").is("wrong", "1 mapping came back again", "config set bridge.url");
    world.run(&["prune"]).ends_with(0);
    // What was before the bridge was asked says nothing about now.
    let bridge = Bridge::start(world.map_path());
    world.variable("SESSION_SWEEP_BRIDGE_URL", bridge.url());
    assert_eq!(check(&world, "written-back").status, "ok");
    bridge.set("claude-cli", "old", &id(1));
    check(&world, "written-back").is("wrong", "1 mapping came back again", "docs/bridge.md");
}

#[test]
fn claude_counts_from_the_files_time_and_not_from_the_last_record() {
    let world = well();
    let path = world.claude(&id(1), days(31));
    world.map(&nested(&[("claude-cli", "resumed", &id(1))]));
    check(&world, "retention").is("warning", "claude will delete 1 mapped transcript", "");
    crate::world::touch(&path, 0);
    assert_eq!(check(&world, "retention").status, "ok");
}
