//! `session-sweep config show | check | set`.

use anyhow::Result;

use super::cli::{Config, ConfigCommand};
use crate::config::setting::Setting;
use crate::config::{CheckView, ConfigView, Dirs, Environment, PathText, SetView, check, set};
use crate::context::{Context, Given};
use crate::exit::ExitStatus;
use crate::output::Output;
use crate::output::config::Shown;
use crate::providers::builtin;

pub(super) fn run(arguments: &Config, given: &Given, environment: Environment) -> Result<ExitStatus> {
    match &arguments.what {
        ConfigCommand::Show { origin } => {
            let context = Context::new(given, environment)?;
            let view = ConfigView::new(&context.config, &context.dirs, &context.environment);
            context.output.show(&Shown { view, origin: *origin })?;
            Ok(ExitStatus::Done)
        }
        ConfigCommand::Check => {
            let dirs = Dirs::find(&environment)?;
            let view = CheckView::new(check(&dirs, &environment, given.config_file.as_deref(), builtin::rows()));
            let status = if view.problems.is_empty() { ExitStatus::Done } else { ExitStatus::Usage };
            Output::new(given.json, given.quiet, given.verbose, anstream::ColorChoice::Auto).show(&view)?;
            Ok(status)
        }
        ConfigCommand::Set { key, values } => {
            let dirs = Dirs::find(&environment)?;
            let (file, changed) = set(&dirs, given.config_file.as_deref(), key, values)?;
            let variables = Setting::find(key).into_iter().flat_map(Setting::variables);
            for variable in variables.filter(|variable| environment.get(variable).is_some()) {
                log::warn!("{variable} is set here, and wins over the file");
            }
            let view = SetView { schema: 1, command: "config set", file: PathText(file), key: key.clone(), changed };
            Output::new(given.json, given.quiet, given.verbose, anstream::ColorChoice::Auto).show(&view)?;
            Ok(ExitStatus::Done)
        }
    }
}
