//! What the janitor's file and variables give, which of them wins, and what every wrong one is answered with.

use std::io::Write as _;
use std::os::unix::ffi::OsStringExt as _;
use std::time::Duration;

use fs_err::os::unix::fs::OpenOptionsExt as _;
use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::*;
use crate::config::problem::Problems;
use crate::config::resolve::{Config, Override, check, load};
use crate::config::setting::{ProcessesSettings, SETTINGS};
use crate::policy::duration::Limit;

/// A home of its own, with the janitor's file, ours, and variables.
struct World {
    folder: tempfile::TempDir,
    dirs: Dirs,
    variables: Vec<(&'static str, String)>,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut dirs = Dirs::find(&Environment::from_iter([("HOME", folder.path())])).unwrap();
        dirs.system_config = folder.path().join("etc/config.toml");
        Self { folder, dirs, variables: Vec::new() }
    }

    /// A world whose janitor has this file.
    fn janitor(text: &str) -> Self {
        let world = Self::new();
        write(&world.janitor_file(), text);
        world
    }

    fn janitor_file(&self) -> PathBuf {
        self.dirs.home.join(".claude").join(FILE)
    }

    fn system(self, text: &str) -> Self {
        write(&self.dirs.system_config, text);
        self
    }

    fn user(self, text: &str) -> Self {
        write(&self.dirs.user_config, text);
        self
    }

    fn variable(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    fn environment(&self) -> Environment {
        self.variables.iter().cloned().collect()
    }

    fn config(&self, flags: &[Override]) -> Config {
        load(&self.dirs, &self.environment(), None, flags, Vec::new()).unwrap()
    }

    /// The settings of a world in which nothing is wrong.
    fn settings(&self) -> ProcessesSettings {
        self.config(&[]).processes().unwrap().clone()
    }

    /// The effective value and its origin, whatever else is wrong.
    fn value(&self, key: &str) -> (String, String) {
        value_in(&self.config(&[]), key)
    }

    /// The only problem, without the folder's name.
    fn problem(&self) -> String {
        let config = self.config(&[]);
        assert_eq!(config.janitor_problems.len(), 1, "{:?}", config.janitor_problems);
        assert!(config.processes().is_err());
        config.janitor_problems[0].to_string().replace(&self.folder.path().display().to_string(), "~")
    }
}

fn value_in(config: &Config, key: &str) -> (String, String) {
    let value = config.values.iter().find(|value| value.key == key).unwrap();
    (value.text.clone(), value.origin.to_string())
}

fn write(path: &Path, text: &str) {
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = fs_err::OpenOptions::new().write(true).create(true).mode(0o600).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}

/// Every member, each with another value than the default.
const EVERY_MEMBER: &str = r#"{
    "auto_cleanup_on_start": true,
    "min_session_age_minutes": 90,
    "heartbeat_interval_seconds": 30,
    "stale_heartbeat_threshold_minutes": 7,
    "cleanup_mode": "auto",
    "notification_enabled": false,
    "dry_run_default": false
}"#;

#[test]
fn without_anything_the_defaults_hold_and_no_file_is_made() {
    let world = World::new();
    let ours = ProcessesSettings {
        enabled: false,
        sessions: None,
        registry: None,
        root: PathBuf::from("/"),
        min_age: minutes(10),
        stale: minutes(5),
        heartbeat_interval: minutes(1),
        grace: Duration::from_secs(5),
        retention: Limit::After(Duration::from_secs(7 * 86_400)),
        max: 20,
        mode: CleanupMode::Interactive,
        dry_run: true,
        clean_on_start: false,
        notify: true,
        subreapers: Vec::new(),
    };
    assert_eq!(world.settings(), ours);
    assert_eq!(std::fs::read_dir(world.folder.path()).unwrap().count(), 0);
    // The janitor's own example values are its defaults, and ours.
    let members: Vec<String> =
        SHARED.iter().map(|shared| format!("\"{}\": {}", shared.member, shared.example)).collect();
    assert_eq!(World::janitor(&format!("{{{}}}", members.join(", "))).settings(), ours);
}

