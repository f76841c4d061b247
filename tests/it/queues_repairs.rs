//! What a sweep of queues does better than the original: claims, retries, acknowledgements, recurrence, waking.

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::queues_schemas::{GENERATIONS, Generation};
use crate::queues_world::{GROUP, Queues, Session, assert_retried, bare, in_document, is_in, iso, step, steps, time};
use crate::world::Ran;

/// Everything in a session's tables.
fn tables(session: &Session) -> [Vec<Value>; 2] {
    [session.rows("messages_in"), session.rows("processing_ack")]
}

#[test]
fn a_message_that_is_final_never_changes() {
    for generation in GENERATIONS {
        let queues = Queues::waking(generation);
        let session = queues.session("sess-a");
        let statuses = ["completed", "failed", "cancelled"];
        let acks = ["completed", "failed", "script-skip:error", "processing", "something new"];
        for (status, ack) in statuses.iter().flat_map(|status| acks.map(|ack| (status, ack))) {
            let message = format!("{status}-{ack}");
            session.message(&message).set("status", status).set("tries", 5);
            session.acknowledge(&message, ack, &bare(300));
        }
        session.message("m1");
        session.ack("m1", "completed");
        let before = session.rows("messages_in");
        let document = queues.sweep(0);
        assert_eq!(document["summary"]["acknowledged"], 1);
        let planned = steps(&document, "sess-a").into_iter().filter(|step| step.starts_with("acknowledge"));
        assert_eq!(planned.collect::<Vec<_>>(), ["acknowledge m1 done"]);
        let mut expected = before;
        expected.last_mut().unwrap()["status"] = json!("completed");
        assert_eq!(session.rows("messages_in"), expected, "{generation:?}");
    }
}

#[test]
fn an_acknowledgement_that_nobody_knows_changes_nothing() {
    let queues = Queues::new(Generation::C);
    let session = queues.session("sess-a");
    session.message("m1").later();
    session.ack("m1", "considered");
    queues.assert_nothing_to_do();
}

#[test]
fn acknowledgements_are_taken_over_while_the_container_runs() {
    for generation in GENERATIONS {
        let queues = Queues::new(generation);
        let session = queues.session("sess-a");
        queues.container(&session, 600);
        session.message("m1");
        session.message("m2");
        session.ack("m1", "completed").claim("m2", 20).heartbeat(2);
        let document = queues.sweep(0);
        assert_eq!(steps(&document, "sess-a"), ["acknowledge m1 done"]);
        assert_eq!((session.status("m1"), session.status("m2")), ("completed".to_owned(), "pending".to_owned()));
        assert_eq!(session.claims(), ["m2"]);
    }
}

#[test]
fn a_claim_whose_time_cannot_be_read_is_left_alone() {
    for generation in GENERATIONS {
        for text in ["yesterday", "", "2026-13-40 25:00:00"] {
            let queues = Queues::new(generation);
            let session = queues.session("sess-a");
            session.message("m1");
            session.message("m2");
            session.acknowledge("m1", "processing", text).claim("m2", 300);
            let before = session.row("m1");
            let document = queues.sweep(0);
            assert_eq!(session.row("m1"), before, "{text:?}");
            assert_eq!(session.claims(), ["m1"], "{text:?}: {document:#}");
            assert_retried(&session, "m2", &document, 1, 5);
        }
    }
}

#[test]
fn a_container_is_not_stopped_for_a_claim_whose_time_cannot_be_read() {
    let queues = Queues::new(Generation::B);
    let session = queues.session("sess-a");
    queues.container(&session, 600);
    session.message("m1");
    session.acknowledge("m1", "processing", "yesterday");
    let before = tables(&session);
    queues.sweep(0);
    assert!(queues.engine.stops().is_empty());
    assert_eq!(tables(&session), before);
}

