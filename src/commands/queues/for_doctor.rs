//! What `doctor` decides about queues on: the configured installations, looked at as `queues status` does.

use super::{Looked, look};
use crate::context::Context;
use crate::doctor::{QueueFacts, QueueLook};
use crate::queues::host::Host;
use crate::sweep::queues::Extent;
use crate::sweep::queues::plan::{Action, Plan, SessionItem};

/// Looks at each configured installation; read-only.
pub(in crate::commands) fn look_for_doctor(context: &Context) -> Vec<QueueFacts> {
    // Without a root there is nothing to look at, which is no mistake here.
    look(context, &[], Extent::All).unwrap_or_default().into_iter().map(facts).collect()
}

fn facts(looked: Looked) -> QueueFacts {
    let sessions = looked.folder.join("data/v2-sessions");
    // Without a session there is no such folder yet.
    let real = std::fs::canonicalize(&sessions).unwrap_or_else(|_| sessions.clone());
    let look = looked.plan.as_ref().map(of_plan).map_err(|error| format!("{error:#}"));
    QueueFacts { sessions: [real, sessions], look, root: looked.folder }
}

fn of_plan(plan: &Plan) -> QueueLook {
    let broken =
        |session: &SessionItem| session.problem.as_ref().map(|problem| format!("session {}: {problem}", session.id));
    QueueLook {
        host: match &plan.host {
            Host::Stopped => "no host runs".to_owned(),
            Host::Running(why) => format!("its host runs ({why})"),
            Host::Unknown(why) => format!("whether its host runs is not known ({why})"),
        },
        is_host_known: !matches!(plan.host, Host::Unknown(_)),
        is_left_alone: plan.hands_off.is_some(),
        runtime: plan.runtime.clone(),
        sessions: plan.sessions.len() + plan.unchanged,
        broken: plan.sessions.iter().filter_map(broken).collect(),
        problems: plan.problems.clone(),
        stuck: plan.sessions.iter().filter(|session| is_stuck(session)).count(),
        orphans: plan.orphans().count(),
    }
}

/// Whether somebody has died over it: a container that is silent, claims that nobody works on, a change half written.
fn is_stuck(session: &SessionItem) -> bool {
    let has_claims = session.queue.as_ref().is_some_and(|queue| queue.stuck > 0);
    let is_torn = session.steps.iter().any(|step| matches!(step.action, Action::RollBack { .. }));
    session.judgement.stops() || has_claims || is_torn
}
