//! `session-sweep daemon`: every enabled area at its own interval, until somebody ends it.

mod areas;
mod figures;
mod patience;
mod places;
mod said;
mod tick;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;
use chrono::{DateTime, SecondsFormat, Utc};

use super::run_log::log_run;
use super::{UsageError, sweep_lock};
use crate::allocator;
use crate::config::{self, Environment};
use crate::context::{Context, Given, clock};
use crate::daemon::{Ending, Notifier, Signals, Tally, Timetable, Waiter, Watchdog, notify};
use crate::exit::ExitStatus;
use crate::filesystem::proc::Proc;
use crate::filesystem::{Lock, LockError, LockPolicy, make_folder};
use crate::output::escape::Escaped;
use crate::output::metrics::MetricsView;
use crate::providers::builtin;
use crate::schedule::runs::StartedBy;
use areas::AREAS;

pub(super) fn run(given: &Given, environment: Environment) -> Result<ExitStatus> {
    if given.at.is_some() {
        let why = "--at rehearses one instant, and a daemon goes with the time: rehearse with `session-sweep sweep --dry-run`";
        return Err(UsageError(why.to_owned()).into());
    }
    if given.json {
        let why = "--json has no document to show of a daemon: it tells by its log, --metrics-file and the run log";
        return Err(UsageError(why.to_owned()).into());
    }
    // What comes of ticks is told by the log alone.
    let given = Given { json: true, quiet: true, ..given.clone() };
    let context = Context::new(&given, environment.clone())?;
    if let Some(why) = metrics_refusal(&context) {
        return Err(UsageError(why).into());
    }
    make_folder(&context.dirs.state)?;
    let policy = LockPolicy { wait: None, ..context.lock(areas::PROGRAM) };
    let _only_one = Lock::take(&sweep_lock::of_daemon(&context.dirs.state), policy).map_err(only_one)?;
    let signals = Signals::listen()?;
    // A panic is told as everything else is; the tick that it ends is survived.
    std::panic::set_hook(Box::new(|panic| log::error!("{}", Escaped(&panic.to_string()))));
    let notifier = Notifier::to(environment.get("NOTIFY_SOCKET"));
    let period = notify::watchdog(environment.get("WATCHDOG_USEC"), environment.get("WATCHDOG_PID"));
    Daemon::new(given, environment, context, &notifier, Watchdog::new(&notifier, period))?.serve(&signals)?;
    Ok(ExitStatus::Done)
}

/// How long a tick waits for an area's lock, which a bridge or a person may have for a moment: a tick later is as good.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// The areas that are looked after by this configuration.
pub(super) fn areas_on(context: &Context) -> Vec<&'static str> {
    let areas = AREAS.iter().zip(areas::intervals(context));
    areas.filter_map(|(area, interval)| interval.map(|_| area.name)).collect()
}

/// What goes on from tick to tick.
struct Daemon<'n> {
    given: Given,
    environment: Environment,
    /// Of the configuration that was last read and found right.
    context: Context,
    config_is_right: bool,
    /// Where that stands.
    files: Vec<PathBuf>,
    timetable: Timetable,
    /// Beside [`AREAS`].
    tallies: Vec<Tally>,
    /// The last tick, in words.
    last: Option<String>,
    metrics: figures::MetricsFile,
    waiter: Waiter,
    notifier: &'n Notifier,
    watchdog: Watchdog<'n>,
    started: DateTime<Utc>,
}

impl<'n> Daemon<'n> {
    fn new(
        given: Given,
        environment: Environment,
        context: Context,
        notifier: &'n Notifier,
        watchdog: Watchdog<'n>,
    ) -> Result<Self> {
        Ok(Self {
            timetable: Timetable::new(&areas::intervals(&context), Proc::since_boot()),
            tallies: vec![Tally::default(); AREAS.len()],
            last: None,
            metrics: figures::MetricsFile::default(),
            waiter: Waiter::new()?,
            started: context.started,
            files: files(&given, &context),
            config_is_right: true,
            given,
            environment,
            context,
            notifier,
            watchdog,
        })
    }

    /// Ticks until it is asked to end.
    fn serve(&mut self, signals: &Signals) -> Result<()> {
        self.metrics.go_on_at(self.context.config.settings.daemon.metrics_file.as_deref());
        self.say_what_is_on();
        self.write_metrics();
        self.tell_people();
        self.notifier.tell("READY=1");
        while !signals.is_to_end() {
            if signals.is_to_reload() {
                self.reload();
            }
            if signals.is_to_run_all() {
                self.timetable.all_at(Proc::since_boot());
            }
            if let Some(area) = self.timetable.due(Proc::since_boot()) {
                self.tick(area);
                self.tell_people();
            } else {
                let next = self.timetable.next().map(|(_, next)| next);
                self.waiter.wait(next, self.watchdog.interval(), signals)?;
            }
            self.watchdog.is_alive();
        }
        self.notifier.tell("STOPPING=1\nSTATUS=ending");
        log::info!("ended as asked");
        Ok(())
    }

