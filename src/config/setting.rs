//! What can be set: one table for the files, the environment, `config show` and the documentation.

use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use anstream::ColorChoice;

use super::artifact_values::{keep_last, root_folders};
use super::queue_values::{busy, runtime, tries, wake_command, zone};
use crate::artifacts::kinds::{KINDS, Kind};
use crate::policy::bridge_url::BridgeUrl;
use crate::policy::byte_size::Budget;
use crate::policy::choices::{ActivitySource, CleanupMode, MissingPolicy, RuntimeChoice};
use crate::policy::duration::{InvalidDuration, Limit, parse_duration, parse_wait};
use crate::policy::queue::Thresholds;
use crate::providers::row::Provider;

/// Every setting, resolved.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The folder of the bridge's session map.
    pub(crate) map_dir: PathBuf,
    /// How long a session may be idle before its mapping is pruned.
    pub(crate) idle: Limit,
    /// What becomes of a mapping whose transcript is not there.
    pub(crate) missing: MissingPolicy,
    /// Where a session's last activity is taken from.
    pub(crate) activity: ActivitySource,
    /// How long a pruned mapping can be put back.
    pub(crate) tombstones: Limit,
    /// How long to wait for another run's lock; zero: not at all.
    pub(crate) wait: Duration,
    /// The model names to look at; empty: all.
    pub(crate) models: Vec<String>,
    /// What to run after mappings were pruned.
    pub(crate) post_prune: PostPrune,
    /// How the bridge itself is reached; `None` where only its file is known.
    pub(crate) bridge: BridgeSettings,
    /// The registry of numbered sessions.
    pub(crate) registry: RegistrySettings,
    /// Processes that CLIs left behind.
    pub(crate) processes: ProcessesSettings,
    /// Queues of an installation that no file names: what all of them have in common.
    pub(crate) queues: QueueSettings,
    /// What sessions leave on the disk.
    pub(crate) artifacts: ArtifactsSettings,
    /// How often the daemon looks at what.
    pub(crate) daemon: DaemonSettings,
    /// When output is coloured.
    pub(crate) color: ColorChoice,
    /// Every provider: the built-in ones, changed by and followed by the rows of the files.
    pub(crate) providers: Vec<Provider>,
}

/// A command that is run once after a prune that removed something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PostPrune {
    /// For `sh -c`; empty for none.
    pub(crate) command: String,
    /// How long it may take.
    pub(crate) limit: Duration,
}

/// The bridge's own door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BridgeSettings {
    /// Where it listens; `None`: it is not asked.
    pub(crate) url: Option<BridgeUrl>,
    /// The file whose content is sent as a bearer token.
    pub(crate) token_file: Option<PathBuf>,
    /// Whether a bridge on another machine may be asked.
    pub(crate) allow_remote: bool,
    /// How long the bridge may take to answer.
    pub(crate) timeout: Duration,
}

/// The registry of numbered sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RegistrySettings {
    /// The folder of `claude_sessions.json` and `heartbeats/`.
    pub(crate) base: PathBuf,
    /// Whether `sweep` and `audit` look at it.
    pub(crate) enabled: bool,
    /// How long a session may go without a sign of life.
    pub(crate) timeout: Limit,
    /// How old superseded heartbeats get.
    pub(crate) prune_heartbeats: Limit,
    /// How long to wait for another run's lock; zero: not at all.
    pub(crate) wait: Duration,
}

/// Processes that CLIs left behind, and the janitor's records of sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProcessesSettings {
    /// Whether `sweep` and `audit` look at processes.
    pub(crate) enabled: bool,
    /// The folder of the janitor's records; `None`: `sessions` in Claude Code's home.
    pub(crate) sessions: Option<PathBuf>,
    /// The janitor's list of its records; `None`: `registry.jsonl` among them. Only a variable of the janitor names it.
    pub(crate) registry: Option<PathBuf>,
    /// What stands in the place of `/` where processes are looked up.
    pub(crate) root: PathBuf,
    /// Younger processes and records are never cleaned up.
    pub(crate) min_age: Duration,
    /// How old the heartbeat of a tracked session gets before it counts as stale.
    pub(crate) stale: Duration,
    /// Signs of life closer together than this are not written.
    pub(crate) heartbeat_interval: Duration,
    /// How long a process has to end by itself before it is killed.
    pub(crate) grace: Duration,
    /// How long the records of completed sessions are kept.
    pub(crate) retention: Limit,
    /// How many processes one run ends at most.
    pub(crate) max: usize,
    /// Whether somebody is asked first.
    pub(crate) mode: CleanupMode,
    /// Whether a clean-up that is not told otherwise only shows.
    pub(crate) dry_run: bool,
    /// Whether the start of a session cleans up first.
    pub(crate) clean_on_start: bool,
    /// Whether the desktop is told when something was ended.
    pub(crate) notify: bool,
    /// Programs that adopt orphans besides process 1 and `systemd --user`.
    pub(crate) subreapers: Vec<String>,
}