#[test]
fn every_member_of_the_file_is_honoured_and_others_are_ignored() {
    let world = World::janitor(&EVERY_MEMBER.replacen('{', "{\"color\": [3], \"min_age\": 0,", 1));
    let settings = world.settings();
    assert!(settings.clean_on_start && !settings.notify && !settings.dry_run);
    assert_eq!((settings.min_age, settings.stale), (minutes(90), minutes(7)));
    assert_eq!((settings.heartbeat_interval, settings.mode), (Duration::from_secs(30), CleanupMode::Auto));
    let origin = format!("file {}", world.janitor_file().display());
    for (key, text) in [
        ("processes.clean_on_start", "true"),
        ("processes.min_age", "1h30m"),
        ("processes.heartbeat_interval", "30s"),
        ("processes.stale", "7m"),
        ("processes.mode", "auto"),
        ("processes.notify", "false"),
        ("processes.dry_run", "false"),
    ] {
        assert_eq!(world.value(key), (text.to_owned(), origin.clone()));
    }
}

#[test]
fn every_shared_setting_is_one_of_ours() {
    for shared in &SHARED {
        assert!(SETTINGS.iter().any(|setting| setting.key == shared.key), "{shared:?}");
    }
}

#[test]
fn every_variable_wins_over_the_file() {
    for (variable, key, text, shown) in [
        ("JANITOR_MIN_AGE", "processes.min_age", "120", "2h"),
        ("JANITOR_HEARTBEAT_INTERVAL", "processes.heartbeat_interval", "61", "1m1s"),
        ("JANITOR_STALE_THRESHOLD", "processes.stale", "8", "8m"),
    ] {
        for world in [World::new(), World::janitor(EVERY_MEMBER)] {
            let world = world.variable(variable, text);
            assert_eq!(world.value(key), (shown.to_owned(), format!("environment {variable}")));
            world.settings();
        }
    }
}

#[test]
fn each_place_wins_over_the_one_below_it() {
    let value = |world: &World| world.value("processes.min_age");
    let pair = |text: &str, origin: String| (text.to_owned(), origin);
    let world = World::new();
    assert_eq!(value(&world), pair("10m", "default".to_owned()));
    write(&world.janitor_file(), EVERY_MEMBER);
    assert_eq!(value(&world), pair("1h30m", format!("file {}", world.janitor_file().display())));
    let world = world.variable("JANITOR_MIN_AGE", "2");
    assert_eq!(value(&world), pair("2m", "environment JANITOR_MIN_AGE".to_owned()));
    let world = world.system("[processes]\nmin_age = \"3m\"");
    assert_eq!(value(&world), pair("3m", format!("file {}", world.dirs.system_config.display())));
    let world = world.user("[processes]\nmin_age = \"4m\"");
    assert_eq!(value(&world), pair("4m", format!("file {}", world.dirs.user_config.display())));
    let world = world.variable("SESSION_SWEEP_PROCESSES_MIN_AGE", "5m");
    assert_eq!(value(&world), pair("5m", "environment SESSION_SWEEP_PROCESSES_MIN_AGE".to_owned()));
    let config = world.config(&[Override::text("processes.min_age", "6m", "--min-age")]);
    assert_eq!(value_in(&config, "processes.min_age"), pair("6m", "flag --min-age".to_owned()));
    assert_eq!(config.processes().unwrap().min_age, minutes(6));
}

#[test]
fn our_own_file_wins_over_the_janitors_in_every_member() {
    let ours = "[processes]\nclean_on_start = false\nmin_age = \"10m\"\nheartbeat_interval = \"1m\"\nstale = \"5m\"\n\
                mode = \"interactive\"\nnotify = true\ndry_run = true\n";
    let world = World::janitor(EVERY_MEMBER).user(ours);
    assert_eq!(world.settings(), World::new().settings());
}

#[test]
fn a_named_file_of_ours_wins_too() {
    let world = World::janitor(EVERY_MEMBER);
    let named = world.folder.path().join("named.toml");
    write(&named, "[processes]\nstale = \"1m\"");
    let config = load(&world.dirs, &world.environment(), Some(&named), &[], Vec::new()).unwrap();
    let settings = config.processes().unwrap();
    assert_eq!((settings.stale, settings.min_age), (minutes(1), minutes(90)));
}

