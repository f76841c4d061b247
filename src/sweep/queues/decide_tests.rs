//! Decisions case by case, and what holds of every one, whatever a session's databases say.

use std::time::Duration;

use chrono::TimeDelta;
use proptest::prelude::*;
use rustc_hash::FxHashMap;

use super::*;
use crate::queues::inbound::Inbound;
use crate::queues::outbound::Outbound;
use crate::queues::runtime::{Container, State as Life};

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_176_000, 0).unwrap()
}

fn rules(has_wake: bool) -> Rules {
    let thresholds = Thresholds {
        interval: Duration::from_secs(60),
        ceiling: Duration::from_secs(1_800),
        claim_stuck: Duration::from_secs(60),
        tries: 5,
        backoff: Duration::from_secs(5),
    };
    Rules { thresholds, has_wake, zone: Tz::named("Europe/Madrid").unwrap(), now: now(), awake: None }
}

fn ago() -> impl Strategy<Value = DateTime<Utc>> {
    prop_oneof![-600_i64..90, -100_000_i64..100_000].prop_map(|seconds| now() - TimeDelta::seconds(seconds))
}

fn id() -> impl Strategy<Value = String> {
    (0..6_u8).prop_map(|number| format!("m{number}"))
}

fn message() -> impl Strategy<Value = Message> {
    let state = prop_oneof![Just(State::Pending), Just(State::Paused), Just(State::Completed), Just(State::Failed)];
    let after =
        prop_oneof![Just(After::Anytime), ago().prop_map(After::At), Just(After::Unreadable("soon".to_owned()))];
    let expression = prop_oneof![Just("0 9 * * *"), Just("0 21-5 * * *"), Just("")];
    let series = proptest::option::of(prop_oneof![Just("s1"), Just("s2")]);
    (id(), state, 0..8_u32, after, proptest::option::of(expression), series, any::<bool>(), 0..9_u32).prop_map(
        |(id, state, tries, after, recurrence, series, wakes, failures)| Message {
            id,
            state,
            tries,
            after,
            recurrence: recurrence.map(str::to_owned),
            series: series.map(str::to_owned),
            wakes,
            failures,
            is_newest: true,
        },
    )
}

fn outbound() -> impl Strategy<Value = Outbound> {
    let claim = (id(), proptest::option::of(ago())).prop_map(|(message, since)| Claim {
        message,
        since,
        since_text: since.map_or_else(|| "soon".to_owned(), |since| since.to_rfc3339()),
    });
    let ack = prop_oneof![Just(Ack::Completed), Just(Ack::Failed), Just(Ack::ScriptFailed)];
    let acks = proptest::collection::vec((id(), ack), 0..4);
    let tool = (proptest::option::of(0..10_000_u64), proptest::option::of(ago())).prop_map(|(timeout, updated)| {
        ToolCall { tool: Some("Bash".to_owned()), timeout: timeout.map(Duration::from_secs), updated }
    });
    (proptest::collection::vec(claim, 0..4), acks, proptest::option::of(tool)).prop_map(|(claims, acks, tool)| {
        // A message has one row.
        let acks = acks.into_iter().filter(|(id, _)| !claims.iter().any(|claim: &Claim| claim.message == *id));
        Outbound { acks: acks.collect::<FxHashMap<_, _>>(), claims, tool, ..Outbound::default() }
    })
}

fn facts() -> impl Strategy<Value = Facts> {
    (proptest::collection::vec(message(), 0..6), proptest::option::of(outbound())).prop_map(|(messages, outbound)| {
        let mut seen = BTreeSet::new();
        let messages = messages.into_iter().filter(|message| seen.insert(message.id.clone())).collect();
        Facts { inbound: Inbound { messages, ..Inbound::default() }, outbound }
    })
}

fn container(started: Option<DateTime<Utc>>) -> Container {
    Container {
        id: "c1".to_owned(),
        name: "c1".to_owned(),
        state: Life::Alive("running".to_owned()),
        started,
        install: None,
        group: None,
        session: None,
        role: None,
        workspace: None,
        runtime: "podman".to_owned(),
    }
}

fn liveness() -> impl Strategy<Value = Liveness> {
    prop_oneof![
        Just(Liveness::Unknown),
        Just(Liveness::Known(Vec::new())),
        proptest::option::of(ago()).prop_map(|started| Liveness::Known(vec![container(started)])),
    ]
}

