//! `processes clean`: when it only shows, asks or does, what it refuses, and which records it removes.

use serde_json::{Value, json};

use crate::left_behind::id;
use crate::machine::strace;
use crate::processes_world::{LIVE, OVER, Processes, document, host, hours_ago, in_an_hour, until, wait_old};
use crate::tree::{assert_untouched, names_in, tree_of};
use crate::window::Window;
use crate::world::Ran;

/// A world with an orphan that is old enough.
fn scene() -> (Processes, u32) {
    let scene = Processes::new();
    let pid = scene.orphan();
    wait_old(&[pid]);
    (scene, pid)
}

#[test]
fn where_there_are_no_pidfds_nobody_is_sent_anything() {
    let (scene, pid) = scene();
    let options =
        ["-e", "trace=pidfd_open,kill,tkill,tgkill,pidfd_send_signal", "-e", "inject=pidfd_open:error=ENOSYS"];
    let said = scene.path("traced");
    let options = [&options[..], &["-o", said.to_str().unwrap()]].concat();
    let Some(mut traced) = strace(&options, &scene.command(&["clean", "--auto"])) else { return };
    let ran = Ran::of(&mut traced).ends_with(4);
    assert!(ran.stdout.contains("this kernel has no pidfds (Linux 5.3 has)"), "{ran:?}");
    assert!(ran.stdout.contains("Nothing was ended: every orphan was refused"), "{ran:?}");
    let calls = fs_err::read_to_string(said).unwrap();
    // That a number is nobody's is asked by a signal that is none.
    assert!(calls.contains("pidfd_open") && !calls.contains("SIG") && !calls.contains("send_signal"), "{calls}");
    assert!(scene.runs(pid) && scene.has_record(OVER));
}

#[test]
fn without_a_flag_it_only_shows() {
    let (scene, pid) = scene();
    let ran = scene.run(&["clean"]).ends_with(0);
    assert!(ran.stdout.contains(&format!("end       {pid:>7}")), "{ran:?}");
    assert!(ran.stdout.contains("Dry run: 1 orphan would be ended"), "{ran:?}");
    assert_eq!(scene.json(&["clean"], 0)["dry_run"], true);
    for beaten in [&["clean", "--dry-run", "--auto"][..], &["clean", "-n", "--execute", "--yes"]] {
        assert_eq!(scene.json(beaten, 0)["ended"], Value::Null);
    }
    assert!(scene.runs(pid) && scene.has_record(OVER));
}

#[test]
fn the_settings_say_what_it_does_without_a_flag() {
    let (scene, pid) = scene();
    let run = |variables: &[(&str, &str)], arguments: &[&str]| {
        let mut command = scene.command(arguments);
        command.envs(variables.iter().map(|(name, value)| (format!("SESSION_SWEEP_PROCESSES_{name}"), *value)));
        Ran::of(&mut command)
    };
    let (wet, auto) = (("DRY_RUN", "false"), ("MODE", "auto"));
    run(&[auto], &["clean"]).ends_with(0);
    run(&[wet, auto], &["clean", "--dry-run"]).ends_with(0);
    let ran = run(&[wet], &["clean"]).ends_with(2);
    assert!(ran.stderr.contains("--yes"), "{ran:?}");
    assert!(scene.runs(pid));
    run(&[wet, auto], &["clean"]).ends_with(0);
    assert!(!scene.runs(pid));
}

#[test]
fn the_janitors_file_says_so_too() {
    let (scene, pid) = scene();
    let config = r#"{"dry_run_default": false, "cleanup_mode": "auto", "min_session_age_minutes": 600}"#;
    scene.world.file(".claude/process-janitor-config.json", config, 0);
    let without = |names: &[&str]| {
        let mut command = scene.command(&["clean", "--json"]);
        for name in names {
            command.env_remove(format!("SESSION_SWEEP_PROCESSES_{name}"));
        }
        document(Ran::of(&mut command), 0)
    };
    // Its threshold counts where ours is not set, and the variable of its own above it.
    assert_eq!(without(&["MIN_AGE"])["summary"]["owned"], 1);
    let stale = r#"{"dry_run_default": false, "cleanup_mode": "auto", "stale_heartbeat_threshold_minutes": 2000}"#;
    scene.world.file(".claude/process-janitor-config.json", stale, 0);
    assert_eq!(without(&["STALE"])["summary"]["owned"], 1);
    assert!(scene.runs(pid));
    assert_eq!(without(&[])["processes_ended"], 1);
    assert!(!scene.runs(pid));
}

