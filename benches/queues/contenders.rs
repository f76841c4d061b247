//! Who runs: the tool, the floor, and who opens everything.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::answer::Expected;
use crate::common::options::Options;
use crate::common::program::{own, set_environment};
use crate::generate::Installation;

/// The names of the contenders, as the tables show them.
pub(crate) mod name {
    /// The tool's preview.
    pub(crate) const DRY: &str = "queues sweep --dry-run";
    /// The tool at work.
    pub(crate) const SWEEP: &str = "queues sweep";
    /// The tool's preview without the memory of a tick before.
    pub(crate) const FIRST: &str = "queues sweep --dry-run, first";
    /// The tool's preview where no session needs work.
    pub(crate) const NOTHING: &str = "queues sweep --dry-run, nothing";
    /// The tool's preview where the machine's processes are looked through.
    pub(crate) const PROCESSES: &str = "queues sweep --dry-run, all processes";
    /// The least that gives the right answer.
    pub(crate) const FLOOR: &str = "floor";
    /// The same, and one start of the runtime.
    pub(crate) const ASKING: &str = "floor, with the runtime asked";
    /// The same for one that is told nothing.
    pub(crate) const UNAIDED: &str = "floor, unaided";
    /// Both databases of every session.
    pub(crate) const ORIGINAL: &str = "original's way";
}

/// One who runs.
pub(crate) struct Contender {
    /// The name in the table.
    pub(crate) name: &'static str,
    /// What it is to answer.
    pub(crate) expected: Expected,
    arguments: Vec<OsString>,
    variables: Vec<(&'static str, PathBuf)>,
}

impl Contender {
    /// The command to run.
    pub(crate) fn command(&self, installation: &Installation) -> Command {
        let mut command = Command::new(&self.arguments[0]);
        command.args(&self.arguments[1..]);
        let folder = installation.folder();
        set_environment(&mut command, &folder.join("home"), folder);
        command.env("PATH", folder.join("bin")).env("SESSION_SWEEP_QUEUES_RUNTIME", "podman");
        command.env("SESSION_SWEEP_PROCESSES_ROOT", folder.join("nobody"));
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// Everybody.
pub(crate) fn all(installation: &Installation, options: &Options) -> Vec<Contender> {
    let (folder, count) = (installation.folder(), installation.len());
    let dry = |name, expected, variables| Contender { variables, ..tool(name, expected, true, installation, options) };
    let nowhere = vec![("XDG_STATE_HOME", folder.join("no-state"))];
    let machine = vec![("SESSION_SWEEP_PROCESSES_ROOT", PathBuf::from("/"))];
    let floor = |name, known: &str, runtime: Option<PathBuf>| {
        let rest =
            [installation.sessions_folder(), folder.join("folders"), folder.join(known)].into_iter().chain(runtime);
        let arguments = own("floor", rest.map(Into::into));
        Contender { name, expected: Expected::Lines, arguments, variables: Vec::new() }
    };
    let rest = [installation.sessions_folder(), installation.central(), installation.seen(), installation.stand_in()];
    let arguments = own("unaided", rest.map(Into::into));
    let unaided = Contender { name: name::UNAIDED, expected: Expected::Lines, arguments, variables: Vec::new() };
    vec![
        dry(name::DRY, Expected::Planned { unchanged: count - crate::generate::BUSY }, Vec::new()),
        tool(name::SWEEP, Expected::Done, false, installation, options),
        dry(name::FIRST, Expected::Planned { unchanged: 0 }, nowhere),
        dry(name::NOTHING, Expected::Nothing, Vec::new()),
        dry(name::PROCESSES, Expected::Planned { unchanged: count - crate::generate::BUSY }, machine),
        floor(name::FLOOR, "known", None),
        floor(name::ASKING, "known", Some(installation.stand_in())),
        unaided,
        floor(name::ORIGINAL, "folders", None),
    ]
}

/// The tick that the memory is of.
pub(crate) fn earlier(installation: &Installation, options: &Options) -> Contender {
    tool("the tick before", Expected::Nothing, false, installation, options)
}

fn tool(
    name: &'static str,
    expected: Expected,
    is_dry: bool,
    installation: &Installation,
    options: &Options,
) -> Contender {
    let words = ["queues", "sweep", "--json", "--root"].map(OsString::from);
    let start = [options.binary.clone().into_os_string()].into_iter().chain(words);
    let arguments = start.chain([installation.root().into()]).chain(is_dry.then(|| "--dry-run".into())).collect();
    Contender { name, expected, arguments, variables: Vec::new() }
}

/// Where the tool remembers what it saw.
pub(crate) fn memory(installation: &Installation) -> Vec<(PathBuf, Vec<u8>)> {
    let state = installation.folder().join("state");
    let files = walkdir::WalkDir::new(state).into_iter().map(Result::unwrap).map(walkdir::DirEntry::into_path);
    let is_memory = |path: &PathBuf| path.is_file() && path.parent().is_some_and(|parent| parent.ends_with("queues"));
    let found: Vec<_> = files.filter(is_memory).filter(|path| !is_lock(path)).collect();
    found.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

fn is_lock(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "lock")
}