/// The queues of one installation, its containers and its sweep.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct QueueSettings {
    /// How long after a sweep the next one is due.
    pub(crate) interval: Duration,
    /// How long a container may go without a heartbeat.
    pub(crate) ceiling: Duration,
    /// How old a claim gets, without a heartbeat behind it, before it is stuck.
    pub(crate) claim_stuck: Duration,
    /// How often a message is tried before it has failed.
    pub(crate) tries: u32,
    /// The first delay before a message is tried again; each further one is twice as long.
    pub(crate) backoff: Duration,
    /// How long to wait for a busy database, at most an hour; zero: not at all.
    pub(crate) wait: Duration,
    /// What runs the containers.
    pub(crate) runtime: RuntimeChoice,
    /// The zone in which recurrences are meant; `None`: the environment's, the installation's, then the machine's.
    pub(crate) zone: Option<crate::policy::zone::Tz>,
    /// Whether a sweep acts while the installation's own host runs.
    pub(crate) take_over: bool,
    /// How a session with due messages is woken.
    pub(crate) wake: WakeSettings,
}

impl QueueSettings {
    /// What containers and messages are judged by.
    pub(crate) const fn thresholds(&self) -> Thresholds {
        Thresholds {
            interval: self.interval,
            ceiling: self.ceiling,
            claim_stuck: self.claim_stuck,
            tries: self.tries,
            backoff: self.backoff,
        }
    }
}

/// What sessions leave on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ArtifactsSettings {
    /// Whether `sweep` and `audit` look at it.
    pub(crate) enabled: bool,
    /// How many of the newest transcripts of each project always stay.
    pub(crate) keep_last: usize,
    /// How old the entries of the archive get.
    pub(crate) archive_retention: Limit,
    /// Installations of an agent host besides those of `[[queues]]`.
    pub(crate) roots: Vec<PathBuf>,
    /// One for each of [`KINDS`].
    pub(crate) kinds: Vec<KindLimits>,
}

/// How much of one kind of artifact is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KindLimits {
    /// How old it gets.
    pub(crate) retention: Limit,
    /// How much of it there may be in one home.
    pub(crate) max_size: Budget,
}

/// The command that wakes a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WakeSettings {
    /// Program and arguments; empty: due messages are only reported.
    pub(crate) command: Vec<String>,
    /// How long it may take.
    pub(crate) limit: Duration,
}

/// The daemon: after how long each area has its next tick, and where its metrics go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DaemonSettings {
    /// The session map, and the registry where that is enabled.
    pub(crate) map: Limit,
    /// Processes, where these are enabled.
    pub(crate) processes: Limit,
    /// The queues of all roots.
    pub(crate) queues: Limit,
    /// Artifacts.
    pub(crate) artifacts: Limit,
    /// The file that metrics are written to; `None`: nowhere.
    pub(crate) metrics_file: Option<PathBuf>,
}

/// One setting. `section.name` in its key is `name` under `[section]` in a file, and `name` in each `[[queues]]` row
/// where that is the section; `queues.wake.name` is `name` in the row's table `wake`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    /// For instance `map.idle`.
    pub(crate) key: &'static str,
    /// A variable besides the one that follows from the key, which wins over it.
    other_variable: Option<&'static str>,
    /// The value when nobody sets it, as it would be written.
    pub(crate) default: &'static str,
    /// A right value, as it is written in a variable.
    pub(crate) example: &'static str,
    /// What it is for, in one line of Markdown.
    pub(crate) doc: &'static str,
    /// Its type, and where it goes.
    pub(super) store: Store,
}

