//! The records of vendors and of sessions that keep a process from being ended, with real processes.

use std::path::Path;

use serde_json::{Value, json};

use crate::left_behind::start_ticks;
use crate::processes_verdict::{LOGIN, assert_alone, scan, scene, server, text_of};
use crate::processes_world::{
    LIVE, OVER, Processes, assert_verdict, document, hours_ago, in_an_hour, namespace, verdict_of, wait_old,
};
use crate::world::Ran;

/// Claude Code's record in the form of 2.1.328.
fn vendor_record(scene: &Processes, pid: u32, start: u64) {
    vendor_record_of(scene, pid, start, OVER);
}

pub(crate) fn vendor_record_of(scene: &Processes, pid: u32, start: u64, session: &str) {
    write_vendor_record(&scene.sessions(), pid, start, session);
}

/// The same in a folder of another home.
pub(crate) fn vendor_record_in(folder: &Path, pid: u32, start: u64) {
    fs_err::create_dir_all(folder).unwrap();
    write_vendor_record(folder, pid, start, LIVE);
}

fn write_vendor_record(folder: &Path, pid: u32, start: u64, session: &str) {
    let form = fs_err::read_to_string("tests/fixtures/claude-native/sessions/12345.json").unwrap();
    let mut record: Value = serde_json::from_str(&form).unwrap();
    record["pid"] = pid.into();
    record["sessionId"] = session.into();
    record["procStart"] = start.to_string().into();
    fs_err::write(folder.join(format!("{pid}.json")), record.to_string()).unwrap();
}

#[test]
fn a_vendors_record_keeps_its_own_process_alone() {
    let scene = scene();
    scene.world.machine_file("run/systemd/sessions/7", "STATE=closing\n");
    let pid = scene.start("claude").in_group(LOGIN).orphaned();
    assert_verdict(&scan(&scene), pid, "orphaned", "session");
    vendor_record(&scene, pid, start_ticks(pid) + 1);
    assert_verdict(&scan(&scene), pid, "orphaned", "session");
    vendor_record(&scene, pid, start_ticks(pid));
    assert_verdict(&scan(&scene), pid, "owned", "vendor");
}

#[test]
fn a_worker_of_a_running_daemon_is_left_alone_and_the_daemon_named() {
    let scene = scene();
    scene.world.machine_file("run/systemd/sessions/7", "STATE=closing\n");
    let daemon = scene.start("claude").with(&["daemon"]).in_group("/system.slice/claude.service").orphaned();
    let worker = scene.start("claude").in_group(LOGIN).orphaned();
    let named = json!({"pid": worker, "procStart": start_ticks(worker).to_string(), "sessionId": LIVE});
    let roster = json!({"supervisorPid": daemon, "workers": {"a": named}});
    scene.world.file(".claude/daemon/roster.json", roster.to_string(), 0);
    // It was written after the daemon had started.
    let path = scene.world.home().join(".claude/daemon/roster.json");
    filetime::set_file_mtime(path, filetime::FileTime::now()).unwrap();
    assert_alone(&scene, worker, "owned", "daemon");
    let found = scan(&scene);
    assert!(text_of(&found, worker, "daemon").contains(&format!("process {daemon}")), "{found:#}");
    assert_verdict(&found, daemon, "owned", "service");
    assert_verdict(&found, daemon, "owned", "vendor");
    // The next daemon takes it over.
    scene.kill(daemon);
    assert_alone(&scene, worker, "unknown", "vendor-unknown");
}

#[test]
fn who_holds_codexs_lock_is_left_alone() {
    let scene = scene();
    scene.world.machine_file("run/systemd/sessions/7", "STATE=closing\n");
    let lock = scene.world.file(&format!(".codex/thread-writer-locks/{}.lock", crate::world::CODEX_ID), "", 0);
    let without = scene.start("codex").in_group(LOGIN).orphaned();
    let line = format!("flock --no-fork '{}'", lock.display());
    let with = scene.start("codex").in_group(LOGIN).through(&line).orphaned();
    let found = scan(&scene);
    assert_verdict(&found, without, "orphaned", "session");
    assert_eq!(verdict_of(&found, with), ("owned".to_owned(), vec!["vendor".to_owned()]), "{found:#}");
}

