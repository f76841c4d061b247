//! Each row that keeps a process from being ended, with a real process, in an hour from now. All but the row in question
//! speak for the end.

use std::path::Path;

use serde_json::{Value, json};

use crate::left_behind::start_ticks;
use crate::machine::{NOBODY, cannot_run, is_root, set_mode};
use crate::processes_world::{
    LIVE, OVER, Processes, Start, assert_verdict, document, in_an_hour, namespace, until, verdict_of,
};
use crate::window::stat;
use crate::world::Ran;

const LOGIN: &str = "/user.slice/user-1000.slice/session-7.scope";
const MANAGER: &str = "/user.slice/user-1000.slice/user@1000.service/app.slice";

/// A world in which all that [`OVER`] started was left behind.
fn scene() -> Processes {
    let scene = Processes::new();
    scene.record(OVER, &json!({}));
    scene
}

fn server(scene: &Processes) -> Start<'_> {
    scene.start("mcp-server-x").of(OVER)
}

/// What a scan in an hour finds.
#[track_caller]
fn scan(scene: &Processes) -> Value {
    let ran = Ran::of(&mut scene.command(&["scan", "--json", "--at", &in_an_hour()]));
    assert!(matches!(ran.status, 0 | 1), "{ran:?}");
    let status = ran.status;
    document(ran, status)
}

/// Fails unless the scan's verdict is this one, and the row alone decides it.
#[track_caller]
fn assert_alone(scene: &Processes, pid: u32, verdict: &str, row: &str) {
    let document = scan(scene);
    assert_eq!(verdict_of(&document, pid), (verdict.to_owned(), vec![row.to_owned()]), "{document:#}");
    let orphans = document["processes"].as_array().unwrap().iter().filter(|item| item["verdict"] == "orphaned").count();
    assert_eq!(document["summary"]["orphaned"], orphans);
}

/// The text of a row.
fn text_of(document: &Value, pid: u32, row: &str) -> String {
    let item = document["processes"].as_array().unwrap().iter().find(|item| item["pid"] == pid).unwrap();
    let reason = item["reasons"].as_array().unwrap().iter().find(|reason| reason["row"] == row).unwrap();
    reason["text"].as_str().unwrap().to_owned()
}

#[test]
fn without_an_objection_it_is_orphaned() {
    let scene = scene();
    let pid = server(&scene).orphaned();
    assert_verdict(&scan(&scene), pid, "orphaned", "parent");
}

#[test]
fn who_started_the_run_and_whom_the_run_shares_a_session_with_are_left_alone() {
    let scene = scene();
    let shell = server(&scene).orphaned();
    let sibling = server(&scene).in_session().left_by(shell);
    let arguments = ["scan", "--json", "--at", &in_an_hour()];
    let found = document(scene.run_in(shell, &scene.command(&arguments), ""), 0);
    assert_eq!(verdict_of(&found, shell), ("owned".to_owned(), vec!["ancestor".to_owned()]));
    assert_eq!(verdict_of(&found, sibling), ("owned".to_owned(), vec!["own-session".to_owned()]));
    // Seen from elsewhere nobody has them.
    let found = scan(&scene);
    assert_verdict(&found, shell, "orphaned", "owner");
    assert_verdict(&found, sibling, "orphaned", "owner");
}

#[test]
fn another_users_process_is_left_alone() {
    if !is_root() {
        return cannot_run("only root can start another user's process");
    }
    let scene = scene();
    set_mode(scene.world.root(), 0o755);
    let line = format!("setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups --");
    let theirs = server(&scene).through(&line).orphaned();
    let ours = server(&scene).orphaned();
    let found = scan(&scene);
    assert_verdict(&found, ours, "orphaned", "owner");
    assert!(found["processes"].as_array().unwrap().iter().all(|item| item["pid"] != theirs), "{found:#}");
    // A record that names it does not make it ours.
    scene.record_of(LIVE, theirs);
    assert_verdict(&scan(&scene), theirs, "owned", "other-user");
}