/// The type of a setting, with the function that checks a value and puts it into [`Settings`].
#[derive(Debug, Clone, Copy)]
pub(super) enum Store {
    /// One text; the function says what is wrong with it.
    Text(fn(&mut Settings, &str) -> Result<(), String>),
    /// A path, in which `~` has been expanded.
    Path(fn(&mut Settings, PathBuf) -> Result<(), String>),
    /// A whole number, in a file bare or in quotes.
    Number(fn(&mut Settings, &str) -> Result<(), String>),
    /// A list of texts; comma-separated in the environment. Empty ones are left out.
    List(fn(&mut Settings, Vec<String>) -> Result<(), String>),
    /// A program and its arguments, written as a list is; an empty argument is one.
    Arguments(fn(&mut Settings, Vec<String>) -> Result<(), String>),
    /// `true` or `false`.
    Flag(fn(&mut Settings, bool)),
    /// How old artifacts of this row of [`KINDS`] get.
    Retention(usize),
    /// How much of them there may be.
    MaxSize(usize),
}

/// All settings, in the order in which they are shown.
pub(crate) static SETTINGS: LazyLock<Vec<Setting>> = LazyLock::new(|| {
    let mut settings = Vec::with_capacity(ROWS.len() + 2 * KINDS.len());
    for row in &ROWS {
        settings.push(*row);
        if row.key == LAST_BEFORE_KINDS {
            settings.extend(KINDS.iter().enumerate().flat_map(|(index, kind)| of_kind(index, kind)));
        }
    }
    settings
});

/// The rows of [`KINDS`] have their settings behind this one's.
const LAST_BEFORE_KINDS: &str = "artifacts.roots";

/// The two settings that every kind of artifact has.
fn of_kind(index: usize, kind: &Kind) -> [Setting; 2] {
    let row = |key, default, example, doc, store| Setting { key, other_variable: None, default, example, doc, store };
    let retention = Store::Retention(index);
    [
        row(kind.retention_key, kind.retention, "30d", kind.retention_doc, retention),
        row(kind.max_size_key, "unlimited", "10gb", kind.max_size_doc, Store::MaxSize(index)),
    ]
}

