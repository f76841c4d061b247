//! `session-sweep processes clean`: end what was left behind.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use anyhow::Result;

use super::arguments::Clean;
use super::{Look, notice, seen};
use crate::commands::areas::AreaRun;
use crate::commands::ask::{agrees, say, somebody_is_there};
use crate::commands::{UsageError, tell_when_quiet};
use crate::config::setting::ProcessesSettings;
use crate::context::{Context, Given};
use crate::exit::ExitStatus;
use crate::filesystem::{Lock, make_folder};
use crate::output::processes::{CleanView, left_over};
use crate::policy::choices::CleanupMode;
use crate::policy::orphan::Verdict;
use crate::processes::records::RecordsError;
use crate::sweep::processes::apply::{Applied, end_orphans, remove_records};
use crate::sweep::processes::plan::{Plan, RecordItem};

const PROGRAM: &str = "session-sweep processes clean";

/// Whether a clean-up that nobody watches may end processes.
fn is_by_itself(settings: &ProcessesSettings) -> bool {
    only_shown_by(settings).is_none()
}

/// The settings by which such a clean-up only shows what it would do.
fn only_shown_by(settings: &ProcessesSettings) -> Option<&'static str> {
    match (settings.mode == CleanupMode::Auto, settings.dry_run) {
        (true, false) => None,
        (false, false) => Some("processes.mode"),
        (true, true) => Some("processes.dry_run"),
        (false, true) => Some("processes.mode, processes.dry_run"),
    }
}

/// What is to be done with a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Show,
    Ask,
    Do,
}

pub(super) fn run(context: &Context, arguments: &Clean) -> Result<ExitStatus> {
    let look = Look::new(context)?;
    let way = way(&look, arguments);
    if way != Way::Show {
        refuse_rehearsal(context)?;
    }
    let mut run = Run { plan: look.plan(false)?, applied: None, needs_somebody: false };
    if way == Way::Ask && run.plan.has_work() && !run.is_agreed(context)? {
        say("Cleanup cancelled; nothing was ended.");
        return Ok(ExitStatus::Done);
    }
    if way != Way::Show {
        run.apply(&look, PROGRAM)?;
    }
    context.output.show(&run.view(context))?;
    tell_when_quiet(context.output, run.problems().iter());
    Ok(run.status())
}

fn way(look: &Look<'_>, arguments: &Clean) -> Way {
    let settings = look.settings;
    match arguments {
        Clean { dry_run: true, .. } => Way::Show,
        Clean { auto: true, .. } | Clean { execute: true, yes: true, .. } => Way::Do,
        Clean { execute: true, .. } => Way::Ask,
        _ if settings.dry_run => Way::Show,
        _ if settings.mode == CleanupMode::Auto || arguments.yes => Way::Do,
        _ => Way::Ask,
    }
}

/// Who is old at another time may be young now: nothing is ended by what will be.
pub(super) fn refuse_rehearsal(context: &Context) -> Result<(), UsageError> {
    if context.now == context.started {
        return Ok(());
    }
    Err(UsageError("--at rehearses another time, at which no process can be ended: add --dry-run".to_owned()))
}

/// A clean-up, done or only planned.
pub(in crate::commands) struct Run {
    plan: Plan,
    applied: Option<Applied>,
    /// There was work, which is only done when somebody is asked first.
    needs_somebody: bool,
}

impl Run {
    /// For `sweep` and `audit`: nothing where processes are not enabled. Where there is a `program` to name in the lock, it
    /// does what it planned, unless the settings say that somebody is to be asked first: nobody is there.
    pub(in crate::commands) fn where_enabled(context: &Context, program: Option<&str>) -> Result<Option<Self>> {
        if !context.config.settings.processes.enabled {
            return Ok(None);
        }
        let look = Look::new(context)?;
        let mut run = Self { plan: look.plan(false)?, applied: None, needs_somebody: false };
        match program {
            Some(program) if is_by_itself(look.settings) => run.apply(&look, program)?,
            Some(_) => run.needs_somebody = run.plan.has_work(),
            None => {}
        }
        Ok(Some(run))
    }

