//! `session-sweep registry register`: enter a new session under a free number.

use anyhow::Result;

use super::arguments::Register;
use super::{anchor, clean_up_first};
use crate::commands::UsageError;
use crate::context::Context;
use crate::exit::ExitStatus;
use crate::output::age::Age;
use crate::output::registry::SessionView;
use crate::policy::session_number::SessionNumber;
use crate::registry::RegistryError;
use crate::registry::changes::{NewBeat, Registration};
use crate::registry::claim::{Standing, standing};
use crate::registry::identities::Identity;
use crate::registry::roster::Roster;
use crate::registry::survey::Survey;

pub(super) fn run(context: &Context, arguments: &Register) -> Result<ExitStatus> {
    let (number, role, goal) = words(arguments)?;
    let registry = context.registry();
    let held = registry.lock_new(context.registry_lock("session-sweep registry register"))?;
    if !arguments.no_cleanup {
        clean_up_first(&held, context, None)?;
    }
    let anchor = anchor(context);
    let terminal = arguments.terminal.as_deref().unwrap_or(anchor.label());
    let mut entered = None;
    held.update_or_create(|roster| {
        let number = match number {
            Some(number) if roster.is_taken(number) => return Err(taken(context, roster, number)),
            Some(number) => number,
            None => roster.next_free().ok_or_else(|| RegistryError::Refused("every number is taken".to_owned()))?,
        };
        let id = arguments.session_id.clone().unwrap_or_else(|| number.default_id());
        let (id, _) = entered.insert((id, number));
        Ok(Some(roster.registered(Registration { number, id, role, goal, terminal, now: context.now })))
    })?;
    let Some((id, number)) = entered else { return Ok(ExitStatus::Failed) };
    let beat = held.beat(&NewBeat::new(number, &id, "active", role, &anchor, context.now))?;
    // Whoever is this session and registers it anew goes on being it.
    let identities = registry.identities();
    let is_ours = identities.of(&anchor).and_then(Identity::number) == Some(number);
    if is_ours {
        registry.read(|roster| match (standing(roster, &identities, &anchor), roster.find(number)) {
            (Standing::TakenOver { .. } | Standing::Ours(_), Some(session)) => {
                held.remember(&anchor, session, context.now).map(|_| ())
            }
            _ => Ok(()),
        })??;
    }
    context.output.show(&SessionView {
        command: "registry register",
        number,
        session_id: id,
        role: role.to_owned(),
        goal: goal.to_owned(),
        status: "active".to_owned(),
        terminal: Some(terminal.to_owned()),
        beat: Some(beat),
        changed: true,
        said: format!("session {number} is registered"),
    })?;
    Ok(ExitStatus::Done)
}

/// Number (nothing with `--next`), role and goal.
fn words(arguments: &Register) -> Result<(Option<SessionNumber>, &str, &str)> {
    match (&arguments.words[..], arguments.next) {
        ([role, goal], true) => Ok((None, role, goal)),
        ([number, role, goal], false) => {
            let number = number.parse().map_err(|invalid| UsageError(format!("{number:?}: {invalid}")))?;
            Ok((Some(number), role, goal))
        }
        (_, true) => Err(UsageError("with --next give a role and a goal, and no number".to_owned()).into()),
        (_, false) => {
            Err(UsageError("give a number, a role and a goal, or --next, a role and a goal".to_owned()).into())
        }
    }
}

/// Why a number cannot be had.
fn taken(context: &Context, roster: &Roster<'_>, number: SessionNumber) -> RegistryError {
    let free = roster.next_free().map_or_else(String::new, |next| format!(", or take {next} with --next"));
    let why = match roster.find(number) {
        Some(session) => format!(
            "session {number} is {} ({}, {}); end it with `session-sweep registry release {number}` if it has ended",
            session.status().unwrap_or_else(|| "without a status".into()),
            session.text("role").unwrap_or_else(|| "without a role".into()),
            last_sign(context, roster, number),
        ),
        None => format!("{number} is in the registry and is no session"),
    };
    RegistryError::Refused(format!("{why}{free}; nothing was registered"))
}

/// When a session gave its last sign of life, in words.
fn last_sign(context: &Context, roster: &Roster<'_>, number: SessionNumber) -> String {
    let (survey, _) = Survey::take(&context.registry().beats_folder(), roster, None, context.now);
    let session = survey.sessions.iter().find(|session| session.number == number);
    match session.and_then(|session| session.age(context.now)) {
        Some(age) => format!("last sign of life {} ago", Age(Some(age))),
        None => "no sign of life".to_owned(),
    }
}
