//! Installations as JSON.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::InstallationView;
use super::lines::text_of;
use super::parts::{End, Session, Told, word_of};
use super::problems::problems_of;
use super::tally::Tally;
use crate::policy::queue::{Judgement, Thresholds};
use crate::policy::timestamp::Timestamp;
use crate::queues::runtime::Container;
use crate::sweep::queues::applied::Outcome;
use crate::sweep::queues::plan::{Action, ContainerItem, ContainerVerdict, Liveness, Plan, Queue, Step};
use crate::sweep::queues::reason_of;

/// How much of an installation is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// Every session, and what a sweep would do.
    All,
    /// What a sweep has to say.
    Noteworthy,
}

/// An installation whose queues were looked at.
pub(super) fn installation(view: &InstallationView<'_>, extent: Extent) -> Value {
    let mut members = head(view);
    let Ok(plan) = view.plan else {
        add(
            &mut members,
            json!({"thresholds": null, "zone": null, "hands_off": null, "sessions": [], "unchanged": 0, "containers": []}),
        );
        if extent == Extent::Noteworthy {
            members.insert("summary".to_owned(), Value::Null);
        }
        return Value::Object(members);
    };
    let told = Told { plan, applied: view.applied, now: view.now };
    let sessions = told.sessions().filter(|session| extent == Extent::All || session.is_noteworthy());
    let is_stray = |item: &&ContainerItem| item.verdict == ContainerVerdict::Unknown;
    let unknown = plan.containers.iter().filter(is_stray).map(|item| container(item, None));
    let orphans = told.orphans().map(|(item, end)| container(item, Some(end)));
    add(
        &mut members,
        json!({
            "hands_off": plan.hands_off,
            "thresholds": thresholds(&plan.thresholds),
            "zone": {"name": plan.zone.tz.name(), "origin": plan.zone.origin.name()},
            "sessions": sessions.map(|item| session(told, item)).collect::<Vec<_>>(),
            "unchanged": plan.unchanged,
            "containers": orphans.chain(unknown).collect::<Vec<_>>(),
        }),
    );
    if extent == Extent::Noteworthy {
        members.insert("summary".to_owned(), Tally::of(told).document(told));
    }
    Value::Object(members)
}

/// An installation whose containers were looked at.
pub(super) fn containers(view: &InstallationView<'_>) -> Value {
    let mut members = head(view);
    let all = view.plan.map(|plan| plan.containers.iter().map(|item| container(item, None)).collect());
    members.insert("containers".to_owned(), Value::Array(all.unwrap_or_default()));
    Value::Object(members)
}

/// What is told of every installation, whatever is asked.
fn head(view: &InstallationView<'_>) -> Map<String, Value> {
    let mut members = Map::new();
    match view.plan {
        Ok(plan) => add(
            &mut members,
            json!({
                "root": text_of(&plan.root),
                "slug": plan.slug,
                "generation": plan.generation.name(),
                "error": null,
                "host": {"state": plan.host.name(), "reason": plan.host.reason()},
                "runtime": runtime(plan),
                "problems": problems_of(plan, view.applied),
                "notes": plan.notes,
            }),
        ),
        Err(error) => add(
            &mut members,
            json!({
                "root": text_of(view.folder),
                "slug": null,
                "generation": null,
                "error": format!("{error:#}"),
                "host": null,
                "runtime": null,
                "problems": [format!("{error:#}")],
                "notes": [],
            }),
        ),
    }
    members
}

fn runtime(plan: &Plan) -> Value {
    match &plan.runtime {
        Ok(names) => json!({"names": names, "error": null}),
        Err(why) => json!({"names": [], "error": why}),
    }
}

fn thresholds(thresholds: &Thresholds) -> Value {
    json!({
        "interval_seconds": thresholds.interval.as_secs(),
        "ceiling_seconds": thresholds.ceiling.as_secs(),
        "claim_stuck_seconds": thresholds.claim_stuck.as_secs(),
        "tries": thresholds.tries,
        "backoff_seconds": thresholds.backoff.as_secs(),
    })
}

