//! A sweep of queues is a guest: it reads what it must, writes what it says, follows no link, and waits for nobody for long.

use std::io::Read as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::machine::strace;
use crate::processes_facts::until;
use crate::queues_schemas::{GENERATIONS, Generation};
use crate::queues_world::{
    GROUP, Queues, Session, assert_retried, corrupt, in_document, is_in, iso, journal_of, problem, read_only, step,
    steps, write_half,
};
use crate::tree::{assert_untouched, names_in, tree_of};
use crate::world::Ran;

/// A claim that nobody works on, an acknowledgement, and a run that is over.
fn work(session: &Session) {
    session.message("m1");
    session.message("m2");
    session.claim("m1", 300).ack("m2", "completed");
    session.task("t1", "0 9 * * *").set("status", "completed");
}

#[track_caller]
fn assert_worked(session: &Session, document: &Value) {
    assert_retried(session, "m1", document, 1, 5);
    assert_eq!(session.status("m2"), "completed");
    assert_eq!(session.others(&["m1", "m2", "t1"]).len(), 1);
    session.assert_sound();
}

#[test]
fn looking_and_rehearsing_change_nothing() {
    for generation in GENERATIONS {
        let queues = Queues::waking(generation);
        work(&queues.session("sess-a"));
        queues.container(&queues.session_folder(GROUP, "sess-gone"), 60);
        let before = queues.everything();
        for arguments in
            [&["status"][..], &["containers"], &["sweep", "--dry-run"], &["status", "--at", "2026-11-20T12:00:00Z"]]
        {
            queues.run(arguments).ends_with(0);
            queues.assert_unchanged(&before);
        }
        assert!(queues.engine.stops().is_empty() && queues.engine.wakes().is_empty());
        let planned = queues.json(&["sweep", "--dry-run"], 0);
        let planned = in_document(&planned, "sess-a")["steps"].as_array().unwrap().clone();
        assert!(planned.len() >= 4 && planned.iter().all(|step| step["result"] == "planned"), "{planned:#?}");
    }
}

#[test]
fn a_sweep_leaves_the_central_database_and_its_folder_as_they_are() {
    for generation in GENERATIONS {
        let queues = Queues::waking(generation);
        let session = queues.session("sess-a");
        work(&session);
        let (bytes, names) = (fs_err::read(queues.central_path()).unwrap(), names_in(&queues.root().join("data")));
        let document = queues.sweep(0);
        assert_worked(&session, &document);
        assert!(fs_err::read(queues.central_path()).unwrap() == bytes);
        assert_eq!(names_in(&queues.root().join("data")), names);
        assert_eq!(names_in(&queues.root()), ["data"]);
        assert_eq!(names_in(&session.folder), ["inbound.db", "outbound.db"]);
    }
}

/// By another process: this one's locks on a file would end when it closes another descriptor of it.
fn bytes_of(path: &Path) -> Vec<u8> {
    Command::new("cat").arg(path).output().unwrap().stdout
}

#[test]
fn a_host_that_has_its_database_open_keeps_it_as_it_is() {
    let queues = Queues::new(Generation::B);
    let session = queues.session("sess-a");
    work(&session);
    let central = queues.central();
    central.execute_batch("UPDATE sessions SET last_active = 'now'").unwrap();
    let files = ["v2.db", "v2.db-wal"].map(|name| queues.root().join("data").join(name));
    let before = files.clone().map(|path| bytes_of(&path));
    let names = names_in(&queues.root().join("data"));
    queues.run(&["status"]).ends_with(0);
    let document = queues.sweep(0);
    assert_worked(&session, &document);
    assert!(files.map(|path| bytes_of(&path)) == before);
    assert_eq!(names_in(&queues.root().join("data")), names);
    // It goes on as if nothing had been.
    central.execute_batch("UPDATE sessions SET last_active = 'later'").unwrap();
    let check: String = central.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
}

#[test]
fn no_schema_is_changed_and_no_database_changes_its_mode() {
    for generation in GENERATIONS {
        let queues = Queues::waking(generation);
        let session = queues.session("sess-a");
        work(&session);
        let schemas = session.schemas();
        queues.sweep(0);
        assert_eq!(session.schemas(), schemas);
        for path in [session.inbound_path(), session.outbound_path()] {
            let header = fs_err::read(path).unwrap();
            assert_eq!(header[18..20], [1, 1], "the versions that a rollback journal has");
        }
        session.assert_sound();
    }
}

