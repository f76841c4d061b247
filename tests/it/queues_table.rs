//! What one sweep makes of the cases that were measured on the original's own (version 2.0.64), in each generation.
//!
//! The cases have the numbers of that measurement. Where the result is another than the original's, the test says so.

use chrono::{DateTime, TimeDelta, Timelike as _, Utc};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::queues_schemas::{GENERATIONS, Generation};
use crate::queues_world::{
    GROUP, Queues, Session, assert_retried, corrupt, in_document, iso, journal_of, kill_writer, problem, rows, step,
    steps, time,
};

/// A session with a container that started so many seconds ago, a message that it claimed, and what it did last.
fn running(
    generation: Generation,
    started: i64,
    heartbeat: Option<i64>,
    claim: Option<i64>,
) -> (Queues, Session, String) {
    let queues = Queues::waking(generation);
    let session = queues.session("sess-a");
    let container = queues.container(&session, started);
    if let Some(seconds) = heartbeat {
        session.heartbeat(seconds);
    }
    if let Some(seconds) = claim {
        session.message("m1");
        session.claim("m1", seconds);
    }
    (queues, session, container)
}

/// Fails unless a sweep stops the container for this reason, and has the message tried again.
#[track_caller]
fn assert_stopped(scene: &(Queues, Session, String), judgement: &str) {
    let (queues, session, container) = scene;
    let document = queues.sweep(0);
    assert_eq!(in_document(&document, "sess-a")["judgement"], judgement, "{document:#}");
    assert_eq!(queues.engine.stops(), [format!("stop -t 1 {container}")]);
    assert!(queues.engine.listed().is_empty());
    assert_retried(session, "m1", &document, 1, 5);
    assert!(session.claims().is_empty());
    let done = steps(&document, "sess-a");
    assert!(done.starts_with(&["stop done".to_owned()]) && done.iter().all(|step| step.ends_with("done")), "{done:?}");
    assert_eq!(document["summary"]["stopped"], 1);
    assert_eq!((&document["summary"]["retried"], &document["summary"]["claims_cleared"]), (&json!(1), &json!(1)));
    session.assert_sound();
}

#[test]
fn case_01_a_container_that_works_is_left_alone() {
    for generation in GENERATIONS {
        running(generation, 600, Some(2), Some(20)).0.assert_nothing_to_do();
    }
}

#[test]
fn case_02_a_container_that_was_silent_for_forty_minutes_is_stopped_and_its_message_tried_again() {
    for generation in GENERATIONS {
        assert_stopped(&running(generation, 3_600, Some(2_400), Some(2_640)), "past_ceiling");
    }
}

#[test]
fn case_03_a_container_that_claimed_a_message_and_went_silent_is_stopped() {
    for generation in GENERATIONS {
        assert_stopped(&running(generation, 600, Some(360), Some(300)), "claim_stuck");
    }
}

#[test]
fn case_04_a_call_of_bash_may_take_as_long_as_it_declared() {
    for generation in &GENERATIONS[1..] {
        let (queues, session, _) = running(*generation, 3_600, Some(2_700), Some(2_760));
        session.bash(7_200_000, 2_700);
        queues.assert_nothing_to_do();
    }
}

#[test]
fn case_05_a_container_that_has_done_nothing_yet_is_left_alone() {
    for generation in GENERATIONS {
        running(generation, 600, None, None).0.assert_nothing_to_do();
    }
}

#[test]
fn case_06_without_a_heartbeat_the_containers_start_counts() {
    for generation in GENERATIONS {
        assert_stopped(&running(generation, 600, None, Some(300)), "claim_stuck");
        // Other than the original's: a claim that the container found is not one that it has been silent about.
        running(generation, 15, None, Some(300)).0.assert_nothing_to_do();
    }
}

#[test]
fn case_07_claims_that_nobody_works_on_are_tried_again_given_up_or_acknowledged_and_then_the_session_is_woken() {
    for generation in GENERATIONS {
        let queues = Queues::waking(generation);
        let session = queues.session("sess-a");
        queues.set_session("sess-a", "container_status", "running");
        session.message("07a").set("tries", 2);
        session.message("07b").set("tries", 5);
        session.message("07c");
        session.claim("07a", 300).claim("07b", 300).ack("07c", "completed");
        let document = queues.sweep(0);
        assert_retried(&session, "07a", &document, 3, 20);
        assert_eq!((session.status("07b"), session.status("07c")), ("failed".to_owned(), "completed".to_owned()));
        assert_eq!(session.row("07b")["tries"], 5);
        assert!(session.claims().is_empty());
        assert_eq!(session.rows("processing_ack").len(), 1, "what is acknowledged stays so");
        assert_eq!(queues.engine.wakes(), [format!("sess-a {GROUP}")]);
        assert_eq!(steps(&document, "sess-a").last().unwrap(), "wake done", "{document:#}");
        for (count, expected) in
            [("acknowledged", 1), ("retried", 1), ("failed", 1), ("claims_cleared", 2), ("woken", 1)]
        {
            assert_eq!(document["summary"][count], expected, "{count}");
        }
        session.assert_sound();
    }
}

