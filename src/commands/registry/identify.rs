//! `session-sweep registry identify`: which session this terminal is.

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
use crate::registry::claim::{Objection, Standing, holder, objection, standing};
use crate::registry::identities::Identities;
use crate::registry::roster::Roster;
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
        talk.offer_clean_up(arguments.number)?;
        clean_up = false;
        if !talk.choose(&mut wish)? {
            say("This terminal has no number.");
            return Ok(ExitStatus::Done);
        }
    }
    let held = registry.lock_new(context.registry_lock(PROGRAM))?;
    if clean_up {
        let spare = own_number(&registry, &anchor, arguments.number)?;
        clean_up_first(&held, context, spare)?;
    }
    let view = identify(&held, context, &anchor, &wish)?;
    context.output.show(&view)?;
    Ok(ExitStatus::Done)
}

/// Whether nothing is asked, whoever is there.
fn is_silent(context: &Context, arguments: &Identify) -> bool {
    let answers = arguments.yes || arguments.next || arguments.auto_cleanup || arguments.no_cleanup;
    answers || arguments.heartbeat_only || context.output.quiet || context.output.json
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

/// The number that this terminal has or asks for: a clean-up on the way leaves it alone.
fn own_number(
    registry: &Registry,
    anchor: &Anchor,
    asked: Option<SessionNumber>,
) -> Result<Option<SessionNumber>, RegistryError> {
    let identities = registry.identities();
    let own = |roster: &Roster<'_>| match standing(roster, &identities, anchor) {
        Standing::Ours(number) => Some(number),
        Standing::Unknown => registry.original_identity(anchor),
        Standing::TakenOver { .. } | Standing::Gone(_) => None,
    };
    match registry.read(|roster| asked.or_else(|| own(roster))) {
        Err(RegistryError::Missing(_)) => Ok(asked),
        own => own,
    }
}

/// Takes the number, gives a sign of life and remembers it.
fn identify(held: &Held<'_>, context: &Context, anchor: &Anchor, wish: &Wish) -> Result<SessionView, RegistryError> {
    let registry = held.registry();
    let identities = registry.identities();
    let original = registry.original_identity(anchor);
    // What a CLI runs in a window is at that window's terminal, where it is remembered.
    let remembered = identities.of(anchor).map(|identity| identity.terminal.as_str());
    let label = remembered.or_else(|| anchor.terminals.first().map(|terminal| terminal.label.as_str()));
    let mut taken = None;
    let changed = held.update_or_create(|roster| {
        let number = wish.number_in(roster, &identities, anchor, original)?;
        let session = roster.find(number);
        let is_new =
            session.is_none_or(|session| session.is_inactive() && (wish.role.is_some() || wish.goal.is_some()));
        taken = Some((number, is_new));
        if let Some(session) = session.filter(|_| !is_new) {
            return Ok(roster.revived(session, label));
        }
        let id = number.default_id();
        let role = wish.role.as_deref().unwrap_or(NO_ROLE);
        let goal = wish.goal.as_deref().unwrap_or_default();
        let terminal = label.unwrap_or(anchor.label());
        Ok(Some(roster.registered(Registration { number, id: &id, role, goal, terminal, now: context.now })))
    })?;
    let Some((number, is_new)) = taken else { return Err(RegistryError::Missing(registry.path())) };
    registry.read(|roster| {
        let Some(session) = roster.find(number) else {
            return Err(RegistryError::Refused(format!("session {number} was taken out of the registry meanwhile")));
        };
        let text = |field| session.text(field).unwrap_or_default();
        let (id, role, status) = (session.id(), text("role"), text("status"));
        let beat = held.beat(&NewBeat::new(number, &id, &status, &role, anchor, context.now))?;
        let is_remembered = held.remember(anchor, session, context.now)?;
        let what = if is_new { "is new" } else { "is this terminal's" };
        let note = if is_remembered {
            String::new()
        } else {
            "; there is no terminal, tmux pane or CLI's session id to remember it by, only .session_identity".to_owned()
        };
        Ok(SessionView {
            command: "registry identify",
            number,
            session_id: id.clone().into_owned(),
            role: role.clone().into_owned(),
            goal: text("goal").into_owned(),
            status: status.clone().into_owned(),
            terminal: session.text("terminal").map(std::borrow::Cow::into_owned),
            beat: Some(beat),
            changed,
            said: format!("session {number} {what}{note}"),
        })
    })?
}