#[test]
fn the_file_is_in_the_first_of_the_places_that_are_set() {
    let world = World::new();
    let place = |folder: &str, age: u64| {
        let path = world.folder.path().join(folder).join(FILE);
        write(&path, &format!("{{\"min_session_age_minutes\": {age}}}"));
        path.parent().unwrap().display().to_string()
    };
    let (claude, janitor) = (place("claude", 2), place("janitor", 3));
    let named = format!("{}/{FILE}", place("named", 4));
    place(".claude", 1);
    assert_eq!(world.settings().min_age, minutes(1));
    let world = World { variables: vec![("CLAUDE_CONFIG_DIR", String::new())], ..world };
    assert_eq!(world.settings().min_age, minutes(1));
    let world = World { variables: vec![("CLAUDE_CONFIG_DIR", claude)], ..world };
    assert_eq!(world.settings().min_age, minutes(2));
    let world = world.variable("JANITOR_HOME", janitor);
    assert_eq!(world.settings().min_age, minutes(3));
    let world = world.variable("JANITOR_CONFIG_FILE", named);
    assert_eq!(world.settings().min_age, minutes(4));
    for nothing in ["/dev/null", "/nowhere/at/all.json"] {
        let world = World::janitor(EVERY_MEMBER).variable("JANITOR_CONFIG_FILE", nothing);
        assert_eq!(world.settings().min_age, minutes(10), "{nothing}");
    }
}

#[test]
fn records_are_where_the_first_of_the_variables_says() {
    let world = World::new().variable("JANITOR_HOME", "/j");
    let sessions = |world: &World| world.settings().sessions;
    assert_eq!(sessions(&world), Some(PathBuf::from("/j/sessions")));
    assert_eq!(world.value("processes.sessions").1, "environment JANITOR_HOME");
    let world = world.variable("JANITOR_SESSIONS_DIR", "/s");
    assert_eq!(sessions(&world), Some(PathBuf::from("/s")));
    assert_eq!(world.value("processes.sessions").1, "environment JANITOR_SESSIONS_DIR");
    let world = world.user("[processes]\nsessions = \"~/mine\"");
    assert_eq!(sessions(&world), Some(world.dirs.home.join("mine")));
    let world = world.variable("SESSION_SWEEP_PROCESSES_SESSIONS", "/o");
    assert_eq!(sessions(&world), Some(PathBuf::from("/o")));
    let world = World::new().variable("JANITOR_HOME", "/j").user("[processes]\nsessions = \"\"");
    assert_eq!(sessions(&world), None);
    assert_eq!(World::new().settings().registry, None);
    let world = World::new().variable("JANITOR_REGISTRY_FILE", "/r/registry.jsonl");
    assert_eq!(world.settings().registry, Some(PathBuf::from("/r/registry.jsonl")));
}

#[test]
fn a_wrong_member_names_file_key_and_what_is_expected() {
    let minutes = "a whole number of minutes, more than none and at most a hundred years of them";
    let seconds = minutes.replace("minutes", "seconds");
    let flag = "true or false";
    let mode = "\"interactive\" or \"auto\"";
    for (member, value, expected, shown, example) in [
        ("min_session_age_minutes", "0", minutes, "0", "10"),
        ("min_session_age_minutes", "-5", minutes, "-5", "10"),
        ("min_session_age_minutes", "1.5", minutes, "1.5", "10"),
        ("min_session_age_minutes", "10.0", minutes, "10.0", "10"),
        ("min_session_age_minutes", "\"10\"", minutes, "\"10\"", "10"),
        ("min_session_age_minutes", "null", minutes, "null", "10"),
        ("min_session_age_minutes", "52560001", minutes, "52560001", "10"),
        ("min_session_age_minutes", "18446744073709551615", minutes, "18446744073709551615", "10"),
        ("stale_heartbeat_threshold_minutes", "0", minutes, "0", "5"),
        ("stale_heartbeat_threshold_minutes", "[5]", minutes, "a list", "5"),
        ("heartbeat_interval_seconds", "true", &seconds, "true", "60"),
        ("heartbeat_interval_seconds", "{}", &seconds, "an object", "60"),
        ("auto_cleanup_on_start", "\"true\"", flag, "\"true\"", "false"),
        ("notification_enabled", "1", flag, "1", "true"),
        ("dry_run_default", "0", flag, "0", "true"),
        ("cleanup_mode", "\"Auto\"", mode, "\"Auto\"", "\"interactive\""),
        ("cleanup_mode", "\"a\\u001b[2Jb\"", mode, "\"a\\u{1b}[2Jb\"", "\"interactive\""),
        ("cleanup_mode", "false", mode, "false", "\"interactive\""),
    ] {
        let world = World::janitor(&format!("{{\"{member}\": {value}}}"));
        let line = format!(
            "~/.claude/process-janitor-config.json: {member}: must be {expected}, not {shown}; \
             write for example `\"{member}\": {example}`"
        );
        assert_eq!(world.problem(), line);
        // The other values stay as they would be without it.
        let key = SHARED.iter().find(|shared| shared.member == member).unwrap().key;
        assert_eq!(world.value(key).1, "default");
    }
    let world = World::janitor("{\"min_session_age_minutes\": 52560000}");
    assert_eq!(world.value("processes.min_age").0, "36500d");
    let long = World::janitor(&format!("{{\"cleanup_mode\": \"{}\"}}", "a".repeat(41)));
    assert!(long.problem().contains("not a long text;"), "{}", long.problem());
}

