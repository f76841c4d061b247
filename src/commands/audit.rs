//! `session-sweep audit`: what is there, and what a prune would do; read-only.

use anyhow::Result;

use super::cli::Audit;
use super::map::{with_mappings, with_plan};
use super::registry::CleanUp;
use super::{artifacts, processes, queues};
use crate::context::Context;
use crate::exit::ExitStatus;
use crate::output::audit::{AuditView, ProviderView};
use crate::output::escape::Escaped;
use crate::output::progress::with_spinner;
use crate::output::prune::PruneView;
use crate::output::registry::CleanupView;
use crate::policy::mapping::State;
use crate::providers::inventory::Inventory;
use crate::sweep::plan::Plan;

pub(super) fn run(context: &Context, arguments: &Audit) -> Result<ExitStatus> {
    let map = arguments.map.map(context);
    let inventories = with_spinner(context.output.quiet, "reading stores", || {
        context.catalogue.iter().map(|row| Inventory::of(&row.provider, &row.home)).collect::<Vec<_>>()
    });
    let mut inventories = Some(inventories);
    let (cleaned, registry_error) = match CleanUp::where_enabled(context, None) {
        Ok(cleaned) => (cleaned, None),
        Err(error) => (None, Some(error)),
    };
    let registry = cleaned.as_ref().map(|run| run.view(context));
    let (looked, processes_error) = match processes::CleanUp::where_enabled(context, None) {
        Ok(looked) => (looked, None),
        Err(error) => (None, Some(error)),
    };
    let processes = looked.as_ref().map(|run| run.view(context));
    let (ticked, queues_error) = match queues::CleanUp::where_configured(context, None) {
        Ok(ticked) => (ticked, None),
        Err(error) => (None, Some(error)),
    };
    let in_queues = ticked.as_ref().map(|run| run.view(context));
    let in_words = |error: &Option<anyhow::Error>| error.as_ref().map(|error| format!("{error:#}"));
    let (of_registry, of_processes, of_queues) =
        (in_words(&registry_error), in_words(&processes_error), in_words(&queues_error));
    let (tidied, artifacts_error) = match artifacts::CleanUp::where_enabled(context, None) {
        Ok(tidied) => (tidied, None),
        Err(error) => (None, Some(error)),
    };
    let on_disk = tidied.as_ref().map(|run| run.view(context));
    let of_disk = in_words(&artifacts_error);
    let map_text = map.path().to_string_lossy().into_owned();
    let show = |providers, prune: Option<PruneView<'_>>, map_error| {
        let (map, registry, processes) = (map_text.clone(), registry.as_ref(), processes.as_ref());
        let (queues, queues_error) = (in_queues.as_ref(), of_queues.clone());
        let (now, artifacts, artifacts_error) = (context.now, on_disk.as_ref(), of_disk.clone());
        let view = AuditView {
            now,
            map,
            providers,
            prune,
            map_error,
            registry_enabled: context.config.settings.registry.enabled,
            registry,
            registry_error: of_registry.clone(),
            processes,
            processes_error: of_processes.clone(),
            queues,
            queues_error,
            artifacts,
            artifacts_error,
        };
        context.output.show(&view)?;
        let in_map = view.prune.as_ref().map(PruneView::problems).unwrap_or_default();
        let in_registry = registry.map(CleanupView::problems).unwrap_or_default();
        let of_processes = looked.as_ref().map(processes::CleanUp::problems).unwrap_or_default();
        let of_queues = ticked.as_ref().map(queues::CleanUp::problems).unwrap_or_default();
        let on_disk = tidied.as_ref().map(artifacts::CleanUp::problems).unwrap_or_default();
        let areas = [&in_map, &in_registry, &of_processes, &of_queues, &on_disk].into_iter().flatten();
        let problems: Vec<&String> = problems_of(&view.providers).chain(areas).collect();
        super::tell_when_quiet(context.output, problems.iter().copied());
        Ok(if problems.is_empty() { ExitStatus::Done } else { ExitStatus::Partial })
    };
    let audited = with_mappings(context, &map, |kept, bridge| {
        let inventories = inventories.take().unwrap_or_default();
        let Some(kept) = kept else { return show(views(context, inventories, None), None, None) };
        with_plan(context, &map, kept, |plan, _, _| {
            let prune = PruneView { plan, map: map_text.clone(), bridge, applied: None, after: None };
            show(views(context, inventories, Some(plan)), Some(prune), None)
        })
    });
    // One area does not hide the others.
    let other_error = first_of(first_of(first_of(registry_error, processes_error), queues_error), artifacts_error);
    match (audited, other_error) {
        (Ok(_), Some(error)) => Err(error),
        (Err(first), second) => {
            // Unless it was shown already.
            if let Some(inventories) = inventories {
                show(views(context, inventories, None), None, Some(format!("{first:#}")))?;
            }
            if let Some(second) = second {
                log::error!("{}", Escaped(&format!("{second:#}")));
            }
            Err(first)
        }
        (audited, None) => audited,
    }
}

/// The first of two failures; the second one is said.
fn first_of(first: Option<anyhow::Error>, second: Option<anyhow::Error>) -> Option<anyhow::Error> {
    if let (Some(_), Some(second)) = (&first, &second) {
        log::error!("{}", Escaped(&format!("{second:#}")));
    }
    first.or(second)
}

/// What could not be read in the stores.
fn problems_of(providers: &[ProviderView]) -> impl Iterator<Item = &String> {
    providers.iter().flat_map(|view| &view.inventory.problems)
}

/// One row per provider that has a store or a mapping.
fn views(context: &Context, inventories: Vec<Inventory>, plan: Option<&Plan<'_>>) -> Vec<ProviderView> {
    let count = |provider: usize, state: Option<State>| {
        let wanted = |own: State, _| state.is_none_or(|state| own == state);
        let belongs = |item: &crate::sweep::plan::Item<'_>| item.finding.provider.map(usize::from) == Some(provider);
        plan.map_or(0, |plan| plan.items_with(wanted).filter(belongs).count())
    };
    let view = |(index, inventory): (usize, Inventory)| {
        let (row, home) = context.catalogue.get(index);
        ProviderView {
            provider: row.name.clone(),
            home: context.dirs.shorten(home),
            mapped: count(index, None),
            idle: count(index, Some(State::Idle)),
            missing: count(index, Some(State::Missing)),
            inventory,
        }
    };
    let all = inventories.into_iter().enumerate().map(view);
    all.filter(|view| view.inventory.present || view.mapped > 0 || !view.inventory.problems.is_empty()).collect()
}
