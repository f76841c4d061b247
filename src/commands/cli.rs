//! The command line's definition, from which help, completions and man pages come.

#![allow(clippy::doc_markdown, reason = "these comments are the help that people read in a terminal")]

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};

use super::{artifacts, processes, queues, registry};
use crate::config::Override;
use crate::context::Given;
use crate::policy::choices::{ActivitySource, MissingPolicy};
use crate::policy::duration::{Limit, parse_duration, parse_hours, parse_wait};
use crate::schedule::runs::StartedBy;

/// Keeps the left-behind state of AI coding CLIs tidy; every conversation stays resumable.
#[derive(Debug, Parser)]
#[command(name = "session-sweep", version, max_term_width = 100, propagate_version = false)]
#[command(after_help = "Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 another run holds the lock, \
    4 partial (something was refused or could not be looked at), 10 with --exit-code: there is work to do.")]
pub(crate) struct Cli {
    /// Print one JSON document instead of text
    #[arg(long, global = true, help_heading = "Global options")]
    pub(super) json: bool,
    /// When to colour [auto, always, never]
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        value_enum,
        help_heading = "Global options",
        hide_possible_values = true
    )]
    pub(super) color: Option<When>,
    /// Print nothing but errors
    #[arg(short, long, global = true, help_heading = "Global options")]
    pub(super) quiet: bool,
    /// Show more; twice: also what is done in between
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Global options")]
    pub(super) verbose: u8,
    /// Read this configuration instead of the usual ones
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Global options")]
    pub(super) config: Option<PathBuf>,
    /// Act as if it were this time (RFC 3339), for rehearsal
    #[arg(long, global = true, value_name = "TIME", value_parser = parse_time, help_heading = "Global options")]
    pub(super) at: Option<DateTime<Utc>>,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Do all that the configuration enables: what timers and cron run
    Sweep(Sweep),
    /// Do the same continuously, each area at its own interval, for systemd or by hand
    Daemon(Daemon),
    /// Remove idle mappings from a bridge's session map
    Prune(Prune),
    /// Tell a bridge how to go on with one chat
    Resolve(Resolve),
    /// Put one mapping into the map, or change it
    Record(Record),
    /// Put pruned mappings back
    Restore(Restore),
    /// Show what is there and what a sweep would do, read-only
    Audit(Audit),
    /// Keep the registry of numbered sessions true
    Registry(registry::arguments::Registry),
    /// Find processes that CLIs left behind, tell why, and end them safely
    Processes(processes::arguments::Processes),
    /// Keep an agent host's queues going: stuck messages, dead and orphaned containers
    Queues(queues::arguments::Queues),
    /// Show what sessions leave on the disk, prune it by kind, put archived transcripts back
    Artifacts(artifacts::arguments::Artifacts),
    /// Show when it runs, what the last run came to and who holds the lock, read-only
    Status,
    /// Find out what is wrong with this installation and what to do about it, read-only
    Doctor,
    /// Show audit, prune, resolve and restore on a small world made for it
    Demo,
    /// Show or check the configuration
    Config(Config),
    /// Print the completion script for a shell
    Completions(Completions),
    /// Print a man page, or write all of them
    Man(Man),
}

/// Which map.
#[derive(Debug, Args)]
pub(super) struct MapArgs {
    /// The folder of session_map.json [default: CLAUDE_SESSION_DIR, map.dir or /tmp/claude_sessions]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, conflicts_with = "map")]
    pub(super) dir: Option<PathBuf>,
    /// The map itself, whatever its name
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) map: Option<PathBuf>,
}

/// How to wait for another run.
#[derive(Debug, Args)]
pub(super) struct WaitArgs {
    /// How long to wait while another run holds the lock (never: do not wait) [default: 10s]
    #[arg(long, value_name = "DURATION", value_parser = parse_wait)]
    pub(super) wait: Option<Limit>,
}

/// The bridge itself.
#[derive(Debug, Args)]
pub(super) struct BridgeArgs {
    /// Where the bridge listens: its own list counts then, and it is asked to remove mappings [default: bridge.url]
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    pub(super) bridge_url: Option<String>,
}