    /// What a run that nobody watches says of what it was not allowed to do. That is no failure: it is what the settings say.
    pub(in crate::commands) fn left_to_somebody(&self) -> Option<String> {
        let left = left_over(&self.plan).filter(|_| self.needs_somebody)?;
        Some(format!(
            "{left} left over, and only shown: a sweep ends processes and removes records where processes.mode is auto and \
             processes.dry_run is false"
        ))
    }

    /// Shows what would be done, and asks.
    fn is_agreed(&self, context: &Context) -> Result<bool> {
        if !somebody_is_there() {
            let why =
                "nobody is there to be asked; add --yes to do it without asking, or --dry-run to see what it would be";
            return Err(UsageError(why.to_owned()).into());
        }
        self.view(context).question(&mut std::io::stderr(), context.output.style, context.output.verbose)?;
        agrees("Proceed with cleanup?")
    }

    fn apply(&mut self, look: &Look<'_>, program: &str) -> Result<()> {
        refuse_rehearsal(look.context)?;
        if !self.plan.has_work() {
            self.applied = Some(Applied::default());
            return Ok(());
        }
        let (context, settings) = (look.context, look.settings);
        make_folder(&context.dirs.state)?;
        // Two runs at once would each count their own twenty.
        let path = context.dirs.state.join("processes-clean.lock");
        let _cleaning = Lock::take(&path, context.lock(program)).map_err(RecordsError::Locked)?;
        let scene = look.scene(false, None);
        let mut applied = seen(end_orphans(&self.plan, &scene, settings.max, settings.grace))?;
        // What was ended is told, whatever becomes of the records.
        if let Err(error) = self.remove_records(look, program, &mut applied) {
            applied.problems.push(format!("the records of sessions that are over stay: {error:#}"));
        }
        if settings.notify {
            notice::show(context, &applied);
        }
        self.applied = Some(applied);
        Ok(())
    }

    fn remove_records(&self, look: &Look<'_>, program: &str, applied: &mut Applied) -> Result<()> {
        if !self.plan.records.iter().any(RecordItem::goes) {
            return Ok(());
        }
        let held = look.records.lock(&look.records_lock(), look.context.lock(program))?;
        seen(remove_records(&self.plan, &look.scene(false, None), &held, applied))
    }

    /// For the run log: orphans found, processes ended, records removed.
    pub(in crate::commands) fn totals(&self) -> crate::schedule::runs::ProcessTotals {
        let applied = self.applied.as_ref();
        crate::schedule::runs::ProcessTotals {
            orphaned: self.plan.count(Verdict::Orphaned),
            unknown: self.plan.count(Verdict::Unknown),
            ended: applied.map_or(0, Applied::processes_ended),
            refused: applied.map_or(0, Applied::left),
            records_removed: applied.map_or(0, Applied::records_removed),
        }
    }

    pub(in crate::commands) fn view<'v>(&'v self, context: &'v Context) -> CleanView<'v> {
        CleanView {
            now: context.now,
            dirs: &context.dirs,
            plan: &self.plan,
            max: context.config.settings.processes.max,
            only_shown_by: only_shown_by(&context.config.settings.processes),
            applied: self.applied.as_ref(),
        }
    }
}

impl AreaRun for Run {
    fn has_work(&self) -> bool {
        self.plan.has_work()
    }

    fn problems(&self) -> Vec<String> {
        CleanView::problems_of(&self.plan, self.applied.as_ref())
    }

    fn status(&self) -> ExitStatus {
        let is_complete = self.applied.as_ref().is_none_or(Applied::is_complete);
        if is_complete && self.plan.problems.is_empty() { ExitStatus::Done } else { ExitStatus::Partial }
    }
}

/// Cleans up when a session starts, where the settings say so: by a run of its own, for which nobody waits. Nobody can be
/// asked there: what needs a question is only told.
pub(super) fn at_start(look: &Look<'_>, given: &Given) -> Result<()> {
    if is_by_itself(look.settings) {
        refuse_rehearsal(look.context)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["processes", "clean", "--auto", "--quiet"]).process_group(0);
        command.args(given.config_file.iter().flat_map(|file| [OsStr::new("--config"), file.as_os_str()]));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        return Ok(());
    }
    let count = look.plan(false)?.orphaned_count();
    if count > 0 {
        let text = format!("{count} left behind by sessions that are over: see `session-sweep processes clean`");
        log::warn!("{text}");
        if look.settings.notify {
            notice::say(look.context, &text);
        }
    }
    Ok(())
}
