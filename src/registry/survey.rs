//! What is known about every registered session: the registry and the heartbeats, joined.

use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::beats::Beats;
use super::roster::{Roster, Session};
use crate::policy::heartbeat::{Liveness, SessionFacts, SignSource, is_future, is_older, judge};
use crate::policy::session_number::SessionNumber;
use crate::policy::timestamp::parse_loosely;

/// The sessions in the order of their numbers, and what there is to say about the whole.
#[derive(Debug)]
pub(crate) struct Survey {
    pub(crate) sessions: Vec<Surveyed>,
    /// Keys of the registry that are no sessions.
    pub(crate) not_understood: Vec<String>,
    /// Heartbeats that belong to a session.
    pub(crate) beats: usize,
    /// Files among the heartbeats that belong to no session.
    pub(crate) unattributed: usize,
    pub(crate) notes: Vec<String>,
    /// What could not be looked at.
    pub(crate) problems: Vec<String>,
}

/// One session.
#[derive(Debug, Clone)]
pub(crate) struct Surveyed {
    pub(crate) number: SessionNumber,
    pub(crate) id: String,
    pub(crate) role: String,
    pub(crate) goal: String,
    pub(crate) status: Option<String>,
    pub(crate) terminal: Option<String>,
    pub(crate) last_sign: Option<Sign>,
    pub(crate) liveness: Liveness,
    /// Why a newer sign of life than the last one cannot be excluded, where that decides.
    pub(crate) doubt: Option<String>,
    /// What the newest heartbeat says.
    pub(crate) working_on: Option<String>,
    pub(crate) beat_status: Option<String>,
}

/// The newest sign of life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sign {
    pub(crate) time: DateTime<Utc>,
    pub(crate) source: SignSource,
    /// The heartbeat's file, below the folder of heartbeats.
    pub(crate) beat: Option<String>,
}

impl Survey {
    /// Looks at the heartbeats below `folder` and judges each session; `timeout`: `None` for never.
    pub(crate) fn take(
        folder: &Path,
        roster: &Roster<'_>,
        timeout: Option<Duration>,
        now: DateTime<Utc>,
    ) -> (Self, Beats) {
        let mut beats = Beats::look(folder, roster, now);
        let mut notes = std::mem::take(&mut beats.notes);
        let sessions = roster.sessions.iter().enumerate();
        let mut sessions: Vec<Surveyed> =
            sessions.map(|(index, session)| Surveyed::of(session, &beats, index, timeout, now, &mut notes)).collect();
        sessions.sort_by_key(|session| session.number);
        // The order in which a folder lists its files is nobody's.
        notes.sort();
        let survey = Self {
            sessions,
            not_understood: roster.not_understood.iter().map(ToString::to_string).collect(),
            beats: beats.count(),
            unattributed: beats.unattributed,
            notes,
            problems: std::mem::take(&mut beats.problems),
        };
        (survey, beats)
    }

    /// Whether this session gave no sign of life for too long.
    pub(crate) fn is_stale(&self, number: Option<SessionNumber>) -> bool {
        let is_it = |session: &&Surveyed| Some(session.number) == number;
        self.sessions.iter().find(is_it).is_some_and(|session| session.liveness == Liveness::Stale)
    }

    /// How many sessions are in one of these states.
    pub(crate) fn count(&self, liveness: Liveness) -> usize {
        self.sessions.iter().filter(|session| session.liveness == liveness).count()
    }
}

impl Surveyed {
    fn of(
        session: &Session<'_>,
        beats: &Beats,
        index: usize,
        timeout: Option<Duration>,
        now: DateTime<Utc>,
        notes: &mut Vec<String>,
    ) -> Self {
        let number = session.number;
        let beat = beats.newest(index);
        let mut undated: Option<String> = None;
        let mut last_sign =
            beat.map(|beat| Sign { time: beat.time, source: beat.source, beat: Some(beat.name.clone()) });
        for (field, source) in [("last_heartbeat", SignSource::Entry), ("registered_at", SignSource::Registered)] {
            let time = match session.text(field) {
                Some(text) => parse_loosely(&text).filter(|time| !is_future(*time, now)).ok_or(text.into_owned()),
                None if session.has(field) => Err("no text".to_owned()),
                None => continue,
            };
            match time {
                Ok(time) if last_sign.as_ref().is_none_or(|sign| sign.time < time) => {
                    last_sign = Some(Sign { time, source, beat: None });
                }
                Ok(_) => {}
                Err(text) => {
                    let why = format!("{field} of session {number} is no time up to now: {text}");
                    notes.push(why.clone());
                    undated = Some(why);
                }
            }
        }
        if let Some(said) = session.contradiction() {
            notes.push(format!("session {number} says that its number is {said}; its key counts"));
        }
        // A heartbeat that cannot be later than the timeout allows decides nothing; nor does a time of the entry that makes
        // no sense, where another does.
        let beat_doubt = beats.doubt(index).filter(|doubt| !is_older(doubt.not_after, timeout, now));
        let doubt = beat_doubt.map(|doubt| doubt.why.clone()).or(undated.filter(|_| last_sign.is_none()));
        let status = session.status();
        let facts = SessionFacts {
            status: status.as_deref(),
            last_sign: last_sign.as_ref().map(|sign| sign.time),
            in_doubt: doubt.is_some(),
        };
        let text = |field| session.text(field).map(std::borrow::Cow::into_owned);
        Self {
            number,
            id: session.id().into_owned(),
            role: text("role").unwrap_or_default(),
            goal: text("goal").unwrap_or_default(),
            terminal: text("terminal"),
            liveness: judge(facts, timeout, now),
            status: status.map(std::borrow::Cow::into_owned),
            last_sign,
            doubt,
            working_on: beat.and_then(|beat| beat.working_on.clone()),
            beat_status: beat.and_then(|beat| beat.status.clone()),
        }
    }

    /// Whole seconds since the last sign of life.
    pub(crate) fn age(&self, now: DateTime<Utc>) -> Option<u64> {
        self.last_sign.as_ref().map(|sign| (now - sign.time).num_seconds().max(0).unsigned_abs())
    }
}
