//! `artifacts report`, and how all of `artifacts` looks.

use serde_json::{Value, json};

use crate::artifacts_world::{Disk, id};
use crate::snapshots::{settled, shown};
use crate::world::{Ran, World, touch};

/// The day's minutes.
const DAY: i64 = 24 * 60;

/// A home at the instant of the tests' runs, in which nothing is removed.
fn still() -> World {
    let world = World::new();
    for number in 0..4 {
        world.claude(&id(number), 25 * DAY + number as i64 * DAY);
    }
    world.file(&format!(".claude/projects/-work/{}/tool-results/a.txt", id(1)), "result", 26 * DAY);
    world.file(&format!(".claude/debug/{}.txt", id(1)), "x".repeat(9_000), 10 * DAY);
    world.file(".claude/debug/young.txt", "x", DAY);
    world.file(".claude/history.jsonl", "x", 0);
    world.file(".codex/log/codex-tui.log", "x", DAY);
    let log = world.home().join(".claude/debug/young.txt");
    fs_err::hard_link(log, world.home().join(".claude/debug/again.txt")).unwrap();
    touch(&world.home().join(".claude/debug/again.txt"), DAY);
    world
}

fn home<'d>(document: &'d Value, provider: &str) -> &'d Value {
    document["homes"].as_array().unwrap().iter().find(|home| home["provider"] == provider).unwrap()
}

#[test]
fn a_file_with_two_names_takes_its_room_once() {
    let document = still().json(&["artifacts", "report"]);
    let claude = home(&document, "claude");
    let debug = claude["kinds"].as_array().unwrap().iter().find(|kind| kind["kind"] == "debug").unwrap();
    assert_eq!((&debug["items"], &debug["files"], &debug["bytes"]), (&json!(3), &json!(2), &json!(9_001)));
    let world = still();
    let old = fs_err::metadata(world.home().join(format!(".claude/debug/{}.txt", id(1)))).unwrap();
    let old = std::os::unix::fs::MetadataExt::blocks(&old) * 512;
    assert_eq!((&debug["overdue"], &debug["overdue_disk_bytes"]), (&json!(1), &json!(old)));
    assert_eq!(claude["other"]["files"], json!(1));
    assert_eq!(claude["total"]["files"], json!(8));
}

#[test]
fn what_the_cli_will_delete_itself_within_a_week_is_told() {
    let world = still();
    let document = world.json(&["artifacts", "report"]);
    let own = &home(&document, "claude")["own_cleanup"];
    assert_eq!((&own["after_days"], &own["sessions_within_7_days"]), (&json!(30), &json!(4)));
    let ran = world.run(&["artifacts", "report"]).ends_with(0);
    assert!(ran.stdout.contains("claude will delete 4 sessions itself within 5 days: raise"), "{ran:?}");
    world.file(".claude/settings.json", "{\"cleanupPeriodDays\": 36}", 0);
    let ran = world.run(&["artifacts", "report"]).ends_with(0);
    assert!(!ran.stdout.contains("will delete 4"), "{ran:?}");
    assert!(ran.stdout.contains("claude will delete 0") || !ran.stdout.contains("will delete"), "{ran:?}");
    world.file(".claude/settings.json", "{\"cleanupPeriodDays\": 35}", 0);
    let ran = world.run(&["artifacts", "report"]).ends_with(0);
    assert!(ran.stdout.contains("claude will delete 1 session itself within 7 days"), "{ran:?}");
    world.file(".claude/settings.json", "{\"cleanupPeriodDays\": 0}", 0);
    let ran = world.run(&["artifacts", "report"]).ends_with(0);
    assert!(ran.stdout.contains("when claude deletes its sessions is not known"), "{ran:?}");
}

#[test]
fn a_folder_that_cannot_be_read_is_told_and_the_rest_counted() {
    let world = still();
    let mut deep = world.home().join(".claude/telemetry");
    (0..110).for_each(|_| deep.push("d"));
    fs_err::create_dir_all(&deep).unwrap();
    let ran = world.run(&["artifacts", "report"]).ends_with(4);
    assert!(ran.stdout.contains("too many folders in one another"), "{ran:?}");
    assert!(ran.stdout.contains("transcripts             4"), "{ran:?}");
}

