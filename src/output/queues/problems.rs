//! What went wrong, line by line.

use chrono::DateTime;

use super::lines::{name_of, of_session};
use super::parts::Told;
use crate::sweep::queues::applied::{Applied, Outcome};
use crate::sweep::queues::plan::Plan;

/// What could not be looked at or done.
pub(crate) fn problems_of(plan: &Plan, applied: Option<&Applied>) -> Vec<String> {
    if applied.is_none() {
        return plan.all_problems();
    }
    // The clock says nothing of what went wrong.
    let told = Told { plan, applied, now: DateTime::UNIX_EPOCH };
    let unknown = plan.runtime.as_ref().err();
    let mut problems: Vec<String> = unknown.into_iter().chain(&plan.problems).cloned().collect();
    for session in told.sessions() {
        problems.extend(session.problem().map(|problem| of_session(session, problem)));
        let steps = session.steps().into_iter().filter(|(_, end)| end.is_trouble());
        problems.extend(steps.filter_map(|(step, end)| {
            let what = step.action.message().map(|message| format!(" of message {message}")).unwrap_or_default();
            Some(of_session(session, &format!("{}{what}: {}", step.action.name().replace('_', " "), end.why()?)))
        }));
    }
    for (item, end) in told.orphans() {
        // An orphan that was left since nobody knows any more whether it is one is told of nowhere else.
        let is_trouble = end.is_trouble() || end.outcome().is_some_and(|end| matches!(end, Outcome::Left(_)));
        let why = end.why().filter(|_| is_trouble);
        problems.extend(why.map(|why| format!("orphan {}: stop: {why}", name_of(&item.container))));
    }
    problems
}