fn messages_of(steps: &[Step], is_wanted: impl Fn(&Action) -> bool) -> Vec<&str> {
    steps.iter().filter(|step| is_wanted(&step.action)).filter_map(|step| step.action.message()).collect()
}

/// A message that waits, is due and was never tried.
fn waiting(id: &str) -> Message {
    Message {
        id: id.to_owned(),
        state: State::Pending,
        tries: 0,
        after: After::Anytime,
        recurrence: None,
        series: None,
        wakes: true,
        failures: 0,
        is_newest: true,
    }
}

/// A run of the series `s1`.
fn run(id: &str, state: State) -> Message {
    Message { state, recurrence: Some("0 9 * * *".to_owned()), series: Some("s1".to_owned()), ..waiting(id) }
}

/// Claimed so many seconds ago.
fn claim(message: &str, seconds: i64) -> Claim {
    let since = now() - TimeDelta::seconds(seconds);
    Claim { message: message.to_owned(), since: Some(since), since_text: since.to_rfc3339() }
}

#[test]
fn what_has_no_name_is_counted_and_told() {
    let told = |messages, claims| {
        let mut facts = hold(Vec::new(), Vec::new(), &[]);
        facts.inbound.nameless = messages;
        facts.outbound.as_mut().unwrap().nameless = claims;
        let signs = Signs { liveness: &Liveness::Unknown, heartbeat: None, claimed: None, woken: None };
        decide(&facts, signs, &BTreeMap::new(), &rules(false)).notes
    };
    assert_eq!(told(0, 0), [""; 0]);
    let notes = ["1 message has an id that is no text: left alone", "2 claims have an id that is no text: left alone"];
    assert_eq!(told(1, 2), notes);
}

fn undated(message: &str) -> Claim {
    Claim { since: None, since_text: "soon".to_owned(), ..claim(message, 0) }
}

/// What a session's databases hold.
fn hold(messages: Vec<Message>, claims: Vec<Claim>, acks: &[(&str, Ack)]) -> Facts {
    let acks = acks.iter().map(|(id, ack)| ((*id).to_owned(), *ack)).collect();
    Facts {
        inbound: Inbound { messages, ..Inbound::default() },
        outbound: Some(Outbound { claims, acks, ..Outbound::default() }),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "as the fields have it")]
fn before(seconds: i64) -> Option<DateTime<Utc>> {
    Some(now() - TimeDelta::seconds(seconds))
}

fn dead() -> Liveness {
    Liveness::Known(Vec::new())
}

/// A container that started so many seconds ago.
fn alive(seconds: i64) -> Liveness {
    Liveness::Known(vec![container(before(seconds))])
}

fn decided(facts: &Facts, liveness: &Liveness) -> Decided {
    let signs = Signs { liveness, heartbeat: None, claimed: None, woken: None };
    decide(facts, signs, &BTreeMap::new(), &rules(true))
}

/// The names of the steps, with their messages.
fn steps_of(decided: &Decided) -> Vec<String> {
    let words = |step: &Step| match step.action.message() {
        Some(message) => format!("{} {message}", step.action.name()),
        None => step.action.name().to_owned(),
    };
    decided.steps.iter().map(words).collect()
}

fn steps(facts: &Facts, liveness: &Liveness) -> Vec<String> {
    steps_of(&decided(facts, liveness))
}

#[test]
fn what_has_ended_is_not_ended_again() {
    let ended = [run("m1", State::Completed), run("m2", State::Failed)];
    let facts = hold(ended.to_vec(), Vec::new(), &[("m1", Ack::ScriptFailed), ("m2", Ack::Completed)]);
    assert_eq!(steps(&facts, &dead()), ["recur m2", "disarm m1"]);
    let waits = [waiting("m1"), Message { state: State::Paused, ..waiting("m2") }];
    let facts = hold(waits.to_vec(), Vec::new(), &[("m1", Ack::Failed), ("m2", Ack::ScriptFailed)]);
    assert_eq!(steps(&facts, &dead()), ["acknowledge m1", "acknowledge m2"]);
}