/// Checks what a run shows, but for what files take on the disk: that is the file system's choice.
fn looks_like(name: &str, world: &World, ran: &Ran) {
    settled(world, || {
        let mut settings = insta::Settings::clone_current();
        settings.add_filter(r#"disk_bytes":\d+"#, r#"disk_bytes":[N]"#);
        settings.add_filter(r" *\d+(\.\d)? k?B\b", " [SIZE]");
        settings.bind(|| insta::assert_snapshot!(name, shown(ran)));
    });
}

#[test]
fn the_report_looks_like_this() {
    let world = still();
    looks_like("artifacts_report", &world, &world.run(&["artifacts", "report"]));
    looks_like("artifacts_report_json", &world, &world.run(&["artifacts", "report", "--json"]));
    let nothing = World::new();
    looks_like("artifacts_report_of_nothing", &nothing, &nothing.run(&["artifacts", "report"]));
}

#[test]
fn a_preview_looks_like_this() {
    let world = still();
    let text = "[artifacts]\nkeep_last = 1\n[artifacts.claude.transcripts]\nretention = \"26d\"\n";
    fs_err::create_dir_all(world.home().join(".config/session-sweep")).unwrap();
    fs_err::write(world.home().join(".config/session-sweep/config.toml"), text).unwrap();
    world.map(&json!({ "claude-cli": { "chat": id(3) } }).to_string());
    looks_like("artifacts_prune_dry", &world, &world.run(&["artifacts", "prune", "-n"]));
    looks_like("artifacts_prune_dry_verbose", &world, &world.run(&["artifacts", "prune", "-n", "-v"]));
    looks_like("artifacts_prune_dry_json", &world, &world.run(&["artifacts", "prune", "-n", "--json"]));
}

#[test]
fn the_archive_looks_like_this() {
    let disk = Disk::new();
    let ran = disk.run(&["artifacts", "restore"]).ends_with(0);
    assert!(ran.stdout.starts_with("nothing is in the archive"), "{ran:?}");
    disk.configure("[artifacts]\nkeep_last = 1\n[artifacts.claude.transcripts]\nretention = \"30d\"\n");
    disk.claude(1, 100);
    (5..8).for_each(|number| drop(disk.claude(number, 1)));
    let ran = disk.run(&["artifacts", "prune", "--yes"]).ends_with(0);
    assert_eq!(
        ran.stdout.lines().next().unwrap().split_whitespace().collect::<Vec<_>>(),
        ["PROVIDER", "KIND", "ITEMS", "SIZE", "ACTION", "WHY"]
    );
    let ran = disk.run(&["artifacts", "restore", "-v"]).ends_with(0);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert!(lines[1].starts_with(&format!("{}  claude", id(1))), "{ran:?}");
    assert!(lines[2].trim().ends_with(&format!("Z-{}", id(1))), "{ran:?}");
    assert_eq!(lines[3].trim(), format!("~/.claude/projects/-work/{}.jsonl", id(1)));
    assert!(lines[4].starts_with("archive  ~/.local/state/session-sweep/archive  1 session in"), "{ran:?}");
    // A beginning will do, unless it is that of several.
    disk.run(&["artifacts", "restore", "0856b851-1111"]).ends_with(0);
    disk.claude(2, 100);
    disk.run(&["artifacts", "prune", "--yes"]).ends_with(0);
    let ran = disk.run(&["artifacts", "restore", "0856b851-1111"]).ends_with(2);
    assert!(ran.stderr.contains("is the beginning of several"), "{ran:?}");
    let ran = disk.run(&["artifacts", "restore", "none"]).ends_with(1);
    assert!(ran.stderr.contains("no session \"none\" is in the archive"), "{ran:?}");
    // What is damaged is told, and nothing is put back of it.
    let broken = disk.archive().join("20260101T000000.000Z-x.json");
    fs_err::write(&broken, "{").unwrap();
    let ran = disk.run(&["artifacts", "restore"]).ends_with(4);
    assert!(ran.stdout.contains("the archive it describes is gone"), "{ran:?}");
    fs_err::write(broken.with_extension("tar.zst"), "what is no archive").unwrap();
    let ran = disk.run(&["artifacts", "restore"]).ends_with(4);
    assert!(ran.stdout.contains("this is no manifest"), "{ran:?}");
    let ran = disk.run(&["artifacts", "restore", "none"]).ends_with(1);
    assert!(ran.stderr.contains("this is no manifest"), "{ran:?}");
}

#[test]
fn wrong_values_are_refused_with_a_right_one() {
    let disk = Disk::new();
    for (text, expected) in [
        ("[artifacts.claude.debug]\nretention = \"0d\"", "artifacts.claude.debug.retention"),
        ("[artifacts.claude.debug]\nmax_size = \"10\"", "the unit is missing"),
        ("[artifacts.claude.debug]\nmax_size = 10", "must be a text in quotes"),
        ("[artifacts.claude.debugs]\nretention = \"1d\"", "did you mean `debug`?"),
        ("[artifacts.clade.debug]\nretention = \"1d\"", "did you mean `claude`?"),
        ("[artifacts.claude.debug]\nretentions = \"1d\"", "did you mean `retention`?"),
        ("[artifacts]\nkeep_last = 0", "not a whole number from 1 to 100000"),
        ("[artifacts]\nroots = [\"nanoclaw\"]", "is no absolute path"),
    ] {
        disk.configure(text);
        let ran = disk.run(&["artifacts", "report"]).ends_with(2);
        assert!(ran.stderr.contains(expected), "{text}: {ran:?}");
    }
    disk.configure("");
    disk.run(&["config", "set", "artifacts.claude.debug.retention", "9d"]).ends_with(0);
    disk.run(&["config", "set", "artifacts.claude.debug.max_size", "1gb"]).ends_with(0);
    let settings = disk.json(&["config", "show"])["settings"].clone();
    let value = |key: &str| {
        let settings = settings.as_array().unwrap();
        settings.iter().find(|setting| setting["key"] == key).unwrap()["value"].clone()
    };
    assert_eq!(value("artifacts.claude.debug.retention"), json!("9d"));
    assert_eq!(value("artifacts.claude.debug.max_size"), json!("1gb"));
    let mut command = disk.command(&["config", "show", "--json"]);
    let ran = Ran::of(command.env("SESSION_SWEEP_ARTIFACTS_CLAUDE_DEBUG_RETENTION", "11d"));
    assert!(ran.stdout.contains("\"11d\""), "{ran:?}");
}

#[test]
fn the_help_of_every_command_of_artifacts() {
    let world = World::new();
    settled(&world, || {
        for command in ["artifacts", "artifacts report", "artifacts prune", "artifacts restore"] {
            let words: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
            let ran = Ran::of(&mut world.command_at_present(&words)).ends_with(0);
            let widest = ran.stdout.lines().map(|line| line.chars().count()).max();
            assert!(widest <= Some(100), "{command}: {widest:?}");
            insta::assert_snapshot!(format!("help_{}", command.replace(' ', "_")), ran.stdout);
        }
    });
}

#[test]
fn a_linked_folder_is_told_apart_from_one_with_nothing_in_it() {
    let disk = Disk::new();
    disk.file("disk/-work/notes.txt", "x", 100);
    fs_err::create_dir_all(disk.home().join(".claude")).unwrap();
    fs_err::os::unix::fs::symlink(disk.home().join("disk"), disk.home().join(".claude/projects")).unwrap();
    let note = ".claude/projects: this is a link, and what it leads to is not looked at";
    let ran = disk.run(&["artifacts", "report"]).ends_with(4);
    assert!(ran.stdout.contains(note), "{ran:?}");
    // Transcripts stay in any case.
    let ran = disk.run(&["artifacts", "prune", "--yes"]).ends_with(0);
    assert!(!ran.stdout.contains(note), "{ran:?}");
    disk.configure("[artifacts.claude.transcripts]\nretention = \"30d\"\n");
    let ran = disk.run(&["artifacts", "prune", "--yes"]).ends_with(4);
    assert!(ran.stdout.contains(note), "{ran:?}");
}

#[test]
fn what_lies_in_the_future_and_copies_of_one_session_are_told_as_such() {
    let disk = Disk::new();
    disk.file(".claude/debug/later.txt", "x", -400);
    disk.claude(1, 28);
    disk.file(&format!(".claude/projects/-other/{}.jsonl", id(1)), disk.line(1, 28), 28);
    let ran = disk.run(&["artifacts", "report"]).ends_with(0);
    assert!(ran.stdout.contains("  future  future  3d"), "{ran:?}");
    assert!(ran.stdout.contains("claude will delete 1 session itself"), "{ran:?}");
    let claude = home(&disk.json(&["artifacts", "report"]), "claude").clone();
    assert_eq!((&claude["kinds"][0]["items"], &claude["kinds"][0]["files"]), (&json!(1), &json!(2)));
    let ran = disk.run(&["artifacts", "prune", "--dry-run"]).ends_with(0);
    assert!(ran.stdout.contains("; 1 from the future kept"), "{ran:?}");
}

#[test]
fn one_fault_is_told_once_and_a_slip_of_the_keyboard_with_what_was_meant() {
    let disk = Disk::new();
    let root = disk.home().join("loop");
    fs_err::os::unix::fs::symlink("loop", &root).unwrap();
    let ran = disk.run(&["artifacts", "report", "--root", root.to_str().unwrap()]).ends_with(4);
    assert_eq!(ran.stdout.matches("note:").count(), 1, "{ran:?}");
    let ran = disk.run(&["artifacts", "prune", "--kind", "claude.debgu"]).ends_with(2);
    assert!(ran.stderr.contains("did you mean claude.debug?"), "{ran:?}");
    let ran = disk.run(&["artifacts", "prune", "--kind", "9"]).ends_with(2);
    assert!(ran.stderr.contains("known are claude.transcripts, "), "{ran:?}");
}
