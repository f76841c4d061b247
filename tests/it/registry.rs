//! `registry list`, `register` and `release`: who works under which number.

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::machine::{as_ordinary_user, set_mode};
use crate::registry_world::{STAMP, body, in_document, named, no_registry, registry, registry_of, session};
use crate::snapshots::{settled, shown};
use crate::tree::{assert_untouched, names_in, tree_of};
use crate::world::{Ran, World};

const LONG: i64 = 10_000;

/// The same text in another style.
type Restyle = fn(&str) -> String;

fn beat_json(world: &World, name: &str) -> Value {
    serde_json::from_str(&fs_err::read_to_string(world.beats().join(name)).unwrap()).unwrap()
}

// ---- where the registry is

#[test]
fn the_folder_is_named_by_flag_variable_file_or_default() {
    let mut world = World::new();
    let base_of = |world: &World, flags: &[&str]| {
        let arguments = [&["registry", "register", "--next", "--terminal", "t"], flags, &["--", "r", "g"]].concat();
        let command = &mut world.command_at_present(&["--at", "2026-11-20T12:00:00Z"]);
        Ran::of(command.args(arguments)).ends_with(0);
        let found = walkdir::WalkDir::new(world.root()).into_iter().map(Result::unwrap);
        let found = found.filter(|entry| entry.file_name() == "claude_sessions.json");
        let found: Vec<_> = found.map(|entry| entry.path().strip_prefix(world.root()).unwrap().to_owned()).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        fs_err::remove_file(world.root().join(&found[0])).unwrap();
        found[0].parent().unwrap().to_str().unwrap().to_owned()
    };
    assert_eq!(base_of(&world, &[]), "home/.local/state/session-sweep/registry");
    let root = world.root().to_owned();
    world.variable("XDG_STATE_HOME", root.join("state"));
    assert_eq!(base_of(&world, &[]), "state/session-sweep/registry");
    world.file(".config/session-sweep/config.toml", "[registry]\nbase = \"~/from-file\"\n", 0);
    assert_eq!(base_of(&world, &[]), "home/from-file");
    world.variable("SESSION_REGISTRY_DIR", root.join("from-other-variable"));
    assert_eq!(base_of(&world, &[]), "from-other-variable");
    world.variable("SESSION_SWEEP_REGISTRY_BASE", root.join("from-variable"));
    assert_eq!(base_of(&world, &[]), "from-variable");
    assert_eq!(base_of(&world, &["--base", root.join("from flag").to_str().unwrap()]), "from flag");
    assert_eq!(base_of(&world, &["--base", "relative"]), "relative");
}

#[test]
fn a_folder_without_a_name_is_none() {
    let mut world = no_registry();
    let ran = world.registry_run(&["register", "1", "a", "b", "--base", ""]).ends_with(2);
    assert!(ran.stderr.contains("--base"), "{ran:?}");
    world.file(".config/session-sweep/config.toml", "[registry]\nbase = \"relative\"\n", 0);
    let ran = world.registry_run(&["register", "1", "a", "b"]).ends_with(2);
    assert!(ran.stderr.contains("registry.base"), "{ran:?}");
    fs_err::remove_file(world.home().join(".config/session-sweep/config.toml")).unwrap();
    // A variable that is empty is not set.
    world.variable("SESSION_REGISTRY_DIR", "");
    world.registry_run(&["register", "1", "a", "b"]).ends_with(0);
    assert!(world.home().join(".local/state/session-sweep/registry/claude_sessions.json").exists());
}

// ---- list