#[test]
fn case_08_a_message_that_waits_for_its_next_try_only_loses_its_claim() {
    for generation in GENERATIONS {
        let queues = Queues::waking(generation);
        let session = queues.session("sess-a");
        session.message("m1").set("tries", 1).later();
        session.claim("m1", 300);
        let before = session.row("m1");
        let document = queues.sweep(0);
        assert_eq!(session.row("m1"), before);
        assert_eq!(steps(&document, "sess-a"), ["clear_claims done"]);
        assert!(session.claims().is_empty() && queues.engine.wakes().is_empty());
    }
}

#[test]
fn case_09_both_acknowledgements_complete_and_a_script_that_says_error_fails() {
    for generation in GENERATIONS {
        let queues = Queues::waking(generation);
        let session = queues.session("sess-a");
        for (message, ack) in [("m1", "completed"), ("m2", "failed"), ("m3", "script-skip:error")] {
            session.message(message);
            session.ack(message, ack);
        }
        session.message("m4").later();
        let document = queues.sweep(0);
        let found = ["m1", "m2", "m3", "m4"].map(|message| session.status(message));
        assert_eq!(found, ["completed", "completed", "failed", "pending"], "{generation:?}");
        assert_eq!(document["summary"]["acknowledged"], 3);
        assert!(queues.engine.wakes().is_empty(), "nothing is due any more");
    }
}

/// Fails unless `original` lost its expression to a clone that runs next at `next`; yields the clone.
#[track_caller]
fn assert_cloned(session: &Session, original: &str, known: &[&str], next: impl Fn(DateTime<Utc>) -> bool) -> Value {
    let old = session.row(original);
    let [clone] = session.others(known).try_into().unwrap_or_else(|others| panic!("not one clone: {others:?}"));
    assert_eq!(old["recurrence"], Value::Null, "{old:#}");
    for column in ["kind", "platform_id", "channel_type", "thread_id", "content"] {
        assert_eq!(clone[column], old[column], "{column}");
    }
    for (column, expected) in [("series_id", old["series_id"].clone()), ("trigger", json!(1)), ("on_wake", json!(0))] {
        if let Some(found) = clone.get(column) {
            assert_eq!(*found, expected, "{column}");
        }
    }
    assert_eq!((&clone["tries"], clone.get("source_session_id").unwrap_or(&Value::Null)), (&json!(0), &Value::Null));
    let seq = session.rows("messages_in").iter().map(|row| row["seq"].as_i64().unwrap()).max().unwrap();
    assert!(clone["seq"] == seq && seq % 2 == 0, "{clone:#}");
    assert!(next(time(clone["process_after"].as_str().unwrap())), "{clone:#}");
    clone
}

#[test]
fn case_10_a_finished_task_runs_again_at_the_zones_next_nine_oclock() {
    for generation in GENERATIONS {
        let queues = Queues::waking(generation);
        queues.zone("Europe/Madrid");
        let session = queues.session("sess-a");
        session.task("t1", "0 9 * * *").set("content", "{\"prompt\":\"news\"}").set("thread_id", "system:tasks:t1");
        session.ack("t1", "completed");
        let before = queues.everything();
        let planned = queues.json(&["sweep", "--dry-run", "--at", "2026-11-20T12:00:00Z"], 0);
        assert_eq!(planned["zone"]["name"], "Europe/Madrid", "{planned:#}");
        let recur = step(&planned, "sess-a", "recur");
        assert_eq!(time(recur["next"].as_str().unwrap()), time("2026-11-21T08:00:00Z"));
        assert_eq!((&recur["result"], &recur["expression"]), (&json!("planned"), &json!("0 9 * * *")));
        queues.assert_unchanged(&before);

        let document = queues.sweep(0);
        assert_eq!(session.status("t1"), "completed");
        let now = time(document["now"].as_str().unwrap());
        let clone = assert_cloned(&session, "t1", &["t1"], |next| {
            let local = next.with_timezone(&chrono_tz::Europe::Madrid);
            next > now
                && next <= now + TimeDelta::hours(25)
                && (local.hour(), local.minute(), local.second()) == (9, 0, 0)
        });
        assert_eq!(clone["status"], "pending");
        assert_eq!(document["summary"]["recurred"], 1);
        assert!(queues.engine.wakes().is_empty());
        session.assert_sound();
        queues.assert_nothing_to_do();
    }
}