/// Every file that a run of `sweep` opened, or nothing where there is no strace.
fn opened(queues: &Queues) -> Option<String> {
    let trace = queues.world.root().join("trace");
    let command = queues.command(&["sweep"]);
    let mut traced = strace(&["-o", trace.to_str().unwrap(), "-e", "trace=open,openat,openat2"], &command)?;
    Ran::of(&mut traced).ends_with(0);
    Some(fs_err::read_to_string(trace).unwrap())
}

/// Sweeps until nothing of these sessions is looked at again: what was written just now could be written once more
/// without its time telling.
#[track_caller]
fn settle(queues: &Queues, sessions: u64) {
    until(|| queues.sweep(0)["unchanged"] == sessions);
}

#[test]
fn a_session_in_which_nothing_changed_is_not_opened_again() {
    let queues = Queues::waking(Generation::B);
    let [idle, other] = ["sess-idle", "sess-other"].map(|id| queues.session(id));
    idle.message("m1").later();
    other.message("m1").set("status", "completed");
    settle(&queues, 2);
    if let Some(opened) = opened(&queues) {
        assert!(opened.contains("v2.db") && !opened.contains("bound.db"), "{opened}");
    }
    // What a container says counts at once.
    other.message("m2");
    other.ack("m2", "completed");
    let document = queues.sweep(0);
    assert_eq!(steps(&document, "sess-other"), ["acknowledge m2 done"]);
    assert_eq!(document["unchanged"], 1);
}

#[test]
fn a_hot_journal_beside_a_database_that_did_not_change_is_found_within_ten_minutes() {
    let queues = Queues::new(Generation::B);
    let session = queues.session("sess-a");
    session.message("m1").set("status", "completed");
    // A writer that is killed before it wrote into the database itself.
    let copy = queues.world.root().join("inbound.db");
    fs_err::copy(session.inbound_path(), &copy).unwrap();
    let writer = write_half(&copy, "UPDATE messages_in SET status = 'failed'");
    let journal = fs_err::read(journal_of(&copy)).unwrap();
    drop(writer);
    settle(&queues, 1);
    fs_err::write(journal_of(&session.inbound_path()), journal).unwrap();
    assert_eq!(queues.sweep(0)["unchanged"], 1);
    let soon = iso(-600);
    let document = queues.json(&["sweep", "--dry-run", "--at", &soon], 0);
    assert_eq!(step(&document, "sess-a", "roll_back")["database"], "inbound.db");
}

#[test]
fn status_opens_what_a_sweep_need_not() {
    let queues = Queues::new(Generation::B);
    let session = queues.session("sess-idle");
    session.message("m1").later();
    settle(&queues, 1);
    let document = queues.json(&["status"], 0);
    assert_eq!(in_document(&document, "sess-idle")["pending"], 1);
}

#[test]
fn a_session_that_did_not_change_is_looked_at_when_something_becomes_due() {
    let queues = Queues::waking(Generation::B);
    let session = queues.session("sess-idle");
    // In whole seconds, as SQLite compares them.
    let at = chrono::DateTime::from_timestamp(chrono::Utc::now().timestamp() + 8, 0).unwrap();
    session.message("m1").set("process_after", at.to_rfc3339());
    until(|| {
        queues.sweep(0);
        !queues.engine.wakes().is_empty()
    });
    assert!(chrono::Utc::now() >= at);
}

#[test]
fn a_session_that_did_not_change_is_looked_at_when_its_container_goes() {
    let queues = Queues::waking(Generation::B);
    let session = queues.session("sess-a");
    let container = queues.container(&session, 60);
    session.message("m1");
    session.claim("m1", 20).heartbeat(5);
    until(|| {
        session.heartbeat(5);
        queues.sweep(0);
        names_in(&session.folder).len() == 3 && session.claims() == ["m1"]
    });
    queues.engine.end(&container);
    session.heartbeat(300);
    let document = queues.sweep(0);
    assert!(steps(&document, "sess-a").contains(&"retry m1 done".to_owned()), "{document:#}");
    assert_retried(&session, "m1", &document, 1, 5);
}

/// Where links lead that somebody planted: another session's files, in a folder beside the installation.
fn outside(queues: &Queues) -> Session {
    let victim = queues.session_folder(GROUP, "victim");
    work(&victim);
    let folder = queues.world.root().join("outside");
    fs_err::rename(&victim.folder, &folder).unwrap();
    Session { folder, ..victim }
}

