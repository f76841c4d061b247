//! Real processes: whom a clean-up ends, and whom it does not touch.

use serde_json::{Value, json};

use crate::left_behind::start_ticks;
use crate::processes_world::{
    LIVE, OVER, Processes, assert_verdict, document, in_an_hour, until, verdict_of, wait_old,
};
use crate::window::{Window, stat};
use crate::world::Ran;

/// What became of each process of a tree, in the order in which it was ended.
fn ends(document: &Value, pid: u32) -> Vec<(u64, String)> {
    let ended = document["ended"].as_array().unwrap();
    let tree = ended.iter().find(|tree| tree["pid"] == pid).unwrap_or_else(|| panic!("{document:#}"));
    let one = |process: &Value| (process["pid"].as_u64().unwrap(), process["end"].as_str().unwrap().to_owned());
    tree["processes"].as_array().unwrap().iter().map(one).collect()
}

#[test]
fn a_double_forked_orphan_is_found_and_ended_and_its_record_removed() {
    let scene = Processes::new();
    let pid = scene.orphan();
    wait_old(&[pid]);
    let found = scene.json(&["scan"], 1);
    assert_verdict(&found, pid, "orphaned", "owner");
    assert_eq!((&found["orphaned_count"], &found["orphaned_sessions"]), (&json!(1), &json!([OVER])));
    let done = scene.json(&["clean", "--auto"], 0);
    assert_eq!(ends(&done, pid), [(u64::from(pid), "terminated".to_owned())]);
    scene.wait_gone(pid);
    assert!(!scene.has_record(OVER) && scene.sessions().exists());
    assert_eq!(scene.json(&["scan"], 0)["orphaned_count"], 0);
}

#[test]
fn a_child_of_a_killed_cli_is_an_orphan_of_its_session() {
    let scene = Processes::new();
    let claude = scene.live_claude();
    let server = scene.start("mcp-server-x").of(LIVE).below(claude);
    wait_old(&[server]);
    assert_eq!(scene.json(&["scan"], 0)["orphaned_count"], 0);
    scene.kill_parent(claude, &[server]);
    let done = scene.json(&["clean", "--auto"], 0);
    assert_eq!(ends(&done, server), [(u64::from(server), "terminated".to_owned())]);
    assert!(!scene.has_record(LIVE));
}

#[test]
fn a_declared_subreapers_orphan_is_ended_and_an_undeclared_ones_left_alone() {
    let scene = Processes::new();
    let minder = scene.start("minder").held_as_subreaper();
    scene.record(OVER, &json!({}));
    let pid = scene.start("mcp-server-x").of(OVER).left_by(minder);
    assert_eq!(stat(pid).unwrap()[1], minder.to_string());
    wait_old(&[pid]);
    // What is a helper by its looks alone and has a parent is that parent's matter.
    let done = scene.json(&["clean", "--auto"], 0);
    assert_eq!(done["processes_ended"], 0);
    scene.record_of(LIVE, pid);
    assert_verdict(&scene.json(&["scan"], 0), pid, "unknown", "parent");
    fs_err::remove_dir_all(scene.sessions().join(LIVE)).unwrap();
    assert!(scene.runs(pid));
    scene.subreaper("minder");
    scene.record(OVER, &json!({}));
    let done = scene.json(&["clean", "--auto"], 0);
    assert_eq!(ends(&done, pid), [(u64::from(pid), "terminated".to_owned())]);
    assert!(!scene.runs(pid) && scene.runs(minder));
}

#[test]
fn who_ignores_sigterm_is_killed_after_the_grace() {
    let scene = Processes::new();
    let pid = scene.orphan();
    scene.deafen(pid);
    wait_old(&[pid]);
    let begun = std::time::Instant::now();
    let done = scene.json(&["clean", "--auto", "--grace", "1s"], 0);
    assert!(begun.elapsed() >= std::time::Duration::from_secs(1));
    assert_eq!(ends(&done, pid), [(u64::from(pid), "killed".to_owned())]);
    assert!(!scene.runs(pid) && !scene.has_record(OVER));
}