#[test]
fn who_only_acts_as_another_user_is_left_alone() {
    let scene = scene();
    let pid = server(&scene).orphaned();
    // As a program has it that its owner lets others run as him.
    let status = scene.proc().join(format!("{pid}/status"));
    let us = rustix::process::geteuid().as_raw();
    for (users, verdict) in [((us, us + 1), "owned"), ((us + 1, us), "owned"), ((us, us), "orphaned")] {
        fs_err::remove_file(&status).unwrap();
        fs_err::write(&status, format!("Name:\tx\nUid:\t{}\t{}\t0\t0\n", users.0, users.1)).unwrap();
        assert_eq!(verdict_of(&scan(&scene), pid).0, verdict, "{users:?}");
    }
    fs_err::remove_file(&status).unwrap();
    fs_err::write(&status, "Name:\tx\n").unwrap();
    assert_alone(&scene, pid, "unknown", "user-unknown");
}

#[test]
fn another_pid_namespaces_process_is_left_alone() {
    let scene = scene();
    // The entry is as the real one would be; the link tells of another namespace.
    let pid = server(&scene).orphaned();
    let entry = scene.proc().join(pid.to_string());
    fs_err::remove_file(entry.join("ns")).unwrap();
    fs_err::create_dir(entry.join("ns")).unwrap();
    let link = |to: String| fs_err::os::unix::fs::symlink(to, entry.join("ns/pid")).unwrap();
    link(format!("pid:[{}]", namespace() + 1));
    assert_alone(&scene, pid, "unknown", "elsewhere");
    fs_err::remove_file(entry.join("ns/pid")).unwrap();
    link("nonsense".to_owned());
    assert_alone(&scene, pid, "unknown", "namespace-unknown");
}

#[test]
fn young_and_future_processes_are_left_alone() {
    let scene = scene();
    let pid = server(&scene).orphaned();
    let mut soon = scene.command(&["scan", "--json"]);
    let found = document(Ran::of(soon.env("SESSION_SWEEP_PROCESSES_MIN_AGE", "1h")), 0);
    assert_eq!(verdict_of(&found, pid), ("owned".to_owned(), vec!["young".to_owned()]));
    assert!(text_of(&found, pid, "young").ends_with("less than 1.0h"), "{found:#}");
    // Yesterday it had not begun.
    let yesterday = crate::processes_world::hours_ago(22);
    let found = document(Ran::of(&mut scene.command(&["scan", "--json", "--at", &yesterday])), 0);
    assert_eq!(verdict_of(&found, pid), ("unknown".to_owned(), vec!["age-unknown".to_owned()]), "{found:#}");
}

#[test]
fn services_and_containers_are_left_alone() {
    let scene = scene();
    for (group, row) in [
        ("/system.slice/cron.service", "service"),
        (&*format!("{MANAGER}/claude.service"), "service"),
        ("/user.slice/user-1000.slice/user@1000.service/init.scope", "service"),
        ("/system.slice/docker-4f1e.scope", "container"),
        ("/docker/4f1e", "container"),
        ("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-9.scope/container", "container"),
        ("/kubepods.slice/kubepods-burstable.slice/cri-containerd-7.scope", "container"),
        ("/../../x", "container"),
    ] {
        let pid = server(&scene).in_group(group).orphaned();
        assert_alone(&scene, pid, "owned", row);
    }
    assert_eq!(scan(&scene)["orphaned_count"], 0);
}

#[test]
fn a_control_group_that_cannot_be_read_leaves_its_process_alone() {
    let scene = scene();
    let pid = server(&scene).orphaned();
    let group = scene.proc().join(format!("{pid}/cgroup"));
    fs_err::remove_file(&group).unwrap();
    // It can be opened, and not read.
    fs_err::create_dir(&group).unwrap();
    assert_alone(&scene, pid, "unknown", "group-unknown");
}