/// Fails unless a link in a session's folder is not followed, and the sessions beside it are swept.
#[track_caller]
fn assert_not_followed(statuses: &[i32], plant: impl Fn(&Session, &Session)) {
    let queues = Queues::waking(Generation::B);
    let victim = outside(&queues);
    let [a, b, c] = ["sess-a", "sess-b", "sess-c"].map(|id| queues.session(id));
    for session in [&a, &b, &c] {
        work(session);
    }
    plant(&b, &victim);
    let before = tree_of(&victim.folder);
    let ran = queues.run(&["sweep", "--json"]);
    assert!(statuses.contains(&ran.status), "{ran:?}");
    let told: Value = serde_json::from_str(&ran.stdout).unwrap();
    let mut document = told["installations"][0].clone();
    document["now"] = told["now"].clone();
    assert_untouched(&before, &victim.folder);
    assert_worked(&a, &document);
    assert_worked(&c, &document);
    if ran.status == 4 {
        let session = in_document(&document, "sess-b");
        let refused = |step: &Value| step["result"] == "refused" || step["result"] == "failed";
        let is_told = session["problem"].is_string() || session["steps"].as_array().unwrap().iter().any(refused);
        assert!(is_told, "{document:#}");
    }
}

fn replace_by_link(path: &Path, target: &Path) {
    if path.is_dir() {
        fs_err::remove_dir_all(path).unwrap();
    } else if path.exists() {
        fs_err::remove_file(path).unwrap();
    }
    symlink(target, path).unwrap();
}

#[test]
fn a_link_in_place_of_a_database_is_not_followed() {
    assert_not_followed(&[4], |session, victim| replace_by_link(&session.inbound_path(), &victim.inbound_path()));
    assert_not_followed(&[4], |session, victim| replace_by_link(&session.outbound_path(), &victim.outbound_path()));
    assert_not_followed(&[4], |session, _| replace_by_link(&session.outbound_path(), Path::new("/dev/zero")));
}

#[test]
fn a_link_in_place_of_a_journal_is_not_followed() {
    // What SQLite has no use for hinders nobody.
    for name in ["inbound.db-journal", "outbound.db-journal", "inbound.db-wal", "outbound.db-wal"] {
        assert_not_followed(&[0, 4], |session, victim| {
            symlink(victim.inbound_path(), session.folder.join(name)).unwrap();
        });
        assert_not_followed(&[0, 4], |session, victim| {
            // Nothing is there yet that would be made.
            symlink(victim.folder.join("new"), session.folder.join(name)).unwrap();
        });
    }
}

#[test]
fn a_link_in_place_of_a_session_is_not_followed() {
    assert_not_followed(&[4], |session, victim| replace_by_link(&session.folder, &victim.folder));
}

#[test]
fn a_link_in_place_of_an_agent_group_is_not_followed() {
    let queues = Queues::waking(Generation::B);
    let victim = outside(&queues);
    queues.group("ag-linked");
    queues.insert_session("ag-linked", "outside");
    let linked = queues.root().join("data/v2-sessions/ag-linked");
    symlink(victim.folder.parent().unwrap(), &linked).unwrap();
    let fine = queues.session("sess-a");
    work(&fine);
    let before = tree_of(&victim.folder);
    let document = queues.sweep(4);
    assert_untouched(&before, &victim.folder);
    assert!(!problem(&document, "outside").is_empty());
    assert_worked(&fine, &document);
}

#[test]
fn a_link_in_place_of_a_heartbeat_says_nothing() {
    let queues = Queues::new(Generation::B);
    let [fresh, old] = ["sess-fresh", "sess-old"].map(|id| queues.session(id));
    let beats = queues.session_folder(GROUP, "beats");
    for (session, age) in [(&fresh, 2), (&old, 9_000)] {
        beats.heartbeat(age);
        let target = queues.world.root().join(format!("beat-{age}"));
        fs_err::rename(beats.folder.join(".heartbeat"), &target).unwrap();
        symlink(target, session.folder.join(".heartbeat")).unwrap();
    }
    let document = queues.json(&["status"], 0);
    for id in ["sess-fresh", "sess-old"] {
        assert_eq!(in_document(&document, id)["heartbeat"], Value::Null, "{document:#}");
    }
}

