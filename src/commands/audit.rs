//! `session-sweep audit`: what is there, and what a prune would do; read-only.

use anyhow::Result;

use super::cli::Audit;
use super::map::{with_mappings, with_plan};
use crate::context::Context;
use crate::exit::ExitStatus;
use crate::output::audit::{AuditView, ProviderView};
use crate::output::progress::with_spinner;
use crate::output::prune::PruneView;
use crate::policy::mapping::State;
use crate::providers::inventory::Inventory;
use crate::sweep::plan::Plan;

pub(super) fn run(context: &Context, arguments: &Audit) -> Result<ExitStatus> {
    let map = arguments.map.map(context);
    let inventories = with_spinner(context.output.quiet, "reading stores", || {
        context.catalogue.iter().map(|row| Inventory::of(&row.provider, &row.home)).collect::<Vec<_>>()
    });
    let problems = inventories.iter().any(|inventory| !inventory.problems.is_empty());
    let status = |partial: bool| if partial { ExitStatus::Partial } else { ExitStatus::Done };
    let map_text = map.path().to_string_lossy().into_owned();
    with_mappings(context, &map, |kept, bridge| {
        let Some(kept) = kept else {
            let providers = views(context, inventories, None);
            let view = AuditView { now: context.now, map: map_text, providers, prune: None };
            context.output.show(&view)?;
            super::tell_when_quiet(context.output, problems_of(&view.providers));
            return Ok(status(problems));
        };
        with_plan(context, &map, kept, |plan, _, _| {
            let providers = views(context, inventories, Some(plan));
            let prune = PruneView { plan, map: map_text.clone(), bridge, applied: None, after: None };
            let in_map = prune.problems();
            let view = AuditView { now: context.now, map: map_text, providers, prune: Some(prune) };
            context.output.show(&view)?;
            super::tell_when_quiet(context.output, problems_of(&view.providers).chain(&in_map));
            Ok(status(problems || !in_map.is_empty()))
        })
    })
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
