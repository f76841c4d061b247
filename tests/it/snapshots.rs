//! What people and scripts see, to the letter. After a wanted change: `INSTA_UPDATE=always cargo test --test it`.

use std::fs::File;

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::left_behind::{id, later, nested, start_ticks};
use crate::scheduled::me;
use crate::test_bridge::{Bridge, Instead};
use crate::world::{CLAUDE_ID, CODEX_ID, GEMINI_ID, Ran, World};

/// Checks snapshots with what differs from run to run replaced.
pub(crate) fn settled(world: &World, check: impl FnOnce()) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let root = world.root().to_str().unwrap();
    settings.add_filter(&root.replace('.', r"\."), "[WORLD]");
    settings.add_filter(r"process \d+", "process [PID]");
    settings.add_filter(r"pid \d+", "pid [PID]");
    settings.add_filter(r"\d+ left behind, \d+ unknown", "[N] left behind, [N] unknown");
    // A column is as wide as the world's path.
    settings.add_filter(r" +  \(", "  (");
    settings.bind(check);
}

/// Everything that a run shows.
pub(crate) fn shown(ran: &Ran) -> String {
    let part = |name: &str, text: &str| if text.is_empty() { String::new() } else { format!("--- {name}\n{text}") };
    format!("{}{}--- exit {}", part("stdout", &ran.stdout), part("stderr", &ran.stderr), ran.status)
}

/// One mapping in each state, of three providers, and a member that is no mapping.
fn world() -> World {
    let mut world = World::new();
    world.claude(CLAUDE_ID, 3);
    world.claude(&id(2), 5 * 60);
    world.claude(&id(3), 9 * 60);
    world.codex(CODEX_ID, 80 * 60);
    world.gemini(GEMINI_ID, 50);
    let pid = world.sleeper();
    world.claude_record(pid, &id(3), start_ticks(pid));
    let map = json!({
        "claude-cli": {"holiday-plans": CLAUDE_ID, "tax-letter": id(2), "long-refactoring": id(3), "lost": id(4)},
        "codex-cli": {"port-to-rust": CODEX_ID, "weird": "../../x"},
        "gemini-cli": {"recipe-ideas": GEMINI_ID},
        "note": 3,
        "version": 3,
    });
    world.map(&map.to_string());
    world
}

#[test]
fn prune_as_text() {
    let world = world();
    settled(&world, || {
        assert_snapshot!("prune_dry_run", shown(&world.run(&["prune", "--dry-run"])));
        assert_snapshot!("prune_dry_run_verbose", shown(&world.run(&["prune", "-n", "-v"])));
        assert_snapshot!("prune_exit_code", shown(&world.run(&["prune", "-n", "-q", "--exit-code"])));
        assert_snapshot!("prune", shown(&world.run(&["prune"])));
        assert_snapshot!("prune_again", shown(&world.run(&["prune"])));
        let late = world.run_at(&later(25), &["prune", "--idle", "never"]);
        assert_snapshot!("prune_missing", shown(&late));
    });
}

#[test]
fn sweep_as_text_and_json() {
    let world = world();
    settled(&world, || {
        let document = world.json(&["sweep", "--dry-run"]);
        assert_snapshot!("sweep_json", serde_json::to_string_pretty(&document).unwrap());
        assert_snapshot!("sweep", shown(&world.run(&["sweep"])));
        fs_err::remove_file(world.map_path()).unwrap();
        assert_snapshot!("sweep_without_a_map", shown(&world.run(&["sweep"])));
        assert_snapshot!("config_set", shown(&world.run(&["config", "set", "map.idle", "12h"])));
    });
}

#[test]
fn a_prune_beside_a_live_bridge() {
    let mut world = world();
    let map = json!({"claude-cli": {"tax-letter": id(2), "a/b": id(2)}, "codex-cli": {"port-to-rust": CODEX_ID}});
    world.map(&map.to_string());
    let bridge = Bridge::start(world.map_path());
    settled(&world, || {
        for round in ["", "_again", "_and_again"] {
            assert_snapshot!(format!("written_back{round}"), shown(&world.run(&["prune"])));
            bridge.set("codex-cli", "another", CODEX_ID);
        }
    });
    world.variable("SESSION_SWEEP_BRIDGE_URL", bridge.url());
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"127\.0\.0\.1:\d+", "127.0.0.1:[PORT]");
    settings.bind(|| {
        settled(&world, || {
            assert_snapshot!("through_bridge_dry_run", shown(&world.run(&["prune", "--dry-run"])));
            assert_snapshot!("through_bridge", shown(&world.run(&["prune"])));
            bridge.play(|_| Some(Instead::Answer(503, String::new())));
            assert_snapshot!("error_bridge", shown(&world.run(&["prune"])));
            drop(bridge);
            assert_snapshot!("bridge_is_down", shown(&world.run(&["prune"])));
        });
    });
}