#[test]
fn ids_that_are_no_names_of_folders_are_refused_and_the_rest_is_swept() {
    let odd = ["../outside", "..", ".", "", "/etc", "a/b", ".hidden", "-rf", "--help", "a\0b"];
    for (group, id) in odd.iter().map(|odd| (GROUP, *odd)).chain(odd.iter().map(|odd| (*odd, "sess-x"))) {
        let queues = Queues::waking(Generation::B);
        let victim = outside(&queues);
        // Where the names would lead.
        let beside = queues.root().join("data/v2-sessions/outside");
        fs_err::create_dir_all(&beside).unwrap();
        for name in ["inbound.db", "outbound.db"] {
            for folder in [beside.clone(), beside.join("sess-x"), queues.root().join("data/outside/sess-x")] {
                fs_err::create_dir_all(&folder).unwrap();
                fs_err::copy(victim.folder.join(name), folder.join(name)).unwrap();
            }
        }
        if group != GROUP {
            queues.group(group);
        }
        queues.insert_session(group, id);
        let fine = queues.session("sess-fine");
        work(&fine);
        let trees = [beside, queues.root().join("data/outside"), victim.folder.clone()];
        let before = trees.clone().map(|tree| tree_of(&tree));
        let document = queues.sweep(4);
        for (tree, before) in trees.iter().zip(&before) {
            assert_untouched(before, tree);
        }
        assert_worked(&fine, &document);
        assert!(queues.engine.wakes().iter().all(|wake| wake.starts_with("sess-fine ")), "{:?}", queues.engine.wakes());
    }
}

fn fifo(path: &Path) {
    let _ = fs_err::remove_file(path);
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn a_pipe_or_a_folder_in_place_of_a_file_holds_nobody_up() {
    type Plant = fn(&Session);
    let plants: [Plant; 4] = [
        |session| fifo(&session.inbound_path()),
        |session| fifo(&session.outbound_path()),
        |session| {
            fs_err::remove_file(session.inbound_path()).unwrap();
            fs_err::create_dir(session.inbound_path()).unwrap();
        },
        |session| {
            fs_err::remove_dir_all(&session.folder).unwrap();
            fifo(&session.folder);
        },
    ];
    for plant in plants {
        assert_not_followed(&[4], |session, _| plant(session));
    }
    let queues = Queues::new(Generation::B);
    let session = queues.session("sess-a");
    work(&session);
    fifo(&session.folder.join(".heartbeat"));
    assert_worked(&session, &queues.sweep(0));
}

#[test]
fn a_pipe_in_place_of_a_journal_holds_nobody_up() {
    for name in ["outbound.db-journal", "inbound.db-journal", "outbound.db-wal", "inbound.db-wal", "inbound.db-shm"] {
        let queues = Queues::new(Generation::B);
        let [a, b, c] = ["sess-a", "sess-b", "sess-c"].map(|id| queues.session(id));
        for session in [&a, &b, &c] {
            work(session);
        }
        fifo(&b.folder.join(name));
        // Whether there is anything to be told depends on what the pipe is in place of.
        let ran = queues.run(&["sweep", "--json"]);
        assert!(matches!(ran.status, 0 | 4), "{ran:?}");
        for session in [&a, &c] {
            assert_eq!(
                (session.status("m2"), &session.row("m1")["tries"]),
                ("completed".to_owned(), &json!(1)),
                "{name}"
            );
        }
    }
}

#[test]
fn a_pipe_in_place_of_the_central_database_holds_nobody_up() {
    let queues = Queues::new(Generation::B);
    fifo(&queues.central_path());
    queues.run(&["sweep"]).ends_with(1);
    queues.run(&["status"]).ends_with(1);
}

/// A view of a table's name and columns that never ends, with rows or without any.
fn make_endless(database: &Connection, table: &str, least: i64) {
    let columns: Vec<String> =
        crate::queues_world::rows(database, &format!("SELECT name FROM pragma_table_info('{table}')"))
            .into_iter()
            .map(|row| format!("x || 'm' AS {}", row["name"].as_str().unwrap()))
            .collect();
    let view = format!(
        "DROP TABLE {table};
         CREATE VIEW {table} AS WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)
         SELECT {} FROM n WHERE x % 2 >= {least}",
        columns.join(", ")
    );
    database.execute_batch(&view).unwrap();
}

#[test]
fn a_query_that_never_ends_is_cut_off_and_told_of() {
    for least in [0, 2] {
        assert_not_followed(&[4], |session, _| make_endless(&session.inbound(), "messages_in", least));
        assert_not_followed(&[4], |session, _| make_endless(&session.outbound(), "processing_ack", least));
    }
}

