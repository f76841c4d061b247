//! What the daemon looks after: one row for each area, which says how often and what a tick is. The same plan and apply as in
//! the area's own command and in `sweep`.

use std::time::Duration;

use anyhow::Result;

use crate::commands::areas::AreaRun as _;
use crate::commands::prune::{Task, prune};
use crate::commands::run_log::Outcome;
use crate::commands::{artifacts, processes, queues, registry};
use crate::config::setting::DaemonSettings;
use crate::context::Context;
use crate::policy::duration::Limit;

/// What the locks say of a tick.
pub(super) const PROGRAM: &str = "session-sweep daemon";

/// One row of the table.
pub(super) struct Area {
    /// For logs, metrics and people.
    pub(super) name: &'static str,
    interval: fn(&DaemonSettings) -> Limit,
    is_enabled: fn(&Context) -> bool,
    /// One tick: looks, decides, does it.
    pub(super) run: fn(&Context) -> Result<Came>,
}

/// What a tick came to.
pub(super) struct Came {
    pub(super) outcome: Outcome,
    /// What was looked at.
    pub(super) seen: Vec<(&'static str, usize)>,
    /// What was done.
    pub(super) done: Vec<(&'static str, usize)>,
    /// What is well as it is and yet worth a word.
    pub(super) notes: Vec<String>,
}

/// All areas; of those that are due at once the first one comes first.
pub(super) static AREAS: [Area; 5] = [
    Area { name: "map", interval: |daemon| daemon.map, is_enabled: |_| true, run: sweep_map },
    Area {
        name: "registry",
        interval: |daemon| daemon.map,
        is_enabled: |context| context.config.settings.registry.enabled,
        run: sweep_registry,
    },
    Area {
        name: "processes",
        interval: |daemon| daemon.processes,
        is_enabled: |context| context.config.settings.processes.enabled,
        run: sweep_processes,
    },
    Area {
        name: "queues",
        interval: |daemon| daemon.queues,
        is_enabled: |context| !context.config.queues.is_empty(),
        run: sweep_queues,
    },
    Area {
        name: "artifacts",
        interval: |daemon| daemon.artifacts,
        is_enabled: |context| context.config.settings.artifacts.enabled,
        run: sweep_artifacts,
    },
];

/// How often each area has its tick; nothing for those that are not enabled, or switched off here.
pub(super) fn intervals(context: &Context) -> Vec<Option<Duration>> {
    let settings = &context.config.settings.daemon;
    let interval = |area: &Area| (area.interval)(settings).duration().filter(|_| (area.is_enabled)(context));
    AREAS.iter().map(interval).collect()
}

impl Came {
    /// There was nothing to look at.
    const fn to_nothing() -> Self {
        Self { outcome: Outcome::nothing(), seen: Vec::new(), done: Vec::new(), notes: Vec::new() }
    }
}

fn sweep_map(context: &Context) -> Result<Came> {
    let task = Task { map: context.map(None), dry_run: false, exit_code: false, program: PROGRAM };
    let outcome = prune(context, &task, |_| Ok(()))?;
    let Some(totals) = outcome.totals else { return Ok(Came { outcome, ..Came::to_nothing() }) };
    let seen = vec![
        ("mappings", totals.checked),
        ("active", totals.active),
        ("idle", totals.idle),
        ("in_use", totals.in_use),
        ("missing", totals.missing),
        ("unknown", totals.unknown),
    ];
    Ok(Came { outcome, seen, done: vec![("pruned", totals.pruned)], notes: Vec::new() })
}

fn sweep_registry(context: &Context) -> Result<Came> {
    let Some(run) = registry::CleanUp::where_enabled(context, Some(PROGRAM))? else { return Ok(Came::to_nothing()) };
    let totals = run.totals();
    let outcome =
        Outcome { status: run.status(), registry: Some(totals), problems: run.problems(), ..Outcome::nothing() };
    let done = vec![("marked_inactive", totals.marked_inactive), ("heartbeats_removed", totals.beats_pruned)];
    Ok(Came { outcome, seen: vec![("numbers", totals.sessions)], done, notes: Vec::new() })
}

fn sweep_processes(context: &Context) -> Result<Came> {
    let Some(run) = processes::CleanUp::where_enabled(context, Some(PROGRAM))? else { return Ok(Came::to_nothing()) };
    let totals = run.totals();
    let outcome =
        Outcome { status: run.status(), processes: Some(totals), problems: run.problems(), ..Outcome::nothing() };
    let notes = run.left_to_somebody().into_iter().collect();
    let seen = vec![("orphaned", totals.orphaned), ("unknown", totals.unknown)];
    let done = vec![("ended", totals.ended), ("records_removed", totals.records_removed)];
    Ok(Came { outcome, seen, done, notes })
}

fn sweep_queues(context: &Context) -> Result<Came> {
    let Some(run) = queues::CleanUp::where_configured(context, Some(PROGRAM))? else { return Ok(Came::to_nothing()) };
    let totals = run.totals();
    let outcome =
        Outcome { status: run.status(), queues: Some(totals), problems: run.problems(), ..Outcome::nothing() };
    let done = vec![
        ("acknowledged", totals.acknowledged),
        ("retried", totals.retried),
        ("failed", totals.failed),
        ("stopped", totals.stopped),
        ("recurred", totals.recurred),
        ("woken", totals.woken),
    ];
    let seen = vec![("sessions", totals.sessions), ("left", totals.left)];
    Ok(Came { outcome, seen, done, notes: run.left_to_hosts() })
}

fn sweep_artifacts(context: &Context) -> Result<Came> {
    let Some(run) = artifacts::CleanUp::where_enabled(context, Some(PROGRAM))? else { return Ok(Came::to_nothing()) };
    let totals = run.totals();
    let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    let outcome =
        Outcome { status: run.status(), artifacts: Some(totals), problems: run.problems(), ..Outcome::nothing() };
    let done = vec![
        ("removed", totals.removed),
        ("freed_bytes", bytes(totals.freed)),
        ("archived_bytes", bytes(totals.archived)),
    ];
    Ok(Came { outcome, seen: vec![("kept", totals.kept), ("left", totals.left)], done, notes: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_area_has_a_name_of_its_own_that_a_metric_can_carry() {
        for area in &AREAS {
            assert!(area.name.bytes().all(|byte| byte.is_ascii_lowercase()), "{}", area.name);
            assert_eq!(AREAS.iter().filter(|other| other.name == area.name).count(), 1);
        }
    }
}