#[test]
fn claims_of_a_container_that_works_are_left_alone() {
    let facts = hold(vec![waiting("m1")], vec![claim("m1", 30)], &[]);
    assert!(steps(&facts, &alive(40)).is_empty());
    assert_eq!(steps(&facts, &alive(2_000)), ["stop", "retry m1", "clear_claims"]);
    assert_eq!(steps(&facts, &dead()), ["retry m1", "clear_claims", "wake"]);
}

#[test]
fn where_nobody_knows_what_runs_nothing_is_released_and_nobody_woken() {
    let facts = hold(vec![waiting("m1")], vec![claim("m1", 9_000)], &[]);
    assert!(steps(&facts, &Liveness::Unknown).is_empty());
    // What its container reported and what recurs depends on nobody's life.
    let facts = hold(vec![waiting("m1"), run("m2", State::Completed)], Vec::new(), &[("m1", Ack::Completed)]);
    assert_eq!(steps(&facts, &Liveness::Unknown), ["acknowledge m1", "recur m2"]);
}

#[test]
fn a_claimed_message_that_waits_for_its_user_or_has_ended_is_not_tried_again() {
    for state in [State::Paused, State::Completed, State::Failed] {
        let facts = hold(vec![Message { state, ..waiting("m1") }], vec![claim("m1", 90)], &[]);
        assert_eq!(steps(&facts, &dead()), ["clear_claims"], "{state:?}");
    }
}

#[test]
fn a_claim_whose_time_cannot_be_read_is_left_alone_and_told() {
    let facts = hold(vec![waiting("m1"), waiting("m2")], vec![undated("m1"), claim("m2", 90)], &[]);
    let decided = decided(&facts, &dead());
    assert_eq!(steps_of(&decided), ["retry m2", "clear_claims", "wake"]);
    let cleared = Action::ClearClaims { claims: vec![("m2".to_owned(), claim("m2", 90).since_text)] };
    assert_eq!(decided.steps[1].action, cleared);
    assert!(decided.notes[0].contains("m1 was claimed at \"soon\""), "{:?}", decided.notes);
}

#[test]
fn a_claimed_message_whose_time_cannot_be_read_is_left_alone_and_told() {
    let odd = Message { after: After::Unreadable("soon".to_owned()), ..waiting("m1") };
    let decided = decided(&hold(vec![odd], vec![claim("m1", 90)], &[]), &dead());
    assert!(decided.steps.is_empty(), "{:?}", decided.steps);
    assert!(decided.notes[0].contains("m1 is due at \"soon\""), "{:?}", decided.notes);
}

#[test]
fn a_message_that_is_claimed_twice_is_tried_again_once() {
    let decided = decided(&hold(vec![waiting("m1")], vec![claim("m1", 90), claim("m1", 80)], &[]), &dead());
    assert_eq!(steps_of(&decided), ["retry m1", "clear_claims", "wake"]);
    assert!(matches!(&decided.steps[1].action, Action::ClearClaims { claims } if claims.len() == 2));
}

#[test]
fn a_message_that_lies_ahead_is_not_tried_again_and_loses_its_claim() {
    let ahead = Message { after: After::At(now() + TimeDelta::seconds(9)), ..waiting("m1") };
    assert_eq!(steps(&hold(vec![ahead], vec![claim("m1", 90)], &[]), &dead()), ["clear_claims"]);
}

#[test]
fn several_containers_are_judged_as_the_youngest_if_all_tell_their_start() {
    let judged = |started: &[Option<DateTime<Utc>>]| {
        let liveness = Liveness::Known(started.iter().map(|started| container(*started)).collect());
        decided(&hold(Vec::new(), Vec::new(), &[]), &liveness).judgement
    };
    assert!(judged(&[before(9_000), before(8_000)]).stops());
    assert_eq!(judged(&[before(9_000), before(10)]), Judgement::Fine);
    assert!(matches!(judged(&[before(9_000), None]), Judgement::Unknown(_)));
}

#[test]
fn a_session_that_a_host_took_over_is_judged_from_then_on() {
    let judged = |claimed: Option<DateTime<Utc>>| {
        let signs = Signs { liveness: &alive(9_000), heartbeat: None, claimed, woken: None };
        signs.judge(None, &[], &rules(true)).stops()
    };
    assert_eq!([judged(None), judged(before(10)), judged(before(20_000))], [true, false, true]);
}