#[test]
fn case_10_an_expression_that_cannot_be_followed_is_told_of_once_and_kept() {
    for generation in GENERATIONS {
        let queues = Queues::waking(generation);
        let session = queues.session("sess-a");
        session.task("t1", "0 21-5 * * *");
        session.ack("t1", "completed");
        let document = queues.sweep(0);
        assert_eq!(session.status("t1"), "completed");
        assert_eq!(step(&document, "sess-a", "park")["expression"], "0 21-5 * * *");
        assert_eq!(document["summary"]["parked"], 1);
        assert_eq!(session.row("t1")["recurrence"], "0 21-5 * * *");
        assert!(session.others(&["t1"]).is_empty());
        // Other than the original's, which tells of it every minute.
        queues.assert_nothing_to_do();
    }
}

#[test]
fn case_11_messages_that_are_only_context_wake_nobody() {
    for generation in &GENERATIONS[1..] {
        let queues = Queues::waking(*generation);
        queues.session("sess-a").message("m1").set("trigger", 0);
        queues.assert_nothing_to_do();
    }
}

#[test]
fn case_12_what_is_planned_or_paused_wakes_nobody() {
    for generation in GENERATIONS {
        let queues = Queues::waking(generation);
        let session = queues.session("sess-a");
        session.message("m1").later();
        session.task("t1", "0 9 * * *").set("status", "paused");
        queues.assert_nothing_to_do();
    }
}

#[test]
fn case_13_an_old_schema_is_handled_and_not_altered() {
    let queues = Queues::waking(Generation::BeforeApril);
    let session = queues.session("sess-a");
    session.message("m1");
    session.message("m2").set("tries", 4);
    session.task("t1", "*/5 * * * *");
    session.ack("m1", "completed").ack("t1", "completed").claim("m2", 300);
    // Other than the original's, which adds the columns.
    let schemas = session.schemas();
    let document = queues.sweep(0);
    assert_eq!(session.schemas(), schemas);
    assert_eq!((session.status("m1"), session.status("t1")), ("completed".to_owned(), "completed".to_owned()));
    assert_retried(&session, "m2", &document, 5, 80);
    let now = time(document["now"].as_str().unwrap());
    assert_cloned(&session, "t1", &["m1", "m2", "t1"], |next| next > now && next <= now + TimeDelta::minutes(5));
    assert_eq!(document["generation"], "A");
    session.assert_sound();
}

#[test]
fn case_14_a_row_without_a_folder_is_nothing_to_do() {
    for generation in GENERATIONS {
        let queues = Queues::waking(generation);
        queues.insert_session(GROUP, "sess-a");
        queues.assert_nothing_to_do();
    }
}

#[test]
fn case_15_a_closed_session_is_not_looked_at() {
    for generation in GENERATIONS {
        let queues = Queues::waking(generation);
        let session = queues.session("sess-a");
        session.message("m1");
        session.claim("m1", 300);
        queues.set_session("sess-a", "status", "closed");
        queues.assert_nothing_to_do();
    }
}

#[test]
fn a_folder_without_a_row_is_not_looked_at() {
    let queues = Queues::waking(Generation::B);
    let session = queues.session_folder(GROUP, "sess-a");
    session.message("m1");
    session.claim("m1", 300);
    fs_err::create_dir_all(queues.root().join("data/v2-sessions").join(GROUP).join(".claude-shared/projects")).unwrap();
    queues.assert_nothing_to_do();
}

#[test]
fn case_18_a_task_that_was_tried_often_enough_fails_and_runs_again_later() {
    for generation in GENERATIONS {
        let queues = Queues::waking(generation);
        let session = queues.session("sess-a");
        session.task("t1", "* * * * *").set("tries", 5);
        session.claim("t1", 300);
        let document = queues.sweep(0);
        assert_eq!(session.status("t1"), "failed");
        assert!(session.claims().is_empty());
        // Other than the original's, in which the series is dead; and not at once, but two minutes later.
        let now = time(document["now"].as_str().unwrap());
        let is_later = |next| next >= now + TimeDelta::minutes(2) && next <= now + TimeDelta::minutes(3);
        assert_eq!(assert_cloned(&session, "t1", &["t1"], is_later)["status"], "pending");
        assert!(queues.engine.wakes().is_empty(), "nothing is due");
    }
}