#[test]
fn prune_as_json() {
    let world = world();
    settled(&world, || {
        let document = world.json(&["prune", "--dry-run"]);
        assert_snapshot!("prune_json", serde_json::to_string_pretty(&document).unwrap());
    });
}

#[test]
fn prune_by_content_shows_where_file_times_lie() {
    let world = World::new();
    let line = "{\"type\":\"user\",\"timestamp\":\"2026-11-19T12:00:00.000Z\"}\n";
    world.file(&format!(".claude/projects/-work/{CLAUDE_ID}.jsonl"), line, 3);
    world.map(&nested(&[("claude-cli", "a", CLAUDE_ID)]));
    settled(&world, || {
        assert_snapshot!("prune_content", shown(&world.run(&["prune", "-n", "--activity", "content"])));
    });
}

#[test]
fn audit_as_text() {
    let world = world();
    settled(&world, || {
        assert_snapshot!("audit", shown(&world.run(&["audit"])));
        assert_snapshot!("audit_verbose", shown(&world.run(&["audit", "-v"])));
        fs_err::remove_file(world.map_path()).unwrap();
        assert_snapshot!("audit_without_a_map", shown(&world.run(&["audit"])));
    });
    let empty = World::new();
    settled(&empty, || assert_snapshot!("audit_of_nothing", shown(&empty.run(&["audit"]))));
}

#[test]
fn audit_as_json() {
    let world = world();
    settled(&world, || {
        let mut document = world.json(&["audit"]);
        document["prune"] = Value::from("as prune_json");
        assert_snapshot!("audit_json", serde_json::to_string_pretty(&document).unwrap());
    });
}

/// A machine with three schedules where one would do, and a run in the log that failed.
fn scheduled() -> World {
    let mut world = world();
    world.systemd("user", "user", &World::program());
    world.systemd("system", "waiting", std::path::Path::new("/usr/local/bin/session-sweep"));
    world.crontab("17 * * * * /usr/bin/session-sweep sweep --quiet --started-by cron\n");
    let totals = json!({"checked": 7, "active": 2, "idle": 2, "pruned": 0});
    world.run_log(&[
        json!({"at": "2026-11-20T16:17:00Z", "started_by": "cron", "took_ms": 9, "exit": 4, "totals": totals}),
        json!({"at": "2026-11-20T16:34:25.4Z", "started_by": "timer", "took_ms": 12, "exit": 1,
            "error": "the map is no JSON; nothing was touched"}),
    ]);
    world
}

/// The same for whoever runs the tests.
fn of_anybody(world: &World, check: impl FnOnce()) {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(&format!(r"\b{}\b", me()), "[USER]");
    settings.add_filter(World::program().to_str().unwrap(), "[PROGRAM]");
    settings.bind(|| settled(world, check));
}

#[test]
fn status_as_text_and_json() {
    let world = scheduled();
    of_anybody(&world, || {
        assert_snapshot!("status", shown(&world.run_then(&["status"])));
        let document = world.json_then(&["status"]);
        assert_snapshot!("status_json", serde_json::to_string_pretty(&document).unwrap());
    });
    let nothing = World::new();
    of_anybody(&nothing, || assert_snapshot!("status_of_nothing", shown(&nothing.run_then(&["status"]))));
    let text = world.run_then(&["status"]).ends_with(0).stdout;
    assert_eq!(text.lines().find(|line| line.chars().count() > 80), None, "{text}");
}

#[test]
fn doctor_as_text_and_json() {
    let world = scheduled();
    of_anybody(&world, || {
        let text = world.run_then(&["doctor"]).ends_with(1).stdout;
        for line in text.lines().filter(|line| line.chars().count() > 80) {
            assert!(!line.trim_start().contains(' '), "it could be broken: {line}");
        }
        // Where lines break depends on how long the world's path is.
        let indent = format!("\n{:27}", "");
        let whole = text.replace(&indent, " ").replace(&indent[..25], " ").replace(" -> ", "\n -> ");
        assert_snapshot!("doctor", whole);
        let document = world.json_then(&["doctor"]);
        assert_snapshot!("doctor_json", serde_json::to_string_pretty(&document).unwrap());
    });
}

