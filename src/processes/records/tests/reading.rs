use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;

use rustix::fs::{CWD, inotify, mknodat};

use super::*;
use crate::processes::records::{Source, Time};

fn doubt(world: &World) -> String {
    world.only().doubt.unwrap()
}

#[test]
fn what_the_original_left_is_read() {
    let records = Records::at("tests/fixtures/janitor/claude-home/sessions".into(), None);
    let (found, problems) = records.read();
    assert_eq!(problems, Vec::<String>::new());
    let ids = [
        "5b0e7c1d-8c55-4a0c-8f6d-9f3c3a9f0c21",
        "7b1c9a34-0d9e-4a53-9a1f-5f1f8a0f3f10",
        "c0ffee00-1111-4222-8333-444455556666",
    ];
    assert_eq!(found.iter().map(|record| record.session_id.as_str()).collect::<Vec<_>>(), ids);
    for record in &found {
        assert_eq!((record.pid, record.process.as_ref(), &record.doubt), (Some(48574), None, &None));
        assert_eq!(record.start_time, Time::At("2026-01-22T11:29:00Z".parse().unwrap()));
        assert_eq!(record.last_heartbeat, Time::At("2026-01-22T11:35:00Z".parse().unwrap()));
        assert_eq!(
            (record.hostname.as_deref(), record.working_dir.as_deref()),
            (Some("macbook.local"), Some("/Users/u/proj"))
        );
    }
    let ends =
        |record: &Record| (record.status.clone(), record.end_time.at().is_some(), record.stop_time.at().is_some());
    assert_eq!(ends(&found[0]), (Some("completed".to_owned()), true, false));
    assert_eq!(ends(&found[1]), (None, false, false));
    assert_eq!(ends(&found[2]), (Some("stopped".to_owned()), false, true));
}

#[test]
fn what_the_originals_readme_shows_is_read() {
    let world = World::new();
    world.metadata("abc123-def456", include_str!("../../../../tests/fixtures/janitor/README-variant-metadata.json"));
    let record = world.only();
    assert_eq!((record.pid, record.status.as_deref(), record.doubt), (Some(12345), Some("active"), None));
    assert_eq!(record.end_time, Time::Absent);
}

#[test]
fn there_is_nothing_where_there_is_no_folder() {
    let world = World::new();
    assert_eq!(world.records.read(), (Vec::new(), Vec::new()));
    fs_err::write(world.records.folder(), "").unwrap();
    let (records, problems) = world.records.read();
    assert_eq!((records.len(), problems.len()), (0, 1));
    assert!(
        problems[0].contains("cannot look into") && problems[0].contains("sessions: Not a directory"),
        "{problems:?}"
    );
}

#[test]
fn what_makes_no_sense_is_a_record_in_doubt() {
    for (text, why) in [
        ("", "empty"),
        ("{\"session_id\": \"x\", \"working_dir\": \"/a\"b\"}", "not valid JSON"),
        ("{\n  \"pid\": 5", "EOF"),
        ("[]", "a list"),
        ("{\"pid\": 5, \"pid\": 6}", "twice"),
        ("{\"session_id\": \"y\"}", "another session's metadata: y"),
        ("{\"session_id\": 5}", "session_id is no text: 5"),
        ("{\"pid\": \"5\"}", "pid is no number of that kind: \"5\""),
        ("{\"pid\": -5}", "pid is no number of that kind: -5"),
        ("{\"pid\": 5.5}", "pid is no number of that kind: 5.5"),
        ("{\"pid\": 0}", "pid is no process's: 0"),
        ("{\"pid\": 4194305}", "pid is no process's: 4194305"),
        ("{\"pid\": 99999999999999999999999}", "pid is no number"),
        ("{\"pid\": 1e999}", "pid cannot be read"),
        ("{\"proc_start\": \"7\"}", "proc_start is no number"),
        ("{\"boot_id\": 7}", "boot_id is no text: 7"),
        ("{\"hostname\": {}}", "hostname is no text: {}"),
        ("{\"status\": \"\\ud800\"}", "status cannot be read"),
    ] {
        let world = World::new();
        world.metadata("x", text);
        let doubt = doubt(&world);
        assert!(doubt.contains(why), "{text}: {doubt}");
        let record = world.only();
        assert!(record.pid.is_none_or(|pid| pid == 5) && record.process.is_none(), "{text}");
    }
    let world = World::new();
    world.metadata("x", b"\xff");
    assert!(doubt(&world).contains("UTF-8"));
    world.metadata("x", " ".repeat(300 * 1024));
    assert!(doubt(&world).contains("cannot be read: it is too large"));
}