#[test]
fn case_19_a_session_with_a_due_message_is_woken_once() {
    for generation in GENERATIONS {
        let queues = Queues::waking(generation);
        let session = queues.session("sess-a");
        session.message("m1");
        session.message("m2").set("process_after", "2026-01-01 00:00:00");
        let document = queues.sweep(0);
        assert_eq!(queues.engine.wakes(), [format!("sess-a {GROUP}")]);
        assert_eq!(steps(&document, "sess-a"), ["wake done"]);
        assert_eq!(step(&document, "sess-a", "wake")["due"], 2);
        assert_eq!((session.status("m1"), &session.row("m1")["tries"]), ("pending".to_owned(), &json!(0)));
    }
}

#[test]
fn a_time_that_cannot_be_read_is_never_due() {
    let queues = Queues::waking(Generation::B);
    queues.session("sess-a").message("m1").set("process_after", "soon");
    queues.sweep(0);
    assert!(queues.engine.wakes().is_empty());
}

#[test]
fn each_generation_is_told_by_its_tables() {
    for (generation, name) in GENERATIONS.into_iter().zip(["A", "A", "B", "C"]) {
        assert_eq!(Queues::new(generation).json(&["status"], 0)["generation"], name);
    }
}

/// Something to do: an acknowledgement, a claim that nobody works on.
fn work(session: &Session) {
    session.message("m1");
    session.message("m2");
    session.ack("m1", "completed").claim("m2", 300);
}

#[track_caller]
fn assert_worked(session: &Session, document: &Value) {
    assert_eq!(session.status("m1"), "completed", "{document:#}");
    assert_retried(session, "m2", document, 1, 5);
    assert!(session.claims().is_empty());
    session.assert_sound();
}

/// A session that is broken between two that are not, and how the sweep must end; yields what it said.
#[track_caller]
fn sweep_beside(generation: Generation, status: i32, break_it: impl Fn(&Session)) -> (Queues, Session, Value) {
    let mut queues = Queues::new(generation);
    queues.set("wait = \"1s\"");
    let [a, b, c] = ["sess-a", "sess-b", "sess-c"].map(|id| queues.session(id));
    for session in [&a, &b, &c] {
        work(session);
    }
    break_it(&b);
    let document = queues.sweep(status);
    assert_worked(&a, &document);
    // Other than the original's, which never comes to the last one.
    assert_worked(&c, &document);
    (queues, b, document)
}

/// Fails unless the broken session is told of by its name, and was not touched.
#[track_caller]
fn assert_told(generation: Generation, break_it: impl Fn(&Session)) {
    let kept = |session: &Session| {
        let files = [session.inbound_path(), session.outbound_path()];
        files.map(|path| std::fs::read(path).ok())
    };
    let before = std::cell::RefCell::new(None);
    let (queues, b, document) = sweep_beside(generation, 4, |session| {
        break_it(session);
        *before.borrow_mut() = Some(kept(session));
    });
    assert!(!problem(&document, "sess-b").is_empty());
    assert_eq!(kept(&b), before.into_inner().unwrap(), "{document:#}");
    let again = queues.run(&["sweep"]).ends_with(4);
    assert!([&*again.stdout, &*again.stderr].concat().contains("sess-b"), "{again:?}");
}

#[test]
fn a_corrupt_outbound_database_stops_no_other_session() {
    for generation in GENERATIONS {
        assert_told(generation, |b| corrupt(&b.outbound_path()));
    }
}

#[test]
fn a_corrupt_inbound_database_stops_no_other_session() {
    for generation in GENERATIONS {
        assert_told(generation, |b| corrupt(&b.inbound_path()));
    }
}

#[test]
fn a_database_that_is_corrupt_behind_its_first_page_stops_no_other_session() {
    for is_inbound in [true, false] {
        assert_told(Generation::B, |b| {
            let path = if is_inbound { b.inbound_path() } else { b.outbound_path() };
            let mut bytes = fs_err::read(&path).unwrap();
            bytes[4_096..].fill(0xa5);
            fs_err::write(&path, bytes).unwrap();
        });
    }
}

#[test]
fn an_empty_outbound_database_stops_no_other_session() {
    for generation in GENERATIONS {
        assert_told(generation, |b| fs_err::write(b.outbound_path(), "").unwrap());
    }
}

#[test]
fn an_empty_inbound_database_stops_no_other_session() {
    assert_told(Generation::B, |b| fs_err::write(b.inbound_path(), "").unwrap());
}

#[test]
fn a_missing_inbound_database_stops_no_other_session_and_is_not_made() {
    assert_told(Generation::B, |b| fs_err::remove_file(b.inbound_path()).unwrap());
}

