//! What is seen of an installation, and what is left alone.

use serde_json::json;

use super::super::crew::of_session;
use super::super::plan::ContainerVerdict;
use super::super::world::{World, names};
use super::*;

fn row(status: Status) -> SessionRow {
    SessionRow { id: "s".to_owned(), group: "g".to_owned(), has_group: true, status, claimed: None }
}

#[test]
fn only_active_sessions_are_looked_at() {
    let world = World::new();
    for status in ["active", "closed", "dreaming"] {
        world.session(status, "g", status);
    }
    let plan = world.plan();
    let ids: Vec<&str> = plan.sessions.iter().map(|item| &*item.id).collect();
    assert_eq!(ids, ["active"]);
}

#[test]
fn a_session_without_its_agent_group_is_left_alone() {
    let world = World::with_claim();
    assert_eq!(names(&world.plan().sessions[0]), ["retry", "clear_claims"]);
    world.central("DELETE FROM agent_groups");
    let plan = world.plan();
    assert!(plan.sessions[0].steps.is_empty());
    assert!(plan.sessions[0].notes[0].contains("there is no agent group g"), "{:?}", plan.sessions[0].notes);
}

#[test]
fn a_session_that_beats_though_no_container_of_it_is_known_is_left_alone() {
    let world = World::with_claim();
    world.beat();
    let plan = world.plan();
    assert!(plan.sessions[0].steps.is_empty());
    assert_eq!(plan.sessions[0].liveness.is_alive(), None);
}

#[test]
fn where_a_container_is_nobodys_or_the_runtime_does_not_answer_nothing_is_released() {
    let world = World::with_claim();
    let scene = world.scene();
    let ours = json!({ "nanoclaw-install": scene.slug() });
    world.container("not/a/session", &ours);
    assert!(world.plan().sessions[0].steps.is_empty());
    world.runtime("inspect", "no answer");
    let plan = world.plan();
    assert!(plan.sessions[0].steps.is_empty() && plan.runtime.is_err());
}

#[test]
fn half_written_work_is_undone_only_where_no_container_runs() {
    let decided = |liveness| {
        let mut item = SessionItem::new(&row(Status::Active), liveness);
        item.hot_journal("inbound.db");
        (item.steps.len(), item.problem.is_some())
    };
    assert_eq!(decided(Liveness::Known(Vec::new())), (1, false));
    assert_eq!(decided(Liveness::Unknown), (0, true));
    let world = World::with_claim();
    world.container("s", &json!({}));
    assert_eq!(decided(world.scene().liveness_of("s", "g", Duration::ZERO)), (0, true));
}

#[test]
fn an_orphan_is_what_has_no_session_or_a_closed_one_and_is_this_installations() {
    let verdict = |status: Option<Status>, may_be_stopped| of_session(status.map(row).as_ref(), may_be_stopped).0;
    assert_eq!(verdict(None, true), ContainerVerdict::Orphan);
    assert_eq!(verdict(Some(Status::Closed), true), ContainerVerdict::Orphan);
    assert_eq!(verdict(None, false), ContainerVerdict::Unknown);
    assert_eq!(verdict(Some(Status::Closed), false), ContainerVerdict::Unknown);
    assert_eq!(verdict(Some(Status::Active), true), ContainerVerdict::Session);
    assert_eq!(verdict(Some(Status::Other("dreaming".to_owned())), true), ContainerVerdict::Unknown);
}

#[test]
fn nothing_is_done_while_a_host_runs_or_may_run_unless_it_is_taken_over() {
    let hosts = [Host::Stopped, Host::Running("x".to_owned()), Host::Unknown("x".to_owned())];
    let mut world = World::new();
    let is_left = |world: &World| hosts.clone().map(|host| world.scene().hands_off(&host).is_some());
    assert_eq!(is_left(&world), [false, true, true]);
    world.settings.take_over = true;
    assert_eq!(is_left(&world), [false; 3]);
}

#[test]
fn of_another_users_installation_nothing_is_known_where_each_has_containers_of_their_own() {
    if !rustix::process::geteuid().is_root() {
        return; // Nobody else can give a file away.
    }
    let world = World::with_claim();
    world.version("Docker version 27.3.1");
    world.give_away(7);
    assert!(world.plan().runtime.is_ok());
    world.version("podman version 4.3.1");
    let why = world.plan().runtime.unwrap_err();
    assert!(why.contains("docker has each user's containers apart") && why.contains("the user with number 7"), "{why}");
    assert!(world.plan().sessions[0].steps.is_empty());
}

/// What two sweeps in a row say of the only session, which they need not look into.
fn said_twice(world: &World) -> [Vec<String>; 2] {
    let mut memory = world.memory();
    let mut notes = || {
        let plan = world.scene().plan(Extent::Changed, &mut memory).unwrap();
        plan.sessions.into_iter().flat_map(|item| item.notes).collect::<Vec<_>>()
    };
    [notes(), notes()]
}

#[test]
fn a_container_that_cannot_be_judged_is_told_of_at_each_sweep() {
    let world = World::new();
    world.session("s", "g", "active");
    world.container_that("paused", "s", &json!({}));
    let [first, second] = said_twice(&world);
    assert!(first[0].contains("cannot be judged: it is paused"), "{first:?}");
    assert_eq!((first.len(), &first), (1, &second));
}

