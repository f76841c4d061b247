//! Whose a number is: what this terminal is known as, and whether it may take a number.

use super::identities::{Identities, Identity};
use super::roster::Roster;
use super::terminal::Anchor;
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

/// What this terminal is known as.
pub(crate) fn standing(roster: &Roster<'_>, identities: &Identities, anchor: &Anchor) -> Standing {
    let Some((ours, number)) = identities.of(anchor).and_then(|identity| Some((identity, identity.number()?))) else {
        return Standing::Unknown;
    };
    let Some(session) = roster.find(number) else { return Standing::Gone(number) };
    if ours.is_replaced(session) {
        let role = session.text("role").unwrap_or_default();
        return Standing::TakenOver { number, by: format!("it was registered anew as \u{201c}{role}\u{201d}") };
    }
    let since = |claim: &&&Identity| claim.identified_at >= ours.identified_at && claim.is_alive() != Some(false);
    match identities.claims(number, anchor).iter().find(since) {
        Some(claim) => Standing::TakenOver { number, by: format!("{} is it now", claim.terminal) },
        None => Standing::Ours(number),
    }
}

/// The terminal that has a number, where one is known that is not known to be gone.
pub(crate) fn holder<'i>(
    identities: &'i Identities,
    number: SessionNumber,
    anchor: &'i Anchor,
) -> Option<&'i Identity> {
    identities.claims(number, anchor).into_iter().find(|claim| claim.is_alive() != Some(false))
}

/// What speaks against this terminal being `number` from now on. `original` is the number that the original's scripts
/// remember.
pub(crate) fn objection(
    roster: &Roster<'_>,
    identities: &Identities,
    anchor: &Anchor,
    original: Option<SessionNumber>,
    number: SessionNumber,
) -> Option<Objection> {
    let Some(session) = roster.find(number) else {
        let is_taken = roster.is_taken(number);
        return is_taken.then(|| Objection::Held(format!("{number} is in the registry and is no session")));
    };
    if session.is_inactive() || standing(roster, identities, anchor) == Standing::Ours(number) {
        return None;
    }
    let status = session.status().unwrap_or_else(|| "without a status".into());
    let claims = identities.claims(number, anchor);
    if let Some(holder) = holder(identities, number, anchor) {
        return Some(Objection::Held(format!("session {number} is {status}, at {}", holder.terminal)));
    }
    // Whoever had it is gone, or it is what the scripts know this terminal as.
    if !claims.is_empty() || original == Some(number) {
        return None;
    }
    Some(Objection::Unclaimed(format!("session {number} is {status}, and it is not known at which terminal")))
}
