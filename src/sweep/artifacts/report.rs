//! What there is, looked at without a decision.

use chrono::{DateTime, Utc};

use super::homes::Home;
use super::outlook::{Outlook, outlook};
use crate::artifacts::kinds::{KINDS, Kind};
use crate::artifacts::survey::{Question, Sums, Survey, Tally};
use crate::config::setting::{ArtifactsSettings, KindLimits};
use crate::policy::artifact::overdue_nanoseconds;
use crate::providers::Provider;
use crate::providers::own_cleanup::Period;

/// What is in one home.
#[derive(Debug)]
pub(crate) struct Holdings<'c> {
    pub(crate) home: Home<'c>,
    pub(crate) kinds: Vec<Holding>,
    /// What no kind is about.
    pub(crate) other: Sums,
    pub(crate) outlook: Option<Outlook>,
    pub(crate) problems: Vec<String>,
}

/// How much there is of one kind.
#[derive(Debug)]
pub(crate) struct Holding {
    /// Nothing for transcripts that can only be reported.
    pub(crate) kind: Option<&'static Kind>,
    pub(crate) limits: Option<KindLimits>,
    pub(crate) tally: Tally,
}

impl Holding {
    pub(crate) fn name(&self) -> &'static str {
        self.kind.map_or("transcripts", |kind| kind.name)
    }
}

/// Looks through one home. `period` tells when a provider's CLI deletes its sessions.
pub(crate) fn holdings<'c>(
    home: Home<'c>,
    settings: &ArtifactsSettings,
    period: &dyn Fn(&Provider, &std::path::Path) -> Option<Period>,
    now: DateTime<Utc>,
) -> Holdings<'c> {
    let rows: Vec<Option<usize>> = home.rules.kinds.iter().map(|kind| kind.row).collect();
    let limits = |row: &Option<usize>| row.map(|row| settings.kinds[row]);
    let question = |row: &Option<usize>| {
        let limit = limits(row).and_then(|limits| limits.retention.duration());
        Question { overdue_before: limit.and_then(|limit| overdue_nanoseconds(limit, now)), ..Question::default() }
    };
    let questions: Vec<Question> = rows.iter().map(question).collect();
    let survey = Survey::of(&home.folder, &home.rules, &questions);
    let period = home.row.and_then(|row| period(row, &home.folder));
    let outlook = outlook(&home, &survey, period, now);
    let problems = survey.unseen(|_| true);
    let Survey { tallies, other, .. } = survey;
    let kinds = rows.iter().zip(tallies).map(|(row, tally)| Holding {
        kind: row.map(|row| &KINDS[row]),
        limits: limits(row),
        tally,
    });
    let kinds = kinds.collect();
    Holdings { home, kinds, other, outlook, problems }
}

impl Holdings<'_> {
    /// All of it together.
    pub(crate) fn total(&self) -> Sums {
        let mut total = self.other;
        self.kinds.iter().for_each(|holding| total.join(&holding.tally.sums));
        total
    }
}
