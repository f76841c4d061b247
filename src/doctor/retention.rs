//! What the CLIs will delete themselves of the conversations that the map leads to.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Facts, Finding, count};
use crate::policy::choices::ActivitySource;
use crate::policy::mapping::Facts as SessionFacts;
use crate::providers::own_cleanup::{OwnCleanup, Period};
use crate::providers::{Catalogue, Provider};
use crate::session_map::Document;
use crate::sweep::evidence::{Evidence, Finding as SessionFinding, Look};

/// How far ahead is looked.
const SOON: TimeDelta = TimeDelta::days(7);

/// What one CLI will delete.
#[derive(Debug)]
pub(crate) struct Cleanup {
    pub(crate) provider: String,
    pub(crate) period: Period,
    /// How many mapped transcripts it has.
    pub(crate) mapped: usize,
    /// How many of them it will delete within a week.
    pub(crate) soon: usize,
}

/// What the CLIs will delete of the map's conversations, one row for each that deletes and has some.
pub(crate) fn cleanups(
    document: &Document<'_>,
    catalogue: &Catalogue,
    period: &dyn Fn(&Provider, &std::path::Path) -> Option<Period>,
    now: DateTime<Utc>,
) -> Vec<Cleanup> {
    let all: Vec<u32> = (0..document.entries.len() as u32).collect();
    // The time inside, which is what counts where file times do not.
    let evidence =
        Evidence::gather(document, &all, catalogue, Look { idle_before: now, activity: ActivitySource::Content });
    let mut cleanups = Vec::new();
    for index in 0..catalogue.len() {
        let (provider, home) = catalogue.get(index);
        let found = evidence.findings.iter().filter(|finding| finding.provider.map(usize::from) == Some(index));
        let Some(rule) = &provider.own_cleanup else { continue };
        let times: Vec<DateTime<Utc>> = found.filter_map(|finding| last_use(rule, &evidence, finding)).collect();
        if let Some(period) = period(provider, home).filter(|_| !times.is_empty()) {
            let ends_soon = |last: &&DateTime<Utc>| match period {
                // In this order: the age may be any number of days, and a time plus that may be none.
                Period::After { age, .. } => now - **last >= age - SOON,
                Period::Never | Period::Unknown(_) => false,
            };
            let soon = times.iter().filter(ends_soon).count();
            cleanups.push(Cleanup { provider: provider.name.clone(), period, mapped: times.len(), soon });
        }
    }
    cleanups
}

/// The time from which the CLI counts, where the session has a transcript.
fn last_use(rule: &OwnCleanup, evidence: &Evidence, finding: &SessionFinding) -> Option<DateTime<Utc>> {
    let transcript = evidence.transcript(finding)?;
    match rule {
        OwnCleanup::ByFileTime { .. } => Some(std::fs::metadata(transcript).ok()?.modified().ok()?.into()),
        OwnCleanup::GeminiRetention => match evidence.facts(finding, None) {
            SessionFacts::Found(activity) => Some(activity.time),
            SessionFacts::InUse { last_activity, .. } => Some(last_activity?.time),
            SessionFacts::Missing(_) | SessionFacts::Unknown(_) => None,
        },
    }
}

pub(super) fn retention(facts: &Facts) -> Finding {
    let Some(cleanups) = &facts.cleanups else {
        return match &facts.map {
            None => Finding::without_settings(),
            Some(_) => Finding::unknown("the session map cannot be read", "see map-readable"),
        };
    };
    let endangered = cleanups.iter().filter(|cleanup| cleanup.soon > 0);
    let (messages, remedies): (Vec<String>, Vec<String>) = endangered
        .map(|cleanup| {
            let what = count(cleanup.soon, "mapped transcript");
            (format!("{} will delete {what} within 7 days", cleanup.provider), cleanup.period.remedy())
        })
        .unzip();
    if !messages.is_empty() {
        return Finding::warning(messages.join("; "), remedies.join("; "));
    }
    let unknown = cleanups.iter().find_map(|cleanup| match &cleanup.period {
        Period::Unknown(why) => Some(format!("when {} deletes its sessions is not known: {why}", cleanup.provider)),
        Period::After { .. } | Period::Never => None,
    });
    if let Some(message) = unknown {
        return Finding::unknown(message, "put the CLI's settings right");
    }
    let mapped = cleanups.iter().map(|cleanup| cleanup.mapped).sum();
    Finding::ok(format!("no mapped transcript goes within 7 days ({} looked at)", count(mapped, "transcript")))
}
