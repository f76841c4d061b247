use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::json::{Members, Object};
use crate::processes::records::{Beat, Ended, RecordsError, Registered, Time};

const MINUTE: Duration = Duration::from_secs(60);

fn set(text: &str, of: &str, to: &str) -> String {
    assert!(text.contains(of), "{text}");
    text.replace(of, to)
}

#[test]
fn a_first_registration_writes_the_originals_form_for_the_owner_alone() {
    let world = World::new();
    let (session, process) = (id(ID), process(500, 77));
    let new = Registration { transcript_path: Some("/t.jsonl"), ..registration(&session, Some(&process), noon(0)) };
    assert_eq!(world.hold().register(&new).unwrap(), Registered::New);
    let text = format!(
        "{{\n  \"session_id\": \"{ID}\",\n  \"pid\": 500,\n  \"ppid\": 499,\n  \"start_time\": \"2026-11-20T12:00:00Z\",\n  \
         \"hostname\": \"host\",\n  \"working_dir\": \"/home/u/a \\\"project\\\"\",\n  \
         \"last_heartbeat\": \"2026-11-20T12:00:00Z\",\n  \"platform\": \"linux\",\n  \"proc_start\": 77,\n  \
         \"boot_id\": \"b007\",\n  \"pid_namespace\": 4026531836,\n  \"provider\": \"claude\",\n  \
         \"transcript_path\": \"/t.jsonl\"\n}}\n"
    );
    assert_eq!(world.text(ID), text);
    let mode = |path| fs_err::metadata(path).unwrap().mode() & 0o7777;
    assert_eq!((mode(world.path(ID)), mode(world.metadata_path(ID))), (0o700, 0o600));
    assert_eq!(fs_err::read_dir(world.path(ID)).unwrap().count(), 1);
    assert!(!world.path("registry.jsonl").exists());
    let record = world.only();
    assert_eq!((record.pid, record.process), (Some(500), process.mark));
    assert_eq!((record.provider.as_deref(), record.transcript_path.as_deref()), (Some("claude"), Some("/t.jsonl")));
}

#[test]
fn the_same_process_keeps_its_start_and_another_one_gets_its_own() {
    let world = World::new();
    let (session, first, second) = (id(ID), process(500, 77), process(500, 78));
    let register = |process, second| world.hold().register(&registration(&session, process, noon(second))).unwrap();
    let times = || (world.only().start_time, world.only().last_heartbeat);
    assert_eq!(register(Some(&first), 0), Registered::New);
    assert_eq!(register(Some(&first), 10), Registered::Again);
    assert_eq!(times(), (Time::At(noon(0)), Time::At(noon(10))));
    assert_eq!(register(Some(&second), 20), Registered::Replaced);
    assert_eq!(times(), (Time::At(noon(20)), Time::At(noon(20))));
    assert_eq!(world.only().process, second.mark);
    // A process that is not known is not the one before.
    assert_eq!(register(None, 30), Registered::Replaced);
    let record = world.only();
    assert_eq!((record.pid, record.process, times().0), (None, None, Time::At(noon(30))));
    assert!(!world.text(ID).contains("pid"));
    // A start that is none, or is yet to come, does not stay.
    for start in ["\"later\"", "\"2027-01-01T00:00:00Z\"", "null"] {
        register(Some(&first), 40);
        world.metadata(
            ID,
            set(&world.text(ID), "\"2026-11-20T12:00:40Z\",\n  \"hostname\"", &format!("{start},\n  \"hostname\"")),
        );
        assert_eq!(register(Some(&first), 50), Registered::Again);
        assert_eq!(times().0, Time::At(noon(50)));
        fs_err::remove_file(world.metadata_path(ID)).unwrap();
    }
}

