//! The command line of `session-sweep artifacts`.

#![allow(clippy::doc_markdown, reason = "these comments are the help that people read in a terminal")]

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

use crate::artifacts::kinds::{KINDS, row_named};
use crate::commands::cli::{MapArgs, WaitArgs};
use crate::config::{Override, nearest};

#[derive(Debug, Args)]
#[command(subcommand_help_heading = "Commands")]
pub(in crate::commands) struct Artifacts {
    #[command(subcommand)]
    pub(in crate::commands) command: ArtifactsCommand,
}

#[derive(Debug, Subcommand)]
pub(in crate::commands) enum ArtifactsCommand {
    /// Show what sessions left on the disk, by kind, and what the CLIs will delete themselves, read-only
    Report(Look),
    /// Remove what is past its retention or over its budget; transcripts go into the archive first
    Prune(Prune),
    /// Put an archived session back where it was, or list the archive
    Restore(Restore),
}

/// Where to look.
#[derive(Debug, Args)]
pub(in crate::commands) struct Look {
    /// An agent host's folder, besides the configured ones; may be given several times
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(super) root: Vec<PathBuf>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Transcripts stay unless artifacts.PROVIDER.transcripts.retention or .max_size is set; then they are archived, \
    read back and compared before they go, and `session-sweep artifacts restore` puts them back. Nothing goes that a running \
    session, a mapping or an agent host still names."
)]
pub(in crate::commands) struct Prune {
    #[command(flatten)]
    pub(super) look: Look,
    /// Show what would be done and why; write nothing
    #[arg(short = 'n', long)]
    pub(super) dry_run: bool,
    /// Only this kind, such as claude.debug; may be given several times
    #[arg(long, value_name = "KIND", value_parser = parse_kind)]
    pub(super) kind: Vec<usize>,
    /// Do it without asking
    #[arg(short, long)]
    pub(super) yes: bool,
    /// Do it even where more than half of all transcripts would go
    #[arg(long, conflicts_with = "migrate_v1")]
    pub(super) yes_most: bool,
    /// Remove instead what nanoclaw's migration from v1 left twice of sessions, where the copy is proven whole
    #[arg(long, conflicts_with = "kind")]
    pub(super) migrate_v1: bool,
    /// With --dry-run: exit 10 when there is something to do
    #[arg(long, requires = "dry_run")]
    pub(super) exit_code: bool,
    #[command(flatten)]
    pub(super) map: MapArgs,
    #[command(flatten)]
    pub(super) wait: WaitArgs,
}

#[derive(Debug, Args)]
pub(in crate::commands) struct Restore {
    /// The session's id or its beginning, or an entry's name; none: list the archive
    #[arg(value_name = "ID")]
    pub(super) id: Option<String>,
    #[command(flatten)]
    pub(super) wait: WaitArgs,
}

impl Artifacts {
    /// What the flags set of the settings.
    pub(in crate::commands) fn overrides(&self, overrides: &mut Vec<Override>) {
        match &self.command {
            ArtifactsCommand::Report(_) => {}
            ArtifactsCommand::Prune(prune) => {
                prune.map.overrides(overrides);
                prune.wait.overrides("map.wait", overrides);
            }
            ArtifactsCommand::Restore(restore) => restore.wait.overrides("map.wait", overrides),
        }
    }
}

fn parse_kind(text: &str) -> Result<usize, String> {
    row_named(text).ok_or_else(|| {
        let known: Vec<String> = KINDS.iter().map(|kind| format!("{}.{}", kind.provider, kind.name)).collect();
        match nearest(text, known.iter().map(String::as_str)) {
            Some(meant) => format!("did you mean {meant}?"),
            None => format!("known are {}", known.join(", ")),
        }
    })
}
