//! The command line of `session-sweep registry`.

#![allow(clippy::doc_markdown, reason = "these comments are the help that people read in a terminal")]

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand, ValueHint};

use crate::commands::cli::WaitArgs;
use crate::config::Override;
use crate::policy::duration::{Limit, parse_duration};
use crate::policy::session_number::SessionNumber;

#[derive(Debug, Args)]
#[command(subcommand_help_heading = "Commands")]
pub(in crate::commands) struct Registry {
    #[command(subcommand)]
    pub(in crate::commands) command: RegistryCommand,
}

#[derive(Debug, Subcommand)]
pub(in crate::commands) enum RegistryCommand {
    /// Show who works under which number and which numbers are free, read-only
    List(List),
    /// Enter a new session under a free number
    Register(Register),
    /// Say which session this terminal is: clean up, identify and beat in one go
    Identify(Identify),
    /// Give a sign of life of this terminal's session
    Heartbeat(Heartbeat),
    /// Mark the sessions inactive that gave no sign of life for two hours
    Cleanup(Cleanup),
    /// End one session now
    Release(Release),
}

/// Which registry.
#[derive(Debug, Args)]
pub(super) struct BaseArgs {
    /// The registry's folder [default: SESSION_REGISTRY_DIR, registry.base or
    /// ~/.local/state/session-sweep/registry]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    base: Option<PathBuf>,
}

/// When a session has ended.
#[derive(Debug, Args)]
pub(super) struct TimeoutArgs {
    /// Without a sign of life for this long a session has ended, such as 90m, 2h or never [default: 2h]
    #[arg(long, value_name = "DURATION", conflicts_with = "timeout_minutes")]
    timeout: Option<Limit>,
    /// The same in minutes
    #[arg(long, value_name = "MINUTES", value_parser = parse_minutes, allow_negative_numbers = true)]
    timeout_minutes: Option<Duration>,
}

#[derive(Debug, Args)]
pub(in crate::commands) struct List {
    #[command(flatten)]
    base: BaseArgs,
    #[command(flatten)]
    timeout: TimeoutArgs,
    /// Also show inactive sessions
    #[arg(short, long)]
    pub(super) all: bool,
}

#[derive(Debug, Args)]
#[command(
    override_usage = "session-sweep registry register [OPTIONS] NUMBER ROLE GOAL\n       \
    session-sweep registry register [OPTIONS] --next ROLE GOAL",
    after_help = "A number is free when nobody has it or its session is inactive; then what the registry holds of it \
    beside the fields given here stays. Any other status means that the number is taken."
)]
pub(in crate::commands) struct Register {
    /// The session's number, its role and its goal: any text, in quotes
    #[arg(value_name = "NUMBER ROLE GOAL", required = true, num_args = 1.., allow_negative_numbers = true)]
    pub(super) words: Vec<String>,
    /// Take the lowest free number
    #[arg(long)]
    pub(super) next: bool,
    /// The session's id [default: session-NUMBER]
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    pub(super) session_id: Option<String>,
    /// The terminal it is at [default: this one]
    #[arg(long, value_name = "TERMINAL", allow_hyphen_values = true)]
    pub(super) terminal: Option<String>,
    /// Do not clean up first
    #[arg(long)]
    pub(super) no_cleanup: bool,
    #[command(flatten)]
    base: BaseArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "The number is remembered for the terminal this is started at, for as long as that lasts: its \
    controlling terminal, told from later ones of the same name by the process that leads it. What an AI CLI starts has \
    none, or one for this command alone: it is known by the CLI's own session id (CLAUDE_CODE_SESSION_ID, \
    CODEX_THREAD_ID), else by the CLI's process, else by the terminal that the CLI runs in, else by the tmux pane \
    (TMUX_PANE). Where nothing is remembered, .session_identity of the original \
    scripts counts.\n\n\
    At a terminal it asks, unless a flag says what to do. Otherwise it cleans up, takes the remembered number, NUMBER or \
    --next, and asks nothing.")]