#[test]
fn the_other_commands_as_text() {
    let world = world();
    world.run(&["prune"]).ends_with(0);
    settled(&world, || {
        let tombstones = fs_err::read_to_string(world.bridge().join("session_map.tombstones.jsonl")).unwrap();
        assert_snapshot!("tombstones", tombstones);
        assert_snapshot!("resolve", {
            let answer = world.run(&["resolve", "--model", "codex-cli", "--chat", "port-to-rust"]).ends_with(0);
            let mut answer: Value = serde_json::from_str(&answer.stdout).unwrap();
            // Whether there is a folder /work is this machine's matter.
            answer["warnings"] = json!([]);
            serde_json::to_string_pretty(&answer).unwrap()
        });
        assert_snapshot!("restore_dry_run", shown(&world.run(&["restore", "--all", "--dry-run"])));
        assert_snapshot!("restore", shown(&world.run(&["restore", "--since", "1h"])));
        let record = ["record", "--model", "claude-cli", "--chat", "new", "--session", CLAUDE_ID];
        assert_snapshot!("record", shown(&world.run(&record)));
        assert_snapshot!("record_again", shown(&world.run(&record)));
    });
}

#[test]
fn the_configuration_as_text() {
    let mut world = World::new();
    world.file(".config/session-sweep/config.toml", "[map]\nidle = \"12h\"\nmodels = [\"claude-cli\"]\n", 0);
    world.variable("SESSION_SWEEP_MAP_MISSING", "keep");
    settled(&world, || {
        assert_snapshot!("config_show", shown(&world.run(&["config", "show"])));
        assert_snapshot!("config_show_origin", shown(&world.run(&["config", "show", "--origin"])));
        assert_snapshot!("config_check", shown(&world.run(&["config", "check"])));
        world.file(".config/session-sweep/config.toml", "[map]\nidel = \"12h\"\nmissing = \"after:0h\"\n", 0);
        assert_snapshot!("config_check_wrong", shown(&world.run(&["config", "check"])));
        assert_snapshot!("config_unknown_key", shown(&world.run(&["prune"])));
    });
}

#[test]
fn the_help_of_every_command() {
    let world = World::new();
    let commands = [
        "",
        "sweep",
        "daemon",
        "prune",
        "resolve",
        "record",
        "restore",
        "audit",
        "status",
        "doctor",
        "demo",
        "config",
        "config show",
        "config check",
        "config set",
        "completions",
        "man",
    ];
    settled(&world, || {
        for command in commands {
            let words: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
            let ran = Ran::of(&mut world.command_at_present(&words)).ends_with(0);
            let widest = ran.stdout.lines().map(|line| line.chars().count()).max();
            assert!(widest <= Some(100), "{command}: {widest:?}");
            assert_snapshot!(format!("help_{}", command.replace(' ', "_")), ran.stdout);
        }
    });
}

#[test]
fn what_cannot_be_done_is_explained() {
    let world = world();
    settled(&world, || {
        let lock_path = world.bridge().join("session_map.lock");
        let line = format!("{} 2026-11-20T11:59:00Z session-sweep prune\n", std::process::id());
        fs_err::write(&lock_path, line).unwrap();
        let lock = File::open(&lock_path).unwrap();
        lock.lock().unwrap();
        assert_snapshot!("error_locked", shown(&world.run(&["prune", "--wait", "never"])));
        lock.unlock().unwrap();
        world.map(&format!("{{\"a\": \"{CLAUDE_ID}\", \"a\": \"{CLAUDE_ID}\"}}"));
        assert_snapshot!("error_refused", shown(&world.run(&["prune"])));
        File::options().write(true).open(world.map_path()).unwrap().set_len(257 << 20).unwrap();
        assert_snapshot!("error_too_large", shown(&world.run(&["prune"])));
        fs_err::remove_file(world.map_path()).unwrap();
        assert_snapshot!("error_missing_map", shown(&world.run(&["prune"])));
        let quiet = world.run(&["prune", "--quiet-if-missing"]);
        assert_eq!(shown(&quiet), "--- exit 0");
        let bad_id = ["record", "--model", "claude-cli", "--chat", "a", "--session", "../../x"];
        assert_snapshot!("error_bad_id", shown(&world.run(&bad_id)));
        let unknown = ["restore", "--model", "claude-cli", "--chat", "nobody"];
        assert_snapshot!("error_no_tombstone", shown(&world.run(&unknown)));
    });
}