#[test]
fn who_ends_before_the_answer_is_told_as_gone() {
    let scene = Processes::new();
    let pid = scene.orphan();
    wait_old(&[pid]);
    let mut window = Window::open();
    let mut talk = window.talk(&scene.command(&["clean", "--execute"]));
    talk.expect("Proceed with cleanup?");
    scene.kill(pid);
    talk.answer("y");
    let said = talk.ends_with(0);
    assert!(said.stdout.contains(&format!("gone      {pid:>7}")), "{said:?}");
    assert!(said.stdout.contains("0 processes ended"), "{said:?}");
    assert!(!scene.has_record(OVER));
}

#[test]
fn who_is_somebodys_again_by_the_time_of_the_answer_is_left_alone() {
    let scene = Processes::new();
    let (pid, other) = (scene.orphan(), scene.orphan_of(LIVE));
    wait_old(&[pid, other]);
    let mut window = Window::open();
    let mut talk = window.talk(&scene.command(&["clean", "--execute"]));
    talk.expect("Proceed with cleanup?");
    // Its session is taken up again.
    let keeper = scene.start("keeper").held();
    scene.record_of(OVER, scene.start("claude").below(keeper));
    talk.answer("y");
    let said = talk.ends_with(4);
    assert!(said.stdout.contains(&format!("refused   {pid:>7}")), "{said:?}");
    assert!(said.stdout.contains("it is owned by now: its session"), "{said:?}");
    assert!(scene.runs(pid) && scene.has_record(OVER));
    assert!(!scene.runs(other) && !scene.has_record(LIVE));
}

#[test]
fn a_number_that_was_given_anew_is_not_touched_and_its_record_removed() {
    let scene = Processes::new();
    let innocent = scene.start("sleep").orphaned();
    // Who is sent a signal tells of it.
    let told = scene.path("told");
    scene.tell(
        innocent,
        &format!("for s in HUP INT TERM USR1; do trap \"echo $s >'{}'\" $s; done; echo >'{0}.set'", told.display()),
    );
    until(|| scene.path("told.set").exists());
    scene.record(OVER, &json!({"pid": innocent, "proc_start": start_ticks(innocent) - 1}));
    wait_old(&[innocent]);
    let found = scene.json(&["scan"], 1);
    assert_eq!(found["processes"], json!([]));
    assert!(found["records"][0]["reason"].as_str().unwrap().contains("another process's by now"), "{found:#}");
    let done = scene.json(&["clean", "--auto"], 0);
    assert_eq!((&done["processes_ended"], &done["removed"][0]["session_id"]), (&json!(0), &json!(OVER)));
    assert!(!scene.has_record(OVER) && scene.runs(innocent) && !told.exists());
}

#[test]
fn an_innocent_that_only_mentions_claude_is_not_touched() {
    let scene = Processes::new();
    let innocent = [
        scene.start("vim").with(&["claude.md"]).orphaned(),
        scene.start("grep").with(&["-r", "claude", "."]).orphaned(),
        scene.start("tmux: server").with(&["new-session", "-d", "-s", "claude", "claude"]).orphaned(),
        scene.start("claude-desktop").orphaned(),
        scene.start("tail").with(&["-f", "/home/u/.claude/sessions/1.json"]).of(OVER).orphaned(),
    ];
    let orphan = scene.orphan();
    wait_old(&innocent);
    wait_old(&[orphan]);
    let done = scene.json(&["clean", "--auto"], 0);
    let looked_at = done["processes"].as_array().unwrap().iter().map(|item| item["pid"].as_u64().unwrap());
    assert_eq!(looked_at.collect::<Vec<_>>(), [u64::from(orphan)]);
    assert!(innocent.iter().all(|pid| scene.runs(*pid)));
    assert!(!scene.runs(orphan));
}