#[test]
fn a_session_that_goes_on_has_not_ended() {
    for (name, status) in
        [("5b0e7c1d-8c55-4a0c-8f6d-9f3c3a9f0c21", "completed"), ("c0ffee00-1111-4222-8333-444455556666", "stopped")]
    {
        let world = World::new();
        let text = fs_err::read_to_string(format!("tests/fixtures/janitor/claude-home/sessions/{name}/metadata.json"))
            .unwrap();
        world.metadata(name, text.replace("\"ppid\"", "\"theirs\" : [1,  2],\n  \"ppid\""));
        assert_eq!(world.only().status.as_deref(), Some(status));
        let (session, process) = (id(name), process(500, 77));
        assert_eq!(
            world.hold().register(&registration(&session, Some(&process), noon(0))).unwrap(),
            Registered::Replaced
        );
        let record = world.only();
        assert_eq!((record.pid, record.status, &record.process), (Some(500), None, &process.mark));
        assert_eq!((record.end_time, record.stop_time), (Time::Absent, Time::Absent));
        let text = world.text(name);
        assert!(text.contains("\n  \"theirs\" : [1,  2],\n"), "{text}");
        assert_eq!(text.lines().count(), 15, "{text}");
    }
}

#[test]
fn signs_of_life_are_written_no_closer_than_the_interval() {
    let world = World::new();
    let (session, process) = (id(ID), process(500, 77));
    let beat = |second| world.hold().beat(&sign(&session, Some(&process), noon(second)), MINUTE).unwrap();
    assert_eq!(beat(0), Beat::Missing);
    assert!(!world.records.folder().exists());
    world.hold().register(&registration(&session, Some(&process), noon(0))).unwrap();
    let (before, text) = (fs_err::metadata(world.metadata_path(ID)).unwrap(), world.text(ID));
    assert_eq!((beat(0), beat(59)), (Beat::Recent, Beat::Recent));
    let after = fs_err::metadata(world.metadata_path(ID)).unwrap();
    assert_eq!((before.ino(), before.ctime_nsec()), (after.ino(), after.ctime_nsec()));
    assert_eq!(beat(60), Beat::Written);
    let at = "\"last_heartbeat\": \"2026-11-20T12:00:00Z\"";
    assert_eq!(world.text(ID), set(&text, at, &at.replace("12:00", "12:01")));
    // What is yet to come, or is no time, is no last sign.
    for last in ["\"2027-01-01T00:00:00Z\"", "\"soon\"", "7", "null"] {
        world.metadata(ID, set(&text, at, &format!("\"last_heartbeat\": {last}")));
        assert_eq!(beat(5), Beat::Written);
        assert_eq!(world.only().last_heartbeat, Time::At(noon(5)));
    }
    world.metadata(ID, set(&text, &format!("  {at},\n"), ""));
    assert_eq!(beat(5), Beat::Written);
    assert_eq!(world.only().last_heartbeat, Time::At(noon(5)));
    let always = world.hold().beat(&sign(&session, None, noon(5)), Duration::ZERO).unwrap();
    assert_eq!(always, Beat::Written);
    assert_eq!(world.hold().beat(&sign(&session, None, noon(9)), Duration::MAX).unwrap(), Beat::Recent);
}

#[test]
fn a_sign_of_another_process_is_for_the_caller_to_register() {
    let world = World::new();
    let (session, one, other) = (id(ID), process(500, 77), process(501, 77));
    let beat =
        |process: Option<&SessionProcess>| world.hold().beat(&sign(&session, process, noon(300)), MINUTE).unwrap();
    world.hold().register(&registration(&session, Some(&one), noon(0))).unwrap();
    let text = world.text(ID);
    assert_eq!(beat(Some(&other)), Beat::AnotherProcess);
    assert_eq!(world.text(ID), text);
    // What the original noted is the hook's own shell, and no proof of any process.
    world.metadata(ID, "{\"pid\": 500}");
    assert_eq!(beat(Some(&one)), Beat::AnotherProcess);
    let uncertain = SessionProcess { mark: None, ..one };
    assert_eq!(beat(Some(&uncertain)), Beat::Written);
    world.metadata(ID, text);
    assert_eq!(beat(None), Beat::Written);
}

