//! What people see of processes, to the letter. After a wanted change: `INSTA_UPDATE=always cargo test --test it`.

use insta::assert_snapshot;
use serde_json::json;

use crate::left_behind::id;
use crate::processes_world::{LIVE, OVER, Processes, hours_ago, wait_old};
use crate::snapshots::shown;

/// Checks snapshots with what differs from run to run replaced.
fn settled(scene: &Processes, check: impl FnOnce()) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let root = scene.world.root().to_str().unwrap();
    for (pattern, replacement) in [
        (&*root.replace('.', r"\."), "[WORLD]"),
        (r"(?m)^(\w+|left over) +\d{1,7}  ", "$1 [PID]  "),
        (r"└ +\d+ +\d+s", "└ [PID] [AGE]"),
        (r"\(\d+\)", "([PID])"),
        (r"process \d+", "process [PID]"),
        (r"parent    \d+", "parent    [PID]"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "[TIME]"),
        (r"[0-9.]+ (kB|MB)", "[SIZE]"),
        (r" +\[SIZE\]", " [SIZE]"),
        (r" +\d+s old", " [AGE] old"),
        (r"\(\d+s ago\)", "([AGE] ago)"),
        (r"\d+s of CPU", "[TIME] of CPU"),
        (r"  +\d+s  ", "  [AGE]  "),
        (r"\w+ \(\[PID\]\) adopted it", "init ([PID]) adopted it"),
    ] {
        settings.add_filter(pattern, replacement);
    }
    settings.bind(check);
}

/// An orphan with a child, another CLI's, one that cannot be told, a session that runs, and records of each kind.
fn scene() -> Processes {
    let scene = Processes::new();
    scene.world.machine_file("run/systemd/sessions/7", "STATE=closing\n");
    let login = "/user.slice/user-1000.slice/session-7.scope";
    let claude = scene.live_claude();
    let server = scene.start("mcp-server-x").of(LIVE).below(claude);
    let orphan = scene.orphan();
    let below = scene.start("node").with(&["worker.js"]).below(orphan);
    let left = scene.start("codex").in_group(login).orphaned();
    let unclear = scene.start("mcp-server-git").with(&["--token", "s3cret"]).orphaned();
    scene.record(&id(1), &json!({}));
    scene.record(&id(2), &json!({"status": "completed", "end_time": hours_ago(200)}));
    scene.record(&id(3), &json!({"hostname": "elsewhere"}));
    wait_old(&[claude, server, orphan, below, left, unclear]);
    scene
}

#[test]
fn processes_as_text() {
    let scene = scene();
    settled(&scene, || {
        assert_snapshot!("processes_scan", shown(&scene.run(&["scan"])));
        assert_snapshot!("processes_scan_verbose", shown(&scene.run(&["scan", "-v"])));
        assert_snapshot!("processes_report", shown(&scene.run(&["report"])));
        assert_snapshot!("processes_clean_dry_run", shown(&scene.run(&["clean", "--max", "1"])));
        assert_snapshot!("processes_clean_refused", shown(&scene.run(&["clean", "--auto", "--max", "1"])));
        assert_snapshot!("processes_clean_done", shown(&scene.run(&["clean", "--auto"])));
        assert_snapshot!("processes_clean_again", shown(&scene.run(&["clean", "--auto"])));
    });
}

#[test]
fn an_empty_machine_as_text() {
    let scene = Processes::new();
    settled(&scene, || {
        assert_snapshot!("processes_scan_empty", shown(&scene.run(&["scan"])));
        assert_snapshot!("processes_report_empty", shown(&scene.run(&["report"])));
        assert_snapshot!("processes_clean_empty", shown(&scene.run(&["clean"])));
    });
    assert!(!scene.has_record(OVER));
}
