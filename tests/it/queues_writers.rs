//! Sweeps beside a host and containers that write at the same time, and sweeps that are killed.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};
use serde_json::Value;

use crate::machine::strace_alone;
use crate::queues_schemas::{GENERATIONS, Generation};
use crate::queues_world::{GROUP, Queues, Session, bare, iso, journal_of, kill_writer, rows};
use crate::world::Ran;

/// As patient as need be: what matters is how long the sweep keeps others waiting, not how slow the disk is.
fn patient(path: &Path) -> Connection {
    let database = Connection::open(path).unwrap();
    database.busy_timeout(Duration::from_secs(50)).unwrap();
    database
}

/// Lets others in for as long as it kept them out: no writer is one without a pause.
fn pause(began: Instant) {
    std::thread::sleep(began.elapsed().max(Duration::from_millis(2)));
}

/// A host: adds messages one by one, each with the next even number, read first and then written, and closes the database.
fn host(session: &Session, done: &AtomicBool, prefix: &str) -> BTreeSet<String> {
    let mut written = BTreeSet::new();
    while !done.load(Ordering::SeqCst) {
        let id = format!("{prefix}-{}", written.len());
        // An outsider's row in between makes its number taken: it takes the next one.
        let began = Instant::now();
        while !insert(session, &id) {}
        pause(began);
        written.insert(id);
    }
    written
}

fn insert(session: &Session, id: &str) -> bool {
    let inbound = patient(&session.inbound_path());
    let last: i64 = inbound.query_row("SELECT coalesce(max(seq), 0) FROM messages_in", [], |row| row.get(0)).unwrap();
    let sql = "INSERT INTO messages_in (id, seq, kind, timestamp, content) VALUES (?1, ?2, 'chat', ?3, '{}')";
    match inbound.execute(sql, params![id, last / 2 * 2 + 2, iso(0)]) {
        Ok(_) => true,
        Err(error) if error.to_string().contains("UNIQUE") => false,
        Err(error) => panic!("{error}"),
    }
}

/// A container: takes what is pending, says that it works on it, and that it is done, with a heartbeat each time.
fn container(session: &Session, done: &AtomicBool) -> BTreeSet<String> {
    let mut finished = BTreeSet::new();
    while !done.load(Ordering::SeqCst) {
        session.heartbeat(0);
        let began = Instant::now();
        let inbound = patient(&session.inbound_path());
        let pending =
            rows(&inbound, "SELECT id FROM messages_in WHERE status = 'pending' AND kind = 'chat' ORDER BY seq");
        drop(inbound);
        let next = pending.iter().map(|row| row["id"].as_str().unwrap()).find(|id| !finished.contains(*id));
        let Some(id) = next else { continue };
        let outbound = patient(&session.outbound_path());
        for status in ["processing", "completed"] {
            let sql = "INSERT OR REPLACE INTO processing_ack VALUES (?1, ?2, ?3)";
            outbound.execute(sql, params![id, status, bare(0)]).unwrap();
        }
        let sql = "INSERT INTO messages_out (id, seq, timestamp, kind, content)
                   SELECT ?1, coalesce(max(seq), -1) + 2, ?2, 'chat', '{}' FROM messages_out";
        outbound.execute(sql, params![format!("re-{id}"), iso(0)]).unwrap();
        drop(outbound);
        pause(began);
        finished.insert(id.to_owned());
    }
    finished
}

/// A container that dies again and again: it only claims.
fn dying(session: &Session, done: &AtomicBool) {
    for round in 0.. {
        if done.load(Ordering::SeqCst) {
            return;
        }
        let sql = "INSERT OR REPLACE INTO processing_ack VALUES (?1, 'processing', ?2)";
        let began = Instant::now();
        patient(&session.outbound_path()).execute(sql, params![format!("d-{}", round % 50), bare(300)]).unwrap();
        pause(began);
    }
}

