//! `session-sweep registry`: who works under which number.

pub(super) mod arguments;
mod cleanup;
mod heartbeat;
mod identify;
mod list;
mod register;
mod release;
mod talk;

use anyhow::Result;
use chrono::{DateTime, Utc};

use crate::context::Context;
use crate::exit::ExitStatus;
use crate::filesystem::proc::Proc;
use crate::policy::heartbeat::Clocks;
use crate::policy::session_number::SessionNumber;
use crate::registry::claim::Claims;
use crate::registry::cleanup::{Cleaned, Rules};
use crate::registry::terminal::Anchor;
use crate::registry::{Held, Registry, RegistryError};
use arguments::RegistryCommand;

pub(super) use cleanup::Run as CleanUp;

pub(super) fn run(context: &Context, arguments: &arguments::Registry) -> Result<ExitStatus> {
    match &arguments.command {
        RegistryCommand::List(list) => list::run(context, list),
        RegistryCommand::Register(register) => register::run(context, register),
        RegistryCommand::Identify(identify) => identify::run(context, identify),
        RegistryCommand::Heartbeat(heartbeat) => heartbeat::run(context, heartbeat),
        RegistryCommand::Cleanup(cleanup) => cleanup::run(context, cleanup),
        RegistryCommand::Release(release) => release::run(context, release),
    }
}

/// How to clean up by the settings.
fn rules(context: &Context) -> Rules {
    let settings = &context.config.settings.registry;
    Rules {
        timeout: settings.timeout.duration(),
        prune: settings.prune_heartbeats.duration(),
        force: false,
        is_by_the_way: false,
        spare: None,
        now: context.now,
        clocks: clocks(context.now),
    }
}

/// This moment by both clocks, where the second one can be read.
fn clocks(wall: DateTime<Utc>) -> Option<Clocks> {
    let boot_id = Proc::default().boot_id().ok()?;
    Some(Clocks { wall, since_boot: Proc::since_boot(), boot_id })
}

/// The terminals that this process works at.
fn anchor(context: &Context) -> Anchor {
    Anchor::of_process(&Proc::default(), &|name| context.environment.get(name).map(ToOwned::to_owned))
}

/// Who this terminal is by all that is known.
fn claims<'a>(context: &Context, registry: &Registry, anchor: &'a Anchor) -> Result<Claims<'a>, RegistryError> {
    Claims::of(registry, anchor, context.config.settings.registry.timeout.duration(), context.now)
}

/// Cleans up on the way to something else; what hinders that is only said. `spare` is the session that asks.
fn clean_up_first(held: &Held<'_>, context: &Context, spare: Option<SessionNumber>) -> Result<Option<Cleaned>> {
    let cleaned = match held.clean_up(&Rules { spare, is_by_the_way: true, ..rules(context) }) {
        Ok(cleaned) => cleaned,
        // There is nothing to clean yet.
        Err(RegistryError::Missing(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let survey = &cleaned.plan.survey;
    for problem in cleaned.plan.held.iter().chain(&survey.problems).chain(&cleaned.problems) {
        log::warn!("{}", crate::output::escape::Escaped(problem));
    }
    Ok(Some(cleaned))
}
