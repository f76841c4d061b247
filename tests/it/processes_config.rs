//! The settings of processes: what the process janitor was told counts below our own, and stops nobody when it is wrong.

use serde_json::{Value, json};

use crate::left_behind::nested;
use crate::tree::{assert_untouched, tree_of};
use crate::world::{CLAUDE_ID, World};

const JANITOR_FILE: &str = ".claude/process-janitor-config.json";

/// All seven members, none with the value that the default has.
const SEVEN: &str = r#"{
    "auto_cleanup_on_start": true,
    "min_session_age_minutes": 15,
    "heartbeat_interval_seconds": 90,
    "stale_heartbeat_threshold_minutes": 8,
    "cleanup_mode": "auto",
    "notification_enabled": false,
    "dry_run_default": false
}"#;

/// The same in the form of our own settings.
const SEVEN_AS_OURS: [(&str, &str); 7] = [
    ("processes.clean_on_start", "true"),
    ("processes.min_age", "15m"),
    ("processes.heartbeat_interval", "1m30s"),
    ("processes.stale", "8m"),
    ("processes.mode", "auto"),
    ("processes.notify", "false"),
    ("processes.dry_run", "false"),
];

/// A world with an idle mapping, so that there is something to prune.
fn world() -> World {
    let world = World::new();
    world.claude(CLAUDE_ID, 600);
    world.map(&nested(&[("claude-cli", "old", CLAUDE_ID)]));
    world
}

/// Value and origin of a setting, as `config show --json` has them.
fn setting(world: &World, key: &str) -> (String, String) {
    let document = world.json(&["config", "show"]);
    let settings = document["settings"].as_array().unwrap();
    let setting = settings.iter().find(|setting| setting["key"] == key).unwrap_or_else(|| panic!("no {key}"));
    let text = |name: &str| setting[name].as_str().unwrap().to_owned();
    (text("value"), text("origin"))
}

#[track_caller]
fn assert_setting(world: &World, key: &str, value: &str, origin: &str) {
    assert_eq!(setting(world, key), (value.to_owned(), origin.to_owned()), "{key}");
}

#[test]
fn show_tells_of_every_member_of_the_janitors_file() {
    let world = world();
    let path = world.file(JANITOR_FILE, SEVEN, 0);
    let origin = format!("file {}", path.display());
    let text = world.run(&["config", "show", "--origin"]).ends_with(0).stdout;
    for (key, value) in SEVEN_AS_OURS {
        assert_setting(&world, key, value, &origin);
        let line = text.lines().find(|line| line.split_whitespace().next() == Some(key)).unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words[1..3], ["=", value], "{line}");
        assert!(line.ends_with(&format!("({origin})")), "{line}");
    }
    let ran = world.run(&["config", "check"]).ends_with(0);
    assert!(ran.stdout.contains(&format!("read      {}\n", path.display())), "{ran:?}");
}

#[test]
fn the_janitors_variables_win_over_its_file_and_ours_over_both() {
    let mut world = world();
    world.file(JANITOR_FILE, SEVEN, 0);
    let variables = [
        ("JANITOR_MIN_AGE", "20", "processes.min_age", "20m", "25m"),
        ("JANITOR_HEARTBEAT_INTERVAL", "30", "processes.heartbeat_interval", "30s", "40s"),
        ("JANITOR_STALE_THRESHOLD", "3", "processes.stale", "3m", "4m"),
        ("JANITOR_SESSIONS_DIR", "/janitor/s", "processes.sessions", "/janitor/s", "/our/s"),
    ];
    for (variable, value, key, shown, _) in variables {
        world.variable(variable, value);
        assert_setting(&world, key, shown, &format!("environment {variable}"));
    }
    let ours: Vec<String> =
        variables.iter().map(|(_, _, key, _, ours)| format!("{} = \"{ours}\"\n", &key["processes.".len()..])).collect();
    let file = world.file(".config/session-sweep/config.toml", format!("[processes]\n{}", ours.concat()), 0);
    for (_, _, key, _, ours) in variables {
        assert_setting(&world, key, ours, &format!("file {}", file.display()));
    }
    world.variable("SESSION_SWEEP_PROCESSES_MIN_AGE", "1h");
    assert_setting(&world, "processes.min_age", "1h", "environment SESSION_SWEEP_PROCESSES_MIN_AGE");
    // What is ours says nothing of: the janitor's.
    assert_eq!(setting(&world, "processes.mode").0, "auto");
}

#[test]
fn the_janitors_file_is_where_its_variables_and_claudes_say() {
    let mut world = world();
    let place = |world: &World, folder: &str, age: u32| {
        world.file(
            &format!("{folder}/process-janitor-config.json"),
            format!("{{\"min_session_age_minutes\":{age}}}"),
            0,
        )
    };
    for (age, folder, variable) in
        [(2, "claude", "CLAUDE_CONFIG_DIR"), (3, "janitor", "JANITOR_HOME"), (4, "named", "JANITOR_CONFIG_FILE")]
    {
        let path = place(&world, folder, age);
        world.variable(variable, if age == 4 { path.as_path() } else { path.parent().unwrap() });
        assert_setting(&world, "processes.min_age", &format!("{age}m"), &format!("file {}", path.display()));
    }
    let sessions = world.home().join("janitor/sessions");
    assert_setting(&world, "processes.sessions", sessions.to_str().unwrap(), "environment JANITOR_HOME");
}