/// A finished run every now and then, so that the sweep adds rows of its own.
fn tasks(session: &Session, done: &AtomicBool) -> usize {
    let mut number = 0;
    while !done.load(Ordering::SeqCst) {
        let began = Instant::now();
        let inbound = patient(&session.inbound_path());
        let sql = "INSERT OR IGNORE INTO messages_in (id, seq, kind, timestamp, status, recurrence, content)
                   SELECT ?1, max(seq) + 2, 'task', ?2, 'completed', '0 9 * * *', '{}' FROM messages_in";
        number += inbound.execute(sql, params![format!("task-{number}-x"), iso(0)]).unwrap();
        drop(inbound);
        pause(began);
    }
    number
}

fn every_id(session: &Session) -> Vec<String> {
    session.rows("messages_in").iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

fn beside_writers(generation: Generation) {
    let mut queues = Queues::new(generation);
    // Whatever is tried again waits longer than the test runs.
    queues.set("backoff = \"1h\"");
    let [live, dead] = ["sess-live", "sess-dead"].map(|id| queues.session(id));
    queues.container(&live, 60);
    for session in [&live, &dead] {
        session.message("first");
    }
    for message in 0..50 {
        dead.message(&format!("d-{message}"));
    }
    if generation == Generation::C {
        queues.lease(3_600, false);
    }
    let done = AtomicBool::new(false);
    let (first, second, finished, planned) = std::thread::scope(|threads| {
        let first = threads.spawn(|| host(&live, &done, "h"));
        let second = threads.spawn(|| host(&dead, &done, "h"));
        let finished = threads.spawn(|| container(&live, &done));
        let planned = threads.spawn(|| tasks(&live, &done));
        threads.spawn(|| dying(&dead, &done));
        // Whatever becomes of the sweeps, the writers end.
        let ran: Vec<Ran> = (0..12).map(|_| queues.run(&["sweep", "--take-over"])).collect();
        done.store(true, Ordering::SeqCst);
        for ran in ran {
            let said = [&*ran.stdout, &*ran.stderr].concat().to_lowercase();
            assert!(!said.contains("locked") && !said.contains("busy"), "{said}");
            ran.ends_with(0);
        }
        (first.join().unwrap(), second.join().unwrap(), finished.join().unwrap(), planned.join().unwrap())
    });
    queues.run(&["sweep", "--take-over"]).ends_with(0);
    assert!(!first.is_empty() && !second.is_empty() && !finished.is_empty());
    for (session, written) in [(&live, &first), (&dead, &second)] {
        let there = every_id(session);
        let lost: Vec<&String> = written.iter().filter(|id| !there.contains(id)).collect();
        assert!(lost.is_empty(), "lost: {lost:?}");
        let numbers: BTreeSet<i64> =
            session.rows("messages_in").iter().map(|row| row["seq"].as_i64().unwrap()).collect();
        assert_eq!(numbers.len(), there.len());
        assert!(numbers.iter().all(|number| number % 2 == 0), "the host's side has the even ones");
        session.assert_sound();
    }
    for id in &finished {
        assert_eq!(live.status(id), "completed", "{id}");
    }
    assert_eq!(live.rows("messages_out").len(), finished.len());
    // Each message of the one that dies was counted once: its next try lies ahead ever since.
    for message in 0..50 {
        assert!(dead.row(&format!("d-{message}"))["tries"].as_i64().unwrap() <= 1);
    }
    assert!(dead.claims().is_empty());
    // Each finished task has lost its expression; where a series can be told each has a run ahead.
    let armed =
        live.rows("messages_in").into_iter().filter(|row| row["status"] == "completed" && !row["recurrence"].is_null());
    assert_eq!(armed.count(), 0);
    let ahead = live.rows("messages_in").into_iter().filter(|row| row["status"] == "pending" && row["kind"] == "task");
    assert!((1..=planned).contains(&ahead.count()));
}

#[test]
fn sweeps_beside_a_host_and_containers_that_write_lose_nothing_and_lock_nobody_out() {
    beside_writers(Generation::B);
}

#[test]
fn sweeps_beside_writers_of_the_newest_and_the_oldest_schema_lose_nothing() {
    beside_writers(Generation::C);
    beside_writers(Generation::BeforeApril);
}

/// What changes a file; whatever comes between two of these makes no difference to what is on the disk.
const CHANGING: [&str; 9] =
    ["write", "pwrite64", "fsync", "fdatasync", "ftruncate", "unlink", "unlinkat", "rename", "renameat2"];

/// Something of everything that a sweep does: acknowledge, retry, clear, recur, stop, roll back, wake.
fn scene(generation: Generation) -> Queues {
    let mut queues = Queues::waking(generation);
    // So that a claim which is still there after a kill is not counted again, however slow the machine is.
    queues.set("backoff = \"1h\"").set("interval = \"1h\"");
    let [dead, stuck, torn] = ["sess-dead", "sess-stuck", "sess-torn"].map(|id| queues.session(id));
    for session in [&dead, &stuck, &torn] {
        session.message("m1");
        session.message("m2");
        session.claim("m1", 300).ack("m2", "completed");
        session.task("t1", "0 9 * * *").set("status", "completed");
    }
    queues.container(&stuck, 600);
    kill_writer(&torn.outbound_path(), "UPDATE processing_ack SET status = 'completed'");
    let orphan = queues.session_folder(GROUP, "sess-gone");
    queues.container(&orphan, 600);
    queues
}

fn sessions(queues: &Queues) -> [Session; 3] {
    ["sess-dead", "sess-stuck", "sess-torn"].map(|id| Session {
        id: id.to_owned(),
        group: GROUP.to_owned(),
        folder: queues.root().join("data/v2-sessions").join(GROUP).join(id),
        generation: queues.generation,
    })
}

/// What the next opener of a database sees, on copies, so that this one is none.
fn as_left(queues: &Queues, path: &Path) -> Connection {
    let aside = queues.world.root().join("aside");
    let _ = fs_err::remove_dir_all(&aside);
    fs_err::create_dir(&aside).unwrap();
    let copy = aside.join(path.file_name().unwrap());
    fs_err::copy(path, &copy).unwrap();
    if journal_of(path).exists() {
        fs_err::copy(journal_of(path), journal_of(&copy)).unwrap();
    }
    Connection::open(copy).unwrap()
}

/// What is true of a session whenever a sweep was killed.
fn check_killed(queues: &Queues, session: &Session, moment: &str) {
    for path in [session.inbound_path(), session.outbound_path()] {
        let check = rows(&as_left(queues, &path), "PRAGMA integrity_check");
        assert_eq!(check[0]["integrity_check"], "ok", "{moment}: {}", path.display());
    }
    let messages = rows(&as_left(queues, &session.inbound_path()), "SELECT * FROM messages_in");
    let get = |id: &str| messages.iter().find(|row| row["id"] == id).unwrap();
    let clones = messages.iter().filter(|row| !["m1", "m2", "t1"].map(Value::from).contains(&row["id"])).count();
    // The next run is there just when the expression is taken.
    assert_eq!(clones, usize::from(get("t1")["recurrence"].is_null()), "{moment}");
    // A try is counted with the time before which there is no other.
    assert_eq!(get("m1")["tries"] == 1, !get("m1")["process_after"].is_null(), "{moment}");
    assert!(get("m1")["tries"].as_i64().unwrap() <= 1 && get("m1")["status"] == "pending", "{moment}");
    let acks = rows(&as_left(queues, &session.outbound_path()), "SELECT * FROM processing_ack WHERE message_id = 'm1'");
    // A claim goes only after its message was seen to.
    assert!(!acks.is_empty() || get("m1")["tries"] == 1, "{moment}: the claim is gone, and the message lost with it");
}

/// What is true after the next sweep: everything is done, once.
fn check_finished(queues: &Queues, session: &Session, moment: &str) {
    assert_eq!(
        (session.status("m1"), session.status("m2")),
        ("pending".to_owned(), "completed".to_owned()),
        "{moment}"
    );
    assert_eq!(session.row("m1")["tries"], 1, "{moment}");
    assert!(session.claims().is_empty(), "{moment}");
    assert_eq!(session.others(&["m1", "m2", "t1"]).len(), 1, "{moment}");
    session.assert_sound();
    assert!(queues.engine.listed().is_empty(), "{moment}");
    // Who is killed between the hook and the note that it ran has it run again. Who is killed before it is woken when its
    // message is due again.
    let wakes = queues.engine.wakes().into_iter().filter(|wake| wake.starts_with(&session.id)).count();
    assert!(wakes <= 2, "{moment}: woken {wakes} times");
}

#[test]
fn a_sweep_killed_at_any_write_leaves_every_database_in_order_and_the_next_one_finishes() {
    let whole = scene(Generation::B);
    let trace = whole.world.root().join("trace");
    let options = format!("trace={}", CHANGING.join(","));
    let options = ["-o", trace.to_str().unwrap(), "-e", &options];
    // What the runtime and the hook write is none of this.
    let Some(mut command) = strace_alone(&options, &whole.command(&["sweep"])) else { return };
    Ran::of(&mut command).ends_with(0);
    for session in sessions(&whole) {
        check_finished(&whole, &session, "not killed");
    }
    let text = fs_err::read_to_string(trace).unwrap();
    let calls = |name: &str| text.lines().filter(|line| line.starts_with(&format!("{name}("))).count();
    let moments: Vec<(&str, usize)> =
        CHANGING.into_iter().flat_map(|name| (1..=calls(name)).map(move |number| (name, number))).collect();
    let (next, killed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some((name, number)) = moments.get(next.fetch_add(1, Ordering::SeqCst)) {
            let queues = scene(GENERATIONS[2 + number % 2]);
            let inject = format!("inject={name}:signal=SIGKILL:when={number}");
            let moment = format!("killed before {name} number {number}");
            let ran = Ran::of(&mut strace_alone(&["-e", &inject], &queues.command(&["sweep"])).unwrap());
            match ran.status {
                -1 => killed.lock().unwrap().push(moment.clone()),
                // It made fewer calls this time, or the runtime was hit.
                0 | 4 => {}
                _ => _ = ran.ends_with(0),
            }
            for session in sessions(&queues) {
                check_killed(&queues, &session, &moment);
            }
            let again = queues.run(&["sweep"]);
            assert_eq!(again.status, 0, "{moment}: {again:?}");
            for session in sessions(&queues) {
                check_finished(&queues, &session, &moment);
            }
        }
    };
    std::thread::scope(|threads| {
        for _ in 0..3 {
            threads.spawn(work);
        }
    });
    let killed = killed.into_inner().unwrap();
    assert!(killed.len() > 15, "killed {} times: {killed:?}", killed.len());
}

#[test]
fn another_sweep_of_the_same_installation_is_waited_for_or_told_of_wherever_its_state_is() {
    let queues = Queues::new(Generation::B);
    let session = queues.session("sess-a");
    session.message("m1");
    session.claim("m1", 300);
    // As one of another user does, whose state is elsewhere.
    let other = std::fs::File::open(queues.root()).unwrap();
    other.lock().unwrap();
    let before = queues.everything();
    let ran = queues.run(&["sweep", "--wait", "never"]);
    assert_eq!(ran.status, 3, "{}", ran.stderr);
    assert!(ran.stderr.contains("is locked by an unknown process"), "{}", ran.stderr);
    queues.assert_unchanged(&before);
    // A preview changes nothing, and waits for nobody.
    assert_eq!(queues.json(&["sweep", "--dry-run"], 0)["summary"]["retried"], 1);
    drop(other);
    assert_eq!(queues.sweep(0)["summary"]["retried"], 1);
}