#[test]
fn a_list_shows_everybody_who_is_there_and_the_free_numbers() {
    let world = registry(&[
        session(1, "active", 5),
        session(2, "working", 30),
        session(5, "active", 200),
        session(9, "inactive", LONG),
        session(10, "active", 1),
    ]);
    world.beat(
        format!("{STAMP}-session-1.json"),
        r#"{"timestamp": "2026-11-20T11:59:00Z", "status": "busy", "working_on": "the roof"}"#,
        LONG,
    );
    let document = world.registry_document(&["list"]);
    let numbers: Vec<&Value> = document["sessions"].as_array().unwrap().iter().map(|own| &own["number"]).collect();
    assert_eq!(numbers, [1, 2, 5, 10], "by number, whatever the order of the file");
    assert_eq!((&document["free"], &document["next_free"]), (&json!([[3, 4], [6, 9], [11, null]]), &json!(3)));
    assert_eq!((&document["inactive"], &document["timeout_seconds"]), (&json!(1), &json!(7200)));
    assert_eq!((&document["schema"], &document["command"]), (&json!(1), &json!("registry list")));
    assert_eq!(document["base"], world.base().to_str().unwrap());
    let expected = json!({
        "number": 1, "session_id": "session-1", "role": "Role 1", "goal": "Goal 1", "status": "active",
        "terminal": "s001", "last_heartbeat": "2026-11-20T11:59:00Z", "source": "beat",
        "beat": format!("{STAMP}-session-1.json"), "age_seconds": 60, "verdict": "active", "doubt": null, "holder": null,
        "beat_status": "busy", "working_on": "the roof",
    });
    assert_eq!(in_document(&document, 1), &expected);
    let others = [2, 5, 10].map(|number| in_document(&document, number)["verdict"].clone());
    assert_eq!(others, ["other", "stale", "active"]);
    assert_eq!(in_document(&world.registry_document(&["list", "--all"]), 9)["verdict"], "inactive");
    let text = world.registry_run(&["list"]).ends_with(0).stdout;
    for words in
        ["1 inactive; --all shows them", "free numbers: 3-4, 6-9, from 11 on", "heartbeat", "registered", "s002"]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert!(!text.contains("Role 9"), "{text}");
    assert!(world.registry_run(&["list", "-a"]).ends_with(0).stdout.contains("Role 9"));
}

