//! Taking a number: which one it is, the first sign of life under it, and the memory of it.

use std::borrow::Cow;

use chrono::{DateTime, Utc};

use super::changes::{NewBeat, Registration};
use super::claim::{Claims, Objection};
use super::roster::{Roster, Session};
use super::{Held, RegistryError};
use crate::policy::session_number::SessionNumber;

/// The role of a session that nobody gave one.
const NO_ROLE: &str = "unspecified";

/// What is asked for.
pub(crate) struct Wish {
    pub(crate) number: Option<SessionNumber>,
    /// Where nothing is remembered, the lowest free number.
    pub(crate) next: bool,
    /// As proposed, and also a number that is active and nobody's.
    pub(crate) yes: bool,
    /// The number is active in the registry, and gave no sign of life for too long.
    pub(crate) is_stale: bool,
    /// A number that this terminal does not have yet.
    pub(crate) is_new_allowed: bool,
    pub(crate) role: Option<String>,
    pub(crate) goal: Option<String>,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Identified {
    pub(crate) number: SessionNumber,
    pub(crate) session_id: String,
    pub(crate) role: String,
    pub(crate) goal: String,
    pub(crate) status: String,
    pub(crate) terminal: Option<String>,
    /// The heartbeat's file.
    pub(crate) beat: String,
    /// Whether the registry was changed.
    pub(crate) changed: bool,
    /// It was registered now.
    pub(crate) is_new: bool,
    /// There is a terminal that it is remembered by.
    pub(crate) is_remembered: bool,
}

impl Held<'_> {
    /// Makes this terminal the session that is asked for, with a sign of life.
    pub(crate) fn identify(
        &self,
        wish: &Wish,
        claims: &Claims<'_>,
        now: DateTime<Utc>,
    ) -> Result<Identified, RegistryError> {
        let (registry, anchor) = (self.registry(), claims.anchor);
        // What a CLI runs in a window is at that window's terminal, where it is remembered.
        let remembered = claims.identities.of(anchor).map(|identity| identity.terminal.as_str());
        let label = remembered.or_else(|| anchor.terminals.first().map(|terminal| terminal.label.as_str()));
        let mut taken = None;
        let changed = self.update_or_create(|roster| {
            let number = wish.number_in(roster, claims)?;
            registry.prepare()?;
            let session = roster.find(number);
            let is_new = session.is_none_or(|session| session.is_inactive() && wish.describes());
            taken = Some((number, is_new));
            if let Some(session) = session.filter(|_| !is_new) {
                return Ok(roster.revived(session, label));
            }
            // What is not said anew stays as it was.
            let former = |field| session.and_then(|session| session.text(field));
            let id = session.map_or_else(|| number.default_id().into(), Session::id);
            let role = wish.role.as_deref().map(Cow::Borrowed).or_else(|| former("role")).unwrap_or(NO_ROLE.into());
            let goal = wish.goal.as_deref().map(Cow::Borrowed).or_else(|| former("goal")).unwrap_or_default();
            let terminal = label.unwrap_or(anchor.label());
            Ok(Some(roster.registered(Registration { number, id: &id, role: &role, goal: &goal, terminal, now })))
        })?;
        let Some((number, is_new)) = taken else { return Err(RegistryError::Missing(registry.path())) };
        registry.read(|roster| {
            let Some(session) = roster.find(number) else {
                return Err(RegistryError::Refused(format!(
                    "session {number} was taken out of the registry meanwhile"
                )));
            };
            let text = |field| session.text(field).map(Cow::into_owned);
            let (session_id, role) = (session.id().into_owned(), text("role").unwrap_or_default());
            let status = text("status").unwrap_or_default();
            let beat = self.beat(&NewBeat::new(number, &session_id, &status, &role, anchor, now))?;
            self.note_alive(number)?;
            let is_remembered = self.remember(anchor, session, now)?;
            let (goal, terminal) = (text("goal").unwrap_or_default(), text("terminal"));
            Ok(Identified { number, session_id, role, goal, status, terminal, beat, changed, is_new, is_remembered })
        })?
    }
}

impl Wish {
    /// Whether it says what a new session is.
    fn describes(&self) -> bool {
        self.role.is_some() || self.goal.is_some()
    }

    /// The number that this terminal is from now on.
    fn number_in(&self, roster: &Roster<'_>, claims: &Claims<'_>) -> Result<SessionNumber, RegistryError> {
        let refuse = |why: String| Err(RegistryError::Refused(why));
        if let Some(number) = self.number {
            if !self.is_new_allowed && roster.find(number).is_none() {
                return refuse(format!("there is no session {number} yet; register it without --heartbeat-only"));
            }
            return match claims.objection(roster, number) {
                Some(Objection::Held(why)) => refuse(format!(
                    "{why}; end it with `session-sweep registry release {number}` if it has ended, or take a free number \
                     with --next"
                )),
                Some(Objection::Unclaimed(why)) if !self.yes && !self.is_stale => {
                    refuse(format!("{why}; add --yes if that is this terminal, or take a free number with --next"))
                }
                _ => Ok(number),
            };
        }
        let why = match claims.own(roster) {
            // Any free number will do.
            Ok(number) if self.next && claims.is_doubtful(roster, number) => String::new(),
            Ok(number) => return Ok(number),
            Err(why) => why,
        };
        if !self.is_new_allowed || !(self.next || self.yes) {
            let remedy = "say which one it is from now on: `session-sweep registry identify NUMBER`, or --next for the lowest \
                          free one";
            return refuse(format!("{why}; {remedy}"));
        }
        roster.next_free().ok_or_else(|| RegistryError::Refused("every number is taken".to_owned()))
    }
}
