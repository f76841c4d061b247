//! `session-sweep registry list`: who works under which number.

use anyhow::Result;

use super::arguments::List;
use crate::context::Context;
use crate::exit::ExitStatus;
use crate::output::registry::ListView;
use crate::registry::survey::Survey;
use crate::registry::terminal::Anchor;

pub(super) fn run(context: &Context, arguments: &List) -> Result<ExitStatus> {
    let registry = context.registry();
    let timeout = context.config.settings.registry.timeout.duration();
    let (survey, free) = registry.read(|roster| {
        let (survey, _) = Survey::take(&registry.beats_folder(), roster, timeout, context.now);
        (survey, roster.free())
    })?;
    let identities = registry.identities()?;
    let nobody = Anchor::default();
    let view = ListView {
        now: context.now,
        base: registry.base().display().to_string(),
        timeout,
        survey: &survey,
        free: &free,
        holder: &|number| identities.holder(number, &nobody).map(|identity| identity.terminal.clone()),
        all: arguments.all,
    };
    context.output.show(&view)?;
    crate::commands::tell_when_quiet(context.output, survey.problems.iter());
    Ok(if survey.problems.is_empty() { ExitStatus::Done } else { ExitStatus::Partial })
}
