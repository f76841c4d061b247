//! Who runs: the tool, the floor, `du` and `find`.

use std::ffi::OsString;
use std::process::Command;

use crate::answer::Form;
use crate::common::options::Options;
use crate::common::program::{on_path, own, set_environment};
use crate::home::Home;

/// The names of the contenders, as the tables show them.
pub(crate) mod name {
    /// The tool.
    pub(crate) const REPORT: &str = "artifacts report";
    /// Every file looked at, nothing decided.
    pub(crate) const FLOOR: &str = "floor";
    /// How much there is altogether.
    pub(crate) const DU: &str = "du -s --apparent-size";
    /// Size, time and path of everything.
    pub(crate) const FIND: &str = "find -printf";
}

/// One who runs.
pub(crate) struct Contender {
    /// The name in the table.
    pub(crate) name: &'static str,
    /// How it answers, if anybody reads that.
    pub(crate) says: Option<Form>,
    arguments: Vec<OsString>,
}

impl Contender {
    /// The command to run.
    pub(crate) fn command(&self, home: &Home) -> Command {
        let mut command = Command::new(&self.arguments[0]);
        command.args(&self.arguments[1..]);
        set_environment(&mut command, &home.parent(), home.folder());
        command
    }
}

/// Everybody.
pub(crate) fn all(home: &Home, options: &Options) -> Vec<Contender> {
    let tree = home.tree().into_os_string();
    let tool = [options.binary.clone().into_os_string()].into_iter();
    let report = tool.chain(["artifacts", "report", "--json"].map(OsString::from)).collect();
    let mut contenders = vec![
        Contender { name: name::REPORT, says: Some(Form::Document), arguments: report },
        Contender { name: name::FLOOR, says: Some(Form::Sums), arguments: own("floor", [tree.clone()]) },
    ];
    if let Some(du) = on_path(&["du"]) {
        let arguments = vec![du, "-s".into(), "--apparent-size".into(), tree.clone()];
        contenders.push(Contender { name: name::DU, says: Some(Form::Kibibytes), arguments });
    }
    if let Some(find) = on_path(&["find"]) {
        let arguments = vec![find, tree, "-printf".into(), "%s %T@ %p\\n".into()];
        contenders.push(Contender { name: name::FIND, says: None, arguments });
    }
    contenders
}
