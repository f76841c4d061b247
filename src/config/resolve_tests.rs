//! Which source of a setting wins, and what every wrong value is answered with.

use std::io::Write as _;
use std::os::unix::ffi::OsStringExt as _;
use std::time::Duration;

use fs_err::os::unix::fs::OpenOptionsExt as _;

use super::*;
use crate::config::setting::WakeSettings;
use crate::policy::choices::RuntimeChoice;
use crate::policy::choices::{ActivitySource, CleanupMode, MissingPolicy};
use crate::policy::duration::Limit;

/// A home of its own, with files and variables.
struct World {
    folder: tempfile::TempDir,
    dirs: Dirs,
    variables: Vec<(&'static str, &'static str)>,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut dirs = Dirs::find(&Environment::from_iter([("HOME", folder.path())])).unwrap();
        dirs.system_config = folder.path().join("etc/config.toml");
        Self { folder, dirs, variables: Vec::new() }
    }

    fn user(self, text: &str) -> Self {
        write(&self.dirs.user_config, text);
        self
    }

    fn system(self, text: &str) -> Self {
        write(&self.dirs.system_config, text);
        self
    }

    fn variable(mut self, name: &'static str, value: &'static str) -> Self {
        self.variables.push((name, value));
        self
    }

    fn environment(&self) -> Environment {
        self.variables.iter().copied().collect()
    }

    fn load(&self, flags: &[Override]) -> Result<Config, Problems> {
        load(&self.dirs, &self.environment(), None, flags, Vec::new())
    }

    fn origin(&self, key: &str, flags: &[Override]) -> (String, Origin) {
        let config = self.load(flags).unwrap();
        let value = config.values.into_iter().find(|value| value.key == key).unwrap();
        (value.text, value.origin)
    }
}

