//! Who runs: the tool, the floor, `find`, `fd` and the original's way.

use std::ffi::OsString;
use std::process::Command;

use crate::common::options::Options;
use crate::common::program::{on_path, own, set_environment};
use crate::maps::{After, Map};
use crate::tree::Tree;

/// Longer ago than any idle session: with this threshold there is nothing to remove.
const NOTHING_IDLE_HOURS: f64 = 100.0 * 24.0;

/// The names of the contenders, as the tables show them.
pub(crate) mod name {
    /// The floor that does not write.
    pub(crate) const FLOOR_DRY: &str = "floor, dry";
    /// The floor that writes the map.
    pub(crate) const FLOOR: &str = "floor";
    /// The tool's preview.
    pub(crate) const DRY_RUN: &str = "prune --dry-run";
    /// The tool's run.
    pub(crate) const PRUNE: &str = "prune";
    /// The tool's run when all sessions are younger than the threshold.
    pub(crate) const NOTHING: &str = "prune, nothing idle";
    /// `find` over the stores.
    pub(crate) const FIND: &str = "find -mmin";
    /// `fd` over the stores.
    pub(crate) const FD: &str = "fd --changed-before";
    /// One glob per session.
    pub(crate) const ORIGINAL: &str = "original's way";
    /// The shortest run of the tool.
    pub(crate) const HELP: &str = "--help";
    /// One question to a map of 10,000.
    pub(crate) const RESOLVE: &str = "resolve";
}

/// One who runs.
pub(crate) struct Contender {
    /// The name in the table.
    pub(crate) name: &'static str,
    /// What it makes of the map.
    pub(crate) after: After,
    arguments: Vec<OsString>,
    /// The threshold is an argument, which depends on when it runs.
    threshold: Option<Threshold>,
}

/// How a contender takes the threshold, as its last argument.
enum Threshold {
    /// Hours of a tree's age and four.
    Hours,
    /// `find -mmin +N`.
    MinutesPlus,
    /// `fd --changed-before Nmin`.
    MinutesSuffix,
}

impl Contender {
    /// The command to run now.
    pub(crate) fn command(&self, tree: &Tree, map: &Map) -> Command {
        let mut command = Command::new(&self.arguments[0]);
        command.args(&self.arguments[1..]);
        let minutes = (tree.hours() * 60.0) as u64;
        match self.threshold {
            Some(Threshold::Hours) => command.arg(format!("{:.4}", tree.hours())),
            Some(Threshold::MinutesPlus) => command.arg(format!("+{minutes}")),
            Some(Threshold::MinutesSuffix) => command.arg(format!("{minutes}min")),
            None => &mut command,
        };
        set_environment(&mut command, &tree.home(), map.folder());
        command
    }
}

/// Everybody who runs on a tree's full map.
pub(crate) fn for_full_map(tree: &Tree, map: &Map, original: bool, options: &Options) -> Vec<Contender> {
    let mut contenders = on_any_map(tree, map, options);
    let nothing = tool(options, &["prune", "--yes", "--map"], &[map.path().as_os_str().into(), "--hours".into()]);
    let mut nothing = Contender::new(name::NOTHING, After::Untouched, nothing, None);
    nothing.arguments.push(NOTHING_IDLE_HOURS.to_string().into());
    contenders.push(nothing);
    contenders.push(Contender::new(name::HELP, After::Untouched, tool(options, &["--help"], &[]), None));

    let stores =
        [".claude/projects", ".gemini/tmp", ".codex/sessions"].map(|store| tree.home().join(store).into_os_string());
    if let Some(find) = on_path(&["find"]) {
        let mut arguments = vec![find];
        arguments.extend_from_slice(&stores);
        arguments.extend(["-type", "f", "-mmin"].map(OsString::from));
        contenders.push(Contender::new(name::FIND, After::Untouched, arguments, Some(Threshold::MinutesPlus)));
    }
    if let Some(fd) = on_path(&["fdfind", "fd"]) {
        let mut arguments = vec![fd];
        arguments.extend(["-u", "-t", "f", "-e", "jsonl", "-e", "json"].map(OsString::from));
        arguments.extend(stores.into_iter().flat_map(|store| ["--search-path".into(), store]));
        arguments.push("--changed-before".into());
        contenders.push(Contender::new(name::FD, After::Untouched, arguments, Some(Threshold::MinutesSuffix)));
    }
    if original {
        let arguments = own("original", [tree.home().into(), map.path().into()]);
        contenders.push(Contender::new(name::ORIGINAL, After::Pruned, arguments, Some(Threshold::Hours)));
    }
    contenders
}

/// The tool and the floor, with and without writing.
pub(crate) fn on_any_map(tree: &Tree, map: &Map, options: &Options) -> Vec<Contender> {
    let path = map.path().into_os_string();
    let floor = own("floor", [tree.home().into(), path.clone(), tree.cutoff().to_string().into()]);
    let dry_floor = floor.iter().cloned().chain(["--dry".into()]).collect();
    let prune = tool(options, &["prune", "--yes", "--map"], &[path.clone(), "--hours".into()]);
    let dry_run = tool(options, &["prune", "--dry-run", "--map"], &[path, "--hours".into()]);
    vec![
        Contender::new(name::FLOOR_DRY, After::Untouched, dry_floor, None),
        Contender::new(name::FLOOR, After::Pruned, floor, None),
        Contender::new(name::DRY_RUN, After::Untouched, dry_run, Some(Threshold::Hours)),
        Contender::new(name::PRUNE, After::Pruned, prune, Some(Threshold::Hours)),
    ]
}

/// One question to a map of 10,000.
pub(crate) fn resolve(map: &Map, chat: &str, options: &Options) -> Contender {
    let arguments = [chat.into(), "--map".into(), map.path().into()];
    let arguments = tool(options, &["resolve", "--model", "claude-cli", "--chat"], &arguments);
    Contender::new(name::RESOLVE, After::Untouched, arguments, None)
}

/// The tool's preview as JSON, to compare its counts.
pub(crate) fn preview(map: &Map, options: &Options) -> Contender {
    let arguments = [map.path().into(), "--hours".into()];
    let arguments = tool(options, &["prune", "--dry-run", "--json", "--map"], &arguments);
    Contender::new(name::DRY_RUN, After::Untouched, arguments, Some(Threshold::Hours))
}

impl Contender {
    fn new(name: &'static str, after: After, arguments: Vec<OsString>, threshold: Option<Threshold>) -> Self {
        Self { name, after, arguments, threshold }
    }
}

fn tool(options: &Options, words: &[&str], rest: &[OsString]) -> Vec<OsString> {
    let words = words.iter().map(OsString::from);
    [options.binary.clone().into_os_string()].into_iter().chain(words).chain(rest.iter().cloned()).collect()
}
