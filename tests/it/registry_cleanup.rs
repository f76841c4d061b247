//! `registry cleanup`: who is alive and by which sign, what a clean-up changes and removes, and when it does not.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{SecondsFormat, TimeDelta, Utc};
use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::machine::{SmallDisk, as_ordinary_user, set_mode, strace};
use crate::registry_world::{
    STAMP, body, in_document, named, no_registry, only_one, registry, registry_of, session, text_of, verdicts,
};
use crate::snapshots::{settled, shown};
use crate::tree::{assert_untouched, names_in, tree_of};
use crate::world::{CLAUDE_ID, Ran, World, ago, wait_until};

/// Longer ago than any clean-up here allows.
const LONG: i64 = 10_000;

/// The same text in another style.
type Restyle = fn(&str) -> String;

/// Five hours after the other runs.
const LATER: &str = "2026-11-20T17:00:00Z";

fn later(world: &World, arguments: &[&str]) -> Ran {
    world.run_at(LATER, &[&["registry", "cleanup"], arguments].concat())
}

// ---- which signs of life there are

#[test]
fn a_session_without_a_sign_of_life_for_longer_than_the_timeout_becomes_inactive() {
    let world = registry(&[session(1, "active", 119), session(2, "active", 120), session(3, "active", 121)]);
    let document = world.registry_document(&["cleanup"]);
    assert_eq!(verdicts(&document), ["1: active", "2: active", "3: stale"]);
    assert_eq!([1, 2, 3].map(|number| world.status_of(number)), ["active", "active", "inactive"]);
    let gone = &world.registry_json()["3"];
    assert_eq!(gone["marked_inactive_at"], "2026-11-20T12:00:00Z");
    assert_eq!(document["summary"]["marked_inactive"], 1);
    let of = in_document(&document, 3);
    assert_eq!((&of["action"], &of["age_seconds"]), (&json!("deactivate"), &json!(121 * 60)));
}

#[test]
fn a_session_that_registered_a_minute_ago_is_active_without_any_heartbeat() {
    let world = registry(&[session(1, "active", 1)]);
    assert_eq!(world.sign_of(1), (json!("registered"), Some(1)));
    world.registry_run(&["cleanup"]).ends_with(0);
    assert_eq!(world.status_of(1), "active");
}

#[test]
fn a_session_that_never_gave_a_sign_is_never_and_goes() {
    let text = r#"{"1": {"status": "active"}, "2": {"status": "active", "registered_at": "soon"},
        "3": {"status": "active", "registered_at": 1795175940}, "4": {"status": "active", "registered_at": null}}"#;
    let world = registry_of(text);
    let ran = world.registry_run(&["cleanup"]).ends_with(0);
    assert!(ran.stdout.contains("Last heartbeat: Never"), "{ran:?}");
    assert!(ran.stdout.contains("registered_at of session 2 is no time up to now: soon"), "{ran:?}");
    // What cannot be dated may be a sign: it is kept.
    assert_eq!([1, 2, 3, 4].map(|number| world.status_of(number)), ["inactive", "active", "active", "active"]);
}

#[test]
fn last_heartbeat_of_the_entry_counts_in_every_form_that_is_written() {
    for text in [
        "2026-11-20T11:50:00Z",
        "2026-11-20T11:50:00.123456Z",
        // As NEXUS writes it: UTC without saying so.
        "2026-11-20T11:50:00.123456",
        "2026-11-20T11:50:00",
        "2026-11-20 11:50:00 UTC",
        "2026-11-20T03:50:00-08:00",
    ] {
        let mut entry = session(1, "active", LONG);
        entry["last_heartbeat"] = text.into();
        let mut world = registry(&[entry]);
        // Wherever this machine is.
        world.variable("TZ", "PST8");
        let (source, age) = world.sign_of(1);
        assert!(source == "entry" && (age == Some(9) || age == Some(10)), "{text}: {source} {age:?}");
        assert_eq!(world.verdicts(), ["1: active"], "{text}");
    }
    // One in the future says nothing, and another sign decides.
    let mut entry = session(1, "active", LONG);
    entry["last_heartbeat"] = "2026-11-20T13:00:00Z".into();
    let world = registry(&[entry]);
    let document = world.registry_document(&["cleanup", "-n"]);
    assert!(only_one(&document, "notes").contains("last_heartbeat of session 1"), "{document}");
    assert_eq!(verdicts(&document), ["1: stale"]);
}

#[test]
fn the_newest_of_all_signs_counts() {
    for (beat, registered, entry, source) in [
        (1, 2, 3, "beat"),
        (3, 1, 2, "registered"),
        (2, 3, 1, "entry"),
        (1, LONG, LONG, "beat"),
        (LONG, LONG, 1, "entry"),
    ] {
        let mut own = session(7, "active", registered);
        own["last_heartbeat"] = ago(entry).into();
        let world = registry(&[own]);
        world.beat_of("session-7", beat);
        assert_eq!(world.sign_of(7), (json!(source), Some(1)), "{beat} {registered} {entry}");
    }
}

// ---- when a heartbeat is from