#[test]
fn absent_and_unreadable_times_are_told_apart() {
    let world = World::new();
    world.metadata(
        "x",
        "{\"start_time\": \"2026-11-20T12:00:00\", \"last_heartbeat\": \"yesterday\", \"end_time\": null, \"stop_time\": 17951760}",
    );
    let record = world.only();
    assert_eq!(record.doubt, None);
    assert_eq!(record.start_time, Time::At(noon(0)));
    assert_eq!(record.last_heartbeat, Time::Unreadable("yesterday".to_owned()));
    assert_eq!(record.end_time, Time::Absent);
    assert_eq!(record.stop_time, Time::Unreadable("17951760".to_owned()));
    world.metadata("x", format!("{{\"start_time\": \"{}\"}}", "é".repeat(9_999)));
    assert_eq!(world.only().start_time, Time::Unreadable("é".repeat(64)));
}

#[test]
fn a_process_is_marked_by_its_start_and_its_boot() {
    let world = World::new();
    world.metadata("x", "{\"pid\": 7, \"proc_start\": 8, \"boot_id\": \"b\", \"pid_namespace\": null}");
    let mark = ProcessMark { start_ticks: 8, boot_id: "b".to_owned(), pid_namespace: None };
    assert_eq!(world.only().process, Some(mark.clone()));
    let elsewhere = ProcessMark { pid_namespace: Some(1), ..mark.clone() };
    assert!(mark.is_same(&elsewhere) && !elsewhere.is_same(&ProcessMark { pid_namespace: Some(2), ..mark.clone() }));
    assert!(!mark.is_same(&ProcessMark { start_ticks: 9, ..mark.clone() }));
    assert!(!mark.is_same(&ProcessMark { boot_id: "c".to_owned(), ..mark.clone() }));
    for half in ["{\"pid\": 7, \"proc_start\": 8}", "{\"pid\": 7, \"boot_id\": \"b\"}"] {
        world.metadata("x", half);
        assert_eq!((world.only().process, world.only().doubt), (None, None));
    }
}

#[test]
fn a_folder_without_metadata_is_looked_up_in_the_registry() {
    let world = World::new();
    let entry = |pid: u32| {
        format!(
            "{{\n  \"session_id\": \"{ID}\",\n  \"pid\": {pid},\n  \"last_heartbeat\": \"2026-11-20T12:00:00Z\",\n  \"start_time\": \"2026-11-20T12:00:00Z\"\n}}\n"
        )
    };
    let gone = "{\"session_id\": \"gone\", \"pid\": 9}\n";
    world.file("registry.jsonl", format!("{}{gone}{}", entry(1), entry(2)));
    for name in [ID, "others"] {
        fs_err::create_dir(world.path(name)).unwrap();
    }
    let record = world.only();
    assert_eq!((record.pid, record.source, record.doubt), (Some(2), Source::Registry, None));
    assert_eq!((record.start_time, record.last_heartbeat), (Time::At(noon(0)), Time::Absent));
    // Among the files of somebody else it is nothing that could be cleaned up; with a file of the original's it is.
    world.file(&format!("{ID}/notes.md"), "");
    assert_eq!(world.records.read(), (Vec::new(), Vec::new()));
    world.file(&format!("{ID}/heartbeat.pid"), "5\n");
    assert_eq!(world.only().pid, Some(2));
    // What is torn is said; what is whole counts.
    world.file("registry.jsonl", format!("{}{}", entry(2), &entry(3)[..30]));
    let (records, problems) = world.records.read();
    assert_eq!(records[0].pid, Some(2));
    assert!(problems[0].ends_with("registry.jsonl: 1 entry makes no sense, the first at line 7"), "{problems:?}");
    world.metadata(ID, "{\"pid\": 4}");
    fs_err::remove_dir(world.path("others")).unwrap();
    assert_eq!(world.only().pid, Some(4));
}