fn session(told: Told<'_>, session: Session<'_>) -> Value {
    let item = session.item;
    let running = match &item.liveness {
        Liveness::Known(containers) => containers.iter().map(running).collect(),
        Liveness::Unknown => Vec::new(),
    };
    let reason = Some(reason_of(&item.judgement)).filter(|reason| !reason.is_empty());
    let steps = session.steps();
    let mut members = Map::new();
    add(
        &mut members,
        json!({
            "session_id": item.id,
            "agent_group_id": item.group,
            "status": item.status.name(),
            "container": word_of(&item.liveness),
            "containers": running,
            "heartbeat": time(item.heartbeat),
            "heartbeat_age_seconds": item.heartbeat.map(|beat| told.seconds_since(beat)),
            "judgement": judgement(&item.judgement),
            "judgement_reason": reason,
        }),
    );
    add(&mut members, queue(item.queue.as_ref()));
    add(
        &mut members,
        json!({
            "steps": steps.into_iter().map(|(step, end)| self::step(step, end)).collect::<Vec<_>>(),
            "problem": session.problem(),
            "notes": session.notes(),
        }),
    );
    Value::Object(members)
}

fn queue(queue: Option<&Queue>) -> Value {
    json!({
        "due": queue.map(|queue| queue.due),
        "pending": queue.map(|queue| queue.pending),
        "claimed": queue.map(|queue| queue.claimed),
        "stuck": queue.map(|queue| queue.stuck),
        "failed": queue.map(|queue| queue.failed),
        "next_due": time(queue.and_then(|queue| queue.next_due)),
        "next_recurrence": time(queue.and_then(|queue| queue.next_recurrence)),
        "parked": queue.map(|queue| queue.parked),
    })
}

const fn judgement(judgement: &Judgement) -> &'static str {
    match judgement {
        Judgement::Fine => "fine",
        Judgement::Unknown(_) => "unknown",
        Judgement::PastCeiling { .. } => "past_ceiling",
        Judgement::ClaimStuck { .. } => "claim_stuck",
    }
}

/// What is to be done, why, and what became of it.
fn step(step: &Step, end: End<'_>) -> Value {
    let mut members = Map::new();
    add(
        &mut members,
        json!({
            "action": step.action.name(),
            "message_id": step.action.message(),
            "reason": step.reason,
            "result": end.name(),
            "detail": end.why(),
        }),
    );
    let more = match &step.action {
        Action::RollBack { database } => json!({"database": database}),
        Action::Stop { containers } => json!({"containers": containers}),
        Action::Acknowledge { status, .. } => json!({"status": status.name()}),
        Action::Retry { tries, at, .. } => json!({"tries": tries, "at": Timestamp(*at)}),
        Action::Fail { tries, .. } => json!({"tries": tries}),
        Action::ClearClaims { claims } => {
            let messages: Vec<&String> = claims.iter().map(|(message, _)| message).collect();
            json!({"claims": claims.len(), "messages": messages})
        }
        Action::Recur { expression, next, is_paused, .. } => {
            json!({"expression": expression, "next": Timestamp(*next), "paused": is_paused})
        }
        Action::Disarm { expression, .. } | Action::Park { expression, .. } => json!({"expression": expression}),
        Action::Wake { due } => json!({"due": due}),
    };
    add(&mut members, more);
    Value::Object(members)
}

/// A container with what it is; with what became of it where it is to be stopped.
fn container(item: &ContainerItem, end: Option<End<'_>>) -> Value {
    let result = end.map(|end| match end {
        End::Came(Outcome::Done) => "stopped",
        End::Came(Outcome::Failed(_)) => "unknown",
        end => end.name(),
    });
    let mut members = Map::new();
    add(&mut members, running(&item.container));
    add(
        &mut members,
        json!({
            "runtime": item.container.runtime,
            "session_id": item.session,
            "agent_group_id": item.group,
            "verdict": item.verdict.name(),
            "reason": item.reason,
            "result": result,
            "detail": end.and_then(End::why),
        }),
    );
    Value::Object(members)
}

fn running(container: &Container) -> Value {
    json!({
        "id": container.id,
        "name": container.name,
        "state": container.state.word(),
        "started": time(container.started),
    })
}

fn time(time: Option<DateTime<Utc>>) -> Option<Timestamp> {
    time.map(Timestamp)
}

/// Adds the members of an object.
fn add(members: &mut Map<String, Value>, more: Value) {
    if let Value::Object(more) = more {
        members.extend(more);
    }
}