#[test]
fn nobody_there_to_be_asked_ends_with_2_and_says_how_to_do_without() {
    let (scene, pid) = scene();
    let ran = scene.run(&["clean", "--execute"]).ends_with(2);
    assert!(ran.stderr.contains("--yes") && ran.stderr.contains("--dry-run"), "{ran:?}");
    assert!(scene.runs(pid) && scene.has_record(OVER));
    scene.run(&["clean", "--execute", "--yes"]).ends_with(0);
    assert!(!scene.runs(pid) && !scene.has_record(OVER));
    // Where nothing is to be done nobody is asked.
    scene.run(&["clean", "--execute"]).ends_with(0);
}

#[test]
fn it_shows_the_list_and_asks() {
    let (scene, pid) = scene();
    let mut window = Window::open();
    for no in ["n", ""] {
        let mut talk = window.talk(&scene.command(&["clean", "--execute"]));
        talk.expect(&format!("end       {pid:>7}")).expect("1 orphan would be ended");
        talk.expect("Proceed with cleanup?").answer(no);
        talk.ends_with(0);
        // What was said last may be shown a moment later.
        until(|| window.shown().contains("Cleanup cancelled"));
        assert!(!window.shown().contains("Dry run"));
        assert!(scene.runs(pid) && scene.has_record(OVER));
    }
    let mut talk = window.talk(&scene.command(&["clean", "--execute"]));
    talk.expect("Proceed with cleanup?").end_of_input();
    assert_ne!(talk.ends_with(1).status, 0);
    assert!(scene.runs(pid));
    let mut talk = window.talk(&scene.command(&["clean", "--execute"]));
    talk.expect("Proceed with cleanup?").answer("y");
    talk.ends_with(0);
    assert!(!scene.runs(pid) && !scene.has_record(OVER));
}

#[test]
fn one_run_ends_so_many_at_most_and_the_next_one_the_rest() {
    let (scene, first) = scene();
    let second = scene.start("mcp-server-y").of(OVER).orphaned();
    let below = scene.start("worker").below(first);
    wait_old(&[second, below]);
    let shown = scene.run(&["clean", "--max", "1"]).ends_with(0).stdout;
    assert!(shown.contains("One run ends 1 of them at most (--max); 1 would be left"), "{shown}");
    assert!(!scene.run(&["clean", "--max", "2"]).ends_with(0).stdout.contains("at most"));
    let done = scene.json(&["clean", "--auto", "--max", "1"], 4);
    // What an orphan started is not counted.
    assert_eq!(done["processes_ended"], 2);
    assert!(!scene.runs(first) && !scene.runs(below) && scene.runs(second));
    let refused: Vec<&Value> =
        done["ended"].as_array().unwrap().iter().filter(|end| end["result"] == "refused").collect();
    assert!(refused.len() == 1 && refused[0]["pid"] == second, "{done:#}");
    assert!(refused[0]["refused"].as_str().unwrap().contains("--max"), "{done:#}");
    // The record stays as long as one of its processes does.
    assert!(scene.has_record(OVER));
    scene.json(&["clean", "--auto", "--max", "1"], 0);
    assert!(!scene.runs(second) && !scene.has_record(OVER));
}

#[test]
fn a_run_in_which_all_was_refused_says_so() {
    let (scene, pid) = scene();
    // It cannot be who it was: the world's control group changes before the signal, as /proc shows it to nobody twice.
    let stat = scene.proc().join(format!("{pid}/stat"));
    let text = fs_err::read_to_string(&stat).unwrap();
    let mut fields: Vec<&str> = text.trim_end().split(' ').collect();
    let place = fields.len() - (52 - 21);
    let earlier = (fields[place].parse::<u64>().unwrap() - 1).to_string();
    fields[place] = &earlier;
    fs_err::remove_file(&stat).unwrap();
    fs_err::write(&stat, fields.join(" ")).unwrap();
    let ran = scene.run(&["clean", "--auto"]).ends_with(4);
    assert!(ran.stdout.contains("Nothing was ended: every orphan was refused"), "{ran:?}");
    assert!(ran.stdout.contains("is another process's by now"), "{ran:?}");
    let ran = scene.run(&["clean", "--auto", "-q"]).ends_with(4);
    assert!(ran.stdout.is_empty() && ran.stderr.contains("was left alone"), "{ran:?}");
    assert!(scene.runs(pid) && scene.has_record(OVER));
}