/// The settings that have a row each.
static ROWS: [Setting; 53] = [
    Setting {
        key: "map.dir",
        other_variable: Some("CLAUDE_SESSION_DIR"),
        default: "/tmp/claude_sessions",
        example: "/var/lib/bridge/sessions",
        doc: "Folder of the bridge's `session_map.json`; in a file absolute or below `~`.",
        store: Store::Path(|settings, path| {
            settings.map_dir = path;
            Ok(())
        }),
    },
    Setting {
        key: "map.idle",
        other_variable: None,
        default: "2h",
        example: "2h",
        doc: "How long a session may be idle before its mapping is pruned; `never` prunes no idle one.",
        store: Store::Text(|settings, text| limit(text).map(|limit| settings.idle = limit)),
    },
    Setting {
        key: "map.missing",
        other_variable: None,
        default: "after:24h",
        example: "after:24h",
        doc: "A mapping whose transcript is not there: `keep`, `prune`, or `after:` the time it must have been missing.",
        store: Store::Text(|settings, text| {
            text.parse::<MissingPolicy>()
                .map(|policy| settings.missing = policy)
                .map_err(|invalid| invalid.reason().to_owned())
        }),
    },
    Setting {
        key: "map.activity",
        other_variable: None,
        default: "mtime",
        example: "content",
        doc: "Last activity: `mtime` (the files' times) or `content` (the last dated record in the transcript).",
        store: Store::Text(|settings, text| {
            text.parse::<ActivitySource>()
                .map(|source| settings.activity = source)
                .map_err(|invalid| invalid.to_string())
        }),
    },
    Setting {
        key: "map.tombstones",
        other_variable: None,
        default: "90d",
        example: "90d",
        doc: "How long a pruned mapping is remembered, so that it can be put back; `never` forgets none.",
        store: Store::Text(|settings, text| limit(text).map(|limit| settings.tombstones = limit)),
    },
    Setting {
        key: "map.wait",
        other_variable: None,
        default: "10s",
        example: "10s",
        doc: "How long to wait while another run holds the map's lock; `never` does not wait.",
        store: Store::Text(|settings, text| wait(text).map(|wait| settings.wait = wait)),
    },
    Setting {
        key: "map.models",
        other_variable: None,
        default: "",
        example: "claude,codex",
        doc: "Model names to look at (a list; comma-separated in the environment); empty: all.",
        store: Store::List(|settings, list| {
            settings.models = list;
            Ok(())
        }),
    },
    Setting {
        key: "map.post_prune",
        other_variable: None,
        default: "",
        example: "systemctl --user reload bridge",
        doc: "A command for `sh -c`, run once after a prune that removed something, with the report as JSON on stdin.",
        store: Store::Text(|settings, text| {
            text.clone_into(&mut settings.post_prune.command);
            Ok(())
        }),
    },
    Setting {
        key: "map.post_prune_limit",
        other_variable: None,
        default: "30s",
        example: "30s",
        doc: "How long that command may take before it is ended.",
        store: Store::Text(|settings, text| duration(text).map(|limit| settings.post_prune.limit = limit)),
    },
    Setting {
        key: "bridge.url",
        other_variable: None,
        default: "",
        example: "http://127.0.0.1:8000",
        doc: "Where the bridge listens; then its own list of sessions counts, and it is asked to remove mappings.",
        store: Store::Text(|settings, text| {
            settings.bridge.url = (!text.is_empty()).then(|| text.parse()).transpose()?;
            Ok(())
        }),
    },
    Setting {
        key: "bridge.token_file",
        other_variable: None,
        default: "",
        example: "/etc/bridge/token",
        doc: "A file whose text is sent to the bridge as bearer token; in a file absolute or below `~`.",
        store: Store::Path(|settings, path| {
            settings.bridge.token_file = Some(path).filter(|path| !path.as_os_str().is_empty());
            Ok(())
        }),
    },
    Setting {
        key: "bridge.allow_remote",
        other_variable: None,
        default: "false",
        example: "true",
        doc: "Whether `bridge.url` may name another machine than this one.",
        store: Store::Flag(|settings, allow| settings.bridge.allow_remote = allow),
    },
    Setting {
        key: "bridge.timeout",
        other_variable: None,
        default: "2s",
        example: "2s",
        doc: "How long the bridge may take to accept a connection, and then to answer.",
        store: Store::Text(|settings, text| duration(text).map(|timeout| settings.bridge.timeout = timeout)),
    },
    Setting {
        key: "registry.base",
        other_variable: Some("SESSION_REGISTRY_DIR"),
        default: "$XDG_STATE_HOME/session-sweep/registry",
        example: "/srv/coordination",
        doc: "Folder of the registry of numbered sessions, `claude_sessions.json`; in a file absolute or below `~`.",
        store: Store::Path(|settings, path| {
            settings.registry.base = path;
            Ok(())
        }),
    },
    Setting {
        key: "registry.enabled",
        other_variable: None,
        default: "false",
        example: "true",
        doc: "Whether `sweep` and `audit` look at the registry, where its folder exists.",
        store: Store::Flag(|settings, enabled| settings.registry.enabled = enabled),
    },
    Setting {
        key: "registry.timeout",
        other_variable: None,
        default: "2h",
        example: "2h",
        doc: "How long a session may go without a heartbeat before it is marked inactive; `never` marks none.",
        store: Store::Text(|settings, text| limit(text).map(|limit| settings.registry.timeout = limit)),
    },
    Setting {
        key: "registry.prune_heartbeats",
        other_variable: None,
        default: "2d",
        example: "2d",
        doc: "How old heartbeats get that newer ones of their session supersede; `never` removes none.",
        store: Store::Text(|settings, text| limit(text).map(|limit| settings.registry.prune_heartbeats = limit)),
    },
    Setting {
        key: "registry.wait",
        other_variable: None,
        default: "10s",
        example: "10s",
        doc: "How long to wait while another run holds the registry's lock; `never` does not wait.",
        store: Store::Text(|settings, text| wait(text).map(|wait| settings.registry.wait = wait)),
    },
    Setting {
        key: "processes.enabled",
        other_variable: None,
        default: "false",
        example: "true",
        doc: "Whether `sweep` and `audit` look at processes that CLIs left behind.",
        store: Store::Flag(|settings, enabled| settings.processes.enabled = enabled),
    },
    Setting {
        key: "processes.sessions",
        other_variable: None,
        default: "",
        example: "~/.claude/sessions",
        doc: "Folder of the janitor's records of sessions, absolute; empty: `sessions` in Claude Code's home.",
        store: Store::Path(|settings, path| {
            let named = !path.as_os_str().is_empty();
            settings.processes.sessions = named.then(|| absolute(path)).transpose()?;
            Ok(())
        }),
    },
    Setting {
        key: "processes.root",
        other_variable: None,
        default: "/",
        example: "/",
        doc: "Where `proc`, `sys/fs/cgroup` and `run/systemd/sessions` are looked up, absolute; only processes that are the same in `/proc` are ever ended.",
        store: Store::Path(|settings, path| absolute(path).map(|root| settings.processes.root = root)),
    },
    Setting {
        key: "processes.min_age",
        other_variable: None,
        default: "10m",
        example: "10m",
        doc: "Processes and records that are younger than this are never cleaned up.",
        store: Store::Text(|settings, text| duration(text).map(|min_age| settings.processes.min_age = min_age)),
    },
    Setting {
        key: "processes.stale",
        other_variable: None,
        default: "5m",
        example: "5m",
        doc: "How old the heartbeat of a tracked session gets before it counts as stale.",
        store: Store::Text(|settings, text| duration(text).map(|stale| settings.processes.stale = stale)),
    },
    Setting {
        key: "processes.heartbeat_interval",
        other_variable: None,
        default: "1m",
        example: "1m",
        doc: "Signs of life of a session that are closer together than this are not written.",
        store: Store::Text(|settings, text| {
            duration(text).map(|heartbeat_interval| settings.processes.heartbeat_interval = heartbeat_interval)
        }),
    },
    Setting {
        key: "processes.grace",
        other_variable: None,
        default: "5s",
        example: "5s",
        doc: "How long a process has after SIGTERM before it gets SIGKILL.",
        store: Store::Text(|settings, text| duration(text).map(|grace| settings.processes.grace = grace)),
    },
    Setting {
        key: "processes.retention",
        other_variable: None,
        default: "7d",
        example: "7d",
        doc: "How long the records of completed sessions are kept; `never` removes none.",
        store: Store::Text(|settings, text| limit(text).map(|retention| settings.processes.retention = retention)),
    },
    Setting {
        key: "processes.max",
        other_variable: None,
        default: "20",
        example: "20",
        doc: "How many orphans one run ends at most, from 1 to 100000.",
        store: Store::Text(|settings, text| count(text).map(|max| settings.processes.max = max)),
    },
    Setting {
        key: "processes.mode",
        other_variable: None,
        default: "interactive",
        example: "auto",
        doc: "Whether orphans are ended only after a question (`interactive`) or without one (`auto`).",
        store: Store::Text(|settings, text| {
            text.parse::<CleanupMode>()
                .map(|mode| settings.processes.mode = mode)
                .map_err(|invalid| invalid.to_string())
        }),
    },
    Setting {
        key: "processes.dry_run",
        other_variable: None,
        default: "true",
        example: "false",
        doc: "Whether `processes clean` without a flag only shows what it would do.",
        store: Store::Flag(|settings, dry_run| settings.processes.dry_run = dry_run),
    },
    Setting {
        key: "processes.clean_on_start",
        other_variable: None,
        default: "false",
        example: "true",
        doc: "Whether `processes register`, at the start of a session, cleans up first.",
        store: Store::Flag(|settings, clean_on_start| settings.processes.clean_on_start = clean_on_start),
    },
    Setting {
        key: "processes.notify",
        other_variable: None,
        default: "true",
        example: "false",
        doc: "Whether a desktop notice tells that something was ended, where there is `notify-send`.",
        store: Store::Flag(|settings, notify| settings.processes.notify = notify),
    },
    Setting {
        key: "processes.subreapers",
        other_variable: None,
        default: "",
        example: "tini,/usr/bin/conmon",
        doc: "Programs (a name or an absolute path each) that adopt orphans, besides process 1 and `systemd --user`.",
        store: Store::List(|settings, list| {
            if let Some(program) = list.iter().find(|program| !program.starts_with('/') && program.contains('/')) {
                return Err(format!("{program:?} is neither a name nor an absolute path"));
            }
            settings.processes.subreapers = list;
            Ok(())
        }),
    },
    Setting {
        key: "queues.interval",
        other_variable: None,
        default: "60s",
        example: "60s",
        doc: "How long after a sweep of this root the next one is due.",
        store: Store::Text(|settings, text| duration(text).map(|interval| settings.queues.interval = interval)),
    },
    Setting {
        key: "queues.ceiling",
        other_variable: None,
        default: "30m",
        example: "45m",
        doc: "How long a container may go without a heartbeat before it counts as dead.",
        store: Store::Text(|settings, text| duration(text).map(|ceiling| settings.queues.ceiling = ceiling)),
    },
    Setting {
        key: "queues.claim_stuck",
        other_variable: None,
        default: "60s",
        example: "60s",
        doc: "How old a claimed message gets, without a heartbeat since, before it counts as stuck.",
        store: Store::Text(|settings, text| {
            duration(text).map(|claim_stuck| settings.queues.claim_stuck = claim_stuck)
        }),
    },
    Setting {
        key: "queues.tries",
        other_variable: None,
        default: "5",
        example: "5",
        doc: "How often a message is tried before it is failed, from 1 to 20.",
        store: Store::Number(|settings, text| tries(text).map(|tries| settings.queues.tries = tries)),
    },
    Setting {
        key: "queues.backoff",
        other_variable: None,
        default: "5s",
        example: "5s",
        doc: "Delay before a message is tried again; it doubles with each try.",
        store: Store::Text(|settings, text| duration(text).map(|backoff| settings.queues.backoff = backoff)),
    },
    Setting {
        key: "queues.wait",
        other_variable: None,
        default: "5s",
        example: "5s",
        doc: "How long to wait for a busy database, at most `1h`; `never` does not wait.",
        store: Store::Text(|settings, text| wait(text).and_then(busy).map(|wait| settings.queues.wait = wait)),
    },
    Setting {
        key: "queues.runtime",
        other_variable: None,
        default: "auto",
        example: "podman",
        doc: "Container runtime: `auto`, `docker`, `podman`, `container`, or an absolute path to one of these.",
        store: Store::Text(|settings, text| runtime(text).map(|runtime| settings.queues.runtime = runtime)),
    },
    Setting {
        key: "queues.zone",
        other_variable: None,
        default: "",
        example: "Europe/Berlin",
        doc: "IANA time zone of recurrences; empty: `TZ` of the environment, then of the root's `.env`, then the machine's.",
        store: Store::Text(|settings, text| zone(text).map(|zone| settings.queues.zone = zone)),
    },
    Setting {
        key: "queues.take_over",
        other_variable: None,
        default: "false",
        example: "true",
        doc: "Whether a sweep also acts while the installation's own host runs; otherwise it only reports then.",
        store: Store::Flag(|settings, take_over| settings.queues.take_over = take_over),
    },
    Setting {
        key: "queues.wake.command",
        other_variable: None,
        default: "",
        example: "/usr/local/bin/wake",
        doc: "Program (a name or an absolute path) and arguments, run with session and group for a session with due messages; empty: these are only reported.",
        store: Store::Arguments(|settings, list| {
            wake_command(list).map(|command| settings.queues.wake.command = command)
        }),
    },
    Setting {
        key: "queues.wake.limit",
        other_variable: None,
        default: "30s",
        example: "20s",
        doc: "How long that command may take before it is ended.",
        store: Store::Text(|settings, text| duration(text).map(|limit| settings.queues.wake.limit = limit)),
    },
    Setting {
        key: "artifacts.enabled",
        other_variable: None,
        default: "false",
        example: "true",
        doc: "Whether `sweep` and `audit` look at what sessions left on the disk, and `sweep` prunes it.",
        store: Store::Flag(|settings, enabled| settings.artifacts.enabled = enabled),
    },
    Setting {
        key: "artifacts.keep_last",
        other_variable: None,
        default: "10",
        example: "10",
        doc: "How many of the newest transcripts of each project always stay, from 1 to 100000.",
        store: Store::Number(|settings, text| keep_last(text).map(|number| settings.artifacts.keep_last = number)),
    },
    Setting {
        key: "artifacts.archive_retention",
        other_variable: None,
        default: "never",
        example: "365d",
        doc: "How long archived transcripts are kept; `never` removes none.",
        store: Store::Text(|settings, text| limit(text).map(|limit| settings.artifacts.archive_retention = limit)),
    },
    Setting {
        key: "artifacts.roots",
        other_variable: None,
        default: "",
        example: "/srv/nanoclaw",
        doc: "Installations of an agent host besides those of `[[queues]]` (absolute folders).",
        store: Store::List(|settings, list| root_folders(list).map(|roots| settings.artifacts.roots = roots)),
    },
    Setting {
        key: "daemon.map",
        other_variable: None,
        default: "5m",
        example: "10m",
        doc: "How often the daemon looks at the session map, and at the registry where that is enabled; `never` switches both off there.",
        store: Store::Text(|settings, text| limit(text).map(|interval| settings.daemon.map = interval)),
    },
    Setting {
        key: "daemon.processes",
        other_variable: None,
        default: "5m",
        example: "10m",
        doc: "How often the daemon looks at processes, where these are enabled; `never`: not at all.",
        store: Store::Text(|settings, text| limit(text).map(|interval| settings.daemon.processes = interval)),
    },
    Setting {
        key: "daemon.queues",
        other_variable: None,
        default: "60s",
        example: "60s",
        doc: "How often the daemon sweeps the queues of all roots; `never`: not at all.",
        store: Store::Text(|settings, text| limit(text).map(|interval| settings.daemon.queues = interval)),
    },
    Setting {
        key: "daemon.artifacts",
        other_variable: None,
        default: "1d",
        example: "7d",
        doc: "How often the daemon looks at artifacts, where these are enabled; `never`: not at all.",
        store: Store::Text(|settings, text| limit(text).map(|interval| settings.daemon.artifacts = interval)),
    },
    Setting {
        key: "daemon.metrics_file",
        other_variable: None,
        default: "",
        example: "/var/lib/prometheus/node-exporter/session-sweep.prom",
        doc: "The file to which the daemon writes its metrics after each tick; in a file absolute or below `~`; empty: none.",
        store: Store::Path(|settings, path| {
            settings.daemon.metrics_file = Some(path).filter(|path| !path.as_os_str().is_empty());
            Ok(())
        }),
    },
    Setting {
        key: "output.color",
        other_variable: None,
        default: "auto",
        example: "never",
        doc: "`auto` (on a terminal, unless `NO_COLOR` is set), `always` or `never`. What goes to stderr heeds `--color` alone.",
        store: Store::Text(|settings, text| {
            settings.color = match text {
                "auto" => ColorChoice::Auto,
                "always" => ColorChoice::Always,
                "never" => ColorChoice::Never,
                _ => return Err("known are auto, always and never".to_owned()),
            };
            Ok(())
        }),
    },
];

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|invalid: InvalidDuration| invalid.reason().to_owned())
}

