//! What becomes of the record that hooks keep of a session.

use std::time::Duration;

use super::duration::format_age;
use super::orphan::{Heartbeat, Limits, Owner};

/// What is known of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RecordFacts {
    /// Why it cannot be gone by.
    pub(crate) doubt: Option<String>,
    /// How long ago the session said that it had ended; an error text where that cannot be told.
    pub(crate) completed: Option<Result<Duration, String>>,
    /// What became of the process that it names.
    pub(crate) owner: Owner,
    pub(crate) heartbeat: Heartbeat,
    /// How long ago the session began; nothing where that cannot be told.
    pub(crate) age: Option<Duration>,
    /// Processes of the session that still run, be it by its own account or theirs.
    pub(crate) processes: usize,
}

/// What becomes of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It stays.
    Kept,
    /// Whether it can go cannot be told, so that it stays.
    Unknown,
    /// Its session is gone without a word, and it is what is left.
    LeftOver,
    /// Its session ended, and it was kept for long enough.
    Expired,
}

impl Fate {
    /// The name in JSON and in tables.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Unknown => "unknown",
            Self::LeftOver => "left over",
            Self::Expired => "expired",
        }
    }

    /// Whether it is removed.
    pub(crate) const fn goes(self) -> bool {
        matches!(self, Self::LeftOver | Self::Expired)
    }
}

/// Decides one record; `retention` is how long those of completed sessions are kept (`None` for ever).
pub(crate) fn judge(facts: &RecordFacts, limits: &Limits, retention: Option<Duration>) -> (Fate, String) {
    let RecordFacts { doubt, completed, owner, heartbeat, age, processes } = facts;
    if let Some(doubt) = doubt {
        return (Fate::Unknown, doubt.clone());
    }
    if *processes > 0 {
        return (
            Fate::Kept,
            match processes {
                1 => "a process of it is there".to_owned(),
                count => format!("{count} processes of it are there"),
            },
        );
    }
    match completed {
        Some(Err(why)) => return (Fate::Unknown, format!("when its session ended cannot be told: {why}")),
        Some(Ok(ago)) => {
            let said = format!("its session ended {} ago", format_age(*ago));
            let is_expired = retention.is_some_and(|retention| *ago > retention);
            return (if is_expired { Fate::Expired } else { Fate::Kept }, said);
        }
        None => {}
    }
    let gone = match owner {
        Owner::Itself => return (Fate::Kept, "its process runs".to_owned()),
        Owner::Runs(pid) | Owner::Ends(pid) => return (Fate::Kept, format!("its process {pid} runs")),
        Owner::Unknown(why) => return (Fate::Unknown, why.clone()),
        Owner::Gone(pid) => format!("process {pid} is gone"),
        Owner::Reused(pid) => format!("the number {pid} is another process's by now"),
    };
    match (age, heartbeat) {
        (None, _) => (Fate::Unknown, format!("{gone}, but since when it exists cannot be told")),
        (Some(age), _) if *age < limits.min_age => {
            (Fate::Kept, format!("{gone}, but it is only {} old", format_age(*age)))
        }
        (_, Heartbeat::Unknown(why)) => {
            (Fate::Unknown, format!("{gone}, but its last sign of life cannot be told: {why}"))
        }
        (_, Heartbeat::Ago(ago)) if *ago <= limits.stale => {
            (Fate::Kept, format!("{gone}, but there was a sign of life {} ago", format_age(*ago)))
        }
        (_, Heartbeat::Ago(ago)) => {
            (Fate::LeftOver, format!("{gone}; the last sign of life was {} ago", format_age(*ago)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;
    const LIMITS: Limits = Limits { min_age: Duration::from_secs(600), stale: Duration::from_secs(300) };
    const RETENTION: Option<Duration> = Some(Duration::from_secs(7 * DAY));

    fn left_over() -> RecordFacts {
        RecordFacts {
            doubt: None,
            completed: None,
            owner: Owner::Gone(8),
            heartbeat: Heartbeat::Ago(Duration::from_secs(301)),
            age: Some(Duration::from_secs(600)),
            processes: 0,
        }
    }

    fn completed(ago: u64) -> RecordFacts {
        RecordFacts { completed: Some(Ok(Duration::from_secs(ago))), ..left_over() }
    }

    #[test]
    fn a_record_goes_when_its_process_is_gone_and_nothing_is_in_doubt() {
        let why = || "EACCES".to_owned();
        let ago = |seconds| Heartbeat::Ago(Duration::from_secs(seconds));
        for (facts, fate) in [
            (left_over(), Fate::LeftOver),
            (RecordFacts { owner: Owner::Reused(8), ..left_over() }, Fate::LeftOver),
            (RecordFacts { doubt: Some(why()), ..left_over() }, Fate::Unknown),
            (RecordFacts { owner: Owner::Runs(8), ..left_over() }, Fate::Kept),
            (RecordFacts { owner: Owner::Ends(8), ..left_over() }, Fate::Kept),
            (RecordFacts { owner: Owner::Itself, ..left_over() }, Fate::Kept),
            (RecordFacts { owner: Owner::Unknown(why()), ..left_over() }, Fate::Unknown),
            (RecordFacts { heartbeat: ago(300), ..left_over() }, Fate::Kept),
            (RecordFacts { heartbeat: Heartbeat::Unknown(why()), ..left_over() }, Fate::Unknown),
            (RecordFacts { age: Some(Duration::from_secs(599)), ..left_over() }, Fate::Kept),
            (RecordFacts { age: None, ..left_over() }, Fate::Unknown),
            (RecordFacts { processes: 1, ..left_over() }, Fate::Kept),
        ] {
            assert_eq!(judge(&facts, &LIMITS, RETENTION).0, fate, "{facts:?}");
        }
    }

    #[test]
    fn a_completed_session_is_remembered_for_its_own_time() {
        for (facts, retention, fate) in [
            (completed(7 * DAY), RETENTION, Fate::Kept),
            (completed(7 * DAY + 1), RETENTION, Fate::Expired),
            (completed(700 * DAY), None, Fate::Kept),
            (RecordFacts { processes: 1, ..completed(8 * DAY) }, RETENTION, Fate::Kept),
            (RecordFacts { doubt: Some("EACCES".to_owned()), ..completed(8 * DAY) }, RETENTION, Fate::Unknown),
            (RecordFacts { completed: Some(Err("soon".to_owned())), ..left_over() }, RETENTION, Fate::Unknown),
            (
                RecordFacts { owner: Owner::Unknown("another host".to_owned()), ..completed(8 * DAY) },
                RETENTION,
                Fate::Expired,
            ),
        ] {
            assert_eq!(judge(&facts, &LIMITS, retention).0, fate, "{facts:?}");
        }
    }
}