#[test]
fn two_cleaners_at_once_do_not_meet() {
    let (scene, pid) = scene();
    scene.deafen(pid);
    let mut first = scene.command(&["clean", "--auto", "--grace", "5s"]);
    let mut first = first.stdout(std::process::Stdio::null()).spawn().unwrap();
    let lock = scene.world.home().join(".local/state/session-sweep/processes-clean.lock");
    until(|| fs_err::read_to_string(&lock).is_ok_and(|text| text.contains(&first.id().to_string())));
    let mut second = scene.command(&["clean", "--auto"]);
    let ran = Ran::of(second.env("SESSION_SWEEP_MAP_WAIT", "never")).ends_with(3);
    assert!(ran.stderr.contains(&first.id().to_string()) && ran.stderr.contains("processes clean"), "{ran:?}");
    // Looking is free.
    scene.run(&["scan"]).ends_with(1);
    scene.kill(pid);
    assert!(first.wait().unwrap().success());
    scene.run(&["clean", "--auto"]).ends_with(0);
}

#[test]
fn at_another_time_nothing_is_ended() {
    let (scene, pid) = scene();
    let time = in_an_hour();
    for arguments in [&["clean", "--auto", "--at", &time][..], &["clean", "--execute", "--yes", "--at", &time]] {
        let ran = scene.run(arguments).ends_with(2);
        assert!(ran.stderr.contains("--at"), "{ran:?}");
    }
    scene.run(&["clean", "--at", &time]).ends_with(0);
    assert!(scene.runs(pid) && scene.has_record(OVER));
}

#[test]
fn only_the_records_own_files_are_removed() {
    let (scene, pid) = scene();
    scene.record(&id(1), &json!({}));
    scene.record(&id(2), &json!({}));
    let sessions = scene.sessions();
    let put = |path: &str, text: &str| {
        let path = sessions.join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    };
    put(&format!("{}/heartbeat.pid", id(1)), "4711\n");
    put(&format!("{}/notes.txt", id(2)), "mine");
    put(&format!("{}.lock.dir/pid", id(1)), "1");
    put("registry.jsonl", &format!("{{\"session_id\":\"{OVER}\"}}\n"));
    put("registry.jsonl.lock", "");
    put("4711.json", "{\"pid\":4711,\"sessionId\":\"x\"}");
    put(&format!("4711.{}.key", "0a".repeat(32)), "secret");
    put("other-plugin/state.json", "{}");
    put(&format!("{}/empty", id(3)), "");
    let others = |names: &[String]| {
        let gone = [OVER.to_owned(), id(1), id(2)];
        names.iter().filter(|name| !gone.contains(name)).map(|name| tree_of(&sessions.join(name))).collect::<Vec<_>>()
    };
    let before = others(&names_in(&sessions));
    let done = scene.json(&["clean", "--auto"], 0);
    assert_eq!(done["removed"].as_array().unwrap().len(), 3);
    let now = names_in(&sessions);
    assert_eq!(others(&now), before);
    assert!(!now.contains(&OVER.to_owned()) && !now.contains(&id(1)) && !scene.runs(pid));
    assert_eq!(names_in(&sessions.join(id(2))), ["notes.txt"]);
    assert_eq!(fs_err::read_to_string(sessions.join(id(2)).join("notes.txt")).unwrap(), "mine");
}

