//! `session-sweep config show | check`.

use anyhow::Result;

use super::cli::{Config, ConfigCommand};
use crate::config::{CheckView, ConfigView, Dirs, Environment, check};
use crate::context::{Context, Given};
use crate::exit::ExitStatus;
use crate::output::Output;
use crate::output::config::Shown;
use crate::providers::builtin;

pub(super) fn run(arguments: &Config, given: &Given, environment: Environment) -> Result<ExitStatus> {
    match arguments.what {
        ConfigCommand::Show { origin } => {
            let context = Context::new(given, environment)?;
            let view = ConfigView::new(&context.config, &context.dirs, &context.environment);
            context.output.show(&Shown { view, origin })?;
            Ok(ExitStatus::Done)
        }
        ConfigCommand::Check => {
            let dirs = Dirs::find(&environment)?;
            let view = CheckView::new(check(&dirs, &environment, given.config_file.as_deref(), builtin::rows()));
            let status = if view.problems.is_empty() { ExitStatus::Done } else { ExitStatus::Usage };
            Output::new(given.json, given.quiet, given.verbose, anstream::ColorChoice::Auto).show(&view)?;
            Ok(status)
        }
    }
}
