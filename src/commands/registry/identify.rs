//! `session-sweep registry identify`: which session this terminal is.

use std::borrow::Cow;

use anyhow::Result;

use super::arguments::Identify;
use super::ask::{agrees, ask, say, somebody_is_there};
use super::{anchor, clean_up_first, rules};
use crate::context::Context;
use crate::exit::ExitStatus;
use crate::output::escape::Escaped;
use crate::output::registry::{ListView, SessionView};
use crate::policy::session_number::SessionNumber;
use crate::registry::changes::{NewBeat, Registration};
use crate::registry::claim::{Claims, Objection, Standing};
use crate::registry::identities::Identities;
use crate::registry::roster::{Roster, Session};
use crate::registry::survey::Survey;
use crate::registry::terminal::Anchor;
use crate::registry::{Held, Registry, RegistryError};

const PROGRAM: &str = "session-sweep registry identify";
/// The role of a session that nobody gave one.
const NO_ROLE: &str = "unspecified";

pub(super) fn run(context: &Context, arguments: &Identify) -> Result<ExitStatus> {
    let registry = context.registry();
    let anchor = anchor(context);
    let mut wish = Wish {
        number: arguments.number,
        next: arguments.next,
        yes: arguments.yes,
        is_new_allowed: !arguments.heartbeat_only,
        role: arguments.role.clone(),
        goal: arguments.goal.clone(),
    };
    let mut clean_up = !arguments.no_cleanup && !arguments.heartbeat_only;
    if !is_silent(context, arguments) && somebody_is_there() {
        let talk = Talk { context, registry: &registry, anchor: &anchor };
        talk.offer_clean_up()?;
        clean_up = false;
        if !talk.choose(&mut wish)? {
            say("This terminal has no number.");
            return Ok(ExitStatus::Done);
        }
    }
    let lock = context.registry_lock(PROGRAM);
    let held = if arguments.heartbeat_only { registry.lock(lock)? } else { registry.lock_new(lock)? };
    if clean_up {
        let spare = own_number(&registry, &anchor)?;
        clean_up_first(&held, context, spare)?;
    }
    let view = identify(&held, context, &anchor, &wish)?;
    context.output.show(&view)?;
    Ok(ExitStatus::Done)
}

/// Whether nothing is asked, whoever is there.
fn is_silent(context: &Context, arguments: &Identify) -> bool {
    let answers = arguments.yes || arguments.next || arguments.auto_cleanup || arguments.no_cleanup;
    let describes = arguments.role.is_some() || arguments.goal.is_some();
    answers || describes || arguments.heartbeat_only || context.output.quiet || context.output.json
}

/// What is asked for.
struct Wish {
    number: Option<SessionNumber>,
    /// Where nothing is remembered, the lowest free number.
    next: bool,
    /// As proposed, and also a number that is active and nobody's.
    yes: bool,
    /// A number that this terminal does not have yet.
    is_new_allowed: bool,
    role: Option<String>,
    goal: Option<String>,
}

/// The number that this terminal has, or asks for where it may be its own: a clean-up on the way leaves it alone.
fn own_number(registry: &Registry, anchor: &Anchor) -> Result<Option<SessionNumber>, RegistryError> {
    let claims = Claims::of(registry, anchor)?;
    match registry.read(|roster| claims.own(roster).ok()) {
        Err(RegistryError::Missing(_)) => Ok(None),
        own => own,
    }
}

/// Takes the number, gives a sign of life and remembers it.
fn identify(held: &Held<'_>, context: &Context, anchor: &Anchor, wish: &Wish) -> Result<SessionView, RegistryError> {
    let registry = held.registry();
    let claims = Claims::of(registry, anchor)?;
    registry.prepare()?;
    // What a CLI runs in a window is at that window's terminal, where it is remembered.
    let remembered = claims.identities.of(anchor).map(|identity| identity.terminal.as_str());
    let label = remembered.or_else(|| anchor.terminals.first().map(|terminal| terminal.label.as_str()));
    let mut taken = None;
    let changed = held.update_or_create(|roster| {
        let number = wish.number_in(roster, &claims)?;
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
        let registration = Registration { number, id: &id, role: &role, goal: &goal, terminal, now: context.now };
        Ok(Some(roster.registered(registration)))
    })?;
    let Some((number, is_new)) = taken else { return Err(RegistryError::Missing(registry.path())) };
    registry.read(|roster| {
        let Some(session) = roster.find(number) else {
            return Err(RegistryError::Refused(format!("session {number} was taken out of the registry meanwhile")));
        };
        let text = |field| session.text(field).unwrap_or_default();
        let (id, role, status) = (session.id(), text("role"), text("status"));
        let beat = held.beat(&NewBeat::new(number, &id, &status, &role, anchor, context.now))?;
        held.note_alive(number)?;
        let is_remembered = held.remember(anchor, session, context.now)?;
        let said = match (is_new, is_remembered) {
            (true, true) => format!("session {number} is new"),
            (false, true) => format!("session {number} is this terminal's"),
            (_, false) => format!(
                "session {number} is alive, and nothing remembers whose it is: there is no terminal, no tmux pane and no CLI's \
                 session; beat for it with `session-sweep registry heartbeat --number {number}`"
            ),
        };
        if !is_new && wish.describes() {
            log::warn!("session {number} keeps its role and goal: they are given when it is new or was inactive");
        }
        Ok(SessionView {
            command: "registry identify",
            number,
            session_id: id.clone().into_owned(),
            role: role.clone().into_owned(),
            goal: text("goal").into_owned(),
            status: status.clone().into_owned(),
            terminal: session.text("terminal").map(Cow::into_owned),
            beat: Some(beat),
            changed,
            said,
        })
    })?
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
                Some(Objection::Unclaimed(why)) if !self.yes => {
                    refuse(format!("{why}; add --yes if that is this terminal, or take a free number with --next"))
                }
                _ => Ok(number),
            };
        }
        let why = match claims.own(roster) {
            // The scripts' one identity for all windows is no reason to be an active session, where any free one will do.
            Ok(number) if self.next && claims.is_by_scripts(roster) && roster.is_taken(number) => String::new(),
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

/// The conversation at a terminal, as the original has it.
struct Talk<'t> {
    context: &'t Context,
    registry: &'t Registry,
    anchor: &'t Anchor,
}

