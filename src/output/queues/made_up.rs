//! Plans that nobody made by looking.

use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::policy::queue::{Judgement, Thresholds};
use crate::policy::zone::Tz;
use crate::queues::central::{Generation, Status};
use crate::queues::host::Host;
use crate::queues::runtime::{Container, State};
use crate::queues::zone::zone_of;
use crate::sweep::queues::plan::{
    Action, ContainerItem, ContainerVerdict, Final, Liveness, Plan, Queue, SessionItem, Step,
};

pub(super) const LONG_ID: &str = "sess-1768000000000-a1b2c3";

pub(super) fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_176_000, 0).unwrap()
}

pub(super) fn later(seconds: i64) -> DateTime<Utc> {
    now() + TimeDelta::seconds(seconds)
}

pub(super) fn plan(sessions: Vec<SessionItem>) -> Plan {
    Plan {
        root: "/srv/nanoclaw".into(),
        slug: "1a2b3c4d".to_owned(),
        generation: Generation::B,
        host: Host::Stopped,
        hands_off: None,
        runtime: Ok(vec!["podman".to_owned()]),
        zone: zone_of(Tz::named("Europe/Madrid"), Some(OsStr::new("")), Path::new("/srv/nanoclaw")),
        thresholds: Thresholds {
            interval: Duration::from_mins(1),
            ceiling: Duration::from_mins(30),
            claim_stuck: Duration::from_mins(1),
            tries: 5,
            backoff: Duration::from_secs(5),
        },
        has_wake: true,
        sessions,
        unchanged: 0,
        containers: Vec::new(),
        problems: Vec::new(),
        notes: Vec::new(),
    }
}

/// A session with nothing in it and nothing that runs.
pub(super) fn session(id: &str) -> SessionItem {
    SessionItem {
        id: id.to_owned(),
        group: "ag-team".to_owned(),
        status: Status::Active,
        claimed: None,
        liveness: Liveness::Known(Vec::new()),
        heartbeat: None,
        queue: Some(Queue::default()),
        judgement: Judgement::Fine,
        steps: Vec::new(),
        problem: None,
        notes: Vec::new(),
    }
}

pub(super) fn container(name: &str) -> Container {
    Container {
        id: format!("3621bb0f9054{:0>52}", name.len()),
        name: name.to_owned(),
        state: State::Alive("running".to_owned()),
        started: Some(later(-7_200)),
        install: None,
        group: None,
        session: None,
        role: None,
        workspace: None,
        runtime: "podman".to_owned(),
    }
}

pub(super) fn item(name: &str, verdict: ContainerVerdict, reason: &str) -> ContainerItem {
    let session = (verdict != ContainerVerdict::Unknown).then(|| LONG_ID.to_owned());
    let group = session.as_ref().map(|_| "ag-team".to_owned());
    ContainerItem { container: container(name), verdict, group, session, reason: reason.to_owned() }
}

pub(super) fn step(action: Action, reason: &str) -> Step {
    Step { action, reason: reason.to_owned() }
}

/// One step of every kind.
pub(super) fn every_step() -> Vec<Step> {
    let message = |number: u32| format!("msg-176800000000{number}-x1y2z3");
    let expression = || "0 9 * * 1-5".to_owned();
    let claims = (1..=5).map(|number| (message(number), "2026-11-20T09:00:00Z".to_owned())).collect();
    let gone = "no container runs that could work on it";
    let silent = "message msg-1768000000001-x1y2z3 was claimed 12m ago and no heartbeat came after; 1m is the most";
    vec![
        step(Action::RollBack { database: "outbound.db" }, "outbound.db has a hot journal"),
        step(Action::Stop { containers: vec![container("nanoclaw-v2-team-1768").id] }, silent),
        step(Action::Acknowledge { message: message(1), status: Final::Completed }, "its container reported completed"),
        step(Action::Retry { message: message(2), tries: 2, at: later(10) }, gone),
        step(Action::Fail { message: message(3), tries: 5 }, "no container runs, and it was tried 5 times"),
        step(Action::ClearClaims { claims }, gone),
        step(
            Action::Recur { message: message(4), expression: expression(), next: later(72_000), is_paused: false },
            "a run has ended, and the task recurs",
        ),
        step(Action::Disarm { message: message(5), expression: expression() }, "the next run is planned already"),
        step(
            Action::Park { message: message(6), expression: "every full moon".to_owned() },
            "it has two fields too few",
        ),
        step(Action::Wake { due: 2 }, "messages are due and no container runs"),
    ]
}
