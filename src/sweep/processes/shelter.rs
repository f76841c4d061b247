//! What an orphan started ends with it, unless that must not be ended: then the orphan stays, too.

use super::candidates::Candidate;
use super::facts::{Inspector, gone};
use super::sessions::may_be_alive;
use crate::filesystem::proc::{Stat, terminal_name};
use crate::policy::orphan::{Group, Vendor};
use crate::providers::live::{NamedProcess, Standing};

impl Inspector<'_> {
    /// Who among the processes below must not be ended with an orphan, and why.
    pub(super) fn sheltered(&self, process: &Stat) -> Option<(u32, String)> {
        let below = self.survey.table.descendants(process.pid);
        let mut running = below.into_iter().filter(|below| below.runs());
        running.find_map(|below| Some((below.pid, self.why_sheltered(below)?)))
    }

    fn why_sheltered(&self, process: &Stat) -> Option<String> {
        if self.relation(process).is_some() {
            return Some("it belongs to this run".to_owned());
        }
        if process.terminal != 0 {
            return Some(format!("it is at {}, which is open", terminal_name(process.terminal)));
        }
        if self.adopters.is_guardian(process) {
            return Some("people may come back to what it holds".to_owned());
        }
        if let Some(why) = self.vendor_below(process) {
            return Some(why);
        }
        match self.look_below(process) {
            // Gone by now.
            None => None,
            Some(Err(why)) => Some(format!("it cannot be looked at: {why}")),
            Some(Ok(why)) => why.map(ToOwned::to_owned),
        }
        .or_else(|| {
            let holds = |named: &NamedProcess| named.pid == process.pid && named.standing != Standing::Gone;
            let (place, named) = self.survey.named.iter().find(|(_, named)| holds(named))?;
            let provider = &self.scene.catalogue.at(*place).provider.name;
            Some(format!("{provider} names it in {}", named.path.display()))
        })
        .or_else(|| {
            let record = &self.survey.records[*self.tracked.get(&process.pid)?];
            may_be_alive(record, self.scene).then(|| format!("it runs the session {}", record.session_id.as_str()))
        })
    }

    /// What a CLI's own files, wherever it keeps them, say of one below an orphan.
    fn vendor_below(&self, process: &Stat) -> Option<String> {
        let likeness = self.programs.cli(process)?;
        let environment = gone(self.scene.proc.environment(process.pid))?;
        let candidate = Candidate { process, likeness: Some(likeness) };
        match self.vendor(&candidate, Some(likeness.provider), &environment) {
            Vendor::Silent => None,
            Vendor::Live(why) | Vendor::Unknown(why) => Some(why),
            Vendor::Worker { daemon } => Some(format!("it is a worker of the CLI's daemon, process {daemon}")),
        }
    }

    /// What in /proc keeps a process below an orphan from being ended.
    fn look_below(&self, process: &Stat) -> Option<Result<Option<&'static str>, String>> {
        let proc = self.scene.proc;
        let users = gone(proc.users(process.pid))?;
        let groups = gone(proc.control_groups(process.pid))?;
        let namespace = gone(proc.pid_namespace_of(process.pid))?;
        let executable = gone(proc.executable(process.pid))?;
        let look = || {
            let group = self.group_of(process, &groups?);
            executable?;
            Ok(if !users?.are(self.scene.here.user) {
                Some("it is another user's")
            } else if Some(namespace?) != self.scene.here.namespace {
                Some("it is in another pid namespace")
            } else {
                match group {
                    Group::Service(_) => Some("it belongs to a service"),
                    Group::Container(_) => Some("it is in a container"),
                    Group::None | Group::Scope { .. } => None,
                }
            })
        };
        Some(look())
    }
}
