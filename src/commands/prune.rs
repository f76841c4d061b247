//! `session-sweep prune`: remove idle mappings from a bridge's session map.

use anyhow::{Context as _, Result};

use super::cli::Prune;
use super::map::{with_map, with_plan};
use crate::context::Context;
use crate::exit::ExitStatus;
use crate::output::prune::PruneView;
use crate::session_map::{MapError, Memory};
use crate::sweep::apply::{How, apply};

pub(super) fn run(context: &Context, arguments: &Prune) -> Result<ExitStatus> {
    let map = arguments.map.map(context);
    let dry_run = arguments.dry_run;
    with_map(context, &map, |document, snapshot| {
        let Some((document, snapshot)) = document.zip(snapshot) else {
            if arguments.quiet_if_missing {
                return Ok(ExitStatus::Done);
            }
            return Err(MapError::Missing(map.path().to_owned()).into());
        };
        let memory = Memory::load(&context.dirs.state, snapshot.real_path());
        with_plan(context, document, &memory, |plan| {
            let applied = if dry_run {
                None
            } else {
                let how = How {
                    lock: context.lock("session-sweep prune"),
                    tombstones: context.config.settings.tombstones.duration(),
                    state: &context.dirs.state,
                    is_model: &|name| context.is_model(name),
                };
                Some(apply(plan, &map, snapshot, &memory, &how)?)
            };
            let view = PruneView { plan, map: map.path().to_string_lossy().into_owned(), applied: applied.as_ref() };
            context.output.show(&view).with_context(|| match &applied {
                Some(applied) => format!("{} mappings were pruned, which could not be reported", applied.pruned),
                None => "the preview could not be shown".to_owned(),
            })?;
            let late = applied.iter().flat_map(|applied| &applied.problems);
            let problems: Vec<&String> = plan.evidence.problems().iter().chain(late).collect();
            super::tell_when_quiet(context.output, problems.iter().copied());
            Ok(match () {
                () if !problems.is_empty() => ExitStatus::Partial,
                () if arguments.exit_code && dry_run && plan.totals().pruned > 0 => ExitStatus::WorkToDo,
                () => ExitStatus::Done,
            })
        })
    })
}
