//! The configuration of roots of queues: which value wins, what is shown of it, and what is refused.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::world::World;

const FILE: &str = ".config/session-sweep/config.toml";

const TWO_ROOTS: &str = r#"# mine
[[queues]]
root   = "/srv/nanoclaw"
ceiling = '45m'
tries = 7

[queues.wake]                # belongs to the [[queues]] above it
command = ["/usr/local/bin/wake", "--now"]
limit = "20s"

[[queues]]
root = "~/other"
"#;

fn user(world: &World, text: &str) -> PathBuf {
    world.file(FILE, text, 0)
}

/// Value and origin of a setting in a list of `config show --json`.
#[track_caller]
fn setting(list: &Value, key: &str) -> (String, String) {
    let found = list.as_array().unwrap().iter().find(|setting| setting["key"] == key);
    let found = found.unwrap_or_else(|| panic!("no {key} in {list:#}"));
    (found["value"].as_str().unwrap().to_owned(), found["origin"].as_str().unwrap().to_owned())
}

#[test]
fn show_lists_the_general_values_and_below_them_what_each_root_has_otherwise() {
    let world = World::new();
    let file = user(&world, TWO_ROOTS);
    let origin = format!("file {}", file.display());
    let document = world.json(&["config", "show"]);
    for (key, value) in [
        ("queues.interval", "60s"),
        ("queues.ceiling", "30m"),
        ("queues.claim_stuck", "60s"),
        ("queues.tries", "5"),
        ("queues.backoff", "5s"),
        ("queues.wait", "5s"),
        ("queues.runtime", "auto"),
        ("queues.zone", ""),
        ("queues.take_over", "false"),
        ("queues.wake.command", ""),
        ("queues.wake.limit", "30s"),
    ] {
        assert_eq!(setting(&document["settings"], key), (value.to_owned(), "default".to_owned()));
    }
    let of_file = |key, value| json!({"key": key, "value": value, "origin": origin});
    let expected = json!([
        {"root": "/srv/nanoclaw", "origin": origin, "settings": [
            of_file("queues.ceiling", "45m"),
            of_file("queues.tries", "7"),
            of_file("queues.wake.command", "/usr/local/bin/wake, --now"),
            of_file("queues.wake.limit", "20s"),
        ]},
        {"root": world.home().join("other"), "origin": origin, "settings": []},
    ]);
    assert_eq!(document["queues"], expected);

    let text = world.run(&["config", "show", "--origin"]).ends_with(0).stdout;
    let other = world.home().join("other");
    let below = format!(
        "\n\nqueues of /srv/nanoclaw  ({origin})\n  queues.ceiling = 45m  ({origin})\n  queues.tries = 7  ({origin})\n  \
         queues.wake.command = /usr/local/bin/wake, --now  ({origin})\n  queues.wake.limit = 20s  ({origin})\n\n\
         queues of {}  ({origin})\n",
        other.display()
    );
    assert!(text.ends_with(&below), "{text}");
    let text = world.run(&["config", "show"]).ends_with(0).stdout;
    assert!(text.contains("\nqueues of /srv/nanoclaw\n  queues.ceiling = 45m\n"), "{text}");

    let none = World::new();
    assert_eq!(none.json(&["config", "show"])["queues"], json!([]));
}