impl Talk<'_> {
    /// Cleans up, where there is something to clean and the user agrees.
    fn offer_clean_up(&self) -> Result<()> {
        let spare = own_number(self.registry, self.anchor)?;
        let plan = match self.registry.plan(&crate::registry::cleanup::Rules { spare, ..rules(self.context) }) {
            Ok(plan) => plan,
            Err(RegistryError::Missing(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if let Some(why) = &plan.held {
            say(&format!("No clean-up: {why}."));
        }
        let found = match plan.going.len() {
            0 => return Ok(()),
            1 => "1 stale session found".to_owned(),
            count => format!("{count} stale sessions found"),
        };
        if agrees(&format!("{found}. Clean up?"))? {
            let held = self.registry.lock(self.context.registry_lock(PROGRAM))?;
            let cleaned = clean_up_first(&held, self.context, spare)?;
            let marked = cleaned.map_or(0, |cleaned| cleaned.plan.going.len());
            say(&format!("Marked {marked} as inactive."));
        }
        Ok(())
    }

    /// Fills in what is not said yet; false when the user does not want to.
    fn choose(&self, wish: &mut Wish) -> Result<bool> {
        let known = self.registry.read(|roster| self.choose_in(Some(roster), wish));
        match known {
            Err(RegistryError::Missing(_)) => self.choose_in(None, wish),
            known => known?,
        }
    }

    fn choose_in(&self, roster: Option<&Roster<'_>>, wish: &mut Wish) -> Result<bool> {
        let empty = Roster::parse("{}")?;
        let roster = roster.unwrap_or(&empty);
        let claims = Claims::of(self.registry, self.anchor)?;
        if let (None, Standing::Ours(number)) = (wish.number, claims.standing(roster)) {
            wish.number = Some(number);
        }
        let number = match wish.number {
            Some(number) => number,
            None => match self.choose_number(roster, &claims, wish)? {
                Some(number) => number,
                None => return Ok(false),
            },
        };
        wish.number = Some(number);
        if roster.find(number).is_none() {
            say(&format!("Session {number} is new."));
            if wish.role.is_none() {
                wish.role = Some(ask("Role:")?).filter(|role| !role.is_empty());
            }
            if wish.goal.is_none() {
                wish.goal = Some(ask("Goal:")?);
            }
        }
        Ok(true)
    }

    /// Asks which session this is, until there is an answer; nothing for none.
    fn choose_number(
        &self,
        roster: &Roster<'_>,
        claims: &Claims<'_>,
        wish: &mut Wish,
    ) -> Result<Option<SessionNumber>> {
        let known = claims.own(roster);
        if let (Err(was), true) = (&known, claims.standing(roster) != Standing::Unknown) {
            say(&format!("{}.", Escaped(was)));
        }
        self.show(roster, &claims.identities)?;
        let Some(proposed) = known.ok().or_else(|| roster.next_free()) else { return Ok(None) };
        loop {
            let answer = ask(&format!("Which session is this terminal? [Enter: {proposed}, a number, or skip]"))?;
            let number = match answer.as_str() {
                "skip" => return Ok(None),
                "" => proposed,
                "new" => match roster.next_free() {
                    Some(number) => number,
                    None => return Ok(None),
                },
                text => match text.parse::<SessionNumber>() {
                    Ok(number) => number,
                    Err(invalid) => {
                        say(&format!("{}: {invalid}.", Escaped(text)));
                        continue;
                    }
                },
            };
            match claims.objection(roster, number) {
                None => return Ok(Some(number)),
                Some(Objection::Held(why)) => say(&format!("{}.", Escaped(&why))),
                Some(Objection::Unclaimed(why)) => {
                    if agrees(&format!("{}. Is it this terminal's?", Escaped(&why)))? {
                        wish.yes = true;
                        return Ok(Some(number));
                    }
                }
            }
        }
    }

    /// Shows who is there.
    fn show(&self, roster: &Roster<'_>, identities: &Identities) -> Result<()> {
        let timeout = self.context.config.settings.registry.timeout.duration();
        let (survey, _) = Survey::take(&self.registry.beats_folder(), roster, timeout, self.context.now);
        let nobody = Anchor::default();
        let view = ListView {
            now: self.context.now,
            base: self.registry.base().display().to_string(),
            timeout,
            survey: &survey,
            free: &roster.free(),
            holder: &|number| identities.holder(number, &nobody).map(|identity| identity.terminal.clone()),
            all: true,
        };
        view.to_stderr(self.context.output.style)?;
        Ok(())
    }
}