#[test]
fn a_second_sweep_does_not_run_beside_a_first() {
    let queues = Queues::waking(Generation::B);
    queues.session("sess-a").message("m1");
    queues.engine.hang_wakes();
    let mut first = queues.command(&["sweep"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until(|| !queues.engine.wakes().is_empty());
    queues.run(&["sweep", "--wait", "never"]).ends_with(3);
    queues.run(&["status"]).ends_with(0);
    queues.run(&["sweep", "--dry-run"]).ends_with(0);
    queues.engine.mend_wakes();
    let mut said = String::new();
    first.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(first.wait().unwrap().success(), "{said}");
    assert_eq!(queues.engine.wakes().len(), 1);
}

#[test]
fn endings_tell_what_became_of_it() {
    let queues = Queues::new(Generation::B);
    queues.run(&["sweep"]).ends_with(0);
    queues.run(&["sweep", "--dry-run", "--exit-code"]).ends_with(0);
    work(&queues.session("sess-a"));
    queues.run(&["sweep", "--dry-run", "--exit-code"]).ends_with(10);
    queues.run(&["sweep", "--dry-run"]).ends_with(0);
    queues.run(&["sweep", "--at", "2026-11-20T12:00:00Z"]).ends_with(2);
    Ran::of(&mut queues.command_anywhere(&["sweep"])).ends_with(2);
    queues.run(&["sweep", "--yes"]).ends_with(0);
    let nowhere = Ran::of(&mut queues.command_anywhere(&["sweep", "--root", "/nowhere"])).ends_with(1);
    assert!(nowhere.stderr.contains("/nowhere") || nowhere.stdout.contains("/nowhere"), "{nowhere:?}");
}

#[test]
fn an_installation_that_cannot_be_looked_at_stops_no_other() {
    let queues = Queues::new(Generation::B);
    let session = queues.session("sess-a");
    work(&session);
    let broken = queues.world.root().join("broken");
    fs_err::create_dir_all(broken.join("data")).unwrap();
    corrupt(&broken.join("data/v2.db"));
    let roots = [broken, PathBuf::from("/nowhere"), queues.root()].map(|root| root.to_str().unwrap().to_owned());
    let mut arguments = vec!["sweep", "--json"];
    for root in &roots {
        arguments.extend(["--root", root]);
    }
    let ran = Ran::of(&mut queues.command_anywhere(&arguments));
    assert!(matches!(ran.status, 1 | 4), "{ran:?}");
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    let installations = document["installations"].as_array().unwrap();
    assert_eq!(installations.len(), 3);
    assert!(installations[0]["error"].is_string() && installations[1]["error"].is_string(), "{document:#}");
    let mut third = installations[2].clone();
    third["now"] = document["now"].clone();
    assert_eq!(third["error"], Value::Null);
    assert_worked(&session, &third);
}

#[test]
fn audit_and_sweep_include_every_configured_root() {
    let mut queues = Queues::new(Generation::B);
    queues.set("tries = 5");
    queues.world.map("{}");
    let session = queues.session("sess-a");
    work(&session);
    let run = |arguments: &[&str]| {
        let mut command = queues.world.command_at_present(arguments);
        command.env("PATH", queues.engine.bin());
        Ran::of(&mut command).ends_with(0)
    };
    let audit: Value = serde_json::from_str(&run(&["audit", "--json"]).stdout).unwrap();
    assert_eq!(audit["queues"][0]["root"], json!(queues.root()), "{audit:#}");
    assert!(is_in(&audit["queues"][0], "sess-a"), "{audit:#}");
    assert_eq!(session.claims(), ["m1"], "audit changes nothing");
    run(&["sweep"]);
    assert!(session.claims().is_empty());
    assert_eq!(session.status("m2"), "completed");
    Ran::of(queues.command_anywhere(&["sweep", "--dry-run"]).arg("--json")).ends_with(0);
}

#[test]
fn no_database_is_made_where_there_is_none() {
    let queues = Queues::new(Generation::B);
    queues.insert_session(GROUP, "sess-none");
    fs_err::create_dir_all(queues.root().join("data/v2-sessions").join(GROUP).join("sess-none")).unwrap();
    let half = queues.session("sess-half");
    fs_err::remove_file(half.outbound_path()).unwrap();
    let before = queues.everything();
    queues.run(&["sweep"]);
    queues.run(&["status"]);
    queues.assert_unchanged(&before);
    let empty = queues.world.root().join("empty");
    fs_err::create_dir_all(empty.join("data")).unwrap();
    let nothing = ["sweep", "--root", empty.to_str().unwrap()];
    Ran::of(&mut queues.command_anywhere(&nothing)).ends_with(1);
    assert!(names_in(&empty.join("data")).is_empty());
    assert!(read_only(&queues.central_path()).is_readonly("main").unwrap());
}