#[test]
fn while_a_vendors_records_cannot_be_read_nothing_of_its_is_ended() {
    let scene = Processes::new();
    scene.world.machine_file("run/systemd/sessions/7", "STATE=closing\n");
    let pid = scene.start("claude").in_group(LOGIN).orphaned();
    let other = scene.start("gemini").in_group(LOGIN).orphaned();
    fs_err::create_dir_all(scene.sessions().parent().unwrap()).unwrap();
    // Nobody can look into this, not even root.
    fs_err::os::unix::fs::symlink("sessions", scene.sessions()).unwrap();
    let ran = Ran::of(&mut scene.command(&["scan", "--json", "--at", &in_an_hour()]));
    let found = document(ran, 1);
    assert_eq!(verdict_of(&found, pid), ("unknown".to_owned(), vec!["vendor-unknown".to_owned()]), "{found:#}");
    assert_verdict(&found, other, "orphaned", "session");
    assert!(!found["problems"].as_array().unwrap().is_empty());
}

#[test]
fn a_fifo_in_the_place_of_a_vendors_record_is_not_waited_for() {
    let scene = Processes::new();
    scene.world.machine_file("run/systemd/sessions/7", "STATE=closing\n");
    let pid = scene.start("claude").in_group(LOGIN).orphaned();
    fs_err::create_dir_all(scene.sessions()).unwrap();
    let path = scene.sessions().join(format!("{pid}.json"));
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let found = scene.json(&["scan", "--at", &in_an_hour()], 4);
    assert_verdict(&found, pid, "unknown", "vendor-unknown");
}

/// What keeps a process from being ended, its control group, and what makes it so.
type Case = (&'static str, &'static str, fn(&Processes, u32));

#[test]
fn who_shelters_somebody_is_left_alone_with_them() {
    // Below a shell that nobody has.
    let nothing: fn(&Processes, u32) = |_, _| {};
    let cases: [Case; 5] = [
        ("runs a session by the vendor's record", "/", |scene, pid| {
            vendor_record_of(scene, pid, start_ticks(pid), LIVE);
        }),
        ("is at a terminal", "/", |scene, pid| scene.at_terminal(pid)),
        ("belongs to a service", "/system.slice/postgres.service", nothing),
        ("is in a container", "/docker/4f1e", nothing),
        ("runs a session by its record", "/", |scene, pid| {
            let now = hours_ago(-1);
            let path = scene.record_of(LIVE, pid);
            let text = fs_err::read_to_string(&path).unwrap();
            let mut record: Value = serde_json::from_str(&text).unwrap();
            record["last_heartbeat"] = now.into();
            fs_err::write(path, record.to_string()).unwrap();
        }),
    ];
    for (what, group, settle) in cases {
        let scene = scene();
        let shell = server(&scene).orphaned();
        let between = scene.start("between").below(shell);
        let below = scene.start("claude").in_group(group).below(between);
        settle(&scene, below);
        let found = scan(&scene);
        assert_verdict(&found, shell, "owned", "shelters");
        assert!(text_of(&found, shell, "shelters").contains(&format!("process {below}")), "{what}: {found:#}");
        wait_old(&[below]);
        let done = scene.json(&["clean", "--auto"], 0);
        assert_eq!(done["processes_ended"], 0, "{what}: {done:#}");
        assert!([shell, between, below].iter().all(|pid| scene.runs(*pid)), "{what}");
    }
}

#[test]
fn a_fresh_heartbeat_and_one_that_cannot_be_read_keep_a_sessions_processes() {
    let scene = Processes::new();
    let pid = server(&scene).orphaned();
    for (beat, verdict) in
        [(json!(in_an_hour()), "owned"), (json!("yesterday"), "unknown"), (json!(hours_ago(-48)), "unknown")]
    {
        scene.record(OVER, &json!({"last_heartbeat": beat}));
        assert_alone(&scene, pid, verdict, "heartbeat");
    }
    // A session that said that it had ended needs none.
    scene.record(OVER, &json!({"status": "completed", "end_time": hours_ago(1), "last_heartbeat": "x"}));
    assert_verdict(&scan(&scene), pid, "orphaned", "owner");
}

#[test]
fn a_record_that_cannot_be_gone_by_keeps_its_sessions_processes() {
    let scene = Processes::new();
    let pid = server(&scene).orphaned();
    for other in [
        json!({"hostname": "elsewhere"}),
        json!({"hostname": null}),
        json!({"pid": null}),
        json!({"pid": "many"}),
        json!({"pid_namespace": namespace() + 1}),
        // What the original's hook wrote: its own shell's number.
        json!({"proc_start": null, "boot_id": null}),
    ] {
        scene.record(OVER, &other);
        assert_verdict(&scan(&scene), pid, "unknown", "owner");
    }
    scene.record(OVER, &json!({"boot_id": "an earlier one", "pid": pid}));
    assert_verdict(&scan(&scene), pid, "orphaned", "owner");
}