impl Wish {
    /// The number that this terminal is from now on.
    fn number_in(
        &self,
        roster: &Roster<'_>,
        identities: &Identities,
        anchor: &Anchor,
        original: Option<SessionNumber>,
    ) -> Result<SessionNumber, RegistryError> {
        let objection = |number| objection(roster, identities, anchor, original, number);
        let refuse = |why: String| Err(RegistryError::Refused(why));
        if let Some(number) = self.number {
            if !self.is_new_allowed && roster.find(number).is_none() {
                return refuse(format!("there is no session {number} yet; register it without --heartbeat-only"));
            }
            return match objection(number) {
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
        let was = match standing(roster, identities, anchor) {
            Standing::Ours(number) => return Ok(number),
            Standing::Unknown => match original.filter(|number| roster.find(*number).is_some()) {
                Some(number) if objection(number).is_none() => return Ok(number),
                _ => "this terminal has no number yet".to_owned(),
            },
            Standing::TakenOver { number, by } => format!("this terminal was session {number}, and {by}"),
            Standing::Gone(number) => {
                format!("this terminal was session {number}, which is not in the registry any more")
            }
        };
        if !self.is_new_allowed || !(self.next || self.yes) {
            let remedy = "say which one it is from now on: `session-sweep registry identify NUMBER`, or --next for the lowest \
                          free one";
            return refuse(format!("{was}; {remedy}"));
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
    fn offer_clean_up(&self, asked: Option<SessionNumber>) -> Result<()> {
        let spare = own_number(self.registry, self.anchor, asked)?;
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
        let identities = self.registry.identities();
        let original = self.registry.original_identity(self.anchor);
        let objection = |number| objection(roster, &identities, self.anchor, original, number);
        if wish.number.is_none() {
            let standing = standing(roster, &identities, self.anchor);
            match &standing {
                Standing::Ours(number) => {
                    wish.number = Some(*number);
                    return Ok(true);
                }
                Standing::TakenOver { number, by } => {
                    say(&format!("This terminal was session {number}, and {}.", Escaped(by)));
                }
                Standing::Gone(number) => {
                    say(&format!("This terminal was session {number}, which is not in the registry any more."));
                }
                Standing::Unknown => {}
            }
            self.show(roster, &identities)?;
            let usable = |number: &SessionNumber| roster.find(*number).is_some() && objection(*number).is_none();
            let known = original.filter(usable).filter(|_| standing == Standing::Unknown);
            let Some(proposed) = known.or_else(|| roster.next_free()) else { return Ok(false) };
            loop {
                let answer = ask(&format!("Which session is this terminal? [Enter: {proposed}, a number, or skip]"))?;
                let number = match answer.as_str() {
                    "skip" => return Ok(false),
                    "" => proposed,
                    "new" => match roster.next_free() {
                        Some(number) => number,
                        None => return Ok(false),
                    },
                    text => match text.parse() {
                        Ok(number) => number,
                        Err(invalid) => {
                            let invalid: crate::policy::session_number::InvalidNumber = invalid;
                            say(&format!("{}: {invalid}.", Escaped(text)));
                            continue;
                        }
                    },
                };
                wish.number = Some(number);
                match objection(number) {
                    Some(Objection::Held(why)) => say(&format!("{}.", Escaped(&why))),
                    Some(Objection::Unclaimed(why)) => {
                        if agrees(&format!("{}. Is it this terminal's?", Escaped(&why)))? {
                            wish.yes = true;
                            break;
                        }
                    }
                    None => break,
                }
            }
        }
        let Some(number) = wish.number else { return Ok(false) };
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
            holder: &|number| holder(identities, number, &nobody).map(|identity| identity.terminal.clone()),
            all: true,
        };
        view.to_stderr(self.context.output.style)?;
        Ok(())
    }
}