/// What follows a prune.
#[derive(Debug, Args)]
pub(super) struct PostPruneArgs {
    /// Run this with `sh -c` after something was pruned, the report as JSON on its stdin [default: map.post_prune]
    #[arg(long, value_name = "COMMAND", value_hint = ValueHint::CommandString)]
    pub(super) post_prune: Option<String>,
}

/// What counts as idle.
#[derive(Debug, Args)]
pub(super) struct IdleArgs {
    /// Prune what was not used for this long, such as 90m, 2h, 7d or never [default: 2h]
    #[arg(long, value_name = "DURATION", conflicts_with = "hours")]
    pub(super) idle: Option<Limit>,
    /// The same in hours
    #[arg(long, value_name = "HOURS", value_parser = parse_hours, allow_negative_numbers = true)]
    pub(super) hours: Option<std::time::Duration>,
    /// Look only at this model's chats; may be given several times
    #[arg(long, value_name = "NAME")]
    pub(super) model: Vec<String>,
    /// What to do with mappings whose transcript is gone: keep, prune or after:DURATION [default: after:24h]
    #[arg(long, value_name = "POLICY")]
    pub(super) missing: Option<MissingPolicy>,
    /// Where last activity is taken from: mtime or content [default: mtime]
    #[arg(long, value_name = "SOURCE")]
    pub(super) activity: Option<ActivitySource>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Transcripts are never touched. What is pruned can be put back with `session-sweep restore`, and \
    `session-sweep resolve` tells a bridge how to go on with it."
)]
pub(super) struct Prune {
    #[command(flatten)]
    pub(super) map: MapArgs,
    /// Show what would be done and why; write nothing
    #[arg(short = 'n', long)]
    pub(super) dry_run: bool,
    #[command(flatten)]
    pub(super) idle: IdleArgs,
    /// Accepted for scripts: prune asks nothing, since it can be undone
    #[arg(short, long)]
    pub(super) yes: bool,
    /// With --dry-run: exit 10 when there is something to prune
    #[arg(long, requires = "dry_run")]
    pub(super) exit_code: bool,
    /// Exit 0 without a word when there is no map
    #[arg(long)]
    pub(super) quiet_if_missing: bool,
    #[command(flatten)]
    pub(super) bridge: BridgeArgs,
    #[command(flatten)]
    pub(super) afterwards: PostPruneArgs,
    #[command(flatten)]
    pub(super) wait: WaitArgs,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Everything it does is set in the configuration; `session-sweep config show` tells how. A session map \
    that is not there is nothing to do."
)]
pub(super) struct Sweep {
    /// Show what would be done and why; write nothing
    #[arg(short = 'n', long)]
    pub(super) dry_run: bool,
    /// Accepted for scripts: nothing is asked that could be said yes to
    #[arg(short, long)]
    pub(super) yes: bool,
    /// With --dry-run: exit 10 when there is something to do
    #[arg(long, requires = "dry_run")]
    pub(super) exit_code: bool,
    /// Who started this run, for the run log: hand, timer or cron
    #[arg(long, value_name = "WHO", value_enum, default_value = "hand", hide_possible_values = true)]
    pub(super) started_by: StartedBy,
    #[command(flatten)]
    pub(super) bridge: BridgeArgs,
    #[command(flatten)]
    pub(super) afterwards: PostPruneArgs,
    #[command(flatten)]
    pub(super) wait: WaitArgs,
}

#[derive(Debug, Args)]
#[command(
    after_help = "How often each area is looked at is set in the configuration: daemon.map, daemon.processes, daemon.queues, \
    daemon.artifacts. SIGTERM ends it after the current item, SIGHUP reads the configuration again and keeps the one before \
    where the new one is wrong or gone, SIGUSR1 runs every area now. It shares a lock with `session-sweep sweep`, so both never \
    run at once; there is one daemon for a state folder. It tells systemd by sd_notify how it goes."
)]
pub(super) struct Daemon {
    /// Write metrics here after each tick, as OpenMetrics text; no other file is replaced [default: daemon.metrics_file]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) metrics_file: Option<PathBuf>,
}