#[test]
fn wrong_usage_is_explained() {
    let world = World::new();
    let usage: [&[&str]; 15] = [
        &["prune", "--idle", "0"],
        &["prune", "--idle", "0h"],
        &["prune", "--idle", "2"],
        &["prune", "--idle", "-1h"],
        &["prune", "--hours", "nan"],
        &["prune", "--hours", "-1"],
        &["prune", "--hours", "0"],
        &["prune", "--hours", "inf"],
        &["prune", "--hours", "2", "--idle", "2h"],
        &["prune", "--dryrun"],
        &["prune", "--missing", "after:2"],
        &["prune", "--activity", "atime"],
        &["prun"],
        &["prune", "--dir", "a", "--map", "b"],
        &["prune", "--wait", "0s"],
    ];
    let text = usage.map(|arguments| {
        let ran = world.run(arguments).ends_with(2);
        assert_eq!(ran.stdout, "");
        format!("$ session-sweep {}\n{}", arguments.join(" "), ran.stderr)
    });
    settled(&world, || assert_snapshot!("usage_errors", text.join("\n")));
    let at = Ran::of(world.command_at_present(&["audit"]).args(["--at", "yesterday"])).ends_with(2);
    assert!(at.stderr.contains("RFC 3339"), "{}", at.stderr);
}

#[test]
fn a_typing_error_never_runs() {
    let world = World::new();
    world.claude(CLAUDE_ID, 600);
    world.map(&nested(&[("claude-cli", "a", CLAUDE_ID)]));
    let before = world.map_text();
    for arguments in [&["prune", "--dryrun"][..], &["prune", "--hours"], &["prune", "--hours=x"], &["prune", "now"]] {
        world.run(arguments).ends_with(2);
    }
    let ran = world.run(&["prune", "--dryrun"]).ends_with(2);
    assert!(ran.stderr.contains("--dry-run"), "{}", ran.stderr);
    assert_eq!(world.map_text(), before);
}

#[test]
fn exit_code_ten_means_work_to_do() {
    let world = World::new();
    world.claude(CLAUDE_ID, 600);
    world.map(&nested(&[("claude-cli", "a", CLAUDE_ID)]));
    world.run(&["prune", "--dry-run"]).ends_with(0);
    world.run(&["prune", "--dry-run", "--exit-code"]).ends_with(10);
    world.run(&["prune", "--dry-run", "--exit-code", "--idle", "never"]).ends_with(0);
    // A rehearsal stays one, whatever else is said.
    world.run(&["prune", "--dry-run", "--yes", "--exit-code"]).ends_with(10);
}

#[test]
fn a_run_that_is_no_rehearsal_tells_by_no_exit_code_that_there_is_work() {
    let world = World::new();
    world.claude(CLAUDE_ID, 600);
    world.map(&nested(&[("claude-cli", "a", CLAUDE_ID)]));
    let before = world.map_json();
    let commands =
        [&["prune"][..], &["sweep"], &["registry", "cleanup"], &["queues", "sweep"], &["artifacts", "prune", "--yes"]];
    for command in commands {
        let ran = world.run(&[command, &["--exit-code"]].concat()).ends_with(2);
        assert!(ran.stderr.contains("not provided:\n  --dry-run"), "{ran:?}");
        world.run(&[command, &["--exit-code", "--dry-run", "--help"]].concat()).ends_with(0);
    }
    assert_eq!(world.map_json(), before);
}

#[test]
fn quiet_says_nothing_and_does_the_same() {
    let world = world();
    let ran = world.run(&["prune", "-q"]).ends_with(0);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""));
    assert_eq!(world.tombstones().len(), 2);
    // What was asked for as a document is the answer, not talk.
    assert!(world.run(&["prune", "-q", "--json"]).ends_with(0).stdout.starts_with('{'));
}

/// Names with everything that could move a cursor, turn text round or look like output of ours.
fn world_with_evil_names() -> World {
    let world = World::new();
    let evil = "\u{1b}[31mred\u{7}\r\n0 checked\u{202e}\u{2066}\u{200b}\u{9b}2J\u{7f}";
    world.file(&format!(".claude/projects/-\u{1b}[2Jx/{CLAUDE_ID}.jsonl"), "{}\n", 600);
    let config = "[[provider]]\nname = \"mycli\"\nhome = \"~/a\u{202e}b\"\ntranscripts = \"{id}.log\"\n";
    world.file(".config/session-sweep/config.toml", config, 0);
    world.map(&json!({"claude-cli": {evil: CLAUDE_ID, "b": evil}, evil: {"c": CODEX_ID}}).to_string());
    world
}