#[test]
fn records_go_when_their_time_has_come() {
    let scene = Processes::new();
    let completed = |hours| json!({"status": "completed", "end_time": hours_ago(hours)});
    for (number, other, fate) in [
        (1, completed(24 * 7 - 1), "kept"),
        (2, completed(24 * 7 + 1), "expired"),
        (3, json!({}), "left over"),
        (4, json!({"hostname": "elsewhere"}), "unknown"),
        (5, json!({"pid": "many"}), "unknown"),
        (6, json!({"last_heartbeat": "soon"}), "unknown"),
        (7, json!({"start_time": hours_ago(-1)}), "unknown"),
        (8, json!({"last_heartbeat": hours_ago(-1)}), "unknown"),
        (9, json!({"status": "completed", "end_time": "soon"}), "unknown"),
        (10, json!({"session_id": LIVE}), "unknown"),
        (11, json!({"status": "completed"}), "unknown"),
        (12, json!({"boot_id": "earlier", "pid": 1}), "left over"),
        (13, json!({"hostname": host(), "status": "stopped"}), "left over"),
    ] {
        scene.record(&id(number), &other);
        let found = scene.json(&["clean"], 0);
        let record = |record: &&Value| record["session_id"] == id(number);
        let record = found["records"].as_array().unwrap().iter().find(record).unwrap_or_else(|| panic!("{found:#}"));
        assert_eq!(record["fate"], fate, "{other}: {record}");
    }
    let done = scene.json(&["clean", "--auto"], 0);
    let removed: Vec<&Value> = done["removed"].as_array().unwrap().iter().map(|one| &one["session_id"]).collect();
    assert_eq!(removed, [&json!(id(2)), &json!(id(3)), &json!(id(12)), &json!(id(13))]);
    assert_eq!(names_in(&scene.sessions()).len(), 9);
}

#[test]
fn records_of_another_host_are_kept() {
    let scene = Processes::new();
    let home = "tests/fixtures/janitor/claude-home/.";
    let claude = scene.world.home().join(".claude");
    fs_err::create_dir_all(&claude).unwrap();
    assert!(std::process::Command::new("cp").args(["-r", home]).arg(&claude).status().unwrap().success());
    let before = tree_of(&claude);
    let clean = |retention: &str| {
        let mut command = scene.command(&["clean", "--auto", "--json"]);
        document(Ran::of(command.env("SESSION_SWEEP_PROCESSES_RETENTION", retention)), 0)
    };
    let done = clean("never");
    assert_eq!((&done["removed"], &done["processes_ended"]), (&json!([]), &json!(0)));
    assert_eq!(done["records"].as_array().unwrap().len(), 3);
    assert_untouched(&before, &claude);
    // But for one that said itself that it had ended, as long ago as such are kept.
    let done = clean("7d");
    let completed = "5b0e7c1d-8c55-4a0c-8f6d-9f3c3a9f0c21";
    assert_eq!((&done["removed"][0]["session_id"], done["removed"].as_array().unwrap().len()), (&json!(completed), 1));
    assert!(
        !scene.has_record(completed)
            && names_in(&scene.sessions()).len()
                == before.keys().filter(|path| path.parent() == Some(&scene.sessions())).count() - 1
    );
}

#[test]
fn a_notice_is_shown_when_something_was_ended_and_it_is_wanted() {
    let scene = Processes::new();
    let (said, folder) = (scene.path("said"), scene.path("notify"));
    fs_err::create_dir(&folder).unwrap();
    let script = format!("#!/bin/sh\nprintf '%s\\n' \"$@\" >>'{}'\n", said.display());
    fs_err::write(scene.path("script"), script).unwrap();
    let installed =
        std::process::Command::new("install").arg(scene.path("script")).arg(folder.join("notify-send")).status();
    assert!(installed.unwrap().success());
    let run = |notify: &str| {
        let mut command = scene.command(&["clean", "--auto"]);
        Ran::of(command.env("PATH", &folder).env("SESSION_SWEEP_PROCESSES_NOTIFY", notify)).ends_with(0);
    };
    run("true");
    // A record alone is nobody's news.
    scene.record(OVER, &json!({}));
    run("true");
    let pid = scene.orphan();
    wait_old(&[pid]);
    run("false");
    assert!(!scene.runs(pid) && !said.exists());
    let pid = scene.orphan();
    wait_old(&[pid]);
    run("true");
    let text = fs_err::read_to_string(&said).unwrap();
    assert!(!scene.runs(pid) && text.contains("Left over and ended: 1"), "{text}");
}