#[test]
fn a_time_without_a_zone_is_utc_wherever_the_sweep_runs() {
    for zone in ["Asia/Kolkata", "America/New_York", "UTC"] {
        let mut queues = Queues::waking(Generation::B);
        queues.world.variable("TZ", zone);
        let [young, stuck] = ["sess-young", "sess-stuck"].map(|id| queues.session(id));
        for (session, claim) in [(&young, 20), (&stuck, 300)] {
            queues.container(session, 600);
            session.message("m1");
            session.claim("m1", claim);
        }
        let [due, waiting] = ["sess-due", "sess-waiting"].map(|id| queues.session(id));
        due.message("m1").set("process_after", bare(600));
        waiting.message("m1").set("process_after", bare(-600));
        let before = tables(&young);
        let document = queues.sweep(0);
        assert_eq!(queues.engine.stops().len(), 1, "{zone}: {document:#}");
        assert_eq!(tables(&young), before, "{zone}");
        assert_retried(&stuck, "m1", &document, 1, 5);
        assert!(queues.engine.wakes().contains(&format!("sess-due {GROUP}")), "{zone}");
        assert!(!queues.engine.wakes().contains(&format!("sess-waiting {GROUP}")), "{zone}");
    }
}

#[test]
fn a_time_with_a_zone_counts_in_that_zone() {
    for (offset, text) in [(0, "Z"), (0, "z"), (330, "+05:30"), (-300, "-05:00")] {
        let written = |seconds: i64| {
            let local = time(&iso(seconds)) + TimeDelta::minutes(offset);
            format!("{}{text}", local.format("%Y-%m-%dT%H:%M:%S%.3f"))
        };
        let queues = Queues::waking(Generation::B);
        let [due, waiting] = ["sess-due", "sess-waiting"].map(|id| queues.session(id));
        due.message("m1").set("process_after", written(600));
        waiting.message("m1").set("process_after", written(-600));
        queues.sweep(0);
        assert_eq!(queues.engine.wakes(), [format!("sess-due {GROUP}")], "{text}");
    }
}

#[test]
fn each_try_waits_twice_as_long_and_the_sixth_is_not_made() {
    for generation in GENERATIONS {
        let queues = Queues::new(generation);
        let session = queues.session("sess-a");
        for tries in 0..=6 {
            session.message(&format!("m{tries}")).set("tries", tries);
            session.claim(&format!("m{tries}"), 300);
        }
        let document = queues.sweep(0);
        for (tries, delay) in [(0, 5), (1, 10), (2, 20), (3, 40), (4, 80)] {
            assert_retried(&session, &format!("m{tries}"), &document, tries + 1, delay);
        }
        for message in ["m5", "m6"] {
            assert_eq!(session.status(message), "failed");
        }
        assert!(session.claims().is_empty());
        session.assert_sound();
    }
}

#[test]
fn a_message_that_is_planned_already_is_not_counted_again() {
    for generation in GENERATIONS {
        let mut queues = Queues::new(generation);
        queues.set("backoff = \"1h\"");
        let session = queues.session("sess-a");
        session.message("m1");
        session.claim("m1", 300);
        let document = queues.sweep(0);
        assert_retried(&session, "m1", &document, 1, 3_600);
        let before = session.row("m1");
        // As when the claim could not be removed.
        session.claim("m1", 300);
        queues.sweep(0);
        assert_eq!(session.row("m1"), before);
        assert!(session.claims().is_empty());
    }
}

#[test]
fn thresholds_are_those_of_the_settings() {
    let mut queues = Queues::new(Generation::B);
    queues.set("tries = 2").set("backoff = \"1m\"").set("ceiling = \"5m\"").set("claim_stuck = \"2m\"");
    let session = queues.session("sess-a");
    for (message, tries) in [("m1", 1), ("m2", 2)] {
        session.message(message).set("tries", tries);
        session.claim(message, 300);
    }
    let [silent, waiting] = ["sess-silent", "sess-waiting"].map(|id| queues.session(id));
    let gone = queues.container(&silent, 3_600);
    silent.heartbeat(400);
    queues.container(&waiting, 3_600);
    waiting.message("m1");
    waiting.claim("m1", 90).heartbeat(95);
    let document = queues.sweep(0);
    assert_retried(&session, "m1", &document, 2, 120);
    assert_eq!(session.status("m2"), "failed");
    assert_eq!(queues.engine.stops(), [format!("stop -t 1 {gone}")]);
    assert!(!is_in(&document, "sess-waiting"));
}