fn wait(text: &str) -> Result<Duration, String> {
    let limit = parse_wait(text).map_err(|invalid| invalid.reason().to_owned())?;
    Ok(limit.duration().unwrap_or(Duration::ZERO))
}

fn absolute(path: PathBuf) -> Result<PathBuf, String> {
    if path.is_absolute() { Ok(path) } else { Err(format!("{:?} is not an absolute path", path.to_string_lossy())) }
}

fn count(text: &str) -> Result<usize, String> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let count = text.parse().ok().filter(|count| is_number && (1..=100_000).contains(count));
    count.ok_or_else(|| "not a whole number from 1 to 100000".to_owned())
}

fn limit(text: &str) -> Result<Limit, String> {
    text.parse().map_err(|invalid: InvalidDuration| invalid.reason().to_owned())
}

impl Settings {
    /// Nothing chosen yet: every value the one that does least. The defaults are stored over it.
    pub(super) fn unset(providers: Vec<Provider>) -> Self {
        Self {
            map_dir: PathBuf::new(),
            idle: Limit::Never,
            missing: MissingPolicy::Keep,
            activity: ActivitySource::Mtime,
            tombstones: Limit::Never,
            wait: Duration::ZERO,
            models: Vec::new(),
            post_prune: PostPrune { command: String::new(), limit: Duration::ZERO },
            bridge: BridgeSettings { url: None, token_file: None, allow_remote: false, timeout: Duration::ZERO },
            registry: RegistrySettings {
                base: PathBuf::new(),
                enabled: false,
                timeout: Limit::Never,
                prune_heartbeats: Limit::Never,
                wait: Duration::ZERO,
            },
            processes: ProcessesSettings {
                enabled: false,
                sessions: None,
                registry: None,
                root: PathBuf::new(),
                min_age: Duration::ZERO,
                stale: Duration::ZERO,
                heartbeat_interval: Duration::ZERO,
                grace: Duration::ZERO,
                retention: Limit::Never,
                max: 0,
                mode: CleanupMode::Interactive,
                dry_run: true,
                clean_on_start: false,
                notify: false,
                subreapers: Vec::new(),
            },
            queues: QueueSettings {
                interval: Duration::ZERO,
                ceiling: Duration::ZERO,
                claim_stuck: Duration::ZERO,
                tries: 0,
                backoff: Duration::ZERO,
                wait: Duration::ZERO,
                runtime: RuntimeChoice::Auto,
                zone: None,
                take_over: false,
                wake: WakeSettings { command: Vec::new(), limit: Duration::ZERO },
            },
            artifacts: ArtifactsSettings {
                enabled: false,
                keep_last: usize::MAX,
                archive_retention: Limit::Never,
                roots: Vec::new(),
                kinds: vec![KindLimits { retention: Limit::Never, max_size: Budget::Unlimited }; KINDS.len()],
            },
            daemon: DaemonSettings {
                map: Limit::Never,
                processes: Limit::Never,
                queues: Limit::Never,
                artifacts: Limit::Never,
                metrics_file: None,
            },
            color: ColorChoice::Never,
            providers,
        }
    }
}