#[test]
fn a_variable_wins_over_every_row_and_a_row_over_the_default() {
    let mut world = World::new();
    user(&world, TWO_ROOTS);
    for (name, value) in [("CEILING", "2h"), ("WAKE_COMMAND", "wake, --late"), ("BACKOFF", "1s"), ("TRIES", "")] {
        world.variable(&format!("SESSION_SWEEP_QUEUES_{name}"), value);
    }
    let document = world.json(&["config", "show"]);
    let of_variable = |value: &str, name: &str| (value.to_owned(), format!("environment SESSION_SWEEP_QUEUES_{name}"));
    let general = &document["settings"];
    assert_eq!(setting(general, "queues.ceiling"), of_variable("2h", "CEILING"));
    assert_eq!(setting(general, "queues.wake.command"), of_variable("wake, --late", "WAKE_COMMAND"));
    assert_eq!(setting(general, "queues.backoff"), of_variable("1s", "BACKOFF"));
    // What is the same for all roots is not said of each.
    let keys = |row: usize| {
        let settings = document["queues"][row]["settings"].as_array().unwrap();
        settings.iter().map(|setting| setting["key"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(keys(0), ["queues.tries", "queues.wake.limit"]);
    assert_eq!(keys(1), Vec::<String>::new());
}

#[test]
fn a_named_file_brings_its_own_roots_alone() {
    let world = World::new();
    user(&world, TWO_ROOTS);
    let named = world.file("named.toml", "[[queues]]\nroot = \"/srv/named\"\n", 0);
    let document = world.json(&["config", "show", "--config", named.to_str().unwrap()]);
    let expected = json!([{"root": "/srv/named", "origin": format!("file {}", named.display()), "settings": []}]);
    assert_eq!(document["queues"], expected);
}

/// What is wrong, the line and the key that are told, and a part of the remedy.
type Wrong = (&'static str, usize, &'static str, &'static str);

const COMMAND: &str = "`command = [\"/usr/local/bin/wake\"]`";

const WRONG: [Wrong; 48] = [
    ("[queues]\nroot = \"/a\"", 1, "queues", "begin each with `[[queues]]` (two brackets on each side)"),
    ("[queues.wake]\ncommand = [\"x\"]", 1, "queues", "begin each with `[[queues]]`"),
    ("[queues.wake]\ncommand = [\"x\"]\n[[queues]]\nroot = \"/a\"", 3, "queues", "begin each row with `[[queues]]`"),
    ("[queues]\nroot = \"/a\"\n[[queues]]\nroot = \"/b\"", 3, "queues", "begin each row with `[[queues]]`"),
    ("queues = \"/a\"", 1, "queues", "begin each with `[[queues]]`"),
    ("queues = [\"/a\"]", 1, "queues", "begin each with `[[queues]]`"),
    ("[[queue]]\nroot = \"/a\"", 1, "queue", "did you mean `queues`?"),
    ("ceiling = \"45m\"", 1, "ceiling", "write `ceiling` under `[[queues]]`"),
    ("[[queues]]", 1, "queues.root", "write for example `root = \"/srv/nanoclaw\"`"),
    ("[[queues]]\nceiling = \"45m\"", 1, "queues.root", "`root = \"/srv/nanoclaw\"`"),
    ("[[queues]]\nroot = \"\"", 2, "queues.root", "`root = \"/srv/nanoclaw\"`"),
    ("[[queues]]\nroot = \"srv\"", 2, "queues.root", "`root = \"/srv/nanoclaw\"`"),
    ("[[queues]]\nroot = \"~bob/x\"", 2, "queues.root", "`root = \"/srv/nanoclaw\"`"),
    ("[[queues]]\nroot = \"/a\\nb\"", 2, "queues.root", "`root = \"/srv/nanoclaw\"`"),
    ("[[queues]]\nroot = 7", 2, "queues.root", "`root = \"/srv/nanoclaw\"`"),
    ("[[queues]]\nroot = [\"/a\"]", 2, "queues.root", "`root = \"/srv/nanoclaw\"`"),
    ("[[queues]]\nroot = \"/a\"\n[[queues]]\nroot = \"/a/\"", 4, "queues.root", "first on line 2; join the two rows"),
    ("[[queues]]\nroot = \"/a\"\nceilng = \"1h\"", 3, "queues.ceilng", "did you mean `ceiling`?"),
    ("[[queues]]\nroot = \"/a\"\nqqq = 1", 3, "queues.qqq", "known are root, wake, interval, ceiling"),
    ("[[queues]]\nroot = \"/a\"\nceiling = \"45\"", 3, "queues.ceiling", "write for example `ceiling = \"45m\"`"),
    ("[[queues]]\nroot = \"/a\"\nceiling = 45", 3, "queues.ceiling", "`ceiling = \"45m\"`"),
    ("[[queues]]\nroot = \"/a\"\nceiling = \"0s\"", 3, "queues.ceiling", "`ceiling = \"45m\"`"),
    ("[[queues]]\nroot = \"/a\"\nceiling = \"never\"", 3, "queues.ceiling", "`ceiling = \"45m\"`"),
    ("[[queues]]\nroot = \"/a\"\nclaim_stuck = \"0.5s\"", 3, "queues.claim_stuck", "`claim_stuck = \"60s\"`"),
    ("[[queues]]\nroot = \"/a\"\ninterval = \"-1m\"", 3, "queues.interval", "`interval = \"60s\"`"),
    ("[[queues]]\nroot = \"/a\"\nbackoff = \"\"", 3, "queues.backoff", "`backoff = \"5s\"`"),
    (
        "[[queues]]\nroot = \"/a\"\nwait = \"2h\"",
        3,
        "queues.wait",
        "longer than an hour; write for example `wait = \"5s\"`",
    ),
    ("[[queues]]\nroot = \"/a\"\ntries = 0", 3, "queues.tries", "from 1 to 20; write for example `tries = 5`"),
    ("[[queues]]\nroot = \"/a\"\ntries = 21", 3, "queues.tries", "`tries = 5`"),
    ("[[queues]]\nroot = \"/a\"\ntries = \"x\"", 3, "queues.tries", "`tries = 5`"),
    ("[[queues]]\nroot = \"/a\"\ntries = -5", 3, "queues.tries", "`tries = 5`"),
    ("[[queues]]\nroot = \"/a\"\ntries = 5.0", 3, "queues.tries", "not a fraction; write for example `tries = 5`"),
    ("[[queues]]\nroot = \"/a\"\ntries = true", 3, "queues.tries", "`tries = 5`"),
    ("[[queues]]\nroot = \"/a\"\nzone = \"Mars/Base\"", 3, "queues.zone", "`zone = \"Europe/Berlin\"`"),
    ("[[queues]]\nroot = \"/a\"\nzone = \"Europe/Berlim\"", 3, "queues.zone", "`zone = \"Europe/Berlin\"`"),
    ("[[queues]]\nroot = \"/a\"\nruntime = \"rm\"", 3, "queues.runtime", "known are auto, docker, podman, container"),
    ("[[queues]]\nroot = \"/a\"\nruntime = \"/bin/rm\"", 3, "queues.runtime", "`runtime = \"podman\"`"),
    ("[[queues]]\nroot = \"/a\"\nruntime = \"bin/docker\"", 3, "queues.runtime", "`runtime = \"podman\"`"),
    ("[[queues]]\nroot = \"/a\"\ntake_over = \"yes\"", 3, "queues.take_over", "`take_over = true`"),
    ("[[queues]]\nroot = \"/a\"\nwake = \"x\"", 3, "queues.wake", "`wake = { command = "),
    ("[[queues]]\nroot = \"/a\"\n[[queues.wake]]\nlimit = \"1s\"", 3, "queues.wake", "`wake = { command = "),
    ("[[queues]]\nroot = \"/a\"\n[queues.wake]\ncommand = \"wake\"", 4, "queues.wake.command", COMMAND),
    ("[[queues]]\nroot = \"/a\"\n[queues.wake]\ncommand = [\"wake\", 1]", 4, "queues.wake.command", COMMAND),
    ("[[queues]]\nroot = \"/a\"\n[queues.wake]\ncommand = [\"bin/wake\"]", 4, "queues.wake.command", COMMAND),
    ("[[queues]]\nroot = \"/a\"\n[queues.wake]\ncommand = [\"\"]", 4, "queues.wake.command", COMMAND),
    (
        "[[queues]]\nroot = \"/a\"\n[queues.wake]\ncomand = [\"wake\"]",
        4,
        "queues.wake.comand",
        "did you mean `command`?",
    ),
    ("[[queues]]\nroot = \"/a\"\n[queues.wake]\nlimit = \"never\"", 4, "queues.wake.limit", "`limit = \"20s\"`"),
    ("[[queues]]\nroot = \"/a\"\n[queues.wke]\nlimit = \"1s\"", 3, "queues.wke", "did you mean `wake`?"),
];

#[test]
fn every_bad_row_is_refused_with_file_line_key_and_remedy() {
    let world = World::new();
    for (text, line, key, remedy) in WRONG {
        let file = user(&world, text);
        let place = format!("{}:{line}: {key}: ", file.display());
        for arguments in [&["config", "show"][..], &["sweep", "--dry-run"]] {
            let ran = world.run(arguments).ends_with(2);
            assert!(ran.stderr.contains(&place) && ran.stderr.contains(remedy), "{text}\n{}", ran.stderr);
            assert!(!ran.stderr.contains("panicked"), "{text}\n{}", ran.stderr);
        }
        world.run(&["config", "check"]).ends_with(2);
        let problems = &world.json(&["config", "check"])["problems"];
        assert_eq!(problems.as_array().unwrap().len(), 1, "{text}\n{problems:#}");
        assert_eq!((&problems[0]["line"], &problems[0]["key"]), (&json!(line), &json!(key)), "{text}");
        let told = format!("{}; {}", problems[0]["message"].as_str().unwrap(), problems[0]["remedy"].as_str().unwrap());
        assert!(told.contains(remedy), "{text}\n{told}");
    }
}

#[test]
fn every_problem_of_a_file_is_told_in_one_run() {
    let world = World::new();
    user(&world, "[[queues]]\ntries = 0\nceilng = \"1h\"\n[[queues]]\nroot = \"/a\"\nzone = \"X\"\n");
    let problems = &world.json(&["config", "check"])["problems"];
    let keys: Vec<_> = problems.as_array().unwrap().iter().map(|problem| problem["key"].as_str().unwrap()).collect();
    assert_eq!(keys, ["queues.root", "queues.ceilng", "queues.tries", "queues.zone"]);
}

#[test]
fn a_wrong_variable_is_refused_once_however_many_roots_there_are() {
    for (name, value) in [
        ("TRIES", "21"),
        ("ZONE", "Mars/Base"),
        ("RUNTIME", "rm"),
        ("CEILING", "soon"),
        ("TAKE_OVER", "1"),
        ("WAKE_COMMAND", "bin/wake"),
        ("WAKE_LIMIT", "0s"),
    ] {
        let mut world = World::new();
        user(&world, TWO_ROOTS);
        let name = format!("SESSION_SWEEP_QUEUES_{name}");
        world.variable(&name, value);
        let stderr = world.run(&["config", "show"]).ends_with(2).stderr;
        assert_eq!(stderr.matches(&format!("environment {name}: queues.")).count(), 1, "{stderr}");
        assert_eq!(stderr.matches(&format!("write for example `{name}=")).count(), 1, "{stderr}");
    }
}

#[test]
fn a_misspelt_variable_is_found_by_check() {
    let mut world = World::new();
    world.variable("SESSION_SWEEP_QUEUES_CEILNG", "1h");
    let ran = world.run(&["config", "check"]).ends_with(2);
    assert!(ran.stdout.contains("did you mean `SESSION_SWEEP_QUEUES_CEILING`?"), "{ran:?}");
    world.run(&["config", "show"]).ends_with(0);
}

#[test]
fn set_leaves_rows_alone() {
    let world = World::new();
    let file = user(&world, TWO_ROOTS);
    for (arguments, heading) in [
        (["config", "set", "queues.ceiling", "45m"], "`ceiling = \"45m\"` below the `[[queues]]` of its root"),
        (["config", "set", "queues.wake.limit", "1s"], "`limit = \"20s\"` below the `[queues.wake]` of its root"),
        (["config", "set", "queues.root", "/x"], "below a `[[queues]]` of its own"),
    ] {
        let ran = world.run(&arguments).ends_with(2);
        assert!(ran.stderr.contains(file.to_str().unwrap()) && ran.stderr.contains(heading), "{ran:?}");
        assert_eq!(fs_err::read_to_string(&file).unwrap(), TWO_ROOTS);
    }
    world.run(&["config", "set", "map.idle", "1h"]).ends_with(0);
    assert_eq!(fs_err::read_to_string(&file).unwrap(), format!("{TWO_ROOTS}\n[map]\nidle = \"1h\"\n"));
    world.run(&["config", "check"]).ends_with(0);
}