#[test]
fn all_claims_of_a_stopped_container_are_tried_again() {
    let queues = Queues::new(Generation::B);
    let session = queues.session("sess-a");
    queues.container(&session, 600);
    for (message, claimed) in [("m1", 300), ("m2", 10)] {
        session.message(message);
        session.claim(message, claimed);
    }
    session.message("context").set("trigger", 0);
    session.claim("context", 300);
    let document = queues.sweep(0);
    for message in ["m1", "m2", "context"] {
        assert_retried(&session, message, &document, 1, 5);
    }
    assert!(session.claims().is_empty());
}

#[test]
fn a_claim_of_a_message_that_is_not_there_is_removed_and_changes_nothing() {
    let queues = Queues::new(Generation::B);
    let session = queues.session("sess-a");
    session.message("m1").later();
    session.claim("gone", 300);
    let before = session.rows("messages_in");
    queues.sweep(0);
    assert_eq!(session.rows("messages_in"), before);
    assert!(session.claims().is_empty());
}

#[test]
fn a_container_that_never_beat_is_stopped_when_it_is_older_than_the_ceiling() {
    for generation in GENERATIONS {
        let queues = Queues::new(generation);
        let [old, young] = ["sess-old", "sess-young"].map(|id| queues.session(id));
        let container = queues.container(&old, 2_400);
        queues.container(&young, 1_200);
        let document = queues.sweep(0);
        assert_eq!(queues.engine.stops(), [format!("stop -t 1 {container}")], "{document:#}");
        assert_eq!(in_document(&document, "sess-old")["judgement"], "past_ceiling");
    }
}

#[test]
fn a_container_is_not_judged_by_what_is_older_than_itself() {
    for generation in GENERATIONS {
        let queues = Queues::new(generation);
        let session = queues.session("sess-a");
        queues.container(&session, 15);
        session.message("m1");
        session.claim("m1", 7_200).heartbeat(7_000);
        queues.assert_nothing_to_do();
    }
}

#[test]
fn a_call_of_bash_that_is_older_than_the_container_widens_nothing() {
    for generation in &GENERATIONS[1..] {
        let queues = Queues::new(*generation);
        let session = queues.session("sess-a");
        let container = queues.container(&session, 2_400);
        session.heartbeat(2_300).bash(7_200_000, 3_000);
        queues.sweep(0);
        assert_eq!(queues.engine.stops(), [format!("stop -t 1 {container}")]);
    }
}

#[test]
fn another_tool_than_bash_widens_nothing() {
    let queues = Queues::new(Generation::B);
    let session = queues.session("sess-a");
    queues.container(&session, 3_600);
    session.heartbeat(2_700).bash(7_200_000, 2_700);
    session.outbound().execute_batch("UPDATE container_state SET current_tool = 'WebFetch'").unwrap();
    queues.sweep(0);
    assert_eq!(queues.engine.stops().len(), 1);
}

#[test]
fn what_was_before_a_host_took_the_session_over_does_not_count() {
    for (claimed, stops) in [(20, 0), (7_200, 1)] {
        let queues = Queues::new(Generation::C);
        let session = queues.session("sess-a");
        queues.container(&session, 3_600);
        session.message("m1");
        session.claim("m1", 2_640).heartbeat(2_400);
        queues.claim_session("sess-a", claimed);
        let document = queues.sweep(0);
        assert_eq!(queues.engine.stops().len(), stops, "{document:#}");
    }
}

#[test]
fn a_session_that_was_woken_is_neither_judged_nor_woken_again_for_an_interval() {
    let mut queues = Queues::waking(Generation::B);
    queues.set("interval = \"1h\"");
    let session = queues.session("sess-a");
    session.message("m1");
    queues.sweep(0);
    assert_eq!(queues.engine.wakes().len(), 1);
    queues.sweep(0);
    assert_eq!(queues.engine.wakes().len(), 1, "it takes a while to start");
    // As if the runtime told another start.
    queues.container(&session, 3_600);
    session.claim("m1", 2_640).heartbeat(2_400);
    queues.sweep(0);
    assert!(queues.engine.stops().is_empty());
    assert_eq!(session.claims(), ["m1"]);
}