#[test]
fn what_is_not_understood_has_its_number_all_the_same() {
    let world = registry_of(r#"{"1": [], "02": {}, "x": 7, "3": {"status": "inactive"}, "4": null}"#);
    let document = world.registry_document(&["list"]);
    assert_eq!((&document["free"], &document["sessions"]), (&json!([[2, 3], [5, null]]), &json!([])));
    assert_eq!(document["not_understood"], json!(["1", "02", "x", "4"]));
    let ran = world.registry_run(&["list"]).ends_with(0);
    assert!(ran.stdout.contains("no session is active"), "{ran:?}");
    let before = world.registry_state();
    for number in ["1", "4"] {
        let ran = world.registry_run(&["register", number, "a", "b"]).ends_with(1);
        assert!(ran.stderr.contains(&format!("{number} is in the registry and is no session")), "{ran:?}");
    }
    assert_eq!(world.registry_state(), before);
}

#[test]
fn a_list_shows_the_terminal_that_is_known_as_a_session() {
    let world = registry(&[session(1, "inactive", LONG), session(2, "active", 1)]);
    let mut command = world.command(&["registry", "identify", "1"]);
    let id = "0856b851-1111-4222-8333-0123456789ab";
    Ran::of(command.env("CLAUDE_CODE_SESSION_ID", id)).ends_with(0);
    let document = world.registry_document(&["list"]);
    let holder = in_document(&document, 1)["holder"].as_str().unwrap();
    assert_eq!(in_document(&document, 2)["holder"], Value::Null);
    let text = world.registry_run(&["list"]).ends_with(0).stdout;
    // A narrow table shortens it.
    assert!(text.contains(&holder[..10]) && text.contains("s002") && !text.contains("s001"), "{text}");
}

#[test]
fn files_that_belong_to_nobody_are_counted() {
    let world = registry(&[session(1, "active", 5), named(2, ".hidden", LONG)]);
    world.beat(format!("{STAMP}-session-8.json"), body(1), 1);
    // What is hidden is nobody's heartbeat, whatever its name.
    world.beat(format!(".{STAMP}-session-9.json"), body(1), 1);
    world.beat(".hidden.json", body(1), 1);
    world.beat(format!("{STAMP}-session-1.json"), body(1), 1);
    let document = world.registry_document(&["list"]);
    assert_eq!((&document["beats"], &document["unattributed_beats"]), (&json!(1), &json!(1)));
    assert_eq!(in_document(&document, 2)["verdict"], "stale");
    let ran = world.registry_run(&["list", "-v"]).ends_with(0);
    assert!(ran.stdout.contains("1 files among the heartbeats belong to no session; they stay"), "{ran:?}");
}

// ---- register

#[test]
fn the_first_registration_makes_a_registry_as_the_scripts_write_it() {
    let world = no_registry();
    let ran = world.registry_run(&["register", "5", "Bus → mesh", "Goal", "--terminal", "s005"]).ends_with(0);
    assert!(ran.stdout.contains("session 5 is registered") && ran.stdout.contains("Bus → mesh"), "{ran:?}");
    let expected = "{\n  \"5\": {\n    \"session_id\": \"session-5\",\n    \"number\": 5,\n    \"role\": \"Bus \\u2192 mesh\",\n    \
        \"goal\": \"Goal\",\n    \"status\": \"active\",\n    \"registered_at\": \"2026-11-20T12:00:00Z\",\n    \
        \"terminal\": \"s005\"\n  }\n}";
    assert_eq!(world.registry_text(), expected);
    assert_eq!(names_in(&world.beats()), ["2026-11-20_12-00-00-session-5.json"]);
    let private =
        std::os::unix::fs::PermissionsExt::mode(&fs_err::metadata(world.registry_path()).unwrap().permissions());
    assert_eq!(private & 0o777, 0o600);
    // The next one is written as the first one is.
    world.registry_run(&["register", "2", "b", "", "--session-id", "mind", "--terminal", "t"]).ends_with(0);
    let second = ",\n  \"2\": {\n    \"session_id\": \"mind\",\n    \"number\": 2,\n    \"role\": \"b\",\n    \"goal\": \"\",\n    \
        \"status\": \"active\",\n    \"registered_at\": \"2026-11-20T12:00:00Z\",\n    \"terminal\": \"t\"\n  }\n}";
    assert_eq!(world.registry_text(), expected.strip_suffix("\n}").unwrap().to_owned() + second);
}

#[test]
fn a_registration_writes_the_first_heartbeat() {
    let mut world = no_registry();
    let document =
        world.registry_document(&["register", "5", "Bus", "Mesh", "--session-id", "bus", "--terminal", "s005"]);
    let name = "2026-11-20_12-00-00-session-5.json";
    let expected = json!({
        "schema": 1, "command": "registry register", "number": 5, "session_id": "bus", "role": "Bus", "goal": "Mesh",
        "status": "active", "terminal": "s005", "beat": name, "changed": true,
    });
    assert_eq!(document, expected);
    let beat = beat_json(&world, name);
    for (field, value) in [
        ("session_number", json!(5)),
        ("session_id", json!("bus")),
        ("timestamp", json!("2026-11-20T12:00:00.000000Z")),
        ("type", json!("heartbeat")),
        ("source", json!("session-sweep")),
        ("status", json!("active")),
        ("role", json!("Bus")),
    ] {
        assert_eq!(beat[field], value, "{field}");
    }
    // The process that stands for the session, and what makes it certain.
    let pid = beat["pid"].as_u64().unwrap();
    assert_eq!(beat["process_start"], crate::left_behind::start_ticks(pid as u32), "{beat}");
    let boot = fs_err::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    assert_eq!(beat["boot_id"], boot.trim());
    assert!(beat["terminal"].is_string());
    assert!(beat.get("working_on").is_none());
    assert_eq!(world.sign_of(5).0, "beat");
    // Its name is local time. Where that is taken, a fraction follows.
    world.variable("TZ", "PST8");
    world.registry_run(&["register", "6", "a", "b"]).ends_with(0);
    assert!(world.beats().join("2026-11-20_04-00-00-session-6.json").exists(), "{:?}", names_in(&world.beats()));
    world.registry_run(&["release", "6"]).ends_with(0);
    let again = world.registry_document(&["register", "6", "a", "b"]);
    assert_eq!(again["beat"], "2026-11-20_04-00-00.000000-session-6.json");
    world.registry_run(&["release", "6"]).ends_with(0);
    let again = world.registry_document(&["register", "6", "a", "b"]);
    assert_eq!(again["beat"], "2026-11-20_04-00-00.000001-session-6.json");
    assert_eq!(world.registry_document(&["list"])["beats"], 4);
}

#[test]
fn a_registered_session_is_active_in_the_next_clean_up_though_its_heartbeat_is_lost() {
    let world = no_registry();
    world.registry_run(&["register", "5", "a", "b", "--session-id", "some-id"]).ends_with(0);
    fs_err::remove_dir_all(world.beats()).unwrap();
    world.run_at("2026-11-20T13:59:00Z", &["registry", "cleanup"]).ends_with(0);
    assert_eq!(world.status_of(5), "active");
}

#[test]
fn a_number_is_a_positive_integer_written_plainly() {
    let world = no_registry();
    for number in
        ["0", "07", "abc", "-1", "1.5", "+7", "", " 7", "7 ", "4294967296", "1e3", "0x7", "१", "7;ls", "\"7\""]
    {
        let ran = world.registry_run(&["register", number, "a", "b"]).ends_with(2);
        assert!(ran.stderr.contains("whole number from 1 on"), "{ran:?}");
        let ran = world.registry_run(&["release", number]).ends_with(2);
        assert_eq!(ran.stdout, "");
    }
    assert!(!world.base().exists());
    for number in ["1", "14", "99", "4294967295"] {
        world.registry_run(&["register", number, "a", "b"]).ends_with(0);
    }
}

#[test]
fn too_few_or_too_many_words_are_no_registration() {
    let world = no_registry();
    for arguments in [
        &[][..],
        &["5"],
        &["5", "role"],
        &["5", "role", "goal", "more"],
        &["--next"],
        &["--next", "role"],
        &["--next", "5", "role", "goal"],
    ] {
        // Without --at behind the words.
        let arguments = [&["--at", "2026-11-20T12:00:00Z", "registry", "register"], arguments].concat();
        Ran::of(&mut world.command_at_present(&arguments)).ends_with(2);
    }
    assert!(!world.base().exists());
}

#[test]
fn flags_may_stand_before_between_and_behind_the_words() {
    for arguments in [
        &["--json", "--session-id", "x", "5", "role", "goal"][..],
        &["5", "role", "goal", "--session-id", "x", "--json"],
        &["5", "--session-id", "x", "role", "--json", "goal"],
        &["--next", "role", "goal", "--session-id", "x", "--json"],
        &["role", "goal", "--next", "--json", "--session-id=x"],
        &["--next", "role", "--json", "goal", "--session-id=x"],
    ] {
        let world = registry(&[1, 2, 3, 4].map(|number| session(number, "active", 1)));
        let ran = world.registry_run(&[&["register"], arguments].concat()).ends_with(0);
        let document: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
        let said = ["number", "session_id", "role", "goal"].map(|field| document[field].clone());
        assert_eq!(said, [json!(5), json!("x"), json!("role"), json!("goal")], "{arguments:?}");
    }
}

#[test]
fn roles_goals_and_ids_are_any_text() {
    let texts = [
        "He said \"go\" and 'stop'",
        "$373K `id` $(id) ${HOME}",
        "a\nb\tc\\d\r",
        "→ ü 🦀 \u{202e}",
        "-5",
        "--role",
        "",
        "  spaces  ",
        "*?[a-z]{a,b}~",
        "{\"x\": [1]}",
        "../../etc/passwd",
        "\u{1b}[2J\u{7f}",
        "%s%n",
    ];
    let world = no_registry();
    for (number, text) in (1..).zip(texts) {
        let number = number.to_string();
        // An id that is no text at all would be that of any heartbeat without one.
        let id = if text.is_empty() { "id" } else { text };
        let flags = ["--at", "2026-11-20T12:00:00Z", "--json", "--session-id", id, "--terminal", text];
        let arguments = [&["registry", "register"], &flags[..], &["--", &number, text, text]].concat();
        let ran = Ran::of(&mut world.command_at_present(&arguments)).ends_with(0);
        let document: Value = serde_json::from_str(&ran.stdout).unwrap();
        let entry = world.registry_json()[&number].clone();
        for (field, said) in [("session_id", id), ("role", text), ("goal", text), ("terminal", text)] {
            assert_eq!((&document[field], &entry[field]), (&json!(said), &json!(said)), "{text:?}");
        }
        assert!(world.registry_text().is_ascii());
        let beat = beat_json(&world, &format!("2026-11-20_12-00-00-session-{number}.json"));
        assert_eq!((&beat["session_id"], &beat["role"]), (&json!(id), &json!(text)));
    }
    world.registry_run(&["register", "99", "a", "b", "--session-id", ""]).ends_with(2);
    // None of them was taken for a path.
    assert_eq!(names_in(world.root()), ["bridge", "home", "registry"]);
    assert_eq!(names_in(&world.beats()).len(), texts.len());
    for ran in
        [world.registry_run(&["list", "--all", "-v"]).ends_with(0), world.registry_run(&["cleanup"]).ends_with(0)]
    {
        assert!(!ran.stdout.contains(|c: char| c != '\n' && (c.is_control() || c == '\u{202e}')), "{ran:?}");
    }
}

#[test]
fn words_that_are_no_text_are_refused() {
    use std::os::unix::ffi::OsStrExt as _;
    let world = no_registry();
    let odd = std::ffi::OsStr::from_bytes(b"\xff");
    let mut command = world.command(&["registry", "register", "5", "role"]);
    Ran::of(command.arg(odd)).ends_with(2);
    let mut command = world.command(&["registry", "register", "5", "role", "goal", "--session-id"]);
    Ran::of(command.arg(odd)).ends_with(2);
    assert!(!world.base().exists());
}

#[test]
fn words_that_look_like_flags_are_words_behind_two_dashes() {
    let world = no_registry();
    let ran = Ran::of(&mut world.command_at_present(&["registry", "register", "--", "5", "--json", "-x"])).ends_with(0);
    assert!(ran.stdout.contains("session 5 is registered"), "{ran:?}");
    assert_eq!(
        (&world.registry_json()["5"]["role"], &world.registry_json()["5"]["goal"]),
        (&json!("--json"), &json!("-x"))
    );
}

#[test]
fn a_number_whose_session_is_anything_but_inactive_is_refused() {
    for status in
        [json!("active"), json!("working"), json!("unknown"), json!(""), json!("Inactive"), json!(null), json!(0)]
    {
        let mut taken = session(5, "", 1);
        taken["status"] = status.clone();
        taken["current_work"] = "wire the bus".into();
        let world = registry(&[taken, session(1, "inactive", LONG)]);
        let before = world.registry_state();
        for flags in [&[][..], &["--no-cleanup"], &["--session-id", "x"]] {
            let ran = world.registry_run(&[&["register", "5", "New", "goal"], flags].concat()).ends_with(1);
            let words = status.as_str().unwrap_or("without a status");
            assert!(
                ran.stderr.contains(&format!("session 5 is {words} (Role 5, last sign of life 1m ago); end it")),
                "{status}: {ran:?}"
            );
            assert!(ran.stderr.contains("session-sweep registry release 5"), "{ran:?}");
            assert!(ran.stderr.contains("take 1 with --next"), "{ran:?}");
            assert_eq!(ran.stdout, "");
        }
        assert_eq!(world.registry_state(), before, "{status}");
        assert_eq!(world.beats_there(), 0, "{status}");
    }
}

#[test]
fn a_refusal_says_when_the_session_was_heard_of_and_claims_no_more_than_is_true() {
    let world = registry(&[session(1, "active", LONG), session(2, "working", LONG)]);
    world.beat_of("session-2", 180);
    let ran = world.registry_run(&["register", "2", "New", "goal"]).ends_with(1);
    assert!(ran.stderr.contains("session 2 is working (Role 2, last sign of life 3.0h ago)"), "{ran:?}");
    assert!(ran.stderr.contains("nothing was registered"), "{ran:?}");
    // The clean-up came first.
    assert_eq!(world.status_of(1), "inactive");
    let world = registry_of(r#"{"2": {"status": "working"}}"#);
    let ran = world.registry_run(&["register", "2", "New", "goal"]).ends_with(1);
    assert!(ran.stderr.contains("session 2 is working (without a role, no sign of life)"), "{ran:?}");
}

#[test]
fn registering_cleans_up_first() {
    let world = registry(&[session(1, "active", LONG), session(2, "active", LONG), session(3, "active", 1)]);
    world.registry_run(&["register", "1", "New", "goal", "--no-cleanup"]).ends_with(1);
    assert_eq!(world.status_of(2), "active");
    world.registry_run(&["register", "1", "New", "goal"]).ends_with(0);
    assert_eq!([1, 2, 3].map(|number| world.status_of(number)), ["active", "inactive", "active"]);
    assert_eq!(world.registry_json()["1"]["role"], "New");
    assert_eq!(world.registry_json()["1"].get("marked_inactive_at"), None);
    assert_eq!(world.registry_json()["2"]["marked_inactive_at"], "2026-11-20T12:00:00Z");
}

#[test]
fn an_inactive_entry_keeps_what_is_not_known_and_where_it_stands() {
    let text = "{\n\t\"9\": {\n\t\t\"zeta\": [1,  2],\n\t\t\"status\": \"inactive\",\n\t\t\"marked_inactive_at\": \"2025-11-17T07:12:18.404913Z\",\n\t\t\
        \"role\": \"Old\",\n\t\t\"number\": 9,\n\t\t\"session_id\": \"mind\",\n\t\t\"fingerprint\": {\"pid\": 1.0e1}\n\t},\n\t\"2\": {\"status\": \"working\"}\n}\n";
    let world = registry_of(text);
    world.registry_run(&["register", "9", "New", "Goal", "--terminal", "t"]).ends_with(0);
    let expected = "{\n\t\"9\": {\n\t\t\"zeta\": [1,  2],\n\t\t\"status\": \"active\",\n\t\t\"goal\": \"Goal\",\n\t\t\
        \"role\": \"New\",\n\t\t\"number\": 9,\n\t\t\"session_id\": \"session-9\",\n\t\t\"fingerprint\": {\"pid\": 1.0e1},\n\t\t\
        \"registered_at\": \"2026-11-20T12:00:00Z\",\n\t\t\"terminal\": \"t\"\n\t},\n\t\"2\": {\"status\": \"working\"}\n}\n";
    assert_eq!(world.registry_text(), expected);
}

#[test]
fn every_style_of_text_is_kept_by_a_registration() {
    let new = |unit: &str| {
        let fields = "\"session_id\": \"session-7\",|\"number\": 7,|\"role\": \"a\",|\"goal\": \"b\",|\"status\": \"active\",|\
            \"registered_at\": \"2026-11-20T12:00:00Z\",|\"terminal\": \"t\"";
        format!(",\n{unit}\"7\": {{\n{unit}{unit}{}\n{unit}}}\n}}", fields.replace('|', &format!("\n{unit}{unit}")))
    };
    let old = "{\n  \"9\": {\n    \"status\": \"working\",\n    \"role\": \"\\u2192\"\n  }\n}";
    let styles: [(&str, Restyle); 4] = [
        ("as Python writes", str::to_owned),
        ("newline at the end", |text| format!("{text}\n")),
        ("tabs", |text| text.replace("  ", "\t")),
        ("minified", |text| text.replace(['\n', ' '], "")),
    ];
    for (style, styled) in styles {
        let world = registry_of(&styled(old));
        world.registry_run(&["register", "7", "a", "b", "--terminal", "t"]).ends_with(0);
        let full = old.strip_suffix("\n}").unwrap().to_owned() + &new("  ");
        assert_eq!(world.registry_text(), styled(&full), "{style}");
    }
}

#[test]
fn a_registry_with_windows_line_ends_keeps_them_in_what_is_added() {
    let old = "{\r\n  \"9\": {\r\n    \"status\": \"inactive\"\r\n  }\r\n}\r\n";
    let world = registry_of(old);
    world.registry_run(&["register", "9", "a", "b"]).ends_with(0);
    world.registry_run(&["register", "7", "a", "b"]).ends_with(0);
    let text = world.registry_text();
    assert_eq!(text.matches('\n').count(), text.matches("\r\n").count(), "{text:?}");
    assert_eq!(world.status_of(7), "active");
}

#[test]
fn next_takes_the_lowest_number_that_nobody_has() {
    let world = registry(&[
        session(1, "active", 1),
        session(2, "working", LONG),
        session(3, "active", 1),
        session(5, "inactive", LONG),
        session(6, "active", LONG),
    ]);
    let next = |flags: &[&str]| {
        let document = world.registry_document(&[&["register"], flags, &["role", "goal", "--next"]].concat());
        document["number"].as_u64().unwrap()
    };
    assert_eq!([next(&[]), next(&["--no-cleanup"]), next(&[]), next(&[])], [4, 5, 6, 7]);
    assert_eq!(world.status_of(2), "working");
    let world = registry_of(r#"{"1": 7, "2": {"status": "active", "registered_at": "2026-11-20T11:59:00Z"}}"#);
    assert_eq!(world.registry_document(&["register", "role", "goal", "--next"])["number"], 3);
}

#[test]
fn registrations_at_the_same_time_get_a_number_each() {
    const AT_ONCE: usize = 20;
    let world = registry(&[session(3, "working", LONG), session(4, "active", LONG)]);
    let register = |index: usize| {
        let role = format!("role {index}");
        let ran = world.registry_run(&["register", "--next", &role, "goal", "--json", "--wait", "60s"]).ends_with(0);
        let document: Value = serde_json::from_str(&ran.stdout).unwrap();
        (document["number"].as_u64().unwrap(), role)
    };
    let register = &register;
    let mut registered = std::thread::scope(|threads| {
        let all: Vec<_> = (0..AT_ONCE).map(|index| threads.spawn(move || register(index))).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect::<Vec<_>>()
    });
    registered.sort();
    let numbers: Vec<u64> = registered.iter().map(|(number, _)| *number).collect();
    // 4 was not heard of for too long, and 3 is working.
    let expected: Vec<u64> = (1..).filter(|number| *number != 3).take(AT_ONCE).collect();
    assert_eq!(numbers, expected);
    let after = world.registry_json();
    for (number, role) in &registered {
        let entry = &after[number.to_string()];
        assert_eq!((&entry["role"], &entry["status"]), (&json!(role), &json!("active")));
    }
    assert_eq!((after.as_object().unwrap().len(), names_in(&world.beats()).len()), (AT_ONCE + 1, AT_ONCE));
    assert_eq!(
        names_in(&world.base()),
        [".session-sweep", "claude_sessions.json", "claude_sessions.lock", "heartbeats"]
    );
}

#[test]
fn a_registry_that_cannot_be_written_stays_and_the_file_is_named() {
    let world = registry(&[session(1, "active", LONG), session(2, "inactive", LONG)]);
    let before = world.registry_state();
    set_mode(&world.base(), 0o500);
    for command in [&["register", "2", "a", "b"][..], &["cleanup"], &["release", "1"]] {
        let command = world.command(&[&["registry"], command].concat());
        let ran = Ran::of(&mut as_ordinary_user(&world, &command)).ends_with(1);
        assert!(ran.stderr.contains(world.base().to_str().unwrap()), "{ran:?}");
        assert!(ran.stderr.contains("Permission denied"), "{ran:?}");
    }
    set_mode(&world.base(), 0o700);
    assert_eq!(world.registry_state(), before);
}

#[test]
fn the_folder_of_heartbeats_may_be_no_folder() {
    let world = registry(&[session(1, "active", 1)]);
    fs_err::write(world.beats(), "mine").unwrap();
    let ran = world.registry_run(&["register", "2", "a", "b"]).ends_with(1);
    assert!(ran.stderr.contains("heartbeats"), "{ran:?}");
    assert_eq!(fs_err::read_to_string(world.beats()).unwrap(), "mine");
}

// ---- release

#[test]
fn a_release_ends_a_session_now() {
    let world = registry(&[session(1, "active", 1), session(2, "working", 1), session(3, "active", 1)]);
    let text = world.registry_text();
    let ran = world.registry_run(&["release", "1"]).ends_with(0);
    assert!(ran.stdout.contains("session 1 has ended"), "{ran:?}");
    let ended = |text: &str, number: u32, status: &str| {
        let status = format!("\"status\": \"{status}\",\n    \"terminal\": \"s{number:03}\"");
        let mark = "\"marked_inactive_at\": \"2026-11-20T12:00:00Z\"";
        let inactive = format!("\"status\": \"inactive\",\n    \"terminal\": \"s{number:03}\",\n    {mark}");
        assert!(text.contains(&status), "{text}");
        text.replace(&status, &inactive)
    };
    let text = ended(&text, 1, "active");
    assert_eq!(world.registry_text(), text);
    let document = world.registry_document(&["release", "2"]);
    let expected = json!({
        "schema": 1, "command": "registry release", "number": 2, "session_id": "session-2", "role": "Role 2",
        "goal": "Goal 2", "status": "inactive", "terminal": "s002", "beat": null, "changed": true,
    });
    assert_eq!(document, expected);
    assert_eq!(world.registry_text(), ended(&text, 2, "working"));
    assert!(!world.beats().exists(), "a session that ended gives no sign of life");
}

#[test]
fn to_release_what_has_ended_or_is_unknown_changes_nothing() {
    let world = registry(&[session(1, "inactive", LONG), session(2, "active", 1)]);
    let before = world.registry_state();
    let ran = world.registry_run(&["release", "1"]).ends_with(0);
    assert!(ran.stdout.contains("session 1 had ended before"), "{ran:?}");
    assert_eq!(world.registry_document(&["release", "1"])["changed"], false);
    let ran = world.registry_run(&["release", "3"]).ends_with(1);
    assert!(ran.stderr.contains("there is no session 3 in "), "{ran:?}");
    assert!(ran.stderr.contains("`session-sweep registry list --all`"), "{ran:?}");
    assert_eq!(world.registry_state(), before);
    Ran::of(&mut world.command_at_present(&["registry", "release"])).ends_with(2);
}

#[test]
fn a_released_number_can_be_had_again_at_once() {
    let world = registry(&[session(1, "active", 1)]);
    world.registry_run(&["register", "1", "a", "b"]).ends_with(1);
    world.registry_run(&["release", "1"]).ends_with(0);
    world.registry_run(&["register", "1", "a", "b"]).ends_with(0);
    assert_eq!(world.registry_json()["1"].get("marked_inactive_at"), None);
}

#[test]
fn a_release_takes_the_number_out_of_the_scripts_files_where_they_name_it() {
    for (named, is_there) in [("1", false), ("2", true)] {
        let world = registry(&[session(1, "active", 1), session(2, "active", 1)]);
        let files = [
            (".session_identity", format!("{named}\n")),
            (".session_env", format!("export FPAI_SESSION_NUMBER={named}\n")),
            (".current_session", format!("session-{named}")),
        ];
        for (name, text) in &files {
            fs_err::write(world.base().join(name), text).unwrap();
        }
        world.registry_run(&["release", "1"]).ends_with(0);
        for (name, _) in &files {
            assert_eq!(world.base().join(name).exists(), is_there, "{name} {named}");
        }
    }
}

// ---- all of them

#[test]
fn a_wrong_flag_ends_with_2_and_names_the_right_one() {
    let world = registry(&[session(1, "active", LONG)]);
    let before = tree_of(world.root());
    for (arguments, words) in [
        (&["lst"][..], "list"),
        (&["list", "--al"], "--all"),
        (&["release", "1", "--forse"], "unexpected argument"),
        (&["cleanup", "--prune-heartbeat", "2d"], "--prune-heartbeats"),
        (&["list", "--wait", "1s"], "unexpected argument"),
        (&["cleanup", "--wait", "0s"], "never"),
    ] {
        let ran = world.registry_run(arguments).ends_with(2);
        assert!(ran.stderr.contains(words), "{ran:?}");
    }
    Ran::of(&mut world.command_at_present(&["registry"])).ends_with(2);
    assert_untouched(&before, world.root());
}

#[test]
fn the_commands_as_text() {
    let world = registry(&[
        session(1, "active", 1),
        session(2, "working", 30),
        session(3, "active", LONG),
        named(4, "mind", 3),
        session(5, "inactive", LONG),
    ]);
    settled(&world, || {
        let run = |arguments: &[&str]| shown(&world.registry_run(arguments));
        let pretty = |arguments: &[&str]| serde_json::to_string_pretty(&world.registry_document(arguments)).unwrap();
        assert_snapshot!("registry_register_taken", run(&["register", "2", "Painter", "Paint", "--terminal", "s9"]));
        assert_snapshot!("registry_register", run(&["register", "3", "Painter", "Paint \"it\"", "--terminal", "s9"]));
        assert_snapshot!(
            "registry_register_json",
            pretty(&["register", "--next", "--terminal", "s5", "--session-id=x", "R", "G"])
        );
        assert_snapshot!("registry_list_after", run(&["list"]));
        assert_snapshot!("registry_release", run(&["release", "4"]));
        assert_snapshot!("registry_release_again", run(&["release", "4"]));
        assert_snapshot!("registry_release_json", pretty(&["release", "1"]));
        assert_snapshot!("registry_release_unknown", run(&["release", "77"]));
        assert_snapshot!("registry_text_after", world.registry_text());
        fs_err::write(world.registry_path(), "[]").unwrap();
        assert_snapshot!("registry_error_invalid", run(&["list"]));
        fs_err::remove_file(world.registry_path()).unwrap();
        assert_snapshot!("registry_error_missing", run(&["cleanup"]));
    });
}

#[test]
fn wrong_usage_of_the_registry_is_explained() {
    let world = registry(&[]);
    let usage: [&[&str]; 12] = [
        &["register", "07", "role", "goal"],
        &["register", "5", "role"],
        &["register", "--next", "5", "role", "goal"],
        &["release", "abc"],
        &["cleanup", "--timeout-minutes", "090"],
        &["cleanup", "--timeout-minutes", "-5"],
        &["cleanup", "--timeout-minutes", "1.5"],
        &["cleanup", "--timeout", "120"],
        &["cleanup", "--timeout"],
        &["cleanup", "--timeout", "1h", "--timeout-minutes", "60"],
        &["cleanup", "--prune-heartbeats", "0d"],
        &["clean"],
    ];
    let text = usage.map(|arguments| {
        let arguments = [&["registry"], arguments].concat();
        let ran = Ran::of(&mut world.command_at_present(&arguments)).ends_with(2);
        assert_eq!(ran.stdout, "");
        format!("$ session-sweep {}\n{}", arguments.join(" "), ran.stderr)
    });
    settled(&world, || assert_snapshot!("registry_usage_errors", text.join("\n")));
}

#[test]
fn the_help_of_every_registry_command() {
    let world = World::new();
    settled(&world, || {
        for command in ["", "list", "register", "identify", "heartbeat", "cleanup", "release"] {
            let words: Vec<&str> =
                ["registry", command, "--help"].into_iter().filter(|word| !word.is_empty()).collect();
            let ran = Ran::of(&mut world.command_at_present(&words)).ends_with(0);
            let widest = ran.stdout.lines().map(|line| line.chars().count()).max();
            assert!(widest <= Some(100), "{command}: {widest:?}");
            assert_snapshot!(format!("help_registry_{command}").trim_end_matches('_'), ran.stdout);
        }
    });
}

#[test]
fn a_registry_that_is_enabled_and_has_no_file_yet_is_not_told_as_one_that_is_off() {
    let mut world = World::new();
    assert!(world.run(&["audit"]).stdout.contains("not enabled: registry, "));
    world.variable("SESSION_SWEEP_REGISTRY_ENABLED", "true");
    world.variable("SESSION_SWEEP_REGISTRY_BASE", world.root().join("claude_sessions"));
    let audit = world.run(&["audit"]).stdout;
    assert!(
        audit.contains("registry     nothing there yet\n") && audit.contains("not enabled: processes, "),
        "{audit}"
    );
}
