//! Who runs: the tool, the floor, the bare listings and `find`.

use std::ffi::OsString;
use std::process::Command;

use crate::answer::Form;
use crate::common::options::Options;
use crate::common::program::{on_path, own, set_environment};
use crate::generate::Registry;

/// The names of the contenders, as the tables show them.
pub(crate) mod name {
    /// The tool's list.
    pub(crate) const LIST: &str = "registry list";
    /// The tool's preview of a clean-up.
    pub(crate) const CLEANUP: &str = "registry cleanup --dry-run";
    /// The least that gives the right answer.
    pub(crate) const FLOOR: &str = "floor";
    /// Names only.
    pub(crate) const LISTING: &str = "listing";
    /// Names and times.
    pub(crate) const STAT: &str = "listing, stat";
    /// `find` over the beats.
    pub(crate) const FIND: &str = "find -printf";
}

/// One who runs.
pub(crate) struct Contender {
    /// The name in the table.
    pub(crate) name: &'static str,
    /// How it answers, if it does.
    pub(crate) says: Option<Form>,
    arguments: Vec<OsString>,
}

impl Contender {
    /// The command to run.
    pub(crate) fn command(&self, registry: &Registry) -> Command {
        let mut command = Command::new(&self.arguments[0]);
        command.args(&self.arguments[1..]);
        set_environment(&mut command, &registry.folder().join("home"), registry.folder());
        command
    }
}

/// Everybody.
pub(crate) fn all(registry: &Registry, options: &Options) -> Vec<Contender> {
    let (base, beats) = (registry.base().into_os_string(), registry.beats().into_os_string());
    let tool = |words: &str| {
        let words = words.split(' ').map(OsString::from);
        let start = [options.binary.clone().into_os_string()].into_iter().chain(words);
        start.chain(["--json".into(), "--base".into(), base.clone()]).collect()
    };
    let answering = |name, form, arguments| Contender { name, says: Some(form), arguments };
    let silent = |name, arguments| Contender { name, says: None, arguments };
    let mut contenders = vec![
        answering(name::LIST, Form::Document, tool(name::LIST)),
        answering(name::CLEANUP, Form::Document, tool(name::CLEANUP)),
        answering(name::FLOOR, Form::Lines, own("floor", [base.clone()])),
        silent(name::LISTING, own("listing", [beats.clone()])),
        silent(name::STAT, own("listing", [beats.clone(), "--stat".into()])),
    ];
    if let Some(find) = on_path(&["find"]) {
        let rest = ["-name", "*.json", "-printf", "%T@ %f\\n"].map(OsString::from);
        contenders.push(silent(name::FIND, [find, beats].into_iter().chain(rest).collect()));
    }
    contenders
}