/// A series of which the last run has failed, and so many before it.
fn failed_in_a_row(queues: &Queues, failures: usize) -> Session {
    let session = queues.session("sess-a");
    for run in 1..failures {
        session
            .task(&format!("t{run}"), "")
            .set("recurrence", None::<String>)
            .set("status", "failed")
            .set("series_id", "t");
    }
    session.task("last", "* * * * *").set("status", "failed").set("series_id", "t");
    session
}

#[test]
fn a_series_that_fails_again_and_again_runs_later_and_later_and_is_paused_at_last() {
    for (failures, minutes) in [(1, 2), (2, 4), (3, 8), (4, 16), (5, 32), (6, 60), (7, 60)] {
        let queues = Queues::waking(Generation::C);
        let session = failed_in_a_row(&queues, failures);
        let document = queues.sweep(0);
        let known: Vec<String> = (1..failures).map(|run| format!("t{run}")).chain(["last".to_owned()]).collect();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let [clone] = session.others(&known).try_into().unwrap();
        let wait = time(clone["process_after"].as_str().unwrap()) - time(document["now"].as_str().unwrap());
        assert!((minutes * 60..=minutes * 60 + 61).contains(&wait.num_seconds()), "{failures}: {wait}");
        assert_eq!((&clone["status"], &clone["series_id"]), (&json!("pending"), &json!("t")));
        assert_eq!(session.row("last")["recurrence"], Value::Null);
        assert_eq!(step(&document, "sess-a", "recur")["paused"], false);
    }
    for failures in [8, 9] {
        let queues = Queues::waking(Generation::B);
        let session = failed_in_a_row(&queues, failures);
        let document = queues.sweep(0);
        let paused: Vec<Value> =
            session.rows("messages_in").into_iter().filter(|row| row["status"] == "paused").collect();
        assert_eq!(paused.len(), 1, "{document:#}");
        assert_eq!(step(&document, "sess-a", "recur")["paused"], true);
        queues.assert_nothing_to_do();
    }
}

#[test]
fn a_run_that_succeeded_ends_a_row_of_failures() {
    let queues = Queues::new(Generation::B);
    let session = failed_in_a_row(&queues, 9);
    session.inbound().execute_batch("UPDATE messages_in SET status = 'completed' WHERE id = 't8'").unwrap();
    let document = queues.sweep(0);
    let next = time(step(&document, "sess-a", "recur")["next"].as_str().unwrap());
    assert!(next - time(document["now"].as_str().unwrap()) <= TimeDelta::minutes(3));
}

#[test]
fn a_series_that_has_a_run_ahead_only_loses_the_finished_ones_expression() {
    for generation in &GENERATIONS[1..] {
        for ahead in ["pending", "paused"] {
            let queues = Queues::new(*generation);
            let session = queues.session("sess-a");
            session.task("t1", "0 9 * * *").set("status", "completed").set("series_id", "t");
            session.task("t2", "0 9 * * *").later().set("status", ahead).set("series_id", "t");
            let before = session.row("t2");
            let document = queues.sweep(0);
            assert_eq!(steps(&document, "sess-a"), ["disarm t1 done"], "{ahead}");
            assert_eq!(session.row("t1")["recurrence"], Value::Null);
            assert_eq!(session.row("t2"), before);
            assert!(session.others(&["t1", "t2"]).is_empty());
        }
    }
}

#[test]
fn a_run_of_another_series_is_none_of_this_one() {
    let queues = Queues::new(Generation::B);
    let session = queues.session("sess-a");
    session.task("t1", "0 9 * * *").set("status", "completed");
    session.task("t2", "0 9 * * *").later();
    let document = queues.sweep(0);
    assert_eq!(steps(&document, "sess-a"), ["recur t1 done"]);
}

