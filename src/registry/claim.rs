//! Whose a number is: what this terminal is known as, and whether it may take a number.

use super::identities::Identities;
use super::roster::Roster;
use super::terminal::Anchor;
use super::{Registry, RegistryError};
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

/// Everything that decides who this terminal is, but for the registry itself.
#[derive(Debug)]
pub(crate) struct Claims<'c> {
    pub(crate) anchor: &'c Anchor,
    pub(crate) identities: Identities,
    /// The number that the original's scripts remember, where it may be this terminal's.
    pub(crate) original: Option<SessionNumber>,
}

impl<'c> Claims<'c> {
    pub(crate) fn of(registry: &Registry, anchor: &'c Anchor) -> Result<Self, RegistryError> {
        Ok(Self { anchor, identities: registry.identities()?, original: registry.original_identity(anchor) })
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

    /// Whether it is the scripts alone that know this terminal's number.
    pub(crate) fn is_by_scripts(&self, roster: &Roster<'_>) -> bool {
        self.standing(roster) == Standing::Unknown
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