#[test]
fn a_session_that_has_ended_comes_back_by_its_own_process_after_a_minute_alone() {
    let world = World::new();
    let (session, process, other) = (id(ID), process(500, 77), process(501, 1));
    let beat = |process, second| world.hold().beat(&sign(&session, process, noon(second)), MINUTE).unwrap();
    world.hold().register(&registration(&session, Some(&process), noon(0))).unwrap();
    let running = world.text(ID);
    assert_eq!(
        world.hold().end(&sign(&session, Some(&process), noon(100)), Some("logout"), &|_| false).unwrap(),
        Ended::Written
    );
    let ended = world.text(ID);
    let record = world.only();
    assert_eq!((record.is_completed(), record.end_time), (true, Time::At(noon(100))));
    assert!(ended.contains("\"end_reason\": \"logout\""));
    // A hook that began before the end, from whatever process; and a clock that was put back.
    for second in [-5_000, 99, 100, 160] {
        for process in [Some(&process), Some(&other), None] {
            assert_eq!(beat(process, second), Beat::Completed);
        }
    }
    assert_eq!(beat(None, 90_000), Beat::Completed);
    assert_eq!(beat(Some(&other), 161), Beat::AnotherProcess);
    assert_eq!(world.text(ID), ended);
    assert_eq!(beat(Some(&process), 161), Beat::Written);
    assert_eq!(
        world.text(ID),
        set(&running, "\"last_heartbeat\": \"2026-11-20T12:00:00Z\"", "\"last_heartbeat\": \"2026-11-20T12:02:41Z\"")
    );
    // Ended, nobody knows when.
    for end in ["null", "\"then\""] {
        let unknown = set(&ended, "\"2026-11-20T12:01:40Z\"", end);
        world.metadata(ID, &unknown);
        assert_eq!(beat(Some(&process), 90_000), Beat::Completed);
    }
}

#[test]
fn a_turn_that_ended_is_no_end() {
    let world = World::new();
    let (session, process) = (id(ID), process(500, 77));
    world.hold().register(&registration(&session, Some(&process), noon(0))).unwrap();
    let running = world.text(ID);
    world.metadata(
        ID,
        set(&running, "\n}\n", ",\n  \"stop_time\": \"2026-11-20T12:00:01Z\",\n  \"status\": \"stopped\"\n}\n"),
    );
    assert_eq!(world.hold().beat(&sign(&session, Some(&process), noon(2)), MINUTE).unwrap(), Beat::Written);
    assert_eq!(
        world.text(ID),
        set(&running, "\"last_heartbeat\": \"2026-11-20T12:00:00Z\"", "\"last_heartbeat\": \"2026-11-20T12:00:02Z\"")
    );
    world.metadata(ID, set(&running, "\n}\n", ",\n  \"status\": \"active\"\n}\n"));
    assert_eq!(world.hold().beat(&sign(&session, Some(&process), noon(2)), MINUTE).unwrap(), Beat::Recent);
}

#[test]
fn the_first_end_counts_and_only_that_of_the_process_that_has_the_session() {
    let world = World::new();
    let (session, one, other) = (id(ID), process(500, 77), process(501, 1));
    let end = |process, second| world.hold().end(&sign(&session, process, noon(second)), None, &|_| false).unwrap();
    assert_eq!(end(Some(&one), 0), Ended::Missing);
    assert!(!world.records.folder().exists());
    world.hold().register(&registration(&session, Some(&one), noon(0))).unwrap();
    // It was resumed elsewhere before this one came to its end.
    let text = world.text(ID);
    assert_eq!(end(Some(&other), 5), Ended::AnotherProcess);
    // Nobody known says so while its process runs.
    let runs = world.hold().end(&sign(&session, None, noon(5)), None, &|record| record.pid == Some(500)).unwrap();
    assert_eq!(runs, Ended::AnotherProcess);
    assert_eq!(world.text(ID), text);
    assert_eq!(
        (end(Some(&one), 10), end(Some(&one), 20), end(None, 30)),
        (Ended::Written, Ended::Already, Ended::Already)
    );
    assert_eq!(world.only().end_time, Time::At(noon(10)));
    // The original's records end too, and one that says so without a time gets one.
    world.metadata(ID, "{\"pid\": 7, \"status\": \"completed\"}");
    assert_eq!(end(Some(&one), 40), Ended::Written);
    assert_eq!(world.text(ID), "{\"pid\": 7, \"status\": \"completed\", \"end_time\": \"2026-11-20T12:00:40Z\"}");
}