/// One chat.
#[derive(Debug, Args)]
pub(super) struct ChatArgs {
    /// The model the chat is filed under
    #[arg(long, value_name = "MODEL", allow_hyphen_values = true)]
    pub(super) model: String,
    /// The chat's id
    #[arg(long, value_name = "CHAT", allow_hyphen_values = true)]
    pub(super) chat: String,
}

#[derive(Debug, Args)]
#[command(
    after_help = "The answer is always JSON: state (mapped, pruned, gone, unknown), advice (resume, replay), session, \
    provider, cwd, transcript, and command, in whose last element {prompt} stands for the user's message."
)]
pub(super) struct Resolve {
    #[command(flatten)]
    pub(super) map: MapArgs,
    #[command(flatten)]
    pub(super) chat: ChatArgs,
}

#[derive(Debug, Args)]
pub(super) struct Record {
    #[command(flatten)]
    pub(super) map: MapArgs,
    #[command(flatten)]
    pub(super) chat: ChatArgs,
    /// The CLI's session id
    #[arg(long, value_name = "SESSION", allow_hyphen_values = true)]
    pub(super) session: String,
    /// The folder the session works in; kept where the map's entries have a place for it
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(super) cwd: Option<PathBuf>,
    #[command(flatten)]
    pub(super) wait: WaitArgs,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("which").required(true).multiple(true).args(["chat", "since", "all"]))]
pub(super) struct Restore {
    #[command(flatten)]
    pub(super) map: MapArgs,
    /// The model of the chat to put back
    #[arg(long, value_name = "MODEL", requires = "chat", allow_hyphen_values = true)]
    pub(super) model: Option<String>,
    /// The chat to put back
    #[arg(long, value_name = "CHAT", requires = "model", conflicts_with_all = ["since", "all"], allow_hyphen_values = true)]
    pub(super) chat: Option<String>,
    /// Put back what was pruned within this time
    #[arg(long, value_name = "DURATION", conflicts_with = "all", value_parser = parse_duration)]
    pub(super) since: Option<std::time::Duration>,
    /// Put back everything that has a tombstone
    #[arg(long)]
    pub(super) all: bool,
    /// Show what would be put back; write nothing
    #[arg(short = 'n', long)]
    pub(super) dry_run: bool,
    #[command(flatten)]
    pub(super) wait: WaitArgs,
}

#[derive(Debug, Args)]
pub(super) struct Audit {
    #[command(flatten)]
    pub(super) map: MapArgs,
    #[command(flatten)]
    pub(super) bridge: BridgeArgs,
    #[command(flatten)]
    pub(super) idle: IdleArgs,
}

#[derive(Debug, Args)]
pub(super) struct Config {
    #[command(subcommand)]
    pub(super) what: ConfigCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Print every setting's effective value
    Show {
        /// Also where each value came from
        #[arg(long)]
        origin: bool,
    },
    /// Report everything that is wrong in the configuration
    Check,
    /// Set one value in the user's file, or in the one that --config names
    Set {
        /// For instance map.idle
        #[arg(value_name = "KEY")]
        key: String,
        /// The value; several for a list
        #[arg(value_name = "VALUE", required = true)]
        values: Vec<String>,
    },
}

#[derive(Debug, Args)]
pub(super) struct Completions {
    /// Which shell
    #[arg(value_enum)]
    pub(super) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(super) struct Man {
    /// The command whose page is printed [default: session-sweep itself]
    #[arg(value_name = "COMMAND")]
    pub(super) page: Vec<String>,
    /// Write the pages of all commands into this folder instead
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, conflicts_with = "page")]
    pub(super) out: Option<PathBuf>,
}