#[test]
fn who_is_at_an_open_terminal_is_left_alone_until_it_is_closed() {
    let scene = scene();
    let pid = server(&scene).orphaned();
    scene.tell(pid, "trap '' HUP");
    scene.at_terminal(pid);
    assert_alone(&scene, pid, "owned", "terminal");
    assert!(text_of(&scan(&scene), pid, "terminal").contains("/dev/pts/"));
    scene.close_terminals();
    until(|| stat(pid).unwrap()[4] == "0");
    assert_verdict(&scan(&scene), pid, "orphaned", "terminal");
}

#[test]
fn whom_a_guardian_started_is_left_alone() {
    for (guardian, row) in [
        ("claude", "live-cli"),
        ("codex", "live-cli"),
        ("tmux: server", "multiplexer"),
        ("screen", "multiplexer"),
        ("nvim", "editor"),
        ("code", "editor"),
        ("sshd", "login-shell"),
        ("-bash", "login-shell"),
        ("keeper", "parent"),
    ] {
        let scene = scene();
        let top = scene.start(guardian).orphaned();
        let between = scene.start("between").below(top);
        // Only who is looked at at all tells of its guardian: a CLI that is no CLI's child, or whom a record names.
        let pid = scene.start("opencode").of(OVER).below(between);
        scene.record_of(LIVE, pid);
        let found = scan(&scene);
        let (verdict, rows) = verdict_of(&found, pid);
        assert!(verdict != "orphaned" && rows.iter().any(|one| one == row), "{guardian}: {found:#}");
        // As soon as nobody is between.
        scene.kill(top);
        scene.kill_parent(between, &[pid]);
        let (_, rows) = verdict_of(&scan(&scene), pid);
        assert!(!rows.iter().any(|one| one == row), "{guardian}: {rows:?}");
    }
}

#[test]
fn whom_a_process_at_a_terminal_started_is_left_alone() {
    let scene = scene();
    let shell = scene.start("keeper").orphaned();
    scene.at_terminal(shell);
    let pid = scene.start("claude").of(OVER).below(shell);
    assert_alone(&scene, pid, "owned", "at-terminal");
}

#[test]
fn whom_nobody_is_known_to_have_started_is_left_alone() {
    let scene = scene();
    let keeper = scene.start("keeper").held();
    let pid = scene.start("claude").of(OVER).below(keeper);
    fs_err::remove_dir_all(scene.proc().join(keeper.to_string())).unwrap();
    assert_alone(&scene, pid, "unknown", "parent");
}

/// Claude Code's record in the form of 2.1.328.
fn vendor_record(scene: &Processes, pid: u32, start: u64) {
    vendor_record_of(scene, pid, start, OVER);
}