#[test]
fn a_heartbeat_that_lies_ahead_is_told_of() {
    let world = World::new();
    world.session("s", "g", "active");
    world.container("s", &json!({}));
    world.beat_ahead(30);
    assert_eq!(said_twice(&world).concat(), Vec::<String>::new());
    world.beat_ahead(7_200);
    let [first, second] = said_twice(&world);
    assert!(first[0].contains("h ahead: until then"), "{first:?}");
    assert_eq!((first.len(), &first), (1, &second));
}

#[test]
fn after_a_sleep_silence_counts_from_when_it_was_seen() {
    let mut world = World::with_claim();
    world.container("s", &json!({}));
    let mut memory = world.memory();
    assert_eq!(memory.leap(Clocks::now().less_asleep(7_200), world.now()), None);
    let mut look = |world: &World| {
        let plan = world.scene().plan(Extent::Changed, &mut memory).unwrap();
        (names(&plan.sessions[0]), plan.notes)
    };
    let (steps, notes) = look(&world);
    assert_eq!(steps, [""; 0]);
    assert!(notes[0].contains("slept or had its clock set (2.0h): silence counts from now on"), "{notes:?}");
    // However soon the next ones come.
    assert_eq!(look(&world), (Vec::new(), Vec::new()));
    world.pass(60);
    assert_eq!(look(&world), (Vec::new(), Vec::new()));
    world.pass(1);
    assert_eq!(look(&world).0, ["stop", "retry", "clear_claims"]);
    // What no container works on is put back all the same.
    world.runtime("ids", "");
    assert_eq!(look(&world).0, ["retry", "clear_claims"]);
}

#[test]
fn sessions_of_a_status_that_is_not_known_are_told_of() {
    let world = World::new();
    for (id, status) in [("a", "dreaming"), ("b", "dreaming"), ("c", "active")] {
        world.session(id, "g", status);
    }
    assert_eq!(world.plan().notes, ["2 sessions have the status \"dreaming\", which is not known here: left alone"]);
}

#[test]
fn all_locked_databases_together_keep_a_run_waiting_for_a_few_times_only() {
    let mut world = World::new();
    world.settings.wait = Duration::from_millis(2);
    let scene = world.scene();
    let waited = |patience: Duration| {
        let begun = Instant::now();
        while begun.elapsed() < patience {}
        patience
    };
    let all: Vec<Duration> = (0..10).map(|_| scene.patiently(waited)).collect();
    assert_eq!(all[0], world.settings.wait);
    assert!(all.iter().sum::<Duration>() <= 6 * world.settings.wait, "{all:?}");
    assert_eq!(all.last(), Some(&Duration::ZERO));
    // What is not kept waiting costs nothing.
    world.settings.wait = Duration::from_secs(3_600);
    let scene = world.scene();
    let ready: Vec<Duration> = (0..10).map(|_| scene.patiently(|patience| patience)).collect();
    assert_eq!(ready.last(), ready.first());
}

/// How many sessions a second sweep looks at, with what was changed in between.
fn looked_at_again(world: &World, between: impl FnOnce()) -> usize {
    let mut memory = world.memory();
    let mut look = || world.scene().plan(Extent::Changed, &mut memory).unwrap().sessions.len();
    assert_eq!(look(), 1);
    between();
    look()
}

#[test]
fn a_session_in_which_nothing_was_to_be_done_is_not_opened_again() {
    let world = World::new();
    world.session("s", "g", "active");
    assert_eq!(looked_at_again(&world, || {}), 0);
    let write = || {
        world.inbound().execute("INSERT INTO messages_in VALUES ('m1', 2, 'pending', 0, NULL, NULL)", []).unwrap();
    };
    assert_eq!(looked_at_again(&world, write), 1);
    // Something is due.
    assert_eq!(looked_at_again(&world, || {}), 1);
}

#[test]
fn a_session_with_a_claim_is_looked_at_again() {
    let world = World::with_claim();
    world.inbound().execute("UPDATE messages_in SET process_after = '2999-01-01'", []).unwrap();
    world.container("s", &json!({}));
    world.beat();
    assert_eq!(looked_at_again(&world, || {}), 1);
}

#[test]
fn a_session_that_did_not_change_is_looked_at_when_its_container_is_silent() {
    let world = World::new();
    world.session("s", "g", "active");
    assert_eq!(looked_at_again(&world, || world.container("s", &json!({}))), 1);
}

#[test]
fn a_journal_beside_databases_that_did_not_change_is_found_within_ten_minutes() {
    let mut world = World::new();
    world.session("s", "g", "active");
    let mut memory = world.memory();
    let mut look = |world: &World| world.scene().plan(Extent::Changed, &mut memory).unwrap().sessions;
    assert_eq!(look(&world).len(), 1);
    world.wait(TimeDelta::minutes(10));
    assert_eq!(look(&world).len(), 0);
    world.journal();
    assert_eq!(look(&world).len(), 0);
    world.wait(TimeDelta::minutes(10));
    assert_eq!(names(&look(&world)[0]), ["roll_back"]);
    // From now on at every sweep.
    assert_eq!(names(&look(&world)[0]), ["roll_back"]);
}

#[test]
fn a_container_in_the_folder_of_another_group_leaves_its_session_unknown() {
    let world = World::with_claim();
    world.container("s", &json!({}));
    let alive = |group| world.scene().liveness_of("s", group, Duration::ZERO).is_alive();
    assert_eq!((alive("g"), alive("h")), (Some(true), None));
}