/// When to colour.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum When {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Cli {
    /// What this command line says to every command.
    pub(super) fn given(&self) -> Given {
        let mut overrides = Vec::new();
        let color = self.color.map(|when| match when {
            When::Auto => "auto",
            When::Always => "always",
            When::Never => "never",
        });
        overrides.extend(color.map(|text| Override::text("output.color", text, "--color")));
        match &self.command {
            Command::Sweep(sweep) => {
                sweep.bridge.overrides(&mut overrides);
                sweep.afterwards.overrides(&mut overrides);
                sweep.wait.overrides("map.wait", &mut overrides);
                sweep.wait.overrides("registry.wait", &mut overrides);
            }
            Command::Daemon(daemon) => {
                let file = daemon.metrics_file.as_ref();
                let text =
                    |file: &PathBuf| Override::text("daemon.metrics_file", file.to_string_lossy(), "--metrics-file");
                overrides.extend(file.map(text));
            }
            Command::Prune(prune) => {
                prune.bridge.overrides(&mut overrides);
                prune.afterwards.overrides(&mut overrides);
                prune.map.overrides(&mut overrides);
                prune.idle.overrides(&mut overrides);
                prune.wait.overrides("map.wait", &mut overrides);
            }
            Command::Audit(audit) => {
                audit.map.overrides(&mut overrides);
                audit.bridge.overrides(&mut overrides);
                audit.idle.overrides(&mut overrides);
            }
            Command::Registry(registry) => registry.overrides(&mut overrides),
            Command::Processes(processes) => processes.overrides(&mut overrides),
            Command::Queues(queues) => queues.overrides(&mut overrides),
            Command::Artifacts(artifacts) => artifacts.overrides(&mut overrides),
            Command::Resolve(resolve) => resolve.map.overrides(&mut overrides),
            Command::Record(record) => {
                record.map.overrides(&mut overrides);
                record.wait.overrides("map.wait", &mut overrides);
            }
            Command::Restore(restore) => {
                restore.map.overrides(&mut overrides);
                restore.wait.overrides("map.wait", &mut overrides);
            }
            Command::Status
            | Command::Doctor
            | Command::Demo
            | Command::Config(_)
            | Command::Completions(_)
            | Command::Man(_) => {}
        }
        Given {
            config_file: self.config.clone(),
            at: self.at,
            overrides,
            json: self.json,
            quiet: self.quiet,
            verbose: self.verbose,
            color,
        }
    }
}

impl MapArgs {
    pub(super) fn overrides(&self, overrides: &mut Vec<Override>) {
        if let Some(dir) = &self.dir {
            overrides.push(Override::text("map.dir", dir.to_string_lossy(), "--dir"));
        }
    }
}

impl BridgeArgs {
    fn overrides(&self, overrides: &mut Vec<Override>) {
        overrides.extend(self.bridge_url.as_ref().map(|url| Override::text("bridge.url", url, "--bridge-url")));
    }
}

impl PostPruneArgs {
    fn overrides(&self, overrides: &mut Vec<Override>) {
        let command = self.post_prune.as_ref();
        overrides.extend(command.map(|command| Override::text("map.post_prune", command, "--post-prune")));
    }
}

impl WaitArgs {
    /// Sets `key`, for instance `map.wait`.
    pub(super) fn overrides(&self, key: &'static str, overrides: &mut Vec<Override>) {
        overrides.extend(self.wait.map(|wait| Override::text(key, wait.to_string(), "--wait")));
    }
}

impl IdleArgs {
    fn overrides(&self, overrides: &mut Vec<Override>) {
        overrides.extend(self.idle.map(|idle| Override::text("map.idle", idle.to_string(), "--idle")));
        let hours = self.hours.map(|hours| Limit::After(hours).to_string());
        overrides.extend(hours.map(|hours| Override::text("map.idle", hours, "--hours")));
        overrides.extend(self.missing.map(|missing| Override::text("map.missing", missing.to_string(), "--missing")));
        let activity = self.activity.map(|activity| activity.to_string());
        overrides.extend(activity.map(|activity| Override::text("map.activity", activity, "--activity")));
        if !self.model.is_empty() {
            overrides.push(Override::list("map.models", self.model.clone(), "--model"));
        }
    }
}

fn parse_time(text: &str) -> Result<DateTime<Utc>, String> {
    DateTime::parse_from_rfc3339(text)
        .map(|time| time.to_utc())
        .map_err(|_| "write a time as RFC 3339, for example 2026-11-20T09:00:00Z".to_owned())
}