#[test]
fn a_registry_elsewhere_is_read_there_and_one_that_cannot_be_read_is_said() {
    let world = World::new();
    fs_err::create_dir_all(world.path(ID)).unwrap();
    let elsewhere = world.folder.path().join("elsewhere.jsonl");
    let records = Records::at(world.records.folder().to_owned(), Some(elsewhere.clone()));
    assert_eq!(records.read(), (Vec::new(), Vec::new()));
    fs_err::write(&elsewhere, format!("{{\"session_id\": \"{ID}\", \"pid\": 3}}")).unwrap();
    assert_eq!(records.read().0[0].pid, Some(3));
    fs_err::os::unix::fs::symlink(&elsewhere, world.path("registry.jsonl")).unwrap();
    let (found, problems) = world.records.read();
    assert!(found.is_empty() && problems[0].contains("a link or no regular file"), "{problems:?}");
    fs_err::remove_file(world.path("registry.jsonl")).unwrap();
    mknodat(CWD, world.path("registry.jsonl"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let (found, problems) = world.records.read();
    assert!(found.is_empty() && problems[0].contains("a link or no regular file"), "{problems:?}");
}

#[test]
fn links_and_what_is_no_file_are_ignored_with_a_problem() {
    let world = World::new();
    let real = world.folder.path().join("real");
    fs_err::create_dir(&real).unwrap();
    fs_err::write(real.join("metadata.json"), "{\"pid\": 5}").unwrap();
    for name in ["file", "fifo", "folder"] {
        fs_err::create_dir_all(world.path(name)).unwrap();
    }
    fs_err::os::unix::fs::symlink(&real, world.path("link")).unwrap();
    fs_err::os::unix::fs::symlink("nowhere", world.path("nowhere")).unwrap();
    fs_err::os::unix::fs::symlink(real.join("metadata.json"), world.metadata_path("file")).unwrap();
    mknodat(CWD, world.metadata_path("fifo"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    fs_err::create_dir(world.metadata_path("folder")).unwrap();
    let (records, problems) = world.records.read();
    assert!(records.is_empty(), "{records:?}");
    let named = |name: &str, why: &str| {
        problems.iter().any(|said| said.contains(&format!("sessions/{name}")) && said.contains(why))
    };
    for name in ["link", "nowhere"] {
        assert!(named(name, "is a link and was not followed"), "{problems:?}");
    }
    for name in ["file/", "fifo/", "folder/"] {
        assert!(named(name, "was not opened"), "{problems:?}");
    }
    assert_eq!(problems.len(), 5);
}

#[test]
fn what_is_no_records_is_passed_over_in_silence() {
    let world = World::new();
    world.metadata("x", "{}");
    world.file("registry.jsonl.lock.dir/metadata.json", "{\"pid\": 5}");
    world.file("x.lock.dir/metadata.json", "{\"pid\": 5}");
    world.file("2026-11-20-session.tmp/metadata.json", "{\"pid\": 5}");
    world.file("4711.json", "{\"pid\": 4711, \"sessionId\": \"x\"}");
    world.file("peer", "a file whose name could be an id");
    world.file("somebodys/notes.md", "");
    mknodat(CWD, world.path("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    assert_eq!(world.only().session_id.as_str(), "x");
}

#[test]
fn only_metadata_and_the_registry_are_opened() {
    let world = World::new();
    let theirs = [
        "4711.json",
        "peer.key",
        "peer",
        "2026-11-20-session.tmp",
        "registry.jsonl.lock",
        "x/heartbeat.pid",
        "bare/key",
    ];
    for name in theirs {
        world.file(name, "{\"pid\": 4711}");
    }
    world.metadata("x", "{}");
    world.file("registry.jsonl", "{\"session_id\": \"bare\"}");
    let watch = inotify::init(inotify::CreateFlags::NONBLOCK).unwrap();
    for folder in ["", "x", "bare"] {
        inotify::add_watch(&watch, world.path(folder), inotify::WatchFlags::OPEN).unwrap();
    }
    world.only();
    let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
    let mut events = inotify::Reader::new(&watch, &mut buffer);
    let mut opened = BTreeSet::new();
    while let Ok(event) = events.next() {
        if !event.events().contains(inotify::ReadFlags::ISDIR) {
            opened.insert(event.file_name().unwrap().to_str().unwrap().to_owned());
        }
    }
    assert_eq!(opened, ["metadata.json", "registry.jsonl"].map(str::to_owned).into());
}

#[test]
fn a_folder_that_cannot_be_looked_into_is_said() {
    let world = World::new();
    world.metadata("x", "{}");
    world.metadata("y", "{}");
    let set = |path, mode| fs_err::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    set(world.path("x"), 0o000);
    set(world.metadata_path("y"), 0o000);
    // Root may look everywhere.
    if !rustix::process::geteuid().is_root() {
        let (records, problems) = world.records.read();
        assert_eq!(records.len(), 1);
        assert!(records[0].doubt.as_ref().unwrap().contains("cannot be read: Permission denied"));
        assert!(
            problems[0].contains("cannot look into") && problems[0].contains("sessions/x: Permission"),
            "{problems:?}"
        );
    }
    set(world.path("x"), 0o700);
}

#[test]
fn a_record_that_is_just_being_replaced_is_waited_for() {
    let world = World::new();
    let process = process(500, 1);
    let session = id(ID);
    world.hold().register(&registration(&session, Some(&process), noon(0))).unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let held = world.hold();
            for second in 1..100 {
                held.beat(&sign(&session, Some(&process), noon(second)), std::time::Duration::ZERO).unwrap();
            }
            done.store(true, std::sync::atomic::Ordering::SeqCst);
        });
        while !done.load(std::sync::atomic::Ordering::SeqCst) {
            let (records, problems) = world.records.read();
            assert_eq!((records[0].doubt.as_deref(), problems), (None, Vec::new()));
        }
    });
}