#[test]
fn a_cancelled_task_does_not_run_again() {
    let queues = Queues::new(Generation::C);
    queues.session("sess-a").task("t1", "0 9 * * *").set("status", "cancelled");
    queues.assert_nothing_to_do();
}

#[test]
fn a_next_run_is_planned_while_the_container_runs() {
    let queues = Queues::new(Generation::B);
    let session = queues.session("sess-a");
    queues.container(&session, 600);
    session.task("t1", "0 9 * * *");
    session.ack("t1", "completed").heartbeat(2);
    let document = queues.sweep(0);
    assert_eq!(steps(&document, "sess-a"), ["acknowledge t1 done", "recur t1 done"]);
    assert_eq!(session.others(&["t1"]).len(), 1);
}

#[test]
fn a_malformed_expression_is_told_of_again_only_when_it_changed() {
    let queues = Queues::new(Generation::B);
    let session = queues.session("sess-a");
    session.task("t1", "every day").set("status", "completed");
    let told = |expression: &str| {
        let ran = queues.run(&["sweep"]).ends_with(0);
        [&*ran.stdout, &*ran.stderr].concat().contains(expression)
    };
    assert!(told("every day"));
    assert!(!told("every day"), "it was told of");
    let status = queues.json(&["status"], 0);
    assert_eq!(in_document(&status, "sess-a")["parked"], 1);
    session.inbound().execute_batch("UPDATE messages_in SET recurrence = 'each hour'").unwrap();
    assert!(told("each hour"));
    assert!(!told("each hour"));
    session.inbound().execute_batch("UPDATE messages_in SET recurrence = '0 9 * * *'").unwrap();
    assert_eq!(steps(&queues.sweep(0), "sess-a"), ["recur t1 done"]);
}

#[test]
fn a_zone_is_that_of_the_environment_then_the_installations_own() {
    let next = |queues: &Queues| {
        let session = queues.session("sess-a");
        session.task("t1", "0 9 * * *").set("status", "completed");
        let planned = queues.json(&["sweep", "--dry-run", "--at", "2026-11-20T12:00:00Z"], 0);
        let next = time(step(&planned, "sess-a", "recur")["next"].as_str().unwrap());
        (planned["zone"]["name"].as_str().unwrap().to_owned(), next)
    };
    let mut queues = Queues::new(Generation::B);
    queues.zone("Asia/Tokyo").world.root();
    queues.world.variable("TZ", "America/New_York");
    assert_eq!(next(&queues), ("America/New_York".to_owned(), time("2026-11-20T14:00:00Z")));
    let queues = Queues::new(Generation::B);
    queues.zone("Asia/Tokyo");
    assert_eq!(next(&queues), ("Asia/Tokyo".to_owned(), time("2026-11-21T00:00:00Z")));
    let mut queues = Queues::new(Generation::B);
    queues.zone("Asia/Tokyo");
    queues.world.variable("TZ", "Moon/Base");
    // It may be told of, but is passed over.
    queues.session("sess-a").task("t1", "0 9 * * *").set("status", "completed");
    let ran = queues.run(&["sweep", "--dry-run", "--json"]);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(document["installations"][0]["zone"]["name"], "Asia/Tokyo");
    let mut queues = Queues::new(Generation::B);
    queues.zone("Asia/Tokyo");
    queues.set("zone = \"Europe/Madrid\"").world.variable("TZ", "America/New_York");
    assert_eq!(next(&queues), ("Europe/Madrid".to_owned(), time("2026-11-21T08:00:00Z")));
}

#[test]
fn the_hour_that_is_skipped_and_the_hour_that_comes_twice_run_as_the_originals_do() {
    let queues = Queues::new(Generation::B);
    queues.zone("Europe/Madrid");
    queues.session("sess-a").task("t1", "30 2 * * *").set("status", "completed");
    for (now, next) in [
        ("2026-03-28T12:00:00Z", "2026-03-29T01:30:00Z"),
        ("2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"),
        ("2026-10-25T00:45:00Z", "2026-10-26T01:30:00Z"),
    ] {
        let planned = queues.json(&["sweep", "--dry-run", "--at", now], 0);
        assert_eq!(time(step(&planned, "sess-a", "recur")["next"].as_str().unwrap()), time(next), "{now}");
    }
}