#[test]
fn names_cannot_move_the_cursor_or_turn_text_round() {
    let world = world_with_evil_names();
    let evil_chat =
        world.map_json()["claude-cli"].as_object().unwrap().keys().find(|key| key.len() > 3).unwrap().clone();
    let resume = ["record", "--model", "claude-cli", "--chat", &evil_chat, "--session", CLAUDE_ID];
    let missing = ["restore", "--model", &evil_chat, "--chat", &evil_chat];
    settled(&world, || {
        assert_snapshot!("evil_names", shown(&world.run(&["prune", "-n", "-v"])));
        for arguments in [
            &["prune", "-n", "-v"][..],
            &["audit", "-v"],
            &["config", "show"],
            &["prune", "-n", "--model", &evil_chat],
            &["prune"],
            &["restore", "--all"],
            &resume,
            &missing,
        ] {
            let ran = world.run(arguments);
            let text = format!("{}{}", ran.stdout, ran.stderr);
            let bad = |c: char| {
                (c.is_control() && c != '\n')
                    || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
            };
            assert_eq!(text.chars().find(|c| bad(*c)), None, "{arguments:?}: {text:?}");
        }
    });
}

#[test]
fn names_are_escaped_on_a_terminal_too() {
    let world = world_with_evil_names();
    for color in ["always", "never"] {
        let text = world.run(&["prune", "-n", "-v", "--color", color]).stdout;
        assert!(!text.contains("\u{1b}[31mred") && !text.contains('\u{202e}') && !text.contains('\r'), "{text:?}");
        assert_eq!(text.contains("\u{1b}["), color == "always", "{text:?}");
    }
}

#[test]
fn lines_fit_a_terminal_of_eighty_columns() {
    let world = world();
    for arguments in [&["prune", "-n"][..], &["prune"], &["restore", "--all", "-n"], &["restore", "--all"]] {
        let text = world.run(arguments).ends_with(0).stdout;
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{arguments:?}: {line}");
        }
    }
}

#[test]
fn an_audit_says_once_why_the_map_cannot_be_read() {
    let mut world = World::new();
    world.map("{");
    world.variable("SESSION_SWEEP_ARTIFACTS_ENABLED", "true");
    let ran = world.run(&["audit"]).ends_with(1);
    assert!(ran.stdout.contains("\nartifacts    not looked at: the session map cannot be read\n"), "{ran:?}");
    let ran = world.run(&["sweep", "--dry-run"]).ends_with(1);
    assert!(ran.stderr.contains("EOF while parsing"), "{ran:?}");
}

#[test]
fn nothing_but_the_document_is_on_stdout() {
    let world = world();
    for arguments in [
        &["prune", "-n", "--json"][..],
        &["prune", "--json", "-v"],
        &["audit", "--json"],
        &["status", "--json"],
        &["restore", "--all", "--json"],
        &["config", "show", "--json"],
        &["config", "check", "--json"],
        &["resolve", "--model", "a", "--chat", "b"],
        &["record", "--model", "claude-cli", "--chat", "b", "--session", CLAUDE_ID, "--json"],
    ] {
        let ran = world.run(arguments).ends_with(0);
        let value: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}"));
        assert!(value.is_object(), "{arguments:?}");
        assert_eq!(ran.stdout.matches('\n').count(), 1, "{arguments:?}");
    }
}

#[test]
fn every_document_says_its_schema() {
    let world = world();
    for arguments in [
        &["prune", "-n"][..],
        &["audit"],
        &["status"],
        &["doctor"],
        &["restore", "--all"],
        &["config", "show"],
        &["config", "check"],
        &["resolve", "--model", "a", "--chat", "b"],
        &["record", "--model", "claude-cli", "--chat", "b", "--session", CLAUDE_ID],
    ] {
        assert_eq!(world.json(arguments)["schema"], 1, "{arguments:?}");
    }
}

#[test]
fn man_pages_and_completions_know_every_command() {
    let world = World::new();
    let commands =
        ["prune", "resolve", "record", "restore", "audit", "status", "doctor", "demo", "config", "completions", "man"];
    let out = world.root().join("man");
    world.run(&["man", "--out", out.to_str().unwrap()]).ends_with(0);
    for command in commands {
        let page = fs_err::read_to_string(out.join(format!("session-sweep-{command}.1"))).unwrap();
        assert!(page.contains(".TH"), "{command}");
        assert_eq!(world.run(&["man", command]).ends_with(0).stdout, page);
    }
    assert!(out.join("session-sweep.1").exists() && out.join("session-sweep-config-show.1").exists());
    world.run(&["man", "nothing"]).ends_with(2);
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = world.run(&["completions", shell]).ends_with(0).stdout;
        for command in commands {
            assert!(script.contains(command), "{shell} {command}");
        }
    }
}