#[test]
fn what_makes_no_sense_is_never_overwritten() {
    let (session, process) = (id(ID), process(500, 77));
    let world = World::new();
    let held = world.hold();
    let register = || held.register(&registration(&session, Some(&process), noon(0))).unwrap_err();
    let check = |text: &[u8], error: RecordsError| {
        let (path, error) = (world.metadata_path(ID), error.to_string());
        assert!(error.contains(path.to_str().unwrap()) && error.contains("put it right, or move it away"), "{error}");
        assert_eq!(fs_err::read(&path).unwrap(), text);
    };
    for text in [&b"{\"working_dir\": \"/a\"b\"}"[..], b"{\"pid\": 1, \"pid\": 2}"] {
        world.metadata(ID, text);
        check(text, register());
    }
    let another = b"{\"session_id\": \"y\"}";
    world.metadata(ID, another);
    check(another, register());
    check(another, held.beat(&sign(&session, None, noon(0)), MINUTE).unwrap_err());
    check(another, held.end(&sign(&session, None, noon(0)), None, &|_| false).unwrap_err());
    world.metadata(ID, "{\"session_id\": null}");
    held.register(&registration(&session, Some(&process), noon(0))).unwrap();
}

#[test]
fn nothing_is_written_through_a_link_or_over_what_is_no_file() {
    let (session, process) = (id(ID), process(500, 77));
    let elsewhere = tempfile::tempdir().unwrap();
    let target = elsewhere.path().join("metadata.json");
    fs_err::write(&target, "{}").unwrap();
    let try_all = |world: &World| {
        let held = world.hold();
        let errors = [
            held.register(&registration(&session, Some(&process), noon(0))).unwrap_err(),
            held.beat(&sign(&session, None, noon(0)), MINUTE).unwrap_err(),
            held.end(&sign(&session, None, noon(0)), None, &|_| false).unwrap_err(),
        ];
        for error in errors.map(|error| error.to_string()) {
            assert!(error.contains("is not touched: it is "), "{error}");
        }
        assert_eq!(fs_err::read(&target).unwrap(), b"{}");
        assert_eq!(fs_err::read_dir(elsewhere.path()).unwrap().count(), 1);
    };
    for link in [elsewhere.path(), &elsewhere.path().join("nowhere")] {
        let world = World::new();
        fs_err::create_dir(world.records.folder()).unwrap();
        fs_err::os::unix::fs::symlink(link, world.path(ID)).unwrap();
        try_all(&world);
    }
    for link in [&target, &elsewhere.path().join("nowhere.json")] {
        let world = World::new();
        fs_err::create_dir_all(world.path(ID)).unwrap();
        fs_err::os::unix::fs::symlink(link, world.metadata_path(ID)).unwrap();
        try_all(&world);
    }
    let world = World::new();
    fs_err::create_dir_all(world.metadata_path(ID)).unwrap();
    try_all(&world);
    let world = World::new();
    world.file(ID, "a file");
    try_all(&world);
}

#[test]
fn another_run_is_waited_for_or_named() {
    let world = World::new();
    let _held = world.hold();
    let policy = LockPolicy { wait: None, program: "test", now: noon(0), on_wait: |_| {}, in_an_item: false };
    let lock = world.folder.path().join("state/processes.lock");
    let error = world.records.lock(&lock, policy).map(drop).unwrap_err();
    assert!(error.to_string().contains("is locked by pid"), "{error}");
}