#[test]
fn a_live_session_with_a_stale_heartbeat_is_not_touched() {
    let scene = Processes::new();
    let claude = scene.live_claude();
    let server = scene.start("mcp-server-x").of(LIVE).below(claude);
    // Adopted, but of a session that runs.
    let background = scene.start("mcp-server-y").of(LIVE).orphaned();
    // Adopted itself, with a record that was not written to since yesterday.
    let adopted = scene.start("claude").orphaned();
    scene.record_of(OVER, adopted);
    let all = [claude, server, background, adopted];
    wait_old(&all);
    let done = scene.json(&["clean", "--auto"], 0);
    assert_eq!(verdict_of(&done, claude), ("unknown".to_owned(), vec!["parent".to_owned(), "session".to_owned()]));
    assert_verdict(&done, background, "owned", "owner");
    assert_verdict(&done, adopted, "unknown", "session");
    assert_eq!((&done["processes_ended"], &done["removed"]), (&json!(0), &json!([])));
    assert!(all.iter().all(|pid| scene.runs(*pid)));
    assert!(scene.has_record(LIVE) && scene.has_record(OVER));
}

#[test]
fn what_an_orphan_started_ends_with_it_the_deepest_first() {
    let scene = Processes::new();
    let root = scene.orphan();
    let child = scene.start("node").below(root);
    let other = scene.start("bash").below(root);
    let grandchild = scene.start("worker").below(child);
    let deepest = scene.start("sleeper").in_session().below(grandchild);
    let all = [root, child, other, grandchild, deepest];
    wait_old(&all);
    let done = scene.json(&["clean", "--auto"], 0);
    let order: Vec<u64> = ends(&done, root).into_iter().map(|(pid, _)| pid).collect();
    let place = |pid: u32| order.iter().position(|one| *one == u64::from(pid)).unwrap();
    assert!(place(deepest) < place(grandchild) && place(grandchild) < place(child), "{order:?}");
    assert_eq!((place(root), order.len()), (4, 5));
    assert_eq!(done["processes_ended"], 5);
    assert!(all.iter().all(|pid| !scene.runs(*pid)));
}

#[test]
fn a_run_from_inside_a_session_leaves_that_session_and_its_siblings_alone() {
    let scene = Processes::new();
    let claude = scene.live_claude();
    let sibling = scene.start("mcp-server-x").of(LIVE).below(claude);
    let keeper = scene.start("keeper").held();
    let other = scene.start("claude").below(keeper);
    let orphan = scene.orphan();
    let all = [claude, sibling, keeper, other];
    wait_old(&all);
    wait_old(&[orphan]);
    let ran = scene.run_in(claude, &scene.command(&["clean", "--auto", "--json"]), "");
    let done = document(ran, 0);
    assert_verdict(&done, claude, "owned", "ancestor");
    assert_verdict(&done, other, "owned", "parent");
    assert!(all.iter().all(|pid| scene.runs(*pid)) && !scene.runs(orphan));
    let report = document(scene.run_in(claude, &scene.command(&["report", "--json"]), ""), 0);
    assert_eq!(report["current"], json!({"pid": claude, "provider": "claude", "session_id": LIVE}));
}

#[test]
fn an_orphaned_session_is_not_touched_from_inside() {
    let scene = Processes::new();
    let scope = "/user.slice/user-0.slice/session-3.scope";
    scene.world.machine_file("run/systemd/sessions/3", "STATE=closing\n");
    let claude = scene.start("claude").in_group(scope).orphaned();
    let arguments = ["scan", "--json", "--at", &in_an_hour()];
    assert_verdict(&document(Ran::of(&mut scene.command(&arguments)), 1), claude, "orphaned", "session");
    let found = document(scene.run_in(claude, &scene.command(&arguments), ""), 0);
    assert_verdict(&found, claude, "owned", "ancestor");
}

#[test]
fn a_cli_that_a_closed_login_left_goes_with_its_record() {
    let scene = Processes::new();
    scene.world.machine_file("run/systemd/sessions/3", "STATE=closing\n");
    let claude = scene.start("claude").in_group("/user.slice/user-0.slice/session-3.scope").orphaned();
    let server = scene.start("mcp-server-x").of(LIVE).below(claude);
    scene.record_of(LIVE, claude);
    wait_old(&[claude, server]);
    let done = scene.json(&["clean", "--auto"], 0);
    let order: Vec<u64> = ends(&done, claude).into_iter().map(|(pid, _)| pid).collect();
    assert_eq!(order, [u64::from(server), u64::from(claude)]);
    assert!(!scene.runs(claude) && !scene.runs(server) && !scene.has_record(LIVE));
}