#[test]
fn an_expression_that_cannot_be_followed_is_told_once_and_left_alone() {
    let odd = Message { recurrence: Some("0 21-5 * * *".to_owned()), ..run("m1", State::Completed) };
    let facts = hold(vec![odd], Vec::new(), &[]);
    let liveness = dead();
    let signs = Signs { liveness: &liveness, heartbeat: None, claimed: None, woken: None };
    let first = decide(&facts, signs, &BTreeMap::new(), &rules(true));
    assert_eq!(steps_of(&first), ["park m1"]);
    let second = decide(&facts, signs, &first.parked, &rules(true));
    assert!(second.steps.is_empty() && second.queue.parked == 1);
    let other = BTreeMap::from([("m1".to_owned(), "0 22-5 * * *".to_owned())]);
    assert_eq!(steps_of(&decide(&facts, signs, &other, &rules(true))), ["park m1"]);
}

#[test]
fn of_several_runs_that_ended_the_newest_has_the_next_and_the_others_have_none() {
    let ended = vec![run("m1", State::Completed), run("m2", State::Failed), run("m3", State::Completed)];
    assert_eq!(steps(&hold(ended, Vec::new(), &[]), &dead()), ["recur m3", "disarm m2", "disarm m1"]);
}

#[test]
fn a_series_that_has_a_run_ahead_gets_no_other() {
    for state in [State::Pending, State::Paused] {
        let runs = vec![run("m1", State::Completed), Message { wakes: false, ..run("m2", state) }];
        assert_eq!(steps(&hold(runs, Vec::new(), &[]), &dead()), ["disarm m1"], "{state:?}");
    }
    // One that ends in this very sweep is none.
    let runs = vec![run("m1", State::Completed), run("m2", State::Pending)];
    let facts = hold(runs, Vec::new(), &[("m2", Ack::Completed)]);
    assert_eq!(steps(&facts, &dead()), ["acknowledge m2", "recur m2", "disarm m1"]);
}

#[test]
fn a_run_that_fails_now_counts_among_the_failures() {
    let next = |facts: &Facts| {
        let decided = decided(facts, &dead());
        let recur = |step: &Step| match step.action {
            Action::Recur { is_paused, .. } => Some((is_paused, step.reason.clone())),
            _ => None,
        };
        decided.steps.iter().find_map(recur).unwrap()
    };
    let failing = |failures| Message { tries: 5, failures, ..run("m1", State::Pending) };
    let (is_paused, reason) = next(&hold(vec![failing(6)], vec![claim("m1", 90)], &[]));
    assert!(!is_paused && reason.contains("7 runs failed in a row"), "{reason}");
    assert!(next(&hold(vec![failing(7)], vec![claim("m1", 90)], &[])).0);
    let failed = |failures| Message { failures, ..run("m1", State::Failed) };
    assert!(!next(&hold(vec![failed(7)], Vec::new(), &[])).0, "one that has failed is counted already");
    assert!(next(&hold(vec![failed(8)], Vec::new(), &[])).0);
    let (_, reason) = next(&hold(vec![failing(7)], Vec::new(), &[("m1", Ack::Completed)]));
    assert!(reason.contains("a run has ended"), "{reason}");
}

#[test]
fn a_session_is_woken_only_for_what_is_due_where_no_container_runs_and_nobody_woke_it() {
    let due = hold(vec![waiting("m1")], Vec::new(), &[]);
    assert_eq!(steps(&due, &dead()), ["wake"]);
    assert!(steps(&due, &alive(10)).is_empty());
    assert!(steps(&due, &Liveness::Unknown).is_empty());
    let woken = |woken, has_wake| {
        let liveness = dead();
        let signs = Signs { liveness: &liveness, heartbeat: None, claimed: None, woken };
        steps_of(&decide(&due, signs, &BTreeMap::new(), &rules(has_wake)))
    };
    assert!(woken(before(59), true).is_empty());
    assert_eq!(woken(before(60), true), ["wake"]);
    assert!(woken(None, false).is_empty());
    let ahead = Message { after: After::At(now() + TimeDelta::seconds(1)), ..waiting("m1") };
    assert!(steps(&hold(vec![ahead], Vec::new(), &[]), &dead()).is_empty());
}