#[test]
fn without_a_hook_a_due_message_is_only_reported() {
    for generation in GENERATIONS {
        let queues = Queues::new(generation);
        let session = queues.session("sess-a");
        session.message("m1");
        let before = queues.everything();
        queues.run(&["sweep"]).ends_with(0);
        let status = queues.json(&["status"], 0);
        assert_eq!(in_document(&status, "sess-a")["due"], 1);
        assert!(queues.run(&["status"]).ends_with(0).stdout.contains("sess-a"));
        queues.assert_unchanged(&before);
        assert_eq!(session.status("m1"), "pending");
    }
}

#[test]
fn a_hook_that_fails_is_told_of_and_the_rest_is_done() {
    let queues = Queues::waking(Generation::B);
    let [a, b] = ["sess-a", "sess-b"].map(|id| queues.session(id));
    for session in [&a, &b] {
        session.message("m1");
        session.message("m2");
        session.ack("m1", "completed");
    }
    queues.engine.fail_wakes("the gateway is gone");
    let document = queues.sweep(4);
    for id in ["sess-a", "sess-b"] {
        let wake = step(&document, id, "wake");
        assert_eq!(wake["result"], "failed", "{document:#}");
        assert!(!wake["detail"].as_str().unwrap().is_empty(), "{document:#}");
    }
    assert_eq!((a.status("m1"), b.status("m1")), ("completed".to_owned(), "completed".to_owned()));
    assert_eq!((a.status("m2"), &a.row("m2")["tries"]), ("pending".to_owned(), &json!(0)));
    assert_eq!(document["summary"]["woken"], 0);
}

#[test]
fn a_hook_that_does_not_end_is_given_up() {
    let mut queues = Queues::waking(Generation::B);
    queues.set("wake.limit = \"1s\"");
    let [a, b] = ["sess-a", "sess-b"].map(|id| queues.session(id));
    for session in [&a, &b] {
        session.message("m1");
        session.message("m2");
        session.ack("m1", "completed");
    }
    queues.engine.hang_wakes();
    let document = queues.sweep(4);
    for (id, session) in [("sess-a", &a), ("sess-b", &b)] {
        assert_eq!(step(&document, id, "wake")["result"], "failed");
        assert_eq!(session.status("m1"), "completed");
    }
    queues.engine.mend_wakes();
}

#[test]
fn a_hook_that_is_not_there_is_told_of() {
    let mut queues = Queues::new(Generation::B);
    queues.set("wake.command = [\"/nowhere/wake\"]");
    queues.session("sess-a").message("m1");
    let document = queues.sweep(4);
    assert_eq!(step(&document, "sess-a", "wake")["result"], "failed");
}

#[test]
fn numbers_that_no_host_writes_stop_nothing() {
    let queues = Queues::new(Generation::B);
    let [a, b] = ["sess-a", "sess-b"].map(|id| queues.session(id));
    for (message, tries) in [("m1", "many"), ("m2", "-3"), ("m3", "99999999999999999"), ("m4", "4.5")] {
        a.message(message).set("tries", tries);
        a.claim(message, 300);
    }
    a.message("m5").set("tries", None::<i64>);
    a.claim("m5", 300);
    b.message("m1");
    b.ack("m1", "completed");
    let ran = queues.run(&["sweep"]);
    assert!(matches!(ran.status, 0 | 4), "{ran:?}");
    assert_eq!(b.status("m1"), "completed");
    a.assert_sound();
}

