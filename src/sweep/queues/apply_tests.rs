//! What becomes of a plan where something changed since it was made, or goes wrong.

use serde_json::json;

use super::super::world::{World, names, outcomes};
use super::*;
use crate::config::setting::WakeSettings;
use crate::queues::session::INBOUND;

/// A host that has started.
const A_HOST: &str = "
    CREATE TABLE host_instances (instance_id TEXT, hostname TEXT, pid INTEGER, lease_expires_at TEXT, stopped_at TEXT);
    INSERT INTO host_instances VALUES ('h1', 'here', 1, '2999-01-01T00:00:00Z', NULL)";

fn unlabelled() -> serde_json::Value {
    json!({})
}

#[test]
fn a_silent_container_is_stopped_and_its_messages_are_tried_again() {
    let world = World::with_claim();
    world.container("s", &unlabelled());
    let plan = world.plan();
    assert_eq!(names(&plan.sessions[0]), ["stop", "retry", "clear_claims"]);
    assert_eq!(outcomes(&world.apply(&plan)), ["stop done", "retry done", "clear_claims done"]);
    assert_eq!(world.state(), (1, false));
}

#[test]
fn a_run_that_is_asked_to_end_leaves_what_it_has_not_begun() {
    let world = World::with_claim();
    world.container("s", &unlabelled());
    let plan = world.plan();
    interrupt::ask_in_test();
    assert_eq!(outcomes(&world.apply(&plan)), ["stop left", "retry left", "clear_claims left"]);
    assert_eq!((world.state(), world.was_stopped()), ((0, true), false));
}

#[test]
fn a_container_that_beats_meanwhile_goes_on_with_its_messages() {
    let world = World::with_claim();
    world.container("s", &unlabelled());
    let plan = world.plan();
    world.beat();
    assert_eq!(outcomes(&world.apply(&plan)), ["stop changed", "retry left", "clear_claims left"]);
    assert_eq!((world.state(), world.was_stopped()), ((0, true), false));
}

#[test]
fn where_a_stop_is_refused_nothing_is_taken_from_the_container() {
    let world = World::with_claim();
    world.container("s", &unlabelled());
    world.runtime("stop", "echo 'permission denied' >&2; exit 1");
    let plan = world.plan();
    assert_eq!(outcomes(&world.apply(&plan)), ["stop refused", "retry left", "clear_claims left"]);
    assert_eq!(world.state(), (0, true));
}

#[test]
fn a_container_of_another_installation_in_a_folder_of_ours_is_not_stopped() {
    let world = World::with_claim();
    world.container("s", &json!({ "nanoclaw-install": "ffffffff" }));
    let plan = world.plan();
    assert_eq!(names(&plan.sessions[0])[0], "stop");
    assert_eq!(outcomes(&world.apply(&plan)), ["stop refused", "retry left", "clear_claims left"]);
    assert_eq!((world.state(), world.was_stopped()), ((0, true), false));
}

#[test]
fn a_container_that_started_meanwhile_keeps_its_messages() {
    let world = World::with_claim();
    let plan = world.plan();
    assert_eq!(names(&plan.sessions[0]), ["retry", "clear_claims"]);
    world.container("s", &unlabelled());
    assert_eq!(outcomes(&world.apply(&plan)), ["retry changed", "clear_claims changed"]);
    assert_eq!(world.state(), (0, true));
    world.runtime("inspect", "no answer");
    assert_eq!(outcomes(&world.apply(&plan)), ["retry failed", "clear_claims failed"]);
    assert_eq!(world.state(), (0, true));
}

#[test]
fn a_container_that_started_meanwhile_keeps_its_journal() {
    let world = World::with_claim();
    let mut plan = world.plan();
    let action = Action::RollBack { database: INBOUND };
    plan.sessions[0].steps = vec![Step { action, reason: String::new() }];
    world.container("s", &unlabelled());
    assert_eq!(outcomes(&world.apply(&plan)), ["roll_back changed"]);
}

