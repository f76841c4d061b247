//! What a CLI will delete of its own sessions within a week.

use std::path::PathBuf;

use chrono::{DateTime, TimeDelta, Utc};
use rustc_hash::FxHashSet;

use super::homes::{Home, Whose};
use crate::artifacts::rules::Part;
use crate::artifacts::survey::{Piece, Survey};
use crate::providers::last_record::last_record_time;
use crate::providers::own_cleanup::{OwnCleanup, Period};

/// How far ahead is looked.
const SOON: TimeDelta = TimeDelta::days(7);

/// What one CLI will delete.
#[derive(Debug, Clone)]
pub(crate) struct Outlook {
    pub(crate) provider: String,
    pub(crate) period: Period,
    /// How many sessions within a week.
    pub(crate) sessions: usize,
    /// When the last one of those goes.
    pub(crate) until: Option<DateTime<Utc>>,
}

/// What the CLI of `home` will delete, by what `survey` found; nothing for one that deletes none.
pub(crate) fn outlook(home: &Home<'_>, survey: &Survey, period: Option<Period>, now: DateTime<Utc>) -> Option<Outlook> {
    let row = home.row.filter(|_| home.whose == Whose::Own)?;
    let (rule, period) = (row.own_cleanup.as_ref()?, period?);
    let mut outlook = Outlook { provider: home.provider.clone(), period, sessions: 0, until: None };
    let Period::After { age, .. } = &outlook.period else { return Some(outlook) };
    let age = *age;
    let transcripts = survey.pieces.iter().filter(|piece| piece.part == Some(Part::Transcript));
    // Copies of one session are one.
    let mut sessions = FxHashSet::default();
    for (piece, last) in transcripts.filter_map(|piece| Some((piece, last_use(rule, home, piece)?))) {
        let Some(end) = last.checked_add_signed(age).filter(|end| *end <= now + SOON) else { continue };
        outlook.sessions += usize::from(sessions.insert(&piece.id));
        outlook.until = outlook.until.max(Some(end));
    }
    Some(outlook)
}

/// The time from which the CLI counts.
fn last_use(rule: &OwnCleanup, home: &Home<'_>, piece: &Piece) -> Option<DateTime<Utc>> {
    match rule {
        OwnCleanup::ByFileTime { .. } => piece.sums.newest.map(DateTime::from_timestamp_nanos),
        OwnCleanup::GeminiRetention => {
            let path: PathBuf = home.folder.join(&piece.path);
            last_record_time(&path).ok()?.time
        }
    }
}