    /// One tick of an area, with an instant of its own.
    fn tick(&mut self, number: usize) {
        let (area, began, clocked) = (&AREAS[number], Proc::since_boot(), Instant::now());
        let mut config = self.context.config.clone();
        for wait in [&mut config.settings.wait, &mut config.settings.registry.wait] {
            *wait = LONGEST_WAIT.min(*wait);
        }
        let context = Context::with(config, self.context.dirs.clone(), self.environment.clone(), &self.given);
        let (tick, outcome) = self.watchdog.during(|| tick::tick(area, &context));
        let took = clocked.elapsed();
        if tick.ending == Ending::PutOff {
            self.timetable.put_off(number, Proc::since_boot());
        } else {
            self.timetable.ticked(number, began, Proc::since_boot());
        }
        let noted = self.tallies[number].add(&tick, context.now, took);
        let (level, line) = said::line(area.name, &tick, noted);
        log::log!(level, "{line}, {} ms", took.as_millis());
        if let Some(ticks) = noted.stuck {
            log::warn!("{}", said::stuck(area.name, ticks, &tick));
        }
        if noted.is_new || tick.has_done() {
            log_run(&context.dirs.state, StartedBy::Daemon, context.started, took, Ok(&outcome));
        }
        self.last = Some(format!("{}: {}", area.name, said::in_short(&tick)));
        self.write_metrics();
        // What a tick looked at is not kept, and may be a hundred times what a daemon that waits needs.
        drop((tick, outcome, context));
        allocator::give_back();
    }

    /// Reads the configuration again. One that is wrong is refused as a whole, and the one before counts.
    fn reload(&mut self) {
        self.notifier.tell(&notify::reloading());
        match self.read_again() {
            Ok((context, files)) => {
                self.config_is_right = true;
                (self.context, self.files) = (context, files);
                self.metrics.go_on_at(self.context.config.settings.daemon.metrics_file.as_deref());
                self.timetable.change(&areas::intervals(&self.context), Proc::since_boot());
                log::info!("the configuration was read again");
                self.say_what_is_on();
            }
            Err(problems) => {
                self.config_is_right = false;
                for line in problems.lines() {
                    log::error!("{}", Escaped(line));
                }
                log::error!(
                    "the configuration is refused; the one before counts until it is right, and SIGHUP is sent again"
                );
            }
        }
        self.write_metrics();
        self.tell_people();
        self.notifier.tell("READY=1");
    }

    /// The configuration as it is now, with its files, or everything that is wrong with it.
    fn read_again(&self) -> Result<(Context, Vec<PathBuf>), String> {
        // An editor, or whatever brings the files here, may be half-way through: without them it would all be defaults.
        let gone: Vec<String> = self.files.iter().filter(|file| !has_text(file)).map(|file| missing(file)).collect();
        if !gone.is_empty() {
            return Err(gone.join("\n"));
        }
        let context = Context::new(&self.given, self.environment.clone()).map_err(|problems| problems.to_string())?;
        let files = files(&self.given, &context);
        metrics_refusal(&context).map_or(Ok((context, files)), Err)
    }

    /// Says how often what is looked at, and what the watchdog would take for a tick that hangs.
    fn say_what_is_on(&self) {
        let intervals = areas::intervals(&self.context);
        let on = AREAS.iter().zip(intervals).filter_map(|(area, interval)| {
            Some(format!("{} every {}", area.name, crate::policy::duration::format_duration(interval?)))
        });
        let on: Vec<String> = on.collect();
        match &on[..] {
            [] => log::warn!(
                "every area is switched off: nothing is done until the configuration is changed and SIGHUP sent"
            ),
            on => log::info!("looks after {}", on.join(", ")),
        }
        for line in patience::too_long(&self.context.config, self.watchdog.period()) {
            log::warn!("{line}");
        }
        let metrics = self.context.config.settings.daemon.metrics_file.as_deref().and_then(figures::uncollected);
        for line in metrics.into_iter().chain(places::unwritable(&self.context)) {
            log::warn!("{}", Escaped(&line));
        }
    }

    /// Tells people by the service manager what comes next and what came last.
    fn tell_people(&self) {
        let last = self.last.as_ref().map(|last| format!("; last: {last}")).unwrap_or_default();
        let next = match self.timetable.next() {
            Some((area, next)) => {
                // As a time of day: a text that is shown later would be wrong about seconds that are left.
                let at = clock() + next.saturating_sub(Proc::since_boot());
                format!("next: {} at {}", AREAS[area].name, at.to_rfc3339_opts(SecondsFormat::Secs, true))
            }
            None => "nothing is switched on".to_owned(),
        };
        let refused = if self.config_is_right { "" } else { "the configuration is refused, see the log; " };
        self.notifier.status(&format!("{refused}{next}{last}"));
    }

    fn write_metrics(&mut self) {
        let areas = AREAS.iter().zip(areas::intervals(&self.context)).zip(&self.tallies);
        let view = MetricsView {
            state: &self.context.dirs.state.to_string_lossy(),
            started: self.started,
            areas: areas.map(|((area, interval), tally)| (area.name, interval, tally)).collect(),
            config_is_right: self.config_is_right,
            config_read: self.context.started,
        };
        self.metrics.write(&view.text());
    }
}

/// Says of a lock that another daemon has what that means.
fn only_one(error: LockError) -> anyhow::Error {
    let is_held = matches!(error, LockError::Held { .. });
    let error = anyhow::Error::from(error);
    if is_held { error.context("there is one daemon for a state folder, see `session-sweep status`") } else { error }
}

/// Why metrics are not written where the configuration says.
fn metrics_refusal(context: &Context) -> Option<String> {
    context.config.settings.daemon.metrics_file.as_deref().and_then(figures::refusal)
}

/// The files that the configuration is read from, as far as they say something.
fn files(given: &Given, context: &Context) -> Vec<PathBuf> {
    let named = given.config_file.as_deref();
    let (files, _) = config::check(&context.dirs, &context.environment, named, builtin::rows());
    files.into_iter().map(|(path, _)| path).filter(|path| has_text(path)).collect()
}

fn has_text(path: &Path) -> bool {
    fs_err::metadata(path).is_ok_and(|metadata| metadata.len() > 0)
}

fn missing(path: &Path) -> String {
    let path = path.display();
    format!(
        "{path}: was there when it was read before, and is missing or empty; put it back, or restart the daemon without it"
    )
}
