//! `session-sweep completions SHELL`.

use anyhow::Result;
use clap::CommandFactory as _;

use super::cli::{Cli, Completions};
use crate::exit::ExitStatus;

pub(super) fn run(arguments: &Completions) -> Result<ExitStatus> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "session-sweep", &mut script);
    crate::output::write_all(&script)?;
    Ok(ExitStatus::Done)
}
