//! `session-sweep audit`: what is there, and what a sweep would do; read-only.

use anyhow::Result;

use super::areas::{AreaRun, Areas};
use super::cli::Audit;
use super::map::{with_mappings, with_plan};
use crate::context::Context;
use crate::exit::ExitStatus;
use crate::output::audit::{AuditView, ProviderView};
use crate::output::escape::Escaped;
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
    let mut inventories = Some(inventories);
    let areas = Areas::go_through(context, None);
    let others = areas.sections(context);
    let map_text = map.path().to_string_lossy().into_owned();
    let show = |providers, prune: Option<PruneView<'_>>, map_error| {
        let view = AuditView { now: context.now, map: map_text.clone(), providers, prune, map_error, others: &others };
        context.output.show(&view)?;
        let in_map = view.prune.as_ref().map(PruneView::problems).unwrap_or_default();
        let in_others: Vec<String> = areas.runs().flat_map(AreaRun::problems).collect();
        let problems: Vec<&String> = problems_of(&view.providers).chain(&in_map).chain(&in_others).collect();
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
    if let (Err(failure), Some(inventories)) = (&audited, inventories) {
        // The map does not hide the other areas.
        show(views(context, inventories, None), None, Some(format!("{failure:#}")))?;
    }
    let mut failures = areas.failures();
    let ended = audited.and_then(|status| failures.next().map_or(Ok(status), Err));
    for other in failures {
        log::error!("{}", Escaped(&format!("{other:#}")));
    }
    ended
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