impl Setting {
    /// The setting of this key.
    pub(crate) fn find(key: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.key == key)
    }

    /// What stands first in a file: `map` of `map.idle`, `queues` of `queues.wake.limit`.
    pub(super) fn section(&self) -> &'static str {
        self.key.split_once('.').map_or(self.key, |(section, _)| section)
    }

    /// The table that holds it: `map` of `map.idle`, `queues.wake` of `queues.wake.limit`.
    pub(super) fn table(&self) -> &'static str {
        self.key.rsplit_once('.').map_or(self.key, |(table, _)| table)
    }

    /// The key in that table: `idle` of `map.idle`, `limit` of `queues.wake.limit`.
    pub(super) fn name(&self) -> &'static str {
        self.key.rsplit_once('.').map_or(self.key, |(_, name)| name)
    }

    /// Whether a file gives it in the rows of roots, each its own.
    pub(super) fn is_of_row(&self) -> bool {
        self.section() == QUEUES
    }

    /// How that table begins in a file.
    pub(super) fn heading(&self) -> String {
        let table = self.table();
        if table == QUEUES { format!("[[{table}]]") } else { format!("[{table}]") }
    }

    /// A right line in a file, below the table's heading.
    pub(super) fn example_line(&self) -> String {
        let name = self.name();
        match self.store {
            Store::Text(_) | Store::Path(_) | Store::Retention(_) | Store::MaxSize(_) => {
                format!("{name} = {:?}", self.example)
            }
            Store::Flag(_) | Store::Number(_) => format!("{name} = {}", self.example),
            Store::List(_) | Store::Arguments(_) => {
                format!("{name} = {:?}", self.example.split(',').collect::<Vec<_>>())
            }
        }
    }

    /// Its environment variables, the one that wins first.
    pub(crate) fn variables(&self) -> impl Iterator<Item = String> {
        let by_rule = format!("{VARIABLE_PREFIX}{}", self.key.replace('.', "_").to_ascii_uppercase());
        std::iter::once(by_rule).chain(self.other_variable.map(str::to_owned))
    }
}