#[test]
fn what_a_killed_run_left_goes_with_the_next_write() {
    let world = World::new();
    let (session, process) = (id(ID), process(500, 77));
    world.file(&format!("{ID}/{}", left_by_a_dead_run()), "{");
    world.file(&format!("{ID}/notes.md"), "theirs");
    world.hold().register(&registration(&session, Some(&process), noon(0))).unwrap();
    assert_eq!(fs_err::read_dir(world.path(ID)).unwrap().count(), 2);
}

proptest! {
    /// Members that are not known survive a session's whole life, as they were written.
    #[test]
    fn what_is_not_understood_survives_byte_for_byte(
        members in prop::collection::vec(("[a-z_]{1,12}|end_time|status|pid|stop_time|ppid", member()), 0..12),
        style in 0..3_usize,
    ) {
        let known = ["session_id", "pid", "ppid", "start_time", "hostname", "working_dir", "last_heartbeat", "platform", "proc_start",
            "boot_id", "pid_namespace", "provider", "transcript_path", "end_time", "stop_time", "status", "end_reason"];
        let mut seen = std::collections::BTreeSet::new();
        let members: Vec<(String, String)> = members.into_iter().filter(|(key, _)| seen.insert(key.clone()))
            .map(|(key, value)| (key.clone(), format!("\"{key}\"{}{value}", [":", ": ", " :\t"][style])))
            .collect();
        let (open, comma, close) = [("{", ",", "}"), ("{\n  ", ",\n  ", "\n}\n"), ("\r\n{ ", "\t,\r\n", " } \n")][style];
        let text = members.iter().map(|(_, written)| written.as_str()).collect::<Vec<_>>().join(comma);
        let world = World::new();
        world.metadata(ID, format!("{open}{text}{close}"));
        let (session, process) = (id(ID), process(500, 77));
        let held = world.hold();
        let unknown: Vec<&String> = members.iter().filter(|(key, _)| !known.contains(&key.as_str())).map(|(_, written)| written).collect();
        let check = || {
            let text = world.text(ID);
            // In the order in which they stood.
            let mut rest = text.as_str();
            for written in &unknown {
                let at = rest.find(written.as_str());
                assert!(at.is_some(), "{written} is gone from {text}");
                rest = &rest[at.unwrap() + written.len()..];
            }
            let object = Object::parse(text.as_bytes()).unwrap();
            let [id, pid, last, status] = ["session_id", "pid", "last_heartbeat", "status"].map(|key| object.value(key));
            assert!(id == Some(json!(ID)) && pid == Some(json!(500)), "{text}");
            (serde_json::from_str::<Members<'_>>(&text).unwrap().0.len(), last, status)
        };
        held.register(&registration(&session, Some(&process), noon(0))).unwrap();
        prop_assert_eq!(check(), (unknown.len() + 12, Some(json!("2026-11-20T12:00:00Z")), None));
        prop_assert_eq!(held.beat(&sign(&session, Some(&process), noon(90)), MINUTE).unwrap(), Beat::Written);
        prop_assert_eq!(check().1, Some(json!("2026-11-20T12:01:30Z")));
        prop_assert_eq!(held.end(&sign(&session, Some(&process), noon(95)), Some("other"), &|_| false).unwrap(), Ended::Written);
        prop_assert_eq!(check().2, Some(json!("completed")));
        let ended = world.text(ID);
        // And back: registering again takes away what ending brought.
        held.register(&registration(&session, Some(&process), noon(99))).unwrap();
        prop_assert_eq!(check().0, unknown.len() + 12);
        prop_assert!(ended.len() > world.text(ID).len());
    }
}

/// Some value, written somehow.
fn member() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,6}".prop_map(|text| Value::from(text).to_string()),
        Just("\"\\u00e9\\/\"".to_owned()),
        Just("1e999".to_owned()),
        Just("-0.10".to_owned()),
        Just("12345678901234567890123".to_owned()),
        Just("{\"a\" :1,\n\"a\":[ ]}".to_owned()),
        Just("null".to_owned()),
        Just("[1,  {}]".to_owned()),
    ]
}
