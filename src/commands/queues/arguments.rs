//! The command line of `session-sweep queues`.

#![allow(clippy::doc_markdown, reason = "these comments are the help that people read in a terminal")]

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

use crate::commands::cli::WaitArgs;
use crate::config::Override;

#[derive(Debug, Args)]
#[command(subcommand_help_heading = "Commands")]
pub(in crate::commands) struct Queues {
    #[command(subcommand)]
    pub(in crate::commands) command: QueuesCommand,
}

#[derive(Debug, Subcommand)]
pub(in crate::commands) enum QueuesCommand {
    /// Show every session's queue, container and heartbeat, and what a sweep would do, read-only
    Status(Look),
    /// Show the containers of an installation and whose they are, read-only
    Containers(Look),
    /// Stop dead and orphaned containers, put messages back, plan recurring tasks, wake what is due
    Sweep(Sweep),
}

/// Which installations.
#[derive(Debug, Args)]
pub(in crate::commands) struct Look {
    /// The agent host's folder, where data/v2.db is; may be given several times [default: every configured root]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(super) root: Vec<PathBuf>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "While the host itself runs, nothing is done but said, unless --take-over is given. Nothing is asked: no \
    message is lost by it, and a container is only stopped when it is proven silent or of no session."
)]
pub(in crate::commands) struct Sweep {
    #[command(flatten)]
    pub(super) look: Look,
    /// Show what would be done and why; write nothing
    #[arg(short = 'n', long)]
    pub(super) dry_run: bool,
    /// Do it even while the host itself runs, which does most of it too
    #[arg(long)]
    pub(super) take_over: bool,
    /// With --dry-run: exit 10 when there is something to do
    #[arg(long, requires = "dry_run")]
    pub(super) exit_code: bool,
    /// Accepted for scripts: nothing is asked that could be said yes to
    #[arg(short, long)]
    pub(super) yes: bool,
    #[command(flatten)]
    pub(super) wait: WaitArgs,
}

impl Queues {
    /// What the flags set of the settings.
    pub(in crate::commands) fn overrides(&self, overrides: &mut Vec<Override>) {
        let QueuesCommand::Sweep(sweep) = &self.command else { return };
        sweep.wait.overrides("map.wait", overrides);
        overrides.extend(sweep.take_over.then(|| Override::text("queues.take_over", "true", "--take-over")));
    }
}
