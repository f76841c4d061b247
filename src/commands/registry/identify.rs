//! `session-sweep registry identify`: which session this terminal is.

use anyhow::Result;

use super::arguments::Identify;
use super::talk::Talk;
use super::{anchor, claims, clean_up_first};
use crate::commands::ask::{say, somebody_is_there};
use crate::context::Context;
use crate::exit::ExitStatus;
use crate::output::registry::SessionView;
use crate::policy::session_number::SessionNumber;
use crate::registry::cleanup::Cleaned;
use crate::registry::identify::{Identified, Wish};
use crate::registry::terminal::Anchor;
use crate::registry::{Registry, RegistryError};

pub(super) const PROGRAM: &str = "session-sweep registry identify";

pub(super) fn run(context: &Context, arguments: &Identify) -> Result<ExitStatus> {
    let registry = context.registry();
    let anchor = anchor(context);
    let mut wish = Wish {
        number: arguments.number,
        next: arguments.next,
        yes: arguments.yes,
        is_stale: false,
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
        let spare = match arguments.number {
            Some(number) => Some(number),
            None => own_number(context, &registry, &anchor)?,
        };
        let cleaned = clean_up_first(&held, context, spare)?;
        // It is spared because it may be this terminal's: nobody else's life is in it.
        let is_stale = |cleaned: Cleaned| cleaned.plan.survey.is_stale(spare);
        wish.is_stale = arguments.number.is_some() && cleaned.is_some_and(is_stale);
    }
    let done = held.identify(&wish, &claims(context, &registry, &anchor)?, context.now)?;
    let differs = |said: &Option<String>, is: &str| said.as_ref().is_some_and(|said| said != is);
    if differs(&wish.role, &done.role) || differs(&wish.goal, &done.goal) {
        log::warn!("session {} keeps its role and goal: they are given when it is new or was inactive", done.number);
    }
    context.output.show(&view(done))?;
    Ok(ExitStatus::Done)
}

fn view(done: Identified) -> SessionView {
    let number = done.number;
    let said = match (done.is_new, done.is_remembered) {
        (true, true) => format!("session {number} is new"),
        (false, true) => format!("session {number} is this terminal's"),
        (_, false) => format!(
            "session {number} is alive, and nothing remembers whose it is: there is no terminal, no tmux pane and no CLI's \
             session; beat for it with `session-sweep registry heartbeat --number {number}`"
        ),
    };
    SessionView {
        command: "registry identify",
        number,
        session_id: done.session_id,
        role: done.role,
        goal: done.goal,
        status: done.status,
        terminal: done.terminal,
        beat: Some(done.beat),
        changed: done.changed,
        said,
    }
}

/// Whether nothing is asked, whoever is there.
fn is_silent(context: &Context, arguments: &Identify) -> bool {
    let answers = arguments.yes || arguments.next || arguments.auto_cleanup || arguments.no_cleanup;
    let describes = arguments.role.is_some() || arguments.goal.is_some();
    answers || describes || arguments.heartbeat_only || context.output.quiet || context.output.json
}

/// The number that this terminal has, or asks for where it may be its own: a clean-up on the way leaves it alone.
pub(super) fn own_number(
    context: &Context,
    registry: &Registry,
    anchor: &Anchor,
) -> Result<Option<SessionNumber>, RegistryError> {
    let claims = claims(context, registry, anchor)?;
    match registry.read(|roster| claims.own(roster).ok()) {
        Err(RegistryError::Missing(_)) => Ok(None),
        own => own,
    }
}
