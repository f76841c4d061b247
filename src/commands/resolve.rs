//! `session-sweep resolve`: what a bridge asks when its map has no entry for a chat.

use anyhow::Result;

use super::cli::Resolve;
use super::map::with_map;
use crate::context::Context;
use crate::exit::ExitStatus;
use crate::output::Output;
use crate::sweep::resolve::{Sources, resolve};

pub(super) fn run(context: &Context, arguments: &Resolve) -> Result<ExitStatus> {
    let map = arguments.map.map(context);
    let sources = Sources { map: &map, catalogue: &context.catalogue, environment: &context.environment };
    let chat = &arguments.chat;
    let answer = with_map(context, &map, |document, _| resolve(document, &chat.model, &chat.chat, sources))?;
    Output::json(&answer)?;
    Ok(ExitStatus::Done)
}
