//! What a CLI's hooks call: they note which process a session is, that it lives, and that it has ended.

use std::io::{IsTerminal as _, Read as _};
use std::time::Duration;

use anyhow::{Result, anyhow, bail};

use super::arguments::Hook;
use super::{Look, clean, seen};
use crate::context::{Context, Given};
use crate::exit::ExitStatus;
use crate::filesystem::LockPolicy;
use crate::filesystem::proc::Stat;
use crate::output::processes::{CleanView, HookView};
use crate::processes::hook::{HookInput, LARGEST, parse};
use crate::processes::records::{
    Beat, Ended, HeldRecords, ProcessMark, Record, RecordId, Registered, Registration, SessionProcess, Sign,
};
use crate::sweep::processes::apply::end_orphans;
use crate::sweep::processes::nearest_cli;
use crate::sweep::processes::plan::Plan;

/// A CLI does not wait for long: Claude Code 2.1.329 ends a plugin's `SessionEnd` hook after about 1.5 s.
const WAIT: Duration = Duration::from_secs(1);

/// Why a session ends while its CLI goes on with another one (Claude Code's `SessionEnd`).
const CLI_GOES_ON: [&str; 2] = ["clear", "resume"];

/// Which hook it is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Event {
    Register,
    /// By what name it was called.
    Heartbeat(&'static str),
    End,
}

pub(super) fn run(context: &Context, given: &Given, arguments: &Hook, event: Event) -> Result<ExitStatus> {
    let look = Look::new(context)?;
    let told = Told::by(context, arguments)?;
    let caller = Caller::of(&look, arguments)?;
    match event {
        Event::Register => register(&look, given, &told, &caller),
        Event::Heartbeat(command) => heartbeat(&look, &told, &caller, command),
        Event::End => end(&look, &told, &caller),
    }
}

/// What is known of the session.
struct Told {
    id: RecordId,
    working_dir: Option<String>,
    transcript_path: Option<String>,
    reason: Option<String>,
    /// Nobody but the environment says which session it is.
    is_inherited: bool,
}

impl Told {
    /// By flags, else by stdin, else by what the CLI tells what it starts.
    fn by(context: &Context, arguments: &Hook) -> Result<Self> {
        let input = match &arguments.session {
            Some(_) => None,
            None => read_input()?,
        };
        let variables = || context.catalogue.iter().flat_map(|row| &row.provider.processes.session_variables);
        let of_environment = || variables().find_map(|name| context.environment.get(name)?.to_str()).map(str::to_owned);
        let is_told = arguments.session.is_some() || input.as_ref().is_some_and(|input| input.session_id.is_some());
        let id = match (&arguments.session, input.as_ref().and_then(|input| input.session_id.clone())) {
            (Some(text), _) => RecordId::new(text)?,
            (None, Some(id)) => id,
            (None, None) => match of_environment() {
                Some(text) => RecordId::new(&text)?,
                None => bail!(
                    "which session? The CLI's hook says it as JSON on stdin (session_id); by hand say it with --session"
                ),
            },
        };
        let folder = arguments.cwd.as_ref().map(|folder| folder.to_string_lossy().into_owned());
        let input = input.unwrap_or_default();
        Ok(Self {
            id,
            working_dir: folder.or(input.cwd),
            transcript_path: input.transcript_path,
            reason: input.reason,
            is_inherited: !is_told,
        })
    }
}

/// What the CLI says on stdin; nothing where nobody says anything.
fn read_input() -> Result<Option<HookInput>> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        return Ok(None);
    }
    let mut text = Vec::new();
    stdin.lock().take(LARGEST + 1).read_to_end(&mut text)?;
    if text.trim_ascii().is_empty() { Ok(None) } else { Ok(Some(parse(&text)?)) }
}

/// The CLI that calls, where it can be found.
struct Caller {
    process: Option<SessionProcess>,
    provider: Option<String>,
}

impl Caller {
    fn of(look: &Look<'_>, arguments: &Hook) -> Result<Self> {
        let found = match arguments.pid {
            Some(pid) => {
                let stat = look.proc.stat(pid)?.filter(Stat::runs);
                let stat = stat.ok_or_else(|| anyhow!("there is no process {pid} that runs"))?;
                Some((stat, None))
            }
            None => nearest_cli(&look.proc, &look.context.catalogue, look.here.pid)
                .map(|(stat, provider)| (stat, Some(provider))),
        };
        let Some((stat, provider)) = found else { return Ok(Self { process: None, provider: None }) };
        let mark = look.here.boot_id.clone().map(|boot_id| ProcessMark {
            start_ticks: stat.start_ticks,
            boot_id,
            pid_namespace: look.here.namespace,
        });
        let process = SessionProcess { pid: stat.pid, parent: Some(stat.parent), mark };
        Ok(Self { process: Some(process), provider })
    }
}

