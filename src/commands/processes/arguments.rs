//! The command line of `session-sweep processes`.

#![allow(clippy::doc_markdown, reason = "these comments are the help that people read in a terminal")]

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueHint};

use crate::config::Override;
use crate::policy::duration::{format_duration, parse_duration};

#[derive(Debug, Args)]
#[command(subcommand_help_heading = "Commands")]
pub(in crate::commands) struct Processes {
    #[command(subcommand)]
    pub(in crate::commands) command: ProcessesCommand,
}

#[derive(Debug, Subcommand)]
pub(in crate::commands) enum ProcessesCommand {
    /// Look for processes that CLIs left behind, read-only; exit 1 when there are some
    Scan(Scan),
    /// Show every session and process of the CLIs with its verdict and the reasons, read-only
    Report(Report),
    /// End what was left behind, and remove the records of sessions that are over
    Clean(Clean),
    /// For a CLI's SessionStart hook: note which process its session is
    Register(Hook),
    /// For any hook: note that the session lives
    Heartbeat(Hook),
    /// For a CLI's Stop hook, which fires after every turn: note that the session lives
    Stop(Hook),
    /// For a CLI's SessionEnd hook: note that the session has ended, and end what it left
    End(Hook),
}

#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 nothing was left behind, 1 something was, 2 wrong usage or configuration, 4 not all \
    could be looked at and nothing was found."
)]
pub(in crate::commands) struct Scan {}

#[derive(Debug, Args)]
pub(in crate::commands) struct Report {
    /// Show command lines and paths whole, which may hold secrets
    #[arg(long)]
    pub(super) full: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Without --execute and --auto it shows what it would do, unless processes.dry_run is false; then \
    processes.mode says whether it asks. Only what is proven to be left behind is ended: by its pidfd, SIGTERM first, with \
    all that it started."
)]
pub(in crate::commands) struct Clean {
    /// Show what would be done and why; end nothing. It beats the others
    #[arg(short = 'n', long)]
    pub(super) dry_run: bool,
    /// Show what would be done, ask, and do it
    #[arg(long)]
    pub(super) execute: bool,
    /// Do it without asking
    #[arg(long)]
    pub(super) auto: bool,
    /// With --execute: do not ask
    #[arg(short, long)]
    pub(super) yes: bool,
    /// End at most so many in one run, what they started not counted [default: 20]
    #[arg(long, value_name = "NUMBER")]
    pub(super) max: Option<u32>,
    /// How long a process gets to end after SIGTERM, before SIGKILL [default: 5s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(super) grace: Option<Duration>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "The CLI tells the hook of its session as JSON on stdin (session_id, cwd, transcript_path, reason). \
    The process that is noted is the CLI, the nearest one that started this. Exit codes: 0 done, 1 failed; never 2, by \
    which a hook would hold up its CLI."
)]
pub(in crate::commands) struct Hook {
    /// The session, where stdin does not tell it
    #[arg(long, value_name = "ID", allow_hyphen_values = true)]
    pub(super) session: Option<String>,
    /// The CLI's process, where it did not start this one
    #[arg(long, value_name = "PID")]
    pub(super) pid: Option<u32>,
    /// The folder that the session works in, where stdin does not tell it
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(super) cwd: Option<PathBuf>,
}

impl Processes {
    /// What the flags set of the settings.
    pub(in crate::commands) fn overrides(&self, overrides: &mut Vec<Override>) {
        let ProcessesCommand::Clean(clean) = &self.command else { return };
        overrides.extend(clean.max.map(|max| Override::text("processes.max", max.to_string(), "--max")));
        let grace = clean.grace.map(format_duration);
        overrides.extend(grace.map(|grace| Override::text("processes.grace", grace, "--grace")));
    }
}

/// Whether a command line is a hook's, whatever else is wrong with it: 2 would hold up the CLI that started it.
pub(in crate::commands) fn is_of_hook(arguments: &[std::ffi::OsString]) -> bool {
    let commands = ["scan", "report", "clean"];
    let hooks = ["register", "heartbeat", "stop", "end"];
    // Options may stand anywhere, and some have a value that is no command.
    let of_processes = arguments.iter().skip(1).skip_while(|word| *word != "processes").skip(1);
    let mut named = of_processes.filter_map(|word| word.to_str());
    named.find(|word| commands.contains(word) || hooks.contains(word)).is_some_and(|word| hooks.contains(&word))
}