#[test]
fn one_wrong_member_leaves_the_others_and_each_is_told() {
    let world = World::janitor(
        "{\"min_session_age_minutes\": 0, \"stale_heartbeat_threshold_minutes\": 7, \"dry_run_default\": \"no\"}",
    );
    assert_eq!(world.value("processes.stale").0, "7m");
    let config = world.config(&[]);
    let keys: Vec<&str> = config.janitor_problems.iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(keys, ["min_session_age_minutes", "dry_run_default"]);
    assert_eq!(config.processes().unwrap_err().to_string().lines().count(), 2);
}

#[test]
fn a_wrong_variable_names_itself_and_leaves_what_is_below_it() {
    for text in ["0", "-1", "1.5", "ten", "10m", " 10", "+10", "0x10", "52560001", "99999999999999999999"] {
        let world = World::janitor(EVERY_MEMBER).variable("JANITOR_MIN_AGE", text);
        let problem = world.problem();
        let begin = "environment JANITOR_MIN_AGE: processes.min_age: must be a whole number of minutes, more than none";
        assert!(problem.starts_with(begin), "{problem}");
        assert!(problem.ends_with("; write for example `JANITOR_MIN_AGE=10`"), "{problem}");
        assert!(problem.contains(text), "{problem}");
        assert_eq!(world.value("processes.min_age").0, "1h30m");
    }
    for (variable, unit) in [("JANITOR_HEARTBEAT_INTERVAL", "seconds"), ("JANITOR_STALE_THRESHOLD", "minutes")] {
        let problem = World::new().variable(variable, "0").problem();
        assert!(problem.contains(&format!("environment {variable}: ")) && problem.contains(unit), "{problem}");
    }
    assert_eq!(World::new().variable("JANITOR_MIN_AGE", "").value("processes.min_age").1, "default");
}

#[test]
fn paths_in_variables_are_absolute_and_can_be_shown() {
    for variable in ["JANITOR_HOME", "JANITOR_CONFIG_FILE", "JANITOR_SESSIONS_DIR", "JANITOR_REGISTRY_FILE"] {
        for (text, reason) in [("x/y", "not an absolute path"), ("~/x", "not an absolute path"), ("/a\nb", "control")] {
            let world = World::janitor(EVERY_MEMBER).variable(variable, text);
            let problem = world.problem();
            assert!(problem.starts_with(&format!("environment {variable}: ")), "{problem}");
            assert!(problem.contains(reason) && problem.ends_with("write an absolute path"), "{problem}");
            let config = world.config(&[]);
            let processes = &config.settings.processes;
            assert_eq!((&processes.sessions, &processes.registry, processes.min_age), (&None, &None, minutes(90)));
        }
    }
}