fn hold<'l>(look: &'l Look<'_>) -> Result<HeldRecords<'l>> {
    let policy = LockPolicy { wait: Some(WAIT), ..look.context.lock("session-sweep processes") };
    Ok(look.records.lock(&look.records_lock(), policy)?)
}

/// The session's process must be known: a record without one tells nothing.
fn note(look: &Look<'_>, told: &Told, caller: &Caller, held: &HeldRecords<'_>) -> Result<Registered> {
    let Some(process) = &caller.process else {
        bail!("no AI CLI started this, so that it is not known which process the session is; say it with --pid");
    };
    Ok(held.register(&Registration {
        id: &told.id,
        process: Some(process),
        hostname: look.here.host.as_deref(),
        machine_id: look.here.machine_id.as_deref(),
        working_dir: told.working_dir.as_deref(),
        provider: caller.provider.as_deref(),
        transcript_path: told.transcript_path.as_deref(),
        now: look.context.now,
    })?)
}

fn register(look: &Look<'_>, given: &Given, told: &Told, caller: &Caller) -> Result<ExitStatus> {
    let registered = note(look, told, caller, &hold(look)?)?;
    let said = match registered {
        Registered::New => "registered",
        Registered::Replaced => "registered, in another process than before",
        Registered::Again => "registered before, and goes on",
    };
    show(look, told, caller, "processes register", said)?;
    if look.settings.clean_on_start {
        clean::at_start(look, given)?;
    }
    Ok(ExitStatus::Done)
}

fn heartbeat(look: &Look<'_>, told: &Told, caller: &Caller, command: &'static str) -> Result<ExitStatus> {
    let held = hold(look)?;
    let sign = Sign { id: &told.id, process: caller.process.as_ref(), now: look.context.now };
    let said = match held.beat(&sign, look.settings.heartbeat_interval)? {
        Beat::Written => "lives",
        Beat::Recent => "lives; its last sign of life is recent, and stays",
        Beat::Completed => "has ended, and stays so",
        // What was only inherited is the outer CLI's session.
        Beat::AnotherProcess if told.is_inherited => "is another process's; nothing was noted",
        Beat::Missing | Beat::AnotherProcess => {
            note(look, told, caller, &held)?;
            "lives, and is registered now"
        }
    };
    drop(held);
    show(look, told, caller, command, said)?;
    Ok(ExitStatus::Done)
}

/// The end is noted first: the CLI may not wait for more.
fn end(look: &Look<'_>, told: &Told, caller: &Caller) -> Result<ExitStatus> {
    let held = hold(look)?;
    let sign = Sign { id: &told.id, process: caller.process.as_ref(), now: look.context.now };
    let runs = |record: &Record| {
        let is_here = record.hostname.is_none() || record.hostname == look.here.host;
        match record.pid.map(|pid| look.proc.start_ticks(pid)) {
            // That of another machine, or one that cannot be looked at, may run.
            _ if !is_here => true,
            Some(Err(_)) => true,
            Some(Ok(Some(start))) => record.process.as_ref().is_none_or(|mark| start == mark.start_ticks),
            Some(Ok(None)) | None => false,
        }
    };
    let ended = held.end(&sign, told.reason.as_deref(), &runs)?;
    drop(held);
    let said = match ended {
        Ended::Written => "has ended",
        Ended::Already => "had ended before",
        Ended::Missing => "was not registered; nothing to note",
        Ended::AnotherProcess => "goes on in another process; nothing was noted",
    };
    show(look, told, caller, "processes end", said)?;
    let goes_on = told.reason.as_deref().is_some_and(|reason| CLI_GOES_ON.contains(&reason));
    if goes_on || !matches!(ended, Ended::Written | Ended::Already) {
        return Ok(ExitStatus::Done);
    }
    end_children(look, &told.id, caller)
}

/// Ends what a session left behind, and nothing of any other.
fn end_children(look: &Look<'_>, id: &RecordId, caller: &Caller) -> Result<ExitStatus> {
    clean::refuse_rehearsal(look.context)?;
    // Only the CLI itself says that it ends; where it has gone already its record shows that.
    let scene = look.scene(false, caller.process.as_ref().map(|_| id));
    let mut plan = seen(Plan::make(&scene))?;
    plan.processes.retain(|item| item.session() == Some(id.as_str()));
    if plan.orphans().next().is_none() {
        return Ok(ExitStatus::Done);
    }
    let applied = seen(end_orphans(&plan, &scene, look.settings.max, look.settings.grace))?;
    for failure in CleanView::failures(&applied) {
        log::warn!("{}", crate::output::escape::Escaped(&failure));
    }
    // What was left alone is the next clean-up's, and no failure of the hook.
    Ok(ExitStatus::Done)
}

fn show(look: &Look<'_>, told: &Told, caller: &Caller, command: &'static str, said: &str) -> Result<()> {
    let pid = caller.process.as_ref().map(|process| process.pid);
    let view = HookView { command, session: told.id.as_str(), pid, provider: caller.provider.as_deref(), said };
    Ok(look.context.output.show(&view)?)
}
