//! Each row that keeps a process from being ended, with a real process, in an hour from now. All but the row in question
//! speak for the end.

use serde_json::{Value, json};

use crate::machine::{NOBODY, cannot_run, is_root, set_mode};
use crate::processes_start::Start;
use crate::processes_world::{
    LIVE, OVER, Processes, assert_verdict, document, hours_ago, in_an_hour, namespace, until, verdict_of,
};
use crate::window::stat;
use crate::world::Ran;

pub(crate) const LOGIN: &str = "/user.slice/user-1000.slice/session-7.scope";
const MANAGER: &str = "/user.slice/user-1000.slice/user@1000.service/app.slice";

/// A world in which all that [`OVER`] started was left behind.
pub(crate) fn scene() -> Processes {
    let scene = Processes::new();
    scene.record(OVER, &json!({}));
    scene
}

pub(crate) fn server(scene: &Processes) -> Start<'_> {
    scene.start("mcp-server-x").of(OVER)
}

/// What a scan in an hour finds.
#[track_caller]
pub(crate) fn scan(scene: &Processes) -> Value {
    let ran = Ran::of(&mut scene.command(&["scan", "--json", "--at", &in_an_hour()]));
    assert!(matches!(ran.status, 0 | 1), "{ran:?}");
    let status = ran.status;
    document(ran, status)
}

/// Fails unless the scan's verdict is this one, and the row alone decides it.
#[track_caller]
pub(crate) fn assert_alone(scene: &Processes, pid: u32, verdict: &str, row: &str) {
    let document = scan(scene);
    assert_eq!(verdict_of(&document, pid), (verdict.to_owned(), vec![row.to_owned()]), "{document:#}");
    let orphans = document["processes"].as_array().unwrap().iter().filter(|item| item["verdict"] == "orphaned").count();
    assert_eq!(document["summary"]["orphaned"], orphans);
}

/// The text of a row.
pub(crate) fn text_of(document: &Value, pid: u32, row: &str) -> String {
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
    let yesterday = hours_ago(22);
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
    assert_verdict(&scan(&scene), pid, "owned", "at-terminal");
}

#[test]
fn whom_nobody_is_known_to_have_started_is_left_alone() {
    let scene = scene();
    let keeper = scene.start("keeper").held();
    let pid = scene.start("claude").of(OVER).below(keeper);
    fs_err::remove_dir_all(scene.proc().join(keeper.to_string())).unwrap();
    assert_verdict(&scan(&scene), pid, "unknown", "parent");
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
    scene.lists_groups.set(false);
    assert_alone(&scene, pid, "unknown", "session");
    scene.lists_groups.set(true);
    assert_verdict(&scan(&scene), pid, "orphaned", "session");
    for (holder, program) in [("keeper", "mcp-server-x"), ("keeper", "bash"), ("", "tmux: server"), ("", "postgres")] {
        let other = scene.start(program).in_group(&scope);
        let other = if holder.is_empty() { other.orphaned() } else { other.below(scene.start(holder).held()) };
        assert_alone(&scene, pid, "unknown", "session");
        assert!(text_of(&scan(&scene), pid, "session").contains("is not closed"), "{program}");
        scene.kill(other);
        assert_verdict(&scan(&scene), pid, "orphaned", "session");
    }
    scene.at_terminal(child);
    assert_alone(&scene, pid, "unknown", "session");
}

#[test]
fn a_closing_login_is_not_closed_while_somebody_may_come_back_to_it() {
    let scene = Processes::new();
    scene.world.machine_file("run/systemd/sessions/7", "STATE=closing\n");
    let pid = scene.start("mcp-server-x").variable("CLAUDECODE", "1").in_group(LOGIN).orphaned();
    // What logins leave running otherwise is nobody's.
    scene.start("ssh-agent").in_group(LOGIN).orphaned();
    assert_verdict(&scan(&scene), pid, "orphaned", "session");
    for guardian in ["tmux: server", "screen", "code-server", "-bash"] {
        let guardian = scene.start(guardian).in_group(LOGIN).orphaned();
        assert_alone(&scene, pid, "unknown", "session");
        scene.kill(guardian);
        assert_verdict(&scan(&scene), pid, "orphaned", "session");
    }
    scene.lists_groups.set(false);
    fs_err::remove_dir_all(scene.path("machine/sys")).unwrap();
    assert_alone(&scene, pid, "unknown", "session");
}