fn vendor_record_of(scene: &Processes, pid: u32, start: u64, session: &str) {
    let form = fs_err::read_to_string("tests/fixtures/claude-native/sessions/12345.json").unwrap();
    let mut record: Value = serde_json::from_str(&form).unwrap();
    record["pid"] = pid.into();
    record["sessionId"] = session.into();
    record["procStart"] = start.to_string().into();
    let path = scene.sessions().join(format!("{pid}.json"));
    fs_err::write(path, record.to_string()).unwrap();
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

#[test]
fn who_shelters_somebody_is_left_alone_with_them() {
    // Below a shell that nobody has.
    let nothing: fn(&Processes, u32) = |_, _| {};
    let cases: [(&str, &str, fn(&Processes, u32)); 5] = [
        ("runs a session by the vendor's record", "/", |scene, pid| {
            vendor_record_of(scene, pid, start_ticks(pid), LIVE);
        }),
        ("is at a terminal", "/", |scene, pid| scene.at_terminal(pid)),
        ("belongs to a service", "/system.slice/postgres.service", nothing),
        ("is in a container", "/docker/4f1e", nothing),
        ("runs a session by its record", "/", |scene, pid| {
            let now = crate::processes_world::hours_ago(-1);
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
        assert!(Path::new(&format!("/proc/{below}")).exists());
        settle(&scene, below);
        let found = scan(&scene);
        assert_verdict(&found, shell, "owned", "shelters");
        assert!(text_of(&found, shell, "shelters").contains(&format!("process {below}")), "{what}: {found:#}");
        scene.wait_old(&[below]);
        let done = scene.json(&["clean", "--auto"], 0);
        assert_eq!(done["processes_ended"], 0, "{what}: {done:#}");
        assert!([shell, between, below].iter().all(|pid| scene.runs(*pid)), "{what}");
    }
}

#[test]
fn a_helper_that_no_cli_is_known_to_have_started_is_left_alone() {
    let scene = Processes::new();
    scene.world.machine_file("run/systemd/sessions/7", "STATE=closing\n");
    let pid = scene.start("mcp-server-x").in_group(LOGIN).orphaned();
    assert_alone(&scene, pid, "unknown", "origin");
    // That it is of a session that is over is not known either.
    let other = scene.start("mcp-server-y").orphaned();
    let (verdict, rows) = verdict_of(&scan(&scene), other);
    assert_eq!((verdict.as_str(), rows), ("unknown", vec!["origin".to_owned(), "session".to_owned()]));
}

#[test]
fn a_login_tells_by_its_state_whether_somebody_has_it() {
    let scene = Processes::new();
    let pid = scene.start("mcp-server-x").variable("CLAUDECODE", "1").in_group(LOGIN).orphaned();
    let look = || verdict_of(&scan(&scene), pid).0;
    assert_alone(&scene, pid, "unknown", "session");
    assert!(text_of(&scan(&scene), pid, "session").contains("does not know the session 7"));
    for (state, verdict) in [
        ("STATE=active\n", "unknown"),
        ("STATE=closing\nLEADER=1\n", "orphaned"),
        ("UID=0\n", "unknown"),
        ("STATE=online\n", "unknown"),
    ] {
        scene.world.machine_file("run/systemd/sessions/7", state);
        assert_eq!(look(), verdict, "{state}");
    }
}

#[test]
fn another_scope_is_open_as_long_as_somebody_holds_one_of_its_processes() {
    let scene = Processes::new();
    let scope = format!("{MANAGER}/vte-spawn-1.scope");
    let start = || scene.start("mcp-server-x").variable("CLAUDECODE", "1").in_group(&scope);
    let pid = start().orphaned();
    let child = start().below(pid);
    let members = |pids: &[u32]| {
        let list: String = pids.iter().map(|pid| format!("{pid}\n")).collect();
        scene.world.machine_file(&format!("sys/fs/cgroup{scope}/cgroup.procs"), &list);
    };
    assert_alone(&scene, pid, "unknown", "session");
    members(&[pid, child]);
    assert_verdict(&scan(&scene), pid, "orphaned", "session");
    let keeper = scene.start("keeper").held();
    let held = start().below(keeper);
    members(&[pid, child, held]);
    assert_alone(&scene, pid, "unknown", "session");
    assert!(text_of(&scan(&scene), pid, "session").contains("is not closed"));
    scene.kill(held);
    members(&[pid, child]);
    assert_verdict(&scan(&scene), pid, "orphaned", "session");
    scene.at_terminal(child);
    assert_alone(&scene, pid, "unknown", "session");
}

#[test]
fn a_fresh_heartbeat_and_one_that_cannot_be_read_keep_a_sessions_processes() {
    let scene = Processes::new();
    let pid = server(&scene).orphaned();
    for (beat, verdict) in [
        (json!(crate::processes_world::in_an_hour()), "owned"),
        (json!("yesterday"), "unknown"),
        (json!(crate::processes_world::hours_ago(-48)), "unknown"),
    ] {
        scene.record(OVER, &json!({"last_heartbeat": beat}));
        assert_alone(&scene, pid, verdict, "heartbeat");
    }
    // A session that said that it had ended needs none.
    scene.record(
        OVER,
        &json!({"status": "completed", "end_time": crate::processes_world::hours_ago(1), "last_heartbeat": "x"}),
    );
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
