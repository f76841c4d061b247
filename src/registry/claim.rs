//! Whose a number is: what this terminal is known as, and whether it may take a number.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::identities::Identities;
use super::roster::Roster;
use super::survey::Survey;
use super::terminal::Anchor;
use super::{Registry, RegistryError};
use crate::policy::heartbeat::Liveness;
use crate::policy::session_number::SessionNumber;

/// What this terminal is known as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nothing.
    Unknown,
    /// This session.
    Ours(SessionNumber),
    /// It was this session, which somebody else is now.
    TakenOver {
        number: SessionNumber,
        /// For people: by whom, or how that shows.
        by: String,
    },
    /// It was this session, which is not in the registry any more.
    Gone(SessionNumber),
}

/// Why a number cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Objection {
    /// Somebody has it.
    Held(String),
    /// It is active, and nobody knows whose it is: it may be this terminal's own.
    Unclaimed(String),
}

impl Registry {
    /// Whether a session gave a sign of life within the timeout, or may have.
    fn lives(
        &self,
        number: SessionNumber,
        timeout: Option<Duration>,
        now: DateTime<Utc>,
    ) -> Result<bool, RegistryError> {
        let look = |roster: &Roster<'_>| {
            let (survey, _) = Survey::take(&self.beats_folder(), roster, timeout, now);
            let session = survey.sessions.into_iter().find(|session| session.number == number);
            session.is_some_and(|session| {
                matches!(session.liveness, Liveness::Active | Liveness::Unknown | Liveness::Other)
            })
        };
        match self.read(look) {
            Err(RegistryError::Missing(_)) => Ok(false),
            looked => looked,
        }
    }
}

/// Everything that decides who this terminal is, but for the registry itself.
#[derive(Debug)]
pub(crate) struct Claims<'c> {
    pub(crate) anchor: &'c Anchor,
    pub(crate) identities: Identities,
    /// The number that the original's scripts remember, where it may be this terminal's.
    original: Option<SessionNumber>,
    /// The scripts noted it before this window was opened.
    is_original_older: bool,
}

impl<'c> Claims<'c> {
    /// Looks at all of it; `timeout` and `now` tell who is alive.
    pub(crate) fn of(
        registry: &Registry,
        anchor: &'c Anchor,
        timeout: Option<Duration>,
        now: DateTime<Utc>,
    ) -> Result<Self, RegistryError> {
        let identities = registry.identities()?;
        // Asked only where there is no other.
        let is_remembered = identities.of(anchor).is_some();
        let original = if is_remembered { None } else { registry.original_identity(anchor) };
        // What was noted before this window was opened, of a session that lives, is another window's.
        let is_anothers = match original {
            Some((number, true)) => registry.lives(number, timeout, now)?,
            _ => false,
        };
        let original = original.filter(|_| !is_anothers);
        Ok(Self {
            anchor,
            identities,
            original: original.map(|(number, _)| number),
            is_original_older: original.is_some_and(|(_, is_older)| is_older),
        })
    }

    /// What this terminal is remembered as.
    pub(crate) fn standing(&self, roster: &Roster<'_>) -> Standing {
        let ours = self.identities.of(self.anchor);
        let Some((ours, number)) = ours.and_then(|identity| Some((identity, identity.number()?))) else {
            return Standing::Unknown;
        };
        let Some(session) = roster.find(number) else { return Standing::Gone(number) };
        if let Some(terminal) = &ours.taken_over_by {
            return Standing::TakenOver { number, by: format!("{terminal} is it now") };
        }
        if ours.is_replaced(session) {
            let role = session.text("role").unwrap_or_default();
            return Standing::TakenOver { number, by: format!("it was registered anew as \u{201c}{role}\u{201d}") };
        }
        Standing::Ours(number)
    }

    /// The session that this terminal is: the one that is remembered, else the original's. Else what it was, for people.
    pub(crate) fn own(&self, roster: &Roster<'_>) -> Result<SessionNumber, String> {
        match self.standing(roster) {
            Standing::Ours(number) => Ok(number),
            Standing::Unknown => match self.original.filter(|number| roster.find(*number).is_some()) {
                Some(number) if self.objection(roster, number).is_none() => Ok(number),
                _ => Err("this terminal has no number yet".to_owned()),
            },
            Standing::TakenOver { number, by } => Err(format!("this terminal was session {number}, and {by}")),
            Standing::Gone(number) => {
                Err(format!("this terminal was session {number}, which is not in the registry any more"))
            }
        }
    }

    /// Whether this terminal is `number` only by the scripts' one memory for all windows, and that may be another's.
    pub(crate) fn is_doubtful(&self, roster: &Roster<'_>, number: SessionNumber) -> bool {
        self.standing(roster) == Standing::Unknown && (self.is_original_older || roster.is_taken(number))
    }

    /// What speaks against this terminal being `number` from now on.
    pub(crate) fn objection(&self, roster: &Roster<'_>, number: SessionNumber) -> Option<Objection> {
        let Some(session) = roster.find(number) else {
            let is_taken = roster.is_taken(number);
            return is_taken.then(|| Objection::Held(format!("{number} is in the registry and is no session")));
        };
        if session.is_inactive() || self.standing(roster) == Standing::Ours(number) {
            return None;
        }
        let status = session.status().unwrap_or_else(|| "without a status".into());
        if let Some(holder) = self.identities.holder(number, self.anchor) {
            return Some(Objection::Held(format!("session {number} is {status}, at {}", holder.terminal)));
        }
        // Whoever had it is gone, or it is what the scripts know this terminal as.
        if self.identities.others(number, self.anchor).next().is_some() || self.original == Some(number) {
            return None;
        }
        Some(Objection::Unclaimed(format!("session {number} is {status}, and it is not known at which terminal")))
    }
}