/// The section whose tables are rows, one for each root.
pub(super) const QUEUES: &str = "queues";

/// What the environment variables of all settings begin with.
pub(super) const VARIABLE_PREFIX: &str = "SESSION_SWEEP_";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_follow_from_the_key() {
        let variables = |key| Setting::find(key).unwrap().variables().collect::<Vec<_>>();
        assert_eq!(variables("map.idle"), ["SESSION_SWEEP_MAP_IDLE"]);
        assert_eq!(variables("map.dir"), ["SESSION_SWEEP_MAP_DIR", "CLAUDE_SESSION_DIR"]);
        assert_eq!(variables("queues.wake.command"), ["SESSION_SWEEP_QUEUES_WAKE_COMMAND"]);
    }

    #[test]
    fn every_row_is_well_formed() {
        for setting in SETTINGS.iter() {
            assert_eq!(format!("{}.{}", setting.table(), setting.name()), setting.key);
            assert!(setting.key.split('.').all(|part| !part.is_empty()), "{}", setting.key);
            // Only rows and kinds of artifacts have tables of their own.
            let nested = setting.table().matches('.').count();
            let is_of_kind = matches!(setting.store, Store::Retention(_) | Store::MaxSize(_));
            let expected = if is_of_kind { 2 } else { usize::from(setting.is_of_row()) };
            assert!(nested == 0 || nested == expected, "{}", setting.key);
            assert!(setting.doc.ends_with('.') && !setting.doc.contains(['|', '\n']), "{}", setting.doc);
            assert_eq!(SETTINGS.iter().filter(|other| other.key == setting.key).count(), 1);
        }
        assert_eq!(SETTINGS.len(), ROWS.len() + 2 * KINDS.len());
    }
}