#[test]
fn a_session_without_an_outbound_database_is_named_and_woken_and_stops_no_other() {
    for generation in GENERATIONS {
        let queues = Queues::waking(generation);
        let [a, b, c] = ["sess-a", "sess-b", "sess-c"].map(|id| queues.session(id));
        for session in [&a, &b, &c] {
            work(session);
        }
        fs_err::remove_file(b.outbound_path()).unwrap();
        let ran = queues.run(&["sweep", "--json"]);
        assert!(matches!(ran.status, 0 | 4), "{ran:?}");
        let document: Value = serde_json::from_str(&ran.stdout).unwrap();
        let mut installation = document["installations"][0].clone();
        installation["now"] = document["now"].clone();
        assert_worked(&a, &installation);
        assert_worked(&c, &installation);
        assert_eq!(steps(&installation, "sess-b"), ["wake done"], "{document:#}");
        assert!(!b.outbound_path().exists(), "none is made");
        assert!(queues.engine.wakes().contains(&format!("sess-b {GROUP}")), "{document:#}");
    }
}

#[test]
fn a_hot_journal_of_outbound_stops_no_session_and_is_rolled_back() {
    for generation in GENERATIONS {
        let (_queues, b, document) = sweep_beside(generation, 0, |b| {
            kill_writer(&b.outbound_path(), "UPDATE processing_ack SET status = 'completed'");
        });
        assert!(!journal_of(&b.outbound_path()).exists());
        assert_eq!(step(&document, "sess-b", "roll_back")["database"], "outbound.db");
        assert_eq!(document["summary"]["rolled_back"], 1);
        // By what was before the torn transaction: m2 was not completed.
        assert_worked(&b, &document);
    }
}

#[test]
fn a_hot_journal_of_inbound_stops_no_session_and_is_rolled_back() {
    let (_queues, b, document) = sweep_beside(Generation::B, 0, |b| {
        kill_writer(&b.inbound_path(), "UPDATE messages_in SET status = 'failed'");
    });
    assert_eq!(step(&document, "sess-b", "roll_back")["database"], "inbound.db");
    assert_worked(&b, &document);
}

#[test]
fn a_locked_database_stops_no_other_session_and_is_handled_when_it_is_free() {
    for is_inbound in [true, false] {
        let locked: std::cell::RefCell<Option<Connection>> = std::cell::RefCell::default();
        let (queues, b, document) = sweep_beside(Generation::B, 4, |b| {
            let database = if is_inbound { b.inbound() } else { b.outbound() };
            database.execute_batch("BEGIN EXCLUSIVE").unwrap();
            *locked.borrow_mut() = Some(database);
        });
        assert!(problem(&document, "sess-b").to_lowercase().contains("locked"), "{document:#}");
        locked.take();
        assert_worked(&b, &queues.sweep(0));
    }
}

#[test]
fn while_inbound_is_written_to_for_long_the_claims_stay() {
    let mut queues = Queues::new(Generation::B);
    queues.set("wait = \"1s\"");
    let session = queues.session("sess-a");
    work(&session);
    let writer = session.inbound();
    // Others can read meanwhile.
    writer.execute_batch("BEGIN IMMEDIATE").unwrap();
    let document = queues.sweep(4);
    assert_eq!(step(&document, "sess-a", "retry")["result"], "failed");
    assert_eq!(session.claims(), ["m2"], "{document:#}");
    drop(writer);
    assert_worked(&session, &queues.sweep(0));
}

#[test]
fn what_a_host_wrote_last_before_it_was_killed_counts() {
    let queues = Queues::new(Generation::B);
    let [a, b] = ["sess-a", "sess-b"].map(|id| queues.session_folder(GROUP, id));
    queues.insert_session(GROUP, "sess-a");
    for session in [&a, &b] {
        work(session);
    }
    let row =
        format!("INSERT INTO sessions (id, agent_group_id, created_at) VALUES ('sess-b', '{GROUP}', '{}')", iso(60));
    queues.kill_host_after(&row);
    let before = crate::tree::names_in(&queues.root().join("data"));
    let database = fs_err::read(queues.central_path()).unwrap();
    let document = queues.sweep(0);
    assert_worked(&a, &document);
    assert_worked(&b, &document);
    assert_eq!(crate::tree::names_in(&queues.root().join("data")), before);
    assert_eq!(fs_err::read(queues.central_path()).unwrap(), database);
    let known = rows(&queues.central(), "SELECT id FROM sessions");
    assert_eq!(known.len(), 2);
}