#[command(group = ArgGroup::new("which").args(["number", "next"]))]
pub(in crate::commands) struct Identify {
    /// The number this terminal is from now on
    #[arg(value_name = "NUMBER")]
    pub(super) number: Option<SessionNumber>,
    /// Take the lowest free number, unless one is remembered
    #[arg(long)]
    pub(super) next: bool,
    /// Take what is proposed, and a NUMBER also where it is active and nobody is known to have it
    #[arg(short, long)]
    pub(super) yes: bool,
    /// Do not clean up first
    #[arg(long, conflicts_with = "auto_cleanup")]
    pub(super) no_cleanup: bool,
    /// Clean up first without asking
    #[arg(long)]
    pub(super) auto_cleanup: bool,
    /// Only give a sign of life of the session this terminal is: no clean-up, no new number
    #[arg(long, conflicts_with_all = ["next", "auto_cleanup", "role", "goal"])]
    pub(super) heartbeat_only: bool,
    /// The role of a session that is new [default: unspecified]
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(super) role: Option<String>,
    /// The goal of a session that is new
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(super) goal: Option<String>,
    #[command(flatten)]
    base: BaseArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "A session that a clean-up has marked inactive becomes active again. With --every it goes on \
    until the process that started it or the terminal's session ends, the session is released, or until SIGTERM.")]
pub(in crate::commands) struct Heartbeat {
    /// What the heartbeat says of the session's status [default: the registry's]
    #[arg(long, value_name = "STATUS", allow_hyphen_values = true)]
    pub(super) status: Option<String>,
    /// What the session is working on
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(super) working_on: Option<String>,
    /// Beat again and again, for instance every 30m
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(super) every: Option<Duration>,
    /// Beat for this session, whatever terminal this is: for services
    #[arg(long, value_name = "NUMBER")]
    pub(super) number: Option<SessionNumber>,
    #[command(flatten)]
    base: BaseArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Signs of life are a session's heartbeats, last_heartbeat and registered_at. Only sessions whose \
    status is `active` are ever changed."
)]
pub(in crate::commands) struct Cleanup {
    /// Show what would be done and why; write nothing
    #[arg(short = 'n', long)]
    pub(super) dry_run: bool,
    #[command(flatten)]
    timeout: TimeoutArgs,
    /// Remove heartbeats this old that newer ones of their session supersede (never: keep all) [default: 2d]
    #[arg(long, value_name = "DURATION")]
    prune_heartbeats: Option<Limit>,
    /// Also when the clock was put forward and most sessions would go at once
    #[arg(long)]
    pub(super) force: bool,
    /// With --dry-run: exit 10 when there is something to do
    #[arg(long, requires = "dry_run")]
    pub(super) exit_code: bool,
    #[command(flatten)]
    base: BaseArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

#[derive(Debug, Args)]
pub(in crate::commands) struct Release {
    /// The session's number
    #[arg(value_name = "NUMBER")]
    pub(super) number: SessionNumber,
    #[command(flatten)]
    base: BaseArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

impl Registry {
    /// What the flags set of the settings.
    pub(in crate::commands) fn overrides(&self, overrides: &mut Vec<Override>) {
        let (base, wait, timeout) = match &self.command {
            RegistryCommand::List(list) => (&list.base, None, Some(&list.timeout)),
            RegistryCommand::Register(register) => (&register.base, Some(&register.wait), None),
            RegistryCommand::Identify(identify) => (&identify.base, Some(&identify.wait), None),
            RegistryCommand::Heartbeat(heartbeat) => (&heartbeat.base, Some(&heartbeat.wait), None),
            RegistryCommand::Cleanup(cleanup) => {
                let limit = cleanup.prune_heartbeats.map(|limit| limit.to_string());
                let flag = "--prune-heartbeats";
                overrides.extend(limit.map(|limit| Override::text("registry.prune_heartbeats", limit, flag)));
                (&cleanup.base, Some(&cleanup.wait), Some(&cleanup.timeout))
            }
            RegistryCommand::Release(release) => (&release.base, Some(&release.wait), None),
        };
        let base = base.base.as_ref().map(|base| base.to_string_lossy());
        overrides.extend(base.map(|base| Override::text("registry.base", base, "--base")));
        if let Some(wait) = wait {
            wait.overrides("registry.wait", overrides);
        }
        let Some(timeout) = timeout else { return };
        let limit = timeout.timeout.map(|limit| limit.to_string());
        overrides.extend(limit.map(|limit| Override::text("registry.timeout", limit, "--timeout")));
        let minutes = timeout.timeout_minutes.map(|minutes| Limit::After(minutes).to_string());
        overrides.extend(minutes.map(|minutes| Override::text("registry.timeout", minutes, "--timeout-minutes")));
    }
}

/// Whole minutes from 1 on. `010` may mean eight to a shell.
fn parse_minutes(text: &str) -> Result<Duration, String> {
    const MOST: u64 = 52_560_000;
    let minutes = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten();
    match minutes.filter(|minutes| (1..=MOST).contains(minutes) && !text.starts_with('0')) {
        Some(minutes) => Ok(Duration::from_secs(minutes * 60)),
        None => Err("give whole minutes from 1 on, such as 120, without leading zeros".to_owned()),
    }
}
