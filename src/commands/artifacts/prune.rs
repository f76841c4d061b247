//! `session-sweep artifacts prune`: remove what is past its limit.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::arguments::Prune;
use crate::artifacts::archive::{Archive, Entry};
use crate::commands::areas::AreaRun;
use crate::commands::ask::{agrees, say, somebody_is_there};
use crate::commands::map::{Kept, with_mappings};
use crate::commands::{UsageError, tell_when_quiet};
use crate::context::Context;
use crate::exit::ExitStatus;
use crate::filesystem::proc::Proc;
use crate::output::artifacts::PruneView;
use crate::output::progress::with_spinner;
use crate::schedule::runs::ArtifactTotals;
use crate::session_map::{MapError, SessionMap};
use crate::sweep::artifacts::apply::{Applied, Remover};
use crate::sweep::artifacts::claims::{Known, Speakers};
use crate::sweep::artifacts::homes::homes;
use crate::sweep::artifacts::migrated;
use crate::sweep::artifacts::plan::{Plan, Terms};

const PROGRAM: &str = "session-sweep artifacts prune";

/// What is asked for.
struct Order {
    map: SessionMap,
    /// The map was asked for by name, so it has to be there.
    is_map_named: bool,
    roots: Vec<PathBuf>,
    kinds: Vec<usize>,
    may_take_most: bool,
    migrate_v1: bool,
}

pub(super) fn run(context: &Context, arguments: &Prune) -> Result<ExitStatus> {
    let order = Order {
        map: arguments.map.map(context),
        is_map_named: arguments.map.map.is_some() || arguments.map.dir.is_some(),
        roots: super::roots(context, &arguments.look.root),
        kinds: arguments.kind.clone(),
        may_take_most: arguments.yes_most,
        migrate_v1: arguments.migrate_v1,
    };
    if !arguments.dry_run {
        refuse_rehearsal(context)?;
    }
    let lock = || super::lock(context, PROGRAM);
    // One that would only show waits for nobody, and nobody for one that asks.
    let mut held = (!arguments.dry_run && arguments.yes).then(lock).transpose()?;
    let mut run = Run::plan(context, &order)?;
    if !arguments.dry_run {
        let has_question = run.plan.removes_something() && !arguments.yes;
        if has_question && !run.is_agreed(context)? {
            say("Nothing was removed.");
            if context.output.json {
                context.output.show(&run.view(context))?;
            }
            return Ok(ExitStatus::Done);
        }
        if held.is_none() {
            held = Some(lock()?);
        }
        if has_question {
            // The question may have stood for hours.
            let again = Run::plan(context, &order)?;
            run.plan.keep_to(&again.plan);
            run.archived = again.archived;
        }
        run.apply(context, &order);
    }
    drop(held);
    context.output.show(&run.view(context))?;
    tell_when_quiet(context.output, run.problems().iter());
    let has_work = arguments.exit_code && run.has_work();
    Ok(run.status().and(if has_work { ExitStatus::WorkToDo } else { ExitStatus::Done }))
}

/// What is old at another time may be young now: nothing is removed by what will be.
fn refuse_rehearsal(context: &Context) -> Result<(), UsageError> {
    if context.now == context.started {
        return Ok(());
    }
    Err(UsageError("--at rehearses another time, at which nothing can be removed: add --dry-run".to_owned()))
}

/// A prune, done or only planned.
pub(in crate::commands) struct Run<'c> {
    plan: Plan<'c>,
    /// What was in the archive.
    archived: Vec<Entry>,
    applied: Option<Applied>,
}

impl<'c> Run<'c> {
    /// For `sweep` and `audit`: nothing where artifacts are not enabled. Where there is a `program` to name in the lock, it
    /// does what it planned.
    pub(in crate::commands) fn where_enabled(context: &'c Context, program: Option<&str>) -> Result<Option<Self>> {
        if !context.config.settings.artifacts.enabled {
            return Ok(None);
        }
        if program.is_some() {
            refuse_rehearsal(context)?;
        }
        let _lock = program.map(|program| super::lock(context, program)).transpose()?;
        let roots = super::roots(context, &[]);
        let (map, kinds) = (context.map(None), Vec::new());
        let order = Order { map, is_map_named: false, roots, kinds, may_take_most: false, migrate_v1: false };
        let mut run = Self::plan(context, &order)?;
        if program.is_some() {
            run.apply(context, &order);
        }
        Ok(Some(run))
    }