#[test]
fn a_heartbeat_is_dated_by_its_timestamp_and_by_its_file_only_where_there_is_none() {
    let timestamp = |text: &str| json!({"timestamp": text}).to_string();
    let cases = [
        // A copy or a checkout makes old heartbeats' files new.
        (body(LONG), 1, "beat", LONG, "stale"),
        // rsync -t keeps a file's time, a restore from a backup has any.
        (body(5), LONG, "beat", 5, "active"),
        (timestamp("2026-11-20T11:00:00"), 1, "beat", 60, "active"),
        (timestamp("2026-11-20T11:00:00.000123Z"), 1, "beat", 59, "active"),
        (timestamp("2026-11-20 11:00:00 UTC"), 1, "beat", 60, "active"),
        (timestamp("2026-11-20T12:00:00+01:00"), 1, "beat", 60, "active"),
        // A clock that is a little ahead is no other time.
        (timestamp("2026-11-20T12:05:00Z"), LONG, "beat", 0, "active"),
        (timestamp("2026-11-20T12:05:01Z"), 7, "beat-mtime", 7, "active"),
        (timestamp("2026-11-20T12:05:01Z"), LONG, "beat-mtime", LONG, "stale"),
        (timestamp("2099-01-01T00:00:00Z"), LONG, "beat-mtime", LONG, "stale"),
        (timestamp("$(date -u +%Y-%m-%dT%H:%M:%SZ)"), 7, "beat-mtime", 7, "active"),
        (timestamp("$(date -u +%Y-%m-%dT%H:%M:%SZ)"), 121, "beat-mtime", 121, "stale"),
        (timestamp(""), 7, "beat-mtime", 7, "active"),
        (timestamp("2026-13-45T99:00:00Z"), 7, "beat-mtime", 7, "active"),
        ("{}".to_owned(), 7, "beat-mtime", 7, "active"),
        (r#"{"timestamp": 1795175940}"#.to_owned(), 7, "beat-mtime", 7, "active"),
        (r#"{"timestamp": null, "status": ["x"]}"#.to_owned(), 7, "beat-mtime", 7, "active"),
    ];
    for (text, minutes, source, age, verdict) in cases {
        let world = registry(&[session(2, "active", 2 * LONG)]);
        world.beat(format!("{STAMP}-session-2.json"), &text, minutes);
        assert_eq!(world.sign_of(2), (json!(source), Some(age)), "{text} {minutes}");
        assert_eq!(world.verdicts(), [format!("2: {verdict}")], "{text} {minutes}");
    }
}

#[test]
fn a_heartbeat_of_the_future_is_shown_as_such() {
    let world = registry(&[session(2, "active", LONG)]);
    world.beat(format!("{STAMP}-session-2.json"), r#"{"timestamp": "2027-01-01T00:00:00Z"}"#, 30);
    let document = world.registry_document(&["list"]);
    let note = only_one(&document, "notes");
    assert!(note.contains("session-2.json is dated 2027-01-01T00:00:00Z, in the future"), "{note}");
    let text = world.registry_run(&["list"]).ends_with(0).stdout;
    assert!(text.contains("in the future") && text.contains("file time"), "{text}");
}

#[test]
fn a_heartbeat_of_the_future_hides_no_older_one_that_is_newer_than_its_file() {
    let world = registry(&[session(2, "active", LONG)]);
    world.beat("2026-11-20_11-00-00-session-2.json", body(60), 60);
    world.beat("2026-11-20_10-00-00-session-2.json", r#"{"timestamp": "2027-01-01T00:00:00Z"}"#, 200);
    assert_eq!(world.sign_of(2), (json!("beat"), Some(60)));
}

/// A run of now, by the machine's own clock.
fn at_present(world: &World, arguments: &[&str]) -> Value {
    let ran = Ran::of(world.command_at_present(&[&["registry"], arguments, &["--json"]].concat()).env("TZ", "UTC"));
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

#[test]
fn where_timestamp_and_file_time_lie_in_the_future_the_files_arrival_counts() {
    let mut entry = session(2, "active", 0);
    entry["registered_at"] = "2020-01-01T00:00:00Z".into();
    let world = registry(&[entry]);
    let beat = world.beat(format!("{STAMP}-session-2.json"), r#"{"timestamp": "2199-01-01T00:00:00Z"}"#, 0);
    let future = Utc::now() + TimeDelta::days(9);
    filetime::set_file_mtime(&beat, filetime::FileTime::from_unix_time(future.timestamp(), 0)).unwrap();
    let document = at_present(&world, &["cleanup", "-n"]);
    let own = in_document(&document, 2);
    assert_eq!((&own["source"], &own["verdict"]), (&json!("beat-ctime"), &json!("active")), "{document:#}");
    // Before the file came to be there is nothing to go by at all.
    let before = Utc::now() - TimeDelta::days(9);
    let document = world.json_at(&before.to_rfc3339_opts(SecondsFormat::Secs, true), &["registry", "cleanup", "-n"]);
    let own = in_document(&document, 2);
    assert_eq!((&own["source"], &own["verdict"]), (&json!("registered"), &json!("unknown")), "{document:#}");
    assert!(own["reason"].as_str().unwrap().contains("in the future by all its times"), "{document:#}");
    assert_eq!(document["summary"]["marked_inactive"], 0);
}

/// When anything about a file was changed last, in milliseconds.
fn changed(path: &Path) -> i64 {
    let metadata = fs_err::metadata(path).unwrap();
    metadata.ctime() * 1000 + metadata.ctime_nsec() / 1_000_000
}

#[test]
fn a_heartbeat_that_cannot_matter_is_not_opened() {
    let world = registry(&[session(2, "active", LONG)]);
    let (old, new) = ("2026-11-20_10-00-00-session-2.json", "2026-11-20_11-00-00-session-2.json");
    let beat = world.beat(old, json!({"timestamp": Utc::now()}).to_string(), 0);
    fs_err::write(&beat, json!({"timestamp": Utc::now()}).to_string()).unwrap();
    wait_until(|| {
        let now = Utc::now();
        let newer = world.beat(new, "", 0);
        fs_err::write(newer, json!({"timestamp": now}).to_string()).unwrap();
        now.timestamp_millis() > changed(&beat) + 100
    });
    let log = world.root().join("trace");
    let options = ["-e", "trace=openat", "-o", log.to_str().unwrap()];
    let Some(mut command) = strace(&options, &world.command_at_present(&["registry", "list", "--json"])) else {
        return;
    };
    let document: Value = serde_json::from_str(&Ran::of(&mut command).ends_with(0).stdout).unwrap();
    assert_eq!(in_document(&document, 2)["beat"], new);
    let opened = fs_err::read_to_string(log).unwrap();
    assert!(opened.contains(new) && !opened.contains(old), "{opened}");
}

#[test]
fn where_one_heartbeat_was_written_by_a_clock_that_is_ahead_all_are_looked_at() {
    let text = |time: chrono::DateTime<Utc>| json!({"timestamp": time}).to_string();
    let set_time = |path: &Path, time: chrono::DateTime<Utc>| {
        filetime::set_file_mtime(path, filetime::FileTime::from_unix_time(time.timestamp(), 0)).unwrap();
    };
    let soon = Utc::now() + TimeDelta::seconds(60);
    for is_far_ahead in [true, false] {
        let mut entry = session(2, "active", 0);
        entry["registered_at"] = "2020-01-01T00:00:00Z".into();
        let world = registry(&[entry]);
        let ahead = world.beat("2026-11-20_10-00-00-session-2.json", text(soon + TimeDelta::minutes(3)), LONG);
        set_time(&ahead, Utc::now() - TimeDelta::hours(3));
        // By its file it could not be outdone by the one that was changed before it.
        let last = world.beat("2026-11-20_11-00-00-session-2.json", text(soon), 0);
        if is_far_ahead {
            wait_until(|| {
                fs_err::write(&last, text("2199-01-01T00:00:00Z".parse().unwrap())).unwrap();
                changed(&last) > changed(&ahead) + 100
            });
        } else {
            set_time(&last, soon);
        }
        let document = at_present(&world, &["list"]);
        assert_eq!(in_document(&document, 2)["beat"], "2026-11-20_10-00-00-session-2.json", "{document:#}");
    }
}

#[test]
fn names_are_never_used_as_times() {
    let world = registry(&[session(1, "active", LONG), session(2, "active", LONG), session(3, "active", LONG)]);
    world.beat("2031-01-01_00-00-00-session-1.json", body(LONG), LONG);
    world.beat("1999-12-31_23-59-59-session-2.json", body(3), LONG);
    world.beat("9999-99-99_99-99-99-session-3.json", body(4), LONG);
    // Sorted by name it would be the newest one of session 2.
    world.beat("2026-11-20_11-59-59-session-2.json", body(LONG), LONG);
    assert_eq!(world.verdicts(), ["1: stale", "2: active", "3: active"]);
    assert_eq!((world.sign_of(2).1, world.sign_of(3).1), (Some(3), Some(4)));
}

// ---- whose a heartbeat is

#[test]
fn a_heartbeat_belongs_to_the_id_that_its_name_holds_exactly() {
    let cases: &[(&str, &[u32])] = &[
        ("2026-11-20_11-59-00-session-2.json", &[2]),
        ("2026-11-20_11-59-00.000123-session-2.json", &[2]),
        ("session-2.json", &[2]),
        ("2026-11-20_11-59-00-x-session-2.json", &[4]),
        ("2026-11-20_11-59-00-session-4.json", &[4]),
        ("2026-11-20_11-59-00-session-collective-mind.json", &[13]),
        ("2026-11-20_11-59-00-session-13.json", &[13]),
        ("collective-mind.json", &[]),
        ("2026-11-20_11-59-00-session-22.json", &[22]),
        ("2026-11-20_11-59-00-y-session-2.json", &[]),
        ("2026-11-20_11-59-00-session-2-old.json", &[]),
        ("2026-11-20_11-59-00-SESSION-2.json", &[]),
        ("2026-11-20_11-59-00-session-02.json", &[]),
        ("2026-11-20_11-59-session-2.json", &[]),
        ("session-2.json.bak", &[]),
        (".session-2.json", &[]),
        (".2026-11-20_11-59-00-session-2.json", &[]),
    ];
    for (name, owners) in cases {
        let world = registry(&[
            session(2, "active", LONG),
            named(4, "x-session-2", LONG),
            named(13, "session-collective-mind", LONG),
            session(22, "active", LONG),
        ]);
        world.beat(name, body(1), 1);
        let expected = [2, 4, 13, 22].map(|n| format!("{n}: {}", if owners.contains(&n) { "active" } else { "stale" }));
        assert_eq!(world.verdicts(), expected, "{name}");
    }
}

#[test]
fn heartbeats_under_number_and_under_id_count_alike() {
    for (under_number, under_id, source) in [(1, LONG, "session-13"), (LONG, 1, "mind")] {
        let world = registry(&[named(13, "mind", 2 * LONG)]);
        world.beat(format!("{STAMP}-session-13.json"), body(under_number), 0);
        world.beat(format!("{STAMP}-mind.json"), body(under_id), 0);
        let document = world.registry_document(&["list"]);
        let own = in_document(&document, 13);
        assert_eq!((&own["verdict"], &own["age_seconds"]), (&json!("active"), &json!(60)));
        assert_eq!(own["beat"], format!("{STAMP}-{source}.json"));
    }
}

#[test]
fn an_id_that_two_sessions_have_counts_for_both() {
    let world = registry(&[session(5, "active", LONG), named(6, "session-5", LONG), session(7, "active", LONG)]);
    world.beat_of("session-5", 1);
    assert_eq!(world.verdicts(), ["5: active", "6: active", "7: stale"]);
}

#[test]
fn the_longest_known_id_wins() {
    // The whole of a name is the id of one session, and what follows the stamp that of another.
    let world = registry(&[session(2, "active", LONG), named(3, &format!("{STAMP}-session-2"), LONG)]);
    world.beat(format!("{STAMP}-session-2.json"), body(1), 1);
    assert_eq!(world.verdicts(), ["2: stale", "3: active"]);
}

#[test]
fn heartbeats_in_folders_count_and_links_do_not() {
    let world = registry(&[session(1, "active", LONG), session(2, "active", LONG), session(3, "active", LONG)]);
    world.beat(format!("archive/2026/{STAMP}-session-1.json"), body(1), 1);
    // A folder that is named like a heartbeat is a folder.
    world.beat(format!("{STAMP}-session-3.json/{STAMP}-session-2.json"), body(1), 1);
    let elsewhere = world.root().join("elsewhere.json");
    fs_err::write(&elsewhere, body(1)).unwrap();
    symlink(&elsewhere, world.beats().join("session-3.json")).unwrap();
    symlink(world.beats().join("archive"), world.beats().join("linked")).unwrap();
    symlink("nowhere", world.beats().join(format!("{STAMP}-session-2.json"))).unwrap();
    let pipe = world.beats().join("archive/session-3.json");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    let document = world.registry_document(&["cleanup", "-n"]);
    assert_eq!(verdicts(&document), ["1: active", "2: active", "3: stale"]);
    let notes: Vec<&str> = document["notes"].as_array().unwrap().iter().map(|note| note.as_str().unwrap()).collect();
    assert_eq!(notes.len(), 3, "{notes:?}");
    assert!(notes.iter().all(|note| note.ends_with("is no regular file; skipped")), "{notes:?}");
    assert_eq!(document["summary"]["beats"], 2, "{document}");
}

#[test]
fn ids_are_no_patterns_and_no_paths() {
    let ids = ["*", "session-?", "[a-z]*", "**", "{a,b}", "../../secret", "/etc/passwd", "a/b", ".", "..", "%s", "\\*"];
    let sessions: Vec<Value> = (1..).zip(ids).map(|(number, id)| named(number * 10, id, LONG)).collect();
    let world = registry(&sessions);
    world.beat("../../secret.json", body(1), 1);
    world.beat("a/b.json", body(1), 1);
    for name in ["session-1.json", "zz.json", "a.json"] {
        world.beat(name, body(1), 1);
        world.beat(format!("{STAMP}-{name}"), body(1), 1);
    }
    let expected: Vec<String> = (1..=ids.len()).map(|number| format!("{}: stale", number * 10)).collect();
    assert_eq!(world.verdicts(), expected);
    // Where a file has just that name, it counts.
    for id in ids.iter().filter(|id| !id.contains('/')) {
        world.beat(format!("{STAMP}-{id}.json"), body(1), 1);
    }
    let of = |id: &&str| if id.contains('/') { "stale" } else { "active" };
    let expected: Vec<String> = (1..).zip(ids).map(|(number, id)| format!("{}: {}", number * 10, of(&id))).collect();
    assert_eq!(world.verdicts(), expected);
}

#[test]
fn what_others_wrote_is_neither_run_nor_sent_to_the_terminal_raw() {
    let trap = "$(touch run)`touch run`'; touch run; '\"; touch run; \"\n\u{1b}[2J\u{1b}]0;owned\u{7}\r\u{202e}";
    let mut entry = named(1, &format!("id{trap}"), LONG);
    for field in ["role", "goal", "terminal", "marked_inactive_at"] {
        entry[field] = trap.into();
    }
    let mut other = session(2, trap, 1);
    other["number"] = trap.into();
    let mut text = json!({"1": entry, "2": other});
    text[trap] = json!({});
    let world = registry_of(&text.to_string());
    let odd = json!({"timestamp": trap, "status": trap, "working_on": trap}).to_string();
    world.beat(format!("{STAMP}-session-2.json"), odd, 1);
    // A name may hold all of it but the slash.
    world.beat(format!("{STAMP}-id{trap}.json"), "{", 1);
    let mut shown = Vec::new();
    for command in
        ["list", "list -v", "list --all --json", "cleanup -n -v", "cleanup -n --json", "cleanup", "list --all"]
    {
        let words: Vec<&str> = command.split(' ').collect();
        shown.push(world.registry_run(&words).ends_with(0));
    }
    shown.push(world.registry_run(&["register", "2", trap, trap]).ends_with(1));
    shown.push(world.registry_run(&["release", "1"]).ends_with(0));
    for ran in shown {
        let is_json = ran.stdout.starts_with('{');
        let raw = |c: char| c != '\n' && (c.is_control() || !is_json && c == '\u{202e}');
        assert!(!ran.stdout.contains(raw) && !ran.stderr.contains(raw), "{ran:?}");
    }
    // The other commands show the same, and what became of them.
    let mut world = world;
    world.variable("SESSION_SWEEP_REGISTRY_ENABLED", "true");
    world.beat(format!("{STAMP}-id{trap}.json"), "x".repeat(300 << 10), 1);
    world
        .registry_run(&["register", "1", trap, trap, "--no-cleanup", "--session-id", &format!("id{trap}")])
        .ends_with(0);
    for (command, status) in [("audit -v", 4), ("sweep -n -v", 4), ("sweep -v", 4), ("sweep -q", 4), ("status -v", 0)] {
        let ran = world.run(&command.split(' ').collect::<Vec<_>>()).ends_with(status);
        let raw = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
        assert!(!ran.stdout.contains(raw) && !ran.stderr.contains(raw), "{ran:?}");
    }
    assert!(!world.root().join("run").exists() && !world.base().join("run").exists());
    assert_eq!(world.registry_json()["1"]["role"], trap);
}

// ---- what cannot be read

#[test]
fn a_heartbeat_that_is_no_json_is_told_of_and_skipped() {
    for text in
        ["", "{", "[]", "null", "7", "\"2026\"", r#"{"timestamp": "2026-11-20T11:59:00Z", "a": "\!"}"#, "\u{feff}{}"]
    {
        let world = registry(&[session(2, "active", LONG)]);
        world.beat("2026-11-20_11-00-00-session-2.json", body(60), 60);
        world.beat("2026-11-20_11-59-00-session-2.json", text, 1);
        let document = world.registry_document(&["cleanup"]);
        assert!(only_one(&document, "notes").starts_with("2026-11-20_11-59-00-session-2.json: "), "{text}: {document}");
        assert!(only_one(&document, "notes").ends_with("; skipped"), "{text}: {document}");
        let own = in_document(&document, 2);
        assert_eq!((&own["verdict"], &own["age_seconds"]), (&json!("active"), &json!(3600)), "{text}");
        assert_eq!(document["problems"], json!([]), "{text}");
        world.registry_run(&["cleanup"]).ends_with(0);
    }
    let world = registry(&[session(2, "active", LONG)]);
    world.beat(format!("{STAMP}-session-2.json"), b"{\"timestamp\": \"\xff\"}", 1);
    assert_eq!(world.verdicts(), ["2: stale"]);
}

#[test]
fn a_heartbeat_that_cannot_be_read_keeps_its_session() {
    let world = registry(&[session(1, "active", LONG), session(2, "active", LONG)]);
    let beat = world.beat("2026-11-20_11-59-00-session-2.json", body(1), 1);
    world.beat("2026-11-20_06-00-00-session-2.json", body(360), 360);
    set_mode(&beat, 0);
    let command = |arguments: &[&str]| world.command(&[&["registry"], arguments].concat());
    let ran = Ran::of(&mut as_ordinary_user(&world, &command(&["cleanup"]))).ends_with(4);
    assert!(ran.stdout.contains("session-2.json could not be read: Permission denied"), "{ran:?}");
    assert!(ran.stdout.contains("Staying ACTIVE (its heartbeat"), "{ran:?}");
    assert_eq!([1, 2].map(|number| world.status_of(number)), ["inactive", "active"]);
    let ran = Ran::of(&mut as_ordinary_user(&world, &command(&["list", "--json"]))).ends_with(4);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(in_document(&document, 2)["verdict"], "unknown");
    assert!(only_one(&document, "problems").contains("could not be read"), "{document}");
    // Quiet or not, it is said.
    let ran = Ran::of(&mut as_ordinary_user(&world, &command(&["cleanup", "-q"]))).ends_with(4);
    assert_eq!(ran.stdout, "");
    assert!(ran.stderr.contains("could not be read"), "{ran:?}");
}

#[test]
fn a_heartbeat_that_cannot_be_read_and_is_too_old_to_matter_keeps_nobody() {
    let mut entry = session(2, "active", 0);
    entry["registered_at"] = "2020-01-01T00:00:00Z".into();
    let world = registry(&[entry]);
    let beat = world.beat(format!("{STAMP}-session-2.json"), body(1), 1);
    set_mode(&beat, 0);
    // No time of the file is later than now, and that will be longer ago than the timeout.
    let tomorrow = Utc::now().max("2026-11-20T12:00:00Z".parse().unwrap()) + TimeDelta::days(1);
    let at = tomorrow.to_rfc3339_opts(SecondsFormat::Secs, true);
    let mut command = world.command_at_present(&["registry", "cleanup", "--at", &at]);
    Ran::of(&mut as_ordinary_user(&world, command.env("TZ", "UTC"))).ends_with(4);
    assert_eq!(world.status_of(2), "inactive");
}

#[test]
fn where_the_heartbeats_cannot_be_listed_nobody_goes() {
    for closed in ["", "archive"] {
        let world = registry(&[session(1, "active", LONG), session(2, "active", 1), session(3, "working", LONG)]);
        world.beat("archive/session-9.json", body(1), 1);
        set_mode(&world.beats().join(closed), 0o300);
        let ran =
            Ran::of(&mut as_ordinary_user(&world, &world.command(&["registry", "cleanup", "--json"]))).ends_with(4);
        let document: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(verdicts(&document), ["1: unknown", "2: active", "3: other"]);
        assert!(only_one(&document, "problems").contains("could not be read: Permission denied"), "{document}");
        assert_eq!(world.status_of(1), "active");
        set_mode(&world.beats().join(closed), 0o700);
    }
}

#[test]
fn a_folder_whose_files_cannot_be_looked_at_keeps_their_sessions() {
    let world = registry(&[session(1, "active", LONG), session(2, "active", LONG)]);
    world.beat_of("session-1", 1);
    // Names may be listed and files not be seen.
    set_mode(&world.beats(), 0o600);
    let ran = Ran::of(&mut as_ordinary_user(&world, &world.command(&["registry", "cleanup", "--json"])));
    set_mode(&world.beats(), 0o700);
    let document: Value = serde_json::from_str(&ran.ends_with(4).stdout).unwrap();
    assert_eq!(verdicts(&document), ["1: unknown", "2: stale"], "{document:#}");
    assert!(only_one(&document, "problems").ends_with("could not be read: Permission denied (os error 13)"));
    assert_eq!([1, 2].map(|number| world.status_of(number)), ["active", "inactive"]);
}

#[test]
fn a_heartbeat_of_more_than_any_heartbeats_size_is_told_of_and_keeps_its_session() {
    let world = registry(&[session(1, "active", LONG)]);
    let long = json!({"timestamp": ago(LONG), "action": "x".repeat(300 << 10)}).to_string();
    world.beat(format!("{STAMP}-session-1.json"), long, 1);
    let ran = world.registry_run(&["cleanup"]).ends_with(4);
    assert!(ran.stdout.contains("session-1.json could not be read: "), "{ran:?}");
    assert_eq!(world.status_of(1), "active");
}

#[test]
fn the_folder_of_heartbeats_may_be_a_link() {
    let world = registry(&[session(1, "active", LONG), session(2, "inactive", LONG)]);
    let elsewhere = world.root().join("elsewhere");
    world.beat_of("session-1", 1);
    world.beat_of("session-1", 5000);
    fs_err::rename(world.beats(), &elsewhere).unwrap();
    symlink(&elsewhere, world.beats()).unwrap();
    world.registry_run(&["cleanup"]).ends_with(0);
    assert_eq!((world.status_of(1), names_in(&elsewhere).len()), (json!("active"), 1));
    world.registry_run(&["register", "2", "a", "b"]).ends_with(0);
    assert_eq!(names_in(&elsewhere).len(), 2);
}

#[test]
fn a_folder_of_heartbeats_that_leads_nowhere_is_not_one_that_is_empty() {
    type Put = fn(&Path);
    let cases: [Put; 3] = [
        // As when the disk that it is on is not mounted.
        |path| symlink("/nowhere/heartbeats", path).unwrap(),
        |path| symlink("heartbeats", path).unwrap(),
        |path| fs_err::write(path, "").unwrap(),
    ];
    for put in cases {
        let world = registry(&[session(1, "active", LONG), session(2, "active", 1)]);
        put(&world.beats());
        let document: Value =
            serde_json::from_str(&world.registry_run(&["cleanup", "--json"]).ends_with(4).stdout).unwrap();
        assert_eq!(verdicts(&document), ["1: unknown", "2: active"]);
        assert!(only_one(&document, "problems").contains("heartbeats could not be read: "), "{document:#}");
        assert_eq!(world.status_of(1), "active");
    }
}

#[test]
fn no_folder_of_heartbeats_holds_none() {
    let world = registry(&[session(1, "active", LONG), session(2, "active", 1)]);
    world.registry_run(&["cleanup"]).ends_with(0);
    assert_eq!([1, 2].map(|number| world.status_of(number)), ["inactive", "active"]);
    assert!(!world.beats().exists());
}

// ---- which sessions are judged

#[test]
fn only_sessions_that_are_active_are_ever_changed() {
    let statuses =
        [json!("working"), json!("unknown"), json!(""), json!("Active"), json!(" active"), json!(null), json!(7)];
    let mut sessions: Vec<Value> = (1..).zip(&statuses).map(|(number, _)| session(number, "", LONG)).collect();
    for (own, status) in sessions.iter_mut().zip(&statuses) {
        own["status"] = status.clone();
    }
    let mut none = session(20, "", LONG);
    none.as_object_mut().unwrap().remove("status");
    sessions.extend([none, session(21, "inactive", LONG)]);
    let world = registry(&sessions);
    let before = world.registry_state();
    let document = world.registry_document(&["cleanup"]);
    assert_eq!((&document["summary"]["other"], &document["summary"]["inactive"]), (&json!(8), &json!(1)));
    assert_eq!(world.registry_state(), before);
}

#[test]
fn what_is_no_session_stays_and_is_named() {
    let text = r#"{"x": 3, "07": {"status": "active"}, "5": [], "0": {"status": "active"}, "-1": {}, "2": {"status": "active"}, "4294967296": {"status": "active"}}"#;
    let world = registry_of(text);
    let ran = world.registry_run(&["cleanup"]).ends_with(0);
    for key in ["x", "07", "5", "0", "-1", "4294967296"] {
        assert!(ran.stdout.contains(&format!("{key:?} in the registry is no session")), "{key}: {ran:?}");
    }
    let expected = text.replace(
        r#""2": {"status": "active"}"#,
        r#""2": {"status": "inactive", "marked_inactive_at": "2026-11-20T12:00:00Z"}"#,
    );
    assert_eq!(world.registry_text(), expected);
    assert_eq!(world.registry_document(&["list"])["not_understood"].as_array().unwrap().len(), 6);
}

#[test]
fn the_key_counts_where_an_entry_says_another_number() {
    let world = registry_of(&json!({"3": session(4, "active", 1), "4": session(4, "active", LONG)}).to_string());
    let document = world.registry_document(&["cleanup", "-n"]);
    assert!(only_one(&document, "notes").contains("session 3 says that its number is 4; its key counts"), "{document}");
    assert_eq!(verdicts(&document), ["3: active", "4: stale"]);
}

// ---- the registry's text

#[test]
fn a_registry_that_is_none_is_an_error_and_stays_as_it_is() {
    let texts: &[&[u8]] = &[
        b"",
        b"{",
        b"[]",
        b"[{\"number\": 1}]",
        b"null",
        b"\"x\"",
        b"{\"1\": {\"status\": \"active\"}, \"1\": {\"status\": \"inactive\"}}",
        b"{\"1\": {\"status\": \"active\", \"status\": \"inactive\"}}",
        b"{\"2\": {\"status\": \"active\"}, \"\\u0032\": {\"status\": \"inactive\"}}",
        b"{\"1\": {\"status\": \"active\"}} {}",
        b"{\"1\": {\"status\": \"active\",}}",
        b"{\"1\": {\"role\": \"\\!\"}}",
        b"{\"1\": {\"role\": \"\xff\"}}",
        b"\xef\xbb\xbf{}",
    ];
    for text in texts {
        let world = registry(&[]);
        fs_err::write(world.registry_path(), text).unwrap();
        let before = world.registry_state();
        let commands = [
            &["cleanup"][..],
            &["list"],
            &["cleanup", "-n"],
            &["register", "2", "a", "b"],
            &["register", "--no-cleanup", "--next", "a", "b"],
            &["release", "1"],
            &["heartbeat", "--number", "1"],
        ];
        // Each looks for a while whether somebody is just writing it.
        for command in &commands[..if *text == b"[]" { commands.len() } else { 1 }] {
            let ran = world.registry_run(command).ends_with(1);
            let path = world.registry_path();
            assert!(ran.stderr.contains(path.to_str().unwrap()), "{ran:?}");
            assert!(ran.stderr.contains("nothing was touched: put it right, or move it away"), "{ran:?}");
            assert_eq!(ran.stdout, "", "{ran:?}");
        }
        assert_eq!(world.registry_state(), before);
        assert_eq!(world.beats_there(), 0);
    }
}

#[test]
fn a_registry_that_cannot_be_opened_is_an_error_that_names_it() {
    let world = registry(&[session(1, "active", LONG)]);
    set_mode(&world.registry_path(), 0);
    let ran = Ran::of(&mut as_ordinary_user(&world, &world.command(&["registry", "cleanup"]))).ends_with(1);
    assert!(ran.stderr.contains(world.registry_path().to_str().unwrap()), "{ran:?}");
    assert!(ran.stderr.contains("Permission denied"), "{ran:?}");

    let world = registry(&[]);
    fs_err::remove_file(world.registry_path()).unwrap();
    fs_err::create_dir(world.registry_path()).unwrap();
    for command in [&["cleanup"][..], &["list"], &["register", "1", "a", "b"]] {
        let ran = world.registry_run(command).ends_with(1);
        assert!(ran.stderr.contains(world.registry_path().to_str().unwrap()), "{ran:?}");
    }
    assert!(world.registry_path().is_dir());
}

#[test]
fn every_style_of_text_is_kept() {
    let python = "{\n  \"9\": {\n    \"z\": 1.0,\n    \"role\": \"Build \\u2192 \\/ ship\",\n    \"status\": \"active\",\n    \
        \"registered_at\": \"2025-11-15T22:15:00Z\",\n    \"n\": 1e3\n  },\n  \"2\": {\n    \"status\": \"working\"\n  }\n}";
    let added = ",\n    \"marked_inactive_at\": \"2026-11-20T12:00:00Z\"\n  },";
    let ended = python.replace("\"active\"", "\"inactive\"").replace("\n  },", added);
    let styles: [(&str, Restyle); 6] = [
        ("as Python writes", str::to_owned),
        ("newline at the end", |text| format!("{text}\n")),
        ("tabs", |text| text.replace("  ", "\t")),
        ("CRLF", |text| text.replace('\n', "\r\n")),
        ("raw characters", |text| text.replace("\\u2192", "→")),
        ("minified", |text| text.replace(['\n', ' '], "")),
    ];
    for (style, styled) in styles {
        let world = registry_of(&styled(python));
        world.registry_run(&["cleanup"]).ends_with(0);
        assert_eq!(world.registry_text(), styled(&ended), "{style}");
    }
}

#[test]
fn escapes_that_other_programs_write_are_understood_and_kept() {
    // A lone surrogate is what Python makes of an argument that is no UTF-8.
    let text = r#"{"\u0032": {"status": "\u0061ctive", "role": "\udcff \ud83e\udd80", "goal": "\/"}, "3": {"status": "working"}}"#;
    let world = registry_of(text);
    let ran = world.registry_run(&["list"]).ends_with(0);
    assert!(ran.stdout.contains("active, stale"), "{ran:?}");
    world.registry_run(&["cleanup"]).ends_with(0);
    let mark = r#""goal": "\/", "marked_inactive_at": "2026-11-20T12:00:00Z"}"#;
    let expected = text.replace(r#""\u0061ctive""#, r#""inactive""#).replace(r#""goal": "\/"}"#, mark);
    assert_eq!(world.registry_text(), expected);
}

#[test]
fn a_registry_of_more_than_any_registrys_size_is_refused() {
    let world = registry(&[session(1, "active", LONG)]);
    File::options().write(true).open(world.registry_path()).unwrap().set_len(65 << 20).unwrap();
    for command in [&["cleanup"][..], &["list"], &["register", "2", "a", "b"]] {
        let ran = world.registry_run(command).ends_with(1);
        assert!(ran.stderr.contains(world.registry_path().to_str().unwrap()), "{ran:?}");
    }
    assert_eq!(fs_err::metadata(world.registry_path()).unwrap().len(), 65 << 20);
}

#[test]
fn an_old_mark_is_replaced_where_it_stands() {
    let text = r#"{"2": {"marked_inactive_at": "2025-11-17T07:12:18.404913Z", "status": "active", "x": [1,  2]}}"#;
    let world = registry_of(text);
    let at = "2026-11-20T12:00:00.250Z";
    world.run_at(at, &["registry", "cleanup"]).ends_with(0);
    let expected = text
        .replace("2025-11-17T07:12:18.404913Z", "2026-11-20T12:00:00.250000Z")
        .replace("\"active\"", "\"inactive\"");
    assert_eq!(world.registry_text(), expected);
}

#[test]
fn mode_and_link_of_the_registry_are_kept() {
    let world = registry(&[session(1, "active", LONG)]);
    let real = world.root().join("real.json");
    fs_err::rename(world.registry_path(), &real).unwrap();
    set_mode(&real, 0o640);
    symlink(&real, world.registry_path()).unwrap();
    world.registry_run(&["cleanup"]).ends_with(0);
    assert!(world.registry_path().is_symlink());
    assert_eq!(fs_err::metadata(&real).unwrap().mode() & 0o7777, 0o640);
    assert_eq!(world.status_of(1), "inactive");
}

// ---- the registry that people have

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/registry/before");

/// The registry of a user of the original's scripts, with the files' times as they were.
fn theirs() -> World {
    let world = no_registry();
    let copied = std::process::Command::new("cp").arg("-r").arg(FIXTURES).arg(world.base()).status().unwrap();
    assert!(copied.success());
    for (name, time) in [
        ("2025-11-16_23-22-40-session-8.json", "2025-11-17T07:22:40Z"),
        ("2025-11-16_23-42-30-session-1.json", "2025-11-17T07:42:30Z"),
        ("2025-11-17_00-05-00-session-9.json", "2025-11-17T08:05:00Z"),
        ("2025-11-17_00-28-41-session-2.json", "2025-11-17T08:28:41Z"),
        ("2025-11-17_00-48-03-session-2.json", "2025-11-17T08:48:03Z"),
        ("2025-11-17_08-30-00-session-5.json", "2025-11-17T08:30:00Z"),
    ] {
        let time: chrono::DateTime<Utc> = time.parse().unwrap();
        let time = filetime::FileTime::from_unix_time(time.timestamp(), 0);
        filetime::set_file_mtime(world.beats().join(name), time).unwrap();
    }
    world
}

const THEN: &str = "2025-11-17T10:10:00.5Z";

#[test]
fn a_registry_of_the_scripts_differs_in_the_marks_alone() {
    let world = theirs();
    let before = world.registry_text();
    let document = world.json_at(THEN, &["registry", "cleanup"]);
    let sources: Vec<&Value> = document["sessions"].as_array().unwrap().iter().map(|own| &own["source"]).collect();
    let expected = ["beat-mtime", "beat", "beat", "beat", "registered", "registered", "registered"];
    assert_eq!(sources, expected, "{document:#}");
    let verdict = ["1: stale", "2: active", "5: other", "9: stale", "11: inactive", "13: inactive", "15: active"];
    assert_eq!(verdicts(&document), verdict);
    let note = only_one(&document, "notes");
    assert!(note.starts_with("2025-11-17_00-48-03-session-2.json: not valid JSON: invalid escape"), "{note}");
    let after = world.registry_text();
    let golden = Path::new(FIXTURES).with_file_name("after").join("claude_sessions.json");
    assert_eq!(after, fs_err::read_to_string(golden).unwrap());
    // Without the marks it is what it was, byte for byte.
    let mark = ",\n    \"marked_inactive_at\": \"2025-11-17T10:10:00.500000Z\"";
    assert_eq!(after.matches(mark).count(), 2);
    let entry = |text: &str, from: &str, to: &str| -> String {
        let (_, rest) = text.split_once(from).unwrap();
        rest.split_once(to).map_or(rest, |(own, _)| own).to_owned()
    };
    let mut rebuilt = after.replace(mark, "");
    for number in ["1", "9"] {
        let own = entry(&rebuilt, &format!("\n  \"{number}\": {{"), "\n  }");
        rebuilt = rebuilt.replace(&own, &own.replace("\"status\": \"inactive\"", "\"status\": \"active\""));
    }
    assert_eq!(rebuilt, before);
    // Nothing is left to do.
    let state = world.registry_state();
    let again = world.json_at(THEN, &["registry", "cleanup"]);
    assert_eq!(again["summary"]["marked_inactive"], 0);
    assert_eq!(world.registry_state(), state);
    for name in [".session_identity", ".session_env", ".current_session"] {
        let original = fs_err::read(Path::new(FIXTURES).join(name)).unwrap();
        assert_eq!(fs_err::read(world.base().join(name)).unwrap(), original, "{name}");
    }
    assert_eq!(names_in(&world.beats()).len(), 6);
}

#[test]
fn the_scripts_registry_as_text_and_json() {
    let world = theirs();
    settled(&world, || {
        let pretty = |arguments: &[&str]| serde_json::to_string_pretty(&world.json_at(THEN, arguments)).unwrap();
        let run = |arguments: &[&str]| shown(&world.run_at(THEN, arguments));
        assert_snapshot!("registry_list", run(&["registry", "list"]));
        assert_snapshot!("registry_list_all_verbose", run(&["registry", "list", "--all", "-v"]));
        assert_snapshot!("registry_list_json", pretty(&["registry", "list", "--all"]));
        assert_snapshot!("registry_cleanup_dry_run", run(&["registry", "cleanup", "--dry-run"]));
        assert_snapshot!("registry_cleanup_dry_run_json", pretty(&["registry", "cleanup", "-n"]));
        assert_snapshot!("registry_cleanup", run(&["registry", "cleanup"]));
        assert_snapshot!("registry_cleanup_again", run(&["registry", "cleanup"]));
        assert_snapshot!("registry_cleanup_json", pretty(&["registry", "cleanup"]));
    });
}

// ---- flags

#[test]
fn the_timeout_is_what_flag_or_setting_say() {
    let mut world = registry(&[session(1, "active", 31), session(2, "active", 91), session(3, "active", 200)]);
    let stale = |world: &World, flags: &[&str]| {
        let document = world.registry_document(&[&["cleanup", "-n"], flags].concat());
        (document["summary"]["stale"].as_u64().unwrap(), document["timeout_seconds"].clone())
    };
    for (flags, expected) in [
        (&[][..], (1, json!(7200))),
        (&["--timeout", "90m"], (2, json!(5400))),
        (&["--timeout", "91m"], (1, json!(5460))),
        (&["--timeout-minutes", "30"], (3, json!(1800))),
        (&["--timeout-minutes=200"], (0, json!(12_000))),
        (&["--timeout", "never"], (0, Value::Null)),
    ] {
        assert_eq!(stale(&world, flags), expected, "{flags:?}");
    }
    assert_eq!(world.registry_document(&["list", "--timeout", "30m"])["timeout_seconds"], 1800);
    world.file(".config/session-sweep/config.toml", "[registry]\ntimeout = \"90m\"\n", 0);
    assert_eq!(stale(&world, &[]), (2, json!(5400)));
    world.variable("SESSION_SWEEP_REGISTRY_TIMEOUT", "30m");
    assert_eq!(stale(&world, &[]), (3, json!(1800)));
    assert_eq!(stale(&world, &["--timeout", "4h"]), (0, json!(14_400)));
}

#[test]
fn a_timeout_that_is_none_ends_with_2_and_marks_nobody() {
    let world = registry(&[session(1, "active", LONG)]);
    let before = tree_of(world.root());
    for flag in ["--timeout-minutes", "--timeout"] {
        for value in ["abc", "0", "-5", "1.5", "", " 5", "+5", "999999999999999999999", "--dry-run"] {
            world.registry_run(&["cleanup", &format!("{flag}={value}")]).ends_with(2);
            world.registry_run(&["cleanup", flag, value]).ends_with(2);
        }
        Ran::of(&mut world.command_at_present(&["registry", "cleanup", flag])).ends_with(2);
        world.registry_run(&["cleanup", "--prune-heartbeats", "0"]).ends_with(2);
    }
    for value in ["090", "010", "2h"] {
        let ran = world.registry_run(&["cleanup", "--timeout-minutes", value]).ends_with(2);
        assert!(ran.stderr.contains("whole minutes from 1 on"), "{ran:?}");
    }
    for value in ["120", "0h", "-2h", "1.5h", "2x"] {
        world.registry_run(&["cleanup", "--timeout", value]).ends_with(2);
    }
    world.registry_run(&["cleanup", "--timeout", "1h", "--timeout-minutes", "60"]).ends_with(2);
    world.registry_run(&["cleanup", "60"]).ends_with(2);
    let ran = world.registry_run(&["cleanup", "--dryrun"]).ends_with(2);
    assert!(ran.stderr.contains("--dry-run"), "{ran:?}");
    assert_untouched(&before, world.root());
}

#[test]
fn a_wrong_setting_ends_with_2_and_is_named() {
    let mut world = registry(&[session(1, "active", LONG)]);
    let before = world.registry_state();
    for (text, words) in [
        ("timeout = \"2\"", "registry.timeout"),
        ("timeout = 120", "registry.timeout"),
        ("prune_heartbeats = \"0d\"", "registry.prune_heartbeats"),
        ("enabled = \"yes\"", "registry.enabled"),
        ("timeot = \"2h\"", "did you mean `timeout`?"),
    ] {
        world.file(".config/session-sweep/config.toml", format!("[registry]\n{text}\n"), 0);
        let ran = world.registry_run(&["cleanup"]).ends_with(2);
        assert!(ran.stderr.contains(words), "{text}: {ran:?}");
    }
    fs_err::remove_file(world.home().join(".config/session-sweep/config.toml")).unwrap();
    world.variable("SESSION_SWEEP_REGISTRY_TIMEOUT", "abc");
    let ran = world.registry_run(&["cleanup"]).ends_with(2);
    assert!(ran.stderr.contains("SESSION_SWEEP_REGISTRY_TIMEOUT"), "{ran:?}");
    assert_eq!(world.registry_state(), before);
}

#[test]
fn a_preview_is_the_run_and_writes_nothing() {
    let world = registry(&[session(1, "active", LONG), session(2, "active", 1), session(3, "working", 1)]);
    world.beat_of("session-2", 5000);
    world.beat_of("session-2", 1);
    let before = tree_of(world.root());
    for command in [
        &["registry", "list"][..],
        &["registry", "list", "--all", "--json"],
        &["registry", "cleanup", "--dry-run"],
        &["registry", "cleanup", "-n", "--force", "--json"],
        &["audit"],
        &["sweep", "--dry-run"],
    ] {
        world.run(command).ends_with(0);
        assert_untouched(&before, world.root());
    }
    world.registry_run(&["cleanup", "-n", "--exit-code"]).ends_with(10);
    assert_untouched(&before, world.root());
    let mut dry = world.registry_document(&["cleanup", "-n"]);
    let mut real = world.registry_document(&["cleanup"]);
    assert_eq!((&dry["dry_run"], &real["dry_run"]), (&json!(true), &json!(false)));
    assert!(in_document(&dry, 1)["reason"].as_str().unwrap().starts_with("Will mark as INACTIVE"));
    for document in [&mut dry, &mut real] {
        document["dry_run"].take();
        document["sessions"].as_array_mut().unwrap().iter_mut().for_each(|own| drop(own["reason"].take()));
    }
    assert_eq!(dry, real);
    world.registry_run(&["cleanup", "-n", "--exit-code"]).ends_with(0);
}

#[test]
fn old_heartbeats_alone_are_work_to_do() {
    let world = registry(&[session(2, "active", 1)]);
    world.beat_of("session-2", 5000);
    world.beat_of("session-2", 1);
    world.registry_run(&["cleanup", "-n", "--exit-code"]).ends_with(10);
    world.registry_run(&["cleanup"]).ends_with(0);
    world.registry_run(&["cleanup", "-n", "--exit-code"]).ends_with(0);
    let ran = world.registry_run(&["cleanup"]).ends_with(0);
    assert!(ran.stdout.contains("All active sessions are healthy!"), "{ran:?}");
}

#[test]
fn without_a_registry_there_is_nothing_to_clean_and_that_is_said() {
    let world = no_registry();
    for command in [&["list"][..], &["cleanup"], &["cleanup", "-n"], &["release", "1"], &["heartbeat", "--number", "1"]]
    {
        let ran = world.registry_run(command).ends_with(1);
        let path = world.registry_path();
        assert!(ran.stderr.contains(&format!("there is no registry at {}", path.display())), "{ran:?}");
        assert!(ran.stderr.contains("--base") && ran.stderr.contains("registry identify"), "{ran:?}");
        assert!(!world.base().exists(), "{command:?}");
    }
    // The folder alone is none either.
    fs_err::create_dir(world.base()).unwrap();
    world.registry_run(&["cleanup"]).ends_with(1);
    assert!(!world.registry_path().exists());
}

#[test]
fn a_registry_that_cannot_be_seen_is_not_one_that_is_not_there() {
    let mut world = no_registry();
    let base = world.root().join("closed/registry");
    fs_err::create_dir_all(&base).unwrap();
    fs_err::write(base.join("claude_sessions.json"), "{}").unwrap();
    world.variable("SESSION_REGISTRY_DIR", &base).variable("SESSION_SWEEP_REGISTRY_ENABLED", "true");
    let closed = base.parent().unwrap().to_owned();
    for seen_by in
        [&["registry", "cleanup"][..], &["registry", "list"], &["registry", "cleanup", "-n"], &["audit"], &["sweep"]]
    {
        set_mode(&closed, 0);
        let ran = Ran::of(&mut as_ordinary_user(&world, &world.command(seen_by)));
        set_mode(&closed, 0o700);
        let ran = ran.ends_with(1);
        assert!(ran.stderr.contains("closed/registry") && ran.stderr.contains("Permission denied"), "{ran:?}");
    }
    let run = &runs(&world)[0];
    assert!(run["error"].as_str().unwrap().contains("Permission denied"), "{run:#}");
}

// ---- a clock that jumps

/// Three sessions that registered lately, one that is inactive, and a clean-up that finds nothing to do.
fn settled_scene() -> World {
    let sessions = [1, 2, 3].map(|number| session(number, "active", 10));
    let world = registry(&[&sessions[..], &[session(4, "inactive", LONG)]].concat());
    world.registry_run(&["cleanup"]).ends_with(0);
    world
}

/// All but what the clean-ups note about themselves.
fn content(world: &World) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let files = walkdir::WalkDir::new(world.base()).sort_by_file_name().into_iter().map(Result::unwrap);
    let files = files.filter(|entry| entry.file_type().is_file() && !entry.path().ends_with("clock.json"));
    files.map(|entry| (entry.path().to_owned(), fs_err::read(entry.path()).unwrap())).collect()
}

#[test]
fn a_clock_that_jumped_holds_the_clean_up_for_one_run() {
    let world = settled_scene();
    let before = content(&world);
    let ran = later(&world, &[]).ends_with(4);
    assert!(ran.stdout.contains("3 of 3 active sessions would go at once"), "{ran:?}");
    assert!(ran.stdout.contains("--force") && ran.stdout.contains("Nothing was marked in this run"), "{ran:?}");
    assert!(ran.stdout.contains("Staying ACTIVE (the clock jumped)"), "{ran:?}");
    assert_eq!(content(&world), before);
    let ran = later(&world, &[]).ends_with(0);
    assert!(ran.stdout.contains("Marked 3 session(s) as inactive"), "{ran:?}");
    assert_eq!([1, 2, 3].map(|number| world.status_of(number)), ["inactive", "inactive", "inactive"]);
}

#[test]
fn a_preview_shows_the_hold_and_does_not_use_it_up() {
    let world = settled_scene();
    let before = tree_of(world.root());
    for _ in 0..2 {
        let ran = later(&world, &["--dry-run", "--json"]).ends_with(4);
        let document: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert!(document["held"].as_str().unwrap().contains("the clock went 2"), "{document:#}");
        assert_eq!(document["summary"]["marked_inactive"], 0);
        assert_eq!(in_document(&document, 1)["action"], "keep");
    }
    assert_untouched(&before, world.root());
    later(&world, &["-q"]).ends_with(4);
    assert_eq!(later(&world, &["--json"]).ends_with(0).stderr, "");
    assert_eq!(world.status_of(1), "inactive");
}

#[test]
fn force_overrides_the_hold() {
    let world = settled_scene();
    let dry: Value = serde_json::from_str(&later(&world, &["-n", "--force", "--json"]).ends_with(0).stdout).unwrap();
    assert_eq!((&dry["held"], &dry["summary"]["marked_inactive"]), (&Value::Null, &json!(3)));
    later(&world, &["--force"]).ends_with(0);
    assert_eq!(world.status_of(1), "inactive");
}

#[test]
fn half_or_fewer_of_the_sessions_go_even_after_a_jump() {
    for (alive, status) in [(2, 0), (1, 4)] {
        let sessions: Vec<Value> = (1..=4).map(|number| session(number, "active", 10)).collect();
        let world = registry(&sessions);
        world.registry_run(&["cleanup"]).ends_with(0);
        for number in 1..=alive {
            let text = json!({"timestamp": "2026-11-20T16:59:00Z"}).to_string();
            world.beat(format!("{STAMP}-session-{number}.json"), text, 0);
        }
        later(&world, &[]).ends_with(status);
        assert_eq!(world.status_of(4), if status == 0 { "inactive" } else { "active" });
    }
}

#[test]
fn without_a_jump_everybody_may_go_at_once() {
    // No clean-up was there before.
    let world = registry(&[session(1, "active", 400), session(2, "active", 400)]);
    let ran = world.registry_run(&["cleanup"]).ends_with(0);
    assert!(ran.stdout.contains("Marked 2 session(s)"), "{ran:?}");
    // A clock that was put back, or on by no more than five minutes.
    let world = registry(&[session(1, "active", 119)]);
    world.registry_run(&["cleanup"]).ends_with(0);
    world.run_at("2026-11-20T11:00:00Z", &["registry", "cleanup"]).ends_with(0);
    let world = registry(&[session(1, "active", 119)]);
    world.registry_run(&["cleanup"]).ends_with(0);
    world.run_at("2026-11-20T12:04:59Z", &["registry", "cleanup"]).ends_with(0);
    assert_eq!(world.status_of(1), "inactive");
}

/// What the last clean-up noted of its clocks, changed by `change`.
fn change_clock(world: &World, change: impl Fn(&mut Value)) {
    let path = world.base().join(".session-sweep/clock.json");
    let mut noted: Value = serde_json::from_str(&fs_err::read_to_string(&path).unwrap()).unwrap();
    change(&mut noted);
    fs_err::write(path, noted.to_string()).unwrap();
}

#[test]
fn a_machine_that_restarted_or_ran_on_for_long_has_no_jump() {
    type Change = fn(&mut Value);
    let changes: [(&str, Change); 3] = [
        ("restarted", |noted| noted["boot_id"] = "00000000-0000-4000-8000-000000000000".into()),
        ("ran on for longer than the timeout", |noted| {
            let since_boot = noted["since_boot_seconds"].as_f64().unwrap();
            noted["since_boot_seconds"] = (since_boot - 7300.0).into();
        }),
        ("nonsense", |noted| *noted = json!([1])),
    ];
    for (what, change) in changes {
        let world = settled_scene();
        if what.starts_with("ran on") {
            let since_boot: f64 =
                fs_err::read_to_string("/proc/uptime").unwrap().split(' ').next().unwrap().parse().unwrap();
            if since_boot < 7400.0 {
                // A machine that has just started cannot have run for so long; a shorter timeout says the same.
                change_clock(&world, |noted| noted["since_boot_seconds"] = 0.0.into());
                later(&world, &["--timeout", "1s"]).ends_with(0);
                continue;
            }
        }
        change_clock(&world, change);
        later(&world, &[]).ends_with(0);
        assert_eq!(world.status_of(1), "inactive", "{what}");
    }
}

#[test]
fn clocks_that_cannot_be_noted_hinder_nothing() {
    let world = registry(&[session(1, "active", LONG)]);
    fs_err::write(world.base().join(".session-sweep"), "mine").unwrap();
    let ran = world.registry_run(&["cleanup"]).ends_with(0);
    assert!(ran.stderr.contains(".session-sweep"), "{ran:?}");
    assert_eq!(world.status_of(1), "inactive");
    assert_eq!(fs_err::read_to_string(world.base().join(".session-sweep")).unwrap(), "mine");
}

#[test]
fn registering_holds_the_clean_up_too_and_says_so() {
    let world = settled_scene();
    let ran = world.run_at(LATER, &["registry", "register", "9", "a", "b"]).ends_with(0);
    assert!(ran.stderr.contains("3 of 3 active sessions would go at once"), "{ran:?}");
    assert_eq!([1, 9].map(|number| world.status_of(number)), ["active", "active"]);
}

// ---- heartbeats that nobody needs

/// Session 2 with heartbeats of one minute and of 1, 3 and 4 days ago.
fn beaten() -> World {
    let world = registry(&[session(2, "active", LONG), session(3, "working", LONG), session(4, "inactive", LONG)]);
    for minutes in [1, 1440, 4320, 5760] {
        world.beat_of("session-2", minutes);
    }
    world
}

#[test]
fn superseded_heartbeats_of_more_than_two_days_go() {
    let world = beaten();
    let document = world.registry_document(&["cleanup"]);
    assert_eq!((&document["summary"]["beats"], &document["summary"]["beats_pruned"]), (&json!(4), &json!(2)));
    assert_eq!(names_in(&world.beats()), ["2026-11-19_12-00-00-session-2.json", "2026-11-20_11-59-00-session-2.json"]);
    let world = beaten();
    let ran = world.registry_run(&["cleanup", "--prune-heartbeats", "1h"]).ends_with(0);
    assert!(ran.stdout.contains("3 old heartbeat(s) removed"), "{ran:?}");
    assert_eq!(names_in(&world.beats()).len(), 1);
    let world = beaten();
    let ran = world.registry_run(&["cleanup", "-n"]).ends_with(0);
    assert!(ran.stdout.contains("2 old heartbeat(s) would be removed"), "{ran:?}");
    world.registry_run(&["cleanup", "--prune-heartbeats", "never"]).ends_with(0);
    assert_eq!(names_in(&world.beats()).len(), 4);
    world.file(".config/session-sweep/config.toml", "[registry]\nprune_heartbeats = \"never\"\n", 0);
    world.registry_run(&["cleanup"]).ends_with(0);
    assert_eq!(names_in(&world.beats()).len(), 4);
}

#[test]
fn the_newest_heartbeat_of_a_session_stays_however_old_it_is() {
    let world = registry(&[
        session(2, "active", LONG),
        session(3, "working", LONG),
        session(4, "inactive", LONG),
        named(13, "mind", LONG),
        named(14, "mind", LONG),
    ]);
    for id in ["session-2", "session-3", "session-4"] {
        world.beat_of(id, 8000);
        world.beat_of(id, 9000);
    }
    // Session 14 is also known as session-14, and that is its newest; of mind it is not, but of 13 it is.
    world.beat_of("mind", 8000);
    world.beat_of("session-14", 7000);
    world.registry_run(&["cleanup"]).ends_with(0);
    let left = names_in(&world.beats());
    let ids: Vec<&str> = left.iter().map(|name| name[20..].trim_end_matches(".json")).collect();
    assert_eq!(ids, ["mind", "session-2", "session-3", "session-4", "session-14"], "{left:?}");
}

#[test]
fn a_heartbeat_is_old_only_by_its_timestamp_and_its_files_time() {
    let world = registry(&[session(2, "active", 1)]);
    world.beat_of("session-2", 1);
    world.beat("2026-11-01_00-00-00-session-2.json", body(LONG), 60);
    world.beat("2026-11-02_00-00-00-session-2.json", body(60), LONG);
    world.beat("2026-11-03_00-00-00-session-2.json", "{}", LONG);
    world.beat("2026-11-04_00-00-00-session-2.json", "nonsense", LONG);
    world.beat("2026-11-05_00-00-00-session-2.json", "nonsense", 60);
    // Dated in the future: its file's time is its time.
    world.beat("2026-11-06_00-00-00-session-2.json", r#"{"timestamp": "2099-01-01T00:00:00Z"}"#, 60);
    world.registry_run(&["cleanup"]).ends_with(0);
    let left = names_in(&world.beats());
    let days: Vec<&str> = left.iter().map(|name| &name[8..10]).collect();
    assert_eq!(days, ["01", "02", "05", "06", "20"], "{left:?}");
}

#[test]
fn what_belongs_to_nobody_is_a_link_or_a_folder_is_never_removed() {
    let world = beaten();
    for name in ["2026-11-01_00-00-00-x-session-2.json", "notes.json", "README.md", ".session-2.json"] {
        world.beat(name, body(LONG), LONG);
    }
    world.beat("archive/2026-11-01_00-00-00-session-2.json", body(LONG), LONG);
    world.beat("2026-11-01_00-00-00-session-2.json/keep.txt", "", LONG);
    let target = world.file("elsewhere.json", body(LONG), LONG);
    let link = world.beats().join("session-2.json");
    symlink(&target, &link).unwrap();
    filetime::set_symlink_file_times(
        &link,
        filetime::FileTime::from_unix_time(1_000_000_000, 0),
        filetime::FileTime::from_unix_time(1_000_000_000, 0),
    )
    .unwrap();
    let document = world.registry_document(&["cleanup"]);
    assert_eq!(document["summary"]["beats_pruned"], 3);
    let expected = [
        ".session-2.json",
        "2026-11-01_00-00-00-session-2.json",
        "2026-11-01_00-00-00-x-session-2.json",
        "2026-11-19_12-00-00-session-2.json",
        "2026-11-20_11-59-00-session-2.json",
        "README.md",
        "archive",
        "notes.json",
        "session-2.json",
    ];
    assert_eq!(names_in(&world.beats()), expected);
    // In a folder below they are heartbeats like others.
    assert_eq!(names_in(&world.beats().join("archive")), [""; 0]);
    assert!(target.exists());
}

#[test]
fn heartbeats_that_cannot_be_read_or_removed_stay_and_are_told_of() {
    let world = beaten();
    let closed = world.beat("2026-11-01_00-00-00-session-2.json", body(LONG), LONG);
    set_mode(&closed, 0);
    let mut command = as_ordinary_user(&world, &world.command(&["registry", "cleanup", "--json"]));
    let document: Value = serde_json::from_str(&Ran::of(&mut command).stdout).unwrap();
    assert_eq!(document["summary"]["beats_pruned"], 2, "{document:#}");
    assert!(closed.exists());

    let world = beaten();
    set_mode(&world.beats(), 0o500);
    let mut command = as_ordinary_user(&world, &world.command(&["registry", "cleanup", "--json"]));
    let ran = Ran::of(&mut command).ends_with(4);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&document["summary"]["beats_pruned"], names_in(&world.beats()).len()), (&json!(0), 4), "{document:#}");
    assert!(document["problems"][0].as_str().unwrap().contains("could not be removed: Permission denied"));
    set_mode(&world.beats(), 0o700);
}

#[test]
fn after_a_jump_of_the_clock_no_heartbeat_is_old() {
    let world = registry(&[session(2, "active", 10), session(3, "working", 10)]);
    for minutes in [1, 60] {
        world.beat_of("session-2", minutes);
        world.beat_of("session-3", minutes);
    }
    world.registry_run(&["cleanup"]).ends_with(0);
    let cleanup = |at: &str| world.json_at(at, &["registry", "cleanup"]);
    let far = "2026-12-20T12:00:00Z";
    let first = cleanup(far);
    assert_eq!((first["held"].is_string(), names_in(&world.beats()).len()), (true, 4), "{first:#}");
    let second = cleanup(far);
    assert_eq!((&second["held"], &second["summary"]["beats_pruned"]), (&Value::Null, &json!(2)), "{second:#}");
    // The same where nobody would go.
    let world = registry(&[session(2, "working", 10)]);
    world.beat_of("session-2", 1);
    world.beat_of("session-2", 60);
    world.registry_run(&["cleanup"]).ends_with(0);
    world.run_at(far, &["registry", "cleanup"]).ends_with(0);
    assert_eq!(names_in(&world.beats()).len(), 2);
    world.run_at(far, &["registry", "cleanup"]).ends_with(0);
    assert_eq!(names_in(&world.beats()).len(), 1);
}

// ---- beside others

#[test]
fn a_run_that_finds_the_lock_taken_ends_with_3_and_names_the_holder() {
    let world = registry(&[session(1, "active", LONG), session(2, "inactive", LONG)]);
    let lock_path = world.base().join("claude_sessions.lock");
    let mut lock = File::create(&lock_path).unwrap();
    lock.lock().unwrap();
    let line = format!("{} 2026-11-20T10:02:03Z session-sweep registry cleanup\n", std::process::id());
    lock.write_all(line.as_bytes()).unwrap();
    let before = tree_of(world.root());
    for command in [
        &["cleanup"][..],
        &["register", "3", "a", "b"],
        &["register", "--no-cleanup", "--next", "a", "b"],
        &["release", "1"],
        &["heartbeat", "--number", "1"],
        &["identify", "1", "--yes"],
    ] {
        let ran = world.registry_run(&[command, &["--wait", "never"]].concat()).ends_with(3);
        let holder = format!("pid {} (session-sweep registry cleanup, since 2026-11-20 10:02:03Z)", std::process::id());
        assert!(ran.stderr.contains(&holder), "{ran:?}");
        assert!(ran.stderr.contains(lock_path.to_str().unwrap()), "{ran:?}");
        assert_untouched(&before, world.root());
    }
    world.registry_run(&["list"]).ends_with(0);
    world.registry_run(&["cleanup", "--dry-run"]).ends_with(0);
    // The setting says the same as the flag.
    world.file(".config/session-sweep/config.toml", "[registry]\nwait = \"never\"\n", 0);
    world.registry_run(&["cleanup"]).ends_with(3);
    drop(lock);
    world.registry_run(&["cleanup"]).ends_with(0);
    assert_eq!(world.status_of(1), "inactive");
}

/// A program without our lock counts up in entries of its own and in fields of ours, while `ours` runs again and again.
fn contend(changes: usize, in_place: bool, ours: impl Fn(&World, usize)) -> (World, Value) {
    let world = registry(&[session(1, "active", 1), session(2, "active", LONG)]);
    let path = world.registry_path();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            for number in 0..changes {
                let text = fs_err::read_to_string(&path).unwrap();
                let mut registry: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
                registry["1"][format!("field {number}")] = number.into();
                registry[format!("{}", 100 + number)] = session(100 + number as u32, "active", LONG);
                let text = serde_json::to_string_pretty(&registry).unwrap();
                let target = if in_place { path.clone() } else { path.with_extension("theirs") };
                File::create(&target).unwrap().write_all(text.as_bytes()).unwrap();
                if !in_place {
                    fs_err::rename(target, &path).unwrap();
                }
                // Uneven, so that changes meet every step of a run.
                for _ in 0..(number * 7919) % 600 {
                    std::thread::yield_now();
                }
            }
            is_over.store(true, Ordering::Relaxed);
        });
        for round in 0.. {
            if is_over.load(Ordering::Relaxed) && round > 0 {
                break;
            }
            ours(&world, round);
        }
    });
    let registry = world.registry_json();
    (world, registry)
}

#[test]
fn a_program_without_our_lock_loses_no_change_to_clean_ups_and_registrations() {
    const CHANGES: usize = 400;
    for in_place in [true, false] {
        let (world, _) = contend(CHANGES, in_place, |world, round| {
            world.registry_run(&["cleanup", "-q", "--wait", "60s"]).ends_with(0);
            let number = (5000 + round).to_string();
            let role = format!("role {round}");
            world.registry_run(&["register", &number, &role, "goal", "--wait", "60s"]).ends_with(0);
        });
        world.registry_run(&["cleanup"]).ends_with(0);
        let registry = world.registry_json();
        for number in 0..CHANGES {
            assert_eq!(registry["1"][format!("field {number}")], number, "in place: {in_place}");
            assert_eq!(registry[format!("{}", 100 + number)]["status"], "inactive", "in place: {in_place}");
        }
        // The other program may undo a registration that it did not see; what acknowledges it is there all the same.
        assert!(!names_in(&world.beats()).is_empty());
        assert_eq!(registry["1"]["status"], "active");
    }
}

#[test]
fn a_session_that_comes_to_life_during_a_clean_up_is_kept() {
    for is_new in [true, false] {
        let world = registry(&[session(1, "active", LONG), session(2, "active", LONG)]);
        let old = format!("{STAMP}-session-1.json");
        world.beat(&old, body(LONG), LONG);
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("trace");
        // Listed, then held up before the last heartbeat is opened: that time another one comes.
        let options = [
            "-P",
            &old,
            "-e",
            "trace=openat",
            "-e",
            "inject=openat:delay_enter=3000000:when=1",
            "-o",
            log.to_str().unwrap(),
        ];
        let command = world.command(&["registry", "cleanup", "--json"]);
        let Some(mut command) = strace(&options, &command) else { return };
        let ran = std::thread::scope(|threads| {
            let run = threads.spawn(|| Ran::of(&mut command));
            wait_until(|| fs_err::read_to_string(&log).is_ok_and(|text| text.contains(&old)));
            if is_new {
                world.beat_of("session-1", 1);
            } else {
                // One session registers meanwhile, with a program that does not know our lock.
                let text = world.registry_text().replace(&ago(LONG), &ago(1));
                fs_err::write(world.registry_path(), text).unwrap();
            }
            run.join().unwrap().ends_with(0)
        });
        assert_eq!(world.status_of(1), "active", "{ran:?}");
        assert_eq!(world.status_of(2), if is_new { "inactive" } else { "active" }, "{ran:?}");
        let document: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(document["summary"]["marked_inactive"], i32::from(is_new), "{document:#}");
    }
}

#[test]
fn a_heartbeat_that_is_rewritten_during_a_clean_up_is_not_removed() {
    let world = beaten();
    let names = names_in(&world.beats());
    let old = &names[0];
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("trace");
    // Held up when it is about to go.
    let calls = "trace=unlinkat,renameat,renameat2,statx,newfstatat,openat";
    let inject = "inject=openat:delay_enter=3000000:when=1";
    let options = ["-P", old.as_str(), "-e", calls, "-e", inject, "-o", log.to_str().unwrap()];
    let Some(mut command) = strace(&options, &world.command(&["registry", "cleanup", "--json"])) else { return };
    std::thread::scope(|threads| {
        let run = threads.spawn(|| Ran::of(&mut command));
        wait_until(|| fs_err::read_to_string(&log).is_ok_and(|text| text.contains("openat(")));
        fs_err::write(world.beats().join(old), "{}").unwrap();
        run.join().unwrap().ends_with(0);
    });
    assert_eq!(fs_err::read_to_string(world.beats().join(old)).unwrap(), "{}");
    assert_eq!(names_in(&world.beats()).len(), 3);
}

#[test]
fn a_run_that_waits_goes_on_when_the_lock_is_released() {
    let world = registry(&[session(1, "active", LONG)]);
    let lock = File::create(world.base().join("claude_sessions.lock")).unwrap();
    lock.lock().unwrap();
    let mut command = world.command(&["registry", "release", "1", "--wait", "60s", "-v"]);
    std::thread::scope(|threads| {
        let run = threads.spawn(|| Ran::of(&mut command));
        // However far it has come by now, it cannot have been done.
        world.registry_run(&["list"]).ends_with(0);
        assert!(!run.is_finished());
        assert_eq!(world.status_of(1), "active");
        drop(lock);
        run.join().unwrap().ends_with(0);
    });
    assert_eq!(world.status_of(1), "inactive");
}

#[test]
fn a_clean_up_leaves_nothing_behind_but_what_is_ours() {
    let world = registry(&[session(1, "active", LONG)]);
    world.registry_run(&["cleanup"]).ends_with(0);
    assert_eq!(names_in(&world.base()), [".session-sweep", "claude_sessions.json", "claude_sessions.lock"]);
    assert_eq!(names_in(&world.base().join(".session-sweep")), ["clock.json"]);
}

/// A clean-up with one call failing in one way, the first, second, … time: whatever happens, the registry is the old or the
/// new one, and who is alive stays. Yields how often it was the new one and how often the old one.
fn fail_everywhere(call: &str, error: &str) -> [usize; 2] {
    let mut outcomes = [0, 0];
    for number in 1.. {
        let world = registry(&[session(1, "active", LONG), session(2, "active", LONG), session(3, "active", 1)]);
        world.beat_of("session-1", LONG);
        world.beat_of("session-2", 1);
        world.beat_of("session-2", 6000);
        let before = world.registry_text();
        let inject = format!("inject={call}:error={error}:when={number}");
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("trace");
        let trace = format!("trace={call}");
        let options = ["-o", log.to_str().unwrap(), "-e", &trace, "-e", &inject];
        let Some(mut command) = strace(&options, &world.command(&["registry", "cleanup"])) else { return [1, 1] };
        let ran = Ran::of(&mut command);
        if !fs_err::read_to_string(&log).unwrap().contains("INJECTED") {
            return outcomes;
        }
        let moment = format!("{call} number {number} fails with {error}: {ran:?}");
        let after = world.registry_json();
        let statuses = [1, 2, 3].map(|number| after[number.to_string()]["status"].clone());
        assert_eq!(statuses[1..], ["active", "active"], "{moment}");
        assert!(world.beats().join("2026-11-20_11-59-00-session-2.json").exists(), "{moment}");
        if statuses[0] == "inactive" {
            let mark = "\"terminal\": \"s001\",\n    \"marked_inactive_at\": \"2026-11-20T12:00:00Z\"\n";
            let expected =
                before.replacen("\"active\"", "\"inactive\"", 1).replacen("\"terminal\": \"s001\"\n", mark, 1);
            assert_eq!(world.registry_text(), expected, "{moment}");
            outcomes[0] += 1;
        } else {
            assert_eq!(world.registry_text(), before, "{moment}");
            assert_ne!(ran.status, 0, "{moment}");
            outcomes[1] += 1;
        }
    }
    outcomes
}

#[test]
fn whatever_fails_the_registry_is_the_old_or_the_new_one_and_who_is_alive_stays() {
    let cases = [
        ("openat", "EACCES"),
        ("openat", "EMFILE"),
        ("getdents64", "EIO"),
        ("statx,newfstatat", "EACCES"),
        ("read,pread64", "EIO"),
        ("write,pwrite64", "ENOSPC"),
        ("fsync", "EIO"),
        ("fcntl", "EAGAIN"),
        ("flock", "ENOLCK"),
        ("fchmod", "EPERM"),
        ("renameat2", "EIO"),
        ("unlinkat,renameat,ftruncate,mkdir", "EROFS"),
    ];
    let outcomes = std::thread::scope(|threads| {
        let runs = cases.map(|(call, error)| (call, threads.spawn(move || fail_everywhere(call, error))));
        runs.map(|(call, run)| (call, run.join().unwrap()))
    });
    for (call, [_, old]) in outcomes {
        assert!(old > 0 || ["fcntl", "fchmod", "unlinkat,renameat,ftruncate,mkdir"].contains(&call), "{call}: {old}");
    }
}

#[test]
fn a_disk_that_is_full_or_read_only_leaves_the_registry_as_it_was() {
    let mut outcomes = [0, 0];
    for free_pages in 0..12 {
        let world = registry(&[]);
        let Some(disk) = SmallDisk::at(&world.base(), 128) else { return };
        let sessions: Vec<Value> = (1..=30).map(|number| session(number, "active", LONG)).collect();
        fs_err::write(world.registry_path(), text_of(&sessions)).unwrap();
        fs_err::write(world.base().join("claude_sessions.lock"), "").unwrap();
        let mut filler = fs_err::File::create(world.base().join("filler")).unwrap();
        while filler.write_all(&[0; 4096]).is_ok() {}
        filler.set_len(filler.metadata().unwrap().len().saturating_sub(free_pages * 4096)).unwrap();
        drop(filler);
        let before = world.registry_state();
        let ran = world.registry_run(&["cleanup"]);
        if ran.status == 0 {
            outcomes[0] += 1;
            assert_eq!(world.status_of(30), "inactive");
        } else {
            outcomes[1] += 1;
            let ran = ran.ends_with(1);
            assert!(ran.stderr.contains("claude_sessions.json") && ran.stderr.contains("No space left"), "{ran:?}");
            assert_eq!(world.registry_state(), before);
        }
        let left = names_in(&world.base()).into_iter().filter(|name| name != ".session-sweep");
        assert_eq!(left.collect::<Vec<_>>(), ["claude_sessions.json", "claude_sessions.lock", "filler"]);
        disk.freeze();
        let before = world.registry_state();
        let ran = world.registry_run(&["release", "1"]).ends_with(1);
        assert!(ran.stderr.contains("ead-only file system"), "{ran:?}");
        assert_eq!(world.registry_state(), before);
        world.registry_run(&["list"]).ends_with(0);
        world.registry_run(&["cleanup", "-n"]).ends_with(0);
    }
    assert!(outcomes.iter().all(|count| *count > 0), "{outcomes:?}");
}

// ---- among the other areas

/// The lines of the run log.
fn runs(world: &World) -> Vec<Value> {
    let log = world.home().join(".local/state/session-sweep/runs.jsonl");
    let text = fs_err::read_to_string(log).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// An idle mapping, a stale session and one that is alive, with one heartbeat too many.
fn both() -> World {
    let world = registry(&[session(1, "active", LONG), session(2, "active", 1)]);
    world.beat_of("session-2", LONG);
    world.beat_of("session-2", 1);
    world.claude(CLAUDE_ID, 300);
    world.map(&json!({"claude-cli": {"idle": CLAUDE_ID}}).to_string());
    world
}

fn enabled() -> World {
    let mut world = both();
    world.variable("SESSION_SWEEP_REGISTRY_ENABLED", "true");
    world
}

#[test]
fn sweep_and_audit_leave_the_registry_alone_unless_it_is_enabled() {
    let mut world = both();
    let before = tree_of(&world.base());
    for command in [&["audit"][..], &["sweep", "-n"], &["sweep"]] {
        let ran = world.run(command).ends_with(0);
        let told: Vec<&str> = ran.stdout.lines().filter(|line| line.contains("registry")).collect();
        assert!(told.iter().all(|line| line.starts_with("not enabled: registry")), "{ran:?}");
    }
    assert_eq!(world.json(&["sweep"])["registry"], Value::Null);
    assert_eq!(world.json(&["audit"])["registry"], Value::Null);
    assert_eq!(runs(&world)[0].get("registry").unwrap_or(&Value::Null), &Value::Null);
    // An invalid one is nobody's matter then.
    world.variable("SESSION_SWEEP_REGISTRY_ENABLED", "false");
    world.run(&["sweep"]).ends_with(0);
    assert_untouched(&before, &world.base());
}

#[test]
fn a_sweep_cleans_the_registry_up_and_writes_it_down() {
    let world = enabled();
    let dry = world.json(&["sweep", "-n"]);
    let alone = world.registry_document(&["cleanup", "-n"]);
    assert_eq!(dry["registry"], alone);
    world.run(&["sweep", "-n", "--exit-code"]).ends_with(10);
    assert_eq!((world.status_of(1), runs(&world)), (json!("active"), vec![]));
    let ran = world.run(&["sweep"]).ends_with(0);
    assert!(ran.stdout.contains("1 pruned") && ran.stdout.contains("1 marked inactive"), "{ran:?}");
    assert!(ran.stdout.contains("1 old heartbeats removed"), "{ran:?}");
    assert_eq!((world.status_of(1), world.status_of(2)), (json!("inactive"), json!("active")));
    assert_eq!(world.map_json(), json!({"claude-cli": {}}));
    let run = &runs(&world)[0];
    assert_eq!(run["registry"], json!({"sessions": 2, "marked_inactive": 1, "beats_pruned": 1}), "{run:#}");
    assert_eq!(run["exit"], 0);
    let document = world.json(&["status"]);
    assert_eq!(document["last_run"]["registry"], run["registry"], "{document:#}");
    let status = world.run(&["status"]).ends_with(0);
    assert!(status.stdout.contains("2 sessions, 1 marked inactive"), "{status:?}");
    world.run(&["sweep", "-n", "--exit-code"]).ends_with(0);
}

#[test]
fn the_setting_in_the_file_enables_it_too() {
    let world = both();
    world.file(".config/session-sweep/config.toml", "[registry]\nenabled = true\ntimeout = \"never\"\n", 0);
    world.run(&["sweep"]).ends_with(0);
    assert_eq!(runs(&world)[0]["registry"]["marked_inactive"], 0);
    world.file(".config/session-sweep/config.toml", "[registry]\nenabled = true\n", 0);
    world.run(&["sweep"]).ends_with(0);
    assert_eq!(world.status_of(1), "inactive");
}

#[test]
fn an_audit_shows_what_a_sweep_would_do_to_the_registry() {
    let world = enabled();
    let before = tree_of(world.root());
    let ran = world.run(&["audit"]).ends_with(0);
    assert!(ran.stdout.contains("1 would be marked inactive, 1 old heartbeats would be removed"), "{ran:?}");
    assert_eq!(world.json(&["audit"])["registry"], world.registry_document(&["cleanup", "-n"]));
    assert_untouched(&before, world.root());
}

#[test]
fn no_registry_is_nothing_to_do() {
    let world = enabled();
    fs_err::remove_dir_all(world.base()).unwrap();
    for command in [&["audit"][..], &["sweep"]] {
        world.run(command).ends_with(0);
        assert_eq!(world.json(command)["registry"], Value::Null);
    }
    assert!(!world.base().exists());
    assert_eq!(runs(&world)[0].get("registry").unwrap_or(&Value::Null), &Value::Null);
}

#[test]
fn a_broken_registry_does_not_keep_a_sweep_from_the_map_and_is_told_of() {
    let world = enabled();
    fs_err::write(world.registry_path(), "[]").unwrap();
    let before = world.registry_state();
    let ran = world.run(&["sweep"]).ends_with(1);
    assert!(ran.stdout.contains("1 pruned"), "{ran:?}");
    assert!(ran.stderr.contains("claude_sessions.json: it holds a list, not an object of sessions"), "{ran:?}");
    assert_eq!((world.map_json(), world.registry_state()), (json!({"claude-cli": {}}), before));
    let run = &runs(&world)[0];
    assert_eq!((&run["exit"], &run["totals"]["pruned"]), (&json!(1), &json!(1)), "{run:#}");
    assert!(run["error"].as_str().unwrap().contains("claude_sessions.json"), "{run:#}");
    let document = world.json(&["sweep"]);
    assert!(document["registry_error"].as_str().unwrap().contains("a list"), "{document:#}");
    assert!(document["prune"].is_object() && document["registry"].is_null(), "{document:#}");
}

#[test]
fn a_broken_map_does_not_keep_a_sweep_from_the_registry_and_is_told_of() {
    let world = enabled();
    world.map("[");
    let ran = world.run(&["sweep"]).ends_with(1);
    assert!(ran.stdout.contains("1 marked inactive"), "{ran:?}");
    assert!(ran.stderr.contains("session_map.json"), "{ran:?}");
    assert_eq!((world.status_of(1), world.map_text()), (json!("inactive"), "[".to_owned()));
    let run = &runs(&world)[0];
    assert_eq!((&run["exit"], &run["registry"]["marked_inactive"]), (&json!(1), &json!(1)), "{run:#}");
    let document = world.json(&["sweep"]);
    assert!(document["map_error"].as_str().unwrap().contains("session_map.json"), "{document:#}");
    assert_eq!(document["registry"]["summary"]["active"], 1, "{document:#}");
    // Where both are, both are told of.
    fs_err::write(world.registry_path(), "{").unwrap();
    let ran = world.run(&["sweep"]).ends_with(1);
    assert!(ran.stderr.contains("session_map.json") && ran.stderr.contains("claude_sessions.json"), "{ran:?}");
    let run = runs(&world).pop().unwrap().to_string();
    assert!(run.contains("session_map.json") && run.contains("claude_sessions.json"), "{run}");
}

#[test]
fn an_audit_shows_the_map_where_the_registry_is_broken_and_tells_of_both() {
    let world = enabled();
    let map = world.map_text();
    world.map("[");
    let before = tree_of(world.root());
    let ran = world.run(&["audit"]).ends_with(1);
    assert!(ran.stderr.contains("session_map.json"), "{ran:?}");
    assert_untouched(&before, world.root());
    fs_err::write(world.registry_path(), "[]").unwrap();
    let ran = world.run(&["audit"]).ends_with(1);
    assert!(ran.stderr.contains("session_map.json") && ran.stderr.contains("claude_sessions.json"), "{ran:?}");
    world.map(&map);
    let before = tree_of(world.root());
    let ran = world.run(&["audit"]).ends_with(1);
    assert!(ran.stdout.contains("1 would be pruned"), "{ran:?}");
    assert!(ran.stderr.contains("claude_sessions.json: it holds a list"), "{ran:?}");
    assert_untouched(&before, world.root());
}

#[test]
fn a_registry_that_somebody_holds_is_left_for_the_next_sweep() {
    let world = enabled();
    let lock = File::create(world.base().join("claude_sessions.lock")).unwrap();
    lock.lock().unwrap();
    world.file(".config/session-sweep/config.toml", "[registry]\nwait = \"never\"\n", 0);
    let ran = world.run(&["sweep"]).ends_with(3);
    assert!(ran.stderr.contains("claude_sessions.lock"), "{ran:?}");
    assert_eq!((world.status_of(1), world.map_json()), (json!("active"), json!({"claude-cli": {}})));
    drop(lock);
    world.run(&["sweep"]).ends_with(0);
    assert_eq!(world.status_of(1), "inactive");
    let exits: Vec<Value> = runs(&world).iter().map(|run| run["exit"].clone()).collect();
    assert_eq!(exits, [3, 0]);
}

#[test]
fn what_is_doubtful_in_the_registry_makes_a_sweep_and_an_audit_partial() {
    let world = enabled();
    set_mode(&world.beat("2026-11-20_11-59-30-session-1.json", body(0), 0), 0);
    for command in [&["audit"][..], &["sweep"]] {
        let ran = Ran::of(&mut as_ordinary_user(&world, &world.command(command))).ends_with(4);
        assert!(ran.stdout.contains("could not be read"), "{ran:?}");
    }
    assert_eq!(world.status_of(1), "active");
    let run = &runs(&world)[0];
    assert!(run["exit"] == 4 && run["error"].to_string().contains("could not be read"), "{run:#}");
}

#[test]
fn a_sweep_holds_after_a_jump_of_the_clock_and_says_so_in_its_log() {
    let mut world = settled_scene();
    world.variable("SESSION_SWEEP_REGISTRY_ENABLED", "true");
    let ran = world.run_at(LATER, &["sweep"]).ends_with(4);
    assert!(ran.stdout.contains("3 of 3 active sessions would go at once"), "{ran:?}");
    assert!(runs(&world)[0]["error"].to_string().contains("the clock went"), "{:?}", runs(&world));
    assert_eq!(world.status_of(1), "active");
    world.run_at(LATER, &["sweep"]).ends_with(0);
    assert_eq!(world.status_of(1), "inactive");
}

#[test]
fn sweep_and_audit_with_a_registry_as_text() {
    let world = enabled();
    settled(&world, || {
        assert_snapshot!("registry_audit", shown(&world.run(&["audit"])));
        assert_snapshot!("registry_sweep_dry_run", shown(&world.run(&["sweep", "-n"])));
        assert_snapshot!("registry_sweep", shown(&world.run(&["sweep"])));
        world.map("[");
        assert_snapshot!("registry_sweep_broken_map", shown(&world.run(&["sweep"])));
        fs_err::write(world.registry_path(), "[").unwrap();
        assert_snapshot!("registry_sweep_both_broken", shown(&world.run(&["sweep"])));
    });
}

#[test]
fn what_holds_a_clean_up_back_as_text() {
    let world = settled_scene();
    settled(&world, || {
        let mut settings = insta::Settings::clone_current();
        settings.add_filter(r"the clock went \d+ minutes", "the clock went [N] minutes");
        settings.bind(|| {
            assert_snapshot!("registry_held_dry_run", shown(&later(&world, &["-n"])));
            assert_snapshot!("registry_held", shown(&later(&world, &[])));
        });
    });
}

#[test]
fn after_a_jump_of_the_clock_no_heartbeat_is_old_though_no_session_ever_is() {
    let world = registry(&[session(1, "active", 1)]);
    let old = world.beat_of("session-1", 3 * 24 * 60);
    world.beat_of("session-1", 1);
    let never = ["cleanup", "--timeout", "never", "--prune-heartbeats", "4d"];
    world.registry_run(&never).ends_with(0);
    let later = [&["registry"], &never[..], &["--at", "2026-11-22T13:00:00Z"]].concat();
    Ran::of(&mut world.command_at_present(&later)).ends_with(0);
    assert!(old.exists());
    Ran::of(&mut world.command_at_present(&later)).ends_with(0);
    assert!(!old.exists(), "the next run goes on");
}

#[test]
fn heartbeats_below_too_many_folders_keep_their_sessions() {
    let world = registry(&[session(1, "active", LONG)]);
    let deep = "a/b/c/d/e/f/g/h/i/2026-11-20_11-00-00-session-1.json";
    fs_err::create_dir_all(world.beats().join(deep).parent().unwrap()).unwrap();
    world.beat(deep, body(1), 1);
    let ran = world.registry_run(&["cleanup"]).ends_with(4);
    assert!(ran.stdout.contains("could not be read"), "{ran:?}");
    assert_eq!(world.status_of(1), "active");
}

#[test]
fn an_audit_shows_the_registry_beside_a_broken_map() {
    let mut world = registry(&[session(1, "active", LONG)]);
    world.variable("SESSION_SWEEP_REGISTRY_ENABLED", "true");
    world.map("{ no map");
    let ran = world.run(&["audit"]).ends_with(1);
    assert!(
        ran.stdout.contains("could not be looked at") && ran.stdout.contains("1 would be marked inactive"),
        "{ran:?}"
    );
    let document = world.json(&["audit"]);
    assert_eq!(document["registry"]["summary"]["stale"], 1);
    assert!(document["map_error"].as_str().unwrap().contains("session_map.json"), "{document}");
}

#[test]
fn a_registration_on_the_way_does_not_use_the_hold_up() {
    let world = registry(&[session(1, "active", 1), session(2, "active", 1)]);
    world.registry_run(&["cleanup"]).ends_with(0);
    let at = ["--at", "2026-11-20T17:00:00Z"];
    let run = |arguments: &[&str]| Ran::of(&mut world.command_at_present(&[&["registry"], arguments, &at].concat()));
    run(&["register", "3", "r", "g"]).ends_with(0);
    assert_eq!([world.status_of(1), world.status_of(2)], ["active", "active"]);
    // It is still the first one that was asked for.
    run(&["cleanup"]).ends_with(4);
    run(&["cleanup"]).ends_with(0);
    assert_eq!([world.status_of(1), world.status_of(2)], ["inactive", "inactive"]);
}