#[test]
fn a_broken_janitor_file_is_told_by_check_and_stops_nobody_else() {
    for (text, words) in [
        ("{\"min_session_age_minutes\": 0}", "min_session_age_minutes: must be a whole number of minutes"),
        ("{\"stale_heartbeat_threshold_minutes\": \"5\"}", "stale_heartbeat_threshold_minutes: must be a whole number"),
        ("{\"heartbeat_interval_seconds\": 1.5}", "heartbeat_interval_seconds: must be a whole number of seconds"),
        ("{\"cleanup_mode\": \"always\"}", "cleanup_mode: must be \"interactive\" or \"auto\", not \"always\""),
        ("{\"dry_run_default\": \"false\"}", "dry_run_default: must be true or false, not \"false\""),
        ("{", "not JSON"),
        ("[]", "must hold a JSON object"),
    ] {
        let world = world();
        let path = world.file(JANITOR_FILE, text, 0);
        let ran = world.run(&["config", "check"]).ends_with(2);
        let problem = ran.stdout.lines().find(|line| line.starts_with("problem")).unwrap();
        assert!(problem.contains(path.to_str().unwrap()) && problem.contains(words), "{text}: {problem}");
        assert_eq!(world.json(&["config", "check"])["problems"].as_array().unwrap().len(), 1, "{text}");
        // Nothing of it is in force.
        world.run(&["config", "show"]).ends_with(0);
        assert_setting(&world, "processes.dry_run", "true", "default");
        assert_setting(&world, "processes.min_age", "10m", "default");
        for arguments in [&["status"][..], &["audit"], &["sweep", "--dry-run"], &["prune"]] {
            let ran = world.run(arguments).ends_with(0);
            assert_eq!(ran.stderr, "", "{arguments:?}");
        }
        assert_eq!(world.map_json(), json!({"claude-cli": {}}));
        assert_eq!(fs_err::read_to_string(path).unwrap(), text);
    }
}

#[test]
fn a_wrong_variable_of_the_janitor_is_told_by_check_and_stops_nobody_else() {
    for (variable, value) in [
        ("JANITOR_MIN_AGE", "0"),
        ("JANITOR_HEARTBEAT_INTERVAL", "1m"),
        ("JANITOR_STALE_THRESHOLD", "-1"),
        ("JANITOR_HOME", "relative"),
        ("JANITOR_SESSIONS_DIR", "relative"),
        ("JANITOR_REGISTRY_FILE", "relative"),
        ("JANITOR_CONFIG_FILE", "relative"),
    ] {
        let mut world = world();
        world.variable(variable, value);
        let ran = world.run(&["config", "check"]).ends_with(2);
        assert!(ran.stdout.contains(&format!("environment {variable}: ")), "{ran:?}");
        world.run(&["prune"]).ends_with(0);
        assert_eq!(world.map_json(), json!({"claude-cli": {}}));
    }
}

#[test]
fn what_is_no_file_in_its_place_is_not_waited_for() {
    let world = world();
    let path = world.home().join(JANITOR_FILE);
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let ran = world.run(&["config", "check"]).ends_with(2);
    assert!(ran.stdout.contains("no regular file"), "{ran:?}");
    world.run(&["prune"]).ends_with(0);
}

#[test]
fn doctor_warns_of_what_the_janitor_was_told_wrong() {
    let world = world();
    world.file(JANITOR_FILE, "{\"cleanup_mode\": 1}", 0);
    let document = world.json(&["doctor"]);
    let is_config = |check: &&Value| check["id"] == "config";
    let check = document["checks"].as_array().unwrap().iter().find(is_config).unwrap();
    assert!(check["message"].as_str().unwrap().contains("cleanup_mode"), "{check}");
    assert_eq!(check["status"], "warning", "{check}");
}

#[test]
fn the_janitors_file_is_neither_made_nor_written() {
    let world = world();
    let before = tree_of(&world.home());
    for arguments in [&["config", "show"][..], &["config", "check"], &["status"], &["prune", "--dry-run"]] {
        world.run(arguments).ends_with(0);
    }
    assert_untouched(&before, &world.home());
    let path = world.file(JANITOR_FILE, SEVEN, 0);
    world.run(&["config", "set", "processes.min_age", "1h"]).ends_with(0);
    assert_eq!(fs_err::read_to_string(path).unwrap(), SEVEN);
    assert_eq!(setting(&world, "processes.min_age").0, "1h");
}

#[test]
fn our_own_wrong_settings_of_processes_end_with_2() {
    for (line, words) in [
        ("min_age = \"0m\"", "processes.min_age: \"0m\""),
        ("max = \"0\"", "processes.max: \"0\": not a whole number from 1 to 100000"),
        ("max = 20", "processes.max: must be a text in quotes"),
        ("root = \"relative\"", "processes.root: "),
        ("mode = \"off\"", "processes.mode: \"off\": known are interactive and auto"),
        ("subreapers = [\"a/b\"]", "processes.subreapers: \"a/b\" is neither a name nor an absolute path"),
        ("min_agee = \"1m\"", "did you mean `min_age`?"),
    ] {
        let world = world();
        world.file(".config/session-sweep/config.toml", format!("[processes]\n{line}\n"), 0);
        let ran = world.run(&["prune"]).ends_with(2);
        assert!(ran.stderr.contains(words), "{line}: {ran:?}");
    }
}