fn write(path: &Path, text: &str) {
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = fs_err::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

#[test]
fn without_anything_the_defaults_hold() {
    let config = World::new().load(&[]).unwrap();
    let settings = config.settings;
    assert_eq!(settings.map_dir, Path::new("/tmp/claude_sessions"));
    assert_eq!(settings.idle, Limit::After(Duration::from_secs(7_200)));
    assert_eq!(settings.missing, MissingPolicy::After(Duration::from_secs(86_400)));
    assert_eq!(settings.activity, ActivitySource::Mtime);
    assert_eq!(settings.tombstones, Limit::After(Duration::from_secs(90 * 86_400)));
    assert_eq!(settings.wait, Duration::from_secs(10));
    assert_eq!(settings.models, Vec::<String>::new());
    assert_eq!(settings.color, anstream::ColorChoice::Auto);
    assert_eq!(config.values.len(), SETTINGS.len());
    assert!(config.values.iter().all(|value| value.origin == Origin::Default));
}

#[test]
fn flags_win_over_environment_over_user_file_over_system_file() {
    let world = World::new().system("[map]\nidle = \"4h\"");
    assert_eq!(world.origin("map.idle", &[]), ("4h".to_owned(), Origin::File(world.dirs.system_config.clone())));
    let world = world.user("[map]\nidle = \"3h\"");
    assert_eq!(world.origin("map.idle", &[]), ("3h".to_owned(), Origin::File(world.dirs.user_config.clone())));
    let world = world.variable("SESSION_SWEEP_MAP_IDLE", "5h");
    let variable = Origin::Environment("SESSION_SWEEP_MAP_IDLE".to_owned());
    assert_eq!(world.origin("map.idle", &[]), ("5h".to_owned(), variable));
    let flags = [Override::text("map.idle", "never", "--idle")];
    assert_eq!(world.origin("map.idle", &flags), ("never".to_owned(), Origin::Flag("--idle")));
    assert_eq!(world.load(&flags).unwrap().settings.idle, Limit::Never);
}

#[test]
fn files_are_merged_key_by_key() {
    let world = World::new().system("[map]\nidle = \"4h\"\nwait = \"never\"").user("[map]\nidle = \"3h\"");
    let settings = world.load(&[]).unwrap().settings;
    assert_eq!(settings.idle, Limit::After(Duration::from_secs(10_800)));
    assert_eq!(settings.wait, Duration::ZERO);
}

#[test]
fn our_own_variable_wins_over_the_bridges_and_empty_ones_count_as_unset() {
    let world = World::new().variable("CLAUDE_SESSION_DIR", "/b");
    let bridge = || Origin::Environment("CLAUDE_SESSION_DIR".to_owned());
    assert_eq!(world.origin("map.dir", &[]), ("/b".to_owned(), bridge()));
    let world = world.variable("SESSION_SWEEP_MAP_DIR", "");
    assert_eq!(world.origin("map.dir", &[]), ("/b".to_owned(), bridge()));
    let world = world.variable("SESSION_SWEEP_MAP_DIR", "/o");
    let own = Origin::Environment("SESSION_SWEEP_MAP_DIR".to_owned());
    assert_eq!(world.origin("map.dir", &[]), ("/o".to_owned(), own));
}

#[test]
fn a_tilde_is_expanded_in_files_and_relative_paths_are_refused_there() {
    let world = World::new().user("[map]\ndir = \"~/maps\"");
    assert_eq!(world.load(&[]).unwrap().settings.map_dir, world.folder.path().join("maps"));
    for text in ["maps", "~bob/maps", ""] {
        let problems = World::new().user(&format!("[map]\ndir = \"{text}\"")).load(&[]).unwrap_err().to_string();
        assert!(problems.contains("map.dir: "), "{problems}");
    }
    let flag = Override::text("map.dir", "maps", "--dir");
    assert_eq!(World::new().load(&[flag]).unwrap().settings.map_dir, Path::new("maps"));
}

#[test]
fn lists_come_from_files_commas_and_repeated_flags() {
    let world = World::new().user("[map]\nmodels = [\"a,b\", \"c\"]");
    assert_eq!(world.load(&[]).unwrap().settings.models, ["a,b", "c"]);
    let world = world.variable("SESSION_SWEEP_MAP_MODELS", "d, e,");
    assert_eq!(world.load(&[]).unwrap().settings.models, ["d", "e"]);
    let flag = Override::list("map.models", vec!["f".to_owned()], "--model");
    assert_eq!(world.load(&[flag]).unwrap().settings.models, ["f"]);
}

#[test]
fn a_bad_value_names_key_origin_value_and_a_right_example() {
    let world = World::new().variable("SESSION_SWEEP_MAP_IDLE", "2");
    assert_eq!(
        world.load(&[]).unwrap_err().to_string(),
        "environment SESSION_SWEEP_MAP_IDLE: map.idle: \"2\": the unit is missing; write for example `SESSION_SWEEP_MAP_IDLE=2h`"
    );
    let world = World::new().user("[map]\n\nmissing = \"after:-1h\"");
    let expected = format!(
        "{}:3: map.missing: \"after:-1h\": a duration cannot be negative; write for example `missing = \"after:24h\"`",
        world.dirs.user_config.display()
    );
    assert_eq!(world.load(&[]).unwrap_err().to_string(), expected);
    for (key, text) in
        [("map.activity", "ctime"), ("output.color", "yes"), ("map.tombstones", "0d"), ("map.wait", "NaN")]
    {
        let problems = World::new().load(&[Override::text(key, text, "--flag")]).unwrap_err().to_string();
        assert!(problems.starts_with(&format!("flag --flag: {key}: {text:?}: ")), "{problems}");
        assert!(problems.contains("; write for example `--flag "), "{problems}");
    }
}

#[test]
fn settings_of_processes_are_read_from_a_file() {
    let world = World::new().user(
        "[processes]\nenabled = true\nsessions = \"~/s\"\nroot = \"/mnt\"\nmin_age = \"1h\"\nstale = \"2m\"\n\
         heartbeat_interval = \"30s\"\ngrace = \"1s\"\nretention = \"never\"\nmax = \"100000\"\nmode = \"auto\"\n\
         dry_run = false\nclean_on_start = true\nnotify = false\nsubreapers = [\"tini\", \"/usr/bin/conmon\"]\n",
    );
    let expected = ProcessesSettings {
        enabled: true,
        sessions: Some(world.folder.path().join("s")),
        registry: None,
        root: PathBuf::from("/mnt"),
        min_age: Duration::from_secs(3_600),
        stale: Duration::from_secs(120),
        heartbeat_interval: Duration::from_secs(30),
        grace: Duration::from_secs(1),
        retention: Limit::Never,
        max: 100_000,
        mode: CleanupMode::Auto,
        dry_run: false,
        clean_on_start: true,
        notify: false,
        subreapers: vec!["tini".to_owned(), "/usr/bin/conmon".to_owned()],
    };
    assert_eq!(world.load(&[]).unwrap().processes(), Ok(&expected));
}

#[test]
fn wrong_settings_of_processes_are_refused() {
    let wrong = [
        ("processes.enabled", "yes"),
        ("processes.sessions", "relative"),
        ("processes.root", "relative"),
        ("processes.root", ""),
        ("processes.min_age", "0m"),
        ("processes.min_age", "never"),
        ("processes.stale", "0s"),
        ("processes.heartbeat_interval", "0s"),
        ("processes.grace", "0s"),
        ("processes.grace", "5"),
        ("processes.retention", "0d"),
        ("processes.max", "0"),
        ("processes.max", "100001"),
        ("processes.max", "-1"),
        ("processes.max", "+1"),
        ("processes.max", "1.5"),
        ("processes.max", ""),
        ("processes.max", "all"),
        ("processes.mode", "Auto"),
        ("processes.dry_run", "0"),
        ("processes.clean_on_start", ""),
        ("processes.notify", "on"),
        ("processes.subreapers", "tini,bin/conmon"),
    ];
    for (key, text) in wrong {
        let problems = World::new().load(&[Override::text(key, text, "--flag")]).unwrap_err().to_string();
        assert!(problems.starts_with(&format!("flag --flag: {key}: ")), "{problems}");
    }
    // A relative folder is wrong in a variable too, unlike the map's: hooks run in every folder.
    for variable in ["SESSION_SWEEP_PROCESSES_SESSIONS", "SESSION_SWEEP_PROCESSES_ROOT"] {
        let problems = World::new().variable(variable, "x").load(&[]).unwrap_err().to_string();
        assert!(problems.contains("\"x\" is not an absolute path"), "{problems}");
    }
    assert_eq!(World::new().variable("SESSION_SWEEP_PROCESSES_MAX", "1").load(&[]).unwrap().settings.processes.max, 1);
}

#[test]
fn a_variable_that_is_not_utf_8_is_an_error() {
    let value = std::ffi::OsString::from_vec(b"/\xff".to_vec());
    let environment: Environment = std::iter::once(("CLAUDE_SESSION_DIR", value)).collect();
    let problems = load(&World::new().dirs, &environment, None, &[], Vec::new()).unwrap_err().to_string();
    assert!(problems.starts_with("environment CLAUDE_SESSION_DIR: map.dir: the value is not UTF-8"), "{problems}");
}

#[test]
fn a_bad_value_is_an_error_even_where_something_else_wins() {
    let world = World::new().system("[map]\nidle = \"soon\"").user("[map]\nidle = \"3h\"");
    assert!(world.load(&[Override::text("map.idle", "1h", "--idle")]).is_err());
}

#[test]
fn a_named_file_is_read_instead_of_the_others() {
    let world = World::new().user("[map]\nidle = \"3h\"\nwait = \"1s\"");
    let named = world.folder.path().join("named.toml");
    write(&named, "[map]\nidle = \"7h\"");
    let load = |path: &Path| load(&world.dirs, &world.environment(), Some(path), &[], Vec::new());
    let settings = load(&named).unwrap().settings;
    assert_eq!((settings.idle.to_string().as_str(), settings.wait), ("7h", Duration::from_secs(10)));
    assert!(load(Path::new("/nowhere/x.toml")).unwrap_err().to_string().contains("no such file"));
}

#[test]
fn every_example_and_every_default_is_right() {
    for setting in SETTINGS.iter() {
        let row = if setting.is_of_row() { "[[queues]]\nroot = \"/r\"\n" } else { "" };
        let heading = Some(setting.heading()).filter(|heading| !row.starts_with(heading)).unwrap_or_default();
        let world = World::new().user(&format!("{row}{heading}\n{}\n", setting.example_line()));
        assert_eq!(world.load(&[]).map(|_| ()), Ok(()), "{}", setting.key);
    }
}

#[test]
fn provider_rows_of_both_files_are_applied_the_users_last() {
    let world = World::new()
        .system("[[provider]]\nname = \"x\"\nhome = \".x\"\ntranscripts = [\"{id}\"]\ncomplete = false\n")
        .user("[[provider]]\nname = \"x\"\nhome = \"/srv/x\"\n");
    let config = world.load(&[]).unwrap();
    let [provider] = &config.settings.providers[..] else { panic!("one provider") };
    assert_eq!((provider.home.default.as_path(), provider.complete), (Path::new("/srv/x"), false));
    assert_eq!(config.provider_origins, [Origin::File(world.dirs.user_config.clone())]);
    // With `x` as a built-in row, a row keeps its place and an untouched row its origin.
    let built_in = vec![Provider { name: "w".to_owned(), ..provider.clone() }, provider.clone()];
    let config = load(&world.dirs, &world.environment(), Some(&world.dirs.user_config), &[], built_in).unwrap();
    let names: Vec<_> = config.settings.providers.iter().map(|provider| provider.name.as_str()).collect();
    assert_eq!(names, ["w", "x"]);
    assert_eq!(config.provider_origins[0], Origin::Default);
}

#[test]
fn a_root_has_the_settings_of_its_row_and_any_other_root_the_general_ones() {
    let world = World::new().variable("SESSION_SWEEP_QUEUES_TRIES", "9");
    let (real, link) = (world.folder.path().join("real"), world.folder.path().join("link"));
    fs_err::create_dir(&real).unwrap();
    fs_err::os::unix::fs::symlink(&real, &link).unwrap();
    let world = world
        .system("[[queues]]\nroot = \"/srv/gone\"\nbackoff = \"1m\"\n")
        .user("[[queues]]\nroot = \"~/real\"\nceiling = \"45m\"\ntries = 3\n");
    let config = world.load(&[Override::text("queues.wait", "1s", "--wait")]).unwrap();
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    for root in [&real, &link] {
        let settings = config.queue_settings(root);
        assert_eq!((settings.ceiling, settings.tries, settings.wait), (minutes(45), 9, Duration::from_secs(1)));
    }
    assert_eq!(config.queue_settings(Path::new("/srv/gone/")).backoff, minutes(1));
    let general = QueueSettings {
        interval: minutes(1),
        ceiling: minutes(30),
        claim_stuck: minutes(1),
        tries: 9,
        backoff: Duration::from_secs(5),
        wait: Duration::from_secs(1),
        runtime: RuntimeChoice::Auto,
        zone: None,
        take_over: false,
        wake: WakeSettings { command: Vec::new(), limit: Duration::from_secs(30) },
    };
    for root in ["/srv/other", "/srv", ""] {
        assert_eq!(config.queue_settings(Path::new(root)), &general, "{root}");
    }
}

#[test]
fn every_setting_of_a_row_reaches_its_root() {
    let config = World::new().user(
        "[[queues]]\nroot = \"/r\"\ninterval = \"2m\"\nceiling = \"1h\"\nclaim_stuck = \"90s\"\ntries = 0x14\n\
         backoff = \"1s\"\nwait = \"never\"\nruntime = \"/usr/bin/podman\"\nzone = \"Asia/Tokyo\"\ntake_over = true\n\
         [queues.wake]\ncommand = [\"wake\", \"\", \"a,b\"]\nlimit = \"1m\"\n",
    );
    let seconds = Duration::from_secs;
    let expected = QueueSettings {
        interval: seconds(120),
        ceiling: seconds(3_600),
        claim_stuck: seconds(90),
        tries: 20,
        backoff: seconds(1),
        wait: Duration::ZERO,
        runtime: RuntimeChoice::Named("/usr/bin/podman".to_owned()),
        zone: crate::policy::zone::Tz::named("Asia/Tokyo"),
        take_over: true,
        wake: WakeSettings { command: vec!["wake".to_owned(), String::new(), "a,b".to_owned()], limit: seconds(60) },
    };
    assert_eq!(config.load(&[]).unwrap().queue_settings(Path::new("/r")), &expected);
}

#[test]
fn check_lists_every_problem_of_every_place() {
    let world = World::new()
        .system("[map]\nidel = \"2h\"\nwait = \"x\"")
        .user("[[provider]]\nname = \"new\"\n")
        .variable("SESSION_SWEEP_MAP_IDLE", "soon")
        .variable("SESSION_SWEEP_MAP_WIAT", "1s")
        .variable("SESSION_SWEEP_LOG", "debug");
    let (files, problems) = check(&world.dirs, &world.environment(), None, Vec::new());
    assert_eq!(files, [(world.dirs.system_config.clone(), true), (world.dirs.user_config.clone(), true)]);
    let remedies: Vec<_> = problems.iter().map(|problem| problem.remedy.as_str()).collect();
    assert_eq!(
        remedies,
        [
            "did you mean `idle`?",
            "write for example `home = \"~/.mycli\"`",
            "write for example `SESSION_SWEEP_MAP_IDLE=2h`",
            "write for example `wait = \"10s\"`",
            "did you mean `SESSION_SWEEP_MAP_WAIT`?",
        ]
    );
}