#[test]
fn nobody_is_woken_for_a_message_that_has_just_ended() {
    let last = Message { tries: 5, ..waiting("m1") };
    assert_eq!(steps(&hold(vec![last], vec![claim("m1", 90)], &[]), &dead()), ["fail m1", "clear_claims"]);
    let answered = hold(vec![waiting("m1")], Vec::new(), &[("m1", Ack::Completed)]);
    assert_eq!(steps(&answered, &dead()), ["acknowledge m1"]);
}

proptest! {
    #[test]
    fn whatever_is_in_the_databases_the_promises_hold(
        facts in facts(),
        liveness in liveness(),
        heartbeat in proptest::option::of(ago()),
        woken in proptest::option::of(ago()),
        has_wake in any::<bool>(),
    ) {
        let signs = Signs { liveness: &liveness, heartbeat, claimed: None, woken };
        let decided = decide(&facts, signs, &BTreeMap::new(), &rules(has_wake));
        let steps = &decided.steps;
        let has = |is_wanted: fn(&Action) -> bool| steps.iter().any(|step| is_wanted(&step.action));
        let stops = has(|action| matches!(action, Action::Stop { .. }));
        let releases = has(|action| {
            matches!(action, Action::Retry { .. } | Action::Fail { .. } | Action::ClearClaims { .. })
        });
        let wakes = has(|action| matches!(action, Action::Wake { .. }));

        // Nobody is stopped, and nothing is taken from a container, that is not known to be silent or not there.
        prop_assert!(!stops || liveness.is_alive() == Some(true));
        prop_assert!(!releases || stops || liveness.is_alive() == Some(false));
        prop_assert!(!wakes || (has_wake && liveness.is_alive() == Some(false)));

        // What has ended stays as it ended.
        let messages = facts.inbound.by_id();
        let state = |id: &str| messages.get(id).map(|message| message.state);
        for id in messages_of(steps, |action| {
            matches!(action, Action::Acknowledge { .. } | Action::Retry { .. } | Action::Fail { .. })
        }) {
            prop_assert!(matches!(state(id), Some(State::Pending | State::Paused)));
        }

        // What cannot be read is left alone.
        for step in steps {
            if let Action::ClearClaims { claims } = &step.action {
                prop_assert!(claims.iter().all(|(_, since)| since != "soon"));
            }
            if let Action::Retry { message, .. } | Action::Fail { message, .. } = &step.action {
                let after = messages.get(&**message).map(|message| &message.after);
                prop_assert!(!matches!(after, Some(After::Unreadable(_))));
                prop_assert!(!matches!(after, Some(After::At(after)) if *after > now()));
            }
            if let Action::Retry { tries, at, .. } = &step.action {
                prop_assert!(*tries <= 5 && *at > now());
            }
            if let Action::Recur { next, .. } = &step.action {
                prop_assert!(*next > now());
            }
        }

        // No message is done two things to, and a series gets one next run at most.
        let changed = messages_of(steps, |action| {
            matches!(action, Action::Acknowledge { .. } | Action::Retry { .. } | Action::Fail { .. })
        });
        prop_assert_eq!(changed.iter().collect::<BTreeSet<_>>().len(), changed.len());
        let series = |id: &str| messages.get(id).and_then(|message| message.series.clone());
        let recurring = messages_of(steps, |action| matches!(action, Action::Recur { .. }));
        let armed: Vec<String> = recurring.iter().filter_map(|id| series(id)).collect();
        prop_assert_eq!(armed.iter().collect::<BTreeSet<_>>().len(), armed.len());
        let goes_on = |name: &String| facts.inbound.messages.iter().any(|message| {
            message.series.as_ref() == Some(name)
                && message.recurrence.is_some()
                && matches!(message.state, State::Pending | State::Paused)
                && !changed.contains(&message.id.as_str())
        });
        prop_assert!(!armed.iter().any(goes_on));

        // Told once, an expression that cannot be followed is not told of again.
        let again = decide(&facts, signs, &decided.parked, &rules(has_wake));
        let parks = messages_of(&again.steps, |action| matches!(action, Action::Park { .. }));
        prop_assert!(parks.is_empty());
        prop_assert_eq!(again.queue.parked, decided.parked.len());
    }
}