#[test]
fn names_from_databases_are_shown_harmlessly() {
    let queues = Queues::new(Generation::B);
    let session = queues.session("sess-a");
    let odd = "m\u{1b}[31m\nok\u{202e}; DROP TABLE messages_in --' \"";
    session.message(odd);
    session.claim(odd, 300);
    session.task("t1", "\u{1b}]0;x\u{7}").set("status", "completed");
    let shown = |ran: Ran| [ran.ends_with(0).stdout].concat();
    for arguments in [&["status", "--verbose"][..], &["sweep", "--dry-run"], &["sweep"]] {
        let text = shown(queues.run(arguments));
        assert!(!text.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{text:?}");
    }
    assert_eq!(session.row(odd)["tries"], 1);
}

#[test]
fn one_transaction_has_the_next_run_added_and_the_expression_taken() {
    let queues = Queues::new(Generation::B);
    let session = queues.session("sess-a");
    session.message("m1").set("status", "completed");
    session.task("t1", "0 9 * * *").set("status", "completed");
    session.task("t0", "").set("recurrence", None::<String>).set("status", "completed");
    // One of the two changes is refused.
    let refuse_insert = "ON messages_in (kind) WHERE status = 'pending'";
    let refuse_update = "ON messages_in (kind) WHERE kind = 'task' AND recurrence IS NULL";
    session.message("m2").set("kind", "task").later();
    for refused in [refuse_insert, refuse_update] {
        session.inbound().execute_batch(&format!("CREATE UNIQUE INDEX refuse {refused}")).unwrap();
        let before = session.rows("messages_in");
        let document = queues.sweep(4);
        assert_eq!(session.rows("messages_in"), before, "{refused}: {document:#}");
        session.inbound().execute_batch("DROP INDEX refuse").unwrap();
        session.inbound().execute_batch("UPDATE messages_in SET recurrence = '0 0 1 1 *' WHERE id = 'm2'").unwrap();
    }
    queues.sweep(0);
    assert_eq!(session.row("t1")["recurrence"], Value::Null);
    assert_eq!(session.others(&["m1", "m2", "t0", "t1"]).len(), 1);
}

#[test]
fn triggers_that_somebody_planted_do_not_run() {
    let queues = Queues::new(Generation::B);
    let session = queues.session("sess-a");
    session.message("m1");
    session.claim("m1", 300);
    session.message("m2").later();
    for (database, table) in [(session.inbound(), "messages_in"), (session.outbound(), "processing_ack")] {
        let trigger = format!("CREATE TRIGGER planted AFTER DELETE ON {table} BEGIN DELETE FROM {table}; END");
        database.execute_batch(&trigger.replace("DELETE ON messages_in", "UPDATE ON messages_in")).unwrap();
    }
    session.ack("m2", "considered");
    let document = queues.sweep(0);
    assert_retried(&session, "m1", &document, 1, 5);
    assert_eq!((session.rows("messages_in").len(), session.rows("processing_ack").len()), (2, 1));
}

#[test]
fn after_the_machine_slept_a_container_has_the_time_to_be_heard() {
    let mut queues = Queues::new(Generation::B);
    queues.set("claim_stuck = \"10s\"");
    let session = queues.session("sess-a");
    queues.sweep(0);
    session.message("m1");
    session.claim("m1", 2_100).heartbeat(2_200);
    queues.container(&session, 7_200);
    // As a sweep two hours ago wrote it, before the lid was closed.
    let remember = |change: &dyn Fn(&mut Value)| {
        let mut memory = serde_json::from_slice(&fs_err::read(queues.memory()).unwrap()).unwrap();
        change(&mut memory);
        fs_err::write(queues.memory(), memory.to_string()).unwrap();
    };
    remember(&|memory| memory["clocks"]["asleep"] = (memory["clocks"]["asleep"].as_i64().unwrap() - 7_200).into());
    let document = queues.sweep(0);
    assert!(document["notes"][0].as_str().unwrap().contains("silence counts from now on"), "{document:#}");
    assert_eq!(document["summary"]["stopped"], 0, "{document:#}");
    // However soon the next sweep comes.
    assert_eq!(queues.sweep(0)["summary"]["stopped"], 0);
    remember(&|memory| memory["leapt"] = iso(60).into());
    assert_eq!(queues.sweep(0)["summary"]["stopped"], 1);
}