#[test]
fn variables_that_are_not_utf_8_are_problems() {
    let dirs = World::new().dirs;
    for variable in ["JANITOR_HOME", "JANITOR_MIN_AGE"] {
        let value = std::ffi::OsString::from_vec(b"/\xff".to_vec());
        let environment: Environment = std::iter::once((variable, value)).collect();
        let config = load(&dirs, &environment, None, &[], Vec::new()).unwrap();
        assert_eq!(config.janitor_problems.len(), 1);
    }
}

#[test]
fn a_file_that_is_no_json_object_is_a_problem_of_its_own() {
    for (text, reason) in [
        ("", "this is not JSON: EOF"),
        ("{\n\"cleanup_mode\": auto}", "this is not JSON: expected value"),
        ("{} x", "this is not JSON: trailing characters"),
        ("[]", "must hold a JSON object, not a list"),
        ("null", "must hold a JSON object, not null"),
        ("\"auto\"", "must hold a JSON object, not \"auto\""),
    ] {
        let problem = World::janitor(text).problem();
        assert!(problem.starts_with("~/.claude/process-janitor-config.json:"), "{problem}");
        assert!(problem.contains(reason), "{problem}");
    }
    assert!(World::janitor("{\n\"cleanup_mode\": auto}").problem().contains("config.json:2: "));
    assert!(World::janitor(&"[".repeat(100_000)).problem().contains("recursion limit"));
    let large = format!("{{\"a\": \"{}\"}}", "x".repeat(1024 * 1024));
    let expected = "~/.claude/process-janitor-config.json: this file is too large; \
                    put a readable file of at most 1 MiB in this place, or none";
    assert_eq!(World::janitor(&large).problem(), expected);
}

#[test]
fn what_is_no_file_is_refused_and_not_waited_for() {
    let world = World::new();
    fs_err::create_dir_all(world.janitor_file()).unwrap();
    assert!(world.problem().contains("this file is no regular file"), "{}", world.problem());
    let world = World::new();
    fs_err::create_dir(world.dirs.home.join(".claude")).unwrap();
    mknodat(CWD, world.janitor_file(), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    assert!(world.problem().contains("this file is no regular file"), "{}", world.problem());
    // Not there: a link to nothing, and a home that is no folder.
    let world = World::new();
    fs_err::create_dir(world.dirs.home.join(".claude")).unwrap();
    fs_err::os::unix::fs::symlink("nowhere", world.janitor_file()).unwrap();
    world.settings();
    let world = World::new();
    write(&world.dirs.home.join(".claude"), "");
    world.settings();
    let world = World::new();
    fs_err::create_dir(world.dirs.home.join(".claude")).unwrap();
    fs_err::os::unix::fs::symlink(FILE, world.janitor_file()).unwrap();
    assert!(world.problem().contains("this file"), "{}", world.problem());
}

#[test]
fn check_lists_the_janitors_problems_and_its_file() {
    let world = World::janitor("{\"cleanup_mode\": \"no\"}").user("[map]\nidle = \"2\"").variable("JANITOR_HOME", "x");
    let (files, problems) = check(&world.dirs, &world.environment(), None, Vec::new());
    assert_eq!(files[2..], [(world.janitor_file(), true)]);
    let keys: Vec<&str> = problems.iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(keys, ["map.idle", "", "cleanup_mode"]);
    // One that is not there is only told of where somebody named it.
    let world = World::new();
    let files = |world: &World| check(&world.dirs, &world.environment(), None, Vec::new()).0;
    assert_eq!(files(&world).len(), 2);
    let world = world.variable("JANITOR_CONFIG_FILE", "/nowhere.json");
    assert_eq!(files(&world)[2..], [(PathBuf::from("/nowhere.json"), false)]);
}

#[test]
fn its_problems_neither_stop_nor_hide_ours() {
    let world = World::janitor("no JSON").user("[map]\nidle = \"2\"");
    let problems: Problems = load(&world.dirs, &world.environment(), None, &[], Vec::new()).unwrap_err();
    assert!(!problems.to_string().contains("janitor"), "{problems}");
    let world = World::janitor("no JSON").variable("JANITOR_MIN_AGE", "x");
    let config = world.config(&[]);
    assert_eq!((config.janitor_problems.len(), config.settings.idle.to_string().as_str()), (2, "2h"));
}