#[test]
fn claims_stay_where_their_messages_could_not_be_planned() {
    let world = World::with_claim();
    let plan = world.plan();
    let holder = world.inbound();
    holder.execute_batch("BEGIN EXCLUSIVE").unwrap();
    assert_eq!(outcomes(&world.apply(&plan)), ["retry failed", "clear_claims left"]);
    drop(holder);
    assert_eq!(world.state(), (0, true));
}

#[test]
fn a_message_that_cannot_be_planned_keeps_its_claim_and_the_others_lose_theirs() {
    let mut world = World::with_claim();
    world.claim("m2");
    world.inbound().execute_batch("CREATE UNIQUE INDEX one ON messages_in (tries) WHERE tries = 1").unwrap();
    let plan = world.plan();
    assert_eq!(names(&plan.sessions[0]), ["retry", "retry", "clear_claims"]);
    let applied = world.apply(&plan);
    assert_eq!(outcomes(&applied), ["retry done", "retry failed", "clear_claims done", "clear_claims left"]);
    let claims = |at: usize| match &applied.sessions[0].steps[at].0.action {
        Action::ClearClaims { claims } => claims.iter().map(|(message, _)| message.clone()).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!([claims(2), claims(3)], [["m1"], ["m2"]]);
    assert_eq!(world.claims(), ["m2"]);
    // The one alone is not released for nothing.
    let plan = world.plan();
    assert_eq!(outcomes(&world.apply(&plan)), ["retry failed", "clear_claims left"]);
    assert_eq!(world.claims(), ["m2"]);
    // Nor does it keep its session from being woken for others.
    world.settings.wake = WakeSettings { command: vec!["true".to_owned()], limit: Duration::from_secs(60) };
    let plan = world.plan();
    assert_eq!(outcomes(&world.apply(&plan)), ["retry failed", "clear_claims left", "wake done"]);
}

#[test]
fn an_orphan_whose_session_is_there_by_now_is_none() {
    let world = World::new();
    world.container("gone", &unlabelled());
    let plan = world.plan();
    assert_eq!(plan.orphans().count(), 1);
    world.session("gone", "g", "active");
    assert_eq!(world.apply(&plan).orphans[0].name(), "changed");
    assert!(!world.was_stopped());
    world.central("UPDATE sessions SET status = 'closed'");
    assert_eq!(world.apply(&plan).orphans, [Outcome::Done]);
}

#[test]
fn an_orphan_is_left_to_a_host_that_started_meanwhile() {
    let world = World::new();
    world.container("gone", &unlabelled());
    let plan = world.plan();
    world.central(A_HOST);
    assert_eq!(world.apply(&plan).orphans[0].name(), "left");
    assert!(!world.was_stopped());
}

#[test]
fn an_orphan_that_a_run_has_not_come_to_is_left_when_it_is_asked_to_end() {
    let world = World::new();
    world.container("gone", &unlabelled());
    let plan = world.plan();
    interrupt::ask_in_test();
    assert_eq!(world.apply(&plan).orphans[0].name(), "left");
    assert!(!world.was_stopped());
}

#[test]
fn where_the_sessions_cannot_be_read_any_more_no_orphan_is_stopped() {
    let world = World::new();
    world.container("gone", &unlabelled());
    let plan = world.plan();
    world.central("DROP TABLE sessions");
    assert_eq!(world.apply(&plan).orphans[0].name(), "failed");
    assert!(!world.was_stopped());
}

#[test]
fn what_a_host_that_started_meanwhile_does_itself_is_left_to_it() {
    let mut world = World::with_claim();
    let plan = world.plan();
    world.central(A_HOST);
    assert_eq!(outcomes(&world.apply(&plan)), ["retry left", "clear_claims left"]);
    assert_eq!(world.state(), (0, true));
    world.settings.take_over = true;
    assert_eq!(outcomes(&world.apply(&plan)), ["retry done", "clear_claims done"]);
}