    fn plan(context: &'c Context, order: &Order) -> Result<Self> {
        let (homes, mut problems) = homes(&context.catalogue, &order.roots)?;
        let proc = proc_of(context);
        let before = problems.len();
        let (_, archived) = super::archive(context, &mut problems);
        let archive_trouble = problems.get(before).map(|why| format!("what was put back is not known: {why}"));
        let terms = Terms {
            settings: &context.config.settings.artifacts,
            kinds: order.kinds.clone(),
            may_take_most: order.may_take_most,
            now: context.now,
        };
        let mut unmapped = None;
        let plan = with_spinner(context.output.quiet, "looking at files", || {
            let known = named_by_map(context, order)?;
            unmapped.clone_from(&known.trouble);
            let trouble = known.trouble.or(archive_trouble);
            let known = Known { archive: &archived, trouble, ..known };
            let speakers = Speakers::gather((&context.catalogue, &proc), known);
            if order.migrate_v1 {
                return Ok(migrated::plan(homes, &order.roots, (&speakers, &proc), context.now));
            }
            Ok::<_, anyhow::Error>(Plan::make(homes, &speakers, (&archived, &proc), &terms))
        });
        let mut plan = plan?;
        plan.problems.splice(0..0, problems);
        if plan.kept().any(|(_, item)| item.unit.session.is_some()) {
            plan.problems.extend(unmapped);
        }
        Ok(Self { plan, archived, applied: None })
    }

    /// Shows what would be done, and asks.
    fn is_agreed(&self, context: &Context) -> Result<bool> {
        if !somebody_is_there() {
            let why =
                "nobody is there to be asked; add --yes to do it without asking, or --dry-run to see what it would be";
            return Err(UsageError(why.to_owned()).into());
        }
        self.view(context).question(&mut std::io::stderr(), context.output.style, context.output.verbose)?;
        agrees("Remove them?")
    }

    fn apply(&mut self, context: &Context, order: &Order) {
        let archive = Archive::below(&context.dirs.state);
        let proc = proc_of(context);
        let look_again = || {
            let known = named_by_map(context, order).map_err(|error| format!("{error:#}"))?;
            Ok(Speakers::gather((&context.catalogue, &proc), known))
        };
        let (entries, now) = (&self.archived, context.now);
        let remover = Remover { archive: &archive, entries, proc: &proc, now, look_again: &look_again };
        self.applied = Some(with_spinner(context.output.quiet, "removing", || remover.apply(&self.plan)));
    }

    /// For the run log.
    pub(in crate::commands) fn totals(&self) -> ArtifactTotals {
        let applied = self.applied.as_ref();
        ArtifactTotals {
            removed: applied.map_or(0, Applied::removed),
            freed: applied.map_or(0, |applied| applied.freed),
            archived: applied.map_or(0, |applied| applied.archived),
            kept: self.plan.kept().count(),
            left: applied.map_or(0, Applied::left),
        }
    }

    pub(in crate::commands) fn view(&self, context: &'c Context) -> PruneView<'_> {
        PruneView {
            now: context.now,
            dirs: &context.dirs,
            plan: &self.plan,
            applied: self.applied.as_ref(),
            archive_retention: context.config.settings.artifacts.archive_retention,
        }
    }
}

impl AreaRun for Run<'_> {
    fn has_work(&self) -> bool {
        self.plan.has_work()
    }

    fn problems(&self) -> Vec<String> {
        PruneView::problems_of(&self.plan, self.applied.as_ref())
    }
}

fn proc_of(context: &Context) -> Proc {
    Proc::new(context.config.settings.processes.root.join("proc"))
}

/// The sessions that the bridge's map leads to, and those that it can lead to again.
fn named_by_map(context: &Context, order: &Order) -> Result<Known<'static>> {
    let map = &order.map;
    let mapped = with_mappings(context, map, |kept, _| {
        let sessions = |kept: Kept<'_>| kept.document.entries.iter().map(|entry| entry.session.to_string()).collect();
        Ok(kept.map(sessions))
    })?;
    if mapped.is_none() && order.is_map_named {
        return Err(MapError::Missing(map.path().to_owned()).into());
    }
    // A folder that is there has no map because there is no mapping yet. One that is not may not be mounted.
    let is_gone = |folder: &Path| context.config.is_set("map.dir") && !folder.is_dir();
    let gone = map.path().parent().filter(|folder| mapped.is_none() && is_gone(folder));
    let trouble = gone.map(|folder| {
        let folder = folder.display();
        format!("which sessions are mapped is not known: {folder}, where map.dir says that the map is, is not there")
    });
    let restorable = map.tombstones().all()?.into_iter().map(|grave| grave.session).collect();
    let state = context.dirs.state.clone();
    Ok(Known { mapped: mapped.unwrap_or_default(), restorable, archive: &[], trouble, state })
}
